//! Whether series apply as far with the changes as before.

use std::collections::{BTreeMap, BTreeSet};

use git_apply_engine::{Oid, PatchReport, PatchState};

use super::change::{ChangeKind, UpkeepPlan};
use super::change_id::ChangeId;
use super::harm::Harm;

/// How far a series applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesResult {
    /// How many of its patches apply.
    pub applies: usize,
    /// How many the upstream has.
    pub merged: usize,
    /// How many there are.
    pub total: usize,
    /// The tree after those that apply.
    pub tree: Oid,
}

impl SeriesResult {
    /// The result of a series, from the engine's reports.
    #[must_use]
    pub fn from_reports(reports: &[PatchReport], tree: Oid) -> Self {
        let merged = reports.iter().filter(|report| report.state == PatchState::Merged);
        Self {
            applies: reports.iter().filter(|report| report.applies()).count(),
            merged: merged.count(),
            total: reports.len(),
            tree,
        }
    }

    /// How many patches neither apply nor are upstream.
    #[must_use]
    pub fn failing(&self) -> usize {
        self.total
            .saturating_sub(self.applies)
            .saturating_sub(self.merged)
    }
}

/// How far the series of a `PatchSet` applies to its upstream without the changes and with all of
/// them; the caller computes it with the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesProof {
    /// The `PatchSet`'s name.
    pub patch_set: String,
    /// Without the changes.
    pub before: SeriesResult,
    /// With all of them.
    pub after: SeriesResult,
}

impl SeriesProof {
    /// What gets worse; `None` where nothing does.
    #[must_use]
    pub fn harm(&self) -> Option<Harm> {
        let (before, after) = (&self.before, &self.after);
        if after.applies < before.applies || after.failing() > before.failing() {
            return Some(Harm::AppliesLess {
                before: (before.applies, before.total),
                after: (after.applies, after.total),
            });
        }
        let applies_further = after.applies > before.applies || after.failing() < before.failing();
        (after.tree != before.tree && !applies_further).then_some(Harm::OtherTree)
    }
}

/// Which changes of a series are withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WithheldPart {
    /// The patches that would be refreshed.
    Refreshes,
    /// All.
    All,
}

/// What is not proposed though it could be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WithheldChanges {
    /// What a person declined by closing the last request; what statuses remember is in the facts.
    pub declined: BTreeSet<ChangeId>,
    /// What would make a series worse, by the name of its `PatchSet`.
    pub harmful: BTreeMap<String, (WithheldPart, Harm)>,
}

impl WithheldChanges {
    /// Withholds what proofs say would make series worse: the refreshes of such a series first, and
    /// all of its changes if that is not enough. Returns whether to plan again, which happens at
    /// most twice.
    pub fn withhold_harmful(&mut self, plan: &UpkeepPlan, proofs: &[SeriesProof]) -> bool {
        let mut is_changed = false;
        for patch_set in plan.patch_sets() {
            let proof = proofs.iter().find(|proof| proof.patch_set == patch_set);
            let Some(harm) = proof.map_or(Some(Harm::Untried), SeriesProof::harm) else {
                continue;
            };
            let has_refresh = plan.commits.iter().any(|commit| {
                commit.change.patch_sets.iter().any(|own| own == patch_set)
                    && matches!(commit.change.kind, ChangeKind::Refresh { .. })
            });
            let part = match self.harmful.get(patch_set) {
                None if has_refresh => WithheldPart::Refreshes,
                _ => WithheldPart::All,
            };
            is_changed |= self.harmful.insert(patch_set.to_owned(), (part, harm)) != Some((part, harm));
        }
        is_changed
    }
}
