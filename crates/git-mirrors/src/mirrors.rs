//! All mirrors: who looks, who fetches, what is evicted.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::gate::{Pass, Patience};
use super::kept_look::LookFile;
use super::mirror::{FailedLook, KnownMirrors, Look, Mirror};
use super::push::{self, BranchUpdate};
use super::refs::{self, RefList, RefSpec, Resolved};
use super::session::{Access, Agent, Bounds, Session, Timeouts};
use super::storage::Storage;
use super::{Error, Transports, Upstream, wire};

/// Where mirrors live, and what bounds them.
#[derive(Clone, Debug)]
pub struct MirrorConfig {
    /// The folder, created if missing.
    ///
    /// Several processes may share it.
    pub root: PathBuf,
    /// Bytes on disk beyond which the least recently used mirror is evicted.
    ///
    /// Those in use stay.
    pub capacity: u64,
    /// How the client identifies itself to servers.
    pub agent: Agent,
    /// The schemes that may be used.
    pub transports: Transports,
    /// How long single steps may take.
    pub timeouts: Timeouts,
    /// Bytes of one pack, and at most half of the capacity.
    pub max_pack: u64,
    /// Bytes of one file in a pack, unpacked.
    pub max_object: u64,
    /// Bytes of everything in a pack, unpacked.
    pub max_unpacked: u64,
    /// Bytes of one list of refs.
    ///
    /// Servers with the protocol's version 2 send branches and tags only.
    pub max_refs: u64,
    /// How long an upstream is left alone after a look at its refs, whatever callers ask for by
    /// [`Freshness::MaxAge`].
    ///
    /// A failed look counts too. The last look is kept beside the mirror, so this holds across
    /// restarts, and for all processes that share the folder.
    pub look_interval: Duration,
}

impl MirrorConfig {
    /// 10 GiB of mirrors, packs of 1 GiB with files of 100 MiB (GitHub takes no larger ones) and 4
    /// GiB unpacked, and 20 MiB of refs; https and ssh. Upstreams are looked at as often as callers
    /// ask for it.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            capacity: 10 << 30,
            agent: Agent::default(),
            transports: Transports::SECURE,
            timeouts: Timeouts::default(),
            max_pack: 1 << 30,
            max_object: 100 << 20,
            max_unpacked: 4 << 30,
            max_refs: 20 << 20,
            look_interval: Duration::ZERO,
        }
    }
}

/// How old the knowledge of an upstream's refs may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// At most this old, or [`MirrorConfig::look_interval`] if that is longer; callers within the
    /// time share one look, even with processes that have ended.
    MaxAge(Duration),
    /// Looked at after this moment, when a change became known; all callers that wait for the same
    /// change share one look.
    Since(Instant),
    /// Looked at after the call began; callers that wait at the same time still share looks.
    Now,
}

/// A ref that was resolved, and the look that showed it.
#[derive(Clone, Debug)]
pub struct LookedUp {
    /// What the ref stands for.
    pub resolved: Resolved,
    /// The look; `None` where none was needed.
    pub look: Option<ServedLook>,
}

/// A look at an upstream's refs that served a caller.
#[derive(Clone, Debug)]
pub struct ServedLook {
    /// The mirror's name: the same for all who reach an upstream the same way, with the same login.
    pub mirror: String,
    /// When the look began: it does not show what was pushed later.
    pub begun: Instant,
}

/// Counts since the start, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes that servers sent.
    pub received_bytes: u64,
    /// Looks at the refs of an upstream.
    pub looks: u64,
    /// Packs fetched.
    pub fetches: u64,
    /// Damaged or overgrown mirrors that were thrown away.
    pub rebuilds: u64,
    /// Mirrors that were removed for space.
    pub evictions: u64,
}

#[derive(Debug, Default)]
struct Counters {
    received: Arc<AtomicU64>,
    looks: AtomicU64,
    fetches: AtomicU64,
    rebuilds: AtomicU64,
}

