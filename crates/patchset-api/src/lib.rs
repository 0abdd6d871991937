#![doc = include_str!("../README.md")]
#![deny(missing_docs)]
#![allow(
    clippy::duplicated_attributes,
    reason = "each of kube's printer columns has the same keys"
)]

pub mod build;
pub mod built_image;
pub mod common;
pub mod conditions;
pub mod constraint_override;
pub mod crd;
pub mod delivery;
pub mod docs;
pub mod duration;
pub mod extra_packages;
pub mod image_test;
pub mod layout_kind;
pub mod patch_repository;
pub mod patch_set;
pub mod patch_set_template;
pub mod pod_template;
pub mod reason;
pub mod recorded;
pub mod references;
pub mod referent;
pub mod revision;
pub mod schema;
pub mod source_refs;
pub mod status;
pub mod upkeep;
pub mod upstream_history;
pub mod yaml;

pub use common::{InputsDigest, Release};
pub use constraint_override::{ConstraintOverride, ConstraintOverrideSpec, ConstraintOverrideStatus};
pub use duration::FluxDuration;
pub use layout_kind::LayoutKind;
pub use patch_repository::{PatchRepository, PatchRepositorySpec, PatchRepositoryStatus};
pub use patch_set::{PatchSet, PatchSetSpec};
pub use recorded::Recorded;
pub use revision::Revision;
pub use status::PatchSetStatus;

/// The API group of all resources.
pub const GROUP: &str = "patching.c5c3.io";

/// The label that marks a Secret as holding the token of a webhook: `github`, `gitlab`, `gitea` or
/// `generic`.
pub const WEBHOOK_LABEL: &str = "patching.c5c3.io/webhook";

/// The version that is served and stored.
pub const VERSION: &str = "v1alpha1";
