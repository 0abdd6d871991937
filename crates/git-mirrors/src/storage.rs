//! The folder of all mirrors: its capacity, its leftovers, and the key of its names.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use super::Error;
use super::error;
use super::gate::{self, Lock, locked};
use super::kept_look;
use super::store::{self, Store};

/// How long making or removing a mirror may take before what is left of it counts as a leftover.
const HALF_MADE: Duration = Duration::from_secs(600);
/// The extensions of the lock files beside a mirror.
const LOCKS: [&str; 2] = [gate::USE_EXTENSION, gate::LOCK_EXTENSION];
/// What a fetch reserves at once, in bytes; less where the capacity is small.
const STEP: u64 = 8 << 20;

/// The folder of all mirrors, and how much of its capacity is taken.
#[derive(Debug)]
pub(super) struct Storage {
    root: PathBuf,
    /// Bytes on disk beyond which mirrors are evicted.
    capacity: u64,
    taken: Mutex<Taken>,
    /// Mirrors that were removed for space.
    evictions: AtomicU64,
}

/// How much of the capacity is taken, in bytes.
#[derive(Debug, Default)]
struct Taken {
    /// Each mirror, as it was when this process last measured it.
    mirrors: HashMap<PathBuf, u64>,
    /// The packs that are being fetched.
    reserved: u64,
}

impl Taken {
    fn stored(&self) -> u64 {
        self.mirrors.values().sum()
    }
}

/// Space for a pack that is being fetched.
///
/// It is given back on drop.
pub(super) struct Reservation<'a> {
    storage: &'a Storage,
    bytes: u64,
}

impl Reservation<'_> {
    /// Reserves space for this many bytes in all, evicting mirrors if needed.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the mirrors in use and the fetches under way leave none.
    pub(super) fn grow_to(&mut self, bytes: u64) -> Result<(), Error> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else {
            return Ok(());
        };
        let capacity = self.storage.capacity;
        let more = more.next_multiple_of(STEP.min(capacity / 32).max(1));
        loop {
            {
                let mut taken = self.storage.taken();
                if taken.stored().saturating_add(taken.reserved).saturating_add(more) <= capacity {
                    taken.reserved += more;
                    self.bytes += more;
                    return Ok(());
                }
            }
            if !self.storage.evict_oldest() {
                return Err(Error::Io {
                    path: self.storage.root.display().to_string(),
                    reason: format!(
                        "no room for another pack: the mirrors in use and the fetches under way take up the capacity \
                         of {} (--storage-capacity)",
                        error::bytes(capacity)
                    ),
                });
            }
        }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.storage.taken().reserved -= self.bytes;
    }
}

impl Storage {
    /// Opens the folder, creating it if missing, and removes what a crash left half-made.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where the folder cannot be made or read.
    pub(super) fn open(root: PathBuf, capacity: u64) -> Result<Self, Error> {
        fs::create_dir_all(&root).map_err(|error| Error::io(&root, &error))?;
        let storage = Self {
            root,
            capacity,
            taken: Mutex::default(),
            evictions: AtomicU64::new(0),
        };
        storage.sweep()?;
        storage.measure();
        Ok(storage)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        locked(&self.taken)
    }

