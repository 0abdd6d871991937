//! The commits of a branch as patches, for commands over repositories on this machine.

use clap::{Args, ValueEnum};
use git_apply_engine::{Oid, PatchInput};
use git_mirrors::local::LocalRepository;
use git_mirrors::{FormatLimits, FormattedSeries, SubjectPolicy, format_series};

use super::error::Error;
use crate::layout::FolderPatches;

/// Which branch has the patches.
#[derive(Clone, Debug, Args)]
pub(super) struct BranchOptions {
    /// Take the commits of this branch as patches: those that it has on top of the revision, or of
    /// --base, from first parent to first parent
    #[arg(long, value_name = "BRANCH", conflicts_with = "patches")]
    pub(super) branch: Option<String>,
    /// What the branch's commits are on top of, if that is not the revision of --ref
    #[arg(long, value_name = "REV", requires = "branch")]
    base: Option<String>,
    /// What subjects such as "UPSTREAM: <drop>: ..." mean
    #[arg(long, value_enum, default_value = "ignore", requires = "branch")]
    subjects: Subjects,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Subjects {
    /// Nothing: every commit is a patch.
    Ignore,
    /// Commits marked <drop> are left out if the branch is on top of another commit.
    Soft,
    /// The same, and commits without a mark are refused.
    Strict,
}

impl BranchOptions {
    /// The patches for a revision; `None` where no branch is named.
    pub(super) fn patches(
        &self,
        repository: &LocalRepository,
        revision: &str,
    ) -> Result<Option<FolderPatches>, Error> {
        let Some(branch) = &self.branch else {
            return Ok(None);
        };
        let Some(target) = repository.commit_of(revision) else {
            return Err(Error::Usage(format!(
                "--branch: {revision:?} names no commit to base the branch on"
            )));
        };
        let policy = match self.subjects {
            Subjects::Ignore => SubjectPolicy::Ignore,
            Subjects::Soft => SubjectPolicy::Soft,
            Subjects::Strict => SubjectPolicy::Strict,
        };
        let onto = self.base.as_deref().unwrap_or(revision);
        local_patches(repository, (branch, onto), target, policy).map(Some)
    }
}

/// The commits of a clone that a branch has on top of a revision, as patches for a commit.
pub(super) fn local_patches(
    repository: &LocalRepository,
    (branch, onto): (&str, &str),
    target: Oid,
    policy: SubjectPolicy,
) -> Result<FolderPatches, Error> {
    let limits = FormatLimits::default();
    let wrong = |error: &dyn std::fmt::Display| Error::Usage(format!("branch {branch}: {error}"));
    let range = repository.branch_range(branch, onto, limits.commits);
    let range = range.map_err(|error| wrong(&error))?;
    let series = format_series(repository, &range, target, policy, limits);
    Ok(named(series.map_err(|error| wrong(&error))?))
}

/// A branch's patches in the form of a folder's, with the notes on them.
pub(super) fn named(series: FormattedSeries) -> FolderPatches {
    let note = series.note();
    let patches = series.patches.into_iter();
    let patches = patches.map(|patch| PatchInput::new(patch.name, patch.bytes));
    FolderPatches {
        patches: patches.collect(),
        note,
    }
}
