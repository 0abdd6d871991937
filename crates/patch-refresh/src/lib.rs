#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod applying;
mod bases;
mod compare;
mod fuzz;
mod layout;
mod merge;
mod one_file;
mod one_patch;
mod options;
mod outcome;
mod scratch;
mod series;
mod stat;
mod three_way;
mod unified;
mod work;

/// Beside the source, because it starts programs.
#[cfg(test)]
#[path = "../tests/unit/against_git.rs"]
mod against_git;

pub use merge::{MarkedMerge, MergeLabels, marked_merge};
pub use options::{FindBlob, PatchHint, Presence, RefreshHints, RefreshLimits, RefreshOptions};
pub use outcome::{
    FileOutcome, FileRefresh, FuzzyFit, MergeBase, PatchRefresh, RefreshKind, RefreshOutcome, RefreshState,
    RefreshStatus, SeriesOutlook,
};
pub use series::{RefreshError, refresh_series};
pub use stat::{StatChange, StatLine, diffstat, replace_diffstat};
pub use three_way::{FileVersion, ThreeWayFile, ThreeWayHints, VersionSource, three_way_files};
pub use unified::{unified_diff, unified_hunks};
