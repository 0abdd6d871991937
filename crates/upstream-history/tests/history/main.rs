//! Histories made with git, and what is found in them.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod breakers;
mod identities;
mod patch_ids;
mod properties;
mod reverts;
mod upstream;

use upstream::Upstream;
