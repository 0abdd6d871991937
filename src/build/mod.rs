//! What a builder is asked for, as values: the manifest of a Kubernetes Job, or a document for
//! another CI.
//!
//! A Job builds one image from what a plan names by digest, pushes it under the plan's tag, and
//! ends. Whether it did is read off the registry alone.

mod builder;
mod job;
mod job_order;
mod overlay;
mod pod_policy;
mod request;

pub use job::{INPUTS_ANNOTATION, MANAGED_BY, OWNER_LABEL, TARGET_ANNOTATION, job, name};
pub use job_order::JobOrder;
pub use overlay::overlay;
pub use pod_policy::{PodTemplatePolicy, RefusedTemplate, check_pod_template};
pub use request::{BuildRequest, labels};
