//! The record of changes that are being written to a team's repository: a process that is killed
//! leaves nothing half done.
//!
//! It lies in the Git folder, where no commit can put one: what a record says is carried out.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::error::Error;
use crate::cli::file_changes::{AfterFailure, ChangePlan, ChangeRecord};

/// The record's name in the Git folder.
const NAME: &str = "patchset-changes.json";

/// The largest record that is read, in bytes.
const LARGEST: u64 = 64 << 20;

/// How often a record that another process removes meanwhile is opened again.
const TRIES: usize = 8;

/// The record, held by one process at a time.
pub(super) struct ChangeJournal {
    path: PathBuf,
    file: File,
    is_decided: bool,
}

/// The second line: all new contents take their places.
const DECIDED: &str = "decided\n";

/// What became of the changes of a process that was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recovered {
    Nothing,
    /// They were not decided: all is as it was before.
    TakenBack,
    /// They were decided, and have been completed.
    Finished,
}

impl ChangeJournal {
    /// Takes a Git folder's record, and completes or takes back what a killed process had begun.
    ///
    /// # Errors
    ///
    /// Where another process writes, or the record cannot be used.
    pub(super) fn take(git_folder: &Path, root: &Path) -> Result<(Self, Recovered), Error> {
        let path = git_folder.join(NAME);
        let failed = |source| Error::Io {
            path: path.display().to_string(),
            source,
        };
        for _ in 0..TRIES {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Usage(format!(
                        "another patchset command is writing to the repository ({} is locked): run this again when it has finished",
                        path.display()
                    )));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Whoever had it may have removed it.
            let is_there = match (fs::metadata(&path), file.metadata()) {
                (Ok(there), Ok(held)) => there.ino() == held.ino() && there.dev() == held.dev(),
                _ => false,
            };
            if is_there {
                let mut journal = Self {
                    path: path.clone(),
                    file,
                    is_decided: false,
                };
                let recovered = journal.recover(root)?;
                return Ok((journal, recovered));
            }
        }
        Err(failed(io::Error::other("other commands write all the time")))
    }

    /// Completes or takes back what a killed process had begun, if there is something.
    ///
    /// # Errors
    ///
    /// As for [`take`](Self::take).
    pub(super) fn recover_left_over(git_folder: &Path, root: &Path) -> Result<Recovered, Error> {
        if !git_folder.join(NAME).exists() {
            return Ok(Recovered::Nothing);
        }
        let (journal, recovered) = Self::take(git_folder, root)?;
        journal.remove();
        Ok(recovered)
    }

    fn recover(&mut self, root: &Path) -> Result<Recovered, Error> {
        let path = self.path.clone();
        let failed = |source| Error::Io {
            path: path.display().to_string(),
            source,
        };
        let mut text = String::new();
        let file = &mut self.file;
        file.take(LARGEST).read_to_string(&mut text).map_err(failed)?;
        let (plan, rest) = text.split_once('\n').unwrap_or_default();
        // If it was cut off, no file had been created yet.
        let Ok(mut plan) = serde_json::from_str::<ChangePlan>(plan) else {
            return Ok(Recovered::Nothing);
        };
        root.clone_into(&mut plan.root);
        if rest != DECIDED {
            plan.take_back();
            return Ok(Recovered::TakenBack);
        }
        plan.finish().map_err(|(path, source)| Error::Io {
            path: format!(
                "{}, which an interrupted command had begun to write",
                path.display()
            ),
            source,
        })?;
        Ok(Recovered::Finished)
    }

    /// Whether what was recorded is to be finished, whatever becomes of this process.
    pub(super) fn is_decided(&self) -> bool {
        self.is_decided
    }

    /// Removes the record: what it says is done.
    pub(super) fn remove(self) {
        // If it stays, it only says what is done already.
        let _ = fs::remove_file(&self.path);
    }
}

impl ChangeRecord for ChangeJournal {
    fn record_plan(&mut self, plan: &ChangePlan) -> io::Result<()> {
        let mut line = serde_json::to_vec(plan)?;
        line.push(b'\n');
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(&line)?;
        self.file.sync_all()
    }

    fn record_decision(&mut self, _: &ChangePlan) -> io::Result<()> {
        // Where this fails half-way, the changes are taken back.
        self.file.write_all(DECIDED.as_bytes())?;
        self.file.sync_all()?;
        self.is_decided = true;
        Ok(())
    }

    fn after_failure(&self) -> AfterFailure {
        AfterFailure::Finished
    }
}
