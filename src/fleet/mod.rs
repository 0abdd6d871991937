//! What a repository's folders ask for: a `PatchSet` for each component at each release, and a
//! `ConstraintOverride` for each release.
//!
//! [`ReadingRules`] says which of the folders are read and how, [`desired_objects`] makes the
//! objects from what was found there, and [`summarize`] says how they are doing. The controller
//! applies the objects, and `patchset generate` prints them.

mod builder;
mod cells;
mod constraint_overrides;
mod error;
mod merge;
mod names;
mod objects;
mod patch_sets;
mod selection;
mod summary;
mod template;
#[cfg(test)]
mod tests;
mod variables;

pub use builder::DesiredObjects;
pub use error::FleetError;
pub use objects::desired_objects;
pub use selection::ReadingRules;
pub use summary::{ChildState, FleetSummary, fails_a_check, summarize};
