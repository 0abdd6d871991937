//! `PatchSet`: the patches on one component at one release.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::build::Build;
use super::common::{
    ADDRESS, Component, GitPath, GitRef, LocalReference, NO_PASSWORD, REF_NAME, RELATIVE_PATH, Release,
    ServiceAccountName, Verification,
};
use super::delivery::Delivery;
use super::duration::FluxDuration;
use super::referent::SourceReference;
use super::status::PatchSetStatus;
use super::upkeep::{PATCHES_ARE_IN_GIT, Upkeep};

/// The desired state of a `PatchSet`.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "patching.c5c3.io",
    version = "v1alpha1",
    kind = "PatchSet",
    plural = "patchsets",
    shortname = "pset",
    category = "patching",
    category = "all",
    namespaced,
    status = "PatchSetStatus",
    derive = "PartialEq",
    doc = "PatchSet is the patches that a team carries on one component at one release, and whether they apply.",
    cel,
    printcolumn(
        name = "Component",
        type_ = "string",
        json_path = ".spec.component",
        priority = 1
    ),
    printcolumn(name = "Release", type_ = "string", json_path = ".spec.release", priority = 1),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.upstream.shortRevision"
    ),
    printcolumn(name = "Patches", type_ = "string", json_path = ".status.applied"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Summary", type_ = "string", json_path = ".status.summary"),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].message",
        priority = 1
    ),
    printcolumn(
        name = "Image",
        type_ = "string",
        json_path = ".status.image.tag",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.upstream.refFrom) || (has(self.patches) && (has(self.patches.git) || has(self.patches.sourceRef)))")
        .message("upstream.refFrom reads a file from where the patches are: set patches.git or patches.sourceRef, or use upstream.ref")
)]
#[x_kube(
    validation = Rule::new("has(self.build) || (!has(self.libraries) && !has(self.constraints))")
        .message("libraries and constraints are what an image is built with: set build")
)]
#[x_kube(
    validation = Rule::new("!has(self.build) || !has(self.build.extraPackagesFrom) || (has(self.patches) && (has(self.patches.git) || has(self.patches.sourceRef)))")
        .message("build.extraPackagesFrom reads a file from where the patches are: set patches.git or patches.sourceRef, or use build.args")
)]
#[x_kube(
    validation = Rule::new("!has(self.delivery) || (has(self.build) && has(self.build.image))")
        .message("delivery is of an image: set build.image")
)]
#[x_kube(validation = Rule::new(PATCHES_ARE_IN_GIT.0).message(PATCHES_ARE_IN_GIT.1))]
pub struct PatchSetSpec {
    /// The component that is patched, for instance `glance`.
    pub component: Component,
    /// The release that the patches are for, for instance `2025.2`.
    pub release: Release,
    /// Whether the component is a service with an image of its own, or a library that services are
    /// built with.
    #[serde(default)]
    pub level: Level,
    /// The software that is patched.
    pub upstream: Upstream,
    /// The patches, in alphabetical order of their file names. If absent or empty, no patches are
    /// carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patches: Option<Patches>,
    /// What to do with a patch that upstream already has: `Fail` demands its removal, `Skip` leaves
    /// it out if upstream has it unchanged, `SkipDiffering` also if upstream has it in another
    /// form.
    #[serde(default)]
    pub merged_patches: MergedPatches,
    /// Other upstream refs to check the same patches against: what would break if we moved there?
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub candidates: Vec<GitRef>,
    /// Library PatchSets of this namespace that the image is built with, including those that they
    /// name in turn. Their patched source becomes additional named contexts, and their pins are
    /// removed from the constraints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub libraries: Vec<LocalReference>,
    /// The ConstraintOverride of this namespace that the image is built with, as the named context
    /// `upper-constraints`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<LocalReference>,
    /// What is made of the patched source. If absent, the patches are only validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Box<Build>>,
    /// Where the image goes once it is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Box<Delivery>>,
    /// What to do with patches that upstream has, and with those that moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upkeep: Option<Box<Upkeep>>,
    /// The service account of this namespace that ConfigMaps are delivered as, with its rights, and
    /// that Jobs run as. Defaults to the controller's `--default-service-account`. Without either,
    /// ConfigMaps are written with the controller's own rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<ServiceAccountName>,
    /// How often to check whether the upstream's ref or the patches moved.
    #[serde(default = "default_interval")]
    pub interval: FluxDuration,
    /// How long one reconciliation may take before it is abandoned and retried.
    #[serde(default = "default_timeout")]
    pub timeout: FluxDuration,
    /// Stops reconciliation and leaves the status unchanged.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

impl PatchSetSpec {
    /// The signatures that are required: of the upstream, of the patches and of the Dockerfile.
    pub fn verifications(&self) -> impl Iterator<Item = &Verification> {
        let patches = self.patches.as_ref().and_then(|patches| patches.git.as_ref());
        let dockerfile = self.build.as_ref().and_then(|build| build.dockerfile.as_ref());
        let folder = dockerfile.and_then(|dockerfile| dockerfile.git.as_ref());
        let folders = [patches, folder].into_iter().flatten();
        let folders = folders.filter_map(|folder| folder.verify.as_ref());
        let branch = self.patches.as_ref().and_then(|patches| patches.branch.as_ref());
        let branch = branch.and_then(|branch| branch.verify.as_ref());
        self.upstream.verify.iter().chain(folders).chain(branch)
    }
}

/// What a component is to an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Level {
    /// Software with an image of its own.
    #[default]
    Service,
    /// A dependency that services are built with.
    Library,
}

