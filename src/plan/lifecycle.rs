//! What is the same for all resources: how an attempt ends, and what that makes of `Ready`,
//! `Reconciling` and `Stalled`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use patchset_api::common::Verification;
use patchset_api::conditions::{self, Truth};
use patchset_api::reason::{self, Reason, condition};
use patchset_api::{ConstraintOverrideStatus, InputsDigest, PatchRepositoryStatus, PatchSetStatus};

use super::conditions::Conditions;
use super::failure::{Failure, Retry, Step};
use super::summary::summary;

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<S, D> {
    /// A step could not be done; with what was resolved before it.
    Failed(Failure, Option<S>),
    /// The inputs are those of the current status: its results hold.
    Unchanged(S),
    /// There is a result.
    Done(S, D),
}

impl<S, D> Outcome<S, D> {
    /// What was resolved; `None` if that failed.
    pub fn sources(&self) -> Option<&S> {
        match self {
            Self::Failed(_, sources) => sources.as_ref(),
            Self::Unchanged(sources) | Self::Done(sources, _) => Some(sources),
        }
    }
}

/// What an object asks for, as far as every status depends on it.
#[derive(Clone, Copy, Debug)]
pub struct AskedFor<'a> {
    /// `metadata.generation`.
    pub generation: i64,
    /// The annotation `reconcile.fluxcd.io/requestedAt`.
    pub requested_at: Option<&'a str>,
}

/// Whether any of the sources have to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignaturePolicy {
    /// Nothing has to be signed.
    NotRequired,
    /// The spec asks for signatures.
    Required,
}

impl SignaturePolicy {
    /// The policy of a spec with these verifications.
    pub fn asked_by<'a>(mut verifications: impl Iterator<Item = &'a Verification>) -> Self {
        match verifications.next() {
            Some(_) => Self::Required,
            None => Self::NotRequired,
        }
    }
}

/// Whether results may stand by the signature policy: nothing has to be signed, or the sources were
/// verified.
#[must_use]
pub fn is_verified(status: &impl Observed, policy: SignaturePolicy) -> bool {
    policy == SignaturePolicy::NotRequired
        || conditions::is_true(status.conditions(), condition::SOURCE_VERIFIED)
}

/// Whether a status has results that were computed from these inputs.
#[must_use]
pub fn has_results_of(status: &impl Observed, inputs: &InputsDigest) -> bool {
    status.inputs_digest() == Some(inputs)
}

/// Whether a status has results that were computed from these inputs and may stand by
/// [`is_verified`].
#[must_use]
pub fn has_verified_results_of(
    status: &impl Observed,
    inputs: &InputsDigest,
    policy: SignaturePolicy,
) -> bool {
    has_results_of(status, inputs) && is_verified(status, policy)
}

/// Whether a status is of this generation with these inputs. Then the revisions that it names stay:
/// a commit that changes only other files is no news.
#[must_use]
pub fn has_results_for(status: &impl Observed, generation: Option<i64>, inputs: &InputsDigest) -> bool {
    has_results_of(status, inputs) && generation == Some(status.observed_generation())
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// After the resource's interval.
    Interval,
    /// After a short while, which grows: something is under way elsewhere.
    Soon,
    /// After a wait that grows with each failure.
    Backoff,
    /// After this time.
    After(Duration),
    /// When something changes.
    Change,
}

/// What a result means for the conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the step's condition and Ready hold.
    pub truth: Truth,
    /// The reason of the step's condition.
    pub reason: Reason,
    /// The reason of Ready.
    pub ready: Reason,
    /// A sentence.
    pub message: String,
}

/// The fields that all statuses have.
pub trait Observed: Clone {
    /// The conditions.
    fn conditions(&self) -> &[Condition];
    /// The generation that the results are of; `NEVER_OBSERVED` where there are none yet.
    fn observed_generation(&self) -> i64;
    /// What the results were computed from; `None` where there are none yet.
    fn inputs_digest(&self) -> Option<&InputsDigest>;
    /// The `requestedAt` that was last answered.
    fn last_handled_reconcile_at(&self) -> Option<&str>;
    /// Sets all of them.
    fn observe(&mut self, generation: i64, handled: Option<String>, conditions: Vec<Condition>);
    /// Sets the conditions alone.
    fn set_conditions(&mut self, conditions: Vec<Condition>);
    /// Sums up the conditions and the results in a few words.
    fn summarise(&mut self) {}
}

