//! Applies patches one on top of the other, or each alone, and goes on after one that fails.

use std::collections::HashMap;

use super::budget::bytes;
use super::mail;
use super::object::{ObjectError, Objects, Oid, WriteObjects};
use super::one_patch::{self, Problem, ProblemKind, Purpose};
use super::options::{Options, Results};
use super::overlay::{Cache, Overlay};
use super::parse::{Direction, FilePatch, parse, reversed};
use super::report::{PatchReport, PatchState};

/// A patch to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchInput {
    /// Its name, for the report.
    pub name: String,
    /// Its text: a mail of `git format-patch`, or a diff with anything around it.
    pub bytes: Vec<u8>,
}

impl PatchInput {
    /// Returns a patch with a name for the report.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
        }
    }
}

/// What each patch is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sequence {
    /// What the patches before it left.
    Stacked,
    /// The base.
    Independent,
}

/// Why a series could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// There are more patches than allowed.
    #[error("there are {count} patches, more than the {limit} that are allowed")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
}

/// A series that was applied.
#[derive(Clone, Debug)]
pub struct Series {
    patches: Vec<PatchReport>,
    overlay: Overlay,
    others: Vec<Overlay>,
    tree: Oid,
}

impl Series {
    /// Returns what became of each patch, in order.
    #[must_use]
    pub fn patches(&self) -> &[PatchReport] {
        &self.patches
    }

    /// Returns the tree after all patches that apply; the base if each was applied alone.
    #[must_use]
    pub fn tree(&self) -> Oid {
        self.tree
    }

    /// Writes the trees and blobs that the patches made, and returns the id of [`Series::tree`].
    /// Those of patches that were applied each alone are written if [`Results::All`] was asked for.
    ///
    /// # Errors
    ///
    /// If an object cannot be written.
    pub fn write(&self, store: &mut dyn WriteObjects) -> Result<Oid, ObjectError> {
        for other in &self.others {
            other.write(store)?;
        }
        self.overlay.write(store)
    }
}

/// Applies patches to a tree. Nothing is written.
///
/// Verdicts and trees are those of `git apply --cached`, run once for each patch in the given
/// order. Patches behind one that does not apply are applied all the same.
///
/// # Errors
///
/// If the store fails, or there are more patches than [`Limits::patches`](super::Limits::patches).
/// That a patch does not apply is no error: its report says why.
pub fn apply(
    objects: &dyn Objects,
    base: Oid,
    patches: &[PatchInput],
    sequence: Sequence,
    options: &Options,
) -> Result<Series, Error> {
    if patches.len() > options.limits.patches {
        return Err(Error::TooMany {
            count: patches.len(),
            limit: options.limits.patches,
        });
    }
    let cache = Cache::new(objects, &options.limits);
    let mut run = SeriesRun {
        cache: &cache,
        options,
        overlay: Overlay::new(base),
        failed: HashMap::new(),
        reported: 0,
        kept: 0,
    };
    let mut reports = Vec::with_capacity(patches.len());
    let mut others = Vec::new();
    for patch in patches {
        reports.push(run.one(patch)?);
        if sequence == Sequence::Independent {
            let done = std::mem::replace(&mut run.overlay, Overlay::new(base));
            if options.results == Results::All {
                run.kept = run.kept.saturating_add(done.held());
                others.push(done);
            }
            run.failed.clear();
        }
    }
    let tree = run.overlay.tree_id(cache.budget());
    Ok(Series {
        patches: reports,
        overlay: run.overlay,
        others,
        tree,
    })
}

struct SeriesRun<'c, 'o> {
    cache: &'c Cache<'o>,
    options: &'c Options,
    overlay: Overlay,
    /// Names that patches touch that did not apply, and the first such patch.
    failed: HashMap<Vec<u8>, String>,
    /// Bytes of all reports, without the lines that they show.
    reported: u64,
    /// Bytes of overlays that are kept to be written.
    kept: u64,
}

impl SeriesRun<'_, '_> {
    fn one(&mut self, patch: &PatchInput) -> Result<PatchReport, ObjectError> {
        let budget = self.cache.budget();
        let held = self.overlay.held().saturating_add(self.kept);
        budget.begin_patch(held.saturating_add(self.reported));
        let report = self.report(patch)?;
        self.reported = self.reported.saturating_add(size(&report));
        Ok(report)
    }

