//! The files of a folder on this machine, as layouts read them.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::Error;
use crate::layout::{FileKind, FilesError, FolderEntry, RepositoryFiles};

/// The most names of one folder that are read.
const MOST_ENTRIES: usize = 200_000;

/// The files of a checkout, or of a folder outside of any.
pub(super) struct LocalFiles {
    root: PathBuf,
}

/// A folder of a [`LocalFiles`].
pub(super) struct LocalFolder {
    pub(super) files: LocalFiles,
    /// Its path below the root, with `/` between names; empty for the root of a checkout, and `.` for
    /// a folder outside of any.
    pub(super) path: String,
}

impl LocalFolder {
    /// Finds a folder, and the checkout around it: links may lead anywhere inside that. A folder
    /// outside of any checkout stands for itself.
    ///
    /// # Errors
    ///
    /// Where there is no such folder, or its path in the checkout is not UTF-8.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let shown = folder.display();
        if !folder.is_dir() {
            return Err(Error::Usage(format!("{shown}: there is no such folder")));
        }
        let whole = std::fs::canonicalize(folder).map_err(|source| Error::Io {
            path: shown.to_string(),
            source,
        })?;
        let checkout = whole.ancestors().find(|above| above.join(".git").exists());
        let root = checkout.unwrap_or(&whole).to_owned();
        let path = match checkout {
            Some(_) => whole.strip_prefix(&root).unwrap_or(Path::new("")),
            None => Path::new("."),
        };
        let path = path
            .to_str()
            .ok_or_else(|| Error::Usage(format!("{shown}: its path is not UTF-8")))?
            .to_owned();
        Ok(Self {
            files: LocalFiles { root },
            path,
        })
    }
}

impl LocalFolder {
    /// Makes a path below the root relative to this folder; `None` if it is outside.
    pub(super) fn path_inside(&self, path: &str) -> Option<String> {
        if matches!(self.path.as_str(), "" | ".") {
            return Some(path.strip_prefix("./").unwrap_or(path).to_owned());
        }
        let inside = path.strip_prefix(&self.path)?.strip_prefix('/')?;
        Some(inside.to_owned())
    }
}

impl LocalFiles {
    /// The folder that all paths are relative to.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }
}

fn unreadable(path: &str, error: io::Error) -> FilesError {
    FilesError::Unreadable {
        path: path.to_owned(),
        source: Box::new(error),
    }
}

impl RepositoryFiles for LocalFiles {
    fn entries(&self, folder: &str) -> Result<Option<Vec<FolderEntry>>, FilesError> {
        let failed = |error| unreadable(folder, error);
        let read = match std::fs::read_dir(self.root.join(folder)) {
            Ok(read) => read,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        let mut entries = Vec::new();
        for entry in read {
            let entry = entry.map_err(failed)?;
            if entries.len() >= MOST_ENTRIES {
                return Err(failed(io::Error::other(format!(
                    "it has more than {MOST_ENTRIES} entries"
                ))));
            }
            let kind = entry.file_type().map_err(failed)?;
            let name = entry.file_name();
            let kind = if name.to_str().is_none() {
                FileKind::Other
            } else if kind.is_symlink() {
                let target = std::fs::read_link(entry.path()).map_err(failed)?;
                FileKind::Link {
                    target: target.to_string_lossy().into_owned(),
                }
            } else if kind.is_dir() {
                FileKind::Folder
            } else if kind.is_file() {
                FileKind::File
            } else {
                FileKind::Other
            };
            entries.push(FolderEntry {
                name: name.to_string_lossy().into_owned(),
                kind,
            });
        }
        entries.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(Some(entries))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => FilesError::NotFound {
                path: path.to_owned(),
            },
            _ => unreadable(path, error),
        };
        let file = std::fs::File::open(self.root.join(path)).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > limit {
            return Err(FilesError::TooLarge {
                path: path.to_owned(),
                limit,
            });
        }
        Ok(bytes)
    }
}
