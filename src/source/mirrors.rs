//! All mirrors: who looks, who fetches, what is evicted.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::gate::{self, Gate, Lock, Patience};
use super::pack::PackLimits;
use super::push::{self, Update};
use super::refs::{self, RefList, RefSpec, Resolved};
use super::session::{Access, Bounds, Session, Timeouts, lacks_object};
use super::snapshot::Snapshot;
use super::space::{self, Room};
use super::store::{self, Store};
use super::{Error, Expected, Made, Oid, Transports, Upstream, wire};

/// How many held commits a server is told of.
const MAX_HAVES: usize = 16;

/// How long a mirror that nobody asks for is remembered. What is forgotten is looked at anew.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// What the lists of refs of all mirrors may take in memory, in bytes. Those asked for last stay.
const REMEMBERED_REFS: usize = 64 << 20;

/// Where mirrors live, and what bounds them.
#[derive(Clone, Debug)]
pub struct MirrorConfig {
    /// The folder, made where it is missing. Several processes may share it.
    pub root: PathBuf,
    /// Bytes on disk beyond which the mirror that was not used for longest goes. Those in use stay.
    pub capacity: u64,
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
    /// Bytes of one list of refs. Servers with the protocol's version 2 send branches and tags only.
    pub max_refs: u64,
}

impl MirrorConfig {
    /// 10 GiB of mirrors, packs of 1 GiB with files of 100 MiB (GitHub takes no larger ones) and 4 GiB unpacked, and
    /// 20 MiB of refs; https and ssh.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            capacity: 10 << 30,
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
pub(super) struct Counters {
    received: Arc<AtomicU64>,
    looks: AtomicU64,
    fetches: AtomicU64,
    rebuilds: AtomicU64,
    pub(super) evictions: AtomicU64,
}

/// The mirrors of all upstreams.
///
/// All calls block the thread that makes them, at most until their deadline (and a moment of local disk work):
/// from async code, use `spawn_blocking`.
#[derive(Debug)]
pub struct Mirrors {
    pub(super) config: MirrorConfig,
    /// Keys the names of mirrors, so that a folder's name tells nothing of a password.
    key: Vec<u8>,
    known: Mutex<HashMap<String, Arc<Mirror>>>,
    pub(super) room: Mutex<Room>,
    pub(super) counters: Counters,
    /// Becomes true when the process ends.
    closing: watch::Sender<bool>,
    runtime: Option<Runtime>,
}

/// One upstream, reached one way with one set of credentials ([`Upstream::identity`]).
#[derive(Debug)]
struct Mirror {
    dir: PathBuf,
    look: Gate<Look>,
    disk: Gate<()>,
    /// Commits that this process found whole.
    verified: Mutex<HashSet<Oid>>,
    /// Set by a reader that met damage; the next caller rebuilds.
    damaged: Arc<AtomicBool>,
    /// When it was last asked for.
    used: Mutex<Instant>,
}

/// The last look at an upstream's refs.
#[derive(Debug, Default)]
struct Look {
    begun: Option<Instant>,
    refs: Arc<RefList>,
    /// A look that failed by the server's doing, and when: who waited for it need not try again.
    failed: Option<(Instant, Error)>,
}

impl Mirror {
    fn new(dir: PathBuf, now: Instant) -> Self {
        Self {
            dir,
            look: Gate::default(),
            disk: Gate::default(),
            verified: Mutex::default(),
            damaged: Arc::default(),
            used: Mutex::new(now),
        }
    }

    fn used(&self) -> MutexGuard<'_, Instant> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        self.dir.with_extension(suffix)
    }

    fn verified(&self) -> MutexGuard<'_, HashSet<Oid>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks a commit once a process.
    fn verify(&self, store: &Store, commit: Oid, check: Check<'_>) -> Result<(), Error> {
        if !self.verified().contains(&commit) {
            store.verify(commit, check)?;
            self.verified().insert(commit);
        }
        Ok(())
    }

    /// The mirror, where it holds the commit and that was found whole. The caller keeps it from eviction.
    fn ready(&self, resolved: &Resolved) -> Option<Store> {
        if self.damaged.load(Ordering::Relaxed) || !self.verified().contains(&resolved.commit()) {
            return None;
        }
        let store = Store::open(&self.dir).ok().flatten()?;
        is_held(&store, resolved).then_some(store)
    }
}

/// Whether the commit is held, and the tag where its signature is asked for: the commit may have come by a branch.
fn is_held(store: &Store, resolved: &Resolved) -> bool {
    store.holds(resolved.commit()) && resolved.needed_tag().is_none_or(|tag| store.has(tag))
}

