//! `PatchRepository`: a repository of patches, and the objects that its folders ask for.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use super::InputsDigest;
use super::common::{
    ADDRESS, Component, GitRef, LocalReference, NO_PASSWORD, REF_NAME, RELATIVE_PATH, TAG_IS_NAMED,
    Verification,
};
use super::constraint_override::PackageName;
use super::duration::FluxDuration;
use super::layout_kind::LayoutKind;
use super::patch_set::{Level, default_interval, default_timeout};
use super::patch_set_template::TemplateSpec;
use super::referent::SourceReference;
use super::status::{NEVER_OBSERVED, never_observed};
use super::upkeep::{RepositoryUpkeepStatus, SOURCE_IS_GIT, Upkeep};

/// The label of the objects that a `PatchRepository` makes; its value is the `PatchRepository`'s
/// name.
pub const REPOSITORY_LABEL: &str = "patching.c5c3.io/repository";

/// The label by which Flux's users assign an object to one of several controllers.
pub const SHARD_LABEL: &str = "sharding.fluxcd.io/key";

/// The maximum number of matrix cells in a status.
pub const MOST_CELLS: usize = 500;

/// The maximum number of faults in a status.
pub const MOST_FAULTS: usize = 50;

/// A rule for what a template must not set: what follows from the folders.
const FOLLOWS: (&str, &str) = (
    "!has(self.component) && !has(self.release) && !has(self.level)",
    "component, release and level follow from the folders: leave them out of a template",
);

/// The same for labels.
const LABEL_FOLLOWS: (&str, &str) = (
    "!has(self.labels) || !('patching.c5c3.io/repository' in self.labels)",
    "the label patching.c5c3.io/repository is the PatchRepository's own: leave it out of a template",
);

/// The same for the upstream.
const UPSTREAM_FOLLOWS: (&str, &str) = (
    "!has(self.upstream) || (!has(self.upstream.url) && !has(self.upstream.ref) && !has(self.upstream.refFrom))",
    "upstream.url, ref and refFrom follow from the PatchRepository's upstream and its folders: leave them out of a template",
);

/// The same for the patches.
const PATCHES_FOLLOW: (&str, &str) = (
    "!has(self.patches) || (!has(self.patches.git) && !has(self.patches.sourceRef) && !has(self.patches.path) && !has(self.patches.configMap) && !has(self.patches.inline))",
    "where the patches are follows from the PatchRepository's source and its folders: leave all but strip and directory out of a template's patches",
);

