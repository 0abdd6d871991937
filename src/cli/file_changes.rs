//! Changes of several files, all or none as far as the file system lets it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::error::Error;

/// The SHA-256 of what a file held when it was read.
pub(super) type ReadDigest = [u8; 32];

/// The digest of what was read of a file.
pub(super) fn read_digest(bytes: &[u8]) -> ReadDigest {
    Sha256::digest(bytes).into()
}

/// A change of one file.
#[derive(Clone, Debug)]
pub(super) struct FileChange<'a> {
    /// The file as it is reported.
    pub(super) shown: String,
    /// The file itself, not a link to it; below the root of the changes, where they have one.
    pub(super) path: PathBuf,
    pub(super) expected: ExpectedFile,
    /// Its new contents; `None` to remove it.
    pub(super) contents: Option<&'a [u8]>,
}

/// What is at a path before it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExpectedFile {
    /// Nothing.
    Absent,
    /// A file or link, whatever it holds.
    Present,
    /// A file that holds what was read.
    Holds(ReadDigest),
}

/// Which files change, by their paths: enough to finish what was begun, or to take it back.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(super) struct ChangePlan {
    /// New contents: in a file beside the one whose place they take.
    pub(super) writes: Vec<PlannedWrite>,
    pub(super) removals: Vec<PathBuf>,
    /// Folders that are made for it, outermost first.
    pub(super) folders: Vec<PathBuf>,
    /// The folder that paths are relative to; empty if they are absolute.
    #[serde(skip)]
    pub(super) root: PathBuf,
}

/// New contents of a file.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct PlannedWrite {
    pub(super) temporary: PathBuf,
    pub(super) path: PathBuf,
}

/// Records the steps, so that a process that is killed leaves nothing half done.
pub(super) trait ChangeRecord {
    /// Files are about to be created that do not count yet.
    fn record_plan(&mut self, plan: &ChangePlan) -> io::Result<()>;
    /// All new contents are there, and are about to take their places.
    fn record_decision(&mut self, plan: &ChangePlan) -> io::Result<()>;
    /// What becomes of changes that fail half-way.
    fn after_failure(&self) -> AfterFailure;
}

/// What becomes of changes that fail after it was decided to make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterFailure {
    /// New contents that did not take their place yet are removed.
    TakenBack,
    /// They are finished by the record later.
    Finished,
}

/// Records nothing.
pub(super) struct Unrecorded;

impl ChangeRecord for Unrecorded {
    fn record_plan(&mut self, _: &ChangePlan) -> io::Result<()> {
        Ok(())
    }

    fn record_decision(&mut self, _: &ChangePlan) -> io::Result<()> {
        Ok(())
    }

    fn after_failure(&self) -> AfterFailure {
        AfterFailure::TakenBack
    }
}

/// Removes what was prepared, unless it took its place.
struct Prepared<'a> {
    plan: &'a ChangePlan,
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        self.plan.take_back();
    }
}

