//! `ConstraintOverride`: overrides on one release's `upper-constraints.txt`.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use upper_constraints::{OverrideInput, Pinned};
pub use upper_constraints::{OverrideState, VersionChange};

use super::common::{ConfigMapKey, GitPath, InputsDigest, Release, Verification};
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
    /// Packages that are built from source. Their pins are removed from the merged file, because
    /// pip and uv refuse a source tree of a package that is pinned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub built_from_source: Vec<PackageName>,
    /// How often to check whether the sources moved.
    #[serde(default = "default_interval")]
    pub interval: FluxDuration,
    /// How long one reconciliation may take before it is abandoned and retried.
    #[serde(default = "default_timeout")]
    pub timeout: FluxDuration,
    /// Stops reconciliation and leaves the status unchanged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

impl ConstraintOverrideSpec {
    /// The signatures that are required: of the upper constraints and of the overrides.
    pub fn verifications(&self) -> impl Iterator<Item = &Verification> {
        let files = [&self.upper_constraints.git, &self.overrides.git];
        files
            .into_iter()
            .flatten()
            .filter_map(|file| file.verify.as_ref())
    }
}

/// Where to find a constraints file.
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

/// Where to find the overrides.
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

/// The name of a Python package; names that are the same by PEP 503 name the same package.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PackageName(
    #[schemars(
        length(min = 1, max = 128),
        regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
    )]
    pub String,
);

/// One override.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.version) != (has(self.remove) && self.remove)")
        .message("set either version, or remove: true")
)]
pub struct OverrideEntry {
    /// The package.
    pub name: PackageName,
    /// The version to pin, without `===`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub version: Option<String>,
    /// Only the entry with this environment marker (PEP 508).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub marker: Option<String>,
    /// The version is meant to be older than upstream's, and this does not need attention.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub downgrade: bool,
    /// Removes the package's pin.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove: bool,
}

impl<'a> From<&'a OverrideEntry> for OverrideInput<'a> {
    fn from(entry: &'a OverrideEntry) -> Self {
        Self {
            name: &entry.name.0,
            version: entry.version.as_deref(),
            marker: entry.marker.as_deref(),
            downgrade: entry.downgrade,
            remove: entry.remove,
        }
    }
}

/// The observed state of a `ConstraintOverride`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConstraintOverrideStatus {
    /// The generation of the spec that was last observed; −1 if none was.
    #[serde(default = "never_observed")]
    pub observed_generation: i64,
    /// `Ready` always; `Reconciling` and `Stalled` only while True; one condition for each step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The last `reconcile.fluxcd.io/requestedAt` that was handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
    /// The upper constraints that were merged: the revision of their repository, or a digest of
    /// their content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upper_constraints_revision: Option<String>,
    /// The overrides that were merged: the revision of their repository, or a digest of their
    /// content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides_revision: Option<String>,
    /// Where the merged file is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<MergedFile>,
    /// How many overrides there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub overrides: Option<u32>,
    /// How many of them need attention: redundant, outdated or absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub need_attention: Option<u32>,
    /// What each override did, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<OverrideStatus>,
    /// How many more there are: an object's size is bounded. Those that need attention are listed
    /// first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub omitted_results: Option<u32>,
    /// The first few entries of the merged file for which uv rejects it, but which pip accepts:
    /// `===` followed by something that is not a PEP 440 version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused_by_uv: Vec<RefusedEntry>,
    /// A digest over everything this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_digest: Option<InputsDigest>,
}

/// An entry for which uv rejects the whole file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedEntry {
    /// Its line in the merged file, from 1.
    #[schemars(with = "i32")]
    pub line: u32,
    /// The package.
    pub package: String,
    /// What stands in place of a version.
    pub version: String,
}

impl fmt::Display for RefusedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            package,
            version,
        } = self;
        write!(
            f,
            "line {line} of the merged file, {package}==={version}, is not a PEP 440 version: uv refuses the file, pip accepts it"
        )
    }
}

/// The merged file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MergedFile {
    /// The ConfigMap that holds it. The resource owns it: manual changes are reverted.
    pub name: String,
    /// The key.
    pub key: String,
    /// The file's SHA-256, as `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// How many packages it pins.
    #[schemars(with = "i32")]
    pub entries: u32,
}

/// One override.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OverrideStatus {
    /// The package as the override names it.
    pub package: String,
    /// What it did.
    pub state: OverrideState,
    /// What upstream pins, with its markers, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The same as structured values, complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstream_pins: Vec<UpstreamPin>,
    /// What the merged file pins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The environment marker that the override is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
    /// The line of the merged file that it concerns, from 1: that of its pin, or the line before
    /// which the first pin that it removed stood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub line: Option<u32>,
    /// Whether the new version is newer or older.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<VersionChange>,
    /// The same in a sentence.
    pub message: String,
}

/// One of upstream's pins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamPin {
    /// The version, or another specifier as written.
    pub version: String,
    /// Its environment marker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
}

impl fmt::Display for UpstreamPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.marker {
            Some(marker) => write!(f, "{} ({marker})", self.version),
            None => f.write_str(&self.version),
        }
    }
}

impl From<&Pinned> for UpstreamPin {
    fn from(pinned: &Pinned) -> Self {
        Self {
            version: pinned.version.clone(),
            marker: pinned.marker.clone(),
        }
    }
}

impl Default for ConstraintOverrideStatus {
    fn default() -> Self {
        Self {
            observed_generation: NEVER_OBSERVED,
            conditions: Vec::new(),
            last_handled_reconcile_at: None,
            upper_constraints_revision: None,
            overrides_revision: None,
            config_map: None,
            overrides: None,
            need_attention: None,
            results: Vec::new(),
            omitted_results: None,
            refused_by_uv: Vec::new(),
            inputs_digest: None,
        }
    }
}
