//! One override of a release's constraints.

use patchset_api::constraint_override::OverrideState;

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
