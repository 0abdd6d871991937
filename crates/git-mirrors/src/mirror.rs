//! One mirror, and what this process remembers of it and of the others.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use super::gate::{self, Gate, Lock, Patience, locked};
use super::path_content::KnownContents;
use super::refs::{RefList, Resolved};
use super::store::{Extent, Store};
use super::{Error, Oid};

/// How long a mirror is remembered without being asked for.
///
/// A forgotten one is looked at again.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// How much memory the lists of refs of all mirrors may take, in bytes.
///
/// The most recently used stay.
const REMEMBERED_REFS: usize = 64 << 20;

/// Fails once work has to stop: its deadline has passed, or the process is ending.
pub(super) type CancelCheck<'a> = &'a dyn Fn() -> Result<(), Error>;

/// One upstream, reached one way with one set of credentials
/// ([`Upstream::identity`](super::Upstream::identity)).
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) dir: PathBuf,
    pub(super) look: Gate<Look>,
    pub(super) write_gate: Gate<()>,
    /// The commits that this process verified, with the extent.
    verified: Mutex<HashSet<(Oid, Extent)>>,
    /// Set by a reader that met damage; the next caller rebuilds.
    pub(super) damaged: Arc<AtomicBool>,
    /// Whether whole commits are fetched: the server offers to filter but does not, or does not
    /// give out single objects.
    pub(super) fetch_whole: AtomicBool,
    /// The last request for a history that was too large, with its error.
    pub(super) oversized_history: Mutex<Option<(String, Error)>>,
    /// What paths of commits were found to hold.
    contents: Mutex<KnownContents>,
    /// When it was last asked for.
    last_used: Mutex<Instant>,
}

/// The last look at an upstream's refs.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) begun: Option<Instant>,
    /// When it began, by the wall clock; `None` if another process kept it.
    pub(super) begun_at: Option<SystemTime>,
    pub(super) refs: Arc<RefList>,
    /// The last look, if it failed because of the server.
    pub(super) failed: Option<FailedLook>,
}

/// A look that failed. It answers the callers that waited for it, and those that come while the
/// server is left alone.
#[derive(Debug)]
pub(super) struct FailedLook {
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    pub(super) error: Error,
}

impl Mirror {
    fn new(dir: PathBuf, now: Instant) -> Self {
        Self {
            dir,
            look: Gate::default(),
            write_gate: Gate::default(),
            verified: Mutex::default(),
            damaged: Arc::default(),
            fetch_whole: AtomicBool::new(false),
            oversized_history: Mutex::default(),
            contents: Mutex::default(),
            last_used: Mutex::new(now),
        }
    }

    /// The folder's name.
    pub(super) fn name(&self) -> &str {
        let name = self.dir.file_name().and_then(|name| name.to_str());
        name.unwrap_or_default()
    }

    fn last_use(&self) -> MutexGuard<'_, Instant> {
        locked(&self.last_used)
    }

    pub(super) fn known_contents(&self) -> MutexGuard<'_, KnownContents> {
        locked(&self.contents)
    }

    fn verified(&self) -> MutexGuard<'_, HashSet<(Oid, Extent)>> {
        locked(&self.verified)
    }

    /// Checks, once per process, that this much of a commit is there; returns how much is.
    pub(super) fn verify(
        &self,
        store: &Store,
        commit: Oid,
        extent: Extent,
        check: CancelCheck<'_>,
    ) -> Result<Extent, Error> {
        if self.verified().contains(&(commit, extent)) {
            return Ok(extent);
        }
        let there = store.verify(commit, extent, check)?;
        self.verified().insert((commit, there));
        Ok(there)
    }

    /// Forgets which commits were verified, because the mirror is about to be replaced.
    pub(super) fn forget_verified(&self) {
        self.verified().clear();
    }

    /// Opens the mirror and returns how much it holds of the commit, if that is enough and was
    /// verified.
    ///
    /// The caller keeps it from eviction.
    pub(super) fn open_if_ready(&self, resolved: &Resolved, extent: Extent) -> Option<(Store, Extent)> {
        let is_verified = |extent| self.verified().contains(&(resolved.commit(), extent));
        if self.damaged.load(Ordering::Relaxed) || !(is_verified(extent) || is_verified(Extent::Whole)) {
            return None;
        }
        let store = Store::open(&self.dir).ok().flatten()?;
        let there = held_extent(&store, resolved).filter(|there| *there >= extent && is_verified(*there))?;
        Some((store, there))
    }

    /// Whether a commit is held, even if only in part, as far as the disk shows without a lock: it
    /// reads names only, so nothing half-written is seen.
    pub(super) fn holds(&self, commit: Oid) -> bool {
        let store = Store::open(&self.dir).ok().flatten();
        store.is_some_and(|store| store.held_extent(commit).is_some())
    }

    /// Keeps the mirror from eviction while the file is open, and notes the time of use.
    ///
    /// `None` when patience is over.
    pub(super) fn mark_in_use(&self, patience: &Patience) -> Result<Option<File>, Error> {
        let path = self.dir.with_extension(gate::USE_EXTENSION);
        let Some(file) = gate::lock_until(&path, Lock::Shared, patience)? else {
            return Ok(None);
        };
        file.set_modified(SystemTime::now())
            .map_err(|error| Error::io(&path, &error))?;
        Ok(Some(file))
    }

    /// Keeps other processes from writing while the file is open.
    ///
    /// `None` when patience is over.
    pub(super) fn lock_for_writing(&self, patience: &Patience) -> Result<Option<File>, Error> {
        gate::lock_until(
            &self.dir.with_extension(gate::LOCK_EXTENSION),
            Lock::Exclusive,
            patience,
        )
    }
}

