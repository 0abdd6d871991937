//! One conversation with a server: its deadline, its byte budget, and the first fault that ended
//! it.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use guarded_egress::RefusedAddress;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::runtime::Handle;

use super::error::bytes;
use super::gate::{Patience, locked};
use super::{Error, Transports, Upstream};

/// How the client identifies itself to servers: many recognize clients by what begins with `git/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    /// The program's name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

impl Default for Agent {
    /// This library.
    fn default() -> Self {
        Self {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

impl Agent {
    /// As the capability `agent` of Git's protocol.
    pub(super) fn in_protocol(self) -> String {
        format!("git/2.0-{}-{}", self.name, self.version)
    }

    /// As the header `User-Agent`.
    pub(super) fn in_header(self) -> String {
        format!("git/2.0 ({} {})", self.name, self.version)
    }
}

/// How long single steps may take; a caller's deadline bounds the whole.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection to be made, TLS or SSH handshake included.
    pub connect: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// For everything before a pack: what the server offers, and its list of refs.
    pub talk: Duration,
    /// How slow a server may be.
    pub pace: Pace,
}

/// The least that a server has to send or take while this side waits for it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes in each window.
    pub bytes: u64,
    /// How much waiting makes up a window.
    ///
    /// Time that this side needs does not count.
    pub window: Duration,
}

impl Default for Timeouts {
    /// 15 s to connect, 30 s of silence, 3 min before a pack, and 60 KiB in each minute of waiting.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            talk: Duration::from_secs(180),
            pace: Pace {
                bytes: 60 << 10,
                window: Duration::from_secs(60),
            },
        }
    }
}

/// What a conversation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// To look and fetch.
    Read,
    /// To push.
    Write,
}

/// What git says of an object that it does not give out (upload-pack.c).
const NOT_OUR_REF: &str = "not our ref";

/// How servers say that they do not give out an object, as words that all occur: git, older git
/// with version 0 of the protocol, JGit (its `WantNotValidException`; Gerrit and others use it),
/// Azure DevOps.
const LACKS_OBJECT: [&[&str]; 4] = [
    &[NOT_OUR_REF],
    &["unadvertised"],
    &["want ", " not valid"],
    &["TF401035"],
];

/// Whether a server says that it does not give out an object.
pub(super) fn lacks_object(words: &str) -> bool {
    LACKS_OBJECT
        .iter()
        .any(|phrase| phrase.iter().all(|part| words.contains(part)))
}

/// How servers say that a login may not do something, in lower case: GitHub ("Permission to X
/// denied to Y", "marked as read only"), GitLab ("You are not allowed to push code"), Gitea ("is
/// not authorized to write to"), Azure DevOps ("You need the Git `GenericContribute` permission"),
/// gitolite ("DENIED by").
const FORBIDS: [&str; 8] = [
    "denied",
    "not allowed",
    "authorized",
    "not granted",
    "permission",
    "forbidden",
    "read only",
    "read-only",
];

/// How they say that there is no such repository, or that it is not shown.
const IS_ABSENT: [&str; 3] = ["not found", "could not be found", "does not exist"];

/// Whether a server says that the login may not do this.
fn forbids(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| words.contains(phrase));
    says(&FORBIDS) && !says(&IS_ABSENT)
}

/// What bounds a conversation.
pub(super) struct Bounds {
    pub(super) agent: Agent,
    pub(super) transports: Transports,
    pub(super) timeouts: Timeouts,
    pub(super) patience: Patience,
    pub(super) access: Access,
    /// Bytes that the server may send before [`Session::expect`] allows more.
    pub(super) bytes: u64,
}

/// What a conversation needs to know and keeps count of.
pub(super) struct Session {
    pub(super) upstream: Upstream,
    pub(super) agent: Agent,
    pub(super) transports: Transports,
    pub(super) timeouts: Timeouts,
    pub(super) access: Access,
    patience: Patience,
    runtime: Handle,
    /// When the part before the pack has to be over.
    talk_ends: Mutex<Option<Instant>>,
    /// Bytes that may still arrive.
    budget: AtomicU64,
    limit: AtomicU64,
    received: Arc<AtomicU64>,
    progress: Mutex<Progress>,
    /// Whether the server redirected to another host, whose words are not passed on: no user named
    /// that host.
    led_away: AtomicBool,
    failure: Mutex<Option<Error>>,
}

