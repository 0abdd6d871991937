//! Stores of objects in memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use bstr::BString;
use bytes::Bytes;

use super::object::{EntryMode, ObjectError, Objects, Oid, TreeEntry, WriteObjects, serialise_tree};
use super::options::Limits;
use super::overlay::{Cache, Overlay};
use super::path;

/// A store of trees and blobs in memory.
///
/// ```
/// use git_apply_engine::{EntryMode, MemoryStore};
///
/// let mut store = MemoryStore::new();
/// let tree = store.add_files([
///     ("README.md", EntryMode::Regular, "# Example\n"),
///     ("bin/run", EntryMode::Executable, "#!/bin/sh\n"),
/// ])?;
/// assert_eq!(store.read_file(tree, "bin/run")?.as_deref(), Some(&b"#!/bin/sh\n"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    trees: HashMap<Oid, Vec<TreeEntry>>,
    blobs: HashMap<Oid, Bytes>,
}

/// A file that cannot be in a tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be added: its path is not allowed or needs a file to be a folder, or it is neither file nor link"
)]
pub struct InvalidFile(
    /// Its path.
    pub BString,
);

impl MemoryStore {
    /// Returns a store that has nothing but the empty tree, which Git knows everywhere.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores files and symbolic links, given as path, mode and contents, and returns the id of
    /// their tree.
    ///
    /// Of two files with the same path, the later one wins. Folders are created as needed.
    ///
    /// # Errors
    ///
    /// If a path is one that `git apply` refuses to write, or leads through another file, or the
    /// mode is [`EntryMode::Tree`] or [`EntryMode::Gitlink`].
    pub fn add_files<P: AsRef<[u8]>, C: AsRef<[u8]>>(
        &mut self,
        files: impl IntoIterator<Item = (P, EntryMode, C)>,
    ) -> Result<Oid, InvalidFile> {
        let mut overlay = Overlay::new(Oid::of_tree(b""));
        let cache = Cache::new(&*self, &Limits::default());
        for (path, mode, contents) in files {
            let path = path.as_ref();
            let is_file = !matches!(mode, EntryMode::Tree | EntryMode::Gitlink);
            let contents = Bytes::copy_from_slice(contents.as_ref());
            // Only the empty tree is read, which is always there.
            let added = is_file
                && path::is_safe(path, mode)
                && matches!(overlay.put_made(&cache, path, mode, contents.into()), Ok(Some(_)));
            if !added {
                return Err(InvalidFile(path.into()));
            }
        }
        drop(cache);
        overlay
            .write(self)
            .map_err(|error| InvalidFile(error.to_string().into()))
    }

    /// Returns the contents of the file at a path of a tree, or the target of a link; `None` if
    /// there is none.
    ///
    /// # Errors
    ///
    /// If the store lacks an object on the way.
    pub fn read_file(&self, tree: Oid, path: impl AsRef<[u8]>) -> Result<Option<Bytes>, ObjectError> {
        let cache = Cache::new(self, &Limits::default());
        match Overlay::new(tree).leaf(&cache, path.as_ref())? {
            Some(leaf) if leaf.mode != EntryMode::Gitlink => self.blob(leaf.id).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns all files, links and submodules below a tree, by their paths.
    ///
    /// # Errors
    ///
    /// If the store lacks a tree below it.
    pub fn list_files(&self, tree: Oid) -> Result<BTreeMap<BString, (EntryMode, Oid)>, ObjectError> {
        let mut files = BTreeMap::new();
        let mut folders = vec![(Vec::new(), tree)];
        while let Some((folder, id)) = folders.pop() {
            for entry in self.tree(id)? {
                let path = [folder.as_slice(), &entry.name].concat();
                if entry.mode == EntryMode::Tree {
                    folders.push(([path.as_slice(), b"/"].concat(), entry.id));
                } else {
                    files.insert(path.into(), (entry.mode, entry.id));
                }
            }
        }
        Ok(files)
    }
}

impl Objects for MemoryStore {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        match self.trees.get(&id) {
            Some(entries) => Ok(entries.clone()),
            None if id == Oid::of_tree(b"") => Ok(Vec::new()),
            None => Err(ObjectError::NotFound(id)),
        }
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        self.blobs.get(&id).cloned().ok_or(ObjectError::NotFound(id))
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        let blob = self.blobs.get(&id).ok_or(ObjectError::NotFound(id))?;
        Ok(blob.len() as u64)
    }
}

impl WriteObjects for MemoryStore {
    fn write_blob(&mut self, contents: &[u8]) -> Result<Oid, ObjectError> {
        let id = Oid::of_blob(contents);
        self.blobs.insert(id, Bytes::copy_from_slice(contents));
        Ok(id)
    }

