//! All mirrors: who looks, who fetches, what is evicted.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use hmac::{Hmac, KeyInit, Mac};
use tokio::runtime::Runtime;

use super::error::hex;
use super::gate::{self, Gate};
use super::push::{self, Update};
use super::refs::{self, RefSpec, RemoteRef, Resolved};
use super::session::{Session, Timeouts};
use super::snapshot::Snapshot;
use super::store::{self, Store};
use super::{Error, Expected, Made, Oid, Transports, Upstream, space, wire};

/// How many held commits a server is told of.
const MAX_HAVES: usize = 16;

/// How long a mirror that nobody asks for is remembered: longer than most intervals. What is forgotten is looked at anew.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

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
    /// Bytes of one pack.
    pub max_pack: u64,
    /// Bytes of one list of refs. Servers with the protocol's version 2 send branches and tags only.
    pub max_refs: u64,
}

impl MirrorConfig {
    /// 10 GiB of mirrors, packs of 1 GiB and 64 MiB of refs; https and ssh.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            capacity: 10 << 30,
            transports: Transports::SECURE,
            timeouts: Timeouts::default(),
            max_pack: 1 << 30,
            max_refs: 64 << 20,
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
    pub(super) counters: Counters,
    runtime: Option<Runtime>,
}

/// One upstream, seen with one set of credentials.
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
    refs: Arc<Vec<RemoteRef>>,
    /// A look that failed, and when: who waited for it need not try again.
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
    fn verify(&self, store: &Store, commit: Oid) -> Result<(), Error> {
        if !self.verified().contains(&commit) {
            store.verify(commit)?;
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
            counters: Counters::default(),
            runtime: Some(runtime),
        };
        mirrors.sweep()?;
        Ok(mirrors)
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
        let listed = self.look(&mirror, upstream, entered, oldest, deadline)?;
        let held = |digits: &str| -> Vec<Oid> {
            let found = Self::held(&mirror).unwrap_or_default();
            found
                .into_iter()
                .filter(|oid| oid.to_string().starts_with(digits))
                .collect()
        };
        refs::find(&upstream.url, &listed, want, &held)
    }

    /// Gives a commit's files, fetching them where they are not held. A damaged mirror is thrown away and fetched
    /// anew, once. Where a signature is asked for ([`Resolved::requiring`]), it is checked each time.
    ///
    /// # Errors
    ///
    /// [`Error::Unverified`]; [`Error::RefNotFound`] where the server does not give the commit (any more); whatever keeps it from being
    /// fetched; [`Error::TooLarge`]; [`Error::Corrupt`] where what the server sends is damaged.
    pub fn snapshot(
        &self,
        upstream: &Upstream,
        resolved: &Resolved,
        deadline: Instant,
    ) -> Result<Snapshot, Error> {
        self.config.transports.check(&upstream.url)?;
        let mirror = self.mirror(upstream)?;
        let in_use = Self::mark_in_use(&mirror)?;
        let snapshot = |store| {
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
            return snapshot(store);
        }
        let timeout = || Error::Timeout {
            url: upstream.url.to_string(),
            step: "waiting for another fetch of the same upstream",
        };
        let pass = mirror.disk.enter(deadline).ok_or_else(timeout)?;
        let lock = gate::lock_until(&mirror.beside("lock"), deadline)?.ok_or_else(timeout)?;
        if mirror.damaged.swap(false, Ordering::Relaxed) {
            self.rebuild(&mirror, "a reader met damage")?;
        }
        let store = match self.provide(&mirror, upstream, resolved, deadline) {
            Err(Error::Corrupt { what, reason }) if mirror.dir.exists() => {
                self.rebuild(&mirror, &format!("{what}: {reason}"))?;
                self.provide(&mirror, upstream, resolved, deadline)?
            }
            outcome => outcome?,
        };
        drop((pass, lock));
        self.evict();
        snapshot(store)
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
        let session = self.session(upstream, self.config.max_refs, deadline)?;
        let update = Update {
            branch,
            expected,
            new: made.id,
            pack: &made.pack,
        };
        let pushed = push::push(&session, &update);
        // Whatever came of it, what was seen of the branch before may not hold any more.
        if let Ok(mirror) = self.mirror(upstream)
            && let Some(pass) = mirror.look.enter(deadline)
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

    /// Bytes that the mirrors take on disk.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.mirrors_on_disk().iter().map(|dir| store::size(dir)).sum()
    }

    pub(super) fn session(
        &self,
        upstream: &Upstream,
        limit: u64,
        deadline: Instant,
    ) -> Result<Arc<Session>, Error> {
        let runtime = self.runtime.as_ref().ok_or_else(|| Error::Unreachable {
            url: upstream.url.to_string(),
            reason: "shutting down".to_owned(),
        })?;
        Ok(Session::new(
            runtime.handle().clone(),
            upstream,
            self.config.transports,
            self.config.timeouts,
            deadline,
            limit,
            Arc::clone(&self.counters.received),
        ))
    }

    fn mirror(&self, upstream: &Upstream) -> Result<Arc<Mirror>, Error> {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&self.key).map_err(|_| Error::Io {
            path: self.config.root.display().to_string(),
            reason: "the key of the mirrors' names is unusable".to_owned(),
        })?;
        upstream.identity(|bytes| mac.update(bytes));
        let digest = mac.finalize().into_bytes();
        let name = hex(&digest[..16]);
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
    fn look(
        &self,
        mirror: &Mirror,
        upstream: &Upstream,
        entered: Instant,
        oldest: Option<Instant>,
        deadline: Instant,
    ) -> Result<Arc<Vec<RemoteRef>>, Error> {
        let pass = mirror.look.enter(deadline).ok_or_else(|| Error::Timeout {
            url: upstream.url.to_string(),
            step: "waiting for another look at the same upstream",
        })?;
        {
            let last = pass.value();
            if let Some(begun) = last.begun
                && oldest.is_none_or(|oldest| begun >= oldest)
            {
                return Ok(Arc::clone(&last.refs));
            }
            if let Some((ended, error)) = &last.failed
                && *ended >= entered
            {
                return Err(error.clone());
            }
        }
        let begun = Instant::now();
        self.counters.looks.fetch_add(1, Ordering::Relaxed);
        let session = self.session(upstream, self.config.max_refs, deadline)?;
        let looked = wire::look(&session);
        let mut last = pass.value();
        match looked {
            Ok(found) => {
                tracing::debug!(url = %upstream.url, refs = found.len(), "listed refs");
                *last = Look {
                    begun: Some(begun),
                    refs: Arc::new(found),
                    failed: None,
                };
                Ok(Arc::clone(&last.refs))
            }
            Err(error) => {
                last.failed = Some((Instant::now(), error.clone()));
                Err(error)
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
        let mut opened = Store::open(&mirror.dir)?;
        if let Some(store) = opened.take_if(|store| is_held(store, resolved)) {
            mirror.verify(&store, commit)?;
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
            mirror.verify(&store, commit)?;
            haves.push(commit);
        }
        let limit = self.config.max_pack.saturating_add(self.config.max_refs);
        let session = self.session(upstream, limit, deadline)?;
        self.counters.fetches.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        wire::fetch(&session, resolved.want, &haves, &mut |pack| {
            store.receive(pack, self.config.max_pack, || session.check("receiving the pack"))
        })
        .map_err(|error| Self::explain(error, mirror, upstream, commit))?;
        mirror.verify(&store, commit)?;
        store.hold(commit)?;
        tracing::info!(url = %upstream.url, revision = %resolved.revision, seconds = begun.elapsed().as_secs_f64(),
            "fetched");
        Ok(store)
    }

    /// A server that does not give a commit has lost it, or never had it.
    fn explain(error: Error, mirror: &Mirror, upstream: &Upstream, commit: Oid) -> Error {
        match error {
            Error::Declined { reason, .. }
                if reason.contains("not our ref") || reason.contains("unadvertised") =>
            {
                // Whatever was listed is out of date.
                if let Some(pass) = mirror.look.enter(Instant::now()) {
                    pass.value().begun = None;
                }
                refs::not_found(&upstream.url, &commit.to_string())
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

    /// Keeps the mirror from eviction while the file is open, and notes the time of use.
    fn mark_in_use(mirror: &Mirror) -> Result<File, Error> {
        let path = mirror.beside("use");
        let failed = |error: &std::io::Error| Error::io(&path, error);
        let file = gate::lock_file(&path)?;
        file.lock_shared().map_err(|error| failed(&error))?;
        file.set_modified(SystemTime::now())
            .map_err(|error| failed(&error))?;
        Ok(file)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_of_past_logins_are_forgotten_and_those_in_use_are_not() {
        let mut known = HashMap::new();
        let begin = Instant::now();
        let hour = |hour: u64| begin + Duration::from_secs(3600 * hour);
        let mut ask = |name: &str, at| remembered(&mut known, name.to_owned(), Path::new("/m"), at);
        drop(ask("old", hour(0)));
        let held = ask("held", hour(0));
        drop(ask("asked", hour(0)));
        drop(ask("asked", hour(2)));
        drop(ask("new", hour(25)));
        let mut names: Vec<&str> = known.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["asked", "held", "new"]);
        assert_eq!(held.dir, Path::new("/m/held"));
    }
}
