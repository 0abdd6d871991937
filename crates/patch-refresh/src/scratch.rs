//! A store, with what refreshed patches make on top of it.

use bytes::Bytes;
use git_apply_engine::{EntryMode, LayeredStore, ObjectError, Objects, Oid, TreeEntry, WriteObjects};

use super::work::Work;

/// A store, with what patches made on top of it in memory, which counts as work.
pub(crate) struct Scratch<'a> {
    store: LayeredStore<&'a dyn Objects>,
    work: &'a Work,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) mode: EntryMode,
    pub(crate) id: Oid,
}

impl<'a> Scratch<'a> {
    pub(crate) fn over(below: &'a dyn Objects, work: &'a Work) -> Self {
        Self {
            store: LayeredStore::over(below),
            work,
        }
    }

    /// The file, link or submodule at a path of a tree.
    pub(crate) fn file(&self, tree: Oid, path: &[u8]) -> Result<Option<File>, ObjectError> {
        let mut folder = tree;
        let mut names = path.split(|byte| *byte == b'/').peekable();
        while let Some(name) = names.next() {
            let entries = self.tree(folder)?;
            let Some(entry) = entries.into_iter().find(|entry| entry.name == name) else {
                return Ok(None);
            };
            let is_last = names.peek().is_none();
            match entry.mode {
                EntryMode::Tree if !is_last => folder = entry.id,
                EntryMode::Tree => return Ok(None),
                mode if is_last => return Ok(Some(File { mode, id: entry.id })),
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The contents of a blob; `None` if the store has no blob of that id, or it has more than
    /// `most` bytes.
    pub(crate) fn contents(&self, id: Oid, most: u64) -> Result<Option<Bytes>, ObjectError> {
        let absent = |error| match error {
            ObjectError::NotFound(_) | ObjectError::WrongKind(_) | ObjectError::TooLarge { .. } => Ok(None),
            error => Err(error),
        };
        match self.blob_size(id) {
            Ok(size) if size <= most => self.blob(id).map(Some).or_else(absent),
            Ok(_) => Ok(None),
            Err(error) => absent(error),
        }
    }

    /// Counts what is about to be held.
    fn hold(&self, id: Oid, bytes: usize) -> Result<(), ObjectError> {
        self.work.hold(bytes).map_err(|exceeded| ObjectError::TooLarge {
            id,
            limit: exceeded.to_string(),
        })
    }
}

impl Objects for Scratch<'_> {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        self.store.tree(id)
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        self.store.blob(id)
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        self.store.blob_size(id)
    }
}

impl WriteObjects for Scratch<'_> {
    fn write_blob(&mut self, contents: &[u8]) -> Result<Oid, ObjectError> {
        self.hold(Oid::of_blob(b""), contents.len())?;
        self.store.write_blob(contents)
    }

    fn write_tree(&mut self, entries: &[TreeEntry]) -> Result<Oid, ObjectError> {
        let size = entries
            .iter()
            .map(|entry| entry.name.len() + size_of::<TreeEntry>());
        self.hold(Oid::of_tree(b""), size.sum())?;
        self.store.write_tree(entries)
    }
}
