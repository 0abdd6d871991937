//! Looks after the patches of `PatchSet`s in their repository: proposes what is to be dropped or
//! refreshed as a pull request, and keeps that up to date.
//!
//! `crate::upkeep` decides what is to be done, in which words and with which manners; this module
//! observes and acts.

mod branch_upkeep;
mod group;
mod repository;
mod tried_series;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::runtime::events::EventType;

use crate::controller::context::journal::Interrupted;
use crate::controller::context::turn::Turn;
use crate::controller::context::{Context, Occasion};
use crate::controller::state::upkeeps::{BranchUpkeep, UpkeepBranch, UpkeepOrder};
use crate::plan::conditions::Conditions;
use crate::status::events::Note;
use crate::upkeep::{PlaceError, SeriesFacts, UpkeepPlace, UpkeepPlan, upkeep_status, upkeep_verdict};
use branch_upkeep::{failed, look_after_branch};
use group::Group;
use patchset_api::PatchSet;
use patchset_api::conditions::{self, Truth};
use patchset_api::reason::{self, condition};
use patchset_api::status::PatchSetStatus;

/// The least time that it is given.
const LEAST_TIME: Duration = Duration::from_secs(60);

/// Reports what is to be done for the patches, and has it proposed if the spec asks for that.
/// Returns the longest time until it has to look again.
///
/// Failures are reported in `status.upkeep` and in its condition alone.
///
/// # Errors
///
/// Where the status could not be written.
pub async fn look_after(turn: &Turn<'_, PatchSet>) -> Result<Option<Duration>, Interrupted> {
    let (object, status) = (turn.object, turn.status());
    if object.spec.upkeep.is_none() && status.upkeep.is_none() {
        return Ok(None);
    }
    let newest = with_status(object, &status);
    let (shared, again) = match UpkeepPlace::from_spec(&object.spec) {
        Ok(None) => (Shared::Nothing, None),
        Err(error) => (Shared::Impossible(error), None),
        Ok(Some(place)) => match shared_upkeep(turn, &newest, &place).await {
            Some((shared, again)) => (Shared::Branch(shared), Some(again)),
            // The worker was stopped: what was done is seen the next time.
            None => return Ok(Some(turn.context.options.min_interval)),
        },
    };
    let told = told_status(&newest, &status, &shared, Timestamp::now());
    if told != *status {
        turn.journal.write(&told).await?;
        tell_news(turn, &status, &told).await;
    }
    Ok(again)
}

/// What is shared with others.
enum Shared {
    /// Nothing is proposed.
    Nothing,
    /// It cannot be proposed.
    Impossible(PlaceError),
    /// What was done for the branch.
    Branch(Arc<BranchUpkeep>),
}

/// An object with its current status.
fn with_status(object: &PatchSet, status: &PatchSetStatus) -> PatchSet {
    PatchSet {
        status: Some(status.clone()),
        ..object.clone()
    }
}

/// The status with what is to be done for the patches.
fn told_status(
    object: &PatchSet,
    status: &PatchSetStatus,
    shared: &Shared,
    now: Timestamp,
) -> PatchSetStatus {
    let facts = SeriesFacts::read(object).unwrap_or_else(|| SeriesFacts::without_folder(object));
    let upkeep = match shared {
        Shared::Nothing => upkeep_status(&facts, None, now),
        Shared::Impossible(error) => {
            let outcome = failed(error.to_string(), None);
            upkeep_status(&facts, Some((&UpkeepPlan::default(), &outcome)), now)
        }
        Shared::Branch(branch) => upkeep_status(&facts, Some((&branch.plan, &branch.outcome)), now),
    };
    let upkeep = upkeep.filter(|_| object.spec.upkeep.is_some());
    let verdict = upkeep.as_ref().and_then(|upkeep| upkeep_verdict(&facts, upkeep));
    let generation = object.metadata.generation.unwrap_or_default();
    let mut conditions = Conditions::from_previous(&status.conditions, generation, now);
    match verdict {
        Some(verdict) => conditions.set(
            condition::UPKEEP_PROPOSED,
            verdict.truth,
            verdict.reason,
            &verdict.message,
        ),
        None => conditions.remove(condition::UPKEEP_PROPOSED),
    }
    PatchSetStatus {
        upkeep: upkeep.map(Box::new),
        conditions: conditions.into_list(),
        ..status.clone()
    }
}