/// How much is held of the commit; `None` if the tag whose signature is required is missing: the
/// commit may have come by a branch.
pub(super) fn held_extent(store: &Store, resolved: &Resolved) -> Option<Extent> {
    let held = store.held_extent(resolved.commit())?;
    let has_tag = resolved.needed_tag().is_none_or(|tag| store.has_object(tag));
    has_tag.then_some(held)
}

/// The mirrors that this process knows, by their names.
#[derive(Debug, Default)]
pub(super) struct KnownMirrors(Mutex<HashMap<String, Arc<Mirror>>>);

impl KnownMirrors {
    fn mirrors(&self) -> MutexGuard<'_, HashMap<String, Arc<Mirror>>> {
        locked(&self.0)
    }

    /// Returns the mirror of a name below `root`.
    ///
    /// Adding a new one forgets those that were not asked for in a long time: logins change.
    pub(super) fn find_or_add(&self, name: String, root: &Path, now: Instant) -> Arc<Mirror> {
        let mut known = self.mirrors();
        if let Some(mirror) = known.get(&name) {
            *mirror.last_use() = now;
            return Arc::clone(mirror);
        }
        known.retain(|_, mirror| {
            Arc::strong_count(mirror) > 1 || now.saturating_duration_since(*mirror.last_use()) < REMEMBERED
        });
        let mirror = Arc::new(Mirror::new(root.join(&name), now));
        known.insert(name, Arc::clone(&mirror));
        mirror
    }

    /// Forgets the least recently used lists of refs until the rest fits.
    pub(super) fn bound_refs(&self) {
        let known = self.mirrors();
        let mut listed: Vec<(Instant, &Arc<Mirror>)> = known
            .values()
            .map(|mirror| (*mirror.last_use(), mirror))
            .collect();
        listed.sort_unstable_by_key(|(last_used, _)| std::cmp::Reverse(*last_used));
        let mut total = 0;
        for (_, mirror) in listed {
            let mut look = mirror.look.value();
            total += look.refs.bytes();
            if total > REMEMBERED_REFS {
                total -= look.refs.bytes();
                (look.begun, look.begun_at) = (None, None);
                look.refs = Arc::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_of_past_logins_are_forgotten_and_those_in_use_are_not() {
        let known = KnownMirrors::default();
        let begin = Instant::now();
        let minute = |minute: u64| begin + Duration::from_secs(60 * minute);
        let ask = |name: &str, at| known.find_or_add(name.to_owned(), Path::new("/m"), at);
        drop(ask("old", minute(0)));
        let held = ask("held", minute(0));
        drop(ask("asked", minute(0)));
        drop(ask("asked", minute(5)));
        drop(ask("new", minute(62)));
        let known = known.mirrors();
        let mut names: Vec<&str> = known.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["asked", "held", "new"]);
        assert_eq!(held.dir, Path::new("/m/held"));
    }
}
