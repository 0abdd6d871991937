//! Refreshed patches, in a folder of their own.
//!
//! ```text
//! DIR/fix.diff     what is to change, for git apply in the folder that was checked
//! DIR/delete.txt   the patches to delete, one path a line
//! DIR/files/…      the new patches under their paths, for cp -r DIR/files/. .
//! ```

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Component, Path};

use crate::cli::error::Error;
use crate::cli::file_diff::file_diff;

/// What mends a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PatchFix {
    /// The file, relative to the folder that was checked.
    pub(super) path: String,
    pub(super) before: Vec<u8>,
    pub(super) after: FixedPatch,
}

/// What becomes of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FixedPatch {
    /// It is refreshed.
    Refreshed(Vec<u8>),
    /// It is deleted: upstream has it.
    Deleted,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WrittenFixes {
    pub(super) refreshed: usize,
    pub(super) deleted: usize,
    /// What was not written, and why, in sentences.
    pub(super) notes: Vec<String>,
}

/// Creates a folder if there is none.
///
/// # Errors
///
/// If it is not empty, or cannot be created.
pub(super) fn make_empty(folder: &Path) -> Result<(), Error> {
    let failed = |source| Error::Io {
        path: folder.display().to_string(),
        source,
    };
    fs::create_dir_all(folder).map_err(failed)?;
    if fs::read_dir(folder).map_err(failed)?.next().is_some() {
        return Err(Error::Usage(format!(
            "--fix {}: the folder is not empty: name a new one",
            folder.display()
        )));
    }
    Ok(())
}

/// Writes what mends patches into a folder, which must be new or empty.
///
/// # Errors
///
/// If the folder is not empty, or cannot be written.
pub(super) fn write(folder: &Path, fixes: &[PatchFix]) -> Result<WrittenFixes, Error> {
    make_empty(folder)?;
    let mut written = WrittenFixes::default();
    let (mut diff, mut deleted) = (Vec::new(), String::new());
    for (path, fix) in unambiguous(fixes, &mut written.notes) {
        let after = match &fix.after {
            FixedPatch::Refreshed(after) => {
                written.refreshed += 1;
                write_new(&folder.join("files").join(path), after)?;
                Some(after.as_slice())
            }
            FixedPatch::Deleted => {
                written.deleted += 1;
                deleted.push_str(path);
                deleted.push('\n');
                None
            }
        };
        match file_diff(path, Some(&fix.before), after) {
            Some(text) => diff.extend(text),
            None => written.notes.push(format!("{path} is too large for fix.diff")),
        }
    }
    for (name, text) in [("fix.diff", diff.as_slice()), ("delete.txt", deleted.as_bytes())] {
        if !text.is_empty() {
            write_new(&folder.join(name), text)?;
        }
    }
    Ok(written)
}

/// What mends each file. A file that several series share is left alone if they need different
/// fixes, as is a path that could lead out of the folder.
fn unambiguous<'a>(fixes: &'a [PatchFix], notes: &mut Vec<String>) -> BTreeMap<&'a str, &'a PatchFix> {
    let mut by_path: BTreeMap<&str, Option<&PatchFix>> = BTreeMap::new();
    for fix in fixes {
        by_path
            .entry(&fix.path)
            .and_modify(|known| {
                if *known != Some(fix) {
                    *known = None;
                }
            })
            .or_insert(Some(fix));
    }
    let mut kept = BTreeMap::new();
    for (path, fix) in by_path {
        let stays = Path::new(path)
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        match fix {
            Some(fix) if stays && !path.contains('\n') => {
                kept.insert(path, fix);
            }
            Some(_) => notes.push(format!("{path:?} is left alone: its name cannot be written")),
            None => notes.push(format!(
                "{path} is left alone: several components use it, and need it in different forms"
            )),
        }
    }
    kept
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(path)?
            .write_all(bytes)
    };
    write().map_err(|source| Error::Io {
        path: path.display().to_string(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(path: &str, after: FixedPatch) -> PatchFix {
        PatchFix {
            path: path.to_owned(),
            before: b"a\nb\n".to_vec(),
            after,
        }
    }

    #[test]
    fn nothing_is_written_outside_or_twice() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("fix");
        let refreshed = |text: &str| FixedPatch::Refreshed(text.as_bytes().to_vec());
        let fixes = [
            fix("../escape", refreshed("x\n")),
            fix("/absolute", refreshed("x\n")),
            fix("patches/a b\"é", refreshed("a\nc\n")),
            fix("patches/shared", refreshed("1\n")),
            fix("patches/shared", refreshed("2\n")),
            fix("patches/same", refreshed("1\n")),
            fix("patches/same", refreshed("1\n")),
            fix("patches/gone", FixedPatch::Deleted),
        ];
        let written = write(&target, &fixes).unwrap();
        assert_eq!(
            (written.refreshed, written.deleted, written.notes.len()),
            (2, 1, 3)
        );
        assert_eq!(
            fs::read_to_string(target.join("delete.txt")).unwrap(),
            "patches/gone\n"
        );
        assert_eq!(
            fs::read_to_string(target.join("fix.diff")).unwrap(),
            "diff --git \"a/patches/a b\\\"\\303\\251\" \"b/patches/a b\\\"\\303\\251\"\n\
             --- \"a/patches/a b\\\"\\303\\251\"\n+++ \"b/patches/a b\\\"\\303\\251\"\n\
             @@ -1,2 +1,2 @@\n a\n-b\n+c\n\
             diff --git a/patches/gone b/patches/gone\ndeleted file mode 100644\n\
             --- a/patches/gone\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n\
             diff --git a/patches/same b/patches/same\n--- a/patches/same\n+++ b/patches/same\n\
             @@ -1,2 +1 @@\n-a\n-b\n+1\n"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write(&target, &fixes).unwrap_err().to_string();
        assert!(error.contains("not empty"), "{error}");
    }
}
