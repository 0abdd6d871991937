//! A commit that is held: its files, and its objects for the patch engine.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bstr::ByteSlice;
use bytes::Bytes;
use git2::Repository;

use super::error::bytes;
use super::files::relative;
use super::local::{read_blob, read_blob_size, read_tree};
use super::store::{Store, damaged};
use super::{Error, FileLimits, Made, NewCommit, Oid, Revision, SourceFile, commit};
use crate::patch::{EntryMode, ObjectError, Objects, TreeEntry};

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

    /// What is said of the commit, as far as it is UTF-8.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] where the commit cannot be read.
    pub fn message(&self) -> Result<String, Error> {
        let repository = self.repository.lock().unwrap_or_else(PoisonError::into_inner);
        git2::Oid::from_bytes(self.commit().as_bytes())
            .and_then(|id| repository.find_commit(id))
            .map(|commit| String::from_utf8_lossy(commit.message_bytes()).into_owned())
            .map_err(|error| damaged(&self.dir, &error))
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
        let clean = relative(path)?;
        let Some(entry) = self.find(&clean)? else {
            return Err(match clean.as_str() {
                "" => wrong(path, "is the root folder, not a file"),
                _ => self.missing(path),
            });
        };
        match not_a_file(entry.mode) {
            Some(reason) => Err(wrong(path, reason)),
            None => self.content(entry.id, path, limits.file),
        }
    }

    /// The id of a folder's tree; that of the root for an empty path.
    ///
    /// # Errors
    ///
    /// [`Error::FileNotFound`]; [`Error::Path`] where the path leaves the tree or leads to no folder.
    pub fn folder(&self, path: &str) -> Result<Oid, Error> {
        let clean = relative(path)?;
        match self.find(&clean)? {
            Some(entry) if entry.mode == EntryMode::Tree => Ok(entry.id),
            Some(_) => Err(wrong(path, "is no folder")),
            None if clean.is_empty() => Ok(self.tree),
            None => Err(self.missing(path)),
        }
    }

    /// Reads the files directly in a folder whose names end in `suffix`, sorted by name as bytes; the root for an
    /// empty path. Folders and submodules are passed over.
    ///
    /// # Errors
    ///
    /// As for [`read_file`](Self::read_file); a symbolic link with a matching name is an [`Error::Path`], so that
    /// no file is left out unsaid.
    pub fn read_dir(&self, path: &str, suffix: &str, limits: &FileLimits) -> Result<Vec<SourceFile>, Error> {
        let clean = relative(path)?;
        let folder = self.folder(path)?;
        let mut files = Vec::new();
        let mut left = limits.total;
        for entry in self.entries(folder)? {
            let name = entry.name.to_string();
            let shown = if clean.is_empty() {
                name.clone()
            } else {
                format!("{clean}/{name}")
            };
            match not_a_file(entry.mode) {
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
            let content = self.content(entry.id, &shown, limits.file.min(left))?;
            left -= content.len() as u64;
            files.push(SourceFile { name, content });
        }
        files.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(files)
    }

    /// Reads the files below a folder whose names have one of the endings, sorted by path as bytes; their names are the
    /// paths from the root. Symbolic links, submodules and files above `limits.file` are passed over.
    ///
    /// # Errors
    ///
    /// As for [`folder`](Self::folder) and [`read_file`](Self::read_file).
    pub fn read_below(
        &self,
        path: &str,
        endings: &[&str],
        limits: &FileLimits,
    ) -> Result<Vec<SourceFile>, Error> {
        let mut files = Vec::new();
        let (mut left, mut folders_left) = (limits.total, limits.count);
        let mut queue = vec![(relative(path)?, self.folder(path)?)];
        while let Some((folder, tree)) = queue.pop() {
            folders_left = folders_left.checked_sub(1).ok_or_else(|| Error::TooLarge {
                what: format!("the number of folders below {path}"),
                limit: limits.count.to_string(),
            })?;
            for entry in self.entries(tree)? {
                let Ok(name) = entry.name.to_str() else {
                    continue;
                };
                let shown = match folder.as_str() {
                    "" => name.to_owned(),
                    folder => format!("{folder}/{name}"),
                };
                if entry.mode == EntryMode::Tree {
                    queue.push((shown, entry.id));
                    continue;
                }
                if not_a_file(entry.mode).is_some() || !endings.iter().any(|ending| name.ends_with(ending)) {
                    continue;
                }
                let size = self.blob_size(entry.id).map_err(|error| self.corrupt(&error))?;
                if size > limits.file {
                    continue;
                }
                if files.len() >= limits.count || size > left {
                    return Err(Error::TooLarge {
                        what: format!("what is read below {path}"),
                        limit: format!("{} files and {}", limits.count, bytes(limits.total)),
                    });
                }
                left -= size;
                let content = self.content(entry.id, &shown, limits.file)?;
                files.push(SourceFile { name: shown, content });
            }
        }
        files.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(files)
    }

    /// Makes a commit on this one. It is on no branch until [`Mirrors::push`](super::Mirrors::push) brings it there.
    ///
    /// # Errors
    ///
    /// [`Error::Path`] where a file is not there or no regular one, [`Error::Secret`] where the author or the key cannot
    /// be used, [`Error::Corrupt`].
    pub fn make_commit(&self, new: &NewCommit<'_>) -> Result<Made, Error> {
        // A handle of its own: what is made stays in memory, and this one's readers see nothing of it.
        let path = {
            let repository = self.repository.lock().unwrap_or_else(PoisonError::into_inner);
            repository.path().to_owned()
        };
        commit::make(&path, self.commit(), new)
    }

    /// This commit itself, to bring a branch back to it.
    #[must_use]
    pub fn as_made(&self) -> Made {
        Made::known(self.commit())
    }

    /// Walks to a path in its plain form; `None` where nothing is there, and for the root.
    fn find(&self, clean: &str) -> Result<Option<TreeEntry>, Error> {
        let mut tree = Some(self.tree);
        let mut found = None;
        for part in clean.split('/') {
            let Some(entries) = tree.map(|tree| self.entries(tree)).transpose()? else {
                return Ok(None);
            };
            found = entries.into_iter().find(|entry| entry.name == part.as_bytes());
            tree = found
                .as_ref()
                .and_then(|entry| (entry.mode == EntryMode::Tree).then_some(entry.id));
            if found.is_none() {
                return Ok(None);
            }
        }
        Ok(found)
    }

    fn entries(&self, tree: Oid) -> Result<Vec<TreeEntry>, Error> {
        Objects::tree(self, tree).map_err(|error| self.corrupt(&error))
    }

    fn content(&self, blob: Oid, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        if self.blob_size(blob).map_err(|error| self.corrupt(&error))? > limit {
            return Err(Error::TooLarge {
                what: path.to_owned(),
                limit: bytes(limit),
            });
        }
        let content = self.blob(blob).map_err(|error| self.corrupt(&error))?;
        Ok(content.to_vec())
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

    fn missing(&self, path: &str) -> Error {
        Error::FileNotFound {
            path: path.to_owned(),
            revision: self.revision.to_string(),
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

const SYMLINK: &str = "is a symbolic link, which is not followed: put the file itself there";

fn not_a_file(mode: EntryMode) -> Option<&'static str> {
    match mode {
        EntryMode::Regular | EntryMode::Executable => None,
        EntryMode::Symlink => Some(SYMLINK),
        EntryMode::Tree => Some("is a folder"),
        EntryMode::Gitlink => Some("is a submodule"),
    }
}

fn wrong(path: &str, reason: &str) -> Error {
    Error::Path {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
