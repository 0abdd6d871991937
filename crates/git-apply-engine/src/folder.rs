//! A folder of a tree being changed: the store's entries, and the changes on top of them.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::budget::{Budget, bytes};
use super::object::{EntryMode, Oid, TreeEntry, serialise};

/// What hashing an entry costs, in units of effort.
const HASHED_ENTRY: u64 = 64;

/// A file of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) mode: EntryMode,
    pub(super) id: Oid,
}

/// What a folder has under a name.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Leaf(Leaf),
    Folder(Folder),
}

/// A folder: as the store has it, or open because something below changed.
///
/// Folders are opened only along the paths of patches, so recursion is never deeper than
/// [`Limits::path_depth`](super::options::Limits::path_depth), whatever the tree.
#[derive(Clone, Debug)]
pub(super) enum Folder {
    Stored(Oid),
    Open(OpenFolder),
}

/// What looking up a name in a folder finds.
pub(super) enum Found<'a> {
    Leaf(Leaf),
    Folder(FoundFolder<'a>),
}

/// A folder, borrowed for reading.
#[derive(Clone, Copy)]
pub(super) enum FoundFolder<'a> {
    Stored(Oid),
    Open(&'a OpenFolder),
}

/// A folder in which something may have changed.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenFolder {
    stored: Arc<Vec<TreeEntry>>,
    /// What replaces the store's entry under a name; `None` where the entry is removed.
    changes: BTreeMap<BString, Option<Node>>,
    /// How many entries there are.
    count: usize,
    /// The folder's id, if nothing has changed since it was hashed.
    hashed: Cell<Option<Oid>>,
}

impl Folder {
    /// The folder, for reading.
    pub(super) fn as_found(&self) -> FoundFolder<'_> {
        match self {
            Self::Stored(id) => FoundFolder::Stored(*id),
            Self::Open(folder) => FoundFolder::Open(folder),
        }
    }

    /// The folder's id; hashes it if it has changed.
    pub(super) fn id(&self, budget: &Budget) -> Oid {
        match self {
            Self::Stored(id) => *id,
            Self::Open(folder) => folder.id(budget),
        }
    }
}

impl OpenFolder {
    /// A folder with the entries of the store, as [`canonical`] gives them.
    pub(super) fn new(stored: Arc<Vec<TreeEntry>>) -> Self {
        Self {
            count: stored.len(),
            stored,
            ..Self::default()
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What the folder has under a name.
    pub(super) fn get(&self, name: &[u8]) -> Option<Found<'_>> {
        match self.changes.get(name) {
            None => stored_entry(&self.stored, name),
            Some(None) => None,
            Some(Some(Node::Leaf(leaf))) => Some(Found::Leaf(*leaf)),
            Some(Some(Node::Folder(folder))) => Some(Found::Folder(folder.as_found())),
        }
    }

    /// The folder under a name, for a change below it.
    pub(super) fn folder_mut(&mut self, name: &[u8]) -> Option<&mut Folder> {
        if !self.changes.contains_key(name)
            && let Some(Found::Folder(FoundFolder::Stored(id))) = stored_entry(&self.stored, name)
        {
            let folder = Node::Folder(Folder::Stored(id));
            self.changes.insert(name.into(), Some(folder));
        }
        match self.changes.get_mut(name) {
            Some(Some(Node::Folder(folder))) => Some(folder),
            _ => None,
        }
    }

    /// Puts a node under a name, replacing any that is there.
    pub(super) fn insert(&mut self, name: &[u8], node: Node) {
        self.count += usize::from(self.get(name).is_none());
        self.changes.insert(name.into(), Some(node));
        self.hashed.set(None);
    }

    /// Removes what is under a name.
    pub(super) fn remove(&mut self, name: &[u8]) {
        self.count -= usize::from(self.get(name).is_some());
        if stored_entry(&self.stored, name).is_some() {
            self.changes.insert(name.into(), None);
        } else {
            self.changes.remove(name);
        }
        self.hashed.set(None);
    }

    /// Forgets the folder's id, because something below it may change.
    pub(super) fn touch(&mut self) {
        self.hashed.set(None);
    }

    fn id(&self, budget: &Budget) -> Oid {
        if let Some(id) = self.hashed.get() {
            return id;
        }
        budget.count(bytes(self.count).saturating_mul(HASHED_ENTRY));
        let Ok(entries) = self.entries(|folder| Ok::<_, Infallible>(folder.id(budget)));
        let id = Oid::of_tree(&serialise(entries.into_iter()));
        self.hashed.set(Some(id));
        id
    }

    /// What was put into the folder.
    pub(super) fn put(&self) -> impl Iterator<Item = &Node> {
        self.changes.values().flatten()
    }

    /// The entries in Git's order; `id` gives the ids of folders that may have changed.
    pub(super) fn entries<E>(
        &self,
        mut id: impl FnMut(&Folder) -> Result<Oid, E>,
    ) -> Result<Vec<(EntryMode, &BStr, Oid)>, E> {
        let kept = self.stored.iter();
        let kept = kept.filter(|entry| !self.changes.contains_key(&entry.name));
        let kept = kept.map(|entry| Ok((entry.mode, entry.name.as_bstr(), entry.id)));
        let put = self.changes.iter().filter_map(|(name, node)| {
            let (mode, id) = match node.as_ref()? {
                Node::Leaf(leaf) => (leaf.mode, Ok(leaf.id)),
                Node::Folder(folder) => (EntryMode::Tree, id(folder)),
            };
            Some(id.map(|id| (mode, name.as_bstr(), id)))
        });
        let mut entries = kept.chain(put).collect::<Result<Vec<_>, E>>()?;
        // The store's entries are in order already.
        entries.sort_by(|one, other| git_order((one.1, one.0), (other.1, other.0)));
        Ok(entries)
    }
}

/// What the store has under a name, given entries as [`canonical`] returns them.
///
/// A folder sorts as if its name ended in `/`, so a name can be in one of two places.
pub(super) fn stored_entry(entries: &[TreeEntry], name: &[u8]) -> Option<Found<'static>> {
    let entry = find(entries, name, EntryMode::Regular).or_else(|| find(entries, name, EntryMode::Tree))?;
    Some(match entry.mode {
        EntryMode::Tree => Found::Folder(FoundFolder::Stored(entry.id)),
        mode => Found::Leaf(Leaf { mode, id: entry.id }),
    })
}

