//! A tree with changes laid over it, in memory. Folders are read when they are needed, and only changed ones are
//! hashed again.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use bstr::BString;
use bytes::Bytes;

use super::object::{EntryMode, ObjectError, Objects, Oid, TreeEntry, WriteObjects, serialise_tree};

/// Bytes of base blobs that are kept for later patches of the same series.
const KEPT_BLOB_BYTES: usize = 64 << 20;

/// Objects that were read, kept for the length of a series.
pub(super) struct Cache<'o> {
    objects: &'o dyn Objects,
    trees: RefCell<HashMap<Oid, Rc<Vec<TreeEntry>>>>,
    blobs: RefCell<(HashMap<Oid, Bytes>, usize)>,
}

impl<'o> Cache<'o> {
    pub(super) fn new(objects: &'o dyn Objects) -> Self {
        Self {
            objects,
            trees: RefCell::default(),
            blobs: RefCell::default(),
        }
    }

    fn tree(&self, id: Oid) -> Result<Rc<Vec<TreeEntry>>, ObjectError> {
        if let Some(entries) = self.trees.borrow().get(&id) {
            return Ok(Rc::clone(entries));
        }
        let entries = Rc::new(self.objects.tree(id)?);
        self.trees.borrow_mut().insert(id, Rc::clone(&entries));
        Ok(entries)
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        if let Some(blob) = self.blobs.borrow().0.get(&id) {
            return Ok(blob.clone());
        }
        let blob = self.objects.blob(id)?;
        let (kept, size) = &mut *self.blobs.borrow_mut();
        if *size + blob.len() > KEPT_BLOB_BYTES {
            kept.clear();
            *size = 0;
        }
        *size += blob.len();
        kept.insert(id, blob.clone());
        Ok(blob)
    }
}

/// A file of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) mode: EntryMode,
    pub(super) id: Oid,
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Leaf),
    Folder(Folder),
}

/// A folder: as the store has it, or with its entries laid open because something below changed.
#[derive(Clone, Debug)]
enum Folder {
    Stored(Oid),
    Open {
        entries: BTreeMap<BString, Node>,
        /// The folder's id, where nothing changed since it was hashed.
        hashed: Cell<Option<Oid>>,
    },
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Nothing,
    /// A file, link or submodule.
    Leaf(Leaf),
    /// A folder.
    Folder,
}

/// A change that was made, by which it can be taken back.
pub(super) struct Undo {
    path: Vec<u8>,
    before: Option<Leaf>,
}

/// A tree with changes laid over it.
#[derive(Clone, Debug)]
pub(super) struct Overlay {
    root: Folder,
    blobs: HashMap<Oid, Bytes>,
}

impl Overlay {
    pub(super) fn new(base: Oid) -> Self {
        Self {
            root: Folder::Stored(base),
            blobs: HashMap::new(),
        }
    }

    /// What stands at a path.
    pub(super) fn standing(&self, cache: &Cache<'_>, path: &[u8]) -> Result<Standing, ObjectError> {
        let mut folder = self.root.clone_shallow();
        let mut components = path.split(|b| *b == b'/').peekable();
        while let Some(name) = components.next() {
            let found = match folder {
                FolderRef::Stored(id) => stored_entry(&cache.tree(id)?, name),
                FolderRef::Open(entries) => match entries.get(name) {
                    Some(Node::Leaf(leaf)) => Some(Found::Leaf(*leaf)),
                    Some(Node::Folder(inner)) => Some(Found::Folder(inner.clone_shallow())),
                    None => None,
                },
            };
            match (found, components.peek()) {
                (None, _) | (Some(Found::Leaf(_)), Some(_)) => return Ok(Standing::Nothing),
                (Some(Found::Leaf(leaf)), None) => return Ok(Standing::Leaf(leaf)),
                (Some(Found::Folder(_)), None) => return Ok(Standing::Folder),
                (Some(Found::Folder(inner)), Some(_)) => folder = inner,
            }
        }
        Ok(Standing::Nothing)
    }

    /// The file at a path.
    pub(super) fn leaf(&self, cache: &Cache<'_>, path: &[u8]) -> Result<Option<Leaf>, ObjectError> {
        Ok(match self.standing(cache, path)? {
            Standing::Leaf(leaf) => Some(leaf),
            Standing::Nothing | Standing::Folder => None,
        })
    }

