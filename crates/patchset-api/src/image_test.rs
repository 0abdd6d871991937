//! Tests of a built image: what runs, and the outcome.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::built_image::{Attempt, ImageStatus};
use super::common::RELATIVE_PATH;
use super::duration::{DurationError, FluxDuration};
use super::pod_template::TestPodTemplate;
use super::{InputsDigest, Recorded};
use image_references::Digest;

/// How long one attempt at a test may take if the spec does not say.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// How often a failed test is retried if the spec does not say.
const RETRIES: u32 = 1;

/// Where the patched source is mounted for `from: Source` if the spec does not say.
const SOURCE_PATH: &str = "/src";

/// A test of the image that was built: a Job in the namespace of the PatchSet that has to succeed
/// before the image counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.from == 'Source') == has(self.image)")
        .message("image is the one with the tests' tools for from Source: set it there, and leave it out for from Image")
)]
pub struct ImageTest {
    /// What it is called, for instance `unit`.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Where it runs. `Image`: in the image that was built. `Source`: in `image`, with the patched
    /// source at `sourcePath`.
    pub from: TestOrigin,
    /// The image with the tests' tools, for `from: Source`. With a digest it is always the same
    /// test; what a tag points to is not checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 512),
        regex(
            pattern = r"^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)+(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?(@sha256:[a-f0-9]{64})?$"
        )
    )]
    pub image: Option<String>,
    /// Where the tree of the patched source is mounted, as a read-only image volume. Defaults to
    /// `/src` for `from: Source`; for `from: Image` it is not mounted by default. Nodes need a
    /// runtime with image volumes: Kubernetes 1.35 or later with containerd 2.1 or CRI-O 1.31.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 255), regex(pattern = r"^/[^:$]+$"))]
    pub source_path: Option<String>,
    /// The program and its first arguments, in place of the image's entry point.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 8192)))]
    pub command: Vec<String>,
    /// Further arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 8192)))]
    pub args: Vec<String>,
    /// Environment variables. `PATCHSET_EXCLUDES` and `PATCHSET_SOURCE` are added: the paths of the
    /// `excludes` file and of the source, if any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "env_schema")]
    #[x_kube(
        validation = Rule::new("self.all(name, name.matches('^[A-Za-z_][A-Za-z0-9_]*$') && !name.startsWith('PATCHSET_'))")
            .message("write names of letters, digits and _, none that begins with PATCHSET_")
    )]
    pub env: BTreeMap<String, String>,
    /// How long one attempt may take. Defaults to an hour, and never exceeds the controller's
    /// `--max-build-timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<FluxDuration>,
    /// How often a failed test is retried, with growing delays. Defaults to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>", range(min = 0, max = 20))]
    pub retries: Option<u32>,
    /// Parts of the Job's pod template (`PodTemplateSpec`), laid over that of the controller as
    /// `build.job.podTemplate` is. The container that tests is called `test`. The controller's
    /// `--job-pod-template` decides which fields may be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<TestPodTemplate>,
    /// Provides the container with a file from the patches' repository or artifact, for instance
    /// with the names of tests to skip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excludes: Option<TestExcludes>,
    /// What a failure means. Defaults to `Block`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnTestFailure>,
    /// Where the test writes which tests ran and failed. If absent, only the exit code says whether
    /// it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<TestResults>,
}

impl ImageTest {
    /// `timeout`.
    ///
    /// # Errors
    ///
    /// If it is not a duration.
    pub fn timeout(&self) -> Result<Duration, DurationError> {
        self.timeout.as_ref().map_or(Ok(TIMEOUT), FluxDuration::get)
    }

