//! A commit that is held: its files, and its objects for the patch engine.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use git2::Repository;

use super::local::{read_blob, read_blob_size, read_tree};
use super::store::Store;
use super::tree::Tree;
use super::{Error, FileLimits, Oid, Revision, SourceFile};
use crate::patch::{ObjectError, Objects, TreeEntry};

/// A commit of a mirror. The mirror is not evicted while this exists.
pub struct Snapshot {
    revision: Revision,
    tree: Oid,
    dir: PathBuf,
    repository: Mutex<Repository>,
    damaged: Arc<AtomicBool>,
    _in_use: File,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({})", self.revision)
    }
}

impl Snapshot {
    pub(super) fn new(
        store: Store,
        dir: PathBuf,
        revision: Revision,
        damaged: Arc<AtomicBool>,
        in_use: File,
    ) -> Result<Self, Error> {
        let tree = store.tree_of(revision.commit())?;
        Ok(Self {
            revision,
            tree,
            dir,
            repository: Mutex::new(store.into_repository()),
            damaged,
            _in_use: in_use,
        })
    }

    /// The revision in Flux's form.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> Oid {
        self.revision.commit()
    }

    /// The id of the commit's tree.
    #[must_use]
    pub fn tree_id(&self) -> Oid {
        self.tree
    }

    /// Reads one file of at most `limits.file` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::FileNotFound`]; [`Error::Path`] where the path leaves the tree or leads to a folder, a symbolic link
    /// or a submodule; [`Error::TooLarge`]; [`Error::Corrupt`], after which the mirror is rebuilt by the next
    /// [`Mirrors::snapshot`](super::Mirrors::snapshot).
    pub fn read_file(&self, path: &str, limits: &FileLimits) -> Result<Vec<u8>, Error> {
        self.files().read_file(path, limits)
    }

    /// The id of a folder's tree; that of the root for an empty path.
    ///
    /// # Errors
    ///
    /// [`Error::FileNotFound`]; [`Error::Path`] where the path leaves the tree or leads to no folder.
    pub fn folder(&self, path: &str) -> Result<Oid, Error> {
        self.files().folder(path)
    }

    /// Reads the files directly in a folder whose names end in `suffix`, sorted by name as bytes; the root for an
    /// empty path. Folders and submodules are passed over.
    ///
    /// # Errors
    ///
    /// As for [`read_file`](Self::read_file); a symbolic link with a matching name is an [`Error::Path`], so that
    /// no file is left out unsaid.
    pub fn read_dir(&self, path: &str, suffix: &str, limits: &FileLimits) -> Result<Vec<SourceFile>, Error> {
        self.files().read_dir(path, suffix, limits)
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> Tree<'_> {
        Tree::new(self, self.tree, self.revision.to_string(), |error| {
            self.corrupt(error)
        })
    }

    fn read<T>(&self, read: impl FnOnce(&Repository) -> Result<T, ObjectError>) -> Result<T, ObjectError> {
        let repository = self.repository.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = read(&repository);
        if matches!(outcome, Err(ObjectError::Failed { .. })) {
            self.damaged.store(true, Ordering::Relaxed);
        }
        outcome
    }

    fn corrupt(&self, error: &ObjectError) -> Error {
        // Everything that a tree leads to was there when the commit was taken in.
        self.damaged.store(true, Ordering::Relaxed);
        Error::Corrupt {
            what: format!("the mirror {}", self.dir.display()),
            reason: error.to_string(),
        }
    }
}

/// A read that fails marks the mirror as damaged, unless the object is just not there.
impl Objects for Snapshot {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        self.read(|repository| read_tree(repository, id))
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        self.read(|repository| read_blob(repository, id))
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        self.read(|repository| read_blob_size(repository, id))
    }
}
