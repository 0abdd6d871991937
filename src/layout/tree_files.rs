//! The files of a tree of objects: a commit of a clone or a mirror, or a folder as it is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use git_apply_engine::{EntryMode, ObjectError, Objects, Oid, TreeEntry};

use super::files::{FileKind, FilesError, FolderEntry, RepositoryFiles};

/// The longest target of a link, in bytes: the longest path of Linux.
const LONGEST_TARGET: u64 = 4096;

/// The files of a tree. Files of one folder are found without reading its tree again.
pub struct TreeFiles<'a> {
    objects: &'a dyn Objects,
    root: Oid,
    /// The trees of the folders below those that were read.
    folders: RefCell<HashMap<String, Oid>>,
    /// The tree that was read last.
    last: RefCell<Option<(Oid, Arc<[TreeEntry]>)>>,
}

impl<'a> TreeFiles<'a> {
    /// The files below a tree.
    #[must_use]
    pub fn new(objects: &'a dyn Objects, root: Oid) -> Self {
        Self {
            objects,
            root,
            folders: RefCell::default(),
            last: RefCell::default(),
        }
    }

    /// The tree of a folder; `None` if there is none.
    fn folder(&self, path: &str) -> Result<Option<Oid>, FilesError> {
        if path.is_empty() {
            return Ok(Some(self.root));
        }
        if let Some(known) = self.folders.borrow().get(path) {
            return Ok(Some(*known));
        }
        let entry = self.entry(path)?;
        Ok(entry
            .filter(|entry| entry.mode == EntryMode::Tree)
            .map(|entry| entry.id))
    }

    /// What is at a path; `None` if nothing is.
    fn entry(&self, path: &str) -> Result<Option<TreeEntry>, FilesError> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(tree) = self.folder(folder)? else {
            return Ok(None);
        };
        let entries = self.tree(folder, tree)?;
        let found = entries.iter().find(|entry| entry.name == name.as_bytes());
        Ok(found.cloned())
    }

    fn tree(&self, path: &str, id: Oid) -> Result<Arc<[TreeEntry]>, FilesError> {
        if let Some((last, entries)) = self.last.borrow().as_ref()
            && *last == id
        {
            return Ok(Arc::clone(entries));
        }
        let entries = self.objects.tree(id).map_err(|error| unreadable(path, error))?;
        let entries: Arc<[TreeEntry]> = entries.into();
        *self.last.borrow_mut() = Some((id, Arc::clone(&entries)));
        Ok(entries)
    }

    /// A blob of at most so many bytes; `None` if it has more.
    fn blob(&self, path: &str, id: Oid, limit: u64) -> Result<Option<Vec<u8>>, FilesError> {
        let failed = |error| unreadable(path, error);
        if self.objects.blob_size(id).map_err(failed)? > limit {
            return Ok(None);
        }
        self.objects
            .blob(id)
            .map(|bytes| Some(bytes.to_vec()))
            .map_err(failed)
    }

    fn kind(&self, path: &str, entry: &TreeEntry) -> Result<FileKind, FilesError> {
        Ok(match entry.mode {
            EntryMode::Tree => FileKind::Folder,
            EntryMode::Regular | EntryMode::Executable => FileKind::File,
            EntryMode::Gitlink => FileKind::Submodule,
            EntryMode::Symlink => {
                let target = self.blob(path, entry.id, LONGEST_TARGET)?.map(String::from_utf8);
                match target {
                    Some(Ok(target)) => FileKind::Link { target },
                    Some(Err(_)) | None => FileKind::Other,
                }
            }
        })
    }
}

impl RepositoryFiles for TreeFiles<'_> {
    fn entries(&self, folder: &str) -> Result<Option<Vec<FolderEntry>>, FilesError> {
        let Some(tree) = self.folder(folder)? else {
            return Ok(None);
        };
        let mut entries = Vec::new();
        for entry in self.tree(folder, tree)?.iter() {
            let Ok(name) = std::str::from_utf8(&entry.name) else {
                entries.push(FolderEntry {
                    name: String::from_utf8_lossy(&entry.name).into_owned(),
                    kind: FileKind::Other,
                });
                continue;
            };
            let path = if folder.is_empty() {
                name.to_owned()
            } else {
                format!("{folder}/{name}")
            };
            let kind = self.kind(&path, entry)?;
            entries.push(FolderEntry {
                name: name.to_owned(),
                kind,
            });
            if entry.mode == EntryMode::Tree {
                self.folders.borrow_mut().insert(path, entry.id);
            }
        }
        entries.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(Some(entries))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
        let found = self.entry(path)?;
        let file = found.filter(|entry| matches!(entry.mode, EntryMode::Regular | EntryMode::Executable));
        let not_found = || FilesError::NotFound {
            path: path.to_owned(),
        };
        let file = file.ok_or_else(not_found)?;
        self.blob(path, file.id, limit)?
            .ok_or_else(|| FilesError::TooLarge {
                path: path.to_owned(),
                limit,
            })
    }
}

fn unreadable(path: &str, error: ObjectError) -> FilesError {
    FilesError::Unreadable {
        path: path.to_owned(),
        source: Box::new(error),
    }
}
