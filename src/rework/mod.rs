//! Compares and writes back a series that was reworked: which patch is which in two versions of it,
//! what is gone, how a changed patch is written back into its file, and the files of a conflict.

mod commit_object;
mod comparison;
mod conflict;
mod fingerprint;
mod line_count;
mod pairing;
mod write_back;

pub use commit_object::{PatchCommit, commit_message};
pub use comparison::{ComparedPatch, HunkFate, LostPart, PatchRelation, SeriesComparison, compare_series};
pub use conflict::{ConflictFile, ConflictFileError, conflict_files};
pub use fingerprint::PatchFingerprint;
pub use pairing::pair_patches;
pub use write_back::{ChangedPatch, HeadChange, WriteBackError, write_back};