    fn write_tree(&mut self, entries: &[TreeEntry]) -> Result<Oid, ObjectError> {
        let id = Oid::of_tree(&serialise_tree(entries));
        self.trees.insert(id, entries.to_vec());
        Ok(id)
    }
}

/// Trees and blobs that patches made, in memory on top of another store, which stays unchanged.
#[derive(Clone)]
pub struct LayeredStore<B = Arc<dyn Objects + Send + Sync>> {
    base: B,
    top: MemoryStore,
}

impl<B> fmt::Debug for LayeredStore<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayeredStore")
            .field("top", &self.top)
            .finish_non_exhaustive()
    }
}

impl<B: Objects> LayeredStore<B> {
    /// Returns a store with nothing yet on top of another.
    #[must_use]
    pub fn over(base: B) -> Self {
        Self::with_top(MemoryStore::new(), base)
    }

    /// Returns a store with the contents of one in memory on top of another.
    #[must_use]
    pub fn with_top(top: MemoryStore, base: B) -> Self {
        Self { base, top }
    }
}

/// Asks the store below for what is not on top.
fn or_below<T>(
    top: Result<T, ObjectError>,
    below: impl FnOnce() -> Result<T, ObjectError>,
) -> Result<T, ObjectError> {
    match top {
        Err(ObjectError::NotFound(_)) => below(),
        other => other,
    }
}

impl<B: Objects> Objects for LayeredStore<B> {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        or_below(self.top.tree(id), || self.base.tree(id))
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        or_below(self.top.blob(id), || self.base.blob(id))
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        or_below(self.top.blob_size(id), || self.base.blob_size(id))
    }
}

impl<B: Objects> WriteObjects for LayeredStore<B> {
    fn write_blob(&mut self, contents: &[u8]) -> Result<Oid, ObjectError> {
        self.top.write_blob(contents)
    }

    fn write_tree(&mut self, entries: &[TreeEntry]) -> Result<Oid, ObjectError> {
        self.top.write_tree(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_stand_where_they_were_added() {
        let mut store = MemoryStore::new();
        let files = [
            ("a", EntryMode::Regular, "1"),
            ("a.b", EntryMode::Regular, "2"),
            ("d/e/f", EntryMode::Executable, "3"),
            ("d/l", EntryMode::Symlink, "e/f"),
            ("a", EntryMode::Regular, "4"),
        ];
        let tree = store.add_files(files).unwrap();
        // git init; write them; git write-tree
        assert_eq!(tree.to_string(), "33915a842be90aa82dd49cc98421bc67ba4ab5a4");
        let paths: Vec<String> = store
            .list_files(tree)
            .unwrap()
            .keys()
            .map(ToString::to_string)
            .collect();
        assert_eq!(paths, ["a", "a.b", "d/e/f", "d/l"]);
        assert_eq!(store.read_file(tree, "a").unwrap().unwrap(), "4");
        assert_eq!(store.read_file(tree, "d").unwrap(), None);
        assert_eq!(store.read_file(tree, "d/e/f/g").unwrap(), None);
        let empty: [(&str, EntryMode, &str); 0] = [];
        assert_eq!(store.add_files(empty), Ok(Oid::of_tree(b"")));
        assert!(store.list_files(Oid::of_tree(b"")).unwrap().is_empty());
    }

    #[test]
    fn what_can_be_in_no_tree_is_refused() {
        let refused = |files: &[(&str, EntryMode, &str)]| {
            let added = MemoryStore::new().add_files(files.iter().copied());
            added.unwrap_err().0.to_string()
        };
        for path in ["", "/a", "a//b", "../a", ".git/config"] {
            assert_eq!(refused(&[(path, EntryMode::Regular, "")]), path);
        }
        assert_eq!(refused(&[("d", EntryMode::Tree, "")]), "d");
        assert_eq!(refused(&[("m", EntryMode::Gitlink, "")]), "m");
        let file = EntryMode::Regular;
        assert_eq!(refused(&[("a", file, ""), ("a/b", file, "")]), "a/b");
        assert_eq!(refused(&[("a/b", file, ""), ("a", file, "")]), "a");
    }

    #[test]
    fn what_is_laid_on_top_goes_nowhere_else() {
        let mut base = MemoryStore::new();
        let below = base.write_blob(b"below").unwrap();
        let mut layered = LayeredStore::over(Arc::new(base.clone()));
        let above = layered.write_blob(b"above").unwrap();
        assert_eq!(layered.blob(below).unwrap(), "below");
        assert_eq!(
            (layered.blob(above).unwrap(), layered.blob_size(above)),
            ("above".into(), Ok(5))
        );
        assert_eq!(base.blob(above), Err(ObjectError::NotFound(above)));
        let absent = Oid::of_blob(b"absent");
        assert_eq!(base.tree(absent), Err(ObjectError::NotFound(absent)));
        assert_eq!(layered.blob(absent), Err(ObjectError::NotFound(absent)));
    }
}
