//! Locks that give up at a deadline, and when the process ends.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::Error;

/// The files beside a mirror's folder: the readers' shared lock, whose time is that of the last
/// use, and the writer's lock.
pub(super) const USE_EXTENSION: &str = "use";
pub(super) const LOCK_EXTENSION: &str = "lock";

/// The interval at which a lock that another process holds is tried again.
const POLL: Duration = Duration::from_millis(25);
/// The interval at which a wait inside this process checks whether the process is ending.
const LOOK_UP: Duration = Duration::from_millis(200);

/// Locks a mutex. Ignores poisoning: what a thread that panicked left in it is still usable.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a call may go on: until its deadline, and no longer than the process runs.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    pub(super) deadline: Instant,
    /// Becomes true when the process ends.
    pub(super) closing: watch::Receiver<bool>,
}

impl Patience {
    /// Whether the deadline has passed, or the process is ending.
    pub(super) fn is_over(&self) -> bool {
        self.is_closing() || Instant::now() >= self.deadline
    }

    /// Whether the process is ending.
    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }
}

/// A mutex over `T` that can be waited for with [`Patience`].
#[derive(Debug, Default)]
pub(super) struct Gate<T> {
    busy: Mutex<bool>,
    freed: Condvar,
    value: Mutex<T>,
}

impl<T> Gate<T> {
    /// Enters, or returns `None` when patience runs out.
    pub(super) fn enter(&self, patience: &Patience) -> Option<Pass<'_, T>> {
        let mut busy = locked(&self.busy);
        while *busy {
            if patience.is_over() {
                return None;
            }
            let left = patience.deadline.saturating_duration_since(Instant::now());
            busy = self
                .freed
                .wait_timeout(busy, left.min(LOOK_UP))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        *busy = true;
        Some(Pass { gate: self })
    }

    /// The value, regardless of who is inside.
    pub(super) fn value(&self) -> MutexGuard<'_, T> {
        locked(&self.value)
    }
}

/// A pass into a [`Gate`], given back on drop.
pub(super) struct Pass<'a, T> {
    gate: &'a Gate<T>,
}

impl<T> Pass<'_, T> {
    pub(super) fn value(&self) -> MutexGuard<'_, T> {
        self.gate.value()
    }
}

impl<T> Drop for Pass<'_, T> {
    fn drop(&mut self) {
        *locked(&self.gate.busy) = false;
        self.gate.freed.notify_one();
    }
}

/// How a file is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lock {
    /// Together with other shared locks.
    Shared,
    /// Alone.
    Exclusive,
}

/// Locks a file, creating it if missing; `None` when patience runs out.
///
/// The kernel releases the lock when the process ends, however it ends.
pub(super) fn lock_until(path: &Path, lock: Lock, patience: &Patience) -> Result<Option<File>, Error> {
    loop {
        if let Some(file) = try_lock(path, lock)? {
            return Ok(Some(file));
        }
        if patience.is_over() {
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

/// Locks a file, creating it if missing, unless someone else holds it.
pub(super) fn try_lock(path: &Path, lock: Lock) -> Result<Option<File>, Error> {
    let failed = |error: &std::io::Error| Error::io(path, error);
    loop {
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(|error| failed(&error))?;
        let locked = match lock {
            Lock::Shared => file.try_lock_shared(),
            Lock::Exclusive => file.try_lock(),
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        // The previous holder may have removed the file, and others then lock another one of this
        // name.
        let own = file.metadata().map_err(|error| failed(&error))?;
        match std::fs::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (own.dev(), own.ino()) => return Ok(Some(file)),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(&error)),
        }
    }
}
