#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod budget;
mod diff;
mod disjoint;
mod folder;
mod ids;
mod lines;
mod made;
mod nearest;
mod object;
mod one_patch;
mod options;
mod overlay;
mod parse;
mod patched_file;
mod path;
mod place;
mod quoted_name;
mod report;
mod series;
mod store;
mod touched;

pub use diff::{FileDiff, HunkDiff, read_diffs};
pub use object::{EntryMode, ObjectError, Objects, Oid, OidError, TreeEntry, WriteObjects, serialise_tree};
pub use options::{Limits, Options, Results};
pub use quoted_name::{needs_quotes, quoted_name, quoted_with_prefix};
pub use report::{
    FileChange, FileReport, HunkOutcome, HunkReport, NearestMatch, PatchReport, PatchState, Rejection,
};
pub use series::{Error, PatchInput, Sequence, Series, applies, apply};
pub use store::{InvalidFile, LayeredStore, MemoryStore};
pub use touched::touched_paths;
