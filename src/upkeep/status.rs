//! What a `PatchSet`'s status says of its upkeep.

use std::collections::BTreeSet;

use foreign_text::printable;
use git_apply_engine::Oid;
use jiff::Timestamp;
use patchset_api::Recorded;
use patchset_api::conditions::Truth;
use patchset_api::reason::{self, Reason};
use patchset_api::upkeep::{
    MOST_DECLINED, MOST_UPKEEP_ITEMS, UpkeepAction, UpkeepDrop, UpkeepLeftAlone, UpkeepRefresh, UpkeepState,
    UpkeepStatus,
};

use super::change::UpkeepPlan;
use super::change_id::ChangeId;
use super::drops::{Todo, todo};
use super::facts::SeriesFacts;
use super::folder_plan::proposed_action;
use super::left_alone::{LeftAlone, LeftAloneReason};
use crate::plan::conditions::seconds;

/// The longest texts of a status, in characters.
const NAME: usize = 256;
const MESSAGE: usize = 400;

/// The outcome of the request that several `PatchSet`s share.
#[derive(Clone, Debug, PartialEq)]
pub struct UpkeepOutcome {
    /// The state of those for which something is proposed.
    pub state: UpkeepState,
    /// The request's page.
    pub pull_request: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// Its last commit.
    pub commit: Option<Oid>,
    /// Why it waits, stands back or failed, in a sentence.
    pub message: Option<String>,
}

/// What the condition `UpkeepProposed` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpkeepVerdict {
    /// Whether all that is to be done is proposed.
    pub truth: Truth,
    /// Why.
    pub reason: Reason,
    /// The same in a sentence.
    pub message: String,
}

/// The status of a `PatchSet`'s upkeep: what is to be done according to its own status and, with a
/// plan, what came of that. `None` if nothing was ever asked for and nothing is to be done.
#[must_use]
pub fn upkeep_status(
    facts: &SeriesFacts,
    shared: Option<(&UpkeepPlan, &UpkeepOutcome)>,
    now: Timestamp,
) -> Option<UpkeepStatus> {
    let (mut drops, mut refreshes) = (Vec::new(), Vec::new());
    for patch in &facts.patches {
        match todo(patch) {
            Some(Ok(Todo::Drop(merged))) => drops.push(UpkeepDrop {
                name: patch.name.clone(),
                by: merged.by,
                differs: merged.differs,
                commit: merged.commit.clone(),
            }),
            Some(Ok(Todo::Refresh)) => refreshes.push(UpkeepRefresh {
                name: patch.name.clone(),
                by: patch.refresh.and_then(|refresh| refresh.by),
            }),
            Some(Err(_)) | None => {}
        }
    }
    let plan = shared.map(|(plan, _)| plan);
    let left = plan.iter().flat_map(|plan| &plan.left_alone);
    let mut left_alone: Vec<UpkeepLeftAlone> = left
        .filter(|left| left.patch_set == facts.patch_set)
        .map(left_alone_status)
        .collect();
    let previous = facts.status.as_ref();
    let is_concerned = plan.is_some_and(|plan| plan.concerns(&facts.patch_set));
    let waits = plan.and_then(|plan| {
        let own = plan
            .left_alone
            .iter()
            .filter(|left| left.patch_set == facts.patch_set);
        let waits = own.filter(|left| matches!(left.reason, LeftAloneReason::TooFresh { .. }));
        waits.map(left_alone_status).next()
    });
    let outcome = shared.map(|(_, outcome)| outcome);
    let (state, shown) = match outcome {
        Some(outcome) if is_concerned || outcome.state == UpkeepState::Failed => {
            (outcome.state, Some(outcome))
        }
        // A merged or closed request stays in the status until there is something new.
        Some(outcome)
            if previous.is_some_and(|previous| previous.pull_request.is_some())
                && matches!(outcome.state, UpkeepState::Merged | UpkeepState::Closed) =>
        {
            (outcome.state, Some(outcome))
        }
        Some(_) if waits.is_some() => (UpkeepState::Waiting, None),
        _ => (UpkeepState::Reported, None),
    };
    let is_empty = drops.is_empty() && refreshes.is_empty() && left_alone.is_empty();
    if is_empty && previous.is_none() && shared.is_none() {
        return None;
    }
    let count = drops.len() + refreshes.len() + left_alone.len();
    drops.truncate(MOST_UPKEEP_ITEMS);
    refreshes.truncate(MOST_UPKEEP_ITEMS);
    left_alone.truncate(MOST_UPKEEP_ITEMS);
    let omitted = count - drops.len() - refreshes.len() - left_alone.len();
    let since = previous.filter(|previous| previous.state == state);
    Some(UpkeepStatus {
        state,
        since: since.map_or_else(|| seconds(now), |previous| previous.since.clone()),
        pull_request: shown.and_then(|shown| shown.pull_request.clone()).or_else(|| {
            // What waits may be in an open request.
            let before = previous.filter(|_| state == UpkeepState::Waiting)?;
            before.pull_request.clone()
        }),
        branch: shown.and_then(|shown| shown.branch.clone()),
        commit: shown.and_then(|shown| shown.commit).map(Recorded::new),
        message: match (shown, waits) {
            (Some(shown), _) => shown
                .message
                .as_deref()
                .map(|message| printable(message, MESSAGE)),
            (None, Some(waits)) => Some(format!("{}: {}", waits.name, waits.reason)),
            (None, None) => None,
        },
        drops,
        refreshes,
        left_alone,
        omitted: (omitted > 0).then(|| u32::try_from(omitted).unwrap_or(u32::MAX)),
        declined: declined(facts, plan),
    })
}