/// The mirrors of all upstreams.
///
/// All calls block the calling thread, at most until their deadline (and a moment of local disk
/// work): from async code, use `spawn_blocking`.
#[derive(Debug)]
pub struct Mirrors {
    pub(super) config: MirrorConfig,
    pub(super) storage: Storage,
    /// Keys the names of mirrors, so that a folder's name reveals nothing about a password.
    key: Vec<u8>,
    known: KnownMirrors,
    counters: Counters,
    /// Becomes true when the process ends.
    closing: watch::Sender<bool>,
    runtime: Option<Runtime>,
}

impl Mirrors {
    /// Opens the folder of mirrors, and removes what a crash left half-made.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the folder cannot be made or read.
    pub fn open(config: MirrorConfig) -> Result<Self, Error> {
        let config = MirrorConfig {
            max_pack: config.max_pack.min(config.capacity / 2),
            ..config
        };
        let storage = Storage::open(config.root.clone(), config.capacity)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("source-io")
            .enable_all()
            .build()
            .map_err(|error| Error::io(&config.root, &error))?;
        Ok(Self {
            config,
            key: storage.key()?,
            storage,
            known: KnownMirrors::default(),
            counters: Counters::default(),
            closing: watch::Sender::new(false),
            runtime: Some(runtime),
        })
    }

