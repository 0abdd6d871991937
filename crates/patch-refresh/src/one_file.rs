//! Refreshes the diff of one file that does not apply as it is.

use git_apply_engine::{EntryMode, FileChange, Oid};

use super::applying::Stop;
use super::bases::BaseSearch;
use super::fuzz::{self, LineKind};
use super::layout::{Section, SectionPresence};
use super::merge::{Merge, is_binary, merge};
use super::outcome::FileOutcome;
use super::scratch::Scratch;
use super::unified::{HunkStyle, hunks};

/// What is needed to refresh diffs.
#[derive(Clone, Copy)]
pub(crate) struct Mender<'a> {
    pub(crate) scratch: &'a Scratch<'a>,
    pub(crate) bases: BaseSearch<'a>,
    pub(crate) style: HunkStyle,
    /// How many lines of context at an end of a hunk may differ.
    pub(crate) fuzz: usize,
}

/// A refreshed diff of a file.
pub(crate) struct Mended {
    pub(crate) outcome: FileOutcome,
    pub(crate) diff: MendedDiff,
}

/// What is left of the diff of a file.
pub(crate) enum MendedDiff {
    /// Its hunks.
    Hunks(Vec<u8>),
    /// Its header: the tree has the contents.
    Metadata,
    /// Nothing: the tree has all of it.
    Nothing,
}

impl Mended {
    fn left_out() -> Self {
        Self {
            outcome: FileOutcome::LeftOut,
            diff: MendedDiff::Nothing,
        }
    }

    /// Puts it into a section, and returns what was done.
    pub(crate) fn put_into(self, section: &mut Section<'_>) -> FileOutcome {
        match self.diff {
            MendedDiff::Hunks(hunks) => section.body = hunks,
            MendedDiff::Metadata => section.drop_contents(),
            MendedDiff::Nothing => section.presence = SectionPresence::LeftOut,
        }
        self.outcome
    }
}

impl Mender<'_> {
    /// Refreshes the diff of a file for a tree, or says in a sentence why a person has to.
    pub(crate) fn refresh_file(
        &self,
        tree: Oid,
        section: &Section<'_>,
        error: &str,
    ) -> Result<Result<Mended, String>, Stop> {
        let diff = &section.diff;
        let made_already = self.has_result(tree, section)?;
        match (diff.change, &diff.old_path) {
            (FileChange::Create, _) if made_already => Ok(Ok(Mended::left_out())),
            (FileChange::Modify, _) if made_already && !section.changes_metadata() => {
                Ok(Ok(Mended::left_out()))
            }
            (FileChange::Modify | FileChange::Rename | FileChange::Copy, Some(path))
                if !diff.is_binary && !diff.hunks.is_empty() =>
            {
                self.mend_text(tree, path, section, error)
            }
            _ => Ok(Err(error.to_owned())),
        }
    }

    /// Whether the tree has the file as the diff leaves it, by its whole contents.
    fn has_result(&self, tree: Oid, section: &Section<'_>) -> Result<bool, Stop> {
        let diff = &section.diff;
        let Some(path) = &diff.new_path else {
            return Ok(false);
        };
        let Some(file) = self.scratch.file(tree, path)? else {
            return Ok(false);
        };
        if diff.is_binary {
            return Ok(Oid::from_hex(diff.new_id) == Some(file.id));
        }
        if diff.change != FileChange::Create || file.mode != EntryMode::from_bits(diff.new_mode) {
            return Ok(false);
        }
        let hunks = section.hunks();
        let lines = hunks.iter().flat_map(|hunk| &hunk.lines);
        let added = lines.filter(|(kind, _)| *kind == LineKind::Added);
        let contents: Vec<u8> = added.flat_map(|(_, line)| line.iter().copied()).collect();
        Ok(Oid::of_blob(&contents) == file.id)
    }

    fn mend_text(
        &self,
        tree: Oid,
        path: &[u8],
        section: &Section<'_>,
        error: &str,
    ) -> Result<Result<Mended, String>, Stop> {
        let work = self.bases.work;
        let is_file = |mode| matches!(mode, EntryMode::Regular | EntryMode::Executable);
        let Some(file) = self.scratch.file(tree, path)?.filter(|file| is_file(file.mode)) else {
            return Ok(Err(error.to_owned()));
        };
        let Some(ours) = self.scratch.contents(file.id, work.limits().file_bytes)? else {
            return Ok(Err(format!("{error}; it is too large to be merged")));
        };
        if is_binary(&ours) {
            return Ok(Err(error.to_owned()));
        }
        let bases = self.bases.find(self.scratch, section)?;
        let mut conflict = None;
        for base in &bases {
            match merge(&base.contents, &ours, &base.patched, work)? {
                Merge::Clean(merged) => {
                    let outcome = FileOutcome::ThreeWay { base: base.kind };
                    return self.mended(&ours, &merged, section, outcome).map(Ok);
                }
                Merge::Conflict { line } => conflict = conflict.or(Some(line)),
            }
        }
        if self.fuzz > 0
            && let Some(fuzzed) = fuzz::apply(&ours, &section.hunks(), self.fuzz, work)?
        {
            let outcome = FileOutcome::Fuzz { lines: fuzzed.fuzz };
            return self.mended(&ours, &fuzzed.contents, section, outcome).map(Ok);
        }
        Ok(Err(match conflict {
            Some(line) => format!("{error}; a three-way merge has a conflict at line {line} of the file"),
            None => {
                format!("{error}; the file that it was made for is not known, so it cannot be merged")
            }
        }))
    }

    fn mended(
        &self,
        ours: &[u8],
        new: &[u8],
        section: &Section<'_>,
        outcome: FileOutcome,
    ) -> Result<Mended, Stop> {
        let hunks = hunks(ours, new, self.style, self.bases.work)?;
        Ok(match (hunks.is_empty(), section.changes_metadata()) {
            (false, _) => Mended {
                outcome,
                diff: MendedDiff::Hunks(hunks),
            },
            (true, true) => Mended {
                outcome,
                diff: MendedDiff::Metadata,
            },
            (true, false) => Mended::left_out(),
        })
    }
}
