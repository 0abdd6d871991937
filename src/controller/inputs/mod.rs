//! Where what a spec names is, and what identifies it before it is read.

pub mod branch;
pub mod folder;
pub mod forges;
mod github_apps;
pub mod held_patches;
pub mod identities;
pub mod image_references;
pub mod ingredients;
pub mod location;
pub mod patches;
pub mod registries;
mod registry_logins;
pub mod secrets;
pub mod series_progress;
pub mod signers;
pub mod texts;
pub mod upstreams;
