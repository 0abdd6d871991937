//! Makes commits on top of another one: the changed files, and nothing else, in a pack of their
//! own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use foreign_text::printable;
use git2::{FileMode, ObjectType, Repository};
use jiff::Timestamp;

use super::files::plain_path;
use super::object_reader::from_git2;
#[cfg(feature = "keys")]
use super::signing::Signer;
use super::store::damaged;
use super::{Error, Oid};

/// How much of a name an error shows, in characters.
const LONGEST_SHOWN: usize = 100;
/// The most commits made at once.
const MOST_COMMITS: usize = 1000;

/// Who made a commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The name.
    pub name: String,
    /// The mail address.
    pub email: String,
}

/// A change to one file in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChange {
    /// An existing file gets other bytes and keeps its mode.
    Rewrite {
        /// Its path from the root.
        path: String,
        /// Its new content.
        bytes: Vec<u8>,
    },
    /// A file gets these bytes, whether or not it exists. An existing one keeps its mode; a new
    /// one, or one that replaces a symbolic link, is a regular file.
    Write {
        /// Its path from the root.
        path: String,
        /// Its new content.
        bytes: Vec<u8>,
    },
    /// An existing file or symbolic link is removed, along with folders that are left empty.
    Remove {
        /// Its path from the root.
        path: String,
    },
}

impl FileChange {
    fn path(&self) -> &str {
        match self {
            Self::Rewrite { path, .. } | Self::Write { path, .. } | Self::Remove { path } => path,
        }
    }
}

/// A commit to make.
#[derive(Clone, Copy, Debug)]
pub struct NewCommit<'a> {
    /// Changes to files; if several are for one path, the last counts.
    pub changes: &'a [FileChange],
    /// Who made it, and who committed it.
    pub author: &'a Identity,
    /// The message.
    pub message: &'a str,
    /// The time, in whole seconds.
    pub time: Timestamp,
    /// Who signs it.
    #[cfg(feature = "keys")]
    pub signer: Option<&'a Signer>,
}

/// One or more new commits, each on top of the one before, that are not stored anywhere yet.
#[derive(Clone, Debug)]
pub struct MadeCommit {
    /// The id of the last.
    pub id: Oid,
    /// The commits, and the trees and blobs that their base lacks, as a pack.
    pub(super) pack: Vec<u8>,
}

