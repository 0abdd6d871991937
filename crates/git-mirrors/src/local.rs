//! A repository on this machine, as a store of objects.

use std::path::Path;

use bytes::Bytes;
use git_apply_engine::{EntryMode, ObjectError, Objects, Oid, TreeEntry, WriteObjects};
use git2::{ObjectType, Odb, Repository};

use super::error::bytes;
use super::pack::LARGEST_TREE;

/// Why a local repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// There is no repository.
    #[error("{path}: no Git repository can be opened there: {message}")]
    Open {
        /// Where it was looked for.
        path: String,
        /// What libgit2 said.
        message: String,
    },
    /// There is no such ref.
    #[error("{path} has no tag, branch or commit {name:?}; is the clone up to date?")]
    Ref {
        /// The name.
        name: String,
        /// The repository.
        path: String,
    },
    /// The revision names no tree.
    #[error("{revision:?} names no commit or tree of the repository: {message}")]
    Revision {
        /// As it was given.
        revision: String,
        /// What libgit2 said.
        message: String,
    },
}

/// A repository on this machine.
pub struct LocalRepository(Repository);

impl LocalRepository {
    /// Opens a Git folder or a working tree.
    ///
    /// # Errors
    ///
    /// Where there is none.
    pub fn open(path: &Path) -> Result<Self, LocalError> {
        Repository::open(path)
            .map(Self)
            .map_err(|error| LocalError::Open {
                path: path.display().to_string(),
                message: error.message().to_owned(),
            })
    }

    /// The tree that a revision names, in the syntax of `git rev-parse`.
    ///
    /// # Errors
    ///
    /// Where it names none.
    pub fn tree_of(&self, revision: &str) -> Result<Oid, LocalError> {
        let tree = self
            .0
            .revparse_single(revision)
            .and_then(|object| object.peel_to_tree());
        tree.map(|tree| from_git2(tree.id()))
            .map_err(|error| LocalError::Revision {
                revision: revision.to_owned(),
                message: error.message().to_owned(),
            })
    }
}

impl LocalRepository {
    /// The tag that a revision is the name of, without its prefix.
    ///
    /// Git prefers a tag to a branch of that name (gitrevisions).
    #[must_use]
    pub fn tag_of<'a>(&self, revision: &'a str) -> Option<&'a str> {
        let name = revision
            .strip_prefix("refs/tags/")
            .or_else(|| revision.strip_prefix("tags/"))
            .unwrap_or(revision);
        let found = self.0.find_reference(&format!("refs/tags/{name}"));
        found.is_ok().then_some(name)
    }

    /// The tree of a tag, else a branch, else a branch of `origin`, else a commit of that name: a
    /// value of `source-refs.yaml`.
    ///
    /// # Errors
    ///
    /// Where there is none of that name.
    pub fn tree_of_ref(&self, name: &str) -> Result<Oid, LocalError> {
        let named = ["refs/tags/", "refs/heads/", "refs/remotes/origin/"]
            .into_iter()
            .find_map(|prefix| self.tree_of(&format!("{prefix}{name}")).ok());
        if let Some(tree) = named {
            return Ok(tree);
        }
        if name.len() >= 7 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return self.tree_of(name);
        }
        Err(LocalError::Ref {
            name: name.to_owned(),
            path: self.0.path().display().to_string(),
        })
    }
}

/// Reads objects without hashing each again, as Git does.
///
/// This holds for the whole process: it is for a command on the user's own repository, and not for
/// a process that keeps mirrors.
pub fn trust_stored_objects() {
    git2::opts::strict_hash_verification(false);
}

/// The id from libgit2's.
///
/// Repositories of SHA-256 are not opened, so that all ids have 20 bytes.
pub(super) fn from_git2(id: git2::Oid) -> Oid {
    let mut bytes = [0; 20];
    for (byte, given) in bytes.iter_mut().zip(id.as_bytes()) {
        *byte = *given;
    }
    Oid::from_bytes(bytes)
}

fn failed(id: Oid, error: &git2::Error) -> ObjectError {
    match error.code() {
        git2::ErrorCode::NotFound => ObjectError::NotFound(id),
        _ => ObjectError::Failed {
            id,
            message: error.message().to_owned(),
        },
    }
}

/// The largest blob that is read into memory, in bytes.
const LARGEST_BLOB: u64 = 128 << 20;

/// Checks an object's size and kind before it is read.
fn check(odb: &Odb<'_>, id: Oid, expected: ObjectType, limit: u64) -> Result<(), ObjectError> {
    let (size, kind) = odb.read_header(id.into()).map_err(|error| failed(id, &error))?;
    if kind != expected {
        return Err(ObjectError::WrongKind(id));
    }
    if size as u64 > limit {
        return Err(ObjectError::TooLarge {
            id,
            limit: bytes(limit),
        });
    }
    Ok(())
}

/// The entries of a tree.
pub(super) fn read_tree(repository: &Repository, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
    let odb = repository.odb().map_err(|error| failed(id, &error))?;
    check(&odb, id, ObjectType::Tree, LARGEST_TREE)?;
    let tree = repository
        .find_tree(id.into())
        .map_err(|error| failed(id, &error))?;
    let entries = tree.iter().map(|entry| TreeEntry {
        mode: EntryMode::from_bits(u32::try_from(entry.filemode_raw()).unwrap_or(0)),
        name: entry.name_bytes().into(),
        id: from_git2(entry.id()),
    });
    Ok(entries.collect())
}

/// The contents of a blob.
pub(super) fn read_blob(repository: &Repository, id: Oid) -> Result<Bytes, ObjectError> {
    let odb = repository.odb().map_err(|error| failed(id, &error))?;
    check(&odb, id, ObjectType::Blob, LARGEST_BLOB)?;
    let object = odb.read(id.into()).map_err(|error| failed(id, &error))?;
    Ok(Bytes::copy_from_slice(object.data()))
}

/// The size of a blob in bytes.
pub(super) fn read_blob_size(repository: &Repository, id: Oid) -> Result<u64, ObjectError> {
    let odb = repository.odb().map_err(|error| failed(id, &error))?;
    match odb.read_header(id.into()).map_err(|error| failed(id, &error))? {
        (size, ObjectType::Blob) => Ok(u64::try_from(size).unwrap_or(u64::MAX)),
        _ => Err(ObjectError::WrongKind(id)),
    }
}

impl Objects for LocalRepository {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        read_tree(&self.0, id)
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        read_blob(&self.0, id)
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        read_blob_size(&self.0, id)
    }
}

impl WriteObjects for LocalRepository {
    fn write_blob(&mut self, contents: &[u8]) -> Result<Oid, ObjectError> {
        let id = Oid::of_blob(contents);
        self.0
            .blob(contents)
            .map(from_git2)
            .map_err(|error| failed(id, &error))
    }

    fn write_tree(&mut self, entries: &[TreeEntry]) -> Result<Oid, ObjectError> {
        let bytes = git_apply_engine::serialise_tree(entries);
        let id = Oid::of_tree(&bytes);
        let odb = self.0.odb().map_err(|error| failed(id, &error))?;
        odb.write(ObjectType::Tree, &bytes)
            .map(from_git2)
            .map_err(|error| failed(id, &error))
    }
}
