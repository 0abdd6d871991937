//! A tree with changes laid over it, in memory. Folders are read when they are needed, and only
//! changed ones are hashed again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use super::budget::{Budget, bytes};
use super::folder::{Folder, Found, FoundFolder, Leaf, Node, OpenFolder, canonical, stored_entry};
use super::lines::Lines;
use super::made::{MadeContents, MadeFile};
use super::object::{EntryMode, ObjectError, Objects, Oid, TreeEntry, WriteObjects};
use super::options::Limits;
use super::path;

/// Bytes of blobs, and of entries of trees, that are kept for later patches of the same series.
/// They can be read again.
const KEPT_BLOB_BYTES: usize = 1 << 20;
const KEPT_TREE_BYTES: usize = 16 << 20;

/// Bytes of blobs that patches made and later ones replaced. They cannot be read again.
const KEPT_MADE_BYTES: usize = 16 << 20;

/// Bytes of files, with the positions of their lines, that are kept for further attempts at a patch
/// that does not apply.
const KEPT_LINE_BYTES: usize = 1 << 20;

/// What an entry of a tree takes in memory besides its name.
const ENTRY_BYTES: usize = 80;

/// What a step along a path, and an entry that is read or hashed, costs in units of effort.
const STEP: u64 = 64;

/// Objects that were read, kept for the length of a series as far as there is room.
pub(super) struct Cache<'o> {
    objects: &'o dyn Objects,
    budget: Budget,
    trees: RefCell<Kept<Arc<Vec<TreeEntry>>>>,
    blobs: RefCell<Kept<Bytes>>,
    made: RefCell<Kept<MadeContents>>,
    lines: RefCell<Kept<Rc<Lines>>>,
}

/// Values, and how many bytes they take in total.
struct Kept<T>(HashMap<Oid, T>, usize);

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self(HashMap::new(), 0)
    }
}

impl<T> Kept<T> {
    fn keep(&mut self, id: Oid, value: T, size: usize, most: usize) {
        if size > most {
            return;
        }
        if self.1 + size > most {
            (self.0, self.1) = (HashMap::new(), 0);
        }
        if self.0.insert(id, value).is_none() {
            self.1 += size;
        }
    }
}

impl<'o> Cache<'o> {
    pub(super) fn new(objects: &'o dyn Objects, limits: &Limits) -> Self {
        Self {
            objects,
            budget: Budget::new(limits),
            trees: RefCell::default(),
            blobs: RefCell::default(),
            made: RefCell::default(),
            lines: RefCell::default(),
        }
    }

    /// What the series may still hold and do.
    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    fn tree(&self, id: Oid) -> Result<Arc<Vec<TreeEntry>>, ObjectError> {
        self.budget.count(STEP);
        if let Some(entries) = self.trees.borrow().0.get(&id) {
            return Ok(Arc::clone(entries));
        }
        let entries = self.objects.tree(id)?;
        self.budget.count(bytes(entries.len()).saturating_mul(STEP));
        let limit = self.budget.limits().folder_entries;
        if entries.len() > limit {
            return Err(ObjectError::TooLarge {
                id,
                limit: format!("{limit} entries of a folder"),
            });
        }
        let entries = Arc::new(canonical(entries));
        let size = size_of_entries(&entries);
        self.trees
            .borrow_mut()
            .keep(id, Arc::clone(&entries), size, KEPT_TREE_BYTES);
        Ok(entries)
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        match self.kept_made(id) {
            Some(made) => self.made_blob(id, &made),
            None => self.stored_blob(id),
        }
    }

