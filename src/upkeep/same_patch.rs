//! Which other releases have a patch that is dropped in one.

use std::collections::BTreeSet;

use git_apply_engine::Oid;
use patch_headers::PatchIdentity;
use patchset_api::status::{PatchState, PatchStatus};
use upstream_history::{PatchId, patch_id};

/// The same patch in another series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchElsewhere {
    /// The series' `PatchSet`.
    pub patch_set: String,
    /// Its release.
    pub release: String,
    /// The patch's name there.
    pub name: String,
    /// How it is known to be the same, in words.
    pub known_by: &'static str,
    /// Why it stays, in words.
    pub why: &'static str,
}

/// What a patch is recognised by in another series.
#[derive(Clone, Debug)]
pub(super) struct PatchKey {
    blob: Oid,
    change_ids: BTreeSet<String>,
    patch_id: Option<PatchId>,
    stem: String,
}

impl PatchKey {
    pub(super) fn read(name: &str, bytes: &[u8]) -> Self {
        Self {
            blob: Oid::of_blob(bytes),
            change_ids: PatchIdentity::read(bytes).change_ids.into_iter().collect(),
            patch_id: patch_id(bytes),
            stem: stem(name),
        }
    }

    pub(super) fn blob(&self) -> Oid {
        self.blob
    }

    /// How another patch is known to be the same; `None` if it is not.
    pub(super) fn known_by(&self, other: &Self) -> Option<&'static str> {
        if self.blob == other.blob {
            return Some("the same file");
        }
        if self.patch_id.is_some() && self.patch_id == other.patch_id {
            return Some("the same change");
        }
        if !self.change_ids.is_empty() && self.change_ids == other.change_ids {
            return Some("the same Change-Id");
        }
        (!self.stem.is_empty() && self.stem == other.stem).then_some("the same name")
    }
}

/// A name without its leading number and its ending.
fn stem(name: &str) -> String {
    let name = name.rsplit('/').next().unwrap_or(name);
    let name = name
        .strip_suffix(".patch")
        .or_else(|| name.strip_suffix(".diff"))
        .unwrap_or(name);
    let rest = name.trim_start_matches(|c: char| c.is_ascii_digit());
    rest.trim_start_matches(['-', '_', '.']).to_ascii_lowercase()
}

/// Why a patch stays where it is, by what its status says.
pub(super) fn why_it_stays(patch: Option<&PatchStatus>) -> &'static str {
    let Some(patch) = patch else {
        return "it was not tried there yet";
    };
    if patch.reverted.is_some() {
        return "upstream took it back there";
    }
    match patch.state {
        PatchState::Clean | PatchState::Offset => "upstream has not merged it there",
        PatchState::Merged => "upstream has it there too, and it is left alone for now",
        PatchState::Conflict | PatchState::Blocked => {
            "it does not apply there, and upstream has not merged it"
        }
        PatchState::Malformed => "it cannot be read there",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_known_by_what_it_is() {
        let id = format!("I{}", "a".repeat(40));
        let patch = |line: u32, more: &str, id: &str| {
            format!(
                "Subject: x\n\nChange-Id: {id}\n---\n--- a/f\n+++ b/f\n@@ -{line} +{line} @@\n-a\n+b{more}\n"
            )
        };
        let key = |name: &str, text: &str| PatchKey::read(name, text.as_bytes());
        let one = key("0001-fix-it.patch", &patch(1, "", &id));
        for (name, text, expected) in [
            ("9.patch", patch(1, "", &id), Some("the same file")),
            ("9.patch", patch(7, "", "I0"), Some("the same change")),
            ("9.patch", patch(1, "c", &id), Some("the same Change-Id")),
            ("0040-Fix-it.diff", patch(1, "c", "I0"), Some("the same name")),
            ("9.patch", patch(1, "c", "I0"), None),
        ] {
            assert_eq!(one.known_by(&key(name, &text)), expected, "{name} {text}");
        }
        // A name that is only a number says nothing.
        let bare = key("0001.patch", "x");
        assert_eq!(bare.known_by(&key("0001.patch", "y")), None);
    }
}