/// What a patch that upstream already has means for its `PatchSet`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MergedPatches {
    /// The `PatchSet` is not ready until the patch is removed.
    #[default]
    Fail,
    /// The patch is left out if upstream has it unchanged, and the status reports it. One that
    /// upstream has in another form has to be removed by a person who has reviewed the difference.
    Skip,
    /// The patch is left out, in whatever form upstream has it, and the status reports it.
    SkipDiffering,
}

impl MergedPatches {
    /// The policy as the spec spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fail => "Fail",
            Self::Skip => "Skip",
            Self::SkipDiffering => "SkipDiffering",
        }
    }
}

/// The software that is patched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.ref) != has(self.refFrom)")
        .message("set exactly one of ref and refFrom")
)]
#[x_kube(
    validation = Rule::new("!has(self.verify) || !has(self.verify.mode) || self.verify.mode == 'HEAD' || has(self.refFrom) || (has(self.ref) && (has(self.ref.tag) || has(self.ref.semver)))")
        .message("verify.mode Tag and TagAndHEAD ask for a signed tag: set ref.tag, ref.semver or refFrom, or use HEAD")
)]
pub struct Upstream {
    /// The repository's address: https, ssh, or http where the controller allows it. Credentials go
    /// into `secretRef`, never into the address.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new(ADDRESS.0).message(ADDRESS.1))]
    #[x_kube(validation = Rule::new(NO_PASSWORD.0).message(NO_PASSWORD.1))]
    pub url: String,
    /// The ref that is built.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub ref_: Option<GitRef>,
    /// Reads the ref from a `source-refs.yaml` beside the patches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ref_from: Option<RefFrom>,
    /// Who must have signed the commit or tag before anything in it is read. Candidates are not
    /// verified: nothing is built from them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verification>,
    /// Secret with credentials: `username` and `password`, `bearerToken`, `identity` and
    /// `known_hosts`, or a GitHub App's keys; `ca.crt`, `tls.crt` and `tls.key` as needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// Secret with a proxy's `address`, and `username` and `password` if it requires them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalReference>,
    /// Where people read about a commit of the upstream, with `{commit}` or `{changeId}` in it, for
    /// instance `https://review.example.org/q/{changeId}`. If absent, it is derived from `url` for
    /// opendev, GitHub, GitLab, Gitea and cgit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        validation = Rule::new("self.matches('^https?://[^/]') && (self.contains('{commit}') || self.contains('{changeId}'))")
            .message("write a web address with {commit} or {changeId} in it")
    )]
    pub commit_url_template: Option<String>,
}

/// Where to find a ref in a file that maps components to a branch, tag or commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefFrom {
    /// The file, relative to the root of the repository or artifact that holds the patches.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new(RELATIVE_PATH.0).message(RELATIVE_PATH.1))]
    pub path: String,
    /// The key. Defaults to the component's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub key: Option<String>,
}

