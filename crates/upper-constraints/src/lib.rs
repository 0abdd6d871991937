#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod entry;
mod error;
mod file;
mod lines;
mod marker;
mod merge;
mod outcome;
mod overrides;

pub use entry::{Entry, Pin, PinOperator};
pub use error::{Error, Problem, Problems};
pub use file::{ConstraintsFile, Include};
pub use merge::{Merged, digest, merge};
pub use outcome::{Cause, Outcome, OverrideState, Pinned, VersionChange};
pub use overrides::{Action, Override, OverrideInput, Overrides};
pub use pep508_rs::PackageName;
