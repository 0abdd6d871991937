//! What a check found.

use std::collections::BTreeMap;

use patchset_api::constraint_override::OverrideState;
use patchset_api::status::PatchStatus;

use super::changes::{ChangeVerdict, PatchChange, SeriesDifference};
use super::fix::SeriesFix;
use crate::layout::LayoutFault;

/// What makes a check fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strictness {
    /// Only what is wrong.
    FaultsFail,
    /// Also what needs attention.
    AttentionFails,
}

/// All that was found. Other tools read it as JSON: fields may be added, not changed.
#[derive(Debug, Default, serde::Serialize)]
pub(super) struct Report {
    /// Whether nothing fails.
    pub(super) ok: bool,
    /// The commit that everything is compared to, if only changes are reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) base: Option<BaseCommit>,
    /// What was changed since then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) changes: Vec<SeriesDifference>,
    pub(super) patches: Vec<PatchRow>,
    pub(super) overrides: Vec<OverrideRow>,
    pub(super) faults: Vec<LayoutFault>,
    /// Faults of the base that are gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) mended: Vec<LayoutFault>,
    /// Why the search of a component's history is incomplete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
    /// The merged constraints, by their releases.
    #[serde(skip)]
    pub(super) merged: BTreeMap<String, MergedConstraints>,
    /// Where the refs of components stand, by the folders of their patches.
    #[serde(skip)]
    pub(super) refs: BTreeMap<String, RefPlace>,
    /// What would mend patches.
    #[serde(skip)]
    pub(super) fixes: Vec<SeriesFix>,
}

impl Report {
    /// Whether something is wrong, by this measure. If only changes are reported, only what they
    /// made worse counts.
    pub(super) fn fails(&self, strictness: Strictness) -> bool {
        let attention = self.overrides.iter().any(OverrideRow::needs_attention)
            || self.faults.iter().any(|fault| !fault.kind.fails());
        self.patches.iter().any(PatchRow::fails)
            || self.faults.iter().any(|fault| fault.kind.fails())
            || (strictness == Strictness::AttentionFails && attention)
    }

    /// Adds what another piece of work found.
    pub(super) fn add(&mut self, more: Self) {
        self.changes.extend(more.changes);
        self.patches.extend(more.patches);
        self.overrides.extend(more.overrides);
        self.faults.extend(more.faults);
        self.mended.extend(more.mended);
        self.notes.extend(more.notes);
        self.merged.extend(more.merged);
        self.refs.extend(more.refs);
        self.fixes.extend(more.fixes);
    }
}

/// A commit that a change is compared to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct BaseCommit {
    /// As the user gave it.
    pub(super) revision: String,
    /// In full.
    pub(super) commit: String,
}

/// One override.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct OverrideRow {
    pub(super) release: String,
    pub(super) package: String,
    pub(super) line: Option<usize>,
    pub(super) state: OverrideState,
    pub(super) attention: bool,
    pub(super) message: String,
    /// What upstream pins.
    #[serde(skip)]
    pub(super) from: Option<String>,
    /// What is pinned instead.
    #[serde(skip)]
    pub(super) to: Option<String>,
    /// The line of the merged file that it is about, from 1.
    #[serde(skip)]
    pub(super) merged_line: Option<usize>,
    /// What a change made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) verdict: Option<ChangeVerdict>,
}

/// The merged constraints of a release.
#[derive(Clone, Debug)]
pub(super) struct MergedConstraints {
    pub(super) text: String,
    /// Every override, including those that are not reported.
    pub(super) overrides: Vec<OverrideRow>,
}

impl OverrideRow {
    /// Whether a person should look at it, and did not have to before the change.
    pub(super) fn needs_attention(&self) -> bool {
        self.attention && self.verdict.is_none_or(|verdict| verdict == ChangeVerdict::Worse)
    }
}

/// Where the ref of a component stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RefPlace {
    pub(super) name: String,
    /// The file, relative to the root; nothing where it follows from a template.
    pub(super) path: Option<String>,
    /// The line, from 1.
    pub(super) line: Option<usize>,
}

/// One patch.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct PatchRow {
    pub(super) component: String,
    pub(super) release: String,
    /// The file, relative to the root.
    pub(super) path: String,
    /// The line of the file where the hunk begins that does not fit, from 1.
    #[serde(rename = "patchLine", skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<usize>,
    /// What a change made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) change: Option<PatchChange>,
    /// What became of it, in the words of a `PatchSet`'s status.
    #[serde(flatten)]
    pub(super) status: PatchStatus,
    /// The folder of the series: a list may name a patch in a folder below.
    #[serde(skip)]
    pub(super) folder: String,
    /// The patch.
    #[serde(skip)]
    pub(super) bytes: Vec<u8>,
}

impl PatchRow {
    /// Whether it applies. One that upstream has already does not.
    pub(super) fn applies(&self) -> bool {
        self.status.applies()
    }

    /// Whether it makes the check fail: it does not apply, and did before the change.
    pub(super) fn fails(&self) -> bool {
        let is_told = |change: PatchChange| change.verdict == ChangeVerdict::Worse;
        !self.applies() && self.change.is_none_or(is_told)
    }
}