macro_rules! observed {
    ($status:ty, $($summarise:item)?) => {
        impl Observed for $status {
            fn conditions(&self) -> &[Condition] {
                &self.conditions
            }

            fn observed_generation(&self) -> i64 {
                self.observed_generation
            }

            fn inputs_digest(&self) -> Option<&InputsDigest> {
                self.inputs_digest.as_ref()
            }

            fn last_handled_reconcile_at(&self) -> Option<&str> {
                self.last_handled_reconcile_at.as_deref()
            }

            fn observe(&mut self, generation: i64, handled: Option<String>, conditions: Vec<Condition>) {
                self.observed_generation = generation;
                self.last_handled_reconcile_at = handled;
                self.set_conditions(conditions);
            }

            fn set_conditions(&mut self, conditions: Vec<Condition>) {
                self.conditions = conditions;
                self.summarise();
            }

            $($summarise)?
        }
    };
}

observed!(
    PatchSetStatus,
    fn summarise(&mut self) {
        self.summary = summary(self);
    }
);
observed!(ConstraintOverrideStatus,);
observed!(PatchRepositoryStatus,);

/// The status at the start of work on a new generation.
///
/// `None` if this generation was seen before: then the status stays until there is a result.
#[must_use]
pub fn begin_generation<S: Observed>(previous: &S, generation: i64, now: Timestamp) -> Option<S> {
    if conditions::find(previous.conditions(), condition::READY)
        .is_some_and(|ready| ready.observed_generation == Some(generation))
    {
        return None;
    }
    let mut conditions = Conditions::from_previous(previous.conditions(), generation, now);
    let message = format!("looking at generation {generation}");
    conditions.set(condition::RECONCILING, Truth::True, reason::PROGRESSING, &message);
    conditions.set(condition::READY, Truth::Unknown, reason::PROGRESSING, &message);
    conditions.remove(condition::STALLED);
    let mut status = previous.clone();
    status.set_conditions(conditions.into_list());
    Some(status)
}

/// A status after an attempt, while it is put together.
#[derive(Debug)]
pub struct Settling<'a, S> {
    /// The status, without the fields that all statuses have.
    pub status: S,
    asked: AskedFor<'a>,
    conditions: Conditions,
}

impl<'a, S: Observed> Settling<'a, S> {
    /// Starts from the current status.
    #[must_use]
    pub fn from_previous(previous: &S, asked: AskedFor<'a>, now: Timestamp) -> Self {
        Self {
            status: previous.clone(),
            asked,
            conditions: Conditions::from_previous(previous.conditions(), asked.generation, now),
        }
    }

    /// Records that the sources were resolved.
    pub fn mark_resolved(&mut self, message: &str) {
        self.conditions.set(
            condition::SOURCE_RESOLVED,
            Truth::True,
            reason::SUCCEEDED,
            message,
        );
    }

    /// Records who signed the sources, if this attempt checked that. Otherwise what was recorded
    /// before stays, unless nothing has to be signed.
    pub fn mark_verified(&mut self, policy: SignaturePolicy, signatures: Option<&str>) {
        if let Some(message) = signatures {
            let reason = reason::SUCCEEDED;
            self.conditions
                .set(condition::SOURCE_VERIFIED, Truth::True, reason, message);
        }
        if policy == SignaturePolicy::NotRequired {
            self.conditions.remove(condition::SOURCE_VERIFIED);
        }
    }

    /// The status where a step failed.
    #[must_use]
    pub fn into_failed(mut self, failure: &Failure) -> (S, Next) {
        let conditions = &mut self.conditions;
        conditions.set(
            failure.step.condition(),
            Truth::False,
            failure.reason,
            &failure.message,
        );
        conditions.set(condition::READY, Truth::False, failure.reason, &failure.message);
        let next = match failure.retry {
            Retry::Backoff | Retry::Anew | Retry::After(_) => {
                conditions.remove(condition::STALLED);
                conditions.set(
                    condition::RECONCILING,
                    Truth::True,
                    reason::PROGRESSING_WITH_RETRY,
                    "the last attempt failed and will be retried",
                );
                match failure.retry {
                    Retry::After(wait) => Next::After(wait),
                    _ => Next::Backoff,
                }
            }
            Retry::WhenChanged => {
                conditions.remove(condition::RECONCILING);
                conditions.set(condition::STALLED, Truth::True, failure.reason, &failure.message);
                match failure.step {
                    Step::Source => Next::Change,
                    Step::Verification
                    | Step::Patches
                    | Step::Constraints
                    | Step::Build
                    | Step::Test
                    | Step::Delivery
                    | Step::Objects => Next::Interval,
                }
            }
        };
        (self.finish(), next)
    }

