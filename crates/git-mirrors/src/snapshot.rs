//! A commit that is held: its files, and its objects for the patch engine.

use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use git_apply_engine::{ObjectError, Objects, TreeEntry};

use super::commit_fetcher::{CommitFetcher, OpenedCommit};
use super::gate::locked;
use super::mirror::Mirror;
use super::mirrors::{Freshness, Mirrors};
use super::object_reader::ObjectReader;
use super::refs::{RefSpec, Resolved};
use super::store::{Extent, damaged};
use super::tree::Tree;
use super::{Error, FileLimits, MadeCommit, NewCommit, Oid, Revision, SourceFile, Upstream, commit};

impl Mirrors {
    /// Resolves a ref and returns the files of its commit, retrying once if it moved in between.
    ///
    /// # Errors
    ///
    /// Those of [`Mirrors::resolve`] and [`Mirrors::snapshot`].
    pub fn fetch(
        &self,
        upstream: &Upstream,
        want: &RefSpec,
        freshness: Freshness,
        deadline: Instant,
    ) -> Result<Snapshot, Error> {
        let (_, snapshot) = self.resolve_and_fetch(upstream, want, freshness, deadline)?;
        Ok(snapshot)
    }

    /// Like [`Mirrors::fetch`], but also returns what the ref was resolved to, which
    /// [`Mirrors::history`] takes.
    ///
    /// # Errors
    ///
    /// Those of [`Mirrors::fetch`].
    pub fn resolve_and_fetch(
        &self,
        upstream: &Upstream,
        want: &RefSpec,
        freshness: Freshness,
        deadline: Instant,
    ) -> Result<(Resolved, Snapshot), Error> {
        let once = || {
            let resolved = self.resolve(upstream, want, freshness, deadline)?;
            let snapshot = self.snapshot(upstream, &resolved, deadline)?;
            Ok((resolved, snapshot))
        };
        match once() {
            Err(Error::Moved { .. }) => once(),
            outcome => outcome,
        }
    }

    /// Returns a commit's files, fetching them if they are not held.
    ///
    /// A damaged mirror is thrown away and fetched again, once. If a signature is required
    /// ([`Resolved::requiring`]), it is checked each time.
    ///
    /// # Errors
    ///
    /// [`Error::Unverified`]; [`Error::Moved`] if the server does not give out the commit of a
    /// branch or tag (any more), which the next [`Mirrors::resolve`] looks at again;
    /// [`Error::RefNotFound`] if it does not give out one that was named; whatever keeps it from
    /// being fetched; [`Error::TooLarge`]; [`Error::BadPack`] where what the server sends is
    /// damaged.
    pub fn snapshot(
        &self,
        upstream: &Upstream,
        resolved: &Resolved,
        deadline: Instant,
    ) -> Result<Snapshot, Error> {
        let fetcher = CommitFetcher::new(self, upstream, resolved, deadline)?;
        Snapshot::new(
            fetcher.open(Extent::Whole)?,
            &fetcher.mirror,
            resolved.revision.clone(),
        )
    }
}

/// A commit of a mirror.
///
/// The mirror is not evicted while this exists.
pub struct Snapshot {
    revision: Revision,
    tree: Oid,
    dir: PathBuf,
    objects: Mutex<ObjectReader>,
    damaged: Arc<AtomicBool>,
    /// What is signed by whom, where that was asked for.
    signed: Option<String>,
    _in_use: File,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Snapshot({})", self.revision)
    }
}

impl Snapshot {
    pub(super) fn new(opened: OpenedCommit, mirror: &Mirror, revision: Revision) -> Result<Self, Error> {
        let tree = opened.store.tree_of(revision.commit())?;
        Ok(Self {
            revision,
            tree,
            dir: mirror.dir.clone(),
            objects: Mutex::new(opened.store.into_objects()),
            damaged: Arc::clone(&mirror.damaged),
            signed: opened.signed,
            _in_use: opened.in_use,
        })
    }