    /// A blob of this overlay or of the store.
    pub(super) fn blob(&self, cache: &Cache<'_>, id: Oid) -> Result<Bytes, ObjectError> {
        match self.blobs.get(&id) {
            Some(blob) => Ok(blob.clone()),
            None => cache.blob(id),
        }
    }

    /// The size of a blob of this overlay or of the store.
    pub(super) fn blob_size(&self, cache: &Cache<'_>, id: Oid) -> Result<u64, ObjectError> {
        match self.blobs.get(&id) {
            Some(blob) => Ok(u64::try_from(blob.len()).unwrap_or(u64::MAX)),
            None => cache.objects.blob_size(id),
        }
    }

    /// Keeps a blob, and gives its id.
    pub(super) fn add_blob(&mut self, contents: Bytes) -> Oid {
        let id = Oid::of_blob(&contents);
        self.blobs.insert(id, contents);
        id
    }

    /// Puts a file at a path, where neither a file stands in the place of its folder nor a folder in its own.
    pub(super) fn put(
        &mut self,
        cache: &Cache<'_>,
        path: &[u8],
        leaf: Leaf,
    ) -> Result<Option<Undo>, ObjectError> {
        for (place, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
            if let Some(above) = path.get(..place)
                && self.leaf(cache, above)?.is_some()
            {
                return Ok(None);
            }
        }
        let before = match self.standing(cache, path)? {
            Standing::Folder => return Ok(None),
            Standing::Leaf(before) => Some(before),
            Standing::Nothing => None,
        };
        self.replace(cache, path, Some(leaf))?;
        Ok(Some(Undo {
            path: path.to_vec(),
            before,
        }))
    }

    /// Removes the file at a path. Folders that become empty go with it.
    pub(super) fn remove(&mut self, cache: &Cache<'_>, path: &[u8]) -> Result<Undo, ObjectError> {
        let before = self.leaf(cache, path)?;
        if before.is_some() {
            self.replace(cache, path, None)?;
        }
        Ok(Undo {
            path: path.to_vec(),
            before,
        })
    }

    /// Takes a change back.
    pub(super) fn undo(&mut self, cache: &Cache<'_>, undo: &Undo) -> Result<(), ObjectError> {
        self.replace(cache, &undo.path, undo.before)
    }

    fn replace(&mut self, cache: &Cache<'_>, path: &[u8], leaf: Option<Leaf>) -> Result<(), ObjectError> {
        let components: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
        replace_in(&mut self.root, cache, &components, leaf)
    }

    /// The id of the tree. Changed folders are hashed, and not written.
    pub(super) fn tree_id(&self) -> Oid {
        folder_id(&self.root)
    }

    /// Writes what the store lacks, and gives the id of the tree.
    pub(super) fn write(&self, store: &mut dyn WriteObjects) -> Result<Oid, ObjectError> {
        let mut needed = Vec::new();
        collect_leaves(&self.root, &mut needed);
        for id in needed {
            if let Some(contents) = self.blobs.get(&id) {
                store.write_blob(contents)?;
            }
        }
        write_folder(&self.root, store)
    }
}

enum FolderRef<'a> {
    Stored(Oid),
    Open(&'a BTreeMap<BString, Node>),
}

enum Found<'a> {
    Leaf(Leaf),
    Folder(FolderRef<'a>),
}

impl Folder {
    fn clone_shallow(&self) -> FolderRef<'_> {
        match self {
            Self::Stored(id) => FolderRef::Stored(*id),
            Self::Open { entries, .. } => FolderRef::Open(entries),
        }
    }

    fn empty() -> Self {
        Self::Open {
            entries: BTreeMap::new(),
            hashed: Cell::default(),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Open { entries, .. } if entries.is_empty())
    }

    /// Lays the entries open for a change.
    fn open(&mut self, cache: &Cache<'_>) -> Result<&mut BTreeMap<BString, Node>, ObjectError> {
        if let Self::Stored(id) = self {
            let entries = cache
                .tree(*id)?
                .iter()
                .map(|entry| (entry.name.clone(), node(entry)))
                .collect();
            *self = Self::Open {
                entries,
                hashed: Cell::default(),
            };
        }
        match self {
            Self::Open { entries, hashed } => {
                hashed.set(None);
                Ok(entries)
            }
            Self::Stored(id) => Err(ObjectError::WrongKind(*id)),
        }
    }
}

