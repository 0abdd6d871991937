//! Changes to a repository's files, as values: they are read, applied and shown before anything is
//! written.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::LayoutError;
use super::files::{FileKind, FilesError, FolderEntry, RepositoryFiles};
use super::links::FolderWalk;

/// A change to one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileEdit<'a> {
    /// The file gets these bytes. If there is a link, a file replaces it: nothing is written
    /// through it.
    Write {
        /// The path.
        path: &'a str,
        /// All that is in the file.
        bytes: &'a [u8],
    },
    /// The file or link is removed, and so is a folder that this leaves empty.
    Remove {
        /// The path.
        path: &'a str,
    },
}

/// Changes to the files of a repository: whole files, at most one change per path. A renamed file
/// is removed and written.
///
/// Paths are relative to the repository's root, and have no links on the way to their last name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryEdit {
    /// `None` for what is removed.
    files: BTreeMap<String, Option<Vec<u8>>>,
}

impl RepositoryEdit {
    /// Sets the bytes of a file.
    pub fn write(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.into(), Some(bytes.into()));
    }

    /// Removes a file or link.
    pub fn remove(&mut self, path: impl Into<String>) {
        self.files.insert(path.into(), None);
    }

    /// The changes, sorted by the bytes of their paths.
    pub fn edits(&self) -> impl Iterator<Item = FileEdit<'_>> {
        self.files.iter().map(|(path, bytes)| match bytes {
            Some(bytes) => FileEdit::Write { path, bytes },
            None => FileEdit::Remove { path },
        })
    }

    /// The change at a path: the bytes, or `Some(None)` where it is removed.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<Option<&[u8]>> {
        self.files.get(path).map(Option::as_deref)
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Adds changes that were made on top of these: if both change a path, `later` wins.
    pub fn merge(&mut self, later: Self) {
        self.files.extend(later.files);
    }

    /// The changes without those that leave a file unchanged.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn without_no_changes(mut self, files: &dyn RepositoryFiles) -> Result<Self, LayoutError> {
        let walk = FolderWalk::new(files, "");
        let mut same = BTreeSet::new();
        for edit in self.edits() {
            let FileEdit::Write { path, bytes } = edit else {
                continue;
            };
            let is_file = walk.kind_at(path)? == Some(FileKind::File);
            let is_same = is_file
                && match files.read(path, bytes.len() as u64) {
                    Ok(there) => there == bytes,
                    Err(FilesError::TooLarge { .. } | FilesError::NotFound { .. }) => false,
                    Err(error) => return Err(error.into()),
                };
            if is_same {
                same.insert(path.to_owned());
            }
        }
        self.files.retain(|path, _| !same.contains(path));
        Ok(self)
    }
}

/// The files of a repository, as changes leave them.
#[derive(Clone, Copy)]
pub struct EditedFiles<'a> {
    files: &'a dyn RepositoryFiles,
    edit: &'a RepositoryEdit,
}

impl<'a> EditedFiles<'a> {
    /// The files with changes.
    #[must_use]
    pub fn new(files: &'a dyn RepositoryFiles, edit: &'a RepositoryEdit) -> Self {
        Self { files, edit }
    }

    /// The changes below a folder, by what is left of their paths.
    fn below(&self, folder: &str) -> impl Iterator<Item = (&'a str, bool)> {
        let prefix = match folder {
            "" => String::new(),
            folder => format!("{folder}/"),
        };
        let from = self.edit.files.range(prefix.clone()..);
        from.map_while(move |(path, bytes)| {
            let rest = path.strip_prefix(prefix.as_str())?;
            Some((rest, bytes.is_some()))
        })
    }
}

impl RepositoryFiles for EditedFiles<'_> {
    fn entries(&self, folder: &str) -> Result<Option<Vec<FolderEntry>>, FilesError> {
        let there = self.files.entries(folder)?;
        let mut below = self.below(folder).peekable();
        if below.peek().is_none() {
            return Ok(there);
        }
        let mut entries: BTreeMap<String, FileKind> = BTreeMap::new();
        entries.extend(there.into_iter().flatten().map(|entry| (entry.name, entry.kind)));
        let mut changed_folders = BTreeSet::new();
        for (rest, is_written) in below {
            match rest.split_once('/') {
                Some((name, _)) => {
                    changed_folders.insert(name);
                }
                None if is_written => {
                    entries.insert(rest.to_owned(), FileKind::File);
                }
                None => {
                    entries.remove(rest);
                }
            }
        }
        for name in changed_folders {
            let path = match folder {
                "" => name.to_owned(),
                folder => format!("{folder}/{name}"),
            };
            if self.entries(&path)?.is_some() {
                entries.insert(name.to_owned(), FileKind::Folder);
            } else if entries.get(name) == Some(&FileKind::Folder) {
                entries.remove(name);
            }
        }
        let entries = entries.into_iter();
        let entries: Vec<_> = entries.map(|(name, kind)| FolderEntry { name, kind }).collect();
        Ok((folder.is_empty() || !entries.is_empty()).then_some(entries))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
        match self.edit.at(path) {
            None => self.files.read(path, limit),
            Some(None) => Err(FilesError::NotFound {
                path: path.to_owned(),
            }),
            Some(Some(bytes)) if bytes.len() as u64 > limit => Err(FilesError::TooLarge {
                path: path.to_owned(),
                limit,
            }),
            Some(Some(bytes)) => Ok(bytes.to_vec()),
        }
    }
}
