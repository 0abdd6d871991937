//! The patch engine: parses, places and applies patches in memory.
//!
//! Its answer is that of `git apply --cached` with default settings: the same verdict and the same tree, for every
//! patch. It reads trees and blobs through [`Objects`] and writes nothing unless [`Series::write`] is called.

mod budget;
mod engine;
mod image;
mod layered;
mod lines;
mod mail;
mod nearest;
mod object;
mod options;
mod overlay;
mod parse;
mod path;
mod place;
mod report;
mod series;

pub use layered::{Layered, NoObjects};
pub use object::{EntryMode, ObjectError, Objects, Oid, OidError, TreeEntry, WriteObjects, serialise_tree};
pub use options::{Limits, Options, Results};
pub use report::{Change, Fate, FileReport, HunkReport, Malformed, Nearest, PatchReport, Rejection, State};
pub use series::{Error, PatchInput, Sequence, Series, apply};