/// What was done for the branch that an object shares, and how long that stands. Costs nothing if
/// nothing is new and the branch was looked at a short time ago.
async fn shared_upkeep(
    turn: &Turn<'_, PatchSet>,
    newest: &PatchSet,
    place: &UpkeepPlace,
) -> Option<(Arc<BranchUpkeep>, Duration)> {
    let context = turn.context;
    let branch = UpkeepBranch::new(&turn.namespace(), place);
    if let Some(known) = standing(turn, &branch, newest) {
        return Some(known);
    }
    // The steps before may have taken all the time.
    let deadline = turn.budget.deadline.max(Instant::now() + LEAST_TIME);
    let order = UpkeepOrder {
        patch_set: newest.clone(),
        deadline,
    };
    let (writers, place) = (&context.upkeeps.writers, &branch);
    let work = writers.run(place, order, deadline, |orders| async move {
        // Somebody may have looked while this one waited.
        let known = standing(turn, place, newest).filter(|_| orders.len() == 1);
        let done = if let Some((known, _)) = known {
            known
        } else {
            let done = Box::pin(look_after_branch(context, place, &orders)).await;
            nudge_others(context, place, newest, &done);
            done
        };
        orders.iter().map(|_| Arc::clone(&done)).collect()
    });
    let done = Box::pin(work).await?;
    let again = done.lasts;
    Some((done, again))
}

/// What is known of a branch, if it still stands, and for how much longer.
fn standing(
    turn: &Turn<'_, PatchSet>,
    branch: &UpkeepBranch,
    newest: &PatchSet,
) -> Option<(Arc<BranchUpkeep>, Duration)> {
    let context = turn.context;
    let known = context.upkeeps.last.get(branch)?;
    if let Occasion::Asked { since } | Occasion::Pushed { since } = turn.budget.occasion
        && known.began < since
    {
        return None;
    }
    let group = Group::find(context, branch, std::slice::from_ref(newest))?;
    let lasts = if group.digest(&context.referents) == known.inputs {
        known.lasts
    } else {
        known.lasts.min(context.options.min_interval)
    };
    let age = Instant::now().saturating_duration_since(known.ended);
    let left = lasts.checked_sub(age).filter(|left| !left.is_zero())?;
    Some((known, left))
}

/// Wakes those whose statuses do not say what was done.
fn nudge_others(context: &Context, branch: &UpkeepBranch, own: &PatchSet, done: &Arc<BranchUpkeep>) {
    let Some(group) = Group::find(context, branch, &[]) else {
        return;
    };
    for other in group.others(&own.name_any()) {
        let Some(status) = &other.status else { continue };
        let told = told_status(other, status, &Shared::Branch(Arc::clone(done)), Timestamp::now());
        let told = told
            .upkeep
            .map(|upkeep| (upkeep.state, upkeep.pull_request, upkeep.commit));
        let known = status.upkeep.clone();
        let known = known.map(|upkeep| (upkeep.state, upkeep.pull_request, upkeep.commit));
        if told != known {
            context.nudges.wake(group::referent(other));
        }
    }
}

/// Tells people what happened to the pull request.
async fn tell_news(turn: &Turn<'_, PatchSet>, before: &PatchSetStatus, now: &PatchSetStatus) {
    let of = |conditions: &[Condition]| {
        let found = conditions::find(conditions, condition::UPKEEP_PROPOSED)?;
        Some((found.status.clone(), found.reason.clone(), found.message.clone()))
    };
    let (known, Some(new)) = (of(&before.conditions), of(&now.conditions)) else {
        return;
    };
    let Ok(reason) = new.1.parse() else { return };
    let is_silent = [reason::NOTHING_TO_PROPOSE, reason::UPKEEP_WAITS].contains(&reason);
    if is_silent || known.as_ref() == Some(&new) {
        return;
    }
    let kind = if new.0 == Truth::False.as_str() {
        EventType::Warning
    } else {
        EventType::Normal
    };
    let message = format!("{}: {}", condition::UPKEEP_PROPOSED, new.2);
    turn.journal
        .publish_note(
            Note {
                kind,
                reason,
                message,
            },
            now,
        )
        .await;
}