fn node(entry: &TreeEntry) -> Node {
    match entry.mode {
        EntryMode::Tree => Node::Folder(Folder::Stored(entry.id)),
        mode => Node::Leaf(Leaf { mode, id: entry.id }),
    }
}

/// Trees are in Git's order, in which a folder stands as if its name ended in `/`; a name can therefore stand in
/// one of two places.
fn stored_entry(entries: &[TreeEntry], name: &[u8]) -> Option<Found<'static>> {
    let find = |folder: bool| {
        let wanted = name.iter().copied().chain(folder.then_some(b'/'));
        entries
            .binary_search_by(|entry| {
                order_key(&entry.name, entry.mode == EntryMode::Tree).cmp(wanted.clone())
            })
            .ok()
            .and_then(|at| entries.get(at))
            .filter(|entry| (entry.mode == EntryMode::Tree) == folder)
    };
    let entry = find(false).or_else(|| find(true))?;
    Some(match entry.mode {
        EntryMode::Tree => Found::Folder(FolderRef::Stored(entry.id)),
        mode => Found::Leaf(Leaf { mode, id: entry.id }),
    })
}

fn order_key(name: &[u8], folder: bool) -> impl Iterator<Item = u8> + Clone {
    name.iter().copied().chain(folder.then_some(b'/'))
}

fn replace_in(
    folder: &mut Folder,
    cache: &Cache<'_>,
    components: &[&[u8]],
    leaf: Option<Leaf>,
) -> Result<(), ObjectError> {
    let Some((first, rest)) = components.split_first() else {
        return Ok(());
    };
    let entries = folder.open(cache)?;
    if rest.is_empty() {
        match leaf {
            Some(leaf) => entries.insert(BString::from(*first), Node::Leaf(leaf)),
            None => entries.remove(*first),
        };
        return Ok(());
    }
    let below = entries
        .entry(BString::from(*first))
        .or_insert_with(|| Node::Folder(Folder::empty()));
    if matches!(below, Node::Leaf(_)) {
        if leaf.is_none() {
            return Ok(());
        }
        *below = Node::Folder(Folder::empty());
    }
    if let Node::Folder(inner) = below {
        replace_in(inner, cache, rest, leaf)?;
        if inner.is_empty() {
            entries.remove(*first);
        }
    }
    Ok(())
}

fn folder_id(folder: &Folder) -> Oid {
    let (entries, hashed) = match folder {
        Folder::Stored(id) => return *id,
        Folder::Open { entries, hashed } => (entries, hashed),
    };
    if let Some(id) = hashed.get() {
        return id;
    }
    let listed = entries.iter().map(|(name, node)| match node {
        Node::Leaf(leaf) => TreeEntry {
            mode: leaf.mode,
            name: name.clone(),
            id: leaf.id,
        },
        Node::Folder(inner) => TreeEntry {
            mode: EntryMode::Tree,
            name: name.clone(),
            id: folder_id(inner),
        },
    });
    let id = Oid::of_tree(&serialise_tree(&in_order(listed.collect())));
    hashed.set(Some(id));
    id
}

fn write_folder(folder: &Folder, store: &mut dyn WriteObjects) -> Result<Oid, ObjectError> {
    let entries = match folder {
        Folder::Stored(id) => return Ok(*id),
        Folder::Open { entries, .. } => entries,
    };
    let mut listed = Vec::with_capacity(entries.len());
    for (name, node) in entries {
        let (mode, id) = match node {
            Node::Leaf(leaf) => (leaf.mode, leaf.id),
            Node::Folder(inner) => (EntryMode::Tree, write_folder(inner, store)?),
        };
        listed.push(TreeEntry {
            mode,
            name: name.clone(),
            id,
        });
    }
    store.write_tree(&in_order(listed))
}

/// Puts entries into Git's order.
fn in_order(mut entries: Vec<TreeEntry>) -> Vec<TreeEntry> {
    entries.sort_by(|a, b| {
        order_key(&a.name, a.mode == EntryMode::Tree).cmp(order_key(&b.name, b.mode == EntryMode::Tree))
    });
    entries
}

fn collect_leaves(folder: &Folder, into: &mut Vec<Oid>) {
    if let Folder::Open { entries, .. } = folder {
        for node in entries.values() {
            match node {
                Node::Leaf(leaf) => into.push(leaf.id),
                Node::Folder(inner) => collect_leaves(inner, into),
            }
        }
    }
}