    /// The status when there is a result. A bad one is Stalled, and checked again after the
    /// interval.
    #[must_use]
    pub fn into_judged(mut self, step: Step, verdict: &Verdict) -> (S, Next) {
        let Verdict {
            truth,
            reason,
            ready,
            message,
        } = verdict;
        let conditions = &mut self.conditions;
        conditions.set(step.condition(), *truth, *reason, message);
        conditions.remove(condition::RECONCILING);
        if *truth == Truth::True {
            conditions.remove(condition::STALLED);
        } else {
            conditions.set(condition::STALLED, Truth::True, *reason, message);
        }
        conditions.set(condition::READY, *truth, *ready, message);
        (self.finish(), Next::Interval)
    }

    /// Sets the condition of a step that is done, before the last one is judged.
    pub fn mark_done(&mut self, step: Step, verdict: &Verdict) {
        let Verdict {
            truth,
            reason,
            message,
            ..
        } = verdict;
        self.conditions.set(step.condition(), *truth, *reason, message);
    }

    /// Removes the condition of a step that is not asked for.
    pub fn drop_step(&mut self, step: Step) {
        self.conditions.remove(step.condition());
    }

    /// The status while a step waits for something elsewhere.
    #[must_use]
    pub fn into_waiting(mut self, step: Step, reason: Reason, message: &str) -> S {
        let conditions = &mut self.conditions;
        conditions.set(step.condition(), Truth::Unknown, reason, message);
        conditions.remove(condition::STALLED);
        conditions.set(condition::RECONCILING, Truth::True, reason::PROGRESSING, message);
        conditions.set(condition::READY, Truth::Unknown, reason, message);
        self.finish()
    }

    /// The status when all steps are done, with what that means for Ready. What is under way is
    /// Reconciling; what is bad is Stalled, unless it is retried without anybody's doing.
    #[must_use]
    pub fn into_concluded(mut self, ready: &Verdict) -> S {
        let Verdict {
            truth,
            reason,
            ready: of_ready,
            message,
        } = ready;
        let conditions = &mut self.conditions;
        let under_way = match truth {
            Truth::Unknown => Some(reason::PROGRESSING),
            Truth::False if *reason == reason::PROGRESSING_WITH_RETRY => Some(*reason),
            Truth::True | Truth::False => None,
        };
        if let Some(reason) = under_way {
            conditions.remove(condition::STALLED);
            conditions.set(condition::RECONCILING, Truth::True, reason, message);
        } else {
            conditions.remove(condition::RECONCILING);
            if *truth == Truth::False {
                conditions.set(condition::STALLED, Truth::True, *reason, message);
            } else {
                conditions.remove(condition::STALLED);
            }
        }
        conditions.set(condition::READY, *truth, *of_ready, message);
        self.finish()
    }

    /// The status when what it says still holds.
    #[must_use]
    pub fn into_same(self) -> S {
        self.finish()
    }

    fn finish(self) -> S {
        let mut status = self.status;
        let handled = self
            .asked
            .requested_at
            .or(status.last_handled_reconcile_at())
            .map(ToOwned::to_owned);
        status.observe(self.asked.generation, handled, self.conditions.into_list());
        status
    }
}

/// How many times in a row the same happened to an object, this time included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    /// Attempts that failed.
    pub failures: u32,
    /// Looks at something under way elsewhere that found nothing new.
    pub polls: u32,
}