    fn report(&mut self, patch: &PatchInput) -> Result<PatchReport, ObjectError> {
        let budget = self.cache.budget();
        budget.note(mail::COST);
        let headers = mail::headers(&patch.bytes);
        let mut report = PatchReport {
            name: patch.name.clone(),
            subject: headers.subject,
            author: headers.author,
            state: PatchState::Malformed,
            tree: None,
            files: Vec::new(),
            error: None,
        };
        let parsed = match parse(&patch.bytes, self.options, budget) {
            Ok(parsed) => parsed,
            Err(malformed) => {
                report.error = Some(malformed.to_string());
                return Ok(report);
            }
        };
        let direction = if self.options.reverse {
            Direction::Reverse
        } else {
            Direction::Forward
        };
        let held = budget.held();
        let files = directed(&parsed, direction);
        let names = names(&files);
        let attempt = one_patch::apply(self.cache, &mut self.overlay, files, direction, Purpose::Apply)?;
        report.files = attempt.files;
        match attempt.problem {
            None => {
                report.tree = Some(self.overlay.tree_id(budget));
                report.state = if report.largest_offset() == 0 {
                    PatchState::Clean
                } else {
                    PatchState::Offset
                };
            }
            Some(problem) => {
                budget.fall_back_to(held.saturating_add(size(&report)));
                let (state, error) = self.classify(&parsed, &names, problem)?;
                (report.state, report.error) = (state, Some(error));
                if report.state != PatchState::Merged {
                    for name in names {
                        self.failed.entry(name).or_insert_with(|| patch.name.clone());
                    }
                }
            }
        }
        Ok(report)
    }

    fn classify(
        &mut self,
        parsed: &[FilePatch<'_>],
        names: &[Vec<u8>],
        problem: Problem,
    ) -> Result<(PatchState, String), ObjectError> {
        if problem.kind != ProblemKind::Conflict {
            return Ok((PatchState::Malformed, problem.message));
        }
        if self.takes_back(parsed)? {
            return Ok((
                PatchState::Merged,
                if self.options.reverse {
                    "it is not in the tree, so that there is nothing to take back: it applies as it is"
                } else {
                    "it is in the tree already: it applies in reverse"
                }
                .to_owned(),
            ));
        }
        Ok(match names.iter().find_map(|name| self.failed.get(name)) {
            Some(earlier) => (
                PatchState::Blocked,
                format!(
                    "{} ({earlier}, which does not apply, touches the same file)",
                    problem.message
                ),
            ),
            None => (PatchState::Conflict, problem.message),
        })
    }

    /// Whether the patch applies the other way round.
    fn takes_back(&mut self, parsed: &[FilePatch<'_>]) -> Result<bool, ObjectError> {
        let direction = if self.options.reverse {
            Direction::Forward
        } else {
            Direction::Reverse
        };
        let files = directed(parsed, direction);
        let attempt = one_patch::apply(self.cache, &mut self.overlay, files, direction, Purpose::Try)?;
        Ok(attempt.problem.is_none())
    }
}

/// The diffs of a patch as they are applied in a direction.
fn directed<'a>(parsed: &[FilePatch<'a>], direction: Direction) -> Vec<FilePatch<'a>> {
    match direction {
        Direction::Forward => parsed.to_vec(),
        Direction::Reverse => reversed(parsed),
    }
}

/// Bytes that a report holds, and the names that are remembered where it failed; without the lines
/// that it shows.
fn size(report: &PatchReport) -> u64 {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let files = report.files.iter().map(|file| {
        let names = 2 * file.path.len() + 2 * text(&file.old_path) + text(&file.error);
        size_of_val(file) + names + size_of_val(file.hunks.as_slice())
    });
    let own = size_of_val(report) + report.name.len();
    let texts = [&report.subject, &report.author, &report.error].map(text);
    bytes(own + texts.into_iter().sum::<usize>() + files.sum::<usize>())
}

fn names(files: &[FilePatch<'_>]) -> Vec<Vec<u8>> {
    files
        .iter()
        .flat_map(|file| [&file.old_name, &file.new_name])
        .flatten()
        .cloned()
        .collect()
}
