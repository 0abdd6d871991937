//! What the controller keeps of each object between reconciliations. All of it can be lost.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;

use super::locking::lock;

/// A status, and the version of the object that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenStatus<S> {
    /// The resource version; `None` if it is not known.
    pub version: Option<String>,
    pub status: S,
}

/// What is kept of one object.
#[derive(Clone, Debug)]
pub struct MemoryEntry<S> {
    /// Attempts that failed in a row.
    failures: u32,
    /// Looks in a row at something under way elsewhere that found nothing new.
    polls: u32,
    /// The status that was last written, as the API server has it.
    written: Option<SeenStatus<S>>,
}

impl<S> Default for MemoryEntry<S> {
    fn default() -> Self {
        Self {
            failures: 0,
            polls: 0,
            written: None,
        }
    }
}

impl<S> MemoryEntry<S> {
    /// The status that was written last, if it is newer than a version.
    fn newer_than(&self, resource_version: Option<&str>) -> Option<&SeenStatus<S>> {
        let written = self.written.as_ref()?;
        let number = |version: &str| version.parse::<u64>().ok();
        let is_newer = number(written.version.as_deref()?)? > number(resource_version?)?;
        is_newer.then_some(written)
    }
}

/// Entries by object.
#[derive(Debug)]
pub struct Memory<K, S>(Mutex<HashMap<K, MemoryEntry<S>>>);

impl<K, S> Default for Memory<K, S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq, S: Clone> Memory<K, S> {
    /// The failures in a row, after one more.
    pub fn note_failure(&self, key: K) -> u32 {
        let mut entries = lock(&self.0);
        let entry = entries.entry(key).or_default();
        entry.failures = entry.failures.saturating_add(1);
        entry.failures
    }

    /// The polls in a row, after one more that succeeded and found nothing new.
    pub fn note_poll(&self, key: K) -> u32 {
        let mut entries = lock(&self.0);
        let entry = entries.entry(key).or_default();
        entry.failures = 0;
        entry.polls = entry.polls.saturating_add(1);
        entry.polls
    }

    /// Forgets what was written: something else is there. Counts as a failure, and returns their
    /// number.
    pub fn note_overtaken(&self, key: K) -> u32 {
        if let Some(entry) = lock(&self.0).get_mut(&key) {
            entry.written = None;
        }
        self.note_failure(key)
    }

    /// Resets the counts.
    pub fn note_success(&self, key: &K) {
        if let Some(entry) = lock(&self.0).get_mut(key) {
            (entry.failures, entry.polls) = (0, 0);
        }
    }

    /// Notes the status that was written.
    pub fn note_written(&self, key: K, written: SeenStatus<S>) {
        lock(&self.0).entry(key).or_default().written = Some(written);
    }

    /// The status that was written last, unless the watch has brought a newer object.
    ///
    /// A watch lags behind the writes of its own process. Resource versions are compared as
    /// numbers, as the API conventions allow since Kubernetes 1.35 and as all releases number them.
    pub fn newer_than(&self, key: &K, resource_version: Option<&str>) -> Option<SeenStatus<S>> {
        lock(&self.0).get(key)?.newer_than(resource_version).cloned()
    }

    /// Forgets a status that was written, once the watch has brought it.
    pub fn forget_seen(&self, key: &K, resource_version: Option<&str>) {
        if let Some(entry) = lock(&self.0).get_mut(key)
            && entry.newer_than(resource_version).is_none()
        {
            entry.written = None;
        }
    }

    /// Forgets objects that are gone.
    pub fn retain(&self, exists: impl Fn(&K) -> bool) {
        lock(&self.0).retain(|key, _| exists(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lagging_watch_does_not_hide_what_was_written() {
        let memory: Memory<&str, u8> = Memory::default();
        let written = SeenStatus {
            version: Some("9".into()),
            status: 1,
        };
        memory.note_written("a", written.clone());
        assert_eq!(memory.newer_than(&"a", Some("8")), Some(written));
        assert_eq!(memory.newer_than(&"a", Some("9")), None);
        assert_eq!(memory.newer_than(&"a", Some("10")), None);
        assert_eq!(memory.newer_than(&"b", Some("1")), None);
        // What the watch has brought is not kept twice; what it lacks stays.
        memory.forget_seen(&"a", Some("8"));
        assert!(memory.newer_than(&"a", Some("8")).is_some());
        memory.forget_seen(&"a", Some("9"));
        assert_eq!(memory.newer_than(&"a", Some("8")), None);
        // By then there is something else.
        assert_eq!((memory.note_overtaken("a"), memory.note_overtaken("a")), (1, 2));
        assert_eq!(memory.newer_than(&"a", Some("8")), None);
    }

    #[test]
    fn failures_count_in_a_row() {
        let memory: Memory<&str, u8> = Memory::default();
        assert_eq!((memory.note_failure("a"), memory.note_failure("a")), (1, 2));
        memory.note_success(&"a");
        assert_eq!(memory.note_failure("a"), 1);
        assert_eq!((memory.note_poll("a"), memory.note_poll("a")), (1, 2));
        assert_eq!(memory.note_failure("a"), 1);
        memory.note_success(&"a");
        assert_eq!(memory.note_poll("a"), 1);
        memory.retain(|_| false);
        assert_eq!((memory.note_failure("a"), memory.note_poll("a")), (1, 1));
    }
}
