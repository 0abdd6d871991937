//! A plain folder, as a store of objects: the trees and blobs that Git would make of it.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use git_apply_engine::{EntryMode, ObjectError, Objects, Oid, TreeEntry, serialise_tree};
use sha1::{Digest, Sha1};

use super::Error;
use super::tree::Tree;

/// The deepest folder that is read.
const DEEPEST: usize = 256;

/// Why a folder cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct FolderError {
    path: String,
    reason: String,
}

/// A folder's contents.
///
/// Files are read again when their contents are asked for.
pub struct Folder {
    root: Oid,
    trees: HashMap<Oid, Vec<TreeEntry>>,
    blobs: HashMap<Oid, Source>,
}

/// Where the contents of a blob are.
enum Source {
    File(PathBuf),
    Link(Bytes),
}

impl Folder {
    /// Reads a folder as `git add --all` would, without `.git` and without regard to ignored files.
    ///
    /// Empty folders are left out, as in Git.
    ///
    /// # Errors
    ///
    /// Where something in it cannot be read, or is neither a file, a folder nor a symbolic link.
    pub fn read(path: &Path) -> Result<Self, FolderError> {
        let mut folder = Self {
            root: Oid::of_tree(b""),
            trees: HashMap::new(),
            blobs: HashMap::new(),
        };
        folder.root = folder.tree_of(path, 0)?;
        Ok(folder)
    }

    /// The id of its tree.
    #[must_use]
    pub fn tree_id(&self) -> Oid {
        self.root
    }

    /// Its files.
    ///
    /// `shown` names the folder in messages.
    #[must_use]
    pub fn files(&self, shown: &Path) -> Tree<'_> {
        let shown = shown.display().to_string();
        let what = shown.clone();
        Tree::new(self, self.root, shown, move |error| Error::Io {
            path: what.clone(),
            reason: error.to_string(),
        })
    }

    fn tree_of(&mut self, path: &Path, depth: usize) -> Result<Oid, FolderError> {
        if depth > DEEPEST {
            return Err(failed(path, &"is too deep"));
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(|error| failed(path, &error))? {
            let path = entry.map_err(|error| failed(path, &error))?.path();
            let name = path.file_name().unwrap_or_default().as_bytes().to_vec();
            if name == b".git" {
                continue;
            }
            if let Some((mode, id)) = self.entry(&path, depth)? {
                entries.push(TreeEntry {
                    mode,
                    name: name.into(),
                    id,
                });
            }
        }
        entries.sort_by_key(git_order);
        let id = Oid::of_tree(&serialise_tree(&entries));
        self.trees.insert(id, entries);
        Ok(id)
    }

    fn entry(&mut self, path: &Path, depth: usize) -> Result<Option<(EntryMode, Oid)>, FolderError> {
        let about = fs::symlink_metadata(path).map_err(|error| failed(path, &error))?;
        if about.is_dir() {
            let id = self.tree_of(path, depth + 1)?;
            return Ok((id != Oid::of_tree(b"")).then_some((EntryMode::Tree, id)));
        }
        if about.is_symlink() {
            let target = fs::read_link(path).map_err(|error| failed(path, &error))?;
            let target = Bytes::copy_from_slice(target.as_os_str().as_bytes());
            let id = Oid::of_blob(&target);
            self.blobs.insert(id, Source::Link(target));
            return Ok(Some((EntryMode::Symlink, id)));
        }
        if !about.is_file() {
            return Err(failed(path, &"is neither a file, a folder nor a symbolic link"));
        }
        let mode = if about.permissions().mode() & 0o100 == 0 {
            EntryMode::Regular
        } else {
            EntryMode::Executable
        };
        let id = blob_id(path, about.len()).map_err(|error| failed(path, &error))?;
        self.blobs.insert(id, Source::File(path.to_owned()));
        Ok(Some((mode, id)))
    }
}

/// The id of a file as a blob, read piece by piece so that it is never in memory as a whole.
fn blob_id(path: &Path, size: u64) -> io::Result<Oid> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha1::new();
    hash.update(format!("blob {size}\0"));
    let (mut piece, mut read) = (vec![0; 64 << 10], 0);
    loop {
        match file.read(&mut piece)? {
            0 if read == size => return Ok(Oid::from_bytes(hash.finalize().into())),
            0 => return Err(io::Error::other("its size changes while it is read")),
            length => {
                hash.update(piece.get(..length).unwrap_or_default());
                read += length as u64;
            }
        }
    }
}

fn failed(path: &Path, reason: &dyn std::fmt::Display) -> FolderError {
    FolderError {
        path: path.display().to_string(),
        reason: reason.to_string(),
    }
}

/// Git's order of a tree: by name, folders as if they ended in a slash.
fn git_order(entry: &TreeEntry) -> Vec<u8> {
    let mut name = entry.name.to_vec();
    if entry.mode == EntryMode::Tree {
        name.push(b'/');
    }
    name
}

impl Objects for Folder {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        self.trees.get(&id).cloned().ok_or(ObjectError::NotFound(id))
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        let content: Bytes = match self.blobs.get(&id) {
            None => return Err(ObjectError::NotFound(id)),
            Some(Source::Link(target)) => target.clone(),
            Some(Source::File(path)) => fs::read(path)
                .map_err(|error| ObjectError::Failed {
                    id,
                    message: failed(path, &error).to_string(),
                })?
                .into(),
        };
        // A file that changed in the meantime is another blob.
        if Oid::of_blob(&content) == id {
            Ok(content)
        } else {
            Err(ObjectError::Failed {
                id,
                message: "the file changed while it was read".to_owned(),
            })
        }
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        match self.blobs.get(&id) {
            None => Err(ObjectError::NotFound(id)),
            Some(Source::Link(target)) => Ok(target.len() as u64),
            Some(Source::File(path)) => {
                fs::metadata(path)
                    .map(|about| about.len())
                    .map_err(|error| ObjectError::Failed {
                        id,
                        message: failed(path, &error).to_string(),
                    })
            }
        }
    }
}
