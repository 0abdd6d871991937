//! Pull requests to the patches' repository that drop what upstream has and refresh what moved.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recorded;
use super::common::{BRANCH_ALONE, LocalReference, REF_NAME};
use super::delivery::{CommitAuthor, PullRequestOptions, Signing};
use super::duration::FluxDuration;
use super::upstream_history::{Evidence, RefreshKind};
use git_apply_engine::Oid;

/// The branch that commits go to if a spec names none.
pub const DEFAULT_UPKEEP_BRANCH: &str = "patchset/upkeep";

/// The label with which a person holds a request back permanently.
pub const HANDS_OFF_LABEL: &str = "patchset/hands-off";

/// The maximum number of entries in each list of a status.
pub const MOST_UPKEEP_ITEMS: usize = 50;

/// The maximum number of declined changes that a status remembers.
pub const MOST_DECLINED: usize = 64;

/// A rule for what requests need, and the message if it is broken.
const REQUEST_IS_DESCRIBED: (&str, &str) = (
    "has(self.pullRequest) || ((!has(self.drop) || self.drop != 'PullRequest') && (!has(self.refresh) || self.refresh != 'PullRequest'))",
    "a pull request is asked for: set pullRequest with its provider and Secret",
);

/// A rule for where maintained patches are, and the message if it is broken.
pub(super) const PATCHES_ARE_IN_GIT: (&str, &str) = (
    "!has(self.upkeep) || !has(self.upkeep.pullRequest) || (has(self.patches) && has(self.patches.git))",
    "upkeep.pullRequest changes the repository of the patches: set patches.git, or leave it out",
);

/// The same for a whole repository.
pub(super) const SOURCE_IS_GIT: (&str, &str) = (
    "!has(self.upkeep) || !has(self.upkeep.pullRequest) || has(self.source.git)",
    "upkeep.pullRequest changes the repository of the patches: set source.git, or leave it out",
);

/// How a series is maintained when upstream has moved.
///
/// All `PatchSet`s of a namespace whose patches are on the same branch of the same repository share
/// one branch and one pull request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(REQUEST_IS_DESCRIBED.0).message(REQUEST_IS_DESCRIBED.1))]
pub struct Upkeep {
    /// What to do with patches that upstream has: `Report` names them in the status, `PullRequest`
    /// also proposes to drop them.
    #[serde(default)]
    pub drop: UpkeepAction,
    /// What to do with patches that apply only with an offset, with fuzz or by a three-way merge:
    /// `Report` names them in the status, `PullRequest` also proposes refreshed ones.
    #[serde(default)]
    pub refresh: UpkeepAction,
    /// Whether the remaining patches are renumbered to close the gap that a dropped one leaves.
    #[serde(default)]
    pub renumber: Renumbering,
    /// How long a change must have been due before it is proposed.
    #[serde(default = "default_after")]
    pub after: FluxDuration,
    /// The branch in the same repository that the commits go to. Defaults to `patchset/upkeep`. It
    /// belongs to the controller, which rewrites it as the patches change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = REF_NAME))]
    #[x_kube(validation = Rule::new(BRANCH_ALONE.0).message(BRANCH_ALONE.1))]
    pub branch: Option<String>,
    /// The branch to change. Defaults to the one that the patches are read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = REF_NAME))]
    #[x_kube(validation = Rule::new(BRANCH_ALONE.0).message(BRANCH_ALONE.1))]
    pub base: Option<String>,
    /// How the pull request is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequestOptions>,
    /// Who makes the commits. Defaults to `patchset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<CommitAuthor>,
    /// Signs the commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<Signing>,
    /// Secret with credentials that may push, as `delivery.git.secretRef`. Defaults to that of the
    /// patches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// Secret with a proxy's `address`, and `username` and `password` if it requires them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalReference>,
}

