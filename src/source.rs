//! Re-exports `git-mirrors`, and converts the API's types (`GitRef`, `VerificationMode`) to the
//! library's.

use std::path::PathBuf;

pub use git_mirrors::*;

use crate::api;
use crate::api::common::{GitRef, VerificationMode};

/// Mirrors in a folder, with the library's bounds, that ask servers in this program's name.
#[must_use]
pub fn mirror_config(root: impl Into<PathBuf>) -> MirrorConfig {
    MirrorConfig {
        agent: Agent {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
        },
        ..MirrorConfig::new(root)
    }
}

impl TryFrom<&GitRef> for RefSpec {
    type Error = Error;

    /// The ref that a spec names.
    ///
    /// # Errors
    ///
    /// [`Error::RefInvalid`] where it names none or several, or a range that is none.
    fn try_from(git: &GitRef) -> Result<Self, Error> {
        match (&git.branch, &git.tag, &git.commit, &git.semver) {
            (Some(branch), None, None, None) => Ok(Self::Branch(branch.clone())),
            (None, Some(tag), None, None) => Ok(Self::Tag(tag.clone())),
            (None, None, Some(commit), None) => Ok(Self::Commit(commit.clone())),
            (None, None, None, Some(range)) => range.parse().map(Self::Semver),
            _ => Err(Error::RefInvalid {
                wanted: "ref".to_owned(),
                reason: "set exactly one of branch, tag, commit and semver".to_owned(),
            }),
        }
    }
}

impl From<&Revision> for api::Revision {
    fn from(revision: &Revision) -> Self {
        Self {
            name: revision.name().map(ToOwned::to_owned),
            commit: revision.commit(),
        }
    }
}

impl From<VerificationMode> for SignedObjects {
    fn from(mode: VerificationMode) -> Self {
        match mode {
            VerificationMode::HEAD => Self::Commit,
            VerificationMode::Tag => Self::Tag,
            VerificationMode::TagAndHEAD => Self::TagAndCommit,
        }
    }
}
