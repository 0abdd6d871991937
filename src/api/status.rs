//! What the controller says of a `PatchSet`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::patch::Oid;
pub use crate::patch::PatchState;

use super::build::{BuildRecord, BuildStatus, ImageStatus};
use super::delivery::{DeliveryStatus, ProposalStatus};
use super::{InputsDigest, Recorded, Revision};

/// The generation of an object whose spec was not looked at yet.
pub const NEVER_OBSERVED: i64 = -1;

/// The observed state of a `PatchSet`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchSetStatus {
    /// The generation of the spec that was last looked at; −1 where none was.
    #[serde(default = "never_observed")]
    pub observed_generation: i64,
    /// `Ready` always; `Reconciling` and `Stalled` only while True; one condition for each step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The `reconcile.fluxcd.io/requestedAt` that was last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// The upstream as it was last resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamStatus>,
    /// The revision of the patches: of their Git repository or artifact, or a digest of what was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patches_revision: Option<String>,
    /// How many patches apply, of how many: `3/4`. A merged patch that is skipped counts as applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// The tree after all patches (its SHA-1), where all apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patched_tree: Option<String>,
    /// Each patch of the series, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<PatchStatus>,
    /// The patches that the list has no room for, by what became of them: an object's size is bounded. Those that do not
    /// apply are listed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omitted_patches: Option<OmittedPatches>,
    /// The same patches against the candidate refs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<CandidateStatus>,
    /// A digest over all that this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_digest: Option<InputsDigest>,
    /// The build that the patched source asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildStatus>,
    /// The newest image that was built. It stays while a newer one is awaited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageStatus>,
    /// What was delivered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<DeliveryStatus>,
    /// What waits to be merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed: Option<ProposalStatus>,
    /// The last images, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<BuildRecord>,
}

impl Default for PatchSetStatus {
    fn default() -> Self {
        Self {
            observed_generation: NEVER_OBSERVED,
            conditions: Vec::new(),
            last_handled_reconcile_at: None,
            upstream: None,
            patches_revision: None,
            applied: None,
            patched_tree: None,
            patches: Vec::new(),
            omitted_patches: None,
            candidates: Vec::new(),
            inputs_digest: None,
            build: None,
            image: None,
            delivered: None,
            proposed: None,
            history: Vec::new(),
        }
    }
}

impl PatchSetStatus {
    /// How many patches of the series are in a state, listed or not.
    #[must_use]
    pub fn count(&self, state: PatchState) -> usize {
        let listed = self.patches.iter().filter(|patch| patch.state == state).count();
        listed + self.omitted_patches.map_or(0, |omitted| omitted.count(state))
    }
}

/// Patches of a series that are not listed, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OmittedPatches {
    /// They apply where they say.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(with = "i32")]
    pub clean: u32,
    /// They apply, some lines away from where they say.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(with = "i32")]
    pub offset: u32,
    /// Upstream already has them.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(with = "i32")]
    pub merged: u32,
    /// They do not apply.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(with = "i32")]
    pub conflict: u32,
    /// They cannot be read, or ask for what is refused.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(with = "i32")]
    pub malformed: u32,
    /// They do not apply because of an earlier patch that does not.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(with = "i32")]
    pub blocked: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl OmittedPatches {
    /// How many of them are in a state.
    #[must_use]
    pub fn count(&self, state: PatchState) -> usize {
        let mut counts = *self;
        usize::try_from(*counts.of_state(state)).unwrap_or(usize::MAX)
    }

    /// How many there are.
    #[must_use]
    pub fn total(&self) -> usize {
        PatchState::ALL.iter().map(|state| self.count(*state)).sum()
    }

    /// Counts one more.
    pub fn add(&mut self, state: PatchState) {
        *self.of_state(state) += 1;
    }

    fn of_state(&mut self, state: PatchState) -> &mut u32 {
        match state {
            PatchState::Clean => &mut self.clean,
            PatchState::Offset => &mut self.offset,
            PatchState::Merged => &mut self.merged,
            PatchState::Conflict => &mut self.conflict,
            PatchState::Malformed => &mut self.malformed,
            PatchState::Blocked => &mut self.blocked,
        }
    }
}

/// The upstream as it was resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamStatus {
    /// Ref and commit in Flux's form, for instance `stable/2025.2@sha1:1f0c…`.
    pub revision: Recorded<Revision>,
    /// The commit's SHA-1.
    pub commit: Recorded<Oid>,
}

/// One patch of the series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchStatus {
    /// Its file name.
    pub name: String,
    /// What became of it.
    pub state: PatchState,
    /// The first line of its message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The largest distance in lines between where a hunk says it belongs and where it applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Why it does not apply, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The first place that does not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<ConflictStatus>,
}

/// A place where a patch does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConflictStatus {
    /// The file in the upstream.
    pub file: String,
    /// The hunk's number in the file, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub hunk: Option<u32>,
    /// The line in the upstream's file where the hunk should start, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub line: Option<u32>,
    /// What the hunk expects there; at most some dozen lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What stands there instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// The line where the file resembles most what the hunk expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub nearest_line: Option<u32>,
}

/// The patches against one candidate ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CandidateStatus {
    /// The ref as the spec names it.
    #[serde(rename = "ref")]
    pub ref_: String,
    /// What it resolved to, in Flux's form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Recorded<Revision>>,
    /// How many patches apply, of how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// The patches that upstream has there, and that could be dropped; the first some dozen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<String>,
    /// How many more patches upstream has there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub omitted_merged: Option<u32>,
    /// The first patch that does not apply, with file and line; or why the ref could not be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

pub(super) fn never_observed() -> i64 {
    NEVER_OBSERVED
}
