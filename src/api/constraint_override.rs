//! `ConstraintOverride`: overrides on one release's `upper-constraints.txt`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::common::{ConfigMapKey, GitPath, Release};
use super::duration::FluxDuration;
use super::patch_set::{default_interval, default_timeout};
use super::status::{NEVER_OBSERVED, never_observed};

/// The desired state of a `ConstraintOverride`.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "patching.c5c3.io",
    version = "v1alpha1",
    kind = "ConstraintOverride",
    plural = "constraintoverrides",
    shortname = "co",
    category = "patching",
    category = "all",
    namespaced,
    status = "ConstraintOverrideStatus",
    derive = "PartialEq",
    doc = "ConstraintOverride is one release's upper-constraints.txt with a team's overrides merged in.",
    cel,
    printcolumn(name = "Release", type_ = "string", json_path = ".spec.release"),
    printcolumn(name = "Overrides", type_ = "integer", json_path = ".status.overrides"),
    printcolumn(name = "Attention", type_ = "integer", json_path = ".status.needAttention"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ConstraintOverrideSpec {
    /// The release, for instance `2025.2`.
    pub release: Release,
    /// The release's constraints as upstream publishes them.
    pub upper_constraints: ConstraintsSource,
    /// The overrides: `package===version` replaces or adds, `-package` removes.
    pub overrides: OverridesSource,
    /// How often to look whether the sources moved.
    #[serde(default = "default_interval")]
    pub interval: FluxDuration,
    /// How long one reconciliation may take before it is given up and tried again.
    #[serde(default = "default_timeout")]
    pub timeout: FluxDuration,
    /// Stops reconciliation; the status stays as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

/// Where a constraints file is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.git), has(self.configMap), has(self.inline)].filter(x, x).size() == 1")
        .message("set exactly one of git, configMap and inline")
)]
pub struct ConstraintsSource {
    /// A file in a Git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitPath>,
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,
    /// The text itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_048_576))]
    pub inline: Option<String>,
}

/// Where the overrides are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.git), has(self.configMap), has(self.inline), has(self.entries)].filter(x, x).size() == 1")
        .message("set exactly one of git, configMap, inline and entries")
)]
pub struct OverridesSource {
    /// A file in a Git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitPath>,
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapKey>,
    /// The text itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 262_144))]
    pub inline: Option<String>,
    /// The overrides as a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub entries: Option<Vec<OverrideEntry>>,
}

/// One override.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.version) != (has(self.remove) && self.remove)")
        .message("set either version, or remove: true")
)]
pub struct OverrideEntry {
    /// The package.
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    )]
    pub name: String,
    /// The version to pin, without `===`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub version: Option<String>,
    /// Only the entry with this environment marker (PEP 508).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub marker: Option<String>,
    /// Removes the package's pin.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove: bool,
}

/// The observed state of a `ConstraintOverride`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConstraintOverrideStatus {
    /// The generation of the spec that was last looked at; −1 where none was.
    #[serde(default = "never_observed")]
    pub observed_generation: i64,
    /// `Ready` always; `Reconciling` and `Stalled` only while True; one condition for each step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The `reconcile.fluxcd.io/requestedAt` that was last answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// How many overrides there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub overrides: Option<u32>,
    /// How many of them need a person's attention: redundant, outdated or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub need_attention: Option<u32>,
}

impl Default for ConstraintOverrideStatus {
    fn default() -> Self {
        Self {
            observed_generation: NEVER_OBSERVED,
            conditions: Vec::new(),
            last_handled_reconcile_at: None,
            overrides: None,
            need_attention: None,
        }
    }
}
