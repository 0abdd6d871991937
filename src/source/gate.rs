//! Locks that give up at a deadline.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Error;

/// How often a lock that another process holds is tried again.
const POLL: Duration = Duration::from_millis(25);

/// A mutex over `T` that can be waited for until a deadline.
#[derive(Debug, Default)]
pub(super) struct Gate<T> {
    busy: Mutex<bool>,
    freed: Condvar,
    value: Mutex<T>,
}

impl<T> Gate<T> {
    /// Enters, or gives `None` at the deadline.
    pub(super) fn enter(&self, deadline: Instant) -> Option<Pass<'_, T>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        while *busy {
            let left = deadline.checked_duration_since(Instant::now())?;
            busy = self
                .freed
                .wait_timeout(busy, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        *busy = true;
        Some(Pass { gate: self })
    }
}

/// Being inside a [`Gate`].
pub(super) struct Pass<'a, T> {
    gate: &'a Gate<T>,
}

impl<T> Pass<'_, T> {
    pub(super) fn value(&self) -> MutexGuard<'_, T> {
        self.gate.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Pass<'_, T> {
    fn drop(&mut self) {
        *self.gate.busy.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.gate.freed.notify_one();
    }
}

/// Opens a lock file. The kernel frees the lock with the process, however that ends.
pub(super) fn lock_file(path: &Path) -> Result<File, Error> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| Error::io(path, &error))
}

/// Locks a file exclusively; `None` at the deadline.
pub(super) fn lock_until(path: &Path, deadline: Instant) -> Result<Option<File>, Error> {
    let file = lock_file(path)?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => return Ok(None),
            Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
            Err(TryLockError::Error(error)) => return Err(Error::io(path, &error)),
        }
    }
}
