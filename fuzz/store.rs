//! A store in memory.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use patchset::patch::{EntryMode, ObjectError, Objects, Oid, TreeEntry, WriteObjects, serialise_tree};

#[derive(Clone, Default)]
pub struct Store {
    blobs: HashMap<Oid, Bytes>,
    trees: HashMap<Oid, Vec<TreeEntry>>,
    root: Option<Oid>,
}

impl Store {
    /// Files at the root, or one folder deep.
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let mut store = Self::default();
        let mut folders: BTreeMap<&str, Vec<TreeEntry>> = BTreeMap::new();
        let mut top = Vec::new();
        for (path, contents) in files {
            let id = store.write_blob(contents).expect("memory takes all");
            let (folder, name) = path.split_once('/').map_or((None, *path), |(folder, name)| (Some(folder), name));
            let entry = TreeEntry { mode: EntryMode::Regular, name: name.into(), id };
            folder.map_or(&mut top, |folder| folders.entry(folder).or_default()).push(entry);
        }
        for (name, entries) in folders {
            let id = store.write_tree(&entries).expect("memory takes all");
            top.push(TreeEntry { mode: EntryMode::Tree, name: name.into(), id });
        }
        top.sort_by(|a, b| a.name.cmp(&b.name));
        store.root = store.write_tree(&top).ok();
        store
    }

    pub fn root(&self) -> Oid {
        self.root.expect("made in new")
    }

    /// All paths below a tree.
    #[allow(dead_code)]
    pub fn paths(&self, tree: Oid) -> Vec<String> {
        let mut paths = Vec::new();
        for entry in &self.trees[&tree] {
            match entry.mode {
                EntryMode::Tree => {
                    paths.extend(self.paths(entry.id).into_iter().map(|below| format!("{}/{below}", entry.name)));
                }
                _ => paths.push(entry.name.to_string()),
            }
        }
        paths
    }
}

impl Objects for Store {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        self.trees.get(&id).cloned().ok_or(ObjectError::NotFound(id))
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        self.blobs.get(&id).cloned().ok_or(ObjectError::NotFound(id))
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        self.blob(id).map(|blob| blob.len() as u64)
    }
}

impl WriteObjects for Store {
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
