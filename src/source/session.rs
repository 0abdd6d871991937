//! One conversation with a server: its deadline, its byte budget, and the first fault that ended it.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;

use super::error::bytes;
use super::{Error, Transports, Upstream};

/// How long single steps may take; a caller's deadline bounds the whole.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection to be made, TLS or SSH handshake included.
    pub connect: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
}

impl Default for Timeouts {
    /// 15 s to connect, 30 s of silence.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(30),
        }
    }
}

/// What a conversation needs to know and keeps count of.
pub(super) struct Session {
    pub(super) upstream: Upstream,
    pub(super) transports: Transports,
    pub(super) timeouts: Timeouts,
    deadline: Instant,
    runtime: Handle,
    /// Bytes that may still arrive.
    budget: AtomicU64,
    limit: u64,
    received: Arc<AtomicU64>,
    failure: Mutex<Option<Error>>,
}

impl Session {
    /// `limit` bounds the bytes that the server may send; `received` counts them for the metrics.
    pub(super) fn new(
        runtime: Handle,
        upstream: &Upstream,
        transports: Transports,
        timeouts: Timeouts,
        deadline: Instant,
        limit: u64,
        received: Arc<AtomicU64>,
    ) -> Arc<Self> {
        Arc::new(Self {
            upstream: upstream.clone(),
            transports,
            timeouts,
            deadline,
            runtime,
            budget: AtomicU64::new(limit),
            limit,
            received,
            failure: Mutex::new(None),
        })
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) fn url(&self) -> String {
        self.upstream.url.to_string()
    }

    /// Waits for a step, at most `limit` and never past the deadline.
    pub(super) fn wait<F: Future>(
        &self,
        step: &'static str,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, Error> {
        let until = self.deadline.min(Instant::now() + limit);
        self.runtime
            .block_on(async { tokio::time::timeout_at(until.into(), future).await })
            .map_err(|_| Error::Timeout {
                url: self.url(),
                step,
            })
    }

    /// Checks the deadline where no waiting happens.
    pub(super) fn check(&self, step: &'static str) -> Result<(), Error> {
        if Instant::now() < self.deadline {
            return Ok(());
        }
        Err(Error::Timeout {
            url: self.url(),
            step,
        })
    }

    /// Counts bytes that arrived.
    pub(super) fn count(&self, arrived: usize) -> Result<(), Error> {
        let arrived = arrived as u64;
        self.received.fetch_add(arrived, Ordering::Relaxed);
        let left = self.budget.load(Ordering::Relaxed);
        if arrived > left {
            return Err(Error::TooLarge {
                what: format!("the answer of {}", self.upstream.url),
                limit: bytes(self.limit),
            });
        }
        self.budget.store(left - arrived, Ordering::Relaxed);
        Ok(())
    }

    /// Keeps the first fault with its type, while code that knows nothing of it passes on the returned one.
    pub(super) fn fail(&self, error: Error) -> io::Error {
        let passed_on = io::Error::other(error.to_string());
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        passed_on
    }

    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn unreachable(&self, reason: &str) -> Error {
        Error::Unreachable {
            url: self.url(),
            reason: self.upstream.clean(reason),
        }
    }

    pub(super) fn authentication(&self, reason: &str) -> Error {
        Error::Authentication {
            url: self.url(),
            reason: self.upstream.clean(reason),
        }
    }

    pub(super) fn declined(&self, reason: &str) -> Error {
        Error::Declined {
            url: self.url(),
            reason: self.upstream.clean(reason),
        }
    }

    pub(super) fn protocol(&self, reason: &str) -> Error {
        Error::Protocol {
            url: self.url(),
            reason: self.upstream.clean(reason),
        }
    }
}

/// The reading half of a connection, for code that blocks.
pub(super) struct Reader<R> {
    pub(super) session: Arc<Session>,
    pub(super) inner: R,
}

impl<R: AsyncRead + Unpin> io::Read for Reader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let session = &self.session;
        let waited = session.wait("reading", session.timeouts.idle, self.inner.read(buffer));
        let arrived = match waited {
            Ok(Ok(arrived)) => arrived,
            Ok(Err(error)) => return Err(session.fail(session.unreachable(&error.to_string()))),
            Err(timeout) => return Err(session.fail(timeout)),
        };
        session.count(arrived).map_err(|error| session.fail(error))?;
        Ok(arrived)
    }
}

/// The writing half of a connection, for code that blocks.
pub(super) struct Writer<W> {
    pub(super) session: Arc<Session>,
    pub(super) inner: W,
}

impl<W: AsyncWrite + Unpin> io::Write for Writer<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let session = &self.session;
        match session.wait("writing", session.timeouts.idle, self.inner.write(buffer)) {
            Ok(Ok(written)) => Ok(written),
            Ok(Err(error)) => Err(session.fail(session.unreachable(&error.to_string()))),
            Err(timeout) => Err(session.fail(timeout)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let session = &self.session;
        match session.wait("writing", session.timeouts.idle, self.inner.flush()) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(session.fail(session.unreachable(&error.to_string()))),
            Err(timeout) => Err(session.fail(timeout)),
        }
    }
}
