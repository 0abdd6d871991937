//! Git objects, as far as patches need them: ids, trees and blobs, behind traits that a store
//! implements.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};
use bytes::Bytes;
use sha1::{Digest, Sha1};

/// The id of an object: the SHA-1 over its kind, size and contents.
///
/// ```
/// use git_apply_engine::Oid;
///
/// let id: Oid = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391".parse()?;
/// assert_eq!(id, Oid::of_blob(b""));
/// # Ok::<(), git_apply_engine::OidError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid([u8; 20]);

/// The given value is not an object id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an object id is a SHA-1, written as 40 hexadecimal digits")]
pub struct OidError;

impl Oid {
    /// Returns the id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 20]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes of the id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// Returns the id that 40 hexadecimal digits spell; `None` for anything else.
    #[must_use]
    pub fn from_hex(hex: &[u8]) -> Option<Self> {
        if hex.len() != 40 {
            return None;
        }
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let mut bytes = [0; 20];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(Self(bytes))
    }

    /// Returns whether this is the all-zero id, which stands for "no object" in the headers of
    /// patches.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0 == [0; 20]
    }

    /// Returns the id of a blob with these contents.
    #[must_use]
    pub fn of_blob(contents: &[u8]) -> Self {
        Self::hash_object("blob", contents)
    }

    /// Returns the id of a tree, given as [`serialise_tree`] writes it.
    #[must_use]
    pub fn of_tree(serialised: &[u8]) -> Self {
        Self::hash_object("tree", serialised)
    }

    fn hash_object(kind: &str, contents: &[u8]) -> Self {
        let mut hash = Sha1::new();
        hash.update(format!("{kind} {}\0", contents.len()).as_bytes());
        hash.update(contents);
        Self(hash.finalize().into())
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Oid {
    type Err = OidError;

    fn from_str(text: &str) -> Result<Self, OidError> {
        Self::from_hex(text.as_bytes()).ok_or(OidError)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for Oid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What an entry of a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryMode {
    /// A folder.
    Tree,
    /// A file.
    Regular,
    /// A file that may be executed.
    Executable,
    /// A symbolic link; its blob is the target.
    Symlink,
    /// A commit of another repository.
    Gitlink,
}

impl EntryMode {
    /// Returns the mode that Git's index gives to these bits (`create_ce_mode` in Git's cache.h);
    /// folders stay folders.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        match bits & 0o170_000 {
            0o040_000 => Self::Tree,
            0o120_000 => Self::Symlink,
            0o160_000 => Self::Gitlink,
            _ if bits & 0o100 != 0 => Self::Executable,
            _ => Self::Regular,
        }
    }

    /// Returns the bits as Git stores them.
    #[must_use]
    pub fn bits(self) -> u32 {
        match self {
            Self::Tree => 0o040_000,
            Self::Regular => 0o100_644,
            Self::Executable => 0o100_755,
            Self::Symlink => 0o120_000,
            Self::Gitlink => 0o160_000,
        }
    }

    fn octal(self) -> &'static str {
        match self {
            Self::Tree => "40000",
            Self::Regular => "100644",
            Self::Executable => "100755",
            Self::Symlink => "120000",
            Self::Gitlink => "160000",
        }
    }
}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// What it is.
    pub mode: EntryMode,
    /// Its name, without folders.
    pub name: BString,
    /// The object.
    pub id: Oid,
}

/// Returns a tree as Git stores it. The entries must be in Git's order: by name, folders as if they
/// ended in `/`.
#[must_use]
pub fn serialise_tree(entries: &[TreeEntry]) -> Vec<u8> {
    let entries = entries.iter();
    serialise(entries.map(|entry| (entry.mode, entry.name.as_bstr(), entry.id)))
}

/// Like [`serialise_tree`], for entries that are not [`TreeEntry`] values.
pub(crate) fn serialise<'e>(entries: impl ExactSizeIterator<Item = (EntryMode, &'e BStr, Oid)>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * 48);
    for (mode, name, id) in entries {
        bytes.extend_from_slice(mode.octal().as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(id.as_bytes());
    }
    bytes
}

/// Why an object cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// It is not in the store.
    #[error("object {0} is not in the repository")]
    NotFound(Oid),
    /// It is not the kind of object that was asked for.
    #[error("object {0} is of a different kind")]
    WrongKind(Oid),
    /// It is larger than allowed.
    #[error("object {id} is larger than the {limit} that are allowed")]
    TooLarge {
        /// The object.
        id: Oid,
        /// The limit, with its unit.
        limit: String,
    },
    /// The store has stopped serving objects: the caller has given up waiting.
    #[error("object {0} was not read: the time for reading has run out")]
    Interrupted(Oid),
    /// The store failed.
    #[error("object {id}: {message}")]
    Failed {
        /// The object.
        id: Oid,
        /// What the store said.
        message: String,
    },
}

/// A store of trees and blobs, such as a repository.
///
/// Only what the patches touch is read: the trees along their paths, and the blobs of their files.
pub trait Objects {
    /// Returns the entries of a tree, in the tree's order.
    ///
    /// # Errors
    ///
    /// [`ObjectError::NotFound`] if the store lacks it, another one if it cannot be read.
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError>;

    /// Returns the contents of a blob. The caller has checked that its size is within
    /// [`Limits::file_bytes`](crate::Limits).
    ///
    /// # Errors
    ///
    /// [`ObjectError::NotFound`] if the store lacks it, another one if it cannot be read.
    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError>;

    /// Returns the size of a blob in bytes, without reading it whole if the store can.
    ///
    /// # Errors
    ///
    /// [`ObjectError::NotFound`] if the store lacks it, another one if it cannot be read.
    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError>;
}

macro_rules! objects_behind {
    ($pointer:ty) => {
        impl<S: Objects + ?Sized> Objects for $pointer {
            fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
                (**self).tree(id)
            }

            fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
                (**self).blob(id)
            }

            fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
                (**self).blob_size(id)
            }
        }
    };
}

objects_behind!(&S);
objects_behind!(Arc<S>);

/// A store that takes new trees and blobs.
pub trait WriteObjects: Objects {
    /// Stores a blob and returns its id.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn write_blob(&mut self, contents: &[u8]) -> Result<Oid, ObjectError>;

    /// Stores a tree and returns its id. The entries are in Git's order.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    fn write_tree(&mut self, entries: &[TreeEntry]) -> Result<Oid, ObjectError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_git() {
        assert_eq!(
            Oid::of_blob(b"").to_string(),
            "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
        );
        assert_eq!(
            Oid::of_tree(b"").to_string(),
            "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
        );
        assert_eq!(
            "4b825dc642cb6eb9a060e54bf8d69288fbee4904".parse(),
            Ok(Oid::of_tree(b""))
        );
        assert!("4b825dc".parse::<Oid>().is_err());
        #[cfg(feature = "serde")]
        assert_eq!(
            serde_json::to_value(Oid::of_blob(b"")).unwrap(),
            "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
        );
    }
}