/// Where the patches are, and how to read their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.git), has(self.sourceRef), has(self.configMap), has(self.inline), has(self.branch)].filter(x, x).size() == 1")
        .message("set exactly one of git, sourceRef, configMap, inline and branch; leave patches out where none are carried")
)]
#[x_kube(
    validation = Rule::new("!has(self.path) || has(self.sourceRef)")
        .message("path goes with sourceRef; for a Git repository write git.path")
)]
pub struct Patches {
    /// A folder of a Git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitPath>,
    /// The artifact of a Flux source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<SourceReference>,
    /// The folder in the artifact. Defaults to its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new(RELATIVE_PATH.0).message("write a path relative to the artifact's root, without '..'"))]
    pub path: Option<String>,
    /// A ConfigMap; each key that ends in `.patch` or `.diff` is a patch, and the key `series`
    /// lists them in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<LocalReference>,
    /// Patches in the object itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub inline: Option<Vec<InlinePatch>>,
    /// A branch of a fork: each of its commits is a patch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<PatchesBranch>,
    /// Leading path components to strip from the names in the patches, as `git apply -p`. Defaults
    /// to 1, or to 0 for a plain diff whose names have no folders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 0, max = 64))]
    pub strip: Option<u8>,
    /// Folder of the upstream that the patches' paths are relative to, as `git apply --directory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new(RELATIVE_PATH.0).message("write a path relative to the upstream's root, without '..'"))]
    pub directory: Option<String>,
}

/// A branch whose commits are the patches: those on top of the upstream's commit, along first
/// parents, each as `git format-patch` writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.url) || (!has(self.secretRef) && !has(self.proxySecretRef))")
        .message("without url the branch is in the upstream's own repository, and reached with the upstream's Secrets: leave secretRef and proxySecretRef out, or set url")
)]
#[x_kube(
    validation = Rule::new("!has(self.verify) || !has(self.verify.mode) || self.verify.mode == 'HEAD'")
        .message("a branch has no tag: use verify.mode HEAD")
)]
pub struct PatchesBranch {
    /// The fork's address, as `upstream.url`. Defaults to the upstream's own repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new(ADDRESS.0).message(ADDRESS.1))]
    #[x_kube(validation = Rule::new(NO_PASSWORD.0).message(NO_PASSWORD.1))]
    pub url: Option<String>,
    /// The branch, without `refs/heads/`. It is followed as it moves, force pushes included.
    #[schemars(length(min = 1, max = 255), regex(pattern = REF_NAME))]
    pub branch: String,
    /// The ref in the fork's repository that the commits are on top of. Defaults to the upstream's
    /// commit. If the branch forked off earlier, they are on top of the last commit that both
    /// share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<GitRef>,
    /// What subjects such as `UPSTREAM: <carry>: …` mean.
    #[serde(default)]
    pub subjects: SubjectRule,
    /// Who must have signed the branch's last commit before anything in it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verification>,
    /// Secret with credentials, as `upstream.secretRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// Secret with a proxy, as `upstream.proxySecretRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalReference>,
}

/// What the subjects of a branch's commits mean if they follow the convention of
/// `openshift/kubernetes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SubjectRule {
    /// Nothing: every commit is a patch.
    #[default]
    Ignore,
    /// `UPSTREAM: <carry>:` and `UPSTREAM: 1234:` (a pull request of the upstream) are patches.
    /// `UPSTREAM: <drop>:` is one while the branch is on top of the upstream's commit, and is left
    /// out once the upstream has moved. Commits without such a mark are patches.
    Soft,
    /// As `Soft`; a commit without such a mark is refused.
    Strict,
}

impl SubjectRule {
    /// The rule as the spec spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "Ignore",
            Self::Soft => "Soft",
            Self::Strict => "Strict",
        }
    }
}

/// One patch in the object itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct InlinePatch {
    /// Its file name; the names' alphabetical order is the order of the series.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^/\s][^/]*\.(patch|diff)$"))]
    pub name: String,
    /// The patch, as `git format-patch` or `diff -u` writes it.
    #[schemars(length(min = 1, max = 1_048_576))]
    pub content: String,
}

/// How often to check if a resource does not say.
#[must_use]
pub fn default_interval() -> FluxDuration {
    FluxDuration::new("5m")
}

/// How long one reconciliation may take if a resource does not say.
#[must_use]
pub fn default_timeout() -> FluxDuration {
    FluxDuration::new("2m")
}
