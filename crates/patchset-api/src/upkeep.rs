//! Pull requests to the patches' repository, that drop what upstream has and make anew what moved.

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

/// The branch that commits go to, where a spec names none.
pub const DEFAULT_UPKEEP_BRANCH: &str = "patchset/upkeep";

/// The label by which a person holds a request back for good.
pub const HANDS_OFF_LABEL: &str = "patchset/hands-off";

/// The most entries of each list of a status.
pub const MOST_UPKEEP_ITEMS: usize = 50;

/// The most declined changes that a status remembers.
pub const MOST_DECLINED: usize = 64;

/// A rule for what requests need, and what is said where it is broken.
const REQUEST_IS_DESCRIBED: (&str, &str) = (
    "has(self.pullRequest) || ((!has(self.drop) || self.drop != 'PullRequest') && (!has(self.refresh) || self.refresh != 'PullRequest'))",
    "a pull request is asked for: set pullRequest with its provider and Secret",
);

/// A rule for where patches are that are looked after, and what is said where it is broken.
pub(super) const PATCHES_ARE_IN_GIT: (&str, &str) = (
    "!has(self.upkeep) || !has(self.upkeep.pullRequest) || (has(self.patches) && has(self.patches.git))",
    "upkeep.pullRequest changes the repository of the patches: set patches.git, or leave it out",
);

/// The same for a whole repository.
pub(super) const SOURCE_IS_GIT: (&str, &str) = (
    "!has(self.upkeep) || !has(self.upkeep.pullRequest) || has(self.source.git)",
    "upkeep.pullRequest changes the repository of the patches: set source.git, or leave it out",
);

/// How a series is looked after when upstream has moved.
///
/// All `PatchSet`s of a namespace whose patches are in the same branch of the same repository share
/// one branch and one pull request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(REQUEST_IS_DESCRIBED.0).message(REQUEST_IS_DESCRIBED.1))]
pub struct Upkeep {
    /// What becomes of patches that upstream has: `Report` names them in the status, `PullRequest`
    /// also proposes to drop them.
    #[serde(default)]
    pub drop: UpkeepAction,
    /// What becomes of patches that apply only with an offset, with fuzz or by a three-way merge:
    /// `Report` names them in the status, `PullRequest` also proposes them made anew.
    #[serde(default)]
    pub refresh: UpkeepAction,
    /// Whether the numbers in the names of the remaining patches close up behind a dropped one.
    #[serde(default)]
    pub renumber: Renumbering,
    /// How long it must have been so before it is proposed.
    #[serde(default = "default_after")]
    pub after: FluxDuration,
    /// The branch that the commits go to, of the same repository; `patchset/upkeep` where absent.
    /// It is the controller's own, and is written anew as the patches change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = REF_NAME))]
    #[x_kube(validation = Rule::new(BRANCH_ALONE.0).message(BRANCH_ALONE.1))]
    pub branch: Option<String>,
    /// The branch that is to be changed; the one that the patches are read from where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = REF_NAME))]
    #[x_kube(validation = Rule::new(BRANCH_ALONE.0).message(BRANCH_ALONE.1))]
    pub base: Option<String>,
    /// How the pull request is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pull_request: Option<PullRequestOptions>,
    /// Who makes the commits; `patchset` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<CommitAuthor>,
    /// Signs the commits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<Signing>,
    /// Secret with credentials that may push, as `delivery.git.secretRef`; that of the patches where
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// Secret with a proxy's `address`, and `username` and `password` where it asks for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_secret_ref: Option<LocalReference>,
}

impl Upkeep {
    /// `branch`.
    #[must_use]
    pub fn branch(&self) -> &str {
        self.branch.as_deref().unwrap_or(DEFAULT_UPKEEP_BRANCH)
    }

    /// Whether a pull request is asked for.
    #[must_use]
    pub fn proposes(&self) -> bool {
        [self.drop, self.refresh].contains(&UpkeepAction::PullRequest)
    }
}

/// What becomes of what is to be done for a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum UpkeepAction {
    /// The status tells it.
    #[default]
    Report,
    /// It is proposed.
    PullRequest,
}

/// Whether the names of patches are numbered anew.
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
    /// What became of it.
    pub state: UpkeepState,
    /// Since when it is in this state.
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
    /// Why it waits or stands back, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The patches that upstream has, and that can be dropped; the first some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drops: Vec<UpkeepDrop>,
    /// The patches that can be made anew; the first some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refreshes: Vec<UpkeepRefresh>,
    /// The patches that are left alone though something is to be done, and why; the first some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_alone: Vec<UpkeepLeftAlone>,
    /// How many entries the three lists have no room for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i32>")]
    pub omitted: Option<u32>,
    /// Changes that a person declined by closing the pull request. They are not proposed again while
    /// what they follow from stays as it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub declined: Vec<String>,
}

/// What became of what is to be done for a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum UpkeepState {
    /// Nothing is proposed: none is asked for, or there is nothing to do.
    Reported,
    /// It will be proposed: it has not been so for long enough, or requests come too fast.
    Waiting,
    /// The pull request is open.
    Proposed,
    /// A person has taken over.
    StandsBack,
    /// A person closed the pull request without merging it.
    Closed,
    /// The pull request was merged.
    Merged,
    /// It could not be proposed; that is tried again.
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

/// A patch that can be made anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpkeepRefresh {
    /// Its file name.
    pub name: String,
    /// By what means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<RefreshKind>,
}

/// A patch that is left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpkeepLeftAlone {
    /// Its file name; the folder where all of it is left alone.
    pub name: String,
    /// Why, in a sentence.
    pub reason: String,
}

/// What is to be done for all series of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryUpkeepStatus {
    /// The open pull requests' pages; the first some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pull_requests: Vec<String>,
    /// How many patches can be dropped, as far as the PatchSets list them.
    #[schemars(with = "i32")]
    pub drops: u32,
    /// How many patches can be made anew, as far as the PatchSets list them.
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
