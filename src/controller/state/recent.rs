//! Remembers the most recently used of many values: the least recently used goes first.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use lru::LruCache;
use patchset_api::InputsDigest;

use super::locking::lock;

/// Values by keys, at most `MOST` of them.
pub struct Recent<K: Hash + Eq, V, const MOST: usize>(Mutex<LruCache<K, V>>);

/// Clients of other servers' APIs, by a digest of what they were made of: they hold tokens, and
/// know when a server wants no requests.
pub type ClientCache<C, const MOST: usize = 256> = Recent<InputsDigest, Arc<C>, MOST>;

impl<K: Hash + Eq, V, const MOST: usize> Default for Recent<K, V, MOST> {
    fn default() -> Self {
        let most = NonZeroUsize::new(MOST).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(most)))
    }
}

impl<K: Hash + Eq, V: Clone, const MOST: usize> Recent<K, V, MOST> {
    /// The value of a key, if it is remembered.
    pub fn get(&self, key: &K) -> Option<V> {
        lock(&self.0).get(key).cloned()
    }

    /// The value of a key; puts and returns another if none is remembered.
    pub fn get_or_put(&self, key: K, value: impl FnOnce() -> V) -> V {
        lock(&self.0).get_or_insert(key, value).clone()
    }

    /// Remembers a value in place of the key's former one, or of the least recently used.
    pub fn put(&self, key: K, value: V) {
        lock(&self.0).put(key, value);
    }
}

impl<K: Hash + Eq, C, const MOST: usize> Recent<K, Arc<C>, MOST> {
    /// Remembers a client, and returns it shared.
    pub fn keep(&self, key: K, client: C) -> Arc<C> {
        let client = Arc::new(client);
        self.put(key, Arc::clone(&client));
        client
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_number_is_bounded() {
        let recent: Recent<u32, u32, 8> = Recent::default();
        for n in 0..100 {
            recent.put(n, n);
            assert_eq!(recent.get(&0), Some(0), "after {n}");
        }
        assert_eq!((92..100).filter_map(|n| recent.get(&n)).count(), 7);
        assert_eq!(recent.get(&92), None);
        assert_eq!(recent.get_or_put(99, || 1), 99);
        assert_eq!((recent.get_or_put(1, || 2), recent.get(&1)), (2, Some(2)));
    }
}
