//! An image that was built, what is installed in it, and one attempt at a build or a test.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::InputsDigest;
use super::{Recorded, Revision};
use image_references::{Digest, ImageReference};

/// An image that was built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageStatus {
    /// Its repository.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// Its digest.
    pub digest: Recorded<Digest>,
    /// Repository, tag and digest: `registry.example.org/glance:31.0.0-p2@sha256:…`.
    pub reference: Recorded<ImageReference>,
    /// Further tags that moved to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moving_tags: Vec<String>,
    /// The sortable tag that was added to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sortable_tag: Option<SortableTag>,
    /// The upstream revision that it was built from.
    pub revision: Recorded<Revision>,
    /// What it was built from: the `inputsDigest` of its build.
    pub inputs_digest: InputsDigest,
    /// The component and its libraries as installed in it; absent if it was not inspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub installed: Option<Vec<InstalledStatus>>,
    /// The digest of the SBOM with its patches that is attached to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<Recorded<Digest>>,
    /// Why the SBOM could not be attached. This is retried at each interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom_failure: Option<String>,
}

/// A tag with the time since when its image has been the wanted one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SortableTag {
    /// The tag.
    pub tag: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
}

/// Where a distribution in an image comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Origin {
    /// A local folder or file while the image was built: its `direct_url.json` (PEP 610) says so.
    Source,
    /// A package index, or a package of the operating system.
    Index,
    /// A URL.
    Url,
    /// It cannot be told: there is only an `.egg-info`, or a `direct_url.json` that cannot be read.
    Unknown,
    /// It is not installed, or not where Python packages are (`site-packages`, `dist-packages`).
    NotFound,
}

/// A distribution that an image is built with from source, as installed there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InstalledStatus {
    /// The distribution.
    pub name: String,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// The platforms where that is so, for a multi-platform image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
}

/// One attempt at a build or a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Its number, from 1.
    #[schemars(with = "i32")]
    pub number: u32,
    /// The name of the Job, or the request ID of the workflow's run.
    pub name: String,
    /// The number of the workflow's run, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub run: Option<u64>,
    /// The page of the workflow's run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// When it began.
    pub started_at: Time,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
    /// How many attempts failed in a row, this one included.
    #[serde(default)]
    #[schemars(with = "i32")]
    pub failures: u32,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The last lines of its log, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_tail: Option<String>,
}
