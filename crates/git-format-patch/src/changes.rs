//! Which files differ between two trees, in the order of `git diff-tree -r`.

use std::cmp::Ordering;

use git_apply_engine::{EntryMode, Oid, TreeEntry};

use super::error::FormatError;
use super::store::CommitStore;
use super::work::Work;

/// How deep the folders of a tree may be nested.
const MAX_DEPTH: usize = 128;

/// The score of files that are the same.
pub(crate) const MAX_SCORE: u64 = 60_000;

/// A file on one side of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) path: Vec<u8>,
    pub(crate) mode: EntryMode,
    pub(crate) id: Oid,
}

impl Side {
    /// Whether it is a file, not a link or submodule.
    pub(crate) fn is_regular(&self) -> bool {
        matches!(self.mode, EntryMode::Regular | EntryMode::Executable)
    }

    pub(crate) fn base_name(&self) -> &[u8] {
        self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Added(Side),
    Deleted(Side),
    Modified {
        old: Side,
        new: Side,
    },
    Renamed {
        old: Side,
        new: Side,
        /// How similar they are, of [`MAX_SCORE`].
        score: u64,
    },
}

impl Change {
    pub(crate) fn before(&self) -> Option<&Side> {
        match self {
            Self::Added(_) => None,
            Self::Deleted(old) | Self::Modified { old, .. } | Self::Renamed { old, .. } => Some(old),
        }
    }

    pub(crate) fn after(&self) -> Option<&Side> {
        match self {
            Self::Deleted(_) => None,
            Self::Added(new) | Self::Modified { new, .. } | Self::Renamed { new, .. } => Some(new),
        }
    }

    /// The blobs of both sides; a submodule has none.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = Oid> {
        let sides = [self.before(), self.after()].into_iter().flatten();
        sides
            .filter(|side| side.mode != EntryMode::Gitlink)
            .map(|side| side.id)
    }
}

/// Compares trees for one commit.
pub(crate) struct TreeComparison<'a> {
    pub(crate) store: &'a dyn CommitStore,
    pub(crate) work: &'a Work,
    pub(crate) commit: Oid,
}

impl TreeComparison<'_> {
    /// The files that differ between two trees.
    pub(crate) fn changes(&self, old: Oid, new: Oid) -> Result<Vec<Change>, FormatError> {
        let mut found = Vec::new();
        self.compare(&[], [Some(old), Some(new)], &mut found)?;
        Ok(found)
    }

    fn entries(&self, tree: Option<Oid>) -> Result<Vec<TreeEntry>, FormatError> {
        let Some(tree) = tree else {
            return Ok(Vec::new());
        };
        let entries = self.store.tree(tree)?;
        self.work.spend(self.commit, entries.len())?;
        Ok(entries)
    }

    fn compare(
        &self,
        folder: &[u8],
        trees: [Option<Oid>; 2],
        found: &mut Vec<Change>,
    ) -> Result<(), FormatError> {
        let [old, new] = trees;
        if old == new {
            return Ok(());
        }
        if folder.split(|byte| *byte == b'/').count() > MAX_DEPTH + 1 {
            return Err(FormatError::TooLarge {
                commit: self.commit,
                what: format!("its folders are more than {MAX_DEPTH} deep"),
            });
        }
        let (old, new) = (self.entries(old)?, self.entries(new)?);
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(one), Some(other)) => sort_key(one).cmp(sort_key(other)),
            };
            let before = (order != Ordering::Greater).then(|| old.next()).flatten();
            let after = (order != Ordering::Less).then(|| new.next()).flatten();
            self.compare_entries(folder, before, after, found)?;
        }
    }

    fn compare_entries(
        &self,
        folder: &[u8],
        before: Option<&TreeEntry>,
        after: Option<&TreeEntry>,
        found: &mut Vec<Change>,
    ) -> Result<(), FormatError> {
        let Some(name) = before.or(after).map(|entry| &entry.name) else {
            return Ok(());
        };
        let path = [folder, name].concat();
        if [before, after].into_iter().flatten().any(is_folder) {
            let trees = [before, after].map(|entry| entry.map(|entry| entry.id));
            return self.compare(&[&path, &b"/"[..]].concat(), trees, found);
        }
        let side = |entry: &TreeEntry| Side {
            path: path.clone(),
            mode: entry.mode,
            id: entry.id,
        };
        found.extend(match (before.map(side), after.map(side)) {
            (Some(old), None) => Some(Change::Deleted(old)),
            (None, Some(new)) => Some(Change::Added(new)),
            (Some(old), Some(new)) if old != new => Some(Change::Modified { old, new }),
            _ => None,
        });
        Ok(())
    }
}

fn is_folder(entry: &TreeEntry) -> bool {
    entry.mode == EntryMode::Tree
}

/// Entries are in the order of their names, folders as if they ended in `/`.
fn sort_key(entry: &TreeEntry) -> impl Iterator<Item = u8> + '_ {
    let slash = is_folder(entry).then_some(b'/');
    entry.name.iter().copied().chain(slash)
}
