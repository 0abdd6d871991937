//! Puts new contents into files, all or none as far as the file system lets it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cli::error::Error;

/// A file and what it is to hold.
pub(super) struct Replacement<'a> {
    pub(super) path: &'a Path,
    /// What it held when it was read.
    pub(super) old: &'a [u8],
    pub(super) new: &'a [u8],
}

/// A new file beside the one whose place it takes. It goes away again where it does not.
struct Prepared<'a> {
    replacement: Replacement<'a>,
    /// The file, not a link to it.
    target: PathBuf,
    temporary: PathBuf,
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        // Where it took its place, there is none.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Writes all new contents beside the files, and only then puts each in its place at once. Where
/// writing fails, or a file is another one than was read, all stay as they are.
pub(super) fn replace_all<'a>(replacements: impl Iterator<Item = Replacement<'a>>) -> Result<(), Error> {
    let mut prepared = Vec::new();
    for replacement in replacements {
        let path = replacement.path.display().to_string();
        prepared.push(prepare(replacement).map_err(|source| Error::Io { path, source })?);
    }
    for file in &prepared {
        let failed = |source| Error::Io {
            path: file.replacement.path.display().to_string(),
            source,
        };
        if fs::read(&file.target).map_err(failed)? != file.replacement.old {
            return Err(Error::Usage(format!(
                "{} was changed in the meantime: nothing was written, run it again",
                file.replacement.path.display()
            )));
        }
    }
    for file in &prepared {
        fs::rename(&file.temporary, &file.target).map_err(|source| Error::Io {
            path: file.replacement.path.display().to_string(),
            source,
        })?;
    }
    Ok(())
}

fn prepare(replacement: Replacement<'_>) -> io::Result<Prepared<'_>> {
    let target = fs::canonicalize(replacement.path)?;
    let name = target.file_name().unwrap_or_default();
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    let temporary = target.with_file_name(hidden);
    let mut file = File::create_new(&temporary)?;
    let prepared = Prepared {
        replacement,
        target,
        temporary,
    };
    file.write_all(prepared.replacement.new)?;
    file.set_permissions(fs::metadata(&prepared.target)?.permissions())?;
    file.sync_all()?;
    Ok(prepared)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two files, and what is in their folder afterwards.
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
