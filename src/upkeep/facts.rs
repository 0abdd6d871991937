//! What the specs and statuses of `PatchSet`s say of their series.

use std::collections::BTreeSet;
use std::time::Duration;

use git_apply_engine::Oid;
use kube::ResourceExt;
use patchset_api::common::GitPath;
use patchset_api::conditions::{self, Truth};
use patchset_api::patch_set::PatchSetSpec;
use patchset_api::reason::condition;
use patchset_api::status::PatchStatus;
use patchset_api::upkeep::{Renumbering, Upkeep, UpkeepAction, UpkeepState, UpkeepStatus};
use patchset_api::{FluxDuration, PatchSet};

use super::change_id::ChangeId;

/// How long a patch must have been in its state if `after` cannot be read.
const AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Where the series that share a pull request are, besides their namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpkeepPlace {
    /// The repository's address.
    pub url: String,
    /// The branch that is to be changed; the repository's default branch where absent.
    pub base: Option<String>,
    /// The branch that the commits go to.
    pub branch: String,
}

/// Why no pull request can be opened for a `PatchSet`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Its patches are elsewhere.
    #[error(
        "the patches are not in a Git repository that can be changed: set patches.git, or upkeep.drop and upkeep.refresh to Report"
    )]
    NotInGit,
    /// Its patches are not read from a branch.
    #[error("patches.git.ref is not a branch: set upkeep.base to the branch that is to be changed")]
    NoBranch,
    /// The branch would be merged into itself.
    #[error("upkeep.branch {0:?} is the branch that is to be changed: name another")]
    SameBranch(String),
    /// There is no login for the request.
    #[error("a pull request is asked for: set upkeep.pullRequest with its provider and Secret")]
    NoRequest,
}

impl UpkeepPlace {
    /// Where the pull request of a `PatchSet` is; `None` if it asks for none.
    ///
    /// # Errors
    ///
    /// If it asks for one that is impossible.
    pub fn from_spec(spec: &PatchSetSpec) -> Result<Option<Self>, PlaceError> {
        let Some(upkeep) = spec.upkeep.as_ref().filter(|upkeep| upkeep.proposes()) else {
            return Ok(None);
        };
        if upkeep.pull_request.is_none() {
            return Err(PlaceError::NoRequest);
        }
        let git = patches_git(spec).ok_or(PlaceError::NotInGit)?;
        let base = match (&upkeep.base, &git.ref_) {
            (Some(base), _) => Some(base.clone()),
            (None, None) => None,
            (None, Some(reference)) => Some(reference.branch.clone().ok_or(PlaceError::NoBranch)?),
        };
        let branch = upkeep.branch().to_owned();
        if base.as_ref() == Some(&branch) {
            return Err(PlaceError::SameBranch(branch));
        }
        Ok(Some(Self {
            url: git.url.clone(),
            base,
            branch,
        }))
    }

    /// Whether a `PatchSet` reads its patches from the branch that is to be changed, or may do so:
    /// the default branch is not known here.
    #[must_use]
    pub fn is_read_by(&self, spec: &PatchSetSpec) -> bool {
        let Some(git) = patches_git(spec).filter(|git| git.url == self.url) else {
            return false;
        };
        match (&self.base, &git.ref_) {
            (Some(base), Some(reference)) => reference.branch.as_ref().is_none_or(|branch| branch == base),
            (None, _) | (_, None) => true,
        }
    }
}

fn patches_git(spec: &PatchSetSpec) -> Option<&GitPath> {
    spec.patches.as_ref()?.git.as_ref()
}

/// What a spec allows to be done to its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesPolicy {
    /// What to do with patches that upstream has.
    pub drop: UpkeepAction,
    /// What to do with those that moved.
    pub refresh: UpkeepAction,
    /// Whether names are renumbered.
    pub renumber: Renumbering,
    /// How long a patch must have been in its state.
    pub after: Duration,
}

impl SeriesPolicy {
    /// What `spec.upkeep` says; without it nothing is proposed.
    #[must_use]
    pub fn from_spec(upkeep: Option<&Upkeep>) -> Self {
        let after = upkeep.map(|upkeep| &upkeep.after).map(FluxDuration::get);
        Self {
            drop: upkeep.map(|upkeep| upkeep.drop).unwrap_or_default(),
            refresh: upkeep.map(|upkeep| upkeep.refresh).unwrap_or_default(),
            renumber: upkeep.map(|upkeep| upkeep.renumber).unwrap_or_default(),
            after: after.and_then(Result::ok).unwrap_or(AFTER),
        }
    }
}

