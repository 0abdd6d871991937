//! All mirrors: who looks, who fetches, what is evicted.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::gate::Patience;
use super::mirror::{KnownMirrors, Look, Mirror, is_held};
use super::pack::PackLimits;
use super::push::{self, BranchUpdate};
use super::refs::{self, RefList, RefSpec, Resolved};
use super::session::{Access, Agent, Bounds, Session, Timeouts, lacks_object};
use super::snapshot::Snapshot;
use super::storage::{Reservation, Storage};
use super::store::{self, Store};
use super::{Error, Transports, Upstream, verification, wire};

/// How many held commits a server is told of.
const MAX_HAVES: usize = 16;

/// Where mirrors live, and what bounds them.
#[derive(Clone, Debug)]
pub struct MirrorConfig {
    /// The folder, made where it is missing.
    ///
    /// Several processes may share it.
    pub root: PathBuf,
    /// Bytes on disk beyond which the mirror that was not used for longest goes.
    ///
    /// Those in use stay.
    pub capacity: u64,
    /// Who asks, as servers are told.
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
}

impl MirrorConfig {
    /// 10 GiB of mirrors, packs of 1 GiB with files of 100 MiB (GitHub takes no larger ones) and 4
    /// GiB unpacked, and 20 MiB of refs; https and ssh.
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
        }
    }
}

/// How old the knowledge of an upstream's refs may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// At most this old; callers within the time share one look.
    MaxAge(Duration),
    /// Looked at after the call began; callers that wait at the same time still share looks.
    Now,
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
/// All calls block the thread that makes them, at most until their deadline (and a moment of local
/// disk work): from async code, use `spawn_blocking`.
#[derive(Debug)]
pub struct Mirrors {
    config: MirrorConfig,
    pub(super) storage: Storage,
    /// Keys the names of mirrors, so that a folder's name tells nothing of a password.
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

    /// Ends what goes on, and everything that is called from now on: all calls return within a
    /// moment, with [`Error::Unreachable`].
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    fn patience(&self, deadline: Instant) -> Patience {
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
        self.config.transports.check(&upstream.url)?;
        let entered = Instant::now();
        let mirror = self.mirror(upstream)?;
        if let Some(commit) = refs::full_commit(want)?
            && mirror.held_commits().is_ok_and(|held| held.contains(&commit))
        {
            return Ok(Resolved::pinned(commit));
        }
        let oldest = match freshness {
            Freshness::MaxAge(age) => entered.checked_sub(age),
            Freshness::Now => Some(entered),
        };
        let wanted = LookFor {
            entered,
            oldest,
            patience: self.patience(deadline),
        };
        let listed = self.look(&mirror, upstream, &wanted)?;
        refs::find(&upstream.url, &listed, want, &|_| Vec::new())
    }

    /// Resolves a ref and gives the files of its commit, once more where it moved in between.
    ///
    /// # Errors
    ///
    /// Those of [`Mirrors::resolve`] and [`Mirrors::snapshot`].
    pub fn fetch(
        &self,
        upstream: &Upstream,
        want: &RefSpec,
        freshness: Freshness,
        deadline: Instant,
    ) -> Result<Snapshot, Error> {
        let once = || {
            let resolved = self.resolve(upstream, want, freshness, deadline)?;
            self.snapshot(upstream, &resolved, deadline)
        };
        match once() {
            Err(Error::Moved { .. }) => once(),
            outcome => outcome,
        }
    }