impl Upkeep {
    /// `branch`.
    #[must_use]
    pub fn branch(&self) -> &str {
        self.branch.as_deref().unwrap_or(DEFAULT_UPKEEP_BRANCH)
    }

    /// Whether the spec asks for a pull request.
    #[must_use]
    pub fn proposes(&self) -> bool {
        [self.drop, self.refresh].contains(&UpkeepAction::PullRequest)
    }
}

/// What to do about the changes that are due for a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum UpkeepAction {
    /// The status reports them.
    #[default]
    Report,
    /// They are proposed.
    PullRequest,
}

/// Whether patches are renumbered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Renumbering {
    /// They keep their names.
    #[default]
    Never,
    /// The numbers close up in the commit that drops a patch.
    OnDrop,
}

/// What is to be done for a series, and where that is proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpkeepStatus {
    /// The state of the changes.
    pub state: UpkeepState,
    /// Since when they have been in this state.
    pub since: Time,
    /// The pull request's page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<String>,
    /// The branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The last commit of the branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Recorded<Oid>>,
    /// Why it waits or stands back, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The first few patches that upstream has and that can be dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drops: Vec<UpkeepDrop>,
    /// The first few patches that can be refreshed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refreshes: Vec<UpkeepRefresh>,
    /// The first few patches that are left alone although they need a change, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_alone: Vec<UpkeepLeftAlone>,
    /// How many entries the three lists have no room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub omitted: Option<u32>,
    /// Changes that a person declined by closing the pull request. They are not proposed again
    /// while what they follow from is unchanged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declined: Vec<String>,
}

/// The state of the changes that are due for a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum UpkeepState {
    /// Nothing is proposed: no pull request is requested, or there is nothing to do.
    Reported,
    /// It will be proposed: it has not been due for long enough, or requests would come too fast.
    Waiting,
    /// The pull request is open.
    Proposed,
    /// A person has taken over.
    StandsBack,
    /// A person closed the pull request without merging it.
    Closed,
    /// The pull request was merged.
    Merged,
    /// It could not be proposed, and will be retried.
    Failed,
}

impl UpkeepState {
    /// The state as the status spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "Reported",
            Self::Waiting => "Waiting",
            Self::Proposed => "Proposed",
            Self::StandsBack => "StandsBack",
            Self::Closed => "Closed",
            Self::Merged => "Merged",
            Self::Failed => "Failed",
        }
    }
}

/// A patch that can be dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpkeepDrop {
    /// Its file name.
    pub name: String,
    /// How it is known that upstream has it.
    pub by: Evidence,
    /// Whether upstream has it in another form.
    pub differs: bool,
    /// Upstream's commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Recorded<Oid>>,
}

/// A patch that can be refreshed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpkeepRefresh {
    /// Its file name.
    pub name: String,
    /// How it can be refreshed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<RefreshKind>,
}

/// A patch that is left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpkeepLeftAlone {
    /// Its file name, or the folder if all of it is left alone.
    pub name: String,
    /// Why, in a sentence.
    pub reason: String,
}

/// What is to be done for all series of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryUpkeepStatus {
    /// The pages of the first few open pull requests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull_requests: Vec<String>,
    /// How many patches can be dropped, as far as the PatchSets list them.
    #[schemars(with = "i32")]
    pub drops: u32,
    /// How many patches can be refreshed, as far as the PatchSets list them.
    #[schemars(with = "i32")]
    pub refreshes: u32,
    /// How many PatchSets a person has taken over, by closing or changing the pull request.
    #[schemars(with = "i32")]
    pub held: u32,
}

fn default_after() -> FluxDuration {
    FluxDuration::new("24h")
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            drop: UpkeepAction::default(),
            refresh: UpkeepAction::default(),
            renumber: Renumbering::default(),
            after: default_after(),
            branch: None,
            base: None,
            pull_request: None,
            author: None,
            signing: None,
            secret_ref: None,
            proxy_secret_ref: None,
        }
    }
}
