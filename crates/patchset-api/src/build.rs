//! How a `PatchSet`'s patched source is used: where it is published, and which image is built from
//! it.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::built_image::{Attempt, ImageStatus, InstalledStatus, Origin, SortableTag};
use super::common::{GitPath, InputsDigest, LocalReference, RELATIVE_PATH, ServiceAccountName};
use super::duration::{DurationError, FluxDuration};
use super::image_test::{ImageTest, ImageTestsStatus};
use super::pod_template::PodTemplate;
use super::{Recorded, Revision};
use image_references::{Digest, ImageReference};

/// A repository in a registry, without tag or digest: `registry.example.org/team/glance`.
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
#[x_kube(
    validation = Rule::new("self.engine != 'Job' || !has(self.image) || has(self.dockerfile)")
        .message("the engine Job builds an image from a Dockerfile: set dockerfile")
)]
#[x_kube(
    validation = Rule::new("has(self.image) || (!has(self.dockerfile) && !has(self.contexts) && !has(self.platforms))")
        .message("dockerfile, contexts and platforms are for an image: set image")
)]
#[x_kube(
    validation = Rule::new("self.engine == 'Job' || !has(self.job)")
        .message("job configures the engine Job")
)]
#[x_kube(
    validation = Rule::new("has(self.provider) || !has(self.serviceAccountName)")
        .message("serviceAccountName is who logs in to a cloud's registries: set provider")
)]
#[x_kube(
    validation = Rule::new("has(self.image) || !has(self.tests)")
        .message("tests are of an image: set image")
)]
#[x_kube(
    validation = Rule::new("(self.engine == 'GitHubActions') == has(self.githubActions)")
        .message("the engine GitHubActions needs githubActions, and the others do not take it")
)]
pub struct Build {
    /// Who builds. `Job`: a Kubernetes Job in the namespace of the PatchSet. `GitHubActions`: a
    /// workflow that is dispatched. `External`: any CI, from the published source. Either way the
    /// image counts once the registry has it under the tag of `status.build`, with the label
    /// `patching.c5c3.io/inputs` that says what it was built from.
    pub engine: Engine,
    /// The image that is built. If absent, only the source is published, as for a library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageTarget>,
    /// Where the patched source is published, as an image with one layer that holds just the tree.
    pub source: SourceTarget,
    /// The folder with the Dockerfile: the main context of the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<DockerfileSource>,
    /// Additional named contexts: images by tag or digest. A tag is pinned to the digest that it
    /// stands for and checked at each interval; if it has moved, the image is rebuilt.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "contexts_schema")]
    pub contexts: BTreeMap<String, ContextImage>,
    /// The platforms to build for, for instance `linux/amd64`. Defaults to that of the builder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub platforms: Vec<Platform>,
    /// Reads additional build arguments from an `extra-packages.yaml` beside the patches:
    /// `PIP_EXTRAS` (with commas), `PIP_PACKAGES` and `EXTRA_APT_PACKAGES` (with spaces).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extra_packages_from: Option<ExtraPackagesFrom>,
    /// Build arguments. They are part of what the image is built from, and override those from
    /// `extraPackagesFrom`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// Secret of type `kubernetes.io/dockerconfigjson` for the registries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// The cloud whose registries to log in to as `serviceAccountName`, by workload identity, if
    /// `secretRef` has no login. The controller has to allow it (`--registry-identities`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<CloudProvider>,
    /// The service account of this namespace for `provider`, annotated as the cloud's tools and
    /// Flux expect. Defaults to that of the PatchSet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<ServiceAccountName>,
    /// How long one attempt at a build may take. Defaults to an hour, and never exceeds the
    /// controller's `--max-build-timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<FluxDuration>,
    /// How often a failed build is retried, with growing delays, before it waits for an input to
    /// change or for `reconcile.fluxcd.io/requestedAt`. Defaults to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 0, max = 20))]
    pub retries: Option<u32>,
    /// How the engine `Job` builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobOptions>,
    /// How the engine `GitHubActions` builds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub github_actions: Option<GitHubActions>,
    /// Whether the image is inspected before it counts. Defaults to `Installed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<ImageCheck>,
    /// Whether an SBOM with the patches is attached to the image in its registry. Defaults to
    /// `Attach`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom: Option<SbomPolicy>,
    /// Tests that run one after another once the image is built and before it counts: before its
    /// further tags are added and it is delivered. If a blocking test fails, the previous image
    /// stays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub tests: Vec<ImageTest>,
}

