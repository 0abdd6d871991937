//! Puts new contents into files, all or none as far as the file system lets it.

use std::fs;
use std::path::Path;

use crate::cli::error::Error;
use crate::cli::file_changes::{ExpectedFile, FileChange, Unrecorded, change_all, read_digest};

/// A file and what it is to hold.
pub(super) struct Replacement<'a> {
    pub(super) path: &'a Path,
    /// What it held when it was read.
    pub(super) old: &'a [u8],
    pub(super) new: &'a [u8],
}

/// Puts the new contents in their places. If writing fails, or a file is not as it was read, all
/// stay as they are.
pub(super) fn replace_all<'a>(replacements: impl Iterator<Item = Replacement<'a>>) -> Result<(), Error> {
    let change = |replacement: Replacement<'a>| -> Result<FileChange<'a>, Error> {
        let shown = replacement.path.display().to_string();
        // The file, not a link to it.
        let path = fs::canonicalize(replacement.path).map_err(|source| Error::Io {
            path: shown.clone(),
            source,
        })?;
        Ok(FileChange {
            shown,
            path,
            expected: ExpectedFile::Holds(read_digest(replacement.old)),
            contents: Some(replacement.new),
        })
    };
    let changes = replacements.map(change).collect::<Result<Vec<_>, _>>()?;
    change_all(&changes, Path::new(""), &mut Unrecorded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replaces two files; returns the result, and the contents of their folder afterwards.
    fn replaced(old: [&str; 2], names: [&str; 2]) -> (Result<(), Error>, Vec<(String, String)>) {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::write(folder.path().join(name), format!("old {name}")).unwrap();
        }
        let paths = names.map(|name| folder.path().join(name));
        let files = paths.iter().zip(old).map(|(path, old)| Replacement {
            path,
            old: old.as_bytes(),
            new: b"new",
        });
        let done = replace_all(files);
        let entries = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut left: Vec<(String, String)> = entries
            .map(|path| {
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        left.sort();
        (done, left)
    }

    fn files(a: &str, b: &str) -> Vec<(String, String)> {
        [("a", a), ("b", b)]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .to_vec()
    }

    #[test]
    fn all_files_are_replaced_or_none() {
        let (done, left) = replaced(["old a", "old b"], ["a", "b"]);
        assert!(done.is_ok());
        assert_eq!(left, files("new", "new"));
        let (done, left) = replaced(["old a", "another"], ["a", "b"]);
        assert!(
            done.unwrap_err()
                .to_string()
                .contains("b was changed in the meantime")
        );
        assert_eq!(left, files("old a", "old b"));
        let (done, left) = replaced(["old a", ""], ["a", "absent"]);
        assert!(done.unwrap_err().to_string().contains("absent"));
        assert_eq!(left, files("old a", "old b"));
    }
}
