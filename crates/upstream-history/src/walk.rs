//! The ancestors of a commit, newest first.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use git_apply_engine::Oid;

use super::commit::Commit;
use super::finding::{Bounds, Commits, HistoryError};

/// How many commits in a row may be older than the bound before a line of history is abandoned:
/// clocks differ, and a commit may have waited for its merge.
const OLDER_IN_A_ROW: u16 = 32;

/// A commit of the history.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) id: Oid,
    pub(super) tree: Oid,
    /// The first parent, as the commit names it.
    pub(super) first_parent: Option<Oid>,
    pub(super) is_merge: bool,
    /// The parents whose lines are followed.
    parents: Vec<Oid>,
}

/// The ancestors of a commit, itself included, as far as the bounds go; newest first.
///
/// If a merge left the tree of some of its parents unchanged, only these are followed: what the
/// others brought was dropped (`-s ours`), or was there already.
pub(super) struct Walk {
    pub(super) nodes: Vec<Node>,
    index: HashMap<Oid, usize>,
}

/// A commit still to be visited; the newest first, and of two with the same time the one that was
/// found first.
struct Pending {
    key: (i64, Reverse<usize>),
    older: u16,
    commit: Commit,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

impl Walk {
    /// Walks over the ancestors of `tip`, and passes each to `visit` with its number.
    pub(super) fn from(
        commits: &dyn Commits,
        tip: Oid,
        bounds: &Bounds,
        mut visit: impl FnMut(usize, &Commit),
    ) -> Result<Self, HistoryError> {
        let mut walk = Self {
            nodes: Vec::new(),
            index: HashMap::new(),
        };
        let mut seen: HashSet<Oid> = HashSet::from([tip]);
        let mut pending = BinaryHeap::new();
        if let Some(commit) = commits.commit(tip)? {
            let key = (commit.committer.seconds, Reverse(0));
            pending.push(Pending {
                key,
                older: 0,
                commit,
            });
        }
        while let Some(Pending { commit, older, .. }) = pending.pop() {
            if walk.nodes.len() >= bounds.commits {
                break;
            }
            let is_older = bounds.since.is_some_and(|since| commit.committer.seconds < since);
            let older = if is_older { older + 1 } else { 0 };
            let parents = followed_parents(commits, &commit)?;
            let number = walk.nodes.len();
            walk.index.insert(commit.id, number);
            walk.nodes.push(Node {
                id: commit.id,
                tree: commit.tree,
                first_parent: commit.parents.first().copied(),
                is_merge: commit.parents.len() > 1,
                parents: parents.iter().map(|parent| parent.id).collect(),
            });
            visit(number, &commit);
            if older >= OLDER_IN_A_ROW {
                continue;
            }
            for parent in parents {
                if seen.insert(parent.id) {
                    pending.push(Pending {
                        key: (parent.committer.seconds, Reverse(seen.len())),
                        older,
                        commit: parent,
                    });
                }
            }
        }
        Ok(walk)
    }

    /// The number of a commit.
    pub(super) fn number(&self, id: Oid) -> Option<usize> {
        self.index.get(&id).copied()
    }

    /// Which commits of the walk are ancestors of one, itself included.
    pub(super) fn ancestors(&self, of: usize) -> Vec<bool> {
        let mut found = vec![false; self.nodes.len()];
        let mut open = vec![of];
        while let Some(number) = open.pop() {
            let Some(slot) = found.get_mut(number).filter(|slot| !**slot) else {
                continue;
            };
            *slot = true;
            let parents = self.nodes.get(number).map(|node| node.parents.as_slice());
            open.extend(
                parents
                    .unwrap_or_default()
                    .iter()
                    .filter_map(|id| self.number(*id)),
            );
        }
        found
    }
}

fn followed_parents(commits: &dyn Commits, commit: &Commit) -> Result<Vec<Commit>, HistoryError> {
    let mut parents = Vec::with_capacity(commit.parents.len());
    for parent in &commit.parents {
        parents.extend(commits.commit(*parent)?);
    }
    if commit.parents.len() > 1 && parents.iter().any(|parent| parent.tree == commit.tree) {
        parents.retain(|parent| parent.tree == commit.tree);
    }
    Ok(parents)
}
