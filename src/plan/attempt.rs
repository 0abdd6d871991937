//! What to do next for an image that the registry does not have.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use patchset_api::build::Attempt;

use super::backoff;
use super::conditions::seconds;

/// The wait before the second attempt at a build; doubled for each further one.
const FIRST_WAIT: Duration = Duration::from_secs(10);

/// What an attempt's Job or run is seen to be doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptState {
    /// It runs, or waits for a node; with what holds it up, where that is known.
    Active(Option<String>),
    /// It reports success.
    Succeeded,
    /// It failed.
    Failed {
        /// Why, in a sentence.
        why: String,
        /// The last lines of its log.
        log: Option<String>,
    },
    /// It does not exist any more.
    Gone,
    /// It could not begin, and the spec asks for a different one by then.
    Outdated,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start the attempt with this number.
    Start(u32),
    /// Wait for the attempt under way.
    Follow,
    /// Start the next attempt after this time.
    Retry(Duration),
    /// All attempts failed: wait for a person.
    GiveUp,
}

/// An attempt that begins.
#[must_use]
pub fn begin_attempt(number: u32, name: String, previous: Option<&Attempt>, now: Timestamp) -> Attempt {
    Attempt {
        number,
        name,
        run: None,
        url: None,
        started_at: seconds(now),
        finished_at: None,
        failures: previous.map_or(0, |previous| previous.failures),
        message: None,
        log_tail: None,
    }
}

/// An attempt, updated by what was seen of it. One that has ended stays the same.
///
/// A Job that succeeded without such an image in the registry counts as failed.
#[must_use]
pub fn end_attempt(attempt: Attempt, seen: &AttemptState, target: &str, now: Timestamp) -> Attempt {
    if attempt.finished_at.is_some() {
        return attempt;
    }
    let (message, log_tail) = match seen {
        AttemptState::Active(_) => return attempt,
        AttemptState::Succeeded => (
            format!("{} succeeded, but the registry has no {target}", attempt.name),
            None,
        ),
        AttemptState::Failed { why, log } => (why.clone(), log.clone()),
        AttemptState::Outdated => {
            return Attempt {
                finished_at: Some(seconds(now)),
                message: Some(format!("{} could not start, and was replaced", attempt.name)),
                ..attempt
            };
        }
        AttemptState::Gone => (format!("{} was deleted before it ended", attempt.name), None),
    };
    Attempt {
        finished_at: Some(seconds(now)),
        failures: attempt.failures.saturating_add(1),
        message: Some(message),
        log_tail,
        ..attempt
    }
}

/// An attempt when another try is requested: earlier failures do not count, even if the next
/// attempt has to wait for its turn.
#[must_use]
pub fn forgive_failures(attempt: Attempt) -> Attempt {
    if attempt.finished_at.is_none() {
        return attempt;
    }
    Attempt {
        failures: 0,
        ..attempt
    }
}

