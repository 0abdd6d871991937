//! Merging overrides into constraints: the faults of sed, and arbitrary data against a model
//! without a parser.

#![allow(clippy::unwrap_used, clippy::panic)]

mod faults;
mod generated;
mod merging;

use merging::{merged, states};
