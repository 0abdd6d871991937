//! A folder on this machine, as a team's repository.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::layout::{FileKind, FilesError, FolderEntry, RepositoryFiles};

/// The files below a folder.
#[derive(Clone, Debug)]
pub(super) struct LocalFiles {
    root: PathBuf,
}

impl LocalFiles {
    pub(super) fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, path: &str) -> PathBuf {
        if path.is_empty() {
            self.root.clone()
        } else {
            self.root.join(path)
        }
    }
}

/// What a path on the disk stands for; a link is not followed.
fn kind(path: &Path) -> std::io::Result<FileKind> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(if metadata.is_symlink() {
        match fs::read_link(path)?.into_os_string().into_string() {
            Ok(target) => FileKind::Link { target },
            Err(_) => FileKind::Other,
        }
    } else if metadata.is_dir() {
        FileKind::Folder
    } else if metadata.is_file() {
        FileKind::File
    } else {
        FileKind::Other
    })
}

impl RepositoryFiles for LocalFiles {
    fn entries(&self, folder: &str) -> Result<Option<Vec<FolderEntry>>, FilesError> {
        let failed = |source: std::io::Error| FilesError::Unreadable {
            path: self.path(folder).display().to_string(),
            source: source.into(),
        };
        let listed = match fs::read_dir(self.path(folder)) {
            Ok(listed) => listed,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(failed(error)),
        };
        let mut entries = Vec::new();
        for entry in listed {
            let entry = entry.map_err(failed)?;
            let (name, kind) = match entry.file_name().into_string() {
                Ok(name) => (name, kind(&entry.path()).map_err(failed)?),
                Err(name) => (name.to_string_lossy().into_owned(), FileKind::Other),
            };
            entries.push(FolderEntry { name, kind });
        }
        entries.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
        Ok(Some(entries))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FilesError> {
        let failed = |source: std::io::Error| match source.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => FilesError::NotFound {
                path: path.to_owned(),
            },
            _ => FilesError::Unreadable {
                path: path.to_owned(),
                source: source.into(),
            },
        };
        let file = fs::File::open(self.path(path)).map_err(failed)?;
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
