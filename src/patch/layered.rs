//! A store of objects with more on top of it, in memory.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::object::{ObjectError, Objects, Oid, TreeEntry, WriteObjects, serialise_tree};

/// A store, and the trees and blobs that patches made, which are written nowhere else.
pub struct Layered {
    base: Arc<dyn Objects + Send + Sync>,
    trees: HashMap<Oid, Vec<TreeEntry>>,
    blobs: HashMap<Oid, Bytes>,
}

impl Layered {
    /// Lays nothing over a store yet.
    #[must_use]
    pub fn over(base: Arc<dyn Objects + Send + Sync>) -> Self {
        Self {
            base,
            trees: HashMap::new(),
            blobs: HashMap::new(),
        }
    }
}

impl WriteObjects for Layered {
    fn write_blob(&mut self, contents: &[u8]) -> Result<Oid, ObjectError> {
        let id = Oid::of_blob(contents);
        self.blobs.insert(id, Bytes::copy_from_slice(contents));
        Ok(id)
    }

    fn write_tree(&mut self, entries: &[TreeEntry]) -> Result<Oid, ObjectError> {
        let id = Oid::of_tree(&serialise_tree(entries));
        self.trees.insert(id, entries.to_vec());
        Ok(id)
    }
}

impl Objects for Layered {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        match self.trees.get(&id) {
            Some(entries) => Ok(entries.clone()),
            None => self.base.tree(id),
        }
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        match self.blobs.get(&id) {
            Some(contents) => Ok(contents.clone()),
            None => self.base.blob(id),
        }
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        match self.blobs.get(&id) {
            Some(contents) => Ok(contents.len() as u64),
            None => self.base.blob_size(id),
        }
    }
}

/// A store that has nothing.
#[derive(Clone, Copy, Debug)]
pub struct NoObjects;

impl Objects for NoObjects {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        Err(ObjectError::NotFound(id))
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        Err(ObjectError::NotFound(id))
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        Err(ObjectError::NotFound(id))
    }
}
