//! The status of a `PatchSet`, derived from what was observed.

mod image_history;
mod in_status;
mod progress;
mod series_verdict;
mod settle;
mod settle_build;
mod settle_delivery;
#[cfg(test)]
mod tests;

pub use in_status::{image_is_current, is_planned, results_are_current};
pub use progress::{ApplyResult, BuildOutcome, DeliveryOutcome, PatchSetProgress, Pending, Policy, Sources};
pub use series_verdict::all_allow_ready;
pub use settle::settle;
