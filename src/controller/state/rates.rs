//! How often something may happen, for each of many.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use lru::LruCache;

use super::locking::lock;

/// How many keys are remembered.
const MOST: usize = 4096;

/// `burst` at once, and from then on one after each `every`.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub burst: u32,
    pub every: Duration,
}

/// Rates by keys. The least recently used is forgotten first.
///
/// All that is kept of each is when it will have its whole burst again (the generic cell rate
/// algorithm, as ATM has it).
#[derive(Debug)]
pub struct Rates<K: Hash + Eq> {
    rate: Rate,
    whole_at: Mutex<LruCache<K, Instant>>,
}

impl<K: Hash + Eq> Rates<K> {
    /// The same rate for each key.
    pub fn new(rate: Rate) -> Self {
        let most = NonZeroUsize::new(MOST).unwrap_or(NonZeroUsize::MIN);
        Self {
            rate,
            whole_at: Mutex::new(LruCache::new(most)),
        }
    }

    /// Takes one of a key's.
    ///
    /// # Errors
    ///
    /// How long to wait, if there is none: nothing is taken then.
    pub fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let Rate { burst, every } = self.rate;
        let mut whole_at = lock(&self.whole_at);
        let at = whole_at.get(&key).copied().unwrap_or(now).max(now);
        let ahead = at.saturating_duration_since(now) + every;
        let allowed = every * burst;
        if ahead > allowed {
            return Err(ahead.saturating_sub(allowed));
        }
        whole_at.put(key, at + every);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_one_each_time() {
        let rates = Rates::new(Rate {
            burst: 3,
            every: Duration::from_secs(10),
        });
        let begin = Instant::now();
        let second = |second: u64| begin + Duration::from_secs(second);
        for _ in 0..3 {
            assert_eq!(rates.take("a", second(0)), Ok(()));
        }
        assert_eq!(rates.take("a", second(0)), Err(Duration::from_secs(10)));
        assert_eq!(rates.take("b", second(0)), Ok(()));
        assert_eq!(rates.take("a", second(4)), Err(Duration::from_secs(6)));
        assert_eq!(rates.take("a", second(10)), Ok(()));
        assert_eq!(rates.take("a", second(10)), Err(Duration::from_secs(10)));
        let allowed = (10..110)
            .filter(|at| rates.take("a", second(*at)).is_ok())
            .count();
        assert_eq!(allowed, 9);
        for _ in 0..3 {
            assert_eq!(rates.take("a", second(1000)), Ok(()));
        }
    }
}