    /// A blob of the store.
    fn stored_blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        if let Some(blob) = self.kept_blob(id) {
            return Ok(blob);
        }
        let blob = self.objects.blob(id)?;
        let mut kept = self.blobs.borrow_mut();
        kept.keep(id, blob.clone(), blob.len(), KEPT_BLOB_BYTES);
        Ok(blob)
    }

    /// A blob that a patch made.
    fn made_blob(&self, id: Oid, made: &MadeContents) -> Result<Bytes, ObjectError> {
        match made {
            MadeContents::Whole(contents) => Ok(contents.clone()),
            MadeContents::Changed { base, changes } => match self.kept_blob(id) {
                Some(known) => Ok(known),
                None => Ok(changes.apply(&self.stored_blob(*base)?)),
            },
        }
    }

    fn kept_made(&self, id: Oid) -> Option<MadeContents> {
        self.made.borrow().0.get(&id).cloned()
    }

    fn kept_blob(&self, id: Oid) -> Option<Bytes> {
        let read = || self.blobs.borrow().0.get(&id).cloned();
        let made = || self.kept_made(id).and_then(|made| made.whole().cloned());
        let of_lines = || self.kept_lines(id).map(|lines| lines.contents().clone());
        read().or_else(made).or_else(of_lines)
    }

    /// The lines of a blob that were kept.
    pub(super) fn kept_lines(&self, id: Oid) -> Option<Rc<Lines>> {
        self.lines.borrow().0.get(&id).cloned()
    }

    /// Keeps the lines of a blob, as far as there is room.
    pub(super) fn keep_lines(&self, id: Oid, lines: &Rc<Lines>) {
        let size = usize::try_from(lines.most_bytes()).unwrap_or(usize::MAX);
        let mut kept = self.lines.borrow_mut();
        kept.keep(id, Rc::clone(lines), size, KEPT_LINE_BYTES);
    }

    /// Keeps a blob that a patch made, as far as there is room.
    fn keep_made(&self, id: Oid, made: MadeContents) {
        let size = usize::try_from(made.held_bytes()).unwrap_or(usize::MAX);
        self.made.borrow_mut().keep(id, made, size, KEPT_MADE_BYTES);
    }
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing.
    Nothing,
    /// A file, link or submodule.
    Leaf(Leaf),
    /// A folder.
    Folder,
}

/// A change that was made, with what is needed to undo it.
pub(super) struct Undo {
    path: Vec<u8>,
    before: Option<Leaf>,
    /// What was put there, if it was added as a blob.
    put: Option<Leaf>,
}

/// Contents that a patch made, and in how many places they are.
#[derive(Clone, Debug)]
struct Made {
    contents: MadeContents,
    places: usize,
}

/// A tree with changes laid over it.
#[derive(Clone, Debug)]
pub(super) struct Overlay {
    root: Folder,
    blobs: HashMap<Oid, Made>,
    /// Bytes of blobs and of entries of open folders.
    held: u64,
}

impl Overlay {
    pub(super) fn new(base: Oid) -> Self {
        Self {
            root: Folder::Stored(base),
            blobs: HashMap::new(),
            held: 0,
        }
    }

