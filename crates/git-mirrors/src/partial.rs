//! A commit whose trees are held, and those of its files that were asked for.

use std::collections::HashSet;
use std::fs::File;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use git_apply_engine::{ObjectError, Objects, TreeEntry};

use super::commit_fetcher::{CommitFetcher, OpenedCommit};
use super::gate::locked;
use super::mirrors::Mirrors;
use super::object_reader::ObjectReader;
use super::store::{Extent, Store};
use super::{Error, Oid, Resolved, Revision, Upstream};

/// How many requests for single files are made; after them, the whole commit is fetched.
const MOST_REQUESTS: usize = 8;

impl Mirrors {
    /// Returns a commit's trees, and those of its files that are asked for: for reading a few of
    /// them.
    ///
    /// Where the server filters (version 2 of the protocol, `uploadpack.allowFilter`), only the
    /// commit and its trees are fetched; where it does not, this is [`Mirrors::snapshot`]. The
    /// bounds, and the handling of damage and signatures, are the same.
    ///
    /// # Errors
    ///
    /// As for [`Mirrors::snapshot`].
    pub fn partial_snapshot(
        &self,
        upstream: &Upstream,
        resolved: &Resolved,
        deadline: Instant,
    ) -> Result<PartialSnapshot<'_>, Error> {
        PartialSnapshot::open(CommitFetcher::new(self, upstream, resolved, deadline)?)
    }
}

/// A commit of a mirror, whose files are fetched when they are asked for.
///
/// [`prefetch_paths`](Self::prefetch_paths) gets many in one request. A file that is read without
/// it is fetched then, until the call's deadline; after eight such requests the rest of the commit
/// is. The mirror is not evicted while this exists.
pub struct PartialSnapshot<'m> {
    fetcher: CommitFetcher<'m>,
    tree: Oid,
    signed: Option<String>,
    held: Mutex<Held>,
    failure: Mutex<Option<Error>>,
    _in_use: File,
}

/// What is held of the commit.
struct Held {
    store: Store,
    extent: Extent,
    /// Requests for files so far.
    requests: usize,
    /// The blobs of the commit, once a missing one was asked for.
    blobs: Option<HashSet<Oid>>,
}

impl std::fmt::Debug for PartialSnapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PartialSnapshot({})", self.revision())
    }
}

impl<'m> PartialSnapshot<'m> {
    pub(super) fn open(fetcher: CommitFetcher<'m>) -> Result<Self, Error> {
        let OpenedCommit {
            store,
            extent,
            signed,
            in_use,
        } = fetcher.open(Extent::Trees)?;
        Ok(Self {
            tree: store.tree_of(fetcher.resolved.commit())?,
            fetcher,
            signed,
            held: Mutex::new(Held {
                store,
                extent,
                requests: 0,
                blobs: None,
            }),
            failure: Mutex::default(),
            _in_use: in_use,
        })
    }

    /// The revision in Flux's form.
    #[must_use]
    pub fn revision(&self) -> &Revision {
        self.fetcher.resolved.revision()
    }

    /// The commit.
    #[must_use]
    pub fn commit(&self) -> Oid {
        self.fetcher.resolved.commit()
    }

    /// The id of the commit's tree.
    #[must_use]
    pub fn tree_id(&self) -> Oid {
        self.tree
    }

    /// What is signed by which of the keys, in words; `None` where no signature was asked for.
    #[must_use]
    pub fn signatures(&self) -> Option<&str> {
        self.signed.as_deref()
    }

    /// Fetches the files at these paths that are missing, in one request. Ignores paths without a
    /// file.
    ///
    /// # Errors
    ///
    /// As for [`Mirrors::snapshot`](super::Mirrors::snapshot).
    pub fn prefetch_paths<P: AsRef<[u8]>>(&self, paths: impl IntoIterator<Item = P>) -> Result<(), Error> {
        let mut held = locked(&self.held);
        if held.extent == Extent::Whole {
            return Ok(());
        }
        let mut blobs = Vec::new();
        for path in paths {
            blobs.extend(held.store.first_lacking(self.tree, path.as_ref())?);
        }
        self.provide(&mut held, &blobs)
    }

    /// The last failure to fetch a file; `None` if there was none.
    ///
    /// Where a reader got [`ObjectError::Failed`], this says what the server did.
    #[must_use]
    pub fn fetch_failure(&self) -> Option<Error> {
        locked(&self.failure).clone()
    }

    fn provide(&self, held: &mut Held, blobs: &[Oid]) -> Result<(), Error> {
        if held.extent == Extent::Whole || held.store.lacking(blobs)?.is_empty() {
            return Ok(());
        }
        held.requests += 1;
        let (store, extent) = if held.requests > MOST_REQUESTS {
            self.fetcher
                .with_lock(&|| self.fetcher.ensure_commit(Extent::Whole))?
        } else {
            self.fetcher.with_lock(&|| self.fetcher.ensure_blobs(blobs))?
        };
        held.store = store;
        held.extent = extent;
        Ok(())
    }

    /// Fetches a missing blob, if it belongs to the commit and so was filtered.
    fn fetch_if_filtered(&self, held: &mut Held, blob: Oid) -> Result<(), Error> {
        if held.extent == Extent::Whole {
            return Ok(());
        }
        let blobs = match held.blobs.take() {
            Some(blobs) => blobs,
            None => self
                .fetcher
                .with_deadline(|check| held.store.blobs_of(self.commit(), check))?,
        };
        let is_filtered = held.blobs.insert(blobs).contains(&blob);
        if is_filtered {
            self.provide(held, &[blob])?;
        }
        Ok(())
    }

    /// Reads from what is held; a failure marks the mirror as damaged.
    fn read<T>(
        &self,
        held: &Held,
        read: impl FnOnce(&ObjectReader) -> Result<T, ObjectError>,
    ) -> Result<T, ObjectError> {
        let outcome = read(held.store.objects());
        if matches!(outcome, Err(ObjectError::Failed { .. })) {
            self.fetcher.mirror.damaged.store(true, Ordering::Relaxed);
        }
        outcome
    }

    /// Reads a blob, fetching it if it was filtered.
    fn read_blob<T>(
        &self,
        id: Oid,
        read: impl Fn(&ObjectReader) -> Result<T, ObjectError>,
    ) -> Result<T, ObjectError> {
        let mut held = locked(&self.held);
        match self.read(&held, &read) {
            Err(ObjectError::NotFound(_)) => {
                self.fetch_if_filtered(&mut held, id).map_err(|error| {
                    let message = error.to_string();
                    *locked(&self.failure) = Some(error);
                    ObjectError::Failed { id, message }
                })?;
                self.read(&held, &read)
            }
            outcome => outcome,
        }
    }
}

/// A read that fails marks the mirror as damaged, unless the object is merely missing.
impl Objects for PartialSnapshot<'_> {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        let held = locked(&self.held);
        self.read(&held, |objects| objects.tree(id))
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        self.read_blob(id, |objects| objects.blob(id))
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        self.read_blob(id, |objects| objects.blob_size(id))
    }
}
