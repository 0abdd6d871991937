//! Patches that commands are given as files and folders.

use std::path::{Path, PathBuf};

use super::error::Error;
use super::input;
use crate::patch::PatchInput;

/// How many folders a message names.
const MOST_NAMED: usize = 10;

/// Reads the patches in the order in which they are named, and those of a folder by the bytes of
/// their names.
pub(super) fn read_all(paths: &[PathBuf], limit: u64) -> Result<Vec<PatchInput>, Error> {
    let mut patches = Vec::new();
    for path in paths {
        if path.is_dir() {
            let entries = input::entries(path)?;
            let before = patches.len();
            for path in entries.iter().filter(|path| input::is_patch(path)) {
                patches.push(read(path, limit)?);
            }
            if patches.len() == before
                && let Some(error) = too_high(path, &entries)
            {
                return Err(error);
            }
        } else {
            patches.push(read(path, limit)?);
        }
    }
    Ok(patches)
}

/// Why a folder without a patch is taken for a mistake: it has folders. An empty one means that
/// none are carried.
fn too_high(folder: &Path, entries: &[PathBuf]) -> Option<Error> {
    let folders: Vec<String> = entries
        .iter()
        .filter(|path| path.is_dir())
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .take(MOST_NAMED)
        .collect();
    (!folders.is_empty()).then(|| {
        Error::Usage(format!(
            "{} has no *.patch, and folders: name one of them ({})",
            folder.display(),
            folders.join(", ")
        ))
    })
}

fn read(path: &Path, limit: u64) -> Result<PatchInput, Error> {
    Ok(PatchInput::new(
        path.display().to_string(),
        input::read(path, limit)?,
    ))
}

/// The name of a patch without the folders that it was read from.
pub(super) fn base_name(name: &str) -> &str {
    let last = Path::new(name).file_name();
    last.and_then(|last| last.to_str()).unwrap_or(name)
}
