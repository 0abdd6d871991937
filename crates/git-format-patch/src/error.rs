//! Why a branch cannot be written as patches.

use git_apply_engine::{ObjectError, Oid};

/// Why a branch cannot be written as patches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A commit of the branch has several parents, so it is not a patch.
    #[error(
        "commit {commit} of the branch merges {others}: a merge is not a patch; rebase the branch onto its base, so that it is a line of single commits"
    )]
    Merge {
        /// The commit.
        commit: Oid,
        /// What it merges into the branch, in words.
        others: String,
    },
    /// The branch and what it is compared with have no commit in common, as far as the history is
    /// available.
    #[error(
        "the branch goes back to its first commit {root} without meeting {other}: it has a different history; name the branch of a fork of the same repository, or a base that the branch has"
    )]
    Unrelated {
        /// The first commit.
        root: Oid,
        /// What it should lead to, in words.
        other: String,
    },
    /// The available history of the branch ends before its base.
    #[error(
        "the history ends at commit {last} before the branch meets {other}: get more of it (git fetch --unshallow), or name the base"
    )]
    Shallow {
        /// The last commit that is available.
        last: Oid,
        /// What it should lead to, in words.
        other: String,
    },
    /// The branch has more commits than are read.
    #[error(
        "the branch has more than {most} commits on top of {other}: name a base that is closer to its tip"
    )]
    TooManyCommits {
        /// How many are allowed.
        most: usize,
        /// What they are on top of, in words.
        other: String,
    },
    /// The subject of a commit violates the policy.
    #[error("commit {commit} {subject:?}: {problem}")]
    Subject {
        /// The commit.
        commit: Oid,
        /// Its subject.
        subject: String,
        /// What is wrong with it, and what to do.
        problem: &'static str,
    },
    /// A commit is too large to be written as a patch.
    #[error("commit {commit} of the branch: {what}")]
    TooLarge {
        /// The commit.
        commit: Oid,
        /// What is too large, with the bound.
        what: String,
    },
    /// A commit's object is damaged.
    #[error("commit {commit} cannot be read: {problem}")]
    Commit {
        /// The commit.
        commit: Oid,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// An object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
}
