//! The status of a `PatchSet`, derived from what was observed.

use std::time::Duration;

use jiff::Timestamp;

use super::conditions::{self, Conditions, Truth};
use super::failure::{Failure, Retry, Step};
use crate::api::patch_set::MergedPatches;
use crate::api::reason::{self, condition};
use crate::api::status::{CandidateStatus, PatchSetStatus, PatchState, PatchStatus, UpstreamStatus};

/// What the sources say; known before any patch is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources {
    /// The upstream.
    pub upstream: UpstreamStatus,
    /// The revision of the patches.
    pub patches_revision: Option<String>,
    /// A digest over all that the result follows from.
    pub inputs_digest: String,
}

/// What applying the series gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Each patch, in order.
    pub patches: Vec<PatchStatus>,
    /// The tree after all patches that apply.
    pub tree: String,
    /// The candidates.
    pub candidates: Vec<CandidateStatus>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A step could not be done. What was resolved before it is told.
    Failed(Failure, Option<Sources>),
    /// The inputs are those of the status as it stands: its results hold.
    Unchanged(Sources),
    /// The series was applied.
    Checked(Sources, Checked),
}

/// What the object asks for, as far as its status depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `metadata.generation`.
    pub generation: i64,
    /// The annotation `reconcile.fluxcd.io/requestedAt`.
    pub requested_at: Option<&'a str>,
    /// `spec.mergedPatches`.
    pub merged: MergedPatches,
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// After the resource's interval.
    Interval,
    /// After a wait that grows with each failure.
    Backoff,
    /// When something changes.
    Change,
}

/// Whether results that were computed from these inputs stand in the status already.
#[must_use]
pub fn holds(previous: &PatchSetStatus, inputs_digest: &str) -> bool {
    previous.inputs_digest.as_deref() == Some(inputs_digest)
        && conditions::find(&previous.conditions, condition::PATCHES_APPLICABLE)
            .is_some_and(|c| c.status != Truth::Unknown.as_str())
}

/// The status at the start of work on a new generation.
///
/// Nothing where this generation was seen before: then the status stays until there is a result.
#[must_use]
pub fn begin(previous: &PatchSetStatus, generation: i64, now: Timestamp) -> Option<PatchSetStatus> {
    if conditions::find(&previous.conditions, condition::READY)
        .is_some_and(|ready| ready.observed_generation == Some(generation))
    {
        return None;
    }
    let mut conditions = Conditions::from_previous(&previous.conditions, generation, now);
    let message = format!("looking at generation {generation}");
    conditions.set(condition::RECONCILING, Truth::True, reason::PROGRESSING, &message);
    conditions.set(condition::READY, Truth::Unknown, reason::PROGRESSING, &message);
    conditions.remove(condition::STALLED);
    Some(PatchSetStatus {
        conditions: conditions.into_list(),
        ..previous.clone()
    })
}

/// The status after an attempt, and when to make the next.
#[must_use]
pub fn settle(
    previous: &PatchSetStatus,
    asked: Asked<'_>,
    now: Timestamp,
    outcome: Outcome,
) -> (PatchSetStatus, Next) {
    let mut status = previous.clone();
    status.observed_generation = asked.generation;
    status.last_handled_reconcile_at = asked
        .requested_at
        .map(ToOwned::to_owned)
        .or(status.last_handled_reconcile_at);
    let mut conditions = Conditions::from_previous(&previous.conditions, asked.generation, now);
    let next = match outcome {
        Outcome::Failed(failure, sources) => {
            if let Some(sources) = sources {
                resolved(&mut conditions, &sources);
            }
            failed(&mut conditions, &failure)
        }
        Outcome::Unchanged(sources) => {
            resolved(&mut conditions, &sources);
            take_sources(&mut status, sources);
            judged(&mut conditions, &status, asked.merged)
        }
        Outcome::Checked(sources, checked) => {
            resolved(&mut conditions, &sources);
            take_sources(&mut status, sources);
            take_checked(&mut status, checked, asked.merged);
            judged(&mut conditions, &status, asked.merged)
        }
    };
    status.conditions = conditions.into_list();
    (status, next)
}

/// How long to wait, given the resource's interval and the failures in a row so far.
#[must_use]
pub fn wait(next: Next, interval: Duration, failures: u32) -> Option<Duration> {
    match next {
        Next::Interval => Some(interval.max(super::backoff::SHORTEST)),
        Next::Backoff => Some(super::backoff::after_failures(failures, interval)),
        Next::Change => None,
    }
}

fn resolved(conditions: &mut Conditions, sources: &Sources) {
    let message = match &sources.patches_revision {
        Some(patches) => format!("upstream at {}, patches at {patches}", sources.upstream.revision),
        None => format!("upstream at {}", sources.upstream.revision),
    };
    conditions.set(
        condition::SOURCE_RESOLVED,
        Truth::True,
        reason::SUCCEEDED,
        &message,
    );
}

fn take_sources(status: &mut PatchSetStatus, sources: Sources) {
    status.upstream = Some(sources.upstream);
    status.patches_revision = sources.patches_revision;
    status.inputs_digest = Some(sources.inputs_digest);
}

