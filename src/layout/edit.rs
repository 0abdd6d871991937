//! Changes to a repository's files, as values.

use std::collections::BTreeMap;

/// A change to one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileEdit<'a> {
    /// The file has these bytes.
    Write {
        /// The path.
        path: &'a str,
        /// All that is in the file.
        bytes: &'a [u8],
    },
    /// The file or link is gone.
    Remove {
        /// The path.
        path: &'a str,
    },
}

/// Changes to the files of a repository: at most one a path. Paths are relative to its root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryEdit {
    /// `None` for what is removed.
    files: BTreeMap<String, Option<Vec<u8>>>,
}

impl RepositoryEdit {
    /// Has a file hold these bytes.
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
}
