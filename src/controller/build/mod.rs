//! Has images built, by Jobs and workflows, and looks into what was built.

pub mod attempts;
mod engine;
mod github;
pub mod image_tests;
pub mod inspection;
pub mod job_engine;
pub mod sbom;
pub mod task;
pub mod workflow_engine;