    /// The folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Bytes that the mirrors take on disk, as they were when this process last measured each.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.taken().stored()
    }

    /// How many mirrors were removed for space.
    pub(super) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }

    /// Begins to reserve space.
    pub(super) fn reserve(&self) -> Reservation<'_> {
        Reservation {
            storage: self,
            bytes: 0,
        }
    }

    /// Reads the folder's key, or makes one.
    pub(super) fn key(&self) -> Result<Vec<u8>, Error> {
        let path = self.root.join("key");
        let read = || fs::read(&path).ok().filter(|key| key.len() == 32);
        if let Some(key) = read() {
            return Ok(key);
        }
        let mut fresh = [0; 32];
        let random: &dyn rustls::crypto::SecureRandom =
            rustls::crypto::ring::default_provider().secure_random;
        random.fill(&mut fresh).map_err(|_| Error::Io {
            path: path.display().to_string(),
            reason: "the system gives no random numbers".to_owned(),
        })?;
        let failed = |error: &std::io::Error| Error::io(&path, error);
        let mut file = tempfile::Builder::new()
            .prefix("key-")
            .tempfile_in(&self.root)
            .map_err(|error| failed(&error))?;
        std::io::Write::write_all(&mut file, &fresh).map_err(|error| failed(&error))?;
        match file.persist_noclobber(&path) {
            Ok(_) => Ok(fresh.to_vec()),
            // Another process was first, or the file is damaged.
            Err(error) => {
                if let Some(key) = read() {
                    return Ok(key);
                }
                error.file.persist(&path).map_err(|error| failed(&error.error))?;
                Ok(fresh.to_vec())
            }
        }
    }

    fn mirrors_on_disk(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| is_mirror(path) && path.is_dir())
            .collect()
    }

    /// Measures the mirrors that are not known yet, and forgets those that are gone: other
    /// processes may share the folder.
    fn measure(&self) {
        let there = self.mirrors_on_disk();
        let known = |dir: &PathBuf| self.taken().mirrors.contains_key(dir);
        let new: Vec<_> = there
            .iter()
            .filter(|dir| !known(dir))
            .map(|dir| (dir.clone(), size(dir)))
            .collect();
        let mut taken = self.taken();
        taken.mirrors.extend(new);
        taken.mirrors.retain(|dir, _| there.contains(dir));
    }

    /// Notes the changed size of the last look beside a mirror.
    pub(super) fn note_look(&self, dir: &Path, before: u64, now: u64) {
        if let Some(size) = self.taken().mirrors.get_mut(dir) {
            *size = size.saturating_sub(before).saturating_add(now);
        }
    }

    /// Measures a mirror that was written to.
    pub(super) fn measure_one(&self, dir: &Path) {
        let size = size(dir);
        self.taken().mirrors.insert(dir.to_owned(), size);
    }

    /// Removes the least recently used mirrors until the rest fits.
    ///
    /// One that is in use stays.
    pub(super) fn evict(&self) {
        while self.disk_bytes() > self.capacity && self.evict_oldest() {}
    }

    /// Removes the least recently used mirror of those that are not in use.
    ///
    /// Returns whether there was one.
    fn evict_oldest(&self) -> bool {
        self.measure();
        let used = |dir: &PathBuf| {
            let used = fs::metadata(dir.with_extension(gate::USE_EXTENSION)).and_then(|data| data.modified());
            used.unwrap_or(SystemTime::UNIX_EPOCH)
        };
        let mut mirrors: Vec<_> = self
            .taken()
            .mirrors
            .keys()
            .map(|dir| (used(dir), dir.clone()))
            .collect();
        mirrors.sort_unstable();
        for (_, dir) in mirrors {
            match remove_unless_used(&dir, |_| Ok(true)) {
                Ok(true) => {
                    let size = self.taken().mirrors.remove(&dir);
                    self.evictions.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(mirror = %dir.display(), bytes = size, "evicted a mirror");
                    return true;
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(mirror = %dir.display(), %error, "cannot evict a mirror"),
            }
        }
        false
    }

    /// Removes a mirror that holds nothing after a failed fetch, unless someone else is using it:
    /// then it is theirs to remove.
    pub(super) fn discard_if_empty(&self, dir: &Path) {
        let is_empty = |dir: &Path| Ok(Store::open(dir)?.is_none_or(|store| store.is_empty()));
        match remove_unless_used(dir, is_empty) {
            Ok(true) => drop(self.taken().mirrors.remove(dir)),
            Ok(false) => {}
            Err(error) => tracing::debug!(mirror = %dir.display(), %error, "cannot remove an empty mirror"),
        }
    }

    /// Removes what is half-made or half-removed, unless another process is working on it.
    fn sweep(&self) -> Result<(), Error> {
        let root = &self.root;
        for entry in fs::read_dir(root)
            .map_err(|error| Error::io(root, &error))?
            .flatten()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            let old = entry
                .metadata()
                .and_then(|data| data.modified())
                .is_ok_and(|time| time.elapsed().is_ok_and(|age| age > HALF_MADE));
            if (name.starts_with(store::NEW) || name.starts_with(store::OLD)) && old {
                // What cannot be removed now is tried again at the next start.
                let _ = fs::remove_dir_all(entry.path()).or_else(|_| fs::remove_file(entry.path()));
            }
            let dir = entry.path().with_extension("");
            let is_beside = entry.path().extension().is_some_and(|extension| {
                LOCKS.iter().any(|lock| extension == *lock) || extension == kept_look::EXTENSION
            });
            if is_beside && is_mirror(&dir) && !dir.exists() {
                // Left over from a mirror that was removed without them, unless another process is
                // about to make it.
                let _ = remove_unless_used(&dir, |_| Ok(true));
            }
        }
        Ok(())
    }
}

/// Removes a mirror if `may_go` says so, unless it is in use; returns whether it did.
///
/// No lock is waited for, so it does not matter here that fetches take `use` before `lock`.
fn remove_unless_used(dir: &Path, may_go: impl Fn(&Path) -> Result<bool, Error>) -> Result<bool, Error> {
    let Some(writer) = gate::try_lock(&dir.with_extension(gate::LOCK_EXTENSION), Lock::Exclusive)? else {
        return Ok(false);
    };
    let Some(users) = gate::try_lock(&dir.with_extension(gate::USE_EXTENSION), Lock::Exclusive)? else {
        return Ok(false);
    };
    if !may_go(dir)? {
        return Ok(false);
    }
    remove(dir, users, writer)?;
    Ok(true)
}

/// Removes a mirror with its lock files and its last look.
///
/// Whoever waits for one of the locks notices that its file was replaced.
fn remove(dir: &Path, users: File, writer: File) -> Result<(), Error> {
    store::remove(dir)?;
    // Before the locks: whoever makes the mirror again then keeps its own look.
    let _ = fs::remove_file(dir.with_extension(kept_look::EXTENSION));
    for extension in LOCKS {
        let path = dir.with_extension(extension);
        fs::remove_file(&path).map_err(|error| Error::io(&path, &error))?;
    }
    drop((users, writer));
    Ok(())
}

/// The size of a mirror on disk with its last look, in bytes.
fn size(dir: &Path) -> u64 {
    let look = fs::metadata(dir.with_extension(kept_look::EXTENSION));
    store::size(dir) + look.map_or(0, |data| data.len())
}

fn is_mirror(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