fn left_alone_status(left: &LeftAlone) -> UpkeepLeftAlone {
    UpkeepLeftAlone {
        name: printable(&left.name, NAME),
        reason: printable(&left.reason.to_string(), MESSAGE),
    }
}

/// The declined changes to remember, first those that the plan leaves out for that reason.
fn declined(facts: &SeriesFacts, plan: Option<&UpkeepPlan>) -> Vec<String> {
    let own = plan
        .iter()
        .flat_map(|plan| &plan.left_alone)
        .filter(|left| left.patch_set == facts.patch_set);
    let current: BTreeSet<&ChangeId> = own
        .filter_map(|left| match &left.reason {
            LeftAloneReason::Declined { change } => Some(change),
            _ => None,
        })
        .collect();
    let former = facts.declined.iter().filter(|change| !current.contains(change));
    let all = current.iter().copied().chain(former);
    let mut kept: Vec<String> = all
        .take(MOST_DECLINED)
        .map(|change| change.as_str().to_owned())
        .collect();
    kept.sort_unstable();
    kept
}

/// What the condition `UpkeepProposed` says; `None` where the spec proposes nothing.
#[must_use]
pub fn upkeep_verdict(facts: &SeriesFacts, status: &UpkeepStatus) -> Option<UpkeepVerdict> {
    let policy = facts.policy;
    if ![policy.drop, policy.refresh].contains(&UpkeepAction::PullRequest) {
        return None;
    }
    let proposable = facts
        .patches
        .iter()
        .filter(|patch| proposed_action(facts, patch) == Some(UpkeepAction::PullRequest))
        .count();
    let at = status.pull_request.as_deref().or(status.branch.as_deref());
    let at = at.unwrap_or("the branch");
    let because = |text: &str| match &status.message {
        Some(message) => format!("{text}: {message}"),
        None => text.to_owned(),
    };
    let (truth, reason, message) = match status.state {
        UpkeepState::Proposed => (Truth::True, reason::SUCCEEDED, format!("proposed by {at}")),
        UpkeepState::Merged => (Truth::True, reason::SUCCEEDED, format!("{at} was merged")),
        UpkeepState::Waiting => (
            Truth::Unknown,
            reason::UPKEEP_WAITS,
            because("it will be proposed"),
        ),
        UpkeepState::StandsBack => (Truth::False, reason::HANDS_OFF, because("left to a person")),
        UpkeepState::Closed => (
            Truth::False,
            reason::PULL_REQUEST_CLOSED,
            format!(
                "{at} was closed without being merged; it will be proposed again when upstream or the patches change"
            ),
        ),
        UpkeepState::Failed => (
            Truth::False,
            reason::PROGRESSING_WITH_RETRY,
            because("it could not be proposed, and will be tried again"),
        ),
        UpkeepState::Reported if proposable > 0 && !status.left_alone.is_empty() => {
            let first = status.left_alone.first();
            let first = first.map(|left| format!("{}: {}", left.name, left.reason));
            let message = format!("everything is left alone; {}", first.unwrap_or_default());
            (Truth::False, reason::LEFT_ALONE, message)
        }
        UpkeepState::Reported => (
            Truth::True,
            reason::NOTHING_TO_PROPOSE,
            "there is nothing to do for the patches".to_owned(),
        ),
    };
    Some(UpkeepVerdict {
        truth,
        reason,
        message,
    })
}