fn take_checked(status: &mut PatchSetStatus, checked: Checked, merged: MergedPatches) {
    let passing = checked.patches.iter().filter(|p| passes(p, merged)).count();
    status.applied = Some(format!("{passing}/{}", checked.patches.len()));
    status.patched_tree = (passing == checked.patches.len()).then_some(checked.tree);
    status.patches = checked.patches;
    status.candidates = checked.candidates;
}

fn failed(conditions: &mut Conditions, failure: &Failure) -> Next {
    conditions.set(
        failure.step.condition(),
        Truth::False,
        failure.reason,
        &failure.message,
    );
    conditions.set(condition::READY, Truth::False, failure.reason, &failure.message);
    match failure.retry {
        Retry::Backoff => {
            conditions.remove(condition::STALLED);
            conditions.set(
                condition::RECONCILING,
                Truth::True,
                reason::PROGRESSING_WITH_RETRY,
                "the last attempt failed and will be repeated",
            );
            Next::Backoff
        }
        Retry::WhenChanged => {
            conditions.remove(condition::RECONCILING);
            conditions.set(condition::STALLED, Truth::True, failure.reason, &failure.message);
            match failure.step {
                Step::Source => Next::Change,
                Step::Patches => Next::Interval,
            }
        }
    }
}

/// Whether a patch lets its `PatchSet` be ready.
#[must_use]
pub fn passes(patch: &PatchStatus, merged: MergedPatches) -> bool {
    match patch.state {
        PatchState::Clean | PatchState::Offset => true,
        PatchState::Merged => merged == MergedPatches::Skip,
        PatchState::Conflict | PatchState::Malformed | PatchState::Blocked => false,
    }
}

fn judged(conditions: &mut Conditions, status: &PatchSetStatus, merged: MergedPatches) -> Next {
    let (truth, reason, message) = verdict(status, merged);
    conditions.set(condition::PATCHES_APPLICABLE, truth, reason, &message);
    conditions.remove(condition::RECONCILING);
    if truth == Truth::True {
        conditions.remove(condition::STALLED);
        conditions.set(condition::READY, Truth::True, reason::SUCCEEDED, &message);
    } else {
        conditions.set(condition::STALLED, Truth::True, reason, &message);
        conditions.set(condition::READY, Truth::False, reason, &message);
    }
    Next::Interval
}

/// The verdict on a series: truth, reason and a sentence for `PatchesApplicable`.
fn verdict(status: &PatchSetStatus, merged: MergedPatches) -> (Truth, &'static str, String) {
    let revision = status
        .upstream
        .as_ref()
        .map_or("the upstream", |u| u.revision.as_str());
    let total = status.patches.len();
    let failing: Vec<&PatchStatus> = status.patches.iter().filter(|p| !passes(p, merged)).collect();
    let Some(first) = failing.first() else {
        return match total {
            0 => (
                Truth::True,
                reason::NO_PATCHES,
                format!("no patches are carried on {revision}"),
            ),
            _ => (
                Truth::True,
                reason::SUCCEEDED,
                all_apply(&status.patches, revision),
            ),
        };
    };
    let has = |state| failing.iter().any(|p| p.state == state);
    let reason = if has(PatchState::Conflict) {
        reason::PATCH_CONFLICT
    } else if has(PatchState::Malformed) {
        reason::PATCH_MALFORMED
    } else if has(PatchState::Merged) {
        reason::PATCH_MERGED
    } else {
        reason::PATCH_CONFLICT
    };
    let applied = total - failing.len();
    (
        Truth::False,
        reason,
        format!(
            "{applied} of {total} patches apply to {revision}: {}",
            first_failure(first)
        ),
    )
}

fn all_apply(patches: &[PatchStatus], revision: &str) -> String {
    let count = |state| patches.iter().filter(|p| p.state == state).count();
    let message = match patches.len() {
        1 => format!("1 patch applies to {revision}"),
        n => format!("{n} of {n} patches apply to {revision}"),
    };
    let mut remarks = Vec::new();
    if count(PatchState::Offset) > 0 {
        remarks.push(format!("{} with an offset", count(PatchState::Offset)));
    }
    if count(PatchState::Merged) > 0 {
        remarks.push(format!(
            "{} already upstream and skipped",
            count(PatchState::Merged)
        ));
    }
    match remarks.as_slice() {
        [] => message,
        _ => format!("{message} ({})", remarks.join(", ")),
    }
}

