//! What upstream did with a patch, as the status reports it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use git_apply_engine::Oid;
pub use patch_refresh::{FuzzyFit, RefreshKind, RefreshState, RefreshStatus};
pub use upstream_history::Evidence;

use super::Recorded;

/// A commit of the upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamCommitStatus {
    /// Its SHA-1.
    pub commit: Recorded<Oid>,
    /// The first line of its message.
    pub subject: String,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// When it was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Time>,
    /// Its Change-Id, if reviews are in Gerrit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change_id: Option<String>,
    /// Where to read about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// How upstream has a patch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MergedStatus {
    /// The commit's SHA-1; absent if the patch applies in reverse and no commit was searched for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Recorded<Oid>>,
    /// How that is known, most certain first: the patch applies in reverse; its own commit; a
    /// commit that says that it was cherry-picked from that; the same Change-Id; the same change
    /// (`git patch-id`); the same author, date and subject.
    pub by: Evidence,
    /// The first line of the commit's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who wrote the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// When it was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<Time>,
    /// Where to read about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Whether upstream's change differs from the patch, or could not be compared with it.
    pub differs: bool,
    /// The difference between the patch and upstream's change; at most a few hundred lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interdiff: Option<String>,
}

/// How upstream had a patch and reverted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RevertedStatus {
    /// The commit that introduced it.
    pub merged: UpstreamCommitStatus,
    /// The commit that reverted it.
    pub by: UpstreamCommitStatus,
}

/// What would become of the patches at a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CandidateOutcome {
    /// How many apply.
    #[schemars(with = "i32")]
    pub apply: u32,
    /// How many upstream has there; they can be dropped.
    #[schemars(with = "i32")]
    pub merged: u32,
    /// How many do not apply but can be refreshed.
    #[schemars(with = "i32")]
    pub refresh: u32,
    /// How many need a person.
    #[schemars(with = "i32")]
    pub need_person: u32,
}

/// A patch that does not apply to a candidate, and the commit that broke it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BrokenPatch {
    /// The patch.
    pub name: String,
    /// The commit.
    pub by: UpstreamCommitStatus,
}
