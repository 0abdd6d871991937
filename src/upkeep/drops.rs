//! Which patches may be dropped, and which refreshed, according to a status.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use patchset_api::status::{PatchState, PatchStatus};
use patchset_api::upstream_history::{Evidence, MergedStatus, RefreshState};

use super::left_alone::LeftAloneReason;

/// What a status says is to be done for a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Todo {
    /// Upstream has it.
    Drop(MergedStatus),
    /// It moved.
    Refresh,
}

/// What is to be done for a patch: nothing, something, or something that is left alone.
pub(super) fn todo(patch: &PatchStatus) -> Option<Result<Todo, LeftAloneReason>> {
    if let (PatchState::Merged, Some(merged)) = (patch.state, &patch.merged) {
        return Some(match &patch.reverted {
            Some(_) => Err(LeftAloneReason::TakenBack),
            None if is_certain(merged) => Ok(Todo::Drop(merged.clone())),
            None => Err(LeftAloneReason::Uncertain),
        });
    }
    let refresh = patch.refresh.map(|refresh| refresh.state);
    let may_be_refreshed = match patch.state {
        PatchState::Offset => true,
        PatchState::Conflict | PatchState::Blocked => refresh == Some(RefreshState::Needed),
        PatchState::Clean | PatchState::Merged | PatchState::Malformed => false,
    };
    may_be_refreshed.then_some(Ok(Todo::Refresh))
}

/// Whether it is certain enough that upstream has a patch to propose dropping it.
///
/// A commit, an id or a note of a cherry-pick names the change, so upstream has it in whatever
/// form. The same author, date and subject may be two changes of a series that was sent twice:
/// there the changes have to be the same, or are shown side by side.
fn is_certain(merged: &MergedStatus) -> bool {
    match merged.by {
        Evidence::Reverse
        | Evidence::Commit
        | Evidence::CherryPick
        | Evidence::ChangeId
        | Evidence::PatchId => true,
        Evidence::Authorship => !merged.differs || merged.interdiff.is_some(),
    }
}

/// Checks that a patch has been in its state for long enough.
///
/// # Errors
///
/// When it will have been, or that the status does not say since when it has been.
pub(super) fn check_age(
    patch: &PatchStatus,
    after: std::time::Duration,
    now: Timestamp,
) -> Result<(), LeftAloneReason> {
    let Some(Time(since)) = &patch.since else {
        return Err(LeftAloneReason::NotTried);
    };
    let until = since.checked_add(after).unwrap_or(Timestamp::MAX);
    if until > now {
        return Err(LeftAloneReason::TooFresh { until });
    }
    Ok(())
}
