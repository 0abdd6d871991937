#![doc = include_str!("../README.md")]
#![deny(missing_docs)]

mod breaker;
mod by_change;
mod change;
mod commit;
mod difference;
mod find;
mod finding;
mod message;
mod patch_id;
mod patch_mail;
mod reverts;
mod url;
mod verdict;
mod walk;

pub use breaker::{Range, find_breaker};
pub use commit::{Commit, CommitError, Person, UpstreamCommit};
pub use find::{find_merged, is_looked_for};
pub use finding::{Bounds, Commits, Difference, Evidence, Finding, HistoryError, Judged, Merged, Upcoming};
pub use patch_id::{PatchId, patch_id};
pub use patch_mail::{date_written, oldest_date};
pub use url::{commit_url, compare_url};
pub use verdict::apply_findings;

/// For the crate's own tests against git.
#[doc(hidden)]
pub mod testing {
    use git_apply_engine::{Objects, Oid};

    use super::difference::Upstream;
    use super::finding::{Bounds, Commits, HistoryError};
    use super::patch_id::stable;

    /// The stable patch-id of a text.
    #[must_use]
    pub fn patch_id(text: &[u8]) -> Option<[u8; 20]> {
        stable(text)
    }

    /// The stable patch-id of what a commit changes; `None` for nothing.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn commit_patch_id(
        commits: &dyn Commits,
        objects: &dyn Objects,
        id: Oid,
    ) -> Result<Option<[u8; 20]>, HistoryError> {
        let bounds = Bounds::default();
        let upstream = Upstream {
            commits,
            objects,
            bounds: &bounds,
        };
        let Some(commit) = commits.commit(id)? else {
            return Ok(None);
        };
        let changes = upstream.change(&commit)?.unwrap_or_default();
        Ok(upstream.diff(&changes)?.and_then(|text| stable(&text)))
    }
}
