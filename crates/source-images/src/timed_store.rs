//! Trees that are read until a deadline.

use std::time::Instant;

use bytes::Bytes;
use git_apply_engine::{ObjectError, Objects, Oid, TreeEntry};

/// A store that gives out objects until a deadline, and [`ObjectError::Interrupted`] after it.
///
/// A walk over its trees ends soon after the deadline: a tree of a few kilobytes can name more
/// files than can ever be read.
pub struct TimedStore<S> {
    store: S,
    deadline: Instant,
}

impl<S> TimedStore<S> {
    /// Returns a store that gives out the objects of another one until a deadline.
    pub fn new(store: S, deadline: Instant) -> Self {
        Self { store, deadline }
    }

    fn check_time(&self, id: Oid) -> Result<(), ObjectError> {
        if Instant::now() < self.deadline {
            Ok(())
        } else {
            Err(ObjectError::Interrupted(id))
        }
    }
}

impl<S: Objects> Objects for TimedStore<S> {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        self.check_time(id)?;
        self.store.tree(id)
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        self.check_time(id)?;
        self.store.blob(id)
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        self.check_time(id)?;
        self.store.blob_size(id)
    }
}
