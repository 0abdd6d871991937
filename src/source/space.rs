//! The folder of all mirrors: its bound, its rubbish, and the key of its names.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use super::{Error, Mirrors, gate, store};

/// How long making or removing a mirror may take before what is left of it counts as rubbish.
const HALF_MADE: Duration = Duration::from_secs(600);

impl Mirrors {
    pub(super) fn mirrors_on_disk(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.config.root).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| is_mirror(path) && path.is_dir())
            .collect()
    }

    /// Removes the mirrors that were not used for longest until the rest fits. One that is in use stays.
    pub(super) fn evict(&self) {
        let mut mirrors: Vec<_> = self
            .mirrors_on_disk()
            .into_iter()
            .map(|dir| {
                let used = fs::metadata(dir.with_extension("use")).and_then(|data| data.modified());
                (used.unwrap_or(SystemTime::UNIX_EPOCH), store::size(&dir), dir)
            })
            .collect();
        let mut total: u64 = mirrors.iter().map(|(_, size, _)| size).sum();
        mirrors.sort_unstable();
        for (_, size, dir) in mirrors {
            if total <= self.config.capacity {
                return;
            }
            match evict_one(&dir) {
                Ok(true) => {
                    total -= size;
                    self.counters.evictions.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(mirror = %dir.display(), bytes = size, "evicted a mirror");
                }
                Ok(false) => {}
                Err(error) => tracing::warn!(mirror = %dir.display(), %error, "cannot evict a mirror"),
            }
        }
    }

    /// Removes what is half-made or half-removed, unless another process is at it.
    pub(super) fn sweep(&self) -> Result<(), Error> {
        let root = &self.config.root;
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
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(())
    }
}

fn evict_one(dir: &Path) -> Result<bool, Error> {
    let users = gate::lock_file(&dir.with_extension("use"))?;
    let writer = gate::lock_file(&dir.with_extension("lock"))?;
    // The order is that of `snapshot`, though neither of these waits.
    if writer.try_lock().is_err() || users.try_lock().is_err() {
        return Ok(false);
    }
    store::remove(dir)?;
    Ok(true)
}

fn is_mirror(path: &Path) -> bool {
    path.file_name()
        .and_then(|name| name.to_str())
        .is_some_and(|name| name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Reads the folder's key, or makes one.
pub(super) fn key(root: &Path) -> Result<Vec<u8>, Error> {
    let path = root.join("key");
    let read = || fs::read(&path).ok().filter(|key| key.len() == 32);
    if let Some(key) = read() {
        return Ok(key);
    }
    let mut fresh = [0; 32];
    let random: &dyn rustls::crypto::SecureRandom = rustls::crypto::ring::default_provider().secure_random;
    random.fill(&mut fresh).map_err(|_| Error::Io {
        path: path.display().to_string(),
        reason: "the system gives no random numbers".to_owned(),
    })?;
    let failed = |error: &std::io::Error| Error::io(&path, error);
    let mut file = tempfile::Builder::new()
        .prefix("key-")
        .tempfile_in(root)
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