/// Stops what takes long.
type Check<'a> = &'a dyn Fn() -> Result<(), Error>;

/// The mirror of a name. Where it is a new one, those are forgotten that nobody asked for in a long time: logins change.
fn remembered(
    known: &mut HashMap<String, Arc<Mirror>>,
    name: String,
    root: &Path,
    now: Instant,
) -> Arc<Mirror> {
    if let Some(mirror) = known.get(&name) {
        *mirror.used() = now;
        return Arc::clone(mirror);
    }
    known.retain(|_, mirror| {
        Arc::strong_count(mirror) > 1 || now.saturating_duration_since(*mirror.used()) < REMEMBERED
    });
    let mirror = Arc::new(Mirror::new(root.join(&name), now));
    known.insert(name, Arc::clone(&mirror));
    mirror
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
        let root = &config.root;
        fs::create_dir_all(root).map_err(|error| Error::io(root, &error))?;
        let key = space::key(root)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("source-io")
            .enable_all()
            .build()
            .map_err(|error| Error::io(root, &error))?;
        let mirrors = Self {
            config,
            key,
            known: Mutex::default(),
            room: Mutex::default(),
            counters: Counters::default(),
            closing: watch::Sender::new(false),
            runtime: Some(runtime),
        };
        mirrors.sweep()?;
        mirrors.measure();
        Ok(mirrors)
    }

    /// Ends what goes on, and everything that is called from now on: all calls return within a moment, with
    /// [`Error::Unreachable`].
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    fn patience(&self, deadline: Instant) -> Patience {
        Patience {
            deadline,
            closing: self.closing.subscribe(),
        }
    }

    /// Finds the commit that a ref stands for. A commit named in full that is held already costs no network.
    ///
    /// # Errors
    ///
    /// [`Error::RefNotFound`], [`Error::RefInvalid`], and whatever keeps the upstream from being looked at.
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
            && Self::held(&mirror).is_ok_and(|held| held.contains(&commit))
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

    /// Gives a commit's files, fetching them where they are not held. A damaged mirror is thrown away and fetched
    /// anew, once. Where a signature is asked for ([`Resolved::requiring`]), it is checked each time.
    ///
    /// # Errors
    ///
    /// [`Error::Unverified`]; [`Error::Moved`] where the server does not give the commit of a branch or tag (any more), which the next
    /// [`Mirrors::resolve`] looks at anew; [`Error::RefNotFound`] where it does not give one that was named; whatever keeps it from being
    /// fetched; [`Error::TooLarge`]; [`Error::BadPack`] where what the server sends is damaged.
    pub fn snapshot(
        &self,
        upstream: &Upstream,
        resolved: &Resolved,
        deadline: Instant,
    ) -> Result<Snapshot, Error> {
        self.config.transports.check(&upstream.url)?;
        let mirror = self.mirror(upstream)?;
        let patience = self.patience(deadline);
        let timeout = || Error::Timeout {
            url: upstream.url.to_string(),
            step: "waiting for another fetch of the same upstream",
        };
        let in_use = Self::mark_in_use(&mirror, &patience)?.ok_or_else(timeout)?;
        let snapshot = |store, in_use| {
            let revision = resolved.revision.clone();
            let requirement = resolved.requirement.as_ref();
            let signed = requirement
                .map(|requirement| requirement.check(&store, resolved, &upstream.url))
                .transpose()
                .inspect_err(|error| {
                    let is_damaged = matches!(error, Error::Corrupt { .. });
                    mirror.damaged.fetch_or(is_damaged, Ordering::Relaxed);
                })?;
            Snapshot::new(
                store,
                mirror.dir.clone(),
                revision,
                Arc::clone(&mirror.damaged),
                in_use,
            )
            .map(|snapshot| snapshot.signed_by(signed))
        };
        // What is known to be whole does not wait for another commit's fetch.
        if let Some(store) = mirror.ready(resolved) {
            return snapshot(store, in_use);
        }
        let pass = mirror.disk.enter(&patience).ok_or_else(timeout)?;
        let lock =
            gate::lock_until(&mirror.beside("lock"), Lock::Exclusive, &patience)?.ok_or_else(timeout)?;
        if mirror.damaged.swap(false, Ordering::Relaxed) {
            self.rebuild(&mirror, "a reader met damage")?;
        }
        let provided = match self.provide(&mirror, upstream, resolved, deadline) {
            Err(Error::Corrupt { what, reason }) if mirror.dir.exists() => self
                .rebuild(&mirror, &format!("{what}: {reason}"))
                .and_then(|()| self.provide(&mirror, upstream, resolved, deadline)),
            outcome => outcome,
        };
        self.measure_one(&mirror.dir);
        match provided {
            Ok(store) => {
                drop((pass, lock));
                self.evict();
                snapshot(store, in_use)
            }
            Err(error) => {
                drop(in_use);
                self.discard_if_empty(&mirror.dir, lock);
                Err(error)
            }
        }
    }

    /// Brings a commit to a branch, where that is still what it was.
    ///
    /// # Errors
    ///
    /// [`Error::Raced`] where the branch moved; [`Error::Rejected`] where the server does not take the commit; whatever
    /// keeps it from being reached. After [`Error::Unreachable`] and [`Error::Timeout`] the branch may have the commit
    /// or not: look before the next.
    pub fn push(
        &self,
        upstream: &Upstream,
        branch: &str,
        expected: Expected,
        made: &Made,
        deadline: Instant,
    ) -> Result<(), Error> {
        self.config.transports.check(&upstream.url)?;
        let session = self.session(upstream, Access::Write, self.config.max_refs, deadline)?;
        let update = Update {
            branch,
            expected,
            new: made.id,
            pack: &made.pack,
        };
        let pushed = push::push(&session, &update);
        // Whatever came of it, what was seen of the branch before may not hold any more.
        if let Ok(mirror) = self.mirror(upstream)
            && let Some(pass) = mirror.look.enter(&self.patience(deadline))
        {
            *pass.value() = Look::default();
        }
        pushed?;
        tracing::info!(url = %upstream.url, branch, commit = %made.id, "pushed");
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
            evictions: load(&self.counters.evictions),
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
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(remembered(&mut known, name, &self.config.root, Instant::now()))
    }

    /// The commits held, as far as the disk tells without a lock: names only, so nothing half-written is seen.
    fn held(mirror: &Mirror) -> Result<Vec<Oid>, Error> {
        match Store::open(&mirror.dir)? {
            Some(store) => store.held(),
            None => Ok(Vec::new()),
        }
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
                self.bound_refs();
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

    /// Forgets the lists of refs that were not asked for for longest, until the rest fits.
    fn bound_refs(&self) {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut listed: Vec<(Instant, &Arc<Mirror>)> =
            known.values().map(|mirror| (*mirror.used(), mirror)).collect();
        listed.sort_unstable_by_key(|(used, _)| std::cmp::Reverse(*used));
        let mut total = 0;
        for (_, mirror) in listed {
            let mut look = mirror.look.value();
            total += look.refs.bytes();
            if total > REMEMBERED_REFS {
                total -= look.refs.bytes();
                look.begun = None;
                look.refs = Arc::default();
            }
        }
    }

    /// Makes the commit be held and verified. The caller has the mirror's lock.
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
            mirror.verified().clear();
            Store::create(&mirror.dir)?
        };
        let mut haves = Vec::new();
        for commit in store.held()?.into_iter().take(MAX_HAVES) {
            mirror.verify(&store, commit, &check)?;
            haves.push(commit);
        }
        let mut reserved = self.reserve();
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
        store.hold(commit)?;
        tracing::info!(url = %upstream.url, revision = %resolved.revision, seconds = begun.elapsed().as_secs_f64(),
            "fetched");
        Ok(store)
    }

    /// A server that does not give a commit has lost it, or never had it. Where it listed it, that is out of date.
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
        mirror.verified().clear();
        store::remove(&mirror.dir)
    }

    /// Keeps the mirror from eviction while the file is open, and notes the time of use. `None` when patience is over.
    fn mark_in_use(mirror: &Mirror, patience: &Patience) -> Result<Option<File>, Error> {
        let path = mirror.beside("use");
        let Some(file) = gate::lock_until(&path, Lock::Shared, patience)? else {
            return Ok(None);
        };
        file.set_modified(SystemTime::now())
            .map_err(|error| Error::io(&path, &error))?;
        Ok(Some(file))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_of_past_logins_are_forgotten_and_those_in_use_are_not() {
        let mut known = HashMap::new();
        let begin = Instant::now();
        let minute = |minute: u64| begin + Duration::from_secs(60 * minute);
        let mut ask = |name: &str, at| remembered(&mut known, name.to_owned(), Path::new("/m"), at);
        drop(ask("old", minute(0)));
        let held = ask("held", minute(0));
        drop(ask("asked", minute(0)));
        drop(ask("asked", minute(5)));
        drop(ask("new", minute(62)));
        let mut names: Vec<&str> = known.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["asked", "held", "new"]);
        assert_eq!(held.dir, Path::new("/m/held"));
    }
}
