//! Merges overrides into a release's `upper-constraints.txt`.
//!
//! [`ConstraintsFile::parse`] reads what pip and uv read and keeps every byte, [`Overrides::parse`] reads the
//! overrides, [`merge()`] joins them and says per override what it did. Packages are the same by PEP 503, entries are
//! read by PEP 508, versions compare by PEP 440.

mod entry;
mod error;
mod file;
mod lines;
mod merge;
mod outcome;
mod overrides;

pub use entry::{Entry, Pin};
pub use error::{Error, Problem, Problems};
pub use file::{ConstraintsFile, Include};
pub use merge::{Merged, digest, merge};
pub use outcome::{Cause, Outcome, Pinned};
pub use overrides::{Action, Override, Overrides};
pub use pep508_rs::PackageName;