    /// Bytes that the mirrors take on disk, as they were when this process last measured each.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.storage.disk_bytes()
    }

    /// Ends all calls, running and future: they return within a moment, with
    /// [`Error::Unreachable`].
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    pub(super) fn patience(&self, deadline: Instant) -> Patience {
        Patience {
            deadline,
            closing: self.closing.subscribe(),
        }
    }

    /// Finds the commit that a ref stands for.
    ///
    /// A commit named in full that is held already costs no network.
    ///
    /// # Errors
    ///
    /// [`Error::RefNotFound`], [`Error::RefInvalid`], and whatever keeps the upstream from being
    /// looked at.
    pub fn resolve(
        &self,
        upstream: &Upstream,
        want: &RefSpec,
        freshness: Freshness,
        deadline: Instant,
    ) -> Result<Resolved, Error> {
        self.look_up(upstream, want, freshness, deadline)
            .map(|found| found.resolved)
    }

    /// Finds the commit that a ref stands for, and the look that showed it.
    ///
    /// # Errors
    ///
    /// As for [`Mirrors::resolve`].
    pub fn look_up(
        &self,
        upstream: &Upstream,
        want: &RefSpec,
        freshness: Freshness,
        deadline: Instant,
    ) -> Result<LookedUp, Error> {
        self.config.transports.check(&upstream.url)?;
        let entered = Instant::now();
        let mirror = self.mirror(upstream)?;
        if let Some(commit) = refs::full_commit(want)?
            && mirror.holds(commit)
        {
            return Ok(LookedUp {
                resolved: Resolved::pinned(commit),
                look: None,
            });
        }
        let wanted = LookFor {
            entered,
            freshness,
            rest: self.config.look_interval,
            patience: self.patience(deadline),
        };
        let (listed, begun) = self.look(&mirror, upstream, &wanted)?;
        Ok(LookedUp {
            resolved: refs::find(&upstream.url, &listed, want, &|_| Vec::new())?,
            look: Some(ServedLook {
                mirror: mirror.name().to_owned(),
                begun,
            }),
        })
    }

    /// Lists the refs of any kind whose full names begin with a prefix: `refs/changes/34/1234/` has
    /// what a Gerrit has of a change. The revisions have the full names. The server is asked each
    /// time.
    ///
    /// # Errors
    ///
    /// Whatever keeps the upstream from being looked at.
    pub fn refs_below(
        &self,
        upstream: &Upstream,
        prefix: &str,
        deadline: Instant,
    ) -> Result<Vec<Resolved>, Error> {
        self.config.transports.check(&upstream.url)?;
        let session = self.session(upstream, Access::Read, self.config.max_refs, deadline)?;
        Ok(wire::list(&session, &[prefix])?.by_full_names().collect())
    }

    /// Pushes a commit to a branch, if the branch is still what it was.
    ///
    /// # Errors
    ///
    /// [`Error::Raced`] if the branch moved; [`Error::Rejected`] if the server rejects the commit;
    /// whatever keeps it from being reached. After [`Error::Unreachable`] and [`Error::Timeout`]
    /// the branch may or may not have the commit: look before the next push.
    pub fn push(
        &self,
        upstream: &Upstream,
        update: &BranchUpdate<'_>,
        deadline: Instant,
    ) -> Result<(), Error> {
        self.config.transports.check(&upstream.url)?;
        let session = self.session(upstream, Access::Write, self.config.max_refs, deadline)?;
        let pushed = push::push(&session, update);
        // Whatever the outcome, what was seen of the branch before may be out of date.
        if let Ok(mirror) = self.mirror(upstream)
            && let Some(pass) = mirror.look.enter(&self.patience(deadline))
        {
            *pass.value() = Look::default();
            self.forget_kept_look(&mirror);
        }
        pushed?;
        let (branch, commit) = (update.branch, update.commit.id);
        tracing::info!(url = %upstream.url, branch, %commit, "pushed");
        Ok(())
    }

    /// Counts since the start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            received_bytes: load(&self.counters.received),
            looks: load(&self.counters.looks),
            fetches: load(&self.counters.fetches),
            rebuilds: load(&self.counters.rebuilds),
            evictions: self.storage.evictions(),
        }
    }

    pub(super) fn count_fetch(&self) {
        self.counters.fetches.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_rebuild(&self) {
        self.counters.rebuilds.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn session(
        &self,
        upstream: &Upstream,
        access: Access,
        limit: u64,
        deadline: Instant,
    ) -> Result<Arc<Session>, Error> {
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::Unreachable {
            url: upstream.url.to_string(),
            reason: "shutting down".to_owned(),
        })?;
        let bounds = Bounds {
            agent: self.config.agent,
            transports: self.config.transports,
            timeouts: self.config.timeouts,
            patience: self.patience(deadline),
            access,
            bytes: limit,
        };
        let received = Arc::clone(&self.counters.received);
        Ok(Session::new(runtime.handle().clone(), upstream, bounds, received))
    }

    pub(super) fn mirror(&self, upstream: &Upstream) -> Result<Arc<Mirror>, Error> {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&self.key).map_err(|_| Error::Io {
            path: self.config.root.display().to_string(),
            reason: "the key of the mirrors' names is unusable".to_owned(),
        })?;
        upstream.identity(|bytes| mac.update(bytes));
        let digest = mac.finalize().into_bytes();
        let name = hex::encode(&digest[..16]);
        Ok(self.known.find_or_add(name, self.storage.root(), Instant::now()))
    }

    /// Lists the upstream's refs, or shares a list that is young enough; also returns when that
    /// look began.
    fn look(
        &self,
        mirror: &Mirror,
        upstream: &Upstream,
        wanted: &LookFor,
    ) -> Result<(Arc<RefList>, Instant), Error> {
        let patience = &wanted.patience;
        let pass = mirror.look.enter(patience).ok_or_else(|| Error::Timeout {
            url: upstream.url.to_string(),
            step: "waiting for another look at the same upstream",
        })?;
        if let Some(known) = wanted.answer(&pass.value()) {
            return known;
        }
        if let Some(kept) = self.kept_look(mirror, &pass, wanted) {
            return Ok(kept);
        }
        let (begun, begun_at) = (Instant::now(), SystemTime::now());
        self.counters.looks.fetch_add(1, Ordering::Relaxed);
        let session = self.session(upstream, Access::Read, self.config.max_refs, patience.deadline)?;
        let looked = wire::look(&session);
        let mut last = pass.value();
        match looked {
            Ok(found) => {
                tracing::debug!(url = %upstream.url, refs = found.len(), "listed refs");
                let refs = Arc::new(found);
                *last = Look {
                    begun: Some(begun),
                    begun_at: Some(begun_at),
                    refs: Arc::clone(&refs),
                    failed: None,
                };
                drop(last);
                self.known.bound_refs();
                self.keep_look(mirror);
                Ok((refs, begun))
            }
            Err(error) => {
                // If this caller's own time ran out, that says nothing about the server to others.
                if !patience.is_over() {
                    last.failed = Some(FailedLook {
                        begun,
                        ended: Instant::now(),
                        error: error.clone(),
                    });
                }
                Err(error)
            }
        }
    }

    /// The look that is kept on disk, if it is young enough. Its time is by the wall clock, so
    /// callers that wait for a change are not answered from it.
    fn kept_look(
        &self,
        mirror: &Mirror,
        pass: &Pass<'_, Look>,
        wanted: &LookFor,
    ) -> Option<(Arc<RefList>, Instant)> {
        if !matches!(wanted.freshness, Freshness::MaxAge(_)) {
            return None;
        }
        let kept = self.look_file(mirror).read()?;
        if !wanted.is_served_by(kept.begun) {
            return None;
        }
        let refs = Arc::new(kept.refs);
        let mut last = pass.value();
        (last.begun, last.begun_at) = (Some(kept.begun), None);
        last.refs = Arc::clone(&refs);
        drop(last);
        self.known.bound_refs();
        Some((refs, kept.begun))
    }

    /// Keeps the last look beside its mirror, if there is one: what is beside a mirror counts
    /// towards its size, and is removed with it.
    pub(super) fn keep_look(&self, mirror: &Mirror) {
        let (begun_at, refs) = {
            let last = mirror.look.value();
            (last.begun_at, Arc::clone(&last.refs))
        };
        let Some(begun_at) = begun_at.filter(|_| mirror.dir.is_dir()) else {
            return;
        };
        let file = self.look_file(mirror);
        let before = file.bytes();
        if let Err(error) = file.keep(begun_at, &refs) {
            tracing::debug!(mirror = %mirror.dir.display(), %error, "a look cannot be kept");
        }
        self.storage.note_look(&mirror.dir, before, file.bytes());
    }

    /// Whether a look is kept beside a mirror.
    pub(super) fn has_kept_look(&self, mirror: &Mirror) -> bool {
        self.look_file(mirror).bytes() > 0
    }

    /// Forgets the last look, so that the next one asks the server.
    pub(super) fn forget_look(&self, mirror: &Mirror) {
        let mut last = mirror.look.value();
        (last.begun, last.begun_at) = (None, None);
        drop(last);
        self.forget_kept_look(mirror);
    }

    fn forget_kept_look(&self, mirror: &Mirror) {
        if let Err(error) = self.look_file(mirror).forget() {
            tracing::debug!(mirror = %mirror.dir.display(), %error, "a kept look cannot be removed");
        }
    }

    fn look_file<'a>(&'a self, mirror: &'a Mirror) -> LookFile<'a> {
        LookFile::beside(&mirror.dir, &self.key)
    }
}