impl ChangePlan {
    /// The plan of changes below a folder, or anywhere where `root` is empty.
    fn new(changes: &[FileChange<'_>], root: &Path) -> Self {
        let mut plan = Self {
            root: root.to_owned(),
            ..Self::default()
        };
        for (number, change) in changes.iter().enumerate() {
            if change.contents.is_none() {
                plan.removals.push(change.path.clone());
                continue;
            }
            let folders = change.path.ancestors().skip(1);
            let missing = folders.take_while(|folder| !root.join(folder).exists());
            for folder in missing.collect::<Vec<_>>().into_iter().rev() {
                if !plan.folders.iter().any(|known| known == folder) {
                    plan.folders.push(folder.to_owned());
                }
            }
            let name = format!(".patchset-{}-{number}", std::process::id());
            plan.writes.push(PlannedWrite {
                temporary: change.path.with_file_name(name),
                path: change.path.clone(),
            });
        }
        plan
    }

    /// Removes what was prepared.
    pub(super) fn take_back(&self) {
        for write in &self.writes {
            // It is gone if it took its place.
            let _ = fs::remove_file(self.root.join(&write.temporary));
        }
        for folder in self.folders.iter().rev() {
            // One that is in use stays.
            let _ = fs::remove_dir(self.root.join(folder));
        }
    }

    /// Puts everything in its place. Run again, it continues where it was interrupted.
    ///
    /// # Errors
    ///
    /// The file at which it failed, and why.
    pub(super) fn finish(&self) -> Result<(), (PathBuf, io::Error)> {
        for write in &self.writes {
            let path = self.root.join(&write.path);
            match fs::rename(self.root.join(&write.temporary), &path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && path.exists() => {}
                done => done.map_err(|error| (write.path.clone(), error))?,
            }
        }
        for path in &self.removals {
            match fs::remove_file(self.root.join(path)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                done => done.map_err(|error| (path.clone(), error))?,
            }
        }
        for path in self.writes.iter().map(|write| &write.path).chain(&self.removals) {
            if let Some(folder) = path.parent() {
                sync_folder(&self.root.join(folder));
            }
        }
        for path in &self.removals {
            self.remove_empty_folders(path);
        }
        Ok(())
    }

    /// Removes the folders around a file that have become empty, as Git keeps none.
    fn remove_empty_folders(&self, path: &Path) {
        if self.root.as_os_str().is_empty() {
            return;
        }
        let below_root = |folder: &&Path| !folder.as_os_str().is_empty();
        for folder in path.ancestors().skip(1).take_while(below_root) {
            // One that is not empty stays, and so do those around it.
            if fs::remove_dir(self.root.join(folder)).is_err() {
                return;
            }
        }
    }
}

/// Makes renames in a folder survive a power loss, where the file system can.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// Makes all changes, or none: all new contents are written beside the files, and only then does
/// each take its place at once. If writing fails, or a file is not as it was read, all stay as they
/// are. Paths are relative to `root`, or absolute if that is empty.
///
/// # Errors
///
/// What failed, and where.
pub(super) fn change_all(
    changes: &[FileChange<'_>],
    root: &Path,
    record: &mut dyn ChangeRecord,
) -> Result<(), Error> {
    let plan = ChangePlan::new(changes, root);
    let failed = |path: &Path, source| Error::Io {
        path: path.display().to_string(),
        source,
    };
    let not_recorded = |source| Error::Io {
        path: "the record of what is written".to_owned(),
        source,
    };
    record.record_plan(&plan).map_err(not_recorded)?;
    let prepared = Prepared { plan: &plan };
    for folder in &plan.folders {
        fs::create_dir(root.join(folder)).map_err(|source| failed(folder, source))?;
    }
    let contents = changes.iter().filter_map(|change| change.contents);
    for (write, contents) in plan.writes.iter().zip(contents) {
        prepare(root, write, contents).map_err(|source| failed(&write.path, source))?;
    }
    for change in changes {
        if !is_as_expected(root, change).map_err(|source| failed(&change.path, source))? {
            return Err(Error::Usage(format!(
                "{} was changed in the meantime: nothing was written, run it again",
                change.shown
            )));
        }
    }
    record.record_decision(&plan).map_err(not_recorded)?;
    let done = plan.finish();
    if done.is_err() && record.after_failure() == AfterFailure::Finished {
        std::mem::forget(prepared);
    }
    done.map_err(|(path, source)| failed(&path, source))
}

fn is_as_expected(root: &Path, change: &FileChange<'_>) -> io::Result<bool> {
    let path = root.join(&change.path);
    let found = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        found => Some(found?),
    };
    Ok(match (change.expected, found) {
        (ExpectedFile::Absent, found) => found.is_none(),
        (ExpectedFile::Present, found) => found.is_some_and(|found| !found.is_dir()),
        (ExpectedFile::Holds(_), None) => false,
        (ExpectedFile::Holds(digest), Some(_)) => read_digest(&fs::read(&path)?) == digest,
    })
}

fn prepare(root: &Path, write: &PlannedWrite, contents: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(root.join(&write.temporary))?;
    file.write_all(contents)?;
    if let Ok(there) = fs::symlink_metadata(root.join(&write.path))
        && there.is_file()
    {
        file.set_permissions(there.permissions())?;
    }
    file.sync_all()
}