    /// How many bytes it holds.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held
    }

    /// What is at a path.
    pub(super) fn standing(&self, cache: &Cache<'_>, path: &[u8]) -> Result<Standing, ObjectError> {
        let mut folder = self.root.as_found();
        let mut components = path.split(|b| *b == b'/').peekable();
        while let Some(name) = components.next() {
            match (folder.entry(cache, name)?, components.peek()) {
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

    /// The first file along a path or at its end, and how many of the path's names lead to it.
    pub(super) fn first_leaf(
        &self,
        cache: &Cache<'_>,
        path: &[u8],
    ) -> Result<Option<(usize, Leaf)>, ObjectError> {
        let mut folder = self.root.as_found();
        for (depth, name) in path.split(|b| *b == b'/').enumerate() {
            match folder.entry(cache, name)? {
                None => return Ok(None),
                Some(Found::Leaf(leaf)) => return Ok(Some((depth + 1, leaf))),
                Some(Found::Folder(inner)) => folder = inner,
            }
        }
        Ok(None)
    }

    /// A blob of this overlay or of the store.
    pub(super) fn blob(&self, cache: &Cache<'_>, id: Oid) -> Result<Bytes, ObjectError> {
        match self.blobs.get(&id) {
            Some(made) => cache.made_blob(id, &made.contents),
            None => cache.blob(id),
        }
    }

    /// A blob that takes no additional memory, because this overlay or the cache has it.
    pub(super) fn known_blob(&self, cache: &Cache<'_>, id: Oid) -> Option<Bytes> {
        let made = self.blobs.get(&id).and_then(|made| made.contents.whole());
        made.cloned().or_else(|| cache.kept_blob(id))
    }

    /// The size of a blob of this overlay or of the store.
    pub(super) fn blob_size(&self, cache: &Cache<'_>, id: Oid) -> Result<u64, ObjectError> {
        match self.made_contents(cache, id) {
            Some(made) => Ok(made.size()),
            None => cache.objects.blob_size(id),
        }
    }

    /// How many bytes are held while reading a blob that is not known.
    pub(super) fn held_by_reading(&self, cache: &Cache<'_>, id: Oid, size: u64) -> u64 {
        match self.made_contents(cache, id) {
            Some(MadeContents::Changed { changes, .. }) => changes.held_by_reading(),
            // A store reads an object and copies it.
            _ => size.saturating_mul(2),
        }
    }

    fn made_contents(&self, cache: &Cache<'_>, id: Oid) -> Option<MadeContents> {
        let made = self.blobs.get(&id).map(|made| made.contents.clone());
        made.or_else(|| cache.kept_made(id))
    }

    /// Opens the existing folders along a path, so that later changes need nothing from the store.
    pub(super) fn open(&mut self, cache: &Cache<'_>, path: &[u8]) -> Result<(), ObjectError> {
        let mut folder = &mut self.root;
        for name in path.split(|b| *b == b'/') {
            cache.budget.count(STEP);
            match folder.open(cache, &mut self.held)?.folder_mut(name) {
                Some(inner) => folder = inner,
                None => break,
            }
        }
        Ok(())
    }

    /// Puts a file with contents that a patch made at a path; `None` if a file is in the place of
    /// one of its folders, or a folder in its own.
    pub(super) fn put_made(
        &mut self,
        cache: &Cache<'_>,
        path: &[u8],
        mode: EntryMode,
        file: MadeFile,
    ) -> Result<Option<Undo>, ObjectError> {
        cache.budget.count(bytes(file.contents.len()));
        let leaf = Leaf {
            mode,
            id: Oid::of_blob(&file.contents),
        };
        let Some(undo) = self.put(cache, path, leaf)? else {
            return Ok(None);
        };
        let changes = file.changes.filter(|(base, _)| !self.blobs.contains_key(base));
        let contents = match changes {
            Some((base, changes)) => MadeContents::Changed {
                base,
                changes: Arc::new(changes),
            },
            None => MadeContents::Whole(file.contents),
        };
        let made = self.blobs.entry(leaf.id).or_insert_with(|| {
            self.held = self.held.saturating_add(contents.held_bytes());
            Made { contents, places: 0 }
        });
        made.places += 1;
        Ok(Some(Undo {
            put: Some(leaf),
            ..undo
        }))
    }

    /// Puts a file at a path; `None` if a file is in the place of one of its folders, or a folder
    /// in its own.
    pub(super) fn put(
        &mut self,
        cache: &Cache<'_>,
        path: &[u8],
        leaf: Leaf,
    ) -> Result<Option<Undo>, ObjectError> {
        let before = match self.first_leaf(cache, path)? {
            Some((depth, _)) if depth < path::depth(path) => return Ok(None),
            Some((_, before)) => Some(before),
            None if self.standing(cache, path)? == Standing::Folder => return Ok(None),
            None => None,
        };
        self.replace(cache, path, Some(leaf))?;
        Ok(Some(Undo {
            path: path.to_vec(),
            before,
            put: None,
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
            put: None,
        })
    }

    /// Undoes changes, last to first.
    pub(super) fn take_back(&mut self, cache: &Cache<'_>, steps: Vec<Undo>) -> Result<(), ObjectError> {
        for step in steps.into_iter().rev() {
            self.replace(cache, &step.path, step.before)?;
            if let Some(put) = step.put {
                self.forget(put.id);
            }
        }
        Ok(())
    }

    /// Drops what changes replaced: contents that a patch made and that are in no place any more.
    /// The cache keeps them while it has room, because Git has them too, and a later patch may name
    /// them.
    pub(super) fn settle(&mut self, cache: &Cache<'_>, steps: Vec<Undo>) {
        for before in steps.into_iter().filter_map(|step| step.before) {
            if let Some(contents) = self.forget(before.id) {
                cache.keep_made(before.id, contents);
            }
        }
    }

    /// Counts one place less for contents that a patch made, and returns them if that was the last.
    fn forget(&mut self, id: Oid) -> Option<MadeContents> {
        let made = self.blobs.get_mut(&id)?;
        made.places = made.places.saturating_sub(1);
        if made.places > 0 {
            return None;
        }
        let made = self.blobs.remove(&id)?;
        self.held = self.held.saturating_sub(made.contents.held_bytes());
        Some(made.contents)
    }

    fn replace(&mut self, cache: &Cache<'_>, path: &[u8], leaf: Option<Leaf>) -> Result<(), ObjectError> {
        let components: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
        replace_in(&mut self.root, cache, &components, leaf, &mut self.held)
    }

    /// The id of the tree. Changed folders are hashed, but not written.
    pub(super) fn tree_id(&self, budget: &Budget) -> Oid {
        self.root.id(budget)
    }

    /// Writes what the store lacks, and returns the id of the tree.
    pub(super) fn write(&self, store: &mut dyn WriteObjects) -> Result<Oid, ObjectError> {
        let mut needed = Vec::new();
        collect_leaves(&self.root, &mut needed);
        for id in needed {
            match self.blobs.get(&id).map(|made| &made.contents) {
                None => {}
                Some(MadeContents::Whole(contents)) => drop(store.write_blob(contents)?),
                Some(MadeContents::Changed { base, changes }) => {
                    let contents = changes.apply(&store.blob(*base)?);
                    store.write_blob(&contents)?;
                }
            }
        }
        write_folder(&self.root, store)
    }
}

impl<'a> FoundFolder<'a> {
    /// What the folder has under a name.
    fn entry(self, cache: &Cache<'_>, name: &[u8]) -> Result<Option<Found<'a>>, ObjectError> {
        cache.budget.count(STEP);
        Ok(match self {
            Self::Stored(id) => stored_entry(&cache.tree(id)?, name),
            Self::Open(folder) => folder.get(name),
        })
    }
}

impl Folder {
    /// Opens the folder for a change, and counts what that takes.
    fn open(&mut self, cache: &Cache<'_>, held: &mut u64) -> Result<&mut OpenFolder, ObjectError> {
        if let Self::Stored(id) = self {
            let stored = cache.tree(*id)?;
            let size = bytes(size_of_entries(&stored));
            cache.budget.hold(size).map_err(|_| ObjectError::TooLarge {
                id: *id,
                limit: format!("{} bytes of a series", cache.budget.limits().memory_bytes),
            })?;
            *held = held.saturating_add(size);
            *self = Self::Open(OpenFolder::new(stored));
        }
        match self {
            Self::Open(folder) => {
                folder.touch();
                Ok(folder)
            }
            Self::Stored(id) => Err(ObjectError::WrongKind(*id)),
        }
    }
}

/// Bytes that entries of a tree take.
fn size_of_entries(entries: &[TreeEntry]) -> usize {
    entries.iter().map(|entry| entry.name.len() + ENTRY_BYTES).sum()
}

fn replace_in(
    folder: &mut Folder,
    cache: &Cache<'_>,
    components: &[&[u8]],
    leaf: Option<Leaf>,
    held: &mut u64,
) -> Result<(), ObjectError> {
    let Some((first, rest)) = components.split_first() else {
        return Ok(());
    };
    cache.budget.count(STEP);
    let folder = folder.open(cache, held)?;
    if rest.is_empty() {
        match leaf {
            Some(leaf) => folder.insert(first, Node::Leaf(leaf)),
            None => folder.remove(first),
        }
        return Ok(());
    }
    if folder.folder_mut(first).is_none() {
        if leaf.is_none() {
            return Ok(());
        }
        folder.insert(first, Node::Folder(Folder::Open(OpenFolder::default())));
    }
    if let Some(inner) = folder.folder_mut(first) {
        replace_in(inner, cache, rest, leaf, held)?;
        if matches!(inner, Folder::Open(inner) if inner.is_empty()) {
            folder.remove(first);
        }
    }
    Ok(())
}

fn write_folder(folder: &Folder, store: &mut dyn WriteObjects) -> Result<Oid, ObjectError> {
    let folder = match folder {
        Folder::Stored(id) => return Ok(*id),
        Folder::Open(folder) => folder,
    };
    let entries = folder.entries(|inner| write_folder(inner, store))?;
    let entries = entries.into_iter().map(|(mode, name, id)| TreeEntry {
        mode,
        name: name.to_owned(),
        id,
    });
    store.write_tree(&entries.collect::<Vec<_>>())
}

fn collect_leaves(folder: &Folder, into: &mut Vec<Oid>) {
    if let Folder::Open(folder) = folder {
        for node in folder.put() {
            match node {
                Node::Leaf(leaf) => into.push(leaf.id),
                Node::Folder(inner) => collect_leaves(inner, into),
            }
        }
    }
}
