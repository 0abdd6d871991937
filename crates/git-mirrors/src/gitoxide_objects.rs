//! The objects of a repository, read by gitoxide.
//!
//! Like Git, it does not rehash what it reads.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;

use git_apply_engine::Oid;
use gix_hash::ObjectId;
use gix_object::{Find, FindHeader, Kind};
use gix_odb::store::init::Options;
use gix_odb::{HandleArc, Store};
use gix_pack::cache::lru::MemoryCappedHashmap;

/// The largest blob that is read into memory, in bytes.
pub(super) const LARGEST_BLOB: u64 = 128 << 20;

/// How much memory for contents is kept from one read to the next, in bytes.
const LARGEST_KEPT: usize = 4 << 20;

/// How much memory is kept for the bases of deltas, in bytes.
const BASES_KEPT: usize = 8 << 20;

/// The objects of one repository, and of those that it borrows from.
pub(super) struct GitoxideObjects {
    store: HandleArc,
    contents: RefCell<Vec<u8>>,
}

impl GitoxideObjects {
    /// Opens the objects below a folder `objects`; `None` if gitoxide cannot open it.
    pub(super) fn open(folder: PathBuf) -> Option<Self> {
        let options = Options {
            alloc_limit_bytes: usize::try_from(LARGEST_BLOB).ok(),
            ..Options::default()
        };
        let store = Store::at_opts(folder, gix_hash::Kind::Sha1, &mut std::iter::empty(), options).ok()?;
        Some(Self {
            store: Arc::new(store).to_cache_arc(),
            contents: RefCell::default(),
        })
    }

    /// The same for callers that read whole trees: the bases of deltas are kept.
    pub(super) fn keeping_bases(self) -> Self {
        let store = self.store;
        Self {
            store: store.with_pack_cache(|| Box::new(MemoryCappedHashmap::new(BASES_KEPT))),
            ..self
        }
    }

    /// Returns what `parse` makes of an object's contents; `None` if it is of another kind, has
    /// more than `limit` bytes, or cannot be read.
    pub(super) fn read<T>(
        &self,
        id: Oid,
        kind: Kind,
        limit: u64,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Option<T> {
        let mut contents = self.contents.borrow_mut();
        let object = unless_it_panics(|| {
            let object = self.store.try_find(&ObjectId::from(id), &mut contents);
            object.ok().flatten()
        });
        let parsed = match object {
            Some(object) if object.kind == kind && object.data.len() as u64 <= limit => parse(object.data),
            _ => None,
        };
        contents.clear();
        contents.shrink_to(LARGEST_KEPT);
        parsed
    }

    /// The size of an object in bytes; `None` if it is of another kind, or cannot be read.
    pub(super) fn size(&self, id: Oid, kind: Kind) -> Option<u64> {
        let header = || self.store.try_header(&ObjectId::from(id)).ok().flatten();
        let header = unless_it_panics(header)?;
        (header.kind == kind).then_some(header.size)
    }
}

/// Returns what gitoxide reads, or `None` if it panics: a pack may be damaged in a way that it was
/// never tested with. The log has the location then.
fn unless_it_panics<T>(read: impl FnOnce() -> Option<T>) -> Option<T> {
    panic::catch_unwind(AssertUnwindSafe(read)).ok().flatten()
}