/// A cloud whose registries accept logins by workload identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CloudProvider {
    /// AWS: Amazon ECR.
    Aws,
    /// Azure: Azure Container Registry.
    Azure,
    /// Google Cloud: Artifact Registry.
    Gcp,
}

impl CloudProvider {
    /// The name as the spec spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Azure => "azure",
            Self::Gcp => "gcp",
        }
    }
}

/// Whether an image is inspected before it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ImageCheck {
    /// The component and its libraries, if they are Python distributions, must be installed from
    /// nowhere but their patched source: pip and uv silently install the stock wheel over a patched
    /// library.
    #[default]
    Installed,
    /// It is not inspected.
    Skip,
}

/// Whether the `CycloneDX` document with the patches and overridden packages is attached to an
/// image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SbomPolicy {
    /// It is attached, as an OCI artifact whose subject is the image.
    #[default]
    Attach,
    /// It is not.
    Skip,
}

// Fields of optional objects have no default in the schema: when such an object is removed,
// server-side apply would leave the defaults behind, without the fields that it requires.
impl Build {
    /// `timeout`.
    ///
    /// # Errors
    ///
    /// If it is not a duration.
    pub fn timeout(&self) -> Result<Duration, DurationError> {
        self.timeout.as_ref().map_or(Ok(HOUR), FluxDuration::get)
    }

    /// `retries`.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries.unwrap_or(2)
    }

    /// Whether the image is inspected before it counts.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.check.unwrap_or_default() == ImageCheck::Installed
    }

    /// Whether a document on the patches is attached to the image.
    #[must_use]
    pub fn has_sbom(&self) -> bool {
        self.sbom.unwrap_or_default() == SbomPolicy::Attach
    }
}

impl DockerfileSource {
    /// `file`.
    #[must_use]
    pub fn file(&self) -> &str {
        self.file.as_deref().unwrap_or("Dockerfile")
    }
}

impl ImageTarget {
    /// `tag`.
    #[must_use]
    pub fn tag(&self) -> &str {
        self.tag.as_deref().unwrap_or("{ref}-p{patches}-{inputs}")
    }
}

impl JobOptions {
    /// `keep`.
    ///
    /// # Errors
    ///
    /// If it is not a duration.
    pub fn keep(&self) -> Result<Duration, DurationError> {
        self.keep.as_ref().map_or(Ok(HOUR), FluxDuration::get)
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// Names of contexts, as BuildKit accepts them, with their images.
fn contexts_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let image = ContextImage::json_schema(generator);
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 32,
        "additionalProperties": image,
    })
}

/// An image as a named context: `docker-image://registry.example.org/base:1` or with a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ContextImage(
    #[schemars(
        length(min = 1, max = 512),
        regex(
            pattern = r"^docker-image://[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?(@sha256:[a-f0-9]{64})?$"
        )
    )]
    pub String,
);

/// A platform: `linux/amd64`, `linux/arm64/v8`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Platform(
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?$")
    )]
    pub String,
);

/// Where to find the folder with the Dockerfile; exactly one of `git`, `configMap` and `inline` is
/// set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("[has(self.git), has(self.configMap), has(self.inline)].filter(x, x).size() == 1")
        .message("set exactly one of git, configMap and inline")
)]
pub struct DockerfileSource {
    /// A folder of a Git repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitPath>,
    /// A ConfigMap whose keys are the files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<LocalReference>,
    /// The Dockerfile itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub inline: Option<String>,
    /// The Dockerfile's name in the folder. Defaults to `Dockerfile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(validation = Rule::new(RELATIVE_PATH.0).message("write a path relative to the folder, without '..'"))]
    pub file: Option<String>,
    /// The stage to build. Defaults to the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"))]
    pub stage: Option<String>,
}