/// What one `PatchSet`'s spec and status say about its series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesFacts {
    /// The `PatchSet`'s name.
    pub patch_set: String,
    /// Its component.
    pub component: String,
    /// Its release.
    pub release: String,
    /// The folder of its patches, relative to the repository's root.
    pub folder: String,
    /// What may be done to it; even one that proposes nothing has a say in a shared folder.
    pub policy: SeriesPolicy,
    /// The upstream's revision on which the patches were last tried, abbreviated.
    pub upstream: Option<String>,
    /// Whether the status is of the current spec, and of patches that were tried.
    pub is_current: bool,
    /// Whether an image is built from it.
    pub builds: bool,
    /// The tree after all patches, where all pass.
    pub patched_tree: Option<Oid>,
    /// Each patch, as the status lists it.
    pub patches: Vec<PatchStatus>,
    /// How many patches the status has no room for.
    pub omitted: usize,
    /// The changes that a person declined.
    pub declined: BTreeSet<ChangeId>,
    /// What the status says of its upkeep.
    pub status: Option<UpkeepStatus>,
}

impl SeriesFacts {
    /// What a `PatchSet` says; `None` where its patches are in no Git repository.
    #[must_use]
    pub fn read(object: &PatchSet) -> Option<Self> {
        let git = patches_git(&object.spec)?;
        let mut facts = Self::without_folder(object);
        git.path.trim_matches('/').clone_into(&mut facts.folder);
        Some(facts)
    }

    /// What a `PatchSet` says, wherever its patches are; its folder is left empty.
    #[must_use]
    pub fn without_folder(object: &PatchSet) -> Self {
        let spec = &object.spec;
        let status = object.status.as_ref();
        let is_current = status.is_some_and(|status| {
            let tried = conditions::truth(&status.conditions, condition::PATCHES_APPLICABLE);
            let generation = object.metadata.generation;
            tried.is_some_and(|truth| truth != Truth::Unknown)
                && generation.is_none_or(|generation| status.observed_generation == generation)
        });
        let upkeep = status.and_then(|status| status.upkeep.as_deref());
        Self {
            patch_set: object.name_any(),
            component: spec.component.0.clone(),
            release: spec.release.0.clone(),
            folder: String::new(),
            policy: SeriesPolicy::from_spec(spec.upkeep.as_deref()),
            upstream: status
                .and_then(|status| status.upstream.as_ref())
                .and_then(|upstream| upstream.short_revision.clone()),
            is_current,
            builds: spec.build.is_some(),
            patched_tree: status
                .and_then(|status| status.patched_tree.as_ref()?.value())
                .copied(),
            patches: status.map(|status| status.patches.clone()).unwrap_or_default(),
            omitted: status
                .and_then(|status| status.omitted_patches)
                .map_or(0, |omitted| omitted.total()),
            declined: upkeep
                .map(|upkeep| upkeep.declined.iter().map(|id| ChangeId::recorded(id)).collect())
                .unwrap_or_default(),
            status: upkeep.cloned(),
        }
    }

    /// Whether its changes are in an open pull request, according to its status.
    pub(super) fn has_open_request(&self) -> bool {
        self.status.as_ref().is_some_and(|status| match status.state {
            UpkeepState::Proposed => true,
            // Another patch may have to wait.
            UpkeepState::Waiting => status.pull_request.is_some(),
            _ => false,
        })
    }

    /// Whether a patch, by its name in the status, is in an open pull request.
    pub(super) fn is_in_open_request(&self, shown: &str) -> bool {
        let status = self.status.as_ref().filter(|_| self.has_open_request());
        status.is_some_and(|status| {
            let drops = status.drops.iter().map(|drop| &drop.name);
            let refreshes = status.refreshes.iter().map(|refresh| &refresh.name);
            drops.chain(refreshes).any(|name| name == shown)
        })
    }

    /// The patch with this name and these bytes, as the status has it.
    pub(super) fn patch(&self, name: &str, blob: &str) -> Option<&PatchStatus> {
        let is_it = |patch: &&PatchStatus| {
            patch.name == name && patch.blob.as_ref().is_some_and(|own| own.as_str() == blob)
        };
        self.patches.iter().find(is_it)
    }
}
