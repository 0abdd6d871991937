//! The Kubernetes Job that builds an image: its manifest, as a value.
//!
//! A Job builds one image from what a plan names by digest, pushes it under the plan's tag, and ends. Whether it did is
//! read off the registry alone.

mod builder;
mod job;
mod overlay;

pub use job::{INPUTS_ANNOTATION, MANAGED_BY, OWNER_LABEL, Order, TARGET_ANNOTATION, job, name};
pub use overlay::overlay;
