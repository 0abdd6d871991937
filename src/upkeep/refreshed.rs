//! Refreshed patches, as the caller has them.

use git_apply_engine::Oid;
use patch_refresh::{FileOutcome, FileRefresh, PatchRefresh, RefreshKind, RefreshOutcome, unified_diff};

use super::quoted::without_places;

/// The patches that were refreshed for the upstreams of their series.
pub trait RefreshedPatches {
    /// A patch of a `PatchSet`, by its name; `None` if it was not refreshed.
    fn refreshed(&self, patch_set: &str, patch: &str) -> Option<&RefreshedPatch>;
}

/// A refreshed patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshedPatch {
    /// Git's id of the bytes that it was made from.
    pub original: Oid,
    /// The strongest means that one of its files needed.
    pub how: RefreshKind,
    /// What was done for each of its files that needed it.
    pub files: Vec<MovedFile>,
    /// The new bytes.
    pub bytes: Vec<u8>,
    /// What changes in the patch apart from line numbers, as a diff; `None` if nothing does.
    pub range_diff: Option<String>,
}

/// What was done for one file of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedFile {
    /// The file.
    pub path: String,
    /// What was done.
    pub outcome: FileOutcome,
}

impl From<&FileRefresh> for MovedFile {
    fn from(file: &FileRefresh) -> Self {
        Self {
            path: file.path.clone(),
            outcome: file.outcome.clone(),
        }
    }
}

impl RefreshedPatch {
    /// The result of refreshing a patch with these bytes; `None` if it was not refreshed.
    #[must_use]
    pub fn from_refresh(original: &[u8], refresh: &PatchRefresh) -> Option<Self> {
        let RefreshOutcome::Refreshed { how, patch, .. } = &refresh.outcome else {
            return None;
        };
        let files = refresh.files.iter().map(MovedFile::from).collect();
        Some(Self::new(original, *how, files, patch.clone()))
    }

    /// A refreshed patch, with what changes in it.
    #[must_use]
    pub fn new(original: &[u8], how: RefreshKind, files: Vec<MovedFile>, bytes: Vec<u8>) -> Self {
        let (before, after) = (without_places(original), without_places(&bytes));
        let range_diff = unified_diff("patch", &before, &after).map(|diff| {
            // Its first lines name the file twice.
            let text = String::from_utf8_lossy(&diff).into_owned();
            let hunks = text.find("\n@@").map_or(0, |at| at + 1);
            text.get(hunks..).unwrap_or_default().to_owned()
        });
        Self {
            original: Oid::of_blob(original),
            how,
            files,
            bytes,
            range_diff: range_diff.filter(|diff| !diff.is_empty()),
        }
    }
}
