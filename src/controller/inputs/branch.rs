//! Patches that are the commits of a branch.

use std::sync::Arc;
use std::time::Instant;

use forges::GitPurpose;
use git_apply_engine::PatchInput;
use git_mirrors::{
    BranchError, CommitAt, FormatError, FormatLimits, Mirrors, RefSpec, Resolved, SubjectPolicy, Upstream,
};
use patchset_api::patch_set::{PatchesBranch, SubjectRule, Upstream as SpecUpstream};
use patchset_api::reason;

use super::upstreams::{self, RepositorySecrets, blocking, git_ref};
use crate::controller::context::{Budget, Context, failures};
use crate::layout::FolderPatches;
use crate::plan::{Failure, Step};

/// What the branch is called in messages.
const BRANCH: &str = "patches.branch";

/// A branch that was found, and not necessarily read yet.
#[derive(Clone, Debug)]
pub struct BranchLocation {
    /// The repository that has it.
    pub upstream: Upstream,
    /// Its last commit.
    pub tip: Resolved,
    /// What its commits are on top of, if the spec names that.
    base: Option<Resolved>,
    subjects: SubjectRule,
    /// The commit that is patched, and its repository.
    onto: Option<(Upstream, Resolved)>,
}

impl BranchLocation {
    /// Finds a branch, and its base where the spec names one. Nothing is fetched but refs.
    pub async fn find(
        context: &Arc<Context>,
        namespace: &str,
        (branch, own): (&PatchesBranch, &SpecUpstream),
        budget: Budget<'_>,
    ) -> Result<Self, Failure> {
        // Without an address, it is where the upstream is, and reached in the same way.
        let (url, login, proxy) = match &branch.url {
            Some(url) => (url, &branch.secret_ref, &branch.proxy_secret_ref),
            None => (&own.url, &own.secret_ref, &own.proxy_secret_ref),
        };
        let secrets = RepositorySecrets {
            namespace,
            login: login.as_ref(),
            proxy: proxy.as_ref(),
        };
        let upstream = upstreams::upstream(context, url, secrets, GitPurpose::Fetch).await?;
        let want = RefSpec::Branch(branch.branch.clone());
        let tip = upstreams::resolve(context, BRANCH, &upstream, &want, budget).await?;
        let tip = upstreams::signed(&context.referents, namespace, branch.verify.as_ref(), tip).await?;
        let base = match &branch.base {
            None => None,
            Some(base) => {
                let want = git_ref(base)?;
                let what = "patches.branch.base";
                Some(upstreams::resolve(context, what, &upstream, &want, budget).await?)
            }
        };
        Ok(Self {
            upstream,
            tip,
            base,
            subjects: branch.subjects,
            onto: None,
        })
    }

    /// The branch as patches for a commit of the upstream.
    pub fn onto(self, upstream: &Upstream, resolved: &Resolved) -> Self {
        Self {
            onto: Some((upstream.clone(), resolved.clone())),
            ..self
        }
    }

    /// What identifies the patches, besides the commit that is patched.
    pub fn identity(&self) -> Vec<String> {
        let base = self.base.as_ref().map(|base| base.commit().to_string());
        let own = [
            "branch".to_owned(),
            self.tip.commit().to_string(),
            base.unwrap_or_default(),
            self.subjects.as_str().to_owned(),
        ];
        own.into_iter().chain(self.tip.requirement()).collect()
    }

    /// Reads the patches, fetching what is missing of them.
    pub async fn read(self, context: &Arc<Context>, deadline: Instant) -> Result<FolderPatches, Failure> {
        let read = blocking(context, BRANCH, deadline, move |mirrors| {
            Ok(self.read_from(mirrors, deadline))
        });
        read.await?.map_err(|error| match error {
            BranchError::Source(error) => failures::mirror_failure(BRANCH, &error),
            BranchError::Format(error) => {
                let reason = match error {
                    FormatError::TooLarge { .. } | FormatError::TooManyCommits { .. } => reason::TOO_LARGE,
                    FormatError::Object(_) => reason::STORAGE_FAILED,
                    _ => reason::INVALID_BRANCH,
                };
                Failure::retried(Step::Source, reason, format!("{BRANCH}: {error}"))
            }
        })
    }

    fn read_from(&self, mirrors: &Mirrors, deadline: Instant) -> Result<FolderPatches, BranchError> {
        let Some((upstream, resolved)) = &self.onto else {
            return Ok(FolderPatches::default());
        };
        let own = CommitAt {
            upstream: &self.upstream,
            resolved: &self.tip,
        };
        let onto = match &self.base {
            Some(base) => CommitAt {
                resolved: base,
                ..own
            },
            None => CommitAt { upstream, resolved },
        };
        let limits = FormatLimits::default();
        let branch = mirrors.branch(own, onto, limits.commits, deadline)?;
        let policy = match self.subjects {
            SubjectRule::Ignore => SubjectPolicy::Ignore,
            SubjectRule::Soft => SubjectPolicy::Soft,
            SubjectRule::Strict => SubjectPolicy::Strict,
        };
        let series = branch.patches(resolved.commit(), policy, limits)?;
        let note = series.note();
        let patches = series.patches.into_iter();
        let patches = patches.map(|patch| PatchInput::new(patch.name, patch.bytes));
        Ok(FolderPatches {
            patches: patches.collect(),
            note,
        })
    }
}