/// How long to wait, given the resource's interval and what happened in a row so far.
#[must_use]
pub fn wait_before_next(next: Next, interval: Duration, in_a_row: Streak) -> Option<Duration> {
    match next {
        Next::Interval => Some(interval.max(super::backoff::SHORTEST)),
        Next::Soon => Some(super::backoff::after_polls(in_a_row.polls, interval)),
        Next::Backoff => Some(super::backoff::after_failures(in_a_row.failures, interval)),
        Next::After(wait) => Some(wait.max(super::backoff::SHORTEST)),
        Next::Change => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::backoff::{LONGEST, SHORTEST};

    const STEPS: [Step; 8] = [
        Step::Source,
        Step::Verification,
        Step::Patches,
        Step::Constraints,
        Step::Build,
        Step::Test,
        Step::Delivery,
        Step::Objects,
    ];

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn settling(previous: &PatchSetStatus) -> Settling<'static, PatchSetStatus> {
        let asked = AskedFor {
            generation: 2,
            requested_at: None,
        };
        Settling::from_previous(previous, asked, at(100))
    }

    /// Conditions as `Type=Status/Reason`, in order.
    fn shown(status: &PatchSetStatus) -> Vec<String> {
        let conditions = status.conditions.iter();
        let shown = conditions.map(|c| format!("{}={}/{}", c.type_, c.status, c.reason));
        shown.collect()
    }

    fn stalled() -> PatchSetStatus {
        let message = "no such branch";
        let failure = Failure::stalled(Step::Source, reason::INVALID_SPEC, message);
        settling(&PatchSetStatus::default()).into_failed(&failure).0
    }

    fn retried(step: Step, retry: Retry) -> Failure {
        Failure {
            retry,
            ..Failure::retried(step, reason::TIMED_OUT, "no answer")
        }
    }

    #[test]
    fn what_fails_is_repeated_unless_something_has_to_change_first() {
        let wait = Duration::from_secs(7);
        for step in STEPS {
            let condition = format!("{}=False/TimedOut", step.condition());
            for (retry, next) in [
                (Retry::Backoff, Next::Backoff),
                (Retry::Anew, Next::Backoff),
                (Retry::After(wait), Next::After(wait)),
            ] {
                let (status, found) = settling(&stalled()).into_failed(&retried(step, retry));
                assert_eq!(found, next, "{step:?}");
                let shown = shown(&status);
                for expected in [
                    "Ready=False/TimedOut",
                    "Reconciling=True/ProgressingWithRetry",
                    &condition,
                ] {
                    assert!(shown.iter().any(|one| one == expected), "{shown:?}");
                }
                assert!(!shown.iter().any(|one| one.starts_with("Stalled")), "{shown:?}");
            }
            let (before, _) = settling(&stalled()).into_failed(&retried(step, Retry::Backoff));
            let (status, next) = settling(&before).into_failed(&retried(step, Retry::WhenChanged));
            // A wrong source is the spec's fault; everything else may change without the spec.
            let expected = if step == Step::Source {
                Next::Change
            } else {
                Next::Interval
            };
            assert_eq!(next, expected, "{step:?}");
            let shown = shown(&status);
            for expected in ["Ready=False/TimedOut", "Stalled=True/TimedOut", &condition] {
                assert!(shown.iter().any(|one| one == expected), "{shown:?}");
            }
            assert!(
                !shown.iter().any(|one| one.starts_with("Reconciling")),
                "{shown:?}"
            );
        }
    }

    #[test]
    fn a_result_ends_what_was_under_way_and_a_bad_one_is_stalled() {
        let verdict = |truth| Verdict {
            truth,
            reason: reason::SUCCEEDED,
            ready: reason::PATCH_CONFLICT,
            message: "as it is".to_owned(),
        };
        let (good, next) = settling(&stalled()).into_judged(Step::Source, &verdict(Truth::True));
        assert_eq!(next, Next::Interval);
        assert_eq!(
            shown(&good),
            ["Ready=True/PatchConflict", "SourceResolved=True/Succeeded"]
        );
        let (bad, next) = settling(&good).into_judged(Step::Source, &verdict(Truth::False));
        assert_eq!(next, Next::Interval);
        assert_eq!(
            shown(&bad),
            [
                "Ready=False/PatchConflict",
                "SourceResolved=False/Succeeded",
                "Stalled=True/Succeeded"
            ]
        );
        let waits = settling(&bad).into_waiting(Step::Build, reason::AWAITING_IMAGE, "not yet");
        assert_eq!(
            shown(&waits),
            [
                "ImageBuilt=Unknown/AwaitingImage",
                "Ready=Unknown/AwaitingImage",
                "Reconciling=True/Progressing",
                "SourceResolved=False/Succeeded",
            ]
        );
    }

    #[test]
    fn a_generation_is_begun_once() {
        let before = stalled();
        assert_eq!(begin_generation(&before, 2, at(200)), None);
        let begun = begin_generation(&before, 3, at(200)).unwrap();
        assert_eq!(
            shown(&begun),
            [
                "Ready=Unknown/Progressing",
                "Reconciling=True/Progressing",
                "SourceResolved=False/InvalidSpec"
            ]
        );
        // What was found belongs to the generation before, until there is a result.
        assert_eq!(begun.observed_generation, 2);
        assert_eq!(begin_generation(&begun, 3, at(300)), None);
    }

    #[test]
    fn a_request_is_acknowledged_when_it_was_answered_and_stays_so() {
        let answered = |previous: &PatchSetStatus, requested_at| {
            let asked = AskedFor {
                generation: 2,
                requested_at,
            };
            let settling = Settling::from_previous(previous, asked, at(100));
            settling.into_failed(&retried(Step::Source, Retry::Backoff)).0
        };
        let first = answered(&PatchSetStatus::default(), Some("one"));
        assert_eq!(first.last_handled_reconcile_at.as_deref(), Some("one"));
        let second = answered(&first, Some("two"));
        assert_eq!(second.last_handled_reconcile_at.as_deref(), Some("two"));
        let taken_away = answered(&second, None);
        assert_eq!(taken_away.last_handled_reconcile_at.as_deref(), Some("two"));
        assert_eq!(taken_away.observed_generation, 2);
    }

    #[test]
    fn signatures_count_while_they_are_asked_for() {
        use SignaturePolicy::{NotRequired, Required};
        let after = |previous: &PatchSetStatus, policy, signatures| {
            let mut settling = settling(previous);
            settling.mark_verified(policy, signatures);
            settling.into_failed(&retried(Step::Patches, Retry::Backoff)).0
        };
        let unsigned = PatchSetStatus::default();
        assert!(is_verified(&unsigned, NotRequired) && !is_verified(&unsigned, Required));
        let signed = after(&unsigned, Required, Some("signed by Ann"));
        assert!(is_verified(&signed, Required));
        // It was not looked at again.
        assert!(is_verified(&after(&signed, Required, None), Required));
        assert!(!is_verified(&after(&signed, NotRequired, None), Required));
        let failure = Failure::stalled(Step::Verification, reason::INVALID_SPEC, "another key");
        let refused = settling(&signed).into_failed(&failure).0;
        assert!(!is_verified(&refused, Required) && is_verified(&refused, NotRequired));
    }

    #[test]
    fn the_next_look_comes_by_how_this_one_ended() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let row = |failures, polls| Streak { failures, polls };
        let none = Streak::default();
        for (next, interval, in_a_row, expected) in [
            (Next::Interval, minute, row(9, 9), Some(minute)),
            (Next::Interval, Duration::ZERO, none, Some(SHORTEST)),
            (Next::Change, minute, row(9, 9), None),
            (Next::After(second * 7), second, none, Some(second * 7)),
            (Next::After(Duration::ZERO), minute, none, Some(SHORTEST)),
            (Next::Backoff, minute, row(1, 9), Some(second)),
            (Next::Backoff, minute, row(3, 9), Some(second * 4)),
            (Next::Backoff, minute, row(99, 0), Some(minute)),
            (Next::Backoff, minute * 600, row(99, 0), Some(LONGEST)),
            (Next::Soon, minute * 600, row(9, 1), Some(second * 15)),
            (Next::Soon, minute * 600, row(0, 2), Some(second * 30)),
            (Next::Soon, minute * 600, row(0, 99), Some(second * 120)),
            (Next::Soon, second, row(0, 99), Some(second)),
        ] {
            assert_eq!(
                wait_before_next(next, interval, in_a_row),
                expected,
                "{next:?} {in_a_row:?}"
            );
        }
    }

    #[test]
    fn what_is_concluded_is_done_under_way_or_stalled() {
        let waits = settling(&stalled()).into_waiting(Step::Build, reason::BUILDING, "it builds");
        for before in [stalled(), waits] {
            for (truth, reason, expected) in [
                (Truth::True, reason::SUCCEEDED, vec!["Ready=True/NeedsAttention"]),
                (
                    Truth::Unknown,
                    reason::AWAITING_MERGE,
                    vec!["Ready=Unknown/NeedsAttention", "Reconciling=True/Progressing"],
                ),
                (
                    Truth::False,
                    reason::PROGRESSING_WITH_RETRY,
                    vec![
                        "Ready=False/NeedsAttention",
                        "Reconciling=True/ProgressingWithRetry",
                    ],
                ),
                (
                    Truth::False,
                    reason::TIMED_OUT,
                    vec!["Ready=False/NeedsAttention", "Stalled=True/TimedOut"],
                ),
            ] {
                let ready = Verdict {
                    truth,
                    reason,
                    ready: reason::NEEDS_ATTENTION,
                    message: "as it is".to_owned(),
                };
                let mut found = shown(&settling(&before).into_concluded(&ready));
                found.retain(|one| !one.starts_with("SourceResolved") && !one.starts_with("ImageBuilt"));
                assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn a_status_has_results_for_one_generation_and_its_inputs() {
        let status = PatchSetStatus {
            inputs_digest: Some("a".into()),
            ..stalled()
        };
        assert!(has_results_for(&status, Some(2), &"a".into()));
        for (generation, inputs) in [(None, "a"), (Some(3), "a"), (Some(2), "b")] {
            assert!(
                !has_results_for(&status, generation, &inputs.into()),
                "{generation:?} {inputs}"
            );
        }
    }
}
