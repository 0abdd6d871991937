//! Patches that commands are given as files and folders.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use git_apply_engine::PatchInput;

use super::error::Error;
use super::input;
use super::local_files::LocalFolder;
use super::output::note;
use crate::layout::{ContentLimits, Series};

/// How many folders a message names.
const MOST_NAMED: usize = 10;

/// What patches are called.
#[derive(Clone, Copy)]
enum NamedBy {
    /// By their path, as given.
    Path,
    /// Their name in their folder, as the controller calls them.
    Name,
}

/// Reads the patches in the order in which they are named, and those of a folder in the order that
/// it has. They are named by their paths.
pub(super) fn read_all(paths: &[PathBuf], limit: u64) -> Result<Vec<PatchInput>, Error> {
    read(paths, limit, NamedBy::Path)
}

/// As [`read_all`]; they are named as the controller names them.
pub(super) fn read_named(paths: &[PathBuf], limit: u64) -> Result<Vec<PatchInput>, Error> {
    read(paths, limit, NamedBy::Name)
}

fn read(paths: &[PathBuf], limit: u64, named_by: NamedBy) -> Result<Vec<PatchInput>, Error> {
    let mut patches = Vec::new();
    for path in paths {
        let bytes = match input::read(path, limit) {
            Err(Error::Io { source, .. }) if source.kind() == ErrorKind::IsADirectory => {
                let found = read_folder(path, limit)?;
                patches.extend(found.into_iter().map(|patch| match named_by {
                    NamedBy::Name => patch,
                    NamedBy::Path => PatchInput {
                        name: path.join(&patch.name).display().to_string(),
                        ..patch
                    },
                }));
                continue;
            }
            read => read?,
        };
        let name = match (named_by, path.file_name()) {
            (NamedBy::Name, Some(name)) => name.to_string_lossy().into_owned(),
            _ => path.display().to_string(),
        };
        patches.push(PatchInput::new(name, bytes));
    }
    Ok(patches)
}

/// The patches of a folder, by their names in it. Notes what else is in it.
fn read_folder(path: &Path, limit: u64) -> Result<Vec<PatchInput>, Error> {
    let folder = LocalFolder::open(path)?;
    let Some(series) = Series::read(&folder.files, &folder.path)? else {
        return Ok(Vec::new());
    };
    if series.patches.is_empty()
        && series.blocking_fault().is_none()
        && let Some(error) = too_high(path)?
    {
        return Err(error);
    }
    let limits = ContentLimits {
        file: limit,
        total: u64::MAX,
        count: usize::MAX,
    };
    let found = series.read_patches(&folder.files, &limits)?;
    if let Some(found) = &found.note {
        note(found);
    }
    Ok(found.patches)
}

/// The error for a folder that has folders but no patch, which is taken for a mistake. An empty one
/// means that none are carried.
fn too_high(folder: &Path) -> Result<Option<Error>, Error> {
    let entries = input::entries(folder)?;
    let folders: Vec<String> = entries
        .iter()
        .filter(|path| path.is_dir())
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .filter(|name| !name.starts_with('.'))
        .take(MOST_NAMED)
        .collect();
    Ok((!folders.is_empty()).then(|| {
        Error::Usage(format!(
            "{} has no *.patch or *.diff, but folders: name one of them ({})",
            folder.display(),
            folders.join(", ")
        ))
    }))
}
