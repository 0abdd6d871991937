//! What the controller reports about a `PatchSet`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use git_apply_engine::Oid;
pub use git_apply_engine::PatchState;

use super::build::{BuildRecord, BuildStatus, ImageStatus};
use super::delivery::{DeliveryStatus, ProposalStatus};
use super::upkeep::UpkeepStatus;
use super::upstream_history::{
    BrokenPatch, CandidateOutcome, FuzzyFit, MergedStatus, RefreshStatus, RevertedStatus,
    UpstreamCommitStatus,
};
use super::{InputsDigest, Recorded, Revision};

/// The observed generation of an object whose spec has not been observed yet.
pub const NEVER_OBSERVED: i64 = -1;

/// The observed state of a `PatchSet`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchSetStatus {
    /// The generation of the spec that was last observed; −1 if none was.
    #[serde(default = "never_observed")]
    pub observed_generation: i64,
    /// `Ready` always; `Reconciling` and `Stalled` only while True; one condition for each step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// What matters most, in at most 40 characters; the message of `Ready` has the full text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The last `reconcile.fluxcd.io/requestedAt` that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// The upstream as it was last resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<UpstreamStatus>,
    /// The revision of the patches: of their Git repository or artifact, or a digest of their
    /// content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patches_revision: Option<String>,
    /// How many patches apply, of how many: `3/4`. A merged patch that is skipped counts as
    /// applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// The SHA-1 of the tree after all patches, if all apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patched_tree: Option<Recorded<Oid>>,
    /// Each patch of the series, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<PatchStatus>,
    /// The patches that the list has no room for, by state: an object's size is bounded. Those that
    /// do not apply are listed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub omitted_patches: Option<OmittedPatches>,
    /// Why upstream's history could not be searched for patches that do not apply. It is searched
    /// again when the upstream, the patches or the spec change, or with `requestedAt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_failure: Option<String>,
    /// What else the folder of the patches contains that is not applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patches_note: Option<String>,
    /// How far back upstream's history was searched, if it was cut off at a point after the patches
    /// were written: older commits were not found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_cut: Option<String>,
    /// The same patches against the candidate refs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<CandidateStatus>,
    /// A digest over everything this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_digest: Option<InputsDigest>,
    /// The build that the patched source requires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Box<BuildStatus>>,
    /// The newest image that counts. It stays until a newer one replaces it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Box<ImageStatus>>,
    /// What was delivered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Box<DeliveryStatus>>,
    /// What is waiting to be merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed: Option<Box<ProposalStatus>>,
    /// What is to be done for the patches themselves, and where that is proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upkeep: Option<Box<UpkeepStatus>>,
    /// The last images, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<BuildRecord>,
}

