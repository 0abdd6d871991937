//! Where patches are, and those of a ConfigMap or of a spec itself.

use std::collections::BTreeMap;

use crate::api::patch_set::{InlinePatch, Patches};
use crate::patch::PatchInput;

/// The ending of file names that are patches.
pub const ENDING: &str = ".patch";

/// Where a spec has its patches, in words; nothing where it has them itself.
#[must_use]
pub fn describe_location(patches: &Patches) -> Option<String> {
    let folder = |path: &str| match path {
        "" | "." => "the root".to_owned(),
        path => path.to_owned(),
    };
    if let Some(git) = &patches.git {
        return Some(format!("{} of {}", folder(&git.path), git.url));
    }
    if let Some(source) = &patches.source_ref {
        let path = folder(patches.path.as_deref().unwrap_or_default());
        return Some(format!("{path} of {} {}", source.kind.kind(), source.name));
    }
    let map = patches.config_map.as_ref();
    map.map(|map| format!("ConfigMap {}", map.name))
}

/// The keys of a ConfigMap that are patches, in their order.
#[must_use]
pub fn of_config_map(data: &BTreeMap<String, Vec<u8>>) -> Vec<PatchInput> {
    data.iter()
        .filter(|(name, _)| name.ends_with(ENDING))
        .map(|(name, bytes)| PatchInput::new(name, bytes.as_slice()))
        .collect()
}

/// The patches in a spec, in the order of their names.
#[must_use]
pub fn of_spec(inline: &[InlinePatch]) -> Vec<PatchInput> {
    let mut patches: Vec<PatchInput> = inline
        .iter()
        .map(|patch| PatchInput::new(&patch.name, patch.content.as_bytes()))
        .collect();
    patches.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    patches
}
