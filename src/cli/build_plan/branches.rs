//! Patches that are the commits of a branch, in a clone or fetched.

use git_mirrors::clone::LocalCommit;
use git_mirrors::local::LocalRepository;
use git_mirrors::{CommitAt, FormatLimits, Freshness, RefSpec, RepoUrl, Resolved, SubjectPolicy, Upstream};
use patchset_api::patch_set::{PatchesBranch, SubjectRule};

use super::places::{HeldCommit, SHARED, SourcePlaces, last_part};
use crate::cli::branch::{local_patches, named};
use crate::cli::error::Error;
use crate::layout::FolderPatches;
use crate::source::ref_spec;

impl SourcePlaces<'_> {
    /// The commits of a branch as patches for the upstream's commit. `url` is where the branch is.
    ///
    /// # Errors
    ///
    /// If there is no such repository or branch, or its commits are not patches.
    pub(super) fn branch(
        &self,
        url: &str,
        branch: &PatchesBranch,
        upstream: &HeldCommit,
    ) -> Result<FolderPatches, Error> {
        let url: RepoUrl = url.parse()?;
        let policy = match branch.subjects {
            SubjectRule::Ignore => SubjectPolicy::Ignore,
            SubjectRule::Soft => SubjectPolicy::Soft,
            SubjectRule::Strict => SubjectPolicy::Strict,
        };
        let (want, base) = (
            RefSpec::Branch(branch.branch.clone()),
            branch.base.as_ref().map(ref_spec).transpose()?,
        );
        let target = upstream.revision.commit();
        let address = url.to_string();
        let wrong = |error: &dyn std::fmt::Display| Error::Usage(format!("patches.branch: {error}"));
        if let Some(path) = self.clone_of(&address) {
            let find = |want: &RefSpec| {
                let found = LocalCommit::find(&path, want);
                found
                    .map(|found| found.revision().commit().to_string())
                    .map_err(|error| wrong(&error))
            };
            let tip = find(&want)?;
            let onto = base.as_ref().map(find).transpose()?;
            let onto = onto.unwrap_or_else(|| target.to_string());
            return local_patches(&LocalRepository::open(&path)?, (&tip, &onto), target, policy);
        }
        if self.is_offline() {
            return Err(Error::Usage(format!(
                "patches.branch: {address} is not on this machine: say with --repo {}=PATH where its clone is",
                last_part(&address)
            )));
        }
        let deadline = self.deadline();
        let mirrors = self.mirrors(url.scheme())?;
        let fork = Upstream::anonymous(url);
        let resolve = |at: &Upstream, want: &RefSpec| -> Result<Resolved, Error> {
            let resolved = mirrors.resolve(at, want, Freshness::MaxAge(SHARED), deadline);
            resolved.map_err(|error| wrong(&error))
        };
        let own = Upstream::anonymous(upstream.url.clone());
        let tip = resolve(&fork, &want)?;
        let (at, onto) = match &base {
            Some(base) => (&fork, resolve(&fork, base)?),
            None => (&own, resolve(&own, &RefSpec::Commit(target.to_string()))?),
        };
        let limits = FormatLimits::default();
        let found = mirrors.branch(
            CommitAt {
                upstream: &fork,
                resolved: &tip,
            },
            CommitAt {
                upstream: at,
                resolved: &onto,
            },
            limits.commits,
            deadline,
        );
        let series = found.and_then(|found| found.patches(target, policy, limits));
        Ok(named(series.map_err(|error| wrong(&error))?))
    }
}
