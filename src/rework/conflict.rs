//! The files of a conflict, for whoever resolves it.

use git_apply_engine::{Objects, Oid, PatchInput};
use patch_refresh::{
    FileVersion, MergeLabels, RefreshError, RefreshOptions, ThreeWayHints, VersionSource, marked_merge,
    three_way_files,
};

/// Why the files of a conflict cannot be determined.
pub type ConflictFileError = RefreshError;

/// A file of a patch that does not apply, in the versions that are merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictFile {
    /// Its path.
    pub path: String,
    /// The file for which the patch was made.
    pub base: Option<FileVersion>,
    /// The current file.
    pub ours: Option<FileVersion>,
    /// The base with the patch.
    pub theirs: Option<FileVersion>,
    /// Where the base comes from.
    pub source: VersionSource,
    /// Why the diff does not apply; `None` where it does.
    pub error: Option<String>,
    /// The current file with the patch merged into it and conflicts marked; `None` if it is not
    /// text on all sides.
    pub merged: Option<Vec<u8>>,
    /// How many conflicts are marked in it.
    pub conflicts: usize,
}

/// Returns the files of a patch in the versions that are merged, sorted by path.
///
/// # Errors
///
/// If the store fails, or the patch cannot be read.
pub fn conflict_files(
    objects: &dyn Objects,
    tree: Oid,
    patch: &PatchInput,
    hints: ThreeWayHints<'_>,
    options: &RefreshOptions,
) -> Result<Vec<ConflictFile>, ConflictFileError> {
    let files = three_way_files(objects, tree, patch, hints, options)?;
    let labels = MergeLabels {
        ours: "ours: upstream with the patches before this one",
        base: "base: what the patch was made for",
        theirs: &format!("theirs: {}", patch.name),
    };
    let files = files.into_iter().map(|file| {
        let contents =
            |version: &Option<FileVersion>| version.as_ref().map(|version| version.contents.clone());
        let sides = [&file.base, &file.ours, &file.theirs].map(contents);
        let merged = match &sides {
            [base, Some(ours), Some(theirs)] => {
                marked_merge(base.as_deref().unwrap_or_default(), ours, theirs, &labels)
            }
            _ => None,
        };
        ConflictFile {
            path: String::from_utf8_lossy(&file.path).into_owned(),
            conflicts: merged.as_ref().map_or(0, |merged| merged.conflicts),
            merged: merged.map(|merged| merged.text),
            base: file.base,
            ours: file.ours,
            theirs: file.theirs,
            source: file.source,
            error: file.error,
        }
    });
    Ok(files.collect())
}
