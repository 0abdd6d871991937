//! The overrides of a release's constraints.

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
}

impl OverridesView {
    /// How many need a person's attention.
    #[must_use]
    pub fn attention(&self) -> usize {
        self.overrides.iter().filter(|one| one.attention).count()
    }
}
