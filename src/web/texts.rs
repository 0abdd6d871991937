//! Where the texts of patches come from.

use patchset_api::PatchSet;

use crate::page::resources::PatchTexts;

/// What is at hand of the texts of an object's patches, found without a question to anybody. It may
/// block for some seconds.
pub type HeldTexts = dyn Fn(&PatchSet) -> PatchTexts + Send + Sync;
