//! Refreshed patches, in a folder of their own.
//!
//! ```text
//! DIR/fix.diff     what is to change, for git apply in the folder that was checked
//! DIR/delete.txt   the files and links to delete, one path a line
//! DIR/files/…      the new contents of files, for cp -r --remove-destination DIR/files/. .
//! ```

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Component, Path};

use git_apply_engine::PatchInput;

use crate::cli::error::Error;
use crate::cli::file_diff::{OldContents, file_diff};
use crate::cli::local_files::LocalFolder;
use crate::layout::{
    ComponentSeries, ContentLimits, EditedFiles, FileEdit, LayoutError, RepositoryEdit, RepositoryFiles,
    RepositoryLayout, SeriesChange, edit_series,
};

/// What fixes the patches of a component at a release.
#[derive(Clone, Debug)]
pub(super) struct SeriesFix {
    pub(super) component: String,
    pub(super) release: String,
    /// The patches that are replaced, and those that are dropped.
    pub(super) changes: Vec<SeriesChange>,
}

/// What becomes of the repository's files.
#[derive(Debug, Default)]
pub(super) struct PlannedFixes {
    edit: RepositoryEdit,
    /// How many patches are refreshed.
    pub(super) refreshed: usize,
    /// How many patches are dropped.
    pub(super) dropped: usize,
    /// What is left alone, and what happens to links, in sentences.
    pub(super) notes: Vec<String>,
}

/// The repository that was checked.
pub(super) struct FixedRepository<'a> {
    pub(super) folder: &'a LocalFolder,
    pub(super) layout: &'a RepositoryLayout,
    pub(super) fixes: &'a [SeriesFix],
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

impl FixedRepository<'_> {
    /// Works out what happens to the files. A series is left alone if its change would change another
    /// one that does not need the same, or files outside of the folder.
    ///
    /// # Errors
    ///
    /// If a series cannot be read.
    pub(super) fn plan(&self) -> Result<PlannedFixes, Error> {
        let mut planned = PlannedFixes::default();
        for fix in self.fixes {
            let mut of_fix = self.layout.series.iter().filter(|series| fix.is_of(series));
            let Some(series) = of_fix.next() else { continue };
            if let Err(why) = self.add_fix(&mut planned, fix, series)? {
                planned
                    .notes
                    .push(format!("{} is left alone: {why}", series.folder));
            }
        }
        Ok(planned)
    }

    /// Adds the changes of a series; returns why they are not added.
    fn add_fix(
        &self,
        planned: &mut PlannedFixes,
        fix: &SeriesFix,
        series: &ComponentSeries,
    ) -> Result<Result<(), String>, Error> {
        let directory = self.folder.path.as_str();
        let files = EditedFiles::new(&self.folder.files, &planned.edit);
        let there = series.read_again(&files, directory)?;
        if there.series.contents(&files, &ContentLimits::default())? == self.wanted(series)? {
            // It has its files from a series that was changed before.
            return Ok(Ok(()));
        }
        let done = match edit_series(&files, directory, &there, &fix.changes) {
            Ok(done) => done,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let paths: Vec<&str> = done.edit.edits().map(path_of).collect();
        if let Some(path) = paths.iter().find(|path| self.path_inside(path).is_none()) {
            return Ok(Err(format!(
                "{path:?} is outside of the folder, or has a line break"
            )));
        }
        let mut edit = planned.edit.clone();
        edit.merge(done.edit.clone());
        for other in &self.layout.series {
            let is_touched = other
                .series
                .patches
                .iter()
                .any(|patch| paths.contains(&patch.path.as_str()));
            if other.folder == series.folder || !is_touched {
                continue;
            }
            // What cannot be read has nothing to lose.
            let Ok(before) = patches(other, &files, directory) else {
                continue;
            };
            let after = patches(other, &EditedFiles::new(&self.folder.files, &edit), directory).ok();
            if after.as_ref() != Some(&before) && after != self.wanted(other).ok() {
                return Ok(Err(format!(
                    "{} has the same files, and needs them in another form",
                    other.folder
                )));
            }
        }
        planned.edit = edit;
        planned.notes.extend(done.notes);
        for change in &fix.changes {
            match change {
                SeriesChange::Drop { .. } => planned.dropped += 1,
                _ => planned.refreshed += 1,
            }
        }
        Ok(Ok(()))
    }

    /// The patches of a series once it is fixed.
    fn wanted(&self, series: &ComponentSeries) -> Result<Vec<PatchInput>, LayoutError> {
        let mut wanted = patches(series, &self.folder.files, &self.folder.path)?;
        let fixes = self.fixes.iter().filter(|fix| fix.is_of(series));
        for change in fixes.flat_map(|fix| &fix.changes) {
            match change {
                SeriesChange::Drop { name } => wanted.retain(|patch| patch.name != *name),
                SeriesChange::Replace { name, bytes } => {
                    let replaced = wanted.iter_mut().filter(|patch| patch.name == *name);
                    replaced.for_each(|patch| patch.bytes.clone_from(bytes));
                }
                _ => {}
            }
        }
        Ok(wanted)
    }

    /// A path as it is written, relative to the folder that was checked; `None` for one that could
    /// lead out of it, or that cannot be written.
    fn path_inside(&self, path: &str) -> Option<String> {
        let path = self.folder.path_inside(path)?;
        let mut parts = Path::new(&path).components();
        let stays = parts.all(|part| matches!(part, Component::Normal(_)));
        (stays && !path.contains('\n')).then_some(path)
    }

    /// Writes the changes into a folder, which must be new or empty.
    ///
    /// # Errors
    ///
    /// If the folder is not empty, or cannot be written; if a file cannot be read.
    pub(super) fn write(&self, planned: &mut PlannedFixes, into: &Path) -> Result<(), Error> {
        make_empty(into)?;
        let (mut diff, mut deleted) = (Vec::new(), String::new());
        for change in planned.edit.edits() {
            let Some(path) = self.path_inside(path_of(change)) else {
                continue;
            };
            let before = self.folder.files.root().join(path_of(change));
            let before = OldContents::read(&before).map_err(|source| Error::Io {
                path: path.clone(),
                source,
            })?;
            let after = match change {
                FileEdit::Write { bytes, .. } => {
                    write_new(&into.join("files").join(&path), bytes)?;
                    Some(bytes)
                }
                FileEdit::Remove { .. } => {
                    deleted.push_str(&path);
                    deleted.push('\n');
                    None
                }
            };
            match file_diff(&path, &before, after) {
                Some(text) => diff.extend(text),
                None => planned.notes.push(format!("{path} is too large for fix.diff")),
            }
        }
        for (name, text) in [("fix.diff", diff.as_slice()), ("delete.txt", deleted.as_bytes())] {
            if !text.is_empty() {
                write_new(&into.join(name), text)?;
            }
        }
        Ok(())
    }
}

impl SeriesFix {
    fn is_of(&self, series: &ComponentSeries) -> bool {
        self.component == series.component && self.release == series.release
    }
}

fn path_of(edit: FileEdit<'_>) -> &str {
    match edit {
        FileEdit::Write { path, .. } | FileEdit::Remove { path } => path,
    }
}

/// The patches of a series, as the files have them.
fn patches(
    series: &ComponentSeries,
    files: &dyn RepositoryFiles,
    directory: &str,
) -> Result<Vec<PatchInput>, LayoutError> {
    let series = series.read_again(files, directory)?.series;
    series.contents(files, &ContentLimits::default())
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