/// Decides what to do, given the last attempt.
#[must_use]
pub fn decide_next(attempt: Option<&Attempt>, retries: u32, now: Timestamp) -> Decision {
    let Some(attempt) = attempt else {
        return Decision::Start(1);
    };
    let Some(Time(finished)) = &attempt.finished_at else {
        return Decision::Follow;
    };
    let next = attempt.number.saturating_add(1);
    if attempt.failures == 0 {
        return Decision::Start(next);
    }
    if attempt.failures > retries {
        return Decision::GiveUp;
    }
    let wait = backoff::doubled(FIRST_WAIT, attempt.failures).min(backoff::LONGEST);
    let passed = now.duration_since(*finished);
    let passed = Duration::try_from(passed).unwrap_or_default();
    if passed >= wait {
        Decision::Start(next)
    } else {
        Decision::Retry(wait.saturating_sub(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn tries_again_with_growing_waits_and_then_gives_up() {
        assert_eq!(decide_next(None, 2, at(0)), Decision::Start(1));
        let first = begin_attempt(1, "job-1".into(), None, at(0));
        assert_eq!(decide_next(Some(&first), 2, at(9)), Decision::Follow);
        assert_eq!(
            end_attempt(first.clone(), &AttemptState::Active(None), "i:t", at(9)),
            first
        );
        let failed = end_attempt(
            first,
            &AttemptState::Failed {
                why: "no".into(),
                log: Some("log".into()),
            },
            "i:t",
            at(100),
        );
        assert_eq!((failed.failures, failed.log_tail.as_deref()), (1, Some("log")));
        assert_eq!(
            decide_next(Some(&failed), 2, at(104)),
            Decision::Retry(Duration::from_secs(6))
        );
        assert_eq!(decide_next(Some(&failed), 2, at(110)), Decision::Start(2));
        assert_eq!(decide_next(Some(&failed), 0, at(110)), Decision::GiveUp);
        let second = end_attempt(
            begin_attempt(2, "job-2".into(), Some(&failed), at(110)),
            &AttemptState::Gone,
            "i:t",
            at(200),
        );
        assert_eq!(second.failures, 2);
        assert_eq!(
            decide_next(Some(&second), 2, at(200)),
            Decision::Retry(Duration::from_secs(20))
        );
        let third = end_attempt(
            begin_attempt(3, "job-3".into(), Some(&second), at(220)),
            &AttemptState::Succeeded,
            "i:t",
            at(300),
        );
        assert_eq!(
            third.message.as_deref(),
            Some("job-3 succeeded, but the registry has no i:t")
        );
        assert_eq!(decide_next(Some(&third), 2, at(9_999)), Decision::GiveUp);
        let forgiven = forgive_failures(third.clone());
        assert_eq!(decide_next(Some(&forgiven), 2, at(300)), Decision::Start(4));
        assert_eq!(
            begin_attempt(4, "job-4".into(), Some(&forgiven), at(300)).failures,
            0
        );
        // What has ended stays as reported.
        assert_eq!(
            end_attempt(third.clone(), &AttemptState::Gone, "i:t", at(400)),
            third
        );
    }

    #[test]
    fn waits_double_and_have_an_end() {
        let waits = |failures| {
            let attempt = Attempt {
                failures,
                finished_at: Some(seconds(at(1000))),
                ..begin_attempt(failures, "job".into(), None, at(0))
            };
            match decide_next(Some(&attempt), u32::MAX, at(1000)) {
                Decision::Retry(wait) => wait.as_secs(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!([1, 2, 3, 4, 7, 8, 99].map(waits), [10, 20, 40, 80, 640, 900, 900]);
        // A clock that was set back does not lengthen the wait.
        let attempt = Attempt {
            failures: 1,
            finished_at: Some(seconds(at(1000))),
            ..begin_attempt(1, "job".into(), None, at(0))
        };
        let next = decide_next(Some(&attempt), 1, at(10));
        assert_eq!(next, Decision::Retry(Duration::from_secs(10)));
        assert_eq!(
            decide_next(Some(&attempt), 1, at(1009)),
            Decision::Retry(Duration::from_secs(1))
        );
        assert_eq!(decide_next(Some(&attempt), 1, at(1010)), Decision::Start(2));
        assert_eq!(decide_next(Some(&attempt), 0, at(1010)), Decision::GiveUp);
    }

    #[test]
    fn what_could_not_begin_is_no_failure_and_what_runs_is_not_forgiven() {
        let running = begin_attempt(3, "job-3".into(), None, at(0));
        assert_eq!(forgive_failures(running.clone()), running);
        let replaced = end_attempt(running, &AttemptState::Outdated, "i:t", at(5));
        assert_eq!((replaced.failures, replaced.finished_at.is_some()), (0, true));
        let message = replaced.message.as_deref();
        assert_eq!(message, Some("job-3 could not start, and was replaced"));
        assert_eq!(decide_next(Some(&replaced), 0, at(5)), Decision::Start(4));
    }
}
