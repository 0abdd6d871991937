//! Where the texts of patches come from.

use patchset_api::PatchSet;

use crate::page::resources::PatchTexts;

/// Finds the texts of an object's patches that are at hand, without asking any server. It may block
/// for some seconds.
pub type HeldTexts = dyn Fn(&PatchSet) -> PatchTexts + Send + Sync;