/// How the engine `Job` builds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobOptions {
    /// The program that builds. Defaults to BuildKit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder: Option<Builder>,
    /// The builder's image. Defaults to that of the controller's `--buildkit-image` or
    /// `--buildah-image`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// A repository that keeps the layers of one build for the next (BuildKit's registry cache).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<ImageRepository>,
    /// How long a finished Job is kept. Defaults to an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<FluxDuration>,
    /// The service account of this namespace that the Job's pods run as. Defaults to that of the
    /// PatchSet. The pods get no token for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<ServiceAccountName>,
    /// Parts of the Job's pod template (`PodTemplateSpec`), laid over that of the controller:
    /// objects are merged, lists whose elements have names are merged by name, anything else is
    /// replaced, and null removes. The container that builds is called `build`. The controller's
    /// `--job-pod-template` decides which fields may be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

/// A workflow of GitHub Actions that builds. It is dispatched with the inputs `request_id`, which
/// belongs in its `run-name`, and `build`, a JSON document that says what to build from what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitHubActions {
    /// The repository with the workflow: `owner/name`.
    #[schemars(
        length(min = 3, max = 201),
        regex(pattern = r"^[A-Za-z0-9_-]+/[A-Za-z0-9_.-]+$")
    )]
    pub repository: String,
    /// The workflow's file in `.github/workflows`, without the folder.
    #[schemars(
        length(min = 1, max = 100),
        regex(pattern = r"^([A-Za-z0-9_.-]+\.ya?ml|[0-9]+)$")
    )]
    pub workflow: String,
    /// The branch or tag that the workflow is taken from. Defaults to `main`.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub ref_: Option<String>,
    /// Secret with an access token as `token`, or the keys of a GitHub App as Flux names them:
    /// `githubAppID`, `githubAppInstallationID`, `githubAppPrivateKey` and, for an Enterprise
    /// Server, `githubAppBaseURL`.
    pub secret_ref: LocalReference,
    /// The address of the REST API. Defaults to that in the Secret, or else that of github.com.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^https?://"))]
    pub api_url: Option<String>,
    /// What the outcome of the workflow's run means for the image that it pushed. Defaults to
    /// `Ignore`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conclusion: Option<RunConclusion>,
}

/// What the outcome of a workflow's run means for the image that it pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RunConclusion {
    /// Nothing: the image counts once the registry has it.
    #[default]
    Ignore,
    /// It is the image's test: an image counts once the requested run has succeeded. One whose run
    /// failed does not, even if the registry has it.
    Test,
}

impl GitHubActions {
    /// `conclusion`.
    #[must_use]
    pub fn conclusion(&self) -> RunConclusion {
        self.conclusion.unwrap_or_default()
    }

    /// `ref`.
    #[must_use]
    pub fn ref_(&self) -> &str {
        self.ref_.as_deref().unwrap_or("main")
    }
}

/// The program that builds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Builder {
    /// Rootless BuildKit: an image with `buildctl-daemonless.sh`.
    #[default]
    BuildKit,
    /// buildah with chroot isolation: an image with `buildah`.
    Buildah,
}

/// Where to find an `extra-packages.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExtraPackagesFrom {
    /// The file, relative to the root of the repository or artifact that holds the patches. A
    /// component that it does not name has no extra packages.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new(RELATIVE_PATH.0).message(RELATIVE_PATH.1))]
    pub path: String,
}

/// Who builds images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Engine {
    /// A Kubernetes Job.
    Job,
    /// A workflow of GitHub Actions.
    GitHubActions,
    /// Any CI, from the published source.
    External,
}

