//! Merging overrides into constraints: the faults of sed, and any data against a model that knows
//! no parser.

#![allow(clippy::unwrap_used, clippy::panic)]

mod faults;
mod generated;
mod merging;

use merging::{merged, states};
