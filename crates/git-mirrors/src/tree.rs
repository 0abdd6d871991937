//! Files and folders of a tree, read within limits.

use bstr::ByteSlice;
use git_apply_engine::{EntryMode, ObjectError, Objects, TreeEntry};

use super::error::bytes;
use super::files::plain_path;
use super::{Error, FileLimits, Oid, SourceFile};

/// The most entries that are walked over below a folder.
const MOST_ENTRIES: usize = 500_000;

/// A tree whose files can be read.
pub struct Tree<'a> {
    objects: &'a dyn Objects,
    root: Oid,
    /// What the tree is of, for messages.
    revision: String,
    /// The error for an object that cannot be read.
    unreadable: Box<dyn Fn(&ObjectError) -> Error + 'a>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(
        objects: &'a dyn Objects,
        root: Oid,
        revision: String,
        unreadable: impl Fn(&ObjectError) -> Error + 'a,
    ) -> Self {
        Self {
            objects,
            root,
            revision,
            unreadable: Box::new(unreadable),
        }
    }

    /// Reads one file of at most `limits.file` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::FileNotFound`]; [`Error::Path`] where the path leaves the tree or leads to a
    /// folder, a symbolic link or a submodule; [`Error::TooLarge`]; [`Error::Corrupt`].
    pub fn read_file(&self, path: &str, limits: &FileLimits) -> Result<Vec<u8>, Error> {
        let clean = plain_path(path)?;
        let Some(entry) = self.find(&clean)? else {
            return Err(match clean.as_str() {
                "" => wrong(path, "is the root folder, not a file"),
                _ => self.missing(path),
            });
        };
        match not_a_file(entry.mode) {
            Some(reason) => Err(wrong(path, reason)),
            None => self.content(entry.id, path, limits.file),
        }
    }

    /// The id of a folder's tree; that of the root for an empty path.
    ///
    /// # Errors
    ///
    /// [`Error::FileNotFound`]; [`Error::Path`] where the path leaves the tree or leads to no
    /// folder.
    pub fn folder(&self, path: &str) -> Result<Oid, Error> {
        let clean = plain_path(path)?;
        match self.find(&clean)? {
            Some(entry) if entry.mode == EntryMode::Tree => Ok(entry.id),
            Some(_) => Err(wrong(path, "is not a folder")),
            None if clean.is_empty() => Ok(self.root),
            None => Err(self.missing(path)),
        }
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
        let clean = plain_path(path)?;
        let folder = self.folder(path)?;
        let mut files = Vec::new();
        let mut left = limits.total;
        for entry in self.entries(folder)? {
            let name = entry.name.to_string();
            let shown = if clean.is_empty() {
                name.clone()
            } else {
                format!("{clean}/{name}")
            };
            match not_a_file(entry.mode) {
                _ if !name.ends_with(suffix) => continue,
                None => {}
                Some(SYMLINK) => return Err(wrong(&shown, SYMLINK)),
                Some(_) => continue,
            }
            if files.len() >= limits.count {
                return Err(Error::TooLarge {
                    what: format!("the number of files in {path}"),
                    limit: limits.count.to_string(),
                });
            }
            let content = self.content(entry.id, &shown, limits.file.min(left))?;
            left -= content.len() as u64;
            files.push(SourceFile { name, content });
        }
        files.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(files)
    }

    /// Reads the files below a folder whose names have one of the endings, one after another, and
    /// gives each to a function, in no particular order; their names are the paths from the root.
    /// What was read is taken from `limits.total` and `limits.count`.
    ///
    /// Symbolic links, submodules and files above `limits.file` are passed over.
    ///
    /// # Errors
    ///
    /// As for [`folder`](Self::folder) and [`read_file`](Self::read_file), and those of the function,
    /// which end it.
    pub fn read_below(
        &self,
        path: &str,
        endings: &[&str],
        limits: &mut FileLimits,
        take: &mut dyn FnMut(SourceFile) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let given = *limits;
        let (mut folders_left, mut entries_left) = (given.count, MOST_ENTRIES);
        let mut queue = vec![(plain_path(path)?, self.folder(path)?)];
        while let Some((folder, tree)) = queue.pop() {
            folders_left = folders_left.checked_sub(1).ok_or_else(|| Error::TooLarge {
                what: format!("the number of folders below {path}"),
                limit: given.count.to_string(),
            })?;
            for entry in self.entries(tree)? {
                entries_left = entries_left.checked_sub(1).ok_or_else(|| Error::TooLarge {
                    what: format!("the number of entries below {path}"),
                    limit: MOST_ENTRIES.to_string(),
                })?;
                let Ok(name) = entry.name.to_str() else {
                    continue;
                };
                let shown = match folder.as_str() {
                    "" => name.to_owned(),
                    folder => format!("{folder}/{name}"),
                };
                if entry.mode == EntryMode::Tree {
                    queue.push((shown, entry.id));
                    continue;
                }
                if not_a_file(entry.mode).is_some() || !endings.iter().any(|ending| name.ends_with(ending)) {
                    continue;
                }
                let size = self
                    .objects
                    .blob_size(entry.id)
                    .map_err(|error| (self.unreadable)(&error))?;
                if size > limits.file {
                    continue;
                }
                let too_large = || Error::TooLarge {
                    what: format!("what is read below {path}"),
                    limit: format!("{} files and {}", given.count, bytes(given.total)),
                };
                limits.count = limits.count.checked_sub(1).ok_or_else(too_large)?;
                limits.total = limits.total.checked_sub(size).ok_or_else(too_large)?;
                let content = self.content(entry.id, &shown, limits.file)?;
                take(SourceFile { name: shown, content })?;
            }
        }
        Ok(())
    }

    /// Walks to a path in its plain form; `None` where nothing is there, and for the root.
    fn find(&self, clean: &str) -> Result<Option<TreeEntry>, Error> {
        let mut tree = Some(self.root);
        let mut found = None;
        for part in clean.split('/') {
            let Some(entries) = tree.map(|tree| self.entries(tree)).transpose()? else {
                return Ok(None);
            };
            found = entries.into_iter().find(|entry| entry.name == part.as_bytes());
            tree = found
                .as_ref()
                .and_then(|entry| (entry.mode == EntryMode::Tree).then_some(entry.id));
            if found.is_none() {
                return Ok(None);
            }
        }
        Ok(found)
    }

    fn entries(&self, tree: Oid) -> Result<Vec<TreeEntry>, Error> {
        self.objects.tree(tree).map_err(|error| (self.unreadable)(&error))
    }

    fn content(&self, blob: Oid, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let unreadable = |error| (self.unreadable)(&error);
        if self.objects.blob_size(blob).map_err(unreadable)? > limit {
            return Err(Error::TooLarge {
                what: path.to_owned(),
                limit: bytes(limit),
            });
        }
        Ok(self.objects.blob(blob).map_err(unreadable)?.to_vec())
    }

    fn missing(&self, path: &str) -> Error {
        Error::FileNotFound {
            path: path.to_owned(),
            revision: self.revision.clone(),
        }
    }
}

const SYMLINK: &str = "is a symbolic link, which is not followed: put the file itself there";

fn not_a_file(mode: EntryMode) -> Option<&'static str> {
    match mode {
        EntryMode::Regular | EntryMode::Executable => None,
        EntryMode::Symlink => Some(SYMLINK),
        EntryMode::Tree => Some("is a folder"),
        EntryMode::Gitlink => Some("is a submodule"),
    }
}

fn wrong(path: &str, reason: &str) -> Error {
    Error::Path {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