impl Default for PatchSetStatus {
    fn default() -> Self {
        Self {
            observed_generation: NEVER_OBSERVED,
            conditions: Vec::new(),
            summary: None,
            last_handled_reconcile_at: None,
            upstream: None,
            patches_revision: None,
            applied: None,
            patched_tree: None,
            patches: Vec::new(),
            omitted_patches: None,
            history_failure: None,
            patches_note: None,
            history_cut: None,
            candidates: Vec::new(),
            inputs_digest: None,
            build: None,
            image: None,
            delivered: None,
            proposed: None,
            upkeep: None,
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

    /// How many patches upstream has in another form, listed or not.
    #[must_use]
    pub fn count_differing(&self) -> usize {
        let listed = self.patches.iter().filter(|patch| patch.is_merged_differing());
        let omitted = self.omitted_patches.map_or(0, |omitted| omitted.differing);
        listed.count() + usize::try_from(omitted).unwrap_or(usize::MAX)
    }
}

/// Patches of a series that are not listed, by state.
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
    /// How many of these upstream has in another form.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(with = "i32")]
    pub differing: u32,
    /// They do not apply.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(with = "i32")]
    pub conflict: u32,
    /// They cannot be read, or ask for something that is refused.
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
    pub fn add(&mut self, patch: &PatchStatus) {
        *self.of_state(patch.state) += 1;
        self.differing += u32::from(patch.is_merged_differing());
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
    /// The same abbreviated, for instance `stable/2025.2@1f0c2d3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_revision: Option<String>,
    /// The commit's SHA-1.
    pub commit: Recorded<Oid>,
}

impl UpstreamStatus {
    /// The status of a revision.
    #[must_use]
    pub fn new(revision: Revision) -> Self {
        Self {
            short_revision: Some(revision.short()),
            commit: Recorded::new(revision.commit),
            revision: Recorded::new(revision),
        }
    }
}

/// One patch of the series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchStatus {
    /// Its file name.
    pub name: String,
    /// Whether and how it applies.
    pub state: PatchState,
    /// The first line of its message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Where it comes from, as DEP-3 writes it: `Origin`, or the commit that a note names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What it says about upstream: `Upstream-Status`, or `Upstream status` as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_status: Option<String>,
    /// Whether it was sent upstream, and where: DEP-3's `Forwarded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<String>,
    /// The first few bugs that it claims to resolve, by their pages if known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bugs: Vec<String>,
    /// The first few CVE numbers that it claims to resolve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cves: Vec<String>,
    /// The largest distance in lines between where a hunk says it belongs and where it applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// Why it does not apply, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The first place where it does not fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<ConflictStatus>,
    /// How upstream has it, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<MergedStatus>,
    /// How upstream had it and reverted it, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reverted: Option<RevertedStatus>,
    /// What a refresh would make of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<RefreshStatus>,
    /// The last upstream revision to which a patch of this name applied, if this one does not
    /// apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied: Option<Recorded<Revision>>,
    /// The ID of its bytes as a Git blob.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<Recorded<Oid>>,
    /// When it was first seen in this state, with the same bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

impl PatchStatus {
    /// A patch with its state and nothing else.
    #[must_use]
    pub fn new(name: impl Into<String>, state: PatchState) -> Self {
        Self {
            name: name.into(),
            state,
            subject: None,
            author: None,
            origin: None,
            upstream_status: None,
            forwarded: None,
            bugs: Vec::new(),
            cves: Vec::new(),
            offset: None,
            message: None,
            conflict: None,
            merged: None,
            reverted: None,
            refresh: None,
            last_applied: None,
            blob: None,
            since: None,
        }
    }

    /// Whether `git apply` accepts it.
    #[must_use]
    pub fn applies(&self) -> bool {
        matches!(self.state, PatchState::Clean | PatchState::Offset)
    }

    /// Whether upstream has it, in another form.
    #[must_use]
    pub fn is_merged_differing(&self) -> bool {
        self.state == PatchState::Merged && self.merged.as_ref().is_some_and(|merged| merged.differs)
    }
}

/// A place where a patch does not fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
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
    /// What the hunk expects there; at most a few dozen lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What is there instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// Both, line by line: a line that begins with a space is in both, one with `-` is expected but
    /// missing, one with `+` is present but not expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<String>,
    /// Where the patch would apply with fuzz, as by GNU patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuzz: Option<FuzzyFit>,
    /// The line where the file most resembles what the hunk expects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub nearest_line: Option<u32>,
    /// The upstream commit that changed what the hunk expects, since the patch last applied or was
    /// written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken_by: Option<UpstreamCommitStatus>,
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
    /// The first few dozen patches that upstream has there and that could be dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<String>,
    /// How many more patches upstream has there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub omitted_merged: Option<u32>,
    /// What would become of the patches on a move there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<CandidateOutcome>,
    /// The first few patches that do not apply there, and the commits that broke them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken: Vec<BrokenPatch>,
    /// Why upstream's history could not be searched for patches that do not apply there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_failure: Option<String>,
    /// How far back it was searched, if it was cut off at a point after the patches were written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_cut: Option<String>,
    /// The first patch that does not apply, with file and line; or why the ref could not be
    /// checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

pub(super) fn never_observed() -> i64 {
    NEVER_OBSERVED
}