    /// `retries`.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries.unwrap_or(RETRIES)
    }

    /// `onFailure`.
    #[must_use]
    pub fn on_failure(&self) -> OnTestFailure {
        self.on_failure.unwrap_or_default()
    }

    /// Where the patched source is mounted; `None` if it is not.
    #[must_use]
    pub fn source_path(&self) -> Option<&str> {
        match (&self.source_path, self.from) {
            (Some(path), _) => Some(path),
            (None, TestOrigin::Source) => Some(SOURCE_PATH),
            (None, TestOrigin::Image) => None,
        }
    }
}

/// Where a test runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TestOrigin {
    /// In the image that was built.
    Image,
    /// In an image with the tests' tools, with the patched source.
    Source,
}

impl TestOrigin {
    /// The origin as the spec spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Image => "Image",
            Self::Source => "Source",
        }
    }
}

/// What a failed test means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnTestFailure {
    /// The image does not count: the previous one stays.
    #[default]
    Block,
    /// The image counts, and the failure is reported.
    Report,
}

/// Names of environment variables, with their values.
fn env_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string", "maxLength": 8192 },
    })
}

/// A file that is provided to a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestExcludes {
    /// The file, relative to the root of the repository or artifact that holds the patches, of at
    /// most 64 KiB. If it does not exist, the test gets an empty file.
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(validation = Rule::new(RELATIVE_PATH.0).message(RELATIVE_PATH.1))]
    pub path: String,
}

/// Where a test writes its results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestResults {
    /// Their format.
    pub format: TestResultsFormat,
    /// The file in the container, of at most 16 MiB, which the image's `sh`, `gzip`, `head`, `wc`
    /// and `base64` append to the log. If absent, the results are read from the log itself, of at
    /// most 4 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 255), regex(pattern = r"^/[^$]+$"))]
    pub path: Option<String>,
}

/// The format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TestResultsFormat {
    /// The XML of `JUnit`, as pytest and others write it.
    #[serde(rename = "JUnit")]
    JUnit,
    /// subunit, version 2, as stestr and testtools write it.
    Subunit,
}

/// The tests of the latest built image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageTestsStatus {
    /// The image, while it does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub awaiting: Option<Box<ImageStatus>>,
    /// Its tests, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<ImageTestStatus>,
    /// The outcome of earlier tests, newest first: the same test of the same image is not run
    /// again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<ImageTestRecord>,
}

/// A test of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageTestStatus {
    /// Its name.
    pub name: String,
    /// The image.
    pub image: Recorded<Digest>,
    /// A digest over what is run.
    pub test_digest: InputsDigest,
    /// The outcome.
    pub outcome: TestOutcome,
    /// The last attempt at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// The outcome in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What the results that it wrote say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<TestReport>,
}

/// The outcome of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TestOutcome {
    /// It is running, or will run.
    Pending,
    /// It passed.
    Passed,
    /// It failed.
    Failed,
}

/// What a test wrote about the individual tests that it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestReport {
    /// How many ran, or were skipped.
    #[schemars(with = "i32")]
    pub tests: u32,
    /// How many failed.
    #[serde(default)]
    #[schemars(with = "i32")]
    pub failures: u32,
    /// How many had an error.
    #[serde(default)]
    #[schemars(with = "i32")]
    pub errors: u32,
    /// How many were skipped.
    #[serde(default)]
    #[schemars(with = "i32")]
    pub skipped: u32,
    /// The names of the first few that failed or had an error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

impl TestReport {
    /// How many failed or had an error.
    #[must_use]
    pub fn broken(&self) -> u32 {
        self.failures.saturating_add(self.errors)
    }
}

/// A finished test of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageTestRecord {
    /// The image.
    pub image: Recorded<Digest>,
    /// A digest over what was run.
    pub test_digest: InputsDigest,
    /// Whether it passed.
    pub outcome: TestOutcome,
    /// The Job of the last attempt.
    pub job: String,
    /// How many attempts it took.
    #[schemars(with = "i32")]
    pub attempts: u32,
    /// When it ended.
    pub finished_at: Time,
    /// The outcome in one sentence.
    pub message: String,
}