/// The desired state of a `PatchRepository`.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "patching.c5c3.io",
    version = "v1alpha1",
    kind = "PatchRepository",
    plural = "patchrepositories",
    shortname = "prepo",
    category = "patching",
    category = "all",
    namespaced,
    status = "PatchRepositoryStatus",
    derive = "PartialEq",
    doc = "PatchRepository is a team's repository of patches. Its folders ask for a PatchSet for each component at each release, and for a ConstraintOverride for each release.",
    cel,
    validation = Rule::new("self.metadata.name.size() <= 63")
        .message("the name goes into a label of all that is made: write one of at most 63 characters"),
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
    printcolumn(
        name = "Layout",
        type_ = "string",
        json_path = ".status.layout",
        priority = 1
    ),
    printcolumn(
        name = "Revision",
        type_ = "string",
        json_path = ".status.revision",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.constraints) || has(self.source.git)")
        .message("a ConstraintOverride reads its files from Git: set source.git, or leave constraints out")
)]
#[x_kube(
    validation = Rule::new("!has(self.component) || self.layout in ['Auto', 'SingleComponent', 'DebianPatches']")
        .message("component is for the layouts SingleComponent and DebianPatches: in the others it is the name of a folder; to choose some, set components.include")
)]
#[x_kube(validation = Rule::new(SOURCE_IS_GIT.0).message(SOURCE_IS_GIT.1))]
pub struct PatchRepositorySpec {
    /// The repository.
    pub source: RepositorySource,
    /// How its folders are named. `ComponentRelease`: `patches/<component>/<release>`.
    /// `ReleaseComponent`: `patches/<release>/<component>`. `OrgComponent`:
    /// `patches/<org>/<component>`. `SingleComponent`: `patches`, `patches/<component>` or the
    /// root. `DebianPatches`: `debian/patches`. The last three have a branch for each release,
    /// `stable/2025.2` for 2025.2. `Auto` detects which one it is.
    #[serde(default)]
    pub layout: LayoutKind,
    /// The folder of the repository that holds the layout. Defaults to its root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new(RELATIVE_PATH.0).message(RELATIVE_PATH.1))]
    pub directory: Option<String>,
    /// The component of a repository that has only one, if no folder is named after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Component>,
    /// The components to manage. Defaults to all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub components: Option<NameSelection>,
    /// The releases to manage. Defaults to all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub releases: Option<NameSelection>,
    /// The components that are libraries, which services of the same release are built with. If
    /// absent and the repository has a folder `images`, they are those that have patches but no
    /// `images/<component>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub libraries: Option<Vec<Component>>,
    /// Where the components come from.
    pub upstream: UpstreamTemplate,
    /// What else the PatchSets have: builds, delivery, candidates, labels. `{component}`,
    /// `{release}` and `{version}` (that of the upstream's ref) in its strings stand for those of
    /// each PatchSet. Tags and addresses of commits have variables of their own, and keep them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<PatchSetTemplate>,
    /// Templates that are laid over `template`, in order, for some of the PatchSets: objects are
    /// merged, lists whose elements have a key are merged by it, anything else is replaced, and
    /// null removes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub overrides: Vec<TemplateOverride>,
    /// Makes a ConstraintOverride for each release that has an `upper-constraints.txt`, from
    /// `overrides/<release>/constraints.txt`. Services with an image are built with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<ConstraintsTemplate>,
    /// What to do with patches that upstream has, and with those that moved. What templates set for
    /// it is laid over this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upkeep: Option<Upkeep>,
    /// Whether to delete objects that the folders do not ask for any more.
    #[serde(default = "prunes")]
    pub prune: bool,
    /// How often to check whether the repository moved.
    #[serde(default = "default_interval")]
    pub interval: FluxDuration,
    /// How long one reconciliation may take before it is abandoned and retried.
    #[serde(default = "default_timeout")]
    pub timeout: FluxDuration,
    /// Stops reconciliation and leaves the status unchanged. The objects that were made carry on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

impl PatchRepositorySpec {
    /// The signature that is required of the repository's commit or tag.
    pub fn verifications(&self) -> impl Iterator<Item = &Verification> {
        self.source.git.iter().filter_map(|git| git.verify.as_ref())
    }
}

/// Where the repository is; exactly one of the fields is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.git) != has(self.sourceRef)")
        .message("set exactly one of git and sourceRef")
)]
pub struct RepositorySource {
    /// A Git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitRepositorySource>,
    /// The artifact of a Flux source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<SourceReference>,
}

/// A Git repository as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(TAG_IS_NAMED.0).message(TAG_IS_NAMED.1))]
pub struct GitRepositorySource {
    /// The repository's address: https, ssh, or http where the controller allows it. Credentials go
    /// into `secretRef`, never into the address.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new(ADDRESS.0).message(ADDRESS.1))]
    #[x_kube(validation = Rule::new(NO_PASSWORD.0).message(NO_PASSWORD.1))]
    pub url: String,
    /// What to read. Defaults to the repository's default branch.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub ref_: Option<GitRef>,
    /// Who must have signed the commit or tag before anything in it is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<Verification>,
    /// Secret with credentials: `username` and `password`, `bearerToken`, `identity` and
    /// `known_hosts`, or a GitHub App's keys; `ca.crt`, `tls.crt` and `tls.key` as needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// Secret with a proxy's `address`, and `username` and `password` if it requires them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalReference>,
}

/// Names by patterns, in which `*` stands for any text, `?` for any one character, and `[ab]` for
/// one of those listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameSelection {
    /// The names to include. Defaults to all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 128)))]
    pub include: Vec<String>,
    /// The names to exclude from those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 128)))]
    pub exclude: Vec<String>,
}

