//! The overrides of a release's constraints.

use super::merged_file::MergedFileView;
use super::override_view::OverrideView;

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
