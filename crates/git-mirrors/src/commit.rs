//! Makes a commit on another one: the changed files, and nothing else, in a pack of its own.

use std::collections::BTreeSet;
use std::path::Path;

use foreign_text::printable;
use git2::build::TreeUpdateBuilder;
use git2::{FileMode, ObjectType, Repository};
use jiff::Timestamp;

use super::files::plain_path;
use super::local::from_git2;
use super::signing::Signer;
use super::store::damaged;
use super::{Error, Oid};

/// How much of a name an error shows, in characters.
const LONGEST_SHOWN: usize = 100;

/// Who made a commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
}

/// A commit that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewCommit<'a> {
    /// The files that change, by their paths, with their new bytes.
    ///
    /// They have to be there already.
    pub files: &'a [(String, Vec<u8>)],
    /// Who made it, and who committed it.
    pub author: &'a Identity,
    /// What is said of it.
    pub message: &'a str,
    /// When; whole seconds count.
    pub time: Timestamp,
    /// Who signs it.
    pub signer: Option<&'a Signer>,
}

/// A commit that was made, and is nowhere yet.
#[derive(Clone, Debug)]
pub struct MadeCommit {
    /// Its id.
    pub id: Oid,
    /// The commit, and the trees and blobs that its parent does not have, as a pack.
    pub(super) pack: Vec<u8>,
}

/// Makes the commit in memory: the repository stays as it is.
pub(super) fn make(dir: &Path, parent: Oid, new: &NewCommit<'_>) -> Result<MadeCommit, Error> {
    let failed = |error: &git2::Error| damaged(dir, error);
    let repository = Repository::open_bare(dir).map_err(|error| failed(&error))?;
    let odb = repository.odb().map_err(|error| failed(&error))?;
    // What is written goes to the backend of the highest priority.
    let _memory = odb
        .add_new_mempack_backend(1000)
        .map_err(|error| failed(&error))?;
    let parent = repository
        .find_commit(parent.into())
        .map_err(|error| failed(&error))?;
    let base = parent.tree().map_err(|error| failed(&error))?;
    let mut builder = TreeUpdateBuilder::new();
    let mut fresh = BTreeSet::new();
    let mut folders = BTreeSet::new();
    for (path, content) in new.files {
        let path = plain_path(path)?;
        let entry = base.get_path(Path::new(&path)).ok();
        let mode = match entry.map(|entry| entry.filemode()) {
            Some(mode) if mode == i32::from(FileMode::Blob) => FileMode::Blob,
            Some(mode) if mode == i32::from(FileMode::BlobExecutable) => FileMode::BlobExecutable,
            _ => {
                return Err(Error::Path {
                    path,
                    reason: "is no file that could be changed".to_owned(),
                });
            }
        };
        let blob = odb
            .write(ObjectType::Blob, content)
            .map_err(|error| failed(&error))?;
        fresh.insert(blob);
        let parents = path.char_indices().filter(|(_, c)| *c == '/');
        folders.extend(parents.map(|(at, _)| path[..at].to_owned()));
        builder.upsert(path.as_str(), blob, mode);
    }
    let tree = builder
        .create_updated(&repository, &base)
        .and_then(|id| repository.find_tree(id))
        .map_err(|error| failed(&error))?;
    fresh.insert(tree.id());
    for folder in &folders {
        let entry = tree.get_path(Path::new(folder)).map_err(|error| failed(&error))?;
        fresh.insert(entry.id());
    }
    let who = signature(new.author, new.time)?;
    let text = repository
        .commit_create_buffer(&who, &who, new.message, &tree, &[&parent])
        .map_err(|error| failed(&error))?;
    let id = match new.signer {
        None => odb
            .write(ObjectType::Commit, &text)
            .map_err(|error| failed(&error))?,
        Some(signer) => {
            let signed = signer.sign_commit(&text)?;
            odb.write(ObjectType::Commit, &signed)
                .map_err(|error| failed(&error))?
        }
    };
    fresh.insert(id);
    let mut packer = repository.packbuilder().map_err(|error| failed(&error))?;
    for object in fresh {
        packer
            .insert_object(object, None)
            .map_err(|error| failed(&error))?;
    }
    let mut pack = git2::Buf::new();
    packer.write_buf(&mut pack).map_err(|error| failed(&error))?;
    Ok(MadeCommit {
        id: from_git2(id),
        pack: pack.to_vec(),
    })
}

/// An author as a commit has it, in one line of its header.
fn signature(author: &Identity, time: Timestamp) -> Result<git2::Signature<'static>, Error> {
    let wrong = |reason: &str| Error::Author {
        name: printable(&author.name, LONGEST_SHOWN),
        email: printable(&author.email, LONGEST_SHOWN),
        reason: reason.to_owned(),
    };
    let parts = [&author.name, &author.email];
    if parts.iter().any(|part| part.chars().any(char::is_control)) {
        return Err(wrong("it holds a line break or another control character"));
    }
    git2::Signature::new(&author.name, &author.email, &git2::Time::new(time.as_second(), 0)).map_err(|_| {
        wrong("name and email need at least one letter or digit each, and neither may hold < or >")
    })
}
