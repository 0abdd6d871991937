//! How patches are applied, and how much is accepted.

use bstr::BString;

/// How patches are read and applied. The default is that of `git apply` without options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Leading components to remove from names (`-p`). Where it is not given it is 1, and a traditional diff of
    /// names without folders makes it 0.
    pub strip: Option<usize>,
    /// Folder that all names are relative to (`--directory`).
    pub directory: BString,
    /// Take the patches back instead (`--reverse`).
    pub reverse: bool,
    /// What to keep of the results.
    pub results: Results,
    /// How much is accepted.
    pub limits: Limits,
}

/// What is kept of the trees and blobs that patches make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Results {
    /// What the next patch of the series needs.
    #[default]
    Needed,
    /// All, to be written by [`Series::write`](super::Series::write).
    All,
}

/// Bounds on the input. They are far above real patches, and far below what would exhaust a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Patches in a series.
    pub patches: usize,
    /// Bytes of one patch.
    pub patch_bytes: u64,
    /// Files that one patch touches.
    pub files: usize,
    /// Bytes of one file, before and after.
    pub file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            patches: 4096,
            patch_bytes: 64 << 20,
            files: 16_384,
            file_bytes: 256 << 20,
        }
    }
}
