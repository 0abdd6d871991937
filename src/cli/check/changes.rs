//! What a change did to the patches of a component at a release.

use patchset_api::status::PatchState;

/// Whether a change made something worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) enum ChangeVerdict {
    /// It was good or absent, and is not good.
    Worse,
    /// It was not good, and is.
    Better,
    /// It is as good as it was.
    Same,
}

impl ChangeVerdict {
    /// Compares whether it is good with whether it was; `None` if it was absent.
    pub(super) fn new(was_good: Option<bool>, is_good: bool) -> Self {
        match (was_good, is_good) {
            (None | Some(true), false) => Self::Worse,
            (Some(false), true) => Self::Better,
            _ => Self::Same,
        }
    }
}

/// What was done to a patch's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) enum PatchEdit {
    /// No file had its name before.
    Added,
    /// Its text is different.
    Changed,
    /// It is the same.
    Unchanged,
}

/// What a change did to a patch, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct PatchChange {
    pub(super) edit: PatchEdit,
    pub(super) verdict: ChangeVerdict,
    /// Its state before; absent if it did not exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<PatchState>,
}

/// What a change did to the patches of a component at a release.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct SeriesDifference {
    pub(super) component: String,
    pub(super) release: String,
    /// The folder of the patches, relative to the root.
    pub(super) folder: String,
    /// The component's ref before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    /// The component's ref.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<String>,
    /// Patches that are gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) removed: Vec<String>,
}