/// The image that is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageTarget {
    /// Its repository.
    pub repository: ImageRepository,
    /// Its tag, with `{version}`, `{patches}` (how many), `{ref}`, `{sha}` (the upstream's commit,
    /// 7 digits), `{patchesBranch}` and `{patchesSha}` (those of the patches' repository when these
    /// inputs were first seen, 7 digits), `{release}` and `{inputs}` (what it is built from, 12
    /// digits). Defaults to `{ref}-p{patches}-{inputs}`, which changes with anything that goes into
    /// an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub tag: Option<String>,
    /// Further tags, by the same templates, that move to each new image: for instance `{version}`
    /// and `{release}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 255)))]
    pub moving_tags: Vec<String>,
    /// The branches of the patches' repository from which `movingTags` move. Defaults to any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 255)))]
    pub moving_tags_from: Vec<String>,
    /// One more tag, for Flux image policies, which pick the highest: by the same templates and
    /// `{time}`, when this image became the wanted one (UTC, 14 digits: `20250131235959`). It is
    /// added and never moved: a former image that is wanted again gets another. For instance
    /// `{release}-{time}-{sha}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(
        validation = Rule::new("self.contains('{time}')")
            .message("sortableTag has to contain {time}, which it is sorted by")
    )]
    pub sortable_tag: Option<String>,
}

/// Where patched source is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceTarget {
    /// Its repository.
    pub repository: ImageRepository,
    /// The component's version (PEP 440), for packaging without Git. Defaults to that of the
    /// upstream's tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub version: Option<String>,
}

/// What an image is built from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildStatus {
    /// A digest over everything that can change the image. The image carries it as the label
    /// `patching.c5c3.io/inputs`.
    pub inputs_digest: InputsDigest,
    /// The image to build, by its tag; absent if only the source is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Recorded<ImageReference>>,
    /// Further tags that move to the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moving_tags: Vec<String>,
    /// The sortable tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sortable_tag: Option<SortableTag>,
    /// The patches' revision when these inputs were first seen, if tags depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patches_revision: Option<Recorded<Revision>>,
    /// What differs from the previous build.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<BuildReason>,
    /// The folder with the Dockerfile, as an image by its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dockerfile: Option<Recorded<ImageReference>>,
    /// The named contexts of the build, by their digests.
    pub contexts: BTreeMap<String, Recorded<ImageReference>>,
    /// The build arguments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// The platforms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    /// The `reconcile.fluxcd.io/forceAt` that requested this build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested: Option<String>,
    /// The names of the Python distributions whose source the contexts are, by context name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub distributions: BTreeMap<String, String>,
    /// The last attempt at this build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// The image that the registry has but that does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<RejectedImage>,
    /// The tests of the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<ImageTestsStatus>,
}

/// An image that was built but does not count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RejectedImage {
    /// Its digest. It is not inspected again.
    pub digest: Recorded<Digest>,
    /// Why it does not count.
    pub reason: Rejection,
    /// The same in a sentence.
    pub message: String,
    /// What is installed in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub installed: Vec<InstalledStatus>,
}

/// Why an image does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Rejection {
    /// Something that should come from its patched source is installed from elsewhere.
    StockInstalled,
    /// Its layers cannot be read.
    ImageUnreadable,
}

/// A finished build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BuildRecord {
    /// What it was built from.
    pub inputs_digest: InputsDigest,
    /// The upstream's revision.
    pub revision: Recorded<Revision>,
    /// Why it was built.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<BuildReason>,
    /// The image.
    pub reference: Recorded<ImageReference>,
    /// When the registry was first seen to have it.
    pub found_at: Time,
    /// How many attempts it took; none if it was built elsewhere or earlier.
    #[serde(default)]
    #[schemars(with = "i32")]
    pub attempts: u32,
    /// The first patches in it, in order; absent where that was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patches: Option<Vec<RecordedPatch>>,
    /// How many more are in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub omitted_patches: Option<u32>,
}

/// A patch that is in an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordedPatch {
    /// Its file name.
    pub name: String,
    /// The first 12 digits of Git's id of its bytes.
    pub blob: String,
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
    /// The folder with the Dockerfile.
    Dockerfile,
    /// A further named context.
    Base,
    /// Arguments, platforms, or the image's name.
    Config,
    /// `reconcile.fluxcd.io/forceAt` requested it.
    Requested,
}