fn find<'e>(entries: &'e [TreeEntry], name: &[u8], kind: EntryMode) -> Option<&'e TreeEntry> {
    let place = entries
        .binary_search_by(|entry| git_order((entry.name.as_bstr(), entry.mode), (name.as_bstr(), kind)));
    place.ok().and_then(|at| entries.get(at))
}

/// Git's order of the entries of a folder: by name, as if those of folders ended in `/`.
fn git_order(one: (&BStr, EntryMode), other: (&BStr, EntryMode)) -> Ordering {
    let shared = one.0.len().min(other.0.len());
    let next = |(name, mode): (&BStr, EntryMode)| match name.get(shared) {
        None if mode == EntryMode::Tree => Some(b'/'),
        next => next.copied(),
    };
    let names = one.0.get(..shared).cmp(&other.0.get(..shared));
    names
        .then_with(|| next(one).cmp(&next(other)))
        .then(one.0.len().cmp(&other.0.len()))
}

/// Entries in Git's order, each name once: the last entry wins in a tree that repeats a name.
pub(super) fn canonical(entries: Vec<TreeEntry>) -> Vec<TreeEntry> {
    let order = |one: &TreeEntry, other: &TreeEntry| {
        git_order((one.name.as_bstr(), one.mode), (other.name.as_bstr(), other.mode))
    };
    let is_file_too = |entry: &TreeEntry| {
        entry.mode == EntryMode::Tree && find(&entries, &entry.name, EntryMode::Regular).is_some()
    };
    if entries.is_sorted_by(|one, other| order(one, other).is_lt()) && !entries.iter().any(is_file_too) {
        return entries;
    }
    let by_name: BTreeMap<BString, TreeEntry> = entries
        .into_iter()
        .map(|entry| (entry.name.clone(), entry))
        .collect();
    let mut entries: Vec<TreeEntry> = by_name.into_values().collect();
    entries.sort_by(order);
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(mode: EntryMode, name: &str) -> TreeEntry {
        TreeEntry {
            mode,
            name: name.into(),
            id: Oid::of_blob(name.as_bytes()),
        }
    }

    fn names(entries: &[TreeEntry]) -> Vec<String> {
        let shown = |entry: &TreeEntry| match entry.mode {
            EntryMode::Tree => format!("{}/", entry.name),
            _ => entry.name.to_string(),
        };
        entries.iter().map(shown).collect()
    }

    #[test]
    fn folders_stand_as_if_their_names_ended_in_a_slash() {
        use EntryMode::{Regular, Tree};
        let entries = vec![
            entry(Regular, "a"),
            entry(Regular, "a-b"),
            entry(Regular, "b.c"),
            entry(Tree, "b"),
            entry(Regular, "b0"),
            entry(Tree, "bb"),
        ];
        let reversed: Vec<TreeEntry> = entries.iter().rev().cloned().collect();
        assert_eq!(
            names(&canonical(reversed)),
            ["a", "a-b", "b.c", "b/", "b0", "bb/"]
        );
        assert_eq!(canonical(entries.clone()), entries);
        for name in ["a", "a-b", "b.c", "b", "b0", "bb"] {
            assert!(stored_entry(&entries, name.as_bytes()).is_some(), "{name}");
        }
        for name in ["", "a-", "b.", "b/", "c"] {
            assert!(stored_entry(&entries, name.as_bytes()).is_none(), "{name}");
        }
    }

    #[test]
    fn of_a_name_that_stands_twice_the_last_stays() {
        use EntryMode::{Executable, Regular, Tree};
        let twice = vec![
            entry(Regular, "a"),
            entry(Regular, "a.b"),
            entry(Tree, "a"),
            entry(Regular, "c"),
            entry(Executable, "c"),
        ];
        let entries = canonical(twice);
        assert_eq!(names(&entries), ["a.b", "a/", "c"]);
        assert_eq!(entries[2].mode, Executable);
    }

    #[test]
    fn a_folder_is_empty_when_all_that_stood_in_it_is_gone() {
        let stored = vec![entry(EntryMode::Regular, "a"), entry(EntryMode::Tree, "b")];
        let mut folder = OpenFolder::new(Arc::new(stored));
        let leaf = |name: &str| {
            let TreeEntry { mode, id, .. } = entry(EntryMode::Regular, name);
            Node::Leaf(Leaf { mode, id })
        };
        folder.insert(b"a", leaf("x"));
        folder.insert(b"new", leaf("new"));
        for name in ["a", "a", "absent", "new"] {
            folder.remove(name.as_bytes());
            assert!(folder.get(name.as_bytes()).is_none() && !folder.is_empty());
        }
        assert!(folder.folder_mut(b"b").is_some());
        folder.remove(b"b");
        assert!(folder.is_empty() && folder.put().next().is_none());
        folder.insert(b"b", leaf("y"));
        assert!(!folder.is_empty());
    }
}
