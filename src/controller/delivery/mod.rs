//! The places that images are delivered to: ConfigMaps, and Git repositories that Flux follows.

pub mod config_map;
pub mod git;
mod newest_image;
mod push_plan;
mod request;
