//! Where the result of a `PatchSet` goes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recorded;
use super::common::{ADDRESS, BRANCH_ALONE, LocalReference, NO_PASSWORD, REF_NAME};
use image_references::ImageReference;

/// Where the image goes once it is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.configMap) || has(self.git)")
        .message("set configMap, git or both")
)]
pub struct Delivery {
    /// A ConfigMap for Flux's kustomize-controller and helm-controller to read. Several PatchSets
    /// may share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<DeliveryConfigMap>,
    /// A Git repository whose YAML files have markers. Several PatchSets may share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<DeliveryGit>,
    /// Whether an image is delivered automatically, or only once the annotation
    /// `patching.c5c3.io/approved` of the PatchSet has its tag or digest. Defaults to `Automatic`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// A ConfigMap in the namespace of the `PatchSet`. It is created if missing, and carries the label
/// `reconcile.fluxcd.io/watch: Enabled`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryConfigMap {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The prefix of its keys: `<prefix>_repository`, `<prefix>_tag`, `<prefix>_digest` and
    /// `<prefix>_reference`, which `postBuild.substituteFrom` of a Kustomization takes as
    /// variables. Defaults to the component, with `_` for characters that a variable cannot have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub prefix: Option<String>,
}

/// A Git repository whose YAML files have markers that say where the image goes: after a value, a
/// comment `# {"$patchset": "NAMESPACE:NAME:tag"}` with `tag`, `digest`, `repository` or
/// `reference`, or with none of them for the whole reference. Only the marked values change.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryGit {
    /// The repository's address: https, ssh, or http where the controller allows it. Credentials go
    /// into `secretRef`, never into the address.
    #[schemars(length(min = 1, max = 2048))]
    #[x_kube(validation = Rule::new(ADDRESS.0).message(ADDRESS.1))]
    #[x_kube(validation = Rule::new(NO_PASSWORD.0).message(NO_PASSWORD.1))]
    pub url: String,
    /// The branch that Flux follows. Defaults to the repository's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = REF_NAME))]
    #[x_kube(validation = Rule::new(BRANCH_ALONE.0).message(BRANCH_ALONE.1))]
    pub branch: Option<String>,
    /// Where commits go. Defaults to `branch` itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<Push>,
    /// The folders with the files; the whole repository where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 1024)))]
    #[x_kube(
        validation = Rule::new("self.all(path, !path.startsWith('/') && !path.split('/').exists(p, p == '..'))")
            .message("write paths relative to the repository's root, without '..'")
    )]
    pub paths: Vec<String>,
    /// Who makes the commits. Defaults to `patchset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<CommitAuthor>,
    /// The commits' message, with `{images}` (the images on one line), `{list}` (one line per
    /// image) and `{files}` (one line per file). Trailers that name the images follow. Defaults to
    /// `Deliver {images}` and the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub message: Option<String>,
    /// Signs the commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<Signing>,
    /// Secret with credentials that may push: `username` and `password`, `bearerToken`, `identity`
    /// and `known_hosts`, or a GitHub App's keys; `ca.crt`, `tls.crt` and `tls.key` as needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// Secret with a proxy's `address`, and `username` and `password` if it requires them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalReference>,
}

/// A branch that commits go to, for others to merge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Push {
    /// The branch. It is created if missing. Commits go on top of what it has; it is recreated from
    /// `branch` if all of its commits are this controller's and were merged or reverted.
    #[schemars(length(min = 1, max = 255), regex(pattern = REF_NAME))]
    #[x_kube(validation = Rule::new(BRANCH_ALONE.0).message(BRANCH_ALONE.1))]
    pub branch: String,
    /// Opens a pull request, and keeps it up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequestOptions>,
}

/// A pull request, or a merge request as GitLab calls it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullRequestOptions {
    /// Whose API it is.
    pub provider: ForgeProvider,
    /// Secret with an access token as `token`, or for GitHub the keys of a GitHub App:
    /// `githubAppID`, `githubAppInstallationID`, `githubAppPrivateKey`.
    pub secret_ref: LocalReference,
    /// The address of the API. Derived from the repository's address by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^https?://"))]
    pub api_url: Option<String>,
    /// Labels of the pull request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 100)))]
    pub labels: Vec<String>,
    /// Who is asked to review the pull request, by their user names on the server; a GitHub team as
    /// `organisation/team`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 100)))]
    pub reviewers: Vec<String>,
    /// Whether the pull request is opened as a draft.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draft: bool,
}

/// Whose API is used to open pull requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ForgeProvider {
    /// GitHub, or a GitHub Enterprise Server.
    GitHub,
    /// GitLab.
    GitLab,
    /// Gitea or Forgejo.
    Gitea,
}

/// Who makes a commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommitAuthor {
    /// The name. Defaults to `patchset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^<>\n\r]+$"))]
    pub name: Option<String>,
    /// The email address.
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^<>\s]+$"))]
    pub email: String,
}

/// How commits are signed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signing {
    /// Secret with a private SSH key as `identity`, and its `password` if it has one; or with an
    /// armored OpenPGP key as `git.asc`, and its `passphrase`.
    pub secret_ref: LocalReference,
}

/// Who has to approve an image before it is delivered.
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
    /// The image.
    pub reference: Recorded<ImageReference>,
    /// When it was first delivered.
    pub delivered_at: Time,
    /// The ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<String>,
    /// The prefix of its keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The commit with the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<CommitStatus>,
}

/// A commit that has the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommitStatus {
    /// The repository's address.
    pub repository: String,
    /// The branch.
    pub branch: String,
    /// The commit's SHA-1: that of the delivery, or the one in which the image was found.
    pub commit: String,
    /// The folders with the files; the whole repository where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

/// An image on a branch that is waiting to be merged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProposalStatus {
    /// The image.
    pub reference: Recorded<ImageReference>,
    /// Where it waits.
    pub git: CommitStatus,
    /// The pull request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<String>,
    /// Labels that could not be added to it; they are retried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_labels: Vec<String>,
}
