//! What a builder is asked for, as values: the manifest of a Kubernetes Job, or a document for
//! another CI.
//!
//! A Job builds one image from what a plan names by digest, pushes it under the plan's tag, and
//! ends. Whether it did is read from the registry alone. A Job that tests an image runs what the
//! spec says, and its exit code and output say how that went.

mod builder;
mod job;
mod job_order;
mod overlay;
mod pod_policy;
mod request;
mod test_job;
pub mod test_results;

pub use job::{
    COMPONENT_LABEL, INPUTS_ANNOTATION, MANAGED_BY, OWNER_LABEL, TARGET_ANNOTATION, TEST_COMPONENT, job,
    job_name,
};
pub use job_order::JobOrder;
pub use overlay::overlay;
pub use pod_policy::{PodTemplatePolicy, RefusedTemplate, TemplatePlace, check_pod_template};
pub use request::{BuildRequest, labels};
pub use test_job::{TEST_CONTAINER, TestOrder, test_job, test_job_name};
