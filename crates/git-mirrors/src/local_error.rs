//! Why a repository on this machine cannot be used.

use std::fmt;

use git_apply_engine::Oid;

use super::error::RetiredBranch;

/// Why a local repository cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalError {
    /// There is no repository.
    #[error("{path}: no Git repository can be opened there: {message}")]
    Open {
        /// Where it was looked for.
        path: String,
        /// What libgit2 said.
        message: String,
    },
    /// It belongs to another user, and no setting allows it.
    #[error(
        "{path} belongs to another user: Git opens it where safe.directory allows that; if you trust it, run git config --global --add safe.directory {path}"
    )]
    Owner {
        /// The repository.
        path: String,
    },
    /// There is no such ref.
    #[error("{path} has no tag, branch or commit {name:?}{}", RetiredOrOld(.retired))]
    Ref {
        /// What remains of a retired branch.
        retired: Vec<String>,
        /// The name.
        name: String,
        /// The repository.
        path: String,
    },
    /// The revision names no tree.
    #[error("{revision:?} names no commit or tree of the repository: {message}{}", RetiredBranch(.retired))]
    Revision {
        /// What remains of a retired branch.
        retired: Vec<String>,
        /// As it was given.
        revision: String,
        /// What libgit2 said.
        message: String,
    },
    /// An object is missing because the clone was made without it.
    #[error("object {id} was filtered out when {path} was cloned; fetch what is missing with: {command}")]
    Filtered {
        /// The object.
        id: Oid,
        /// The repository.
        path: String,
        /// What to run.
        command: String,
    },
}

impl LocalError {
    /// Why, without the path.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Open { message, .. } => format!("no Git repository can be opened there: {message}"),
            other => other.to_string(),
        }
    }
}

/// What remains of a retired branch, or else what may be wrong.
struct RetiredOrOld<'a>(&'a [String]);

impl fmt::Display for RetiredOrOld<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("; is the clone up to date?"),
            names => RetiredBranch(names).fmt(f),
        }
    }
}
