//! What becomes of a `PatchSet`'s patched source: where it is published, and which image is built from it.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::LocalReference;

/// A repository of a registry, without tag and digest: `registry.example.org/team/glance`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ImageRepository(
    #[schemars(
        length(min = 1, max = 255),
        regex(pattern = r"^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+$")
    )]
    pub String,
);

/// How the patched source becomes an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Build {
    /// Who builds. `External`: any CI, from the published source; the image counts once the registry has it under the
    /// tag of `status.build`, with the label `patching.c5c3.io/inputs` that says what it was built from.
    pub engine: Engine,
    /// The image that is built; absent, the source is published alone, as that of a library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageTarget>,
    /// Where the patched source is published, as an image with one layer that holds just the tree.
    pub source: SourceTarget,
    /// Reads further build arguments from an `extra-packages.yaml` beside the patches: `PIP_EXTRAS` (with commas),
    /// `PIP_PACKAGES` and `EXTRA_APT_PACKAGES` (with spaces).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_packages_from: Option<ExtraPackagesFrom>,
    /// Build arguments. They are part of what the image is built from, and win over those that are read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// Secret of type `kubernetes.io/dockerconfigjson` for the registries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
}

/// Where an `extra-packages.yaml` is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExtraPackagesFrom {
    /// The file, relative to the root of the repository or artifact that holds the patches. A component that it does
    /// not name has no further packages.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new("!self.startsWith('/') && !self.split('/').exists(p, p == '..')")
            .message("write a path relative to the repository's root, without '..'")
    )]
    pub path: String,
}

/// Who builds images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Engine {
    /// Any CI, from the published source.
    External,
}

/// The image that is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageTarget {
    /// Its repository.
    pub repository: ImageRepository,
    /// Its tag, with `{version}`, `{patches}` (how many), `{ref}`, `{sha}` (the upstream's commit, 7 digits), `{release}` and `{inputs}`
    /// (what it is built from, 12 digits).
    #[serde(default = "default_tag")]
    #[schemars(length(min = 1, max = 255))]
    pub tag: String,
}

/// Where patched source is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceTarget {
    /// Its repository.
    pub repository: ImageRepository,
    /// The component's version (PEP 440), for packaging without Git; that of the upstream's tag where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub version: Option<String>,
}

/// The tag where a resource does not say: different for all that goes into an image.
#[must_use]
pub fn default_tag() -> String {
    "{ref}-p{patches}-{inputs}".to_owned()
}

/// What an image is built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildStatus {
    /// A digest over everything that can change the image. The image carries it as the label
    /// `patching.c5c3.io/inputs`.
    pub inputs_digest: String,
    /// The image to build, by its tag; absent where the source is published alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// What is different from the build before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<BuildReason>,
    /// The named contexts of the build, by their digests.
    pub contexts: BTreeMap<String, String>,
    /// The build arguments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
}

/// Why there is a new build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum BuildReason {
    /// There was none before.
    First,
    /// The upstream's commit moved.
    Upstream,
    /// The patches, or the version.
    Patches,
    /// A library's source.
    Libraries,
    /// The constraints.
    Constraints,
    /// Arguments, or the image's name.
    Config,
}

/// An image that was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageStatus {
    /// Its repository.
    pub repository: String,
    /// Its tag.
    pub tag: String,
    /// Its digest.
    pub digest: String,
    /// Repository, tag and digest: `registry.example.org/glance:31.0.0-p2@sha256:…`.
    pub reference: String,
    /// The upstream's revision that it was built from.
    pub revision: String,
    /// What it was built from: the `inputsDigest` of its build.
    pub inputs_digest: String,
}
