//! The overrides of a release's constraints.

use super::merged_file::MergedFileView;
use crate::api::constraint_override::OverrideState;

/// One override.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverrideView {
    /// The package.
    pub package: String,
    /// What the override did.
    pub state: OverrideState,
    /// What upstream pins, where that is known.
    pub from: Option<String>,
    /// What the merged file pins.
    pub to: Option<String>,
    /// Whether a person should look at it.
    pub attention: bool,
    /// The same in a sentence.
    pub message: String,
    /// The line of the merged file that it is about, from 1.
    pub line: Option<usize>,
    /// The id of that line on the page.
    pub anchor: String,
}

/// The overrides of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverridesView {
    /// The id of its place on the page.
    pub id: String,
    /// The release.
    pub release: String,
    /// The overrides, in order.
    pub overrides: Vec<OverrideView>,
    /// How many more there are.
    pub omitted: usize,
    /// The merged file, where it is shown.
    pub merged: Option<MergedFileView>,
}

impl OverridesView {
    /// How many need a person's attention.
    #[must_use]
    pub fn attention(&self) -> usize {
        self.overrides.iter().filter(|one| one.attention).count()
    }
}