/// Makes commits in memory, each on top of the one before, without changing the repository.
pub(super) fn make(dir: &Path, parent: Oid, commits: &[NewCommit<'_>]) -> Result<MadeCommit, Error> {
    let failed = |error: &git2::Error| damaged(dir, error);
    if commits.len() > MOST_COMMITS {
        return Err(Error::TooLarge {
            what: "the number of commits in one push".to_owned(),
            limit: MOST_COMMITS.to_string(),
        });
    }
    let repository = Repository::open_bare(dir).map_err(|error| failed(&error))?;
    let odb = repository.odb().map_err(|error| failed(&error))?;
    // Writes go to the backend with the highest priority.
    let _memory = odb
        .add_new_mempack_backend(1000)
        .map_err(|error| failed(&error))?;
    let mut made = Making {
        dir,
        repository: &repository,
        odb: &odb,
        fresh: BTreeSet::new(),
    };
    let mut id: git2::Oid = parent.into();
    for new in commits {
        id = made.commit(id, new)?;
    }
    let mut packer = repository.packbuilder().map_err(|error| failed(&error))?;
    for object in made.fresh {
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

/// Commits that are being made.
struct Making<'r> {
    dir: &'r Path,
    repository: &'r Repository,
    odb: &'r git2::Odb<'r>,
    /// The objects that were made.
    fresh: BTreeSet<git2::Oid>,
}

/// The changes to a folder's entries, by name.
#[derive(Default)]
struct FolderChange<'c> {
    files: BTreeMap<&'c str, &'c FileChange>,
    folders: BTreeMap<&'c str, FolderChange<'c>>,
}

impl Making<'_> {
    fn commit(&mut self, parent: git2::Oid, new: &NewCommit<'_>) -> Result<git2::Oid, Error> {
        let parent = self
            .repository
            .find_commit(parent)
            .map_err(|error| self.failed(&error))?;
        let base = parent.tree().map_err(|error| self.failed(&error))?;
        let paths = new.changes.iter().map(|change| plain_path(change.path()));
        let paths: Vec<String> = paths.collect::<Result<_, _>>()?;
        let mut root = FolderChange::default();
        for (path, change) in paths.iter().zip(new.changes) {
            let is_git = |name: &str| name.is_empty() || name.eq_ignore_ascii_case(".git");
            if path.split('/').any(is_git) {
                return Err(not_changeable(path));
            }
            let mut folder = &mut root;
            let mut names = path.split('/').peekable();
            while let Some(name) = names.next() {
                if names.peek().is_none() {
                    folder.files.insert(name, change);
                } else {
                    folder = folder.folders.entry(name).or_default();
                }
            }
        }
        let tree = match self.edited_folder(Some(&base), &root)? {
            Some(tree) => tree,
            None => self.empty_tree()?,
        };
        let tree = self
            .repository
            .find_tree(tree)
            .map_err(|error| self.failed(&error))?;
        let who = signature(new.author, new.time)?;
        let text = self
            .repository
            .commit_create_buffer(&who, &who, new.message, &tree, &[&parent])
            .map_err(|error| self.failed(&error))?;
        #[cfg(feature = "keys")]
        if let Some(signer) = new.signer {
            let signed = signer.sign_commit(&text)?;
            return self.write(ObjectType::Commit, &signed);
        }
        self.write(ObjectType::Commit, &text)
    }

    /// The tree of a folder after a change; `None` if nothing is left in it.
    fn edited_folder(
        &mut self,
        base: Option<&git2::Tree<'_>>,
        change: &FolderChange<'_>,
    ) -> Result<Option<git2::Oid>, Error> {
        let mut builder = self
            .repository
            .treebuilder(base)
            .map_err(|error| self.failed(&error))?;
        for (name, change) in &change.files {
            let there = builder.get(*name).map_err(|error| self.failed(&error))?;
            let mode = there.map(|entry| entry.filemode());
            match change {
                FileChange::Remove { path } => {
                    if !mode.is_some_and(|mode| file_mode(mode).is_some() || is_link(mode)) {
                        return Err(not_changeable(path));
                    }
                    builder.remove(*name).map_err(|error| self.failed(&error))?;
                }
                FileChange::Rewrite { path, bytes } | FileChange::Write { path, bytes } => {
                    let may_be_new = matches!(change, FileChange::Write { .. });
                    let mode = match mode {
                        Some(mode) if may_be_new && is_link(mode) => Some(FileMode::Blob),
                        Some(mode) => file_mode(mode),
                        None => may_be_new.then_some(FileMode::Blob),
                    };
                    let mode = mode.ok_or_else(|| not_changeable(path))?;
                    let blob = self.write(ObjectType::Blob, bytes)?;
                    builder
                        .insert(*name, blob, mode.into())
                        .map_err(|error| self.failed(&error))?;
                }
            }
        }
        for (name, change) in &change.folders {
            let there = builder.get(*name).map_err(|error| self.failed(&error))?;
            let inner = match there.map(|entry| (entry.filemode(), entry.id())) {
                None => None,
                Some((mode, id)) if mode == i32::from(FileMode::Tree) => Some(
                    self.repository
                        .find_tree(id)
                        .map_err(|error| self.failed(&error))?,
                ),
                Some(_) => return Err(not_changeable(name)),
            };
            match self.edited_folder(inner.as_ref(), change)? {
                Some(tree) => {
                    builder
                        .insert(*name, tree, FileMode::Tree.into())
                        .map_err(|error| self.failed(&error))?;
                }
                None if inner.is_some() => {
                    builder.remove(*name).map_err(|error| self.failed(&error))?;
                }
                None => {}
            }
        }
        if builder.is_empty() {
            return Ok(None);
        }
        let tree = builder.write().map_err(|error| self.failed(&error))?;
        self.fresh.insert(tree);
        Ok(Some(tree))
    }

    fn empty_tree(&mut self) -> Result<git2::Oid, Error> {
        self.write(ObjectType::Tree, &[])
    }

    fn write(&mut self, kind: ObjectType, bytes: &[u8]) -> Result<git2::Oid, Error> {
        let id = self.odb.write(kind, bytes).map_err(|error| self.failed(&error))?;
        self.fresh.insert(id);
        Ok(id)
    }

    fn failed(&self, error: &git2::Error) -> Error {
        damaged(self.dir, error)
    }
}

/// The mode of a regular file; `None` for everything else.
fn file_mode(mode: i32) -> Option<FileMode> {
    [FileMode::Blob, FileMode::BlobExecutable]
        .into_iter()
        .find(|known| mode == i32::from(*known))
}

fn is_link(mode: i32) -> bool {
    mode == i32::from(FileMode::Link)
}

fn not_changeable(path: &str) -> Error {
    Error::Path {
        path: path.to_owned(),
        reason: "is not a file that can be changed".to_owned(),
    }
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
        return Err(wrong("it contains a line break or another control character"));
    }
    git2::Signature::new(&author.name, &author.email, &git2::Time::new(time.as_second(), 0)).map_err(|_| {
        wrong("name and email need at least one letter or digit each, and neither may contain < or >")
    })
}
