//! What a check found.

use crate::api::constraint_override::OverrideState;
use crate::api::status::{PatchState, PatchStatus};
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
    pub(super) patches: Vec<PatchRow>,
    pub(super) overrides: Vec<OverrideRow>,
    pub(super) faults: Vec<LayoutFault>,
    /// What keeps the search of a component's history from being whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) notes: Vec<String>,
}

impl Report {
    /// Whether something is wrong, by this measure.
    pub(super) fn fails(&self, strictness: Strictness) -> bool {
        let attention = self.overrides.iter().any(|row| row.attention)
            || self.faults.iter().any(|fault| !fault.kind.fails());
        self.patches.iter().any(|row| !row.applies())
            || self.faults.iter().any(|fault| fault.kind.fails())
            || (strictness == Strictness::AttentionFails && attention)
    }

    /// Adds what another piece of work found.
    pub(super) fn add(&mut self, more: Self) {
        self.patches.extend(more.patches);
        self.overrides.extend(more.overrides);
        self.faults.extend(more.faults);
        self.notes.extend(more.notes);
    }
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
}

/// One patch.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct PatchRow {
    pub(super) component: String,
    pub(super) release: String,
    /// The file, relative to the root.
    pub(super) path: String,
    /// What became of it, in the words of a `PatchSet`'s status.
    #[serde(flatten)]
    pub(super) status: PatchStatus,
}

impl PatchRow {
    /// Whether it applies. One that upstream has already does not.
    pub(super) fn applies(&self) -> bool {
        matches!(self.status.state, PatchState::Clean | PatchState::Offset)
    }
}
