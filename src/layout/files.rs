//! The files of a repository, wherever they are.

/// The files of a team's repository.
///
/// Paths are relative to its root, have `/` between names, and neither `.` nor `..` nor links in
/// them: those are followed before.
pub trait RepositoryFiles {
    /// What is directly in a folder, sorted by the bytes of the names; `None` if there is no such
    /// folder. The root is "".
    ///
    /// A name that is not UTF-8 is given with replacement characters, as [`FileKind::Other`].
    ///
    /// # Errors
    ///
    /// Where the folder cannot be read.
    fn entries(&self, folder: &str) -> Result<Option<Vec<FolderEntry>>, FilesError>;

    /// A file's bytes.
    ///
    /// # Errors
    ///
    /// [`FilesError::NotFound`]; [`FilesError::TooLarge`] for more than `limit` bytes; where it
    /// cannot be read.
    fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, FilesError>;
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderEntry {
    /// The name, without a folder.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
}

/// What a name in a folder stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// Where it leads, as it is written.
        target: String,
    },
    /// A commit of another repository.
    Submodule,
    /// A socket, a device, or something whose name is not UTF-8.
    Other,
}

/// Why files could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The file is larger than what is read.
    #[error("{path} has more than the {limit} bytes that are read")]
    TooLarge {
        /// The file.
        path: String,
        /// In bytes.
        limit: u64,
    },
    /// Nothing is there.
    #[error("there is no file {path}")]
    NotFound {
        /// The file.
        path: String,
    },
    /// The file or folder cannot be read.
    #[error("{path}: {source}")]
    Unreadable {
        /// The file or folder.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
