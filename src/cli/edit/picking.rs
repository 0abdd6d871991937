//! Puts the patches of a series onto a commit, one commit each, until one needs the user.

use std::fmt::Write;

use git_apply_engine::{Oid, PatchInput, PatchReport, PatchState, Sequence};
use git_mirrors::local::LocalRepository;
use patch_headers::CommitText;
use patch_refresh::{FileVersion, RefreshOptions, ThreeWayHints, VersionSource, three_way_files};

use super::git_tree::{GitTree, TreeFile};
use super::state::EditState;
use crate::cli::error::Error;
use crate::cli::local_refresh::Blobs;
use crate::cli::style::{BAD, DIM, GOOD, ODD, plain};
use crate::rework::PatchCommit;

/// A series that is put onto a commit.
pub(super) struct Picking<'a> {
    pub(super) tree: &'a GitTree,
    pub(super) repository: LocalRepository,
    pub(super) state: EditState,
    pub(super) patches: Vec<PatchInput>,
    /// What to report.
    pub(super) summary: String,
}

/// How far a series got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All patches are there.
    Done,
    /// One waits for the user.
    Waiting,
}

/// The outcome of a cherry-pick.
enum Picked {
    Clean(Oid),
    Conflict,
}

impl Picking<'_> {
    /// Continues from a patch. What applies is applied in memory; the working tree is updated when
    /// a patch does not apply, and at the end.
    pub(super) fn go_on(&mut self, first: usize) -> Result<Progress, Error> {
        let mut head: Oid = self.oid(&self.state.head)?;
        let mut shown = head;
        for at in first..self.patches.len() {
            let Some(patch) = self.patches.get(at).cloned() else {
                break;
            };
            let before = self.repository.tree_of(&head.to_string())?;
            let series = git_apply_engine::apply(
                &self.repository,
                before,
                std::slice::from_ref(&patch),
                Sequence::Stacked,
                &self.state.engine(),
            )?;
            let report = series.patches().first().cloned();
            match report.as_ref().map(|report| report.state) {
                Some(state @ (PatchState::Clean | PatchState::Offset)) => {
                    let tree = series.write(&mut self.repository)?;
                    head = self.record(at, tree, head)?;
                    let note = if state == PatchState::Offset {
                        "applied with an offset"
                    } else {
                        "applied"
                    };
                    self.add_patch_note(at, &format!("{GOOD}{note}{GOOD:#}"));
                    continue;
                }
                Some(PatchState::Merged) => {
                    head = self.record(at, before, head)?;
                    self.add_patch_note(at, &format!("{ODD}upstream has it: the commit is empty{ODD:#}"));
                    continue;
                }
                _ => {}
            }
            self.show(head, shown)?;
            self.state.waiting = Some(at);
            self.state.head = head.to_string();
            self.state.write(self.tree)?;
            match self.pick(at, head, report.as_ref())? {
                Picked::Clean(tree) => {
                    let is_empty = tree == before;
                    head = self.record(at, tree, head)?;
                    self.tree
                        .git(&["update-ref", "-m", "patchset edit", "HEAD", &head.to_string()])?;
                    shown = head;
                    self.add_patch_note(
                        at,
                        &if is_empty {
                            format!("{ODD}upstream has it in another form: the commit is empty{ODD:#}")
                        } else {
                            format!("{ODD}merged three-way{ODD:#}")
                        },
                    );
                }
                Picked::Conflict => return Ok(Progress::Waiting),
            }
        }
        self.show(head, shown)?;
        self.state.waiting = None;
        self.state.head = head.to_string();
        self.state.write(self.tree)?;
        Ok(Progress::Done)
    }

    fn oid(&self, text: &str) -> Result<Oid, Error> {
        text.parse().map_err(|_| {
            Error::Usage(format!(
                "{}: its state names no commit",
                self.tree.folder().display()
            ))
        })
    }

    /// Writes the commit of a patch.
    pub(super) fn record(&mut self, at: usize, tree: Oid, parent: Oid) -> Result<Oid, Error> {
        let commit = self
            .tree
            .write_commit(&self.commit_of(at)?.object(tree, parent))?;
        if let Some(patch) = self.state.patches.get_mut(at) {
            patch.commit = Some(commit.to_string());
        }
        Ok(commit)
    }

    fn commit_of(&self, at: usize) -> Result<PatchCommit, Error> {
        let patch = self
            .patches
            .get(at)
            .ok_or_else(|| Error::Usage("the series has fewer patches than were begun".to_owned()))?;
        let text = CommitText::read(&patch.bytes);
        Ok(PatchCommit::read(&patch.name, &text, self.state.undated))
    }

    /// Resets the working tree to a commit, unless it already shows it.
    fn show(&self, head: Oid, shown: Oid) -> Result<(), Error> {
        let is_begun = self.tree.git_folder().join("index").exists();
        if head == shown && is_begun {
            return Ok(());
        }
        self.tree
            .git(&["reset", "--hard", "--quiet", &head.to_string()])
            .map(drop)
    }

    fn add_patch_note(&mut self, at: usize, what: &str) {
        let name = self
            .patches
            .get(at)
            .map(|patch| plain(&patch.name))
            .unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(self.summary, "    {name}  {what}");
    }

    /// Picks a patch that does not apply, from a commit with what it was made for to one that also
    /// has the patch, so that `git` merges three-way and leaves its own state.
    fn pick(&mut self, at: usize, head: Oid, report: Option<&PatchReport>) -> Result<Picked, Error> {
        let Some(patch) = self.patches.get(at).cloned() else {
            return Ok(Picked::Conflict);
        };
        let tree = self.repository.tree_of(&head.to_string())?;
        let last_applied = self
            .state
            .patches
            .get(at)
            .and_then(|patch| patch.last_applied.as_ref());
        let options = RefreshOptions {
            engine: self.state.engine(),
            ..RefreshOptions::default()
        };
        let hints = ThreeWayHints {
            blobs: Some(&Blobs(&self.repository)),
            last_applied: last_applied.and_then(|id| id.parse().ok()),
        };
        let files = three_way_files(&self.repository, tree, &patch, hints, &options)?;
        let unknown: Vec<String> = files
            .iter()
            .filter(|file| file.source == VersionSource::Unknown)
            .map(|file| String::from_utf8_lossy(&file.path).into_owned())
            .collect();
        let (mut base, mut theirs) = (Vec::new(), Vec::new());
        for file in &files {
            base.push(TreeFile {
                path: &file.path,
                file: self.write_version(file.base.as_ref())?,
            });
            theirs.push(TreeFile {
                path: &file.path,
                file: self.write_version(file.theirs.as_ref())?,
            });
        }
        let base = self.tree.write_tree_with(tree, &base)?;
        let theirs = self.tree.write_tree_with(tree, &theirs)?;
        let commit = self.commit_of(at)?;
        let made_for = PatchCommit {
            message: format!("What {} was made for\n", patch.name),
            ..commit.clone()
        };
        let parent = self.tree.write_commit(&made_for.object(base, head))?;
        let picked = self.tree.write_commit(&commit.object(theirs, parent))?;
        let output = self
            .tree
            .try_git(&["cherry-pick", "--keep-redundant-commits", &picked.to_string()])?;
        if !unknown.is_empty() {
            self.add_patch_note(
                at,
                &format!(
                    "{BAD}its change to {} is left out: it is binary, and what it was made for is not known{BAD:#}",
                    unknown.join(", ")
                ),
            );
        }
        if output.status.success() && unknown.is_empty() {
            return Ok(Picked::Clean(self.repository.tree_of("HEAD")?));
        }
        if !output.status.success() && !self.tree.is_picking() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::Usage(format!("git cherry-pick: {said}")));
        }
        let error = report.and_then(|report| report.error.clone()).unwrap_or_default();
        self.add_patch_note(
            at,
            &format!("{BAD}conflict{BAD:#}  {DIM}{}{DIM:#}", plain(&error)),
        );
        for file in files
            .iter()
            .filter(|file| file.source == VersionSource::Reconstructed)
        {
            let _ = writeln!(
                self.summary,
                "      {}: what the patch was made for is not known, so its hunks were put where they match best",
                plain(&String::from_utf8_lossy(&file.path))
            );
        }
        Ok(Picked::Conflict)
    }

    fn write_version(
        &self,
        version: Option<&FileVersion>,
    ) -> Result<Option<(git_apply_engine::EntryMode, Oid)>, Error> {
        version
            .map(|version| Ok((version.mode, self.tree.write_blob(&version.contents)?)))
            .transpose()
    }
}
