//! A repository as libgit2 reads it.

use std::path::Path;

use bytes::Bytes;
use git_apply_engine::{EntryMode, ObjectError, Objects, Oid, TreeEntry};
use git2::{ObjectType, Repository};

/// A repository as a store that is only read.
pub struct RepositoryStore(pub Repository);

impl RepositoryStore {
    /// Opens a bare repository.
    pub fn open(dir: &Path) -> Self {
        Self(Repository::open_bare(dir).unwrap())
    }
}

fn theirs(id: Oid) -> git2::Oid {
    git2::Oid::from_bytes(id.as_bytes()).unwrap()
}

fn ours(id: git2::Oid) -> Oid {
    Oid::from_bytes(id.as_bytes().try_into().unwrap())
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

impl Objects for RepositoryStore {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        if id == Oid::of_tree(b"") {
            return Ok(Vec::new());
        }
        let tree = self.0.find_tree(theirs(id)).map_err(|error| failed(id, &error))?;
        let entries = tree.iter().map(|entry| TreeEntry {
            mode: EntryMode::from_bits(u32::try_from(entry.filemode_raw()).unwrap()),
            name: entry.name_bytes().into(),
            id: ours(entry.id()),
        });
        Ok(entries.collect())
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        match self.0.find_blob(theirs(id)) {
            Ok(blob) => Ok(Bytes::copy_from_slice(blob.content())),
            // What is there and no blob is not found either.
            Err(error) => Err(self.blob_size(id).err().unwrap_or_else(|| failed(id, &error))),
        }
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        let header = self.0.odb().and_then(|odb| odb.read_header(theirs(id)));
        match header.map_err(|error| failed(id, &error))? {
            (size, ObjectType::Blob) => Ok(size as u64),
            _ => Err(ObjectError::WrongKind(id)),
        }
    }
}
