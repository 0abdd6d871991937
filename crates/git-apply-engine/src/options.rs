//! How patches are applied, and how much is accepted.

use bstr::BString;

/// How patches are read and applied. The default is that of `git apply` without options.
///
/// A minor version may add fields: end with `..Options::default()`.
///
/// ```
/// use git_apply_engine::Options;
///
/// let options = Options { reverse: true, ..Options::default() };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Leading components to remove from names (`-p`). `None` means 1, unless a traditional diff
    /// whose names have no folders makes it 0, as in Git.
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
    /// What the next patch of the series needs, which is everything if patches are stacked.
    #[default]
    Needed,
    /// All that [`Series::write`](super::Series::write) writes, also for patches that are each
    /// applied alone.
    All,
}

/// Bounds on the input and on what applying it may cost.
///
/// The defaults are far above real patches, and far below what would exhaust a process. A patch
/// beyond them is [`Malformed`](super::PatchState::Malformed), and the series goes on. A minor
/// version may add fields: end with `..Limits::default()`.
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
    /// Bytes of a path with all its folders. The default is `PATH_MAX` of Linux.
    pub path_bytes: usize,
    /// Names in a path: its folders and the file.
    pub path_depth: usize,
    /// Entries of one folder that a patch touches.
    pub folder_entries: usize,
    /// Bytes that a series may hold at once: the parsed patches, the files being changed and their
    /// lines, the results, and the reports. The input patches themselves do not count.
    pub memory_bytes: u64,
    /// Bytes of the lines that the reports of a series show.
    pub report_bytes: u64,
    /// Work that a series may take, in units of about one byte read, compared or hashed. One patch
    /// may use a quarter of it.
    pub effort: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            patches: 4096,
            patch_bytes: 64 << 20,
            files: 16_384,
            file_bytes: 32 << 20,
            path_bytes: 4096,
            path_depth: 256,
            folder_entries: 1 << 18,
            memory_bytes: 96 << 20,
            report_bytes: 8 << 20,
            effort: 8 << 30,
        }
    }
}
