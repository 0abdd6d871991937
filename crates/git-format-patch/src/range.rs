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
    /// The commits, oldest first.
    pub commits: Vec<Oid>,
}

/// Follows first parents from a branch's tip to its base.
///
/// `is_base` says whether a commit belongs to what the branch is on top of, which messages call
/// `other`; at most `most` commits may be on top of it.
///
/// # Errors
///
/// If a commit on the way is a merge, if there are too many, or if none is the base.
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
        // A merge is refused only on top of the base: below it, there may be any number.
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