/// What a caller wants of a look.
struct LookFor {
    /// When the caller came.
    entered: Instant,
    freshness: Freshness,
    /// How long the upstream is left alone.
    rest: Duration,
    patience: Patience,
}

impl LookFor {
    /// What the last look answers to this caller; `None` where a new one is needed.
    fn answer(&self, last: &Look) -> Option<Result<(Arc<RefList>, Instant), Error>> {
        if let Some(begun) = last.begun.filter(|begun| self.is_served_by(*begun)) {
            return Some(Ok((Arc::clone(&last.refs), begun)));
        }
        let failed = last.failed.as_ref()?;
        let is_recent = self.entered.saturating_duration_since(failed.begun) < self.rest;
        let waited = failed.ended >= self.entered;
        (waited || (is_recent && self.is_served_by(failed.begun))).then(|| Err(failed.error.clone()))
    }

    /// Whether a look that began then is new enough.
    fn is_served_by(&self, begun: Instant) -> bool {
        match self.freshness {
            // A clock that started less than the age ago has nothing older.
            Freshness::MaxAge(age) => self
                .entered
                .checked_sub(age.max(self.rest))
                .is_none_or(|oldest| begun >= oldest),
            Freshness::Since(news) => begun >= news,
            Freshness::Now => begun >= self.entered,
        }
    }
}

impl Drop for Mirrors {
    /// Does not wait for the network, so that it may happen anywhere, in async code too.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
