//! A layer on its way to a registry.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::Stream;
use git_apply_engine::Objects;

use super::Error;
use super::layer::{self, Contents};

/// The bytes of a chunk, and the most chunks of a layer that are in flight at once.
const CHUNK: usize = 1 << 20;
const CHUNKS_WAITING: usize = 4;

/// Why a layer ended too early, if it did.
#[derive(Clone, Default)]
pub(super) struct LayerFailure(Arc<Mutex<Option<Error>>>);

impl LayerFailure {
    pub(super) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Returns a layer as a stream, written in another thread as fast as it is consumed. If it ends too
/// early, `failure` says why.
pub(super) fn stream(
    objects: Arc<dyn Objects + Send + Sync>,
    contents: Contents,
    failure: LayerFailure,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let (sender, receiver) = tokio::sync::mpsc::channel(CHUNKS_WAITING);
    tokio::task::spawn_blocking(move || {
        let mut out = Chunks {
            sender: sender.clone(),
            chunk: Vec::with_capacity(CHUNK),
        };
        let written =
            layer::write(&*objects, &contents, &mut out).and_then(|()| out.send().map_err(Error::Write));
        let Err(error) = written else { return };
        let ended = io::Error::other(error.to_string());
        // The consumer may be gone already, and then knows why.
        if !sender.is_closed() {
            *failure.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
        let _ = sender.blocking_send(Err(ended));
    });
    tokio_stream::wrappers::ReceiverStream::new(receiver)
}

/// Collects what is written and sends it in pieces.
struct Chunks {
    sender: tokio::sync::mpsc::Sender<io::Result<Bytes>>,
    chunk: Vec<u8>,
}

impl Chunks {
    fn send(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        self.sender
            .blocking_send(Ok(chunk.into()))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