    /// Gives a commit's files, fetching them where they are not held.
    ///
    /// A damaged mirror is thrown away and fetched anew, once. Where a signature is asked for
    /// ([`Resolved::requiring`]), it is checked each time.
    ///
    /// # Errors
    ///
    /// [`Error::Unverified`]; [`Error::Moved`] where the server does not give the commit of a
    /// branch or tag (any more), which the next [`Mirrors::resolve`] looks at anew;
    /// [`Error::RefNotFound`] where it does not give one that was named; whatever keeps it from
    /// being fetched; [`Error::TooLarge`]; [`Error::BadPack`] where what the server sends is
    /// damaged.
    pub fn snapshot(
        &self,
        upstream: &Upstream,
        resolved: &Resolved,
        deadline: Instant,
    ) -> Result<Snapshot, Error> {
        self.config.transports.check(&upstream.url)?;
        let mirror = self.mirror(upstream)?;
        let patience = self.patience(deadline);
        let in_use = mirror.mark_in_use(&patience)?.ok_or_else(|| busy(upstream))?;
        // What is known to be whole does not wait for another commit's fetch.
        let store = match mirror.open_if_ready(resolved) {
            Some(store) => store,
            None => match self.store_with(&mirror, upstream, resolved, &patience) {
                Ok(store) => store,
                Err(error) => {
                    drop(in_use);
                    self.storage.discard_if_empty(&mirror.dir);
                    return Err(error);
                }
            },
        };
        let signed = verification::check(&store, resolved, &upstream.url).inspect_err(|error| {
            let is_damaged = matches!(error, Error::Corrupt { .. });
            mirror.damaged.fetch_or(is_damaged, Ordering::Relaxed);
        })?;
        let revision = resolved.revision.clone();
        let damaged = Arc::clone(&mirror.damaged);
        let snapshot = Snapshot::new(store, mirror.dir.clone(), revision, damaged, in_use)?;
        Ok(snapshot.signed_by(signed))
    }

    /// The mirror with the commit in it, fetched where it is not held.
    ///
    /// It is kept within the capacity.
    fn store_with(
        &self,
        mirror: &Mirror,
        upstream: &Upstream,
        resolved: &Resolved,
        patience: &Patience,
    ) -> Result<Store, Error> {
        let pass = mirror.disk.enter(patience).ok_or_else(|| busy(upstream))?;
        let lock = mirror.lock_for_writing(patience)?.ok_or_else(|| busy(upstream))?;
        if mirror.damaged.swap(false, Ordering::Relaxed) {
            self.rebuild(mirror, "a reader met damage")?;
        }
        let deadline = patience.deadline;
        let provided = match self.provide(mirror, upstream, resolved, deadline) {
            Err(Error::Corrupt { what, reason }) if mirror.dir.exists() => self
                .rebuild(mirror, &format!("{what}: {reason}"))
                .and_then(|()| self.provide(mirror, upstream, resolved, deadline)),
            outcome => outcome,
        };
        self.storage.measure_one(&mirror.dir);
        drop((pass, lock));
        if provided.is_ok() {
            self.storage.evict();
        }
        provided
    }

