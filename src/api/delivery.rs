//! Where the result of a `PatchSet` goes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where the image goes when it is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// A ConfigMap for Flux's kustomize-controller and helm-controller to read. Several may share it.
    pub config_map: DeliveryConfigMap,
    /// Whether an image is delivered by itself, or when the annotation `patching.c5c3.io/approved` of the PatchSet has
    /// its tag or digest; `Automatic` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// A ConfigMap in the namespace of the `PatchSet`. It is made where it is not there, and carries the label
/// `reconcile.fluxcd.io/watch: Enabled`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryConfigMap {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// What its keys begin with: `<prefix>_repository`, `<prefix>_tag`, `<prefix>_digest` and `<prefix>_reference`, which
    /// `postBuild.substituteFrom` of a Kustomization takes as variables. The component, with `_` for what a variable
    /// cannot have, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub prefix: Option<String>,
}

/// Whether somebody has to agree before an image is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Approval {
    /// Nobody.
    #[default]
    Automatic,
    /// Whoever may annotate the `PatchSet`.
    Manual,
}

/// What was delivered last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryStatus {
    /// The ConfigMap.
    pub config_map: String,
    /// What its keys begin with.
    pub prefix: String,
    /// The image.
    pub reference: String,
    /// When it was first delivered.
    pub delivered_at: Time,
}
