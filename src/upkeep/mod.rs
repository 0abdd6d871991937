//! Looks after a team's patches: which to drop because upstream has them and which to refresh
//! because they moved, as commits, texts, and the manners of a pull request.
//!
//! Values flow one way: [`SeriesFacts`] of the `PatchSet`s → [`plan_upkeep`] → [`SeriesProof`]s
//! that the caller makes from the plan → [`request_text`] → [`next_step`] → [`upkeep_status`].

mod change;
mod change_id;
mod drops;
mod facts;
mod folder_plan;
mod harm;
mod left_alone;
mod marker;
mod message;
mod plan;
mod proof;
mod quoted;
mod refreshed;
mod request_text;
mod same_patch;
mod status;
mod step;

pub use change::{ChangeKind, PlannedChange, PlannedCommit, UpkeepPlan};
pub use change_id::ChangeId;
pub use facts::{PlaceError, SeriesFacts, SeriesPolicy, UpkeepPlace};
pub use harm::Harm;
pub use left_alone::{LeftAlone, LeftAloneReason};
pub use marker::{CommitMark, UpkeepMarker};
pub use plan::plan_upkeep;
pub use proof::{SeriesProof, SeriesResult, WithheldChanges, WithheldPart};
pub use refreshed::{MovedFile, RefreshedPatch, RefreshedPatches};
pub use request_text::{RequestText, request_text};
pub use same_patch::PatchElsewhere;
pub use status::{UpkeepOutcome, UpkeepVerdict, upkeep_status, upkeep_verdict};
pub use step::{
    BranchCommit, ObservedBranch, ObservedRequest, ObservedUpkeep, RequestState, StandBackReason,
    UpkeepRates, UpkeepStep, declined_changes, next_step,
};

#[cfg(test)]
mod tests {
    mod plan;
    mod status;
    mod step;
    mod text;
    mod world;
}