    /// Brings a commit to a branch, where that is still what it was.
    ///
    /// # Errors
    ///
    /// [`Error::Raced`] where the branch moved; [`Error::Rejected`] where the server does not take
    /// the commit; whatever keeps it from being reached. After [`Error::Unreachable`] and
    /// [`Error::Timeout`] the branch may have the commit or not: look before the next.
    pub fn push(
        &self,
        upstream: &Upstream,
        update: &BranchUpdate<'_>,
        deadline: Instant,
    ) -> Result<(), Error> {
        self.config.transports.check(&upstream.url)?;
        let session = self.session(upstream, Access::Write, self.config.max_refs, deadline)?;
        let pushed = push::push(&session, update);
        // Whatever came of it, what was seen of the branch before may not hold any more.
        if let Ok(mirror) = self.mirror(upstream)
            && let Some(pass) = mirror.look.enter(&self.patience(deadline))
        {
            *pass.value() = Look::default();
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

    fn mirror(&self, upstream: &Upstream) -> Result<Arc<Mirror>, Error> {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&self.key).map_err(|_| Error::Io {
            path: self.config.root.display().to_string(),
            reason: "the key of the mirrors' names is unusable".to_owned(),
        })?;
        upstream.identity(|bytes| mac.update(bytes));
        let digest = mac.finalize().into_bytes();
        let name = hex::encode(&digest[..16]);
        Ok(self.known.find_or_add(name, self.storage.root(), Instant::now()))
    }

    /// Lists the upstream's refs, or shares a list that is young enough.
    fn look(&self, mirror: &Mirror, upstream: &Upstream, wanted: &LookFor) -> Result<Arc<RefList>, Error> {
        let patience = &wanted.patience;
        let pass = mirror.look.enter(patience).ok_or_else(|| Error::Timeout {
            url: upstream.url.to_string(),
            step: "waiting for another look at the same upstream",
        })?;
        {
            let last = pass.value();
            if let Some(begun) = last.begun
                && wanted.oldest.is_none_or(|oldest| begun >= oldest)
            {
                return Ok(Arc::clone(&last.refs));
            }
            if let Some((ended, error)) = &last.failed
                && *ended >= wanted.entered
            {
                return Err(error.clone());
            }
        }
        let begun = Instant::now();
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
                    refs: Arc::clone(&refs),
                    failed: None,
                };
                drop(last);
                self.known.bound_refs();
                Ok(refs)
            }
            Err(error) => {
                // Where this caller's own time is over, that tells others nothing of the server.
                if !patience.is_over() {
                    last.failed = Some((Instant::now(), error.clone()));
                }
                Err(error)
            }
        }
    }

    /// Makes the commit be held and verified.
    ///
    /// The caller has the mirror's lock.
    fn provide(
        &self,
        mirror: &Mirror,
        upstream: &Upstream,
        resolved: &Resolved,
        deadline: Instant,
    ) -> Result<Store, Error> {
        let commit = resolved.commit();
        let limits = PackLimits {
            packed: self.config.max_pack,
            object: self.config.max_object,
            unpacked: self.config.max_unpacked,
        };
        let session = self.session(upstream, Access::Read, self.config.max_refs, deadline)?;
        let check = || session.check("checking the commit");
        let mut opened = Store::open(&mirror.dir)?;
        if let Some(store) = opened.take_if(|store| is_held(store, resolved)) {
            mirror.verify(&store, commit, &check)?;
            return Ok(store);
        }
        if let Some(store) = &opened {
            store.sweep()?;
            if store.too_many_packs()? {
                opened = None;
                self.rebuild(mirror, "it has many packs")?;
            }
        }
        let store = if let Some(store) = opened {
            store
        } else {
            // It may have been evicted since.
            mirror.forget_verified();
            Store::create(&mirror.dir)?
        };
        let mut haves = Vec::new();
        for commit in store.held_commits()?.into_iter().take(MAX_HAVES) {
            mirror.verify(&store, commit, &check)?;
            haves.push(commit);
        }
        let mut reserved: Reservation<'_> = self.storage.reserve();
        self.counters.fetches.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        // What goes around the pack, such as progress, is counted as well.
        let largest = limits.packed.saturating_add(self.config.max_refs);
        wire::fetch(&session, resolved.want, &haves, largest, &mut |pack| {
            let mut reserve = |bytes| reserved.grow_to(bytes);
            store.receive(pack, limits, &mut reserve, &|| {
                session.check("receiving the pack")
            })
        })
        .map_err(|error| Self::explain(error, mirror, upstream, resolved))
        .and_then(|()| mirror.verify(&store, commit, &check))
        .map_err(|error| match error {
            // Nothing that was stored before has a part in it.
            Error::Corrupt { reason, .. } if haves.is_empty() => Error::BadPack {
                url: upstream.url.to_string(),
                reason,
            },
            error => error,
        })?;
        store.mark_held(commit)?;
        tracing::info!(url = %upstream.url, revision = %resolved.revision, seconds = begun.elapsed().as_secs_f64(),
            "fetched");
        Ok(store)
    }

    /// A server that does not give a commit has lost it, or never had it.
    ///
    /// Where it listed it, that is out of date.
    fn explain(error: Error, mirror: &Mirror, upstream: &Upstream, resolved: &Resolved) -> Error {
        match error {
            Error::Declined { reason, .. } if lacks_object(&reason) => {
                mirror.look.value().begun = None;
                let (url, commit) = (&upstream.url, resolved.commit().to_string());
                match resolved.revision.name() {
                    Some(name) => Error::Moved {
                        url: url.to_string(),
                        name: name.to_owned(),
                        commit,
                    },
                    None => refs::not_found(url, &commit),
                }
            }
            error => error,
        }
    }

    fn rebuild(&self, mirror: &Mirror, reason: &str) -> Result<(), Error> {
        tracing::warn!(mirror = %mirror.dir.display(), reason, "throwing a mirror away to fetch it anew");
        self.counters.rebuilds.fetch_add(1, Ordering::Relaxed);
        mirror.forget_verified();
        store::remove(&mirror.dir)
    }
}

/// Another fetch of the same upstream takes too long.
fn busy(upstream: &Upstream) -> Error {
    Error::Timeout {
        url: upstream.url.to_string(),
        step: "waiting for another fetch of the same upstream",
    }
}

/// What a caller wants of a look.
struct LookFor {
    /// When it came.
    entered: Instant,
    /// When the look has to have begun at the earliest; any time where there is none.
    oldest: Option<Instant>,
    patience: Patience,
}

impl Drop for Mirrors {
    /// Does not wait for the network, so that it may happen anywhere, in async code too.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
