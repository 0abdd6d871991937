//! What commits are read from.

use git_apply_engine::{ObjectError, Objects, Oid};

/// A store of commits.
pub trait RawCommits {
    /// Returns the raw contents of a commit; `None` if the store ends before it, as a shallow clone
    /// does.
    ///
    /// # Errors
    ///
    /// If it is not a commit, or cannot be read.
    fn raw_commit(&self, id: Oid) -> Result<Option<Vec<u8>>, ObjectError>;
}

/// A store of commits, trees and blobs, such as a repository.
pub trait CommitStore: RawCommits + Objects {
    /// Announces commits that are about to be read with all their trees, so that a store that
    /// fetches can get them at once.
    ///
    /// # Errors
    ///
    /// If they cannot be fetched.
    fn expect_trees(&self, _commits: &[Oid]) -> Result<(), ObjectError> {
        Ok(())
    }

    /// Announces blobs that are about to be read, so that a store that fetches can get them at
    /// once.
    ///
    /// # Errors
    ///
    /// If they cannot be fetched.
    fn expect_blobs(&self, _blobs: &[Oid]) -> Result<(), ObjectError> {
        Ok(())
    }
}