fn first_failure(patch: &PatchStatus) -> String {
    let name = &patch.name;
    match (patch.state, &patch.conflict, &patch.message) {
        (PatchState::Merged, _, _) => format!("{name} is already upstream, remove it"),
        (PatchState::Conflict, Some(conflict), _) => match (conflict.hunk, conflict.line) {
            (Some(hunk), Some(line)) => {
                format!(
                    "{name} conflicts in {}, hunk {hunk} at line {line}",
                    conflict.file
                )
            }
            _ => match &patch.message {
                Some(message) => format!("{name} conflicts: {message}"),
                None => format!("{name} conflicts in {}", conflict.file),
            },
        },
        (_, _, Some(message)) => format!("{name}: {message}"),
        (state, _, None) => format!("{name}: {}", state.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn sources(digest: &str) -> Sources {
        Sources {
            upstream: UpstreamStatus {
                revision: format!("main@sha1:{digest}"),
                commit: digest.to_owned(),
            },
            patches_revision: None,
            inputs_digest: digest.to_owned(),
        }
    }

    fn patch(state: PatchState) -> PatchStatus {
        PatchStatus {
            name: "0001.patch".into(),
            state,
            subject: None,
            author: None,
            offset: None,
            message: Some("why".into()),
            conflict: None,
        }
    }

    fn checked(states: &[PatchState]) -> Checked {
        let patches = states.iter().map(|state| patch(*state)).collect();
        Checked {
            patches,
            tree: "tree".into(),
            candidates: Vec::new(),
        }
    }

    fn asked(generation: i64) -> Asked<'static> {
        Asked {
            generation,
            requested_at: None,
            merged: MergedPatches::Fail,
        }
    }

    fn after(previous: &PatchSetStatus, outcome: Outcome) -> (PatchSetStatus, Next) {
        settle(previous, asked(1), NOW, outcome)
    }

    fn shown(status: &PatchSetStatus) -> Vec<String> {
        status
            .conditions
            .iter()
            .map(|c| format!("{}={}/{}", c.type_, c.status, c.reason))
            .collect()
    }

    #[test]
    fn a_new_generation_is_announced_once() {
        let begun = begin(&PatchSetStatus::default(), 1, NOW).unwrap();
        assert_eq!(
            shown(&begun),
            ["Ready=Unknown/Progressing", "Reconciling=True/Progressing"]
        );
        assert_eq!(begun.observed_generation, -1);
        assert_eq!(begin(&begun, 1, NOW), None);
        assert!(begin(&begun, 2, NOW).is_some());
    }

    #[test]
    fn the_same_outcome_again_changes_nothing() {
        let outcome = || Outcome::Checked(sources("a"), checked(&[PatchState::Clean, PatchState::Offset]));
        let (status, next) = after(&PatchSetStatus::default(), outcome());
        assert_eq!(next, Next::Interval);
        let later = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(settle(&status, asked(1), later, outcome()).0, status);
        assert!(holds(&status, "a") && !holds(&status, "b"));
        assert_eq!(
            settle(&status, asked(1), later, Outcome::Unchanged(sources("a"))).0,
            status
        );
    }

    #[test]
    fn each_state_has_its_reason() {
        use PatchState::{Blocked, Clean, Conflict, Malformed, Merged};
        for (states, reason) in [
            (&[Clean, Conflict, Blocked][..], "PatchConflict"),
            (&[Malformed, Merged], "PatchMalformed"),
            (&[Merged, Clean], "PatchMerged"),
            (&[Blocked], "PatchConflict"),
        ] {
            let (status, next) = after(
                &PatchSetStatus::default(),
                Outcome::Checked(sources("a"), checked(states)),
            );
            let expected = [
                format!("PatchesApplicable=False/{reason}"),
                format!("Ready=False/{reason}"),
                "SourceResolved=True/Succeeded".to_owned(),
                format!("Stalled=True/{reason}"),
            ];
            assert_eq!((shown(&status), next), (expected.to_vec(), Next::Interval));
            assert_eq!(status.patched_tree, None);
        }
    }

    #[test]
    fn a_failure_keeps_the_last_result_whole() {
        let (good, _) = after(
            &PatchSetStatus::default(),
            Outcome::Checked(sources("a"), checked(&[PatchState::Clean])),
        );
        let failure = Failure::retried(Step::Patches, reason::STORAGE_FAILED, "disk");
        let (status, next) = after(&good, Outcome::Failed(failure, Some(sources("b"))));
        assert_eq!(next, Next::Backoff);
        assert_eq!(
            (
                &status.upstream,
                &status.patches,
                &status.patched_tree,
                &status.inputs_digest
            ),
            (
                &good.upstream,
                &good.patches,
                &good.patched_tree,
                &good.inputs_digest
            )
        );
        assert_eq!(
            shown(&status)[1..3],
            [
                "Ready=False/StorageFailed",
                "Reconciling=True/ProgressingWithRetry"
            ]
        );
    }

    #[test]
    fn what_only_a_person_can_mend_is_stalled() {
        let failure = Failure::stalled(Step::Source, reason::ACCESS_DENIED, "no");
        let (status, next) = after(&PatchSetStatus::default(), Outcome::Failed(failure, None));
        assert_eq!(next, Next::Change);
        assert_eq!(
            shown(&status),
            [
                "Ready=False/AccessDenied",
                "SourceResolved=False/AccessDenied",
                "Stalled=True/AccessDenied"
            ]
        );
    }

    #[test]
    fn no_interval_is_a_busy_loop() {
        assert_eq!(
            wait(Next::Interval, Duration::ZERO, 0),
            Some(Duration::from_secs(1))
        );
        assert_eq!(wait(Next::Change, Duration::ZERO, 0), None);
    }
}
