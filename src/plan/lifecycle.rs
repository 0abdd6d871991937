//! What is the same for all resources: how an attempt ends, and what that makes of `Ready`,
//! `Reconciling` and `Stalled`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::conditions::{self, Conditions, Truth};
use super::failure::{Failure, Retry, Step};
use crate::api::reason::{self, Reason, condition};
use crate::api::{ConstraintOverrideStatus, PatchSetStatus};

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<S, D> {
    /// A step could not be done. What was resolved before it is told.
    Failed(Failure, Option<S>),
    /// The inputs are those of the status as it stands: its results hold.
    Unchanged(S),
    /// There is a result.
    Done(S, D),
}

/// What the object asks for, as far as every status depends on it.
#[derive(Clone, Copy, Debug)]
pub struct AskedFor<'a> {
    /// `metadata.generation`.
    pub generation: i64,
    /// The annotation `reconcile.fluxcd.io/requestedAt`.
    pub requested_at: Option<&'a str>,
}

/// Whether something of the sources has to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignaturePolicy {
    /// Nothing is to be signed.
    NotRequired,
    /// The spec asks for signatures.
    Required,
}

/// Whether results that follow from verified sources may stand: nothing is to be signed, or it was
/// found to be.
#[must_use]
pub fn is_verified(status: &impl Observed, policy: SignaturePolicy) -> bool {
    policy == SignaturePolicy::NotRequired
        || conditions::is_true(status.conditions(), condition::SOURCE_VERIFIED)
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
    /// The `requestedAt` that was last answered.
    fn last_handled_reconcile_at(&self) -> Option<&str>;
    /// Sets all of them.
    fn observe(&mut self, generation: i64, handled: Option<String>, conditions: Vec<Condition>);
    /// Sets the conditions alone.
    fn set_conditions(&mut self, conditions: Vec<Condition>);
}

macro_rules! observed {
    ($status:ty) => {
        impl Observed for $status {
            fn conditions(&self) -> &[Condition] {
                &self.conditions
            }

            fn last_handled_reconcile_at(&self) -> Option<&str> {
                self.last_handled_reconcile_at.as_deref()
            }

            fn observe(&mut self, generation: i64, handled: Option<String>, conditions: Vec<Condition>) {
                self.observed_generation = generation;
                self.last_handled_reconcile_at = handled;
                self.conditions = conditions;
            }

            fn set_conditions(&mut self, conditions: Vec<Condition>) {
                self.conditions = conditions;
            }
        }
    };
}

observed!(PatchSetStatus);
observed!(ConstraintOverrideStatus);

/// The status at the start of work on a new generation.
///
/// Nothing where this generation was seen before: then the status stays until there is a result.
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
    /// Starts from the status as it is.
    #[must_use]
    pub fn from_previous(previous: &S, asked: AskedFor<'a>, now: Timestamp) -> Self {
        Self {
            status: previous.clone(),
            asked,
            conditions: Conditions::from_previous(previous.conditions(), asked.generation, now),
        }
    }

    /// Tells that the sources were resolved.
    pub fn mark_resolved(&mut self, message: &str) {
        self.conditions.set(
            condition::SOURCE_RESOLVED,
            Truth::True,
            reason::SUCCEEDED,
            message,
        );
    }

    /// Tells by whom the sources are signed, where that was looked at in this attempt. What was
    /// told before stays otherwise, unless nothing is to be signed.
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
                    "the last attempt failed and will be repeated",
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
                    Step::Verification | Step::Patches | Step::Constraints | Step::Build | Step::Delivery => {
                        Next::Interval
                    }
                }
            }
        };
        (self.finish(), next)
    }

    /// The status where there is a result. A bad one is Stalled, and looked at again after the
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

    /// The status where a step waits for something elsewhere.
    #[must_use]
    pub fn into_waiting(mut self, step: Step, reason: Reason, message: &str) -> (S, Next) {
        let conditions = &mut self.conditions;
        conditions.set(step.condition(), Truth::Unknown, reason, message);
        conditions.remove(condition::STALLED);
        conditions.set(condition::RECONCILING, Truth::True, reason::PROGRESSING, message);
        conditions.set(condition::READY, Truth::Unknown, reason, message);
        (self.finish(), Next::Soon)
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

/// How often the same happened to an object in a row, this time included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InARow {
    /// Attempts that failed.
    pub failures: u32,
    /// Looks at something under way elsewhere that found nothing new.
    pub looks: u32,
}

/// How long to wait, given the resource's interval and what happened in a row so far.
#[must_use]
pub fn wait_before_next(next: Next, interval: Duration, in_a_row: InARow) -> Option<Duration> {
    match next {
        Next::Interval => Some(interval.max(super::backoff::SHORTEST)),
        Next::Soon => Some(super::backoff::after_looks(in_a_row.looks, interval)),
        Next::Backoff => Some(super::backoff::after_failures(in_a_row.failures, interval)),
        Next::After(wait) => Some(wait.max(super::backoff::SHORTEST)),
        Next::Change => None,
    }
}
