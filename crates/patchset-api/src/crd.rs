//! The CRDs as YAML, made from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use super::{ConstraintOverride, PatchRepository, PatchSet};

/// All CRDs, in the order in which they are printed.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![PatchRepository::crd(), PatchSet::crd(), ConstraintOverride::crd()]
}

/// One CRD as a YAML document.
///
/// # Errors
///
/// If the definition cannot be written as YAML.
pub fn yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(crd)
}