/// What the server did in the current window of waiting.
#[derive(Debug, Default)]
struct Progress {
    waited: Duration,
    bytes: u64,
}

impl Session {
    /// Begins a conversation; `received` counts the bytes that arrive, for the metrics.
    pub(super) fn new(
        runtime: Handle,
        upstream: &Upstream,
        bounds: Bounds,
        received: Arc<AtomicU64>,
    ) -> Arc<Self> {
        let talk_ends = Instant::now() + bounds.timeouts.talk;
        Arc::new(Self {
            upstream: upstream.clone(),
            agent: bounds.agent,
            transports: bounds.transports,
            timeouts: bounds.timeouts,
            access: bounds.access,
            patience: bounds.patience,
            runtime,
            talk_ends: Mutex::new(Some(talk_ends)),
            budget: AtomicU64::new(bounds.bytes),
            limit: AtomicU64::new(bounds.bytes),
            received,
            progress: Mutex::default(),
            led_away: AtomicBool::new(false),
            failure: Mutex::new(None),
        })
    }

    #[cfg(feature = "keys")]
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) fn url(&self) -> String {
        self.upstream.url.to_string()
    }

    /// Begins another request, with the bounds of the first.
    pub(super) fn begin_request(&self, bytes: u64) {
        *locked(&self.talk_ends) = Some(Instant::now() + self.timeouts.talk);
        self.budget.store(bytes, Ordering::Relaxed);
        self.limit.store(bytes, Ordering::Relaxed);
    }

    /// Ends the part before what was asked for, which may take this many more bytes.
    pub(super) fn expect(&self, bytes: u64) {
        *locked(&self.talk_ends) = None;
        self.budget.fetch_add(bytes, Ordering::Relaxed);
        self.limit.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Waits for a step, at most `limit`, and never past the deadline or the end of the process.
    pub(super) fn wait<F: Future>(
        &self,
        step: &'static str,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, Error> {
        let mut until = self.patience.deadline.min(Instant::now() + limit);
        if let Some(ends) = *locked(&self.talk_ends) {
            until = until.min(ends);
        }
        let mut closing = self.patience.closing.clone();
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                // Also if the sender is gone.
                _ = closing.wait_for(|closing| *closing) => Err(self.stopped()),
                waited = tokio::time::timeout_at(until.into(), future) => waited.map_err(|_| self.timeout(step)),
            }
        })
    }

    /// Waits for bytes to arrive or leave, at a pace that is worth waiting for.
    ///
    /// `moved` returns how many they are.
    pub(super) fn transfer<F: Future>(
        &self,
        step: &'static str,
        future: F,
        moved: impl FnOnce(&F::Output) -> usize,
    ) -> Result<F::Output, Error> {
        let begun = Instant::now();
        let done = self.wait(step, self.timeouts.idle, future)?;
        let pace = self.timeouts.pace;
        let mut progress = locked(&self.progress);
        progress.waited += begun.elapsed();
        progress.bytes += moved(&done) as u64;
        if progress.waited >= pace.window {
            let too_slow = progress.bytes < pace.bytes;
            *progress = Progress::default();
            if too_slow {
                return Err(self.timeout("waiting for a server that sends or takes next to nothing"));
            }
        }
        Ok(done)
    }

    /// Checks the deadline where no waiting happens.
    pub(super) fn check(&self, step: &'static str) -> Result<(), Error> {
        if self.patience.is_closing() {
            return Err(self.stopped());
        }
        if self.patience.is_over() {
            return Err(self.timeout(step));
        }
        Ok(())
    }

    fn timeout(&self, step: &'static str) -> Error {
        Error::Timeout {
            url: self.url(),
            step,
        }
    }

    fn stopped(&self) -> Error {
        self.unreachable("this process is ending")
    }

    /// Counts bytes that arrived.
    pub(super) fn count_received(&self, arrived: usize) -> Result<(), Error> {
        let arrived = arrived as u64;
        self.received.fetch_add(arrived, Ordering::Relaxed);
        let left = self.budget.load(Ordering::Relaxed);
        if arrived > left {
            return Err(Error::TooLarge {
                what: format!("the answer of {}", self.upstream.url),
                limit: bytes(self.limit.load(Ordering::Relaxed)),
            });
        }
        self.budget.store(left - arrived, Ordering::Relaxed);
        Ok(())
    }

    /// Notes that the server redirected to another host.
    pub(super) fn note_led_away(&self) {
        self.led_away.store(true, Ordering::Relaxed);
    }

    /// The error for a server that declines with these words.
    ///
    /// From a server that was redirected to, nothing is passed on except that it lacks an object.
    pub(super) fn declined_saying(&self, words: &str) -> Error {
        if self.is_led_away() {
            return self.declined(if lacks_object(words) {
                NOT_OUR_REF
            } else {
                "the server that it redirects to declines"
            });
        }
        if self.access == Access::Write && forbids(words) {
            return self.authentication(&format!(
                "{}: give the login write access to the repository",
                words.trim()
            ));
        }
        self.declined(words)
    }

    /// A sentence followed by a server's words; the sentence alone if there are none, or they are
    /// those of a server that was redirected to.
    pub(super) fn with_words(&self, sentence: &str, words: &str) -> String {
        match words.trim() {
            words if !words.is_empty() && !self.is_led_away() => {
                format!("{sentence}; the server says: {words}")
            }
            _ => sentence.to_owned(),
        }
    }

    fn is_led_away(&self) -> bool {
        self.led_away.load(Ordering::Relaxed)
    }

    /// A server's words within an error.
    pub(super) fn quote_server(&self, words: &str) -> String {
        if self.is_led_away() {
            return "the server that it redirects to says so".to_owned();
        }
        self.upstream.clean(words)
    }

    /// What is wrong with an answer, in words that may quote it.
    pub(super) fn malformed(&self, words: &str) -> Error {
        if self.is_led_away() {
            return self.protocol("the server that it redirects to does not answer as a Git server");
        }
        self.protocol(words)
    }

    /// Keeps the first fault with its type; returns one for code that does not know the type to
    /// pass on.
    pub(super) fn keep_failure(&self, error: Error) -> io::Error {
        let passed_on = io::Error::other(error.to_string());
        locked(&self.failure).get_or_insert(error);
        passed_on
    }

    pub(super) fn take_failure(&self) -> Option<Error> {
        locked(&self.failure).take()
    }

    /// Why an address is not connected to.
    pub(super) fn refused(&self, reason: &str) -> Error {
        Error::Refused {
            url: self.url(),
            reason: self.upstream.clean(reason),
        }
    }

    /// Why no connection was made.
    pub(super) fn not_connected(&self, error: &(dyn std::error::Error + 'static)) -> Error {
        match RefusedAddress::find(error) {
            Some(refused) => self.refused(&refused.to_string()),
            None => self.unreachable(&error.to_string()),
        }
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
        let read = self.inner.read(buffer);
        let waited = session.transfer("reading", read, |read| read.as_ref().map_or(0, |count| *count));
        let arrived = match waited {
            Ok(Ok(arrived)) => arrived,
            Ok(Err(error)) => return Err(session.keep_failure(session.unreachable(&error.to_string()))),
            Err(timeout) => return Err(session.keep_failure(timeout)),
        };
        session
            .count_received(arrived)
            .map_err(|error| session.keep_failure(error))?;
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
        let write = self.inner.write(buffer);
        match session.transfer("writing", write, |written| {
            written.as_ref().map_or(0, |count| *count)
        }) {
            Ok(Ok(written)) => Ok(written),
            Ok(Err(error)) => Err(session.keep_failure(session.unreachable(&error.to_string()))),
            Err(timeout) => Err(session.keep_failure(timeout)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let session = &self.session;
        match session.wait("writing", session.timeouts.idle, self.inner.flush()) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(session.keep_failure(session.unreachable(&error.to_string()))),
            Err(timeout) => Err(session.keep_failure(timeout)),
        }
    }
}