/// Where the components come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.urlTemplate) || has(self.overrides)")
        .message("set urlTemplate, or overrides with the url of each component")
)]
pub struct UpstreamTemplate {
    /// The address of a component's repository, with `{component}` in it, for instance
    /// `https://opendev.org/openstack/{component}`. `{org}` is the folder above the component in
    /// the layout `OrgComponent`, and `{release}` the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new(NO_PASSWORD.0).message(NO_PASSWORD.1))]
    pub url_template: Option<String>,
    /// The branch of a component at a release that no `source-refs.yaml` names, with `{release}` or
    /// `{component}` in it, for instance `stable/{release}`. For a tag, write `refs/tags/` before
    /// its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = REF_NAME))]
    pub ref_template: Option<String>,
    /// Secret with credentials, as that of a PatchSet's upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// Secret with a proxy's `address`, and `username` and `password` if it requires them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalReference>,
    /// Where people read about a commit, as in a PatchSet's upstream; it may also contain
    /// `{component}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub commit_url_template: Option<String>,
    /// What differs for individual components.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["component".into()]))]
    pub overrides: Vec<UpstreamOverride>,
}

/// Where one component comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamOverride {
    /// The component.
    pub component: Component,
    /// The address of its repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new(ADDRESS.0).message(ADDRESS.1))]
    #[x_kube(validation = Rule::new(NO_PASSWORD.0).message(NO_PASSWORD.1))]
    pub url: Option<String>,
    /// Secret with credentials for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// Folder of the upstream that the patches' paths are relative to, as `git apply --directory`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    #[x_kube(validation = Rule::new(RELATIVE_PATH.0).message("write a path relative to the upstream's root, without '..'"))]
    pub directory: Option<String>,
    /// Leading path components to strip from the names in the patches, as `git apply -p`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 0, max = 64))]
    pub strip: Option<u8>,
}

/// What PatchSets have in addition to what follows from the folders.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchSetTemplate {
    /// Labels and annotations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Parts of a PatchSet's spec. For a service with `build.image`, `build.dockerfile` defaults to
    /// the folder `images/<component>` and `build.extraPackagesFrom` to the release's
    /// `extra-packages.yaml`, if the repository has them; null leaves them out. Libraries do not
    /// get what is for an image (`delivery`, `libraries`, `constraints`, and `image`, `dockerfile`,
    /// `contexts`, `platforms`, `extraPackagesFrom` and `args` of `build`), unless an override that
    /// matches `level: Library` sets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(FOLLOWS.0).message(FOLLOWS.1))]
    #[x_kube(validation = Rule::new(UPSTREAM_FOLLOWS.0).message(UPSTREAM_FOLLOWS.1))]
    #[x_kube(validation = Rule::new(PATCHES_FOLLOW.0).message(PATCHES_FOLLOW.1))]
    pub spec: Option<TemplateSpec>,
}

/// Labels and annotations of the objects that are made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(LABEL_FOLLOWS.0).message(LABEL_FOLLOWS.1))]
pub struct TemplateMetadata {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Option<String>>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, Option<String>>,
}

/// A template for some of the PatchSets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateOverride {
    /// Which ones.
    #[serde(rename = "match")]
    pub match_: TemplateMatch,
    /// What to lay over their template.
    pub template: PatchSetTemplate,
}

/// Which PatchSets a template is for: those that match every field that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.component) || has(self.release) || has(self.level)")
        .message("set at least one of component, release and level; what is for all goes into spec.template")
)]
pub struct TemplateMatch {
    /// The component, or a pattern as in `components.include`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub component: Option<String>,
    /// The release, or a pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub release: Option<String>,
    /// Services, or libraries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<Level>,
}

/// What ConstraintOverrides are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConstraintsTemplate {
    /// Labels and annotations, with `{release}` in their values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// The repository with the upper constraints of releases for which this one has no
    /// `releases/<release>/upper-constraints.txt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<RequirementsSource>,
    /// Packages that are built from source. Their pins are removed from the merged files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub built_from_source: Vec<PackageName>,
    /// How often to check whether the files moved. Defaults to the PatchRepository's `interval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<FluxDuration>,
}

