//! A layer on its way to a registry.

use std::sync::Arc;

use bytes::Bytes;
use futures::Stream;
use oci_client::errors::OciDistributionError;

use super::layer::{self, Contents};
use crate::patch::Objects;

/// Bytes of a layer that are on their way at once.
const CHUNK: usize = 1 << 20;
const CHUNKS_WAITING: usize = 4;

/// A layer as a stream, made in another thread as fast as it is taken.
pub(super) fn stream(
    objects: Arc<dyn Objects + Send + Sync>,
    contents: Contents,
) -> impl Stream<Item = Result<Bytes, OciDistributionError>> + Send + 'static {
    let (sender, receiver) = tokio::sync::mpsc::channel(CHUNKS_WAITING);
    tokio::task::spawn_blocking(move || {
        let mut out = Chunks {
            sender: sender.clone(),
            chunk: Vec::with_capacity(CHUNK),
        };
        let written = layer::write(&*objects, &contents, &mut out)
            .map_err(|error| std::io::Error::other(error.to_string()))
            .and_then(|()| out.send());
        if let Err(error) = written {
            // Whoever took the stream may be gone already.
            let _ = sender.blocking_send(Err(OciDistributionError::IoError(error)));
        }
    });
    tokio_stream::wrappers::ReceiverStream::new(receiver)
}

/// Collects what is written and sends it in pieces.
struct Chunks {
    sender: tokio::sync::mpsc::Sender<Result<Bytes, OciDistributionError>>,
    chunk: Vec<u8>,
}

impl Chunks {
    fn send(&mut self) -> std::io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK));
        self.sender
            .blocking_send(Ok(chunk.into()))
            .map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }
}

impl std::io::Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
