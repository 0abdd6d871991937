//! How long to wait before the next look, after failures and while others work.

use std::time::Duration;

/// The first wait after a failure, and the shortest interval.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// The longest wait after a failure: Flux's default for failing objects.
pub const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The wait after the given number of times (1 after the first): doubled each time.
pub(super) fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(2u32.saturating_pow(times.saturating_sub(1)))
}

/// The wait after the given number of failures in a row (1 after the first): doubled each time, and
/// never longer than `interval` or a quarter of an hour, whichever is shorter.
#[must_use]
pub fn after_failures(failures: u32, interval: Duration) -> Duration {
    doubled(SHORTEST, failures)
        .min(LONGEST)
        .min(interval.max(SHORTEST))
}

/// The first wait while something is under way elsewhere that may not report its end.
const FIRST_POLL: Duration = Duration::from_secs(15);

/// The longest of these waits.
const RAREST_POLL: Duration = Duration::from_secs(120);

/// The wait after this many polls in a row (1 after the first) at something that is under way
/// elsewhere: doubled each time up to two minutes, and never longer than `interval`.
#[must_use]
pub fn after_polls(polls: u32, interval: Duration) -> Duration {
    doubled(FIRST_POLL, polls)
        .min(RAREST_POLL)
        .min(interval.max(SHORTEST))
}

/// `interval`, longer or shorter by up to `percent` of it, so that many objects do not look at the
/// same moment.
///
/// `random` is a number from 0 to 1.
#[must_use]
pub fn jitter(interval: Duration, percent: u8, random: f64) -> Duration {
    let share = f64::from(percent.min(100)) / 100.0;
    interval.mul_f64((1.0 + share * (2.0 * random.clamp(0.0, 1.0) - 1.0)).max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_interval() {
        let minute = Duration::from_secs(60);
        let waits: Vec<u64> = (1..9).map(|n| after_failures(n, minute).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(after_failures(u32::MAX, Duration::from_secs(86_400)), LONGEST);
        assert_eq!(after_failures(5, Duration::ZERO), SHORTEST);
    }

    #[test]
    fn polls_become_rare() {
        let hour = Duration::from_secs(3600);
        let waits: Vec<u64> = (1..6).map(|n| after_polls(n, hour).as_secs()).collect();
        assert_eq!(waits, [15, 30, 60, 120, 120]);
        assert_eq!(
            after_polls(u32::MAX, Duration::from_secs(20)),
            Duration::from_secs(20)
        );
    }

    #[test]
    fn stays_within_the_share() {
        let minute = Duration::from_secs(60);
        assert_eq!(jitter(minute, 5, 0.0), Duration::from_secs(57));
        assert_eq!(jitter(minute, 5, 1.0), Duration::from_secs(63));
        assert_eq!(jitter(minute, 0, 0.9), minute);
        assert_eq!(jitter(minute, 5, 0.5), minute);
        // An invalid share counts as the nearest valid one.
        assert_eq!(jitter(minute, 200, 0.0), Duration::ZERO);
        assert_eq!(jitter(minute, 200, 1.0), minute * 2);
        assert_eq!(jitter(minute, 5, -3.0), Duration::from_secs(57));
        assert_eq!(jitter(minute, 5, 7.0), Duration::from_secs(63));
    }
}
