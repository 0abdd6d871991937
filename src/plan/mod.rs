//! Decides, from what was observed, what to do and which conditions to show.
//!
//! Nothing here reads a clock or does I/O: time, randomness and observations come in as values.

pub mod attempt;
pub mod backoff;
pub mod build;
pub mod conditions;
pub mod constraint_override;
pub mod delivery;
pub mod difference;
pub mod failure;
pub mod history_search;
pub mod image_test;
pub mod inputs_hasher;
pub mod installed;
pub mod lifecycle;
pub mod list_size;
pub mod patch_inputs;
pub mod patch_repository;
pub mod patch_set;
pub mod report;
mod summary;
mod texts;
pub mod upstream_history;

pub use failure::{Failure, Retry, Step};
pub use lifecycle::Outcome;