    /// What is signed by which of the keys, in words; `None` where no signature was asked for.
    #[must_use]
    pub fn signatures(&self) -> Option<&str> {
        self.signed.as_deref()
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

    /// The commit's message, as far as it is UTF-8, and its parent, which need not be held.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] where the commit cannot be read.
    pub fn message_and_parent(&self) -> Result<(String, Option<Oid>), Error> {
        let objects = locked(&self.objects);
        let failed = |error: &git2::Error| damaged(&self.dir, error);
        let commit = objects
            .repository()
            .find_commit(self.commit().into())
            .map_err(|error| failed(&error))?;
        // A shallow commit has no parents for libgit2.
        let header = String::from_utf8_lossy(commit.raw_header_bytes()).into_owned();
        let parent = header.lines().find_map(|line| line.strip_prefix("parent "));
        let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
        Ok((message, parent.and_then(|id| id.parse().ok())))
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
    /// [`Error::FileNotFound`]; [`Error::Path`] where the path leaves the tree or leads to a
    /// folder, a symbolic link or a submodule; [`Error::TooLarge`]; [`Error::Corrupt`], after which
    /// the mirror is rebuilt by the next [`Mirrors::snapshot`](super::Mirrors::snapshot).
    pub fn read_file(&self, path: &str, limits: &FileLimits) -> Result<Vec<u8>, Error> {
        self.files().read_file(path, limits)
    }

    /// The id of a folder's tree; that of the root for an empty path.
    ///
    /// # Errors
    ///
    /// [`Error::FileNotFound`]; [`Error::Path`] where the path leaves the tree or leads to no
    /// folder.
    pub fn folder(&self, path: &str) -> Result<Oid, Error> {
        self.files().folder(path)
    }

    /// Reads the files directly in a folder whose names end in `suffix`, sorted by name as bytes;
    /// the root for an empty path.
    ///
    /// Folders and submodules are passed over.
    ///
    /// # Errors
    ///
    /// As for [`read_file`](Self::read_file); a symbolic link with a matching name is an
    /// [`Error::Path`], so that no file is left out silently.
    pub fn read_dir(&self, path: &str, suffix: &str, limits: &FileLimits) -> Result<Vec<SourceFile>, Error> {
        self.files().read_dir(path, suffix, limits)
    }

    /// Reads the files below a folder whose names have one of the endings, and gives each to a
    /// function.
    ///
    /// # Errors
    ///
    /// As for [`Tree::read_below`].
    pub fn read_below(
        &self,
        path: &str,
        endings: &[&str],
        limits: &mut FileLimits,
        take: &mut dyn FnMut(SourceFile) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.files().read_below(path, endings, limits, take)
    }

    /// Makes a commit on top of this one.
    ///
    /// It is on no branch until [`Mirrors::push`](super::Mirrors::push) pushes it.
    ///
    /// # Errors
    ///
    /// [`Error::Path`] if a file does not exist or is not a regular one, [`Error::Author`],
    /// [`Error::Secret`] where the key cannot be used, [`Error::Corrupt`].
    pub fn make_commit(&self, new: &NewCommit<'_>) -> Result<MadeCommit, Error> {
        self.make_commits(std::slice::from_ref(new))
    }

    /// Makes commits, the first on top of this one, and each of the others on top of the one
    /// before.
    ///
    /// They are on no branch until [`Mirrors::push`](super::Mirrors::push) pushes them, all at
    /// once. Without any, this one itself is pushed.
    ///
    /// # Errors
    ///
    /// As for [`make_commit`](Self::make_commit); [`Error::TooLarge`] beyond 1,000 commits.
    pub fn make_commits(&self, commits: &[NewCommit<'_>]) -> Result<MadeCommit, Error> {
        // A separate handle: what is made stays in memory, and this one's readers do not see it.
        let path = {
            let objects = locked(&self.objects);
            objects.repository().path().to_owned()
        };
        commit::make(&path, self.commit(), commits)
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> Tree<'_> {
        Tree::new(self, self.tree, self.revision.to_string(), |error| {
            self.corrupt(error)
        })
    }

    fn read<T>(&self, read: impl FnOnce(&ObjectReader) -> Result<T, ObjectError>) -> Result<T, ObjectError> {
        let outcome = read(&locked(&self.objects));
        if matches!(outcome, Err(ObjectError::Failed { .. })) {
            self.damaged.store(true, Ordering::Relaxed);
        }
        outcome
    }

    pub(super) fn corrupt(&self, error: &ObjectError) -> Error {
        if let ObjectError::TooLarge { id, limit } = error {
            return Error::TooLarge {
                what: format!("object {id} at {}", self.revision),
                limit: limit.clone(),
            };
        }
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
        self.read(|objects| objects.tree(id))
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        self.read(|objects| objects.blob(id))
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        self.read(|objects| objects.blob_size(id))
    }
}
