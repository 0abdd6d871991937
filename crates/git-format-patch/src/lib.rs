#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod binary;
mod changes;
mod contents;
mod error;
mod file_diff;
mod mail;
mod name;
mod quote;
mod range;
mod raw_commit;
mod renames;
mod series;
mod stat;
mod store;
mod subject;
mod work;

pub use error::FormatError;
pub use name::patch_file_name;
pub use range::{BranchRange, first_parent_range};
pub use series::{FormattedPatch, FormattedSeries, format_series};
pub use store::{CommitStore, RawCommits};
pub use subject::{SubjectPolicy, UpstreamTag};
pub use work::FormatLimits;
