//! The patches of a ConfigMap, or of a spec itself.

use std::collections::BTreeMap;

use crate::api::patch_set::InlinePatch;
use crate::patch::PatchInput;

/// The ending of file names that are patches.
pub const ENDING: &str = ".patch";

/// The keys of a ConfigMap that are patches, in their order.
#[must_use]
pub fn of_config_map(data: &BTreeMap<String, Vec<u8>>) -> Vec<PatchInput> {
    data.iter()
        .filter(|(name, _)| name.ends_with(ENDING))
        .map(|(name, bytes)| PatchInput {
            name: name.clone(),
            bytes: bytes.clone(),
        })
        .collect()
}

/// The patches in a spec, in the order of their names.
#[must_use]
pub fn of_spec(inline: &[InlinePatch]) -> Vec<PatchInput> {
    let mut patches: Vec<PatchInput> = inline
        .iter()
        .map(|patch| PatchInput {
            name: patch.name.clone(),
            bytes: patch.content.clone().into_bytes(),
        })
        .collect();
    patches.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    patches
}
