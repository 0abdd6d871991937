//! What identifies the contents at a path of a commit, to tell a commit that changes them from one
//! that changes something else.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use bstr::ByteSlice;
use git_apply_engine::{EntryMode, ObjectError, Objects, TreeEntry};

use super::files::plain_path;
use super::mirrors::Mirrors;
use super::path_content::{ContentKey, PathContent};
use super::{Error, Oid, Resolved, Upstream};

/// How many folders below a path are searched for links. A path with more counts as having links.
const MOST_FOLDERS: usize = 1_000;

/// How many trees are kept while many paths are walked.
const MOST_TREES: usize = 256;

impl Mirrors {
    /// Returns what identifies the contents at a path of a commit, if that was found before with
    /// these credentials. Reads no disk and waits for nothing.
    ///
    /// # Errors
    ///
    /// As for [`Mirrors::content`], as far as the path and the mirrors' names go.
    pub fn known_content(
        &self,
        upstream: &Upstream,
        resolved: &Resolved,
        path: &str,
    ) -> Result<Option<PathContent>, Error> {
        let key = content_key(resolved, path)?;
        let mirror = self.mirror(upstream)?;
        let known = mirror.known_contents();
        Ok(known.get(&key))
    }

    /// Finds what identifies the contents at a path of a commit. The commit is fetched if it is not
    /// held, and has to be signed as required.
    ///
    /// # Errors
    ///
    /// As for [`Mirrors::snapshot`]; [`Error::Path`] where the path leaves the tree.
    pub fn content(
        &self,
        upstream: &Upstream,
        resolved: &Resolved,
        path: &str,
        deadline: Instant,
    ) -> Result<PathContent, Error> {
        if let Some(known) = self.known_content(upstream, resolved, path)? {
            return Ok(known);
        }
        let found = self.contents(upstream, resolved, [path.to_owned()], deadline)?;
        Ok(found.first().copied().unwrap_or(PathContent::Absent))
    }

    /// Finds the same for many paths at once, and returns it in their order.
    ///
    /// # Errors
    ///
    /// As for [`Mirrors::content`].
    pub fn contents(
        &self,
        upstream: &Upstream,
        resolved: &Resolved,
        paths: impl IntoIterator<Item = String>,
        deadline: Instant,
    ) -> Result<Vec<PathContent>, Error> {
        let snapshot = self.snapshot(upstream, resolved, deadline)?;
        let mirror = self.mirror(upstream)?;
        let trees = ReadTrees::new(&snapshot);
        let mut found = Vec::new();
        for path in paths {
            let key = content_key(resolved, &path)?;
            let content =
                find(&trees, snapshot.tree_id(), &key.2).map_err(|error| snapshot.corrupt(&error))?;
            mirror.known_contents().insert(key, content);
            found.push(content);
        }
        Ok(found)
    }
}

/// Trees that were read, each once.
struct ReadTrees<'a> {
    objects: &'a dyn Objects,
    read: RefCell<HashMap<Oid, Rc<[TreeEntry]>>>,
}

impl<'a> ReadTrees<'a> {
    fn new(objects: &'a dyn Objects) -> Self {
        Self {
            objects,
            read: RefCell::default(),
        }
    }

    fn get(&self, id: Oid) -> Result<Rc<[TreeEntry]>, ObjectError> {
        if let Some(entries) = self.read.borrow().get(&id) {
            return Ok(Rc::clone(entries));
        }
        let entries: Rc<[TreeEntry]> = self.objects.tree(id)?.into();
        let mut read = self.read.borrow_mut();
        if read.len() >= MOST_TREES {
            read.clear();
        }
        read.insert(id, Rc::clone(&entries));
        Ok(entries)
    }
}

fn content_key(resolved: &Resolved, path: &str) -> Result<ContentKey, Error> {
    Ok((resolved.commit(), resolved.verification(), plain_path(path)?))
}

/// Walks to a path in its plain form.
fn find(trees: &ReadTrees<'_>, root: Oid, clean: &str) -> Result<PathContent, ObjectError> {
    let mut tree = root;
    let mut parts = clean.split('/').filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        let entries = trees.get(tree)?;
        let mut entries = entries.iter();
        let Some(entry) = entries.find(|entry| entry.name.as_bytes() == part.as_bytes()) else {
            return Ok(PathContent::Absent);
        };
        match entry.mode {
            EntryMode::Tree => tree = entry.id,
            EntryMode::Symlink => return Ok(PathContent::Linked { root }),
            _ if parts.peek().is_some() => return Ok(PathContent::Absent),
            EntryMode::Regular | EntryMode::Executable => return Ok(PathContent::File { blob: entry.id }),
            // Reading a submodule is refused, and again for the next commit.
            EntryMode::Gitlink => return Ok(PathContent::Linked { root }),
        }
    }
    Ok(if has_links(trees.objects, tree)? {
        PathContent::Linked { root }
    } else {
        PathContent::Folder { tree }
    })
}

/// Whether there are links below a folder, or more folders than are searched.
fn has_links(objects: &dyn Objects, folder: Oid) -> Result<bool, ObjectError> {
    let (mut waiting, mut left) = (vec![folder], MOST_FOLDERS);
    while let Some(tree) = waiting.pop() {
        let Some(rest) = left.checked_sub(1) else {
            return Ok(true);
        };
        left = rest;
        for entry in objects.tree(tree)? {
            match entry.mode {
                EntryMode::Symlink => return Ok(true),
                EntryMode::Tree => waiting.push(entry.id),
                EntryMode::Regular | EntryMode::Executable | EntryMode::Gitlink => {}
            }
        }
    }
    Ok(false)
}
