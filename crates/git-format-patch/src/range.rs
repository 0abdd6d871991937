//! Which commits of a branch are its patches.

use git_apply_engine::Oid;

use super::error::FormatError;
use super::raw_commit::RawCommit;
use super::store::RawCommits;

/// The commits of a branch on top of its base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchRange {
    /// The commit that the first one is on top of.
    pub base: Oid,
    /// The commits, from the oldest.
    pub commits: Vec<Oid>,
}

/// Goes from a branch's tip from first parent to first parent to its base.
///
/// `is_base` says of a commit whether it belongs to what the branch is on top of, which `other`
/// names in messages; at most `most` commits may be on top of that.
///
/// # Errors
///
/// Where a commit on the way is a merge, where there are too many, and where none is the base.
pub fn first_parent_range(
    commits: &dyn RawCommits,
    tip: Oid,
    is_base: &dyn Fn(Oid) -> bool,
    most: usize,
    other: &str,
) -> Result<BranchRange, FormatError> {
    let mut found = Vec::new();
    let mut merge = None;
    let mut at = tip;
    while !is_base(at) {
        if found.len() >= most {
            return Err(merge.unwrap_or_else(|| FormatError::TooManyCommits {
                most,
                other: other.to_owned(),
            }));
        }
        let Some(commit) = RawCommit::read(commits, at)? else {
            let last = found.last().copied().unwrap_or(tip);
            return Err(FormatError::Shallow {
                last,
                other: other.to_owned(),
            });
        };
        // A merge counts where it is on top of the base: below, there are as many as may be.
        if commit.parents.len() > 1 && merge.is_none() {
            let others: Vec<String> = commit
                .parents
                .iter()
                .skip(1)
                .take(3)
                .map(Oid::to_string)
                .collect();
            merge = Some(FormatError::Merge {
                commit: at,
                others: others.join(" and "),
            });
        }
        found.push(at);
        at = *commit.parents.first().ok_or_else(|| FormatError::Unrelated {
            root: at,
            other: other.to_owned(),
        })?;
    }
    if let Some(merge) = merge {
        return Err(merge);
    }
    found.reverse();
    Ok(BranchRange {
        base: at,
        commits: found,
    })
}
