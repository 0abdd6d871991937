//! A commit that is held: its files, and its objects for the patch engine.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use git2::{ErrorCode, ObjectType, Repository};

use super::error::bytes;
use super::store::{Store, damaged};
use super::{Error, FileLimits, Oid, Revision, SourceFile};

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

    /// The commit's tree.
    #[must_use]
    pub fn tree(&self) -> Oid {
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
        let clean = super::files::relative(path)?;
        let repository = self.repository();
        let root = self.find_tree(&repository, self.tree)?;
        if clean.is_empty() {
            return Err(wrong(path, "is the root folder, not a file"));
        }
        let entry = self.entry(&root, path, &clean)?;
        if let Some(reason) = not_a_file(&entry) {
            return Err(wrong(path, reason));
        }
        self.blob(&repository, entry.id(), path, limits.file)
    }

    /// Reads the files directly in a folder whose names end in `suffix`, sorted by name as bytes; the root for an
    /// empty path. Folders and submodules are passed over.
    ///
    /// # Errors
    ///
    /// As for [`read_file`](Self::read_file); a symbolic link with a matching name is an [`Error::Path`], so that
    /// no file is left out unsaid.
    pub fn read_dir(&self, path: &str, suffix: &str, limits: &FileLimits) -> Result<Vec<SourceFile>, Error> {
        let clean = super::files::relative(path)?;
        let repository = self.repository();
        let mut tree = self.find_tree(&repository, self.tree)?;
        if !clean.is_empty() {
            let entry = self.entry(&tree, path, &clean)?;
            if entry.kind() != Some(ObjectType::Tree) {
                return Err(wrong(path, "is no folder"));
            }
            tree = self.find_tree(&repository, entry.id())?;
        }
        let mut files = Vec::new();
        let mut left = limits.total;
        for entry in &tree {
            let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            let shown = format!("{path}/{name}");
            match not_a_file(&entry) {
                _ if !name.ends_with(suffix) => continue,
                None => {}
                Some(SYMLINK) => return Err(wrong(&shown, SYMLINK)),
                Some(_) => continue,
            }
            if files.len() >= limits.count {
                return Err(Error::TooLarge {
                    what: format!("the number of files in {path}"),
                    limit: limits.count.to_string(),
                });
            }
            let content = self.blob(&repository, entry.id(), &shown, limits.file.min(left))?;
            left -= content.len() as u64;
            files.push(SourceFile { name, content });
        }
        files.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(files)
    }

    fn repository(&self) -> MutexGuard<'_, Repository> {
        self.repository.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find_tree<'a>(&self, repository: &'a Repository, oid: Oid) -> Result<git2::Tree<'a>, Error> {
        repository.find_tree(oid).map_err(|error| self.damage(&error))
    }

    fn entry(
        &self,
        root: &git2::Tree<'_>,
        path: &str,
        clean: &str,
    ) -> Result<git2::TreeEntry<'static>, Error> {
        root.get_path(std::path::Path::new(clean))
            .map_err(|error| match error.code() {
                // libgit2 says so for a missing name as well as for a missing subtree; the tree was verified.
                ErrorCode::NotFound => Error::FileNotFound {
                    path: path.to_owned(),
                    revision: self.revision.to_string(),
                },
                _ => self.damage(&error),
            })
    }

    fn blob(&self, repository: &Repository, oid: Oid, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let odb = repository.odb().map_err(|error| self.damage(&error))?;
        let (size, _) = odb.read_header(oid).map_err(|error| self.damage(&error))?;
        if size as u64 > limit {
            return Err(Error::TooLarge {
                what: path.to_owned(),
                limit: bytes(limit),
            });
        }
        let object = odb.read(oid).map_err(|error| self.damage(&error))?;
        Ok(object.data().to_vec())
    }

    fn damage(&self, error: &git2::Error) -> Error {
        self.damaged.store(true, Ordering::Relaxed);
        damaged(&self.dir, error)
    }
}

const SYMLINK: &str = "is a symbolic link, which is not followed: put the file itself there";

fn not_a_file(entry: &git2::TreeEntry<'_>) -> Option<&'static str> {
    match entry.filemode() & 0o170_000 {
        0o100_000 => None,
        0o120_000 => Some(SYMLINK),
        0o040_000 => Some("is a folder"),
        _ => Some("is a submodule"),
    }
}

fn wrong(path: &str, reason: &str) -> Error {
    Error::Path {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
