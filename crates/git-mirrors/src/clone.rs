//! A commit of a repository on this machine, found as a server's refs would name it.

use std::path::Path;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use git_apply_engine::{ObjectError, Objects, TreeEntry};
use git2::Repository;

use super::gate::locked;
use super::object_reader::{Integrity, ObjectReader, from_git2};
use super::refs::{self, HEADS, RefSpec, RemoteRef, Resolved, TAGS};
use super::safe_directory;
use super::tree::Tree;
use super::{Error, Oid, Revision};

const ORIGIN: &str = "refs/remotes/origin/";

/// A commit of a clone.
pub struct LocalCommit {
    revision: Revision,
    tree: Oid,
    path: String,
    /// libgit2's repository is used by one thread at a time.
    objects: Mutex<ObjectReader>,
}

impl LocalCommit {
    /// Finds what a ref stands for in a clone: in a Git folder or a working tree.
    ///
    /// Tags and branches are the clone's own; a branch that it lacks is taken from `origin`. The
    /// default branch is that of `origin`, or without an `origin` the one that is checked out.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] where no repository can be opened, [`Error::RefNotFound`],
    /// [`Error::RefInvalid`].
    pub fn find(path: &Path, want: &RefSpec) -> Result<Self, Error> {
        let shown = path.display().to_string();
        let failed = |error: &git2::Error| Error::Io {
            path: shown.clone(),
            reason: error.message().to_owned(),
        };
        let repository = safe_directory::open(path).map_err(|error| Error::Io {
            path: shown.clone(),
            reason: error.reason(),
        })?;
        let resolved = resolve(&repository, &shown, want, &failed)?;
        let commit = resolved.commit();
        let tree = repository
            .find_commit(commit.into())
            .map(|commit| from_git2(commit.tree_id()))
            .map_err(|_| refs::not_found(&shown, &commit.to_string()))?;
        Ok(Self {
            revision: resolved.revision().clone(),
            tree,
            path: shown,
            objects: Mutex::new(ObjectReader::new(repository, Integrity::Checked)),
        })
    }

    /// The revision in Flux's form.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The id of the commit's tree.
    #[must_use]
    pub fn tree_id(&self) -> Oid {
        self.tree
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> Tree<'_> {
        Tree::new(self, self.tree, self.revision.to_string(), |error| {
            Error::Corrupt {
                what: self.path.clone(),
                reason: error.to_string(),
            }
        })
    }

    fn objects(&self) -> MutexGuard<'_, ObjectReader> {
        locked(&self.objects)
    }
}

fn resolve(
    repository: &Repository,
    shown: &str,
    want: &RefSpec,
    failed: &dyn Fn(&git2::Error) -> Error,
) -> Result<Resolved, Error> {
    if let Some(commit) = refs::full_commit(want)? {
        return Ok(Resolved::pinned(commit));
    }
    let listed = list(repository)
        .map_err(|error| failed(&error))?
        .into_iter()
        .collect();
    let held = |digits: &str| {
        let found = repository.revparse_single(digits);
        let commit = found.and_then(|object| object.peel_to_commit());
        commit.map(|commit| from_git2(commit.id())).into_iter().collect()
    };
    refs::find(&shown, &listed, want, &held)
}

/// The clone's refs, as a server of the same repository would list them.
fn list(repository: &Repository) -> Result<Vec<RemoteRef>, git2::Error> {
    let mut listed: Vec<RemoteRef> = Vec::new();
    let mut of_origin = Vec::new();
    for reference in repository.references()? {
        let reference = reference?;
        // Refs that do not peel to a commit are not revisions.
        let (Ok(name), Ok(commit)) = (reference.name(), reference.peel_to_commit()) else {
            continue;
        };
        let commit = from_git2(commit.id());
        let as_remote = |name: String| RemoteRef {
            name,
            target: commit,
            peeled: commit,
            symbolic: None,
        };
        if name.starts_with(HEADS) || name.starts_with(TAGS) {
            listed.push(as_remote(name.to_owned()));
        } else if let Some(branch) = name.strip_prefix(ORIGIN).filter(|branch| *branch != "HEAD") {
            of_origin.push(as_remote(format!("{HEADS}{branch}")));
        }
    }
    for remote in of_origin {
        if !listed.iter().any(|own| own.name == remote.name) {
            listed.push(remote);
        }
    }
    listed.extend(head(repository, &listed));
    Ok(listed)
}

/// What a server would call `HEAD`.
fn head(repository: &Repository, listed: &[RemoteRef]) -> Option<RemoteRef> {
    let target = |name: &str| {
        let reference = repository.find_reference(name).ok()?;
        reference.symbolic_target().ok().flatten().map(ToOwned::to_owned)
    };
    let branch = target(&format!("{ORIGIN}HEAD"))
        .and_then(|name| name.strip_prefix(ORIGIN).map(|branch| format!("{HEADS}{branch}")))
        .or_else(|| target("HEAD"));
    if let Some(branch) = branch {
        let found = listed.iter().find(|found| found.name == branch)?;
        return Some(RemoteRef {
            name: "HEAD".to_owned(),
            symbolic: Some(branch),
            ..found.clone()
        });
    }
    let commit = from_git2(repository.head().ok()?.peel_to_commit().ok()?.id());
    Some(RemoteRef {
        name: "HEAD".to_owned(),
        target: commit,
        peeled: commit,
        symbolic: None,
    })
}

impl Objects for LocalCommit {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        self.objects().tree(id)
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        self.objects().blob(id)
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        self.objects().blob_size(id)
    }
}