/// A Git repository with a branch for each release, and upper constraints in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RequirementsSource {
    /// Its address, for instance `https://opendev.org/openstack/requirements`.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new(ADDRESS.0).message(ADDRESS.1))]
    #[x_kube(validation = Rule::new(NO_PASSWORD.0).message(NO_PASSWORD.1))]
    pub url: String,
    /// The branch, with `{release}` in it. Defaults to `stable/{release}`. For a tag, write
    /// `refs/tags/` before its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = REF_NAME))]
    pub ref_template: Option<String>,
    /// The file. Defaults to `upper-constraints.txt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new(RELATIVE_PATH.0).message(RELATIVE_PATH.1))]
    pub path: Option<String>,
    /// Secret with credentials for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// Secret with a proxy's `address`, and `username` and `password` if it requires them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalReference>,
}

impl RequirementsSource {
    /// `refTemplate`.
    #[must_use]
    pub fn ref_template(&self) -> &str {
        self.ref_template.as_deref().unwrap_or("stable/{release}")
    }

    /// `path`.
    #[must_use]
    pub fn path(&self) -> &str {
        self.path.as_deref().unwrap_or("upper-constraints.txt")
    }
}

/// The observed state of a `PatchRepository`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatchRepositoryStatus {
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
    /// The revision of the repository whose folders were last read. It stays while later revisions
    /// change none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// How its folders are named; never `Auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<LayoutKind>,
    /// How many PatchSets there are, and what state they are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<RepositoryCounts>,
    /// Each component at each release. Those that need attention come first; the others follow by
    /// name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cells: Vec<RepositoryCell>,
    /// How many more there are: an object's size is bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub omitted_cells: Option<u32>,
    /// What is wrong with the folders, or with what they and the templates result in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<RepositoryFault>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub omitted_faults: Option<u32>,
    /// What is to be done for the patches, and where that is proposed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upkeep: Option<RepositoryUpkeepStatus>,
    /// A digest over everything this status was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_digest: Option<InputsDigest>,
}

impl Default for PatchRepositoryStatus {
    fn default() -> Self {
        Self {
            observed_generation: NEVER_OBSERVED,
            conditions: Vec::new(),
            last_handled_reconcile_at: None,
            revision: None,
            layout: None,
            counts: None,
            cells: Vec::new(),
            omitted_cells: None,
            faults: Vec::new(),
            omitted_faults: None,
            upkeep: None,
            inputs_digest: None,
        }
    }
}

/// The PatchSets of a repository, by state. Each is in one of the counts from `ready` on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryCounts {
    /// How many there are.
    #[schemars(with = "i32")]
    pub patch_sets: u32,
    /// How many ConstraintOverrides there are.
    #[schemars(with = "i32")]
    pub constraint_overrides: u32,
    /// How many are ready.
    #[schemars(with = "i32")]
    pub ready: u32,
    /// How many have a patch that does not apply or cannot be read.
    #[schemars(with = "i32")]
    pub conflicting: u32,
    /// How many have a patch that upstream has, and none that conflicts.
    #[schemars(with = "i32")]
    pub merged: u32,
    /// How many failed for another reason.
    #[schemars(with = "i32")]
    pub failing: u32,
    /// How many are in progress, or waiting for something.
    #[schemars(with = "i32")]
    pub pending: u32,
}

/// A component at a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryCell {
    /// The component.
    pub component: String,
    /// The release.
    pub release: String,
    /// The PatchSet.
    pub name: String,
    /// How many patches apply, of how many: `3/4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<String>,
    /// The status of its condition Ready; `Unknown` if it has none yet.
    pub ready: String,
    /// The reason of that condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The tag of its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// Something that is wrong with a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryFault {
    /// The kind of fault: one that `patchset check` names, `TemplateInvalid` or `NameTaken`.
    pub kind: String,
    /// The file or folder, relative to the repository's root, or the field of the PatchRepository.
    pub path: String,
    /// The line, if one line is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub line: Option<u32>,
    /// What is wrong with it, and what to do.
    pub message: String,
}

fn prunes() -> bool {
    true
}
