//! What the controller keeps of each object between reconciliations. All of it can be lost.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What is kept of one object.
#[derive(Clone, Debug)]
pub(super) struct Entry<S> {
    /// Attempts that failed in a row.
    failures: u32,
    /// The status that was last written, and the resource version that the API server gave it.
    written: Option<(String, S)>,
}

impl<S> Default for Entry<S> {
    fn default() -> Self {
        Self {
            failures: 0,
            written: None,
        }
    }
}

/// Entries by object.
#[derive(Debug)]
pub(super) struct Memory<K, S>(Mutex<HashMap<K, Entry<S>>>);

impl<K, S> Default for Memory<K, S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, S: Clone> Memory<K, S> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Entry<S>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The failures in a row, after one more.
    pub(super) fn failed(&self, key: K) -> u32 {
        let mut entries = self.lock();
        let entry = entries.entry(key).or_default();
        entry.failures = entry.failures.saturating_add(1);
        entry.failures
    }

    /// Starts the count of failures again.
    pub(super) fn succeeded(&self, key: &K) {
        if let Some(entry) = self.lock().get_mut(key) {
            entry.failures = 0;
        }
    }

    /// Notes the status that was written.
    pub(super) fn wrote(&self, key: K, resource_version: String, status: S) {
        self.lock().entry(key).or_default().written = Some((resource_version, status));
    }

    /// The status that was written last, unless the watch has brought a newer object.
    ///
    /// A watch lags behind the writes of its own process. Resource versions are compared as numbers, as the API
    /// conventions allow since Kubernetes 1.35 and as all releases number them.
    pub(super) fn newer_than(&self, key: &K, resource_version: Option<&str>) -> Option<S> {
        let entries = self.lock();
        let (written, status) = entries.get(key)?.written.as_ref()?;
        let seen: u64 = resource_version?.parse().ok()?;
        (written.parse::<u64>().ok()? > seen).then(|| status.clone())
    }

    /// Forgets objects that are gone.
    pub(super) fn retain(&self, exists: impl Fn(&K) -> bool) {
        self.lock().retain(|key, _| exists(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lagging_watch_does_not_hide_what_was_written() {
        let memory: Memory<&str, u8> = Memory::default();
        memory.wrote("a", "9".into(), 1);
        assert_eq!(memory.newer_than(&"a", Some("8")), Some(1));
        assert_eq!(memory.newer_than(&"a", Some("9")), None);
        assert_eq!(memory.newer_than(&"a", Some("10")), None);
        assert_eq!(memory.newer_than(&"b", Some("1")), None);
    }

    #[test]
    fn failures_count_in_a_row() {
        let memory: Memory<&str, u8> = Memory::default();
        assert_eq!((memory.failed("a"), memory.failed("a")), (1, 2));
        memory.succeeded(&"a");
        assert_eq!(memory.failed("a"), 1);
        memory.retain(|_| false);
        assert_eq!(memory.failed("a"), 1);
    }
}
