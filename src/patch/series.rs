//! Applies patches one on top of the other, or each alone, and goes on after one that fails.

use std::collections::HashMap;

use super::engine::{self, Problem, ProblemKind};
use super::mail;
use super::object::{ObjectError, Objects, Oid, WriteObjects};
use super::options::{Options, Results};
use super::overlay::{Cache, Overlay};
use super::parse::{FilePatch, parse};
use super::report::{Malformed, PatchReport, State};

/// A patch to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchInput {
    /// Its name, for the report.
    pub name: String,
    /// Its text.
    pub bytes: Vec<u8>,
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
    /// What became of each patch, in order.
    #[must_use]
    pub fn patches(&self) -> &[PatchReport] {
        &self.patches
    }

    /// The tree after all patches that apply; the base where each was applied alone.
    #[must_use]
    pub fn tree(&self) -> Oid {
        self.tree
    }

    /// Writes the trees and blobs that the patches made, and gives the id of [`Series::tree`]. Those of patches that
    /// were applied each alone are written where [`Results::All`] was asked for.
    ///
    /// # Errors
    ///
    /// Where an object cannot be written.
    pub fn write(&self, store: &mut dyn WriteObjects) -> Result<Oid, ObjectError> {
        for other in &self.others {
            other.write(store)?;
        }
        self.overlay.write(store)
    }
}

/// Applies patches to a tree. Nothing is written.
///
/// Verdicts and trees are those of `git apply --cached`, one process a patch in the given order.
///
/// # Errors
///
/// Where the store fails, or there are too many patches. A patch that does not apply is no error.
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
    let cache = Cache::new(objects);
    let mut run = Run {
        cache: &cache,
        options,
        overlay: Overlay::new(base),
        failed: HashMap::new(),
    };
    let mut reports = Vec::with_capacity(patches.len());
    let mut others = Vec::new();
    for patch in patches {
        reports.push(run.one(patch)?);
        if sequence == Sequence::Independent {
            let done = std::mem::replace(&mut run.overlay, Overlay::new(base));
            if options.results == Results::All {
                others.push(done);
            }
            run.failed.clear();
        }
    }
    let tree = run.overlay.tree_id();
    Ok(Series {
        patches: reports,
        overlay: run.overlay,
        others,
        tree,
    })
}

struct Run<'c, 'o> {
    cache: &'c Cache<'o>,
    options: &'c Options,
    overlay: Overlay,
    /// Names that patches touch that did not apply, and the first such patch.
    failed: HashMap<Vec<u8>, String>,
}

impl Run<'_, '_> {
    fn one(&mut self, patch: &PatchInput) -> Result<PatchReport, ObjectError> {
        let headers = mail::headers(&patch.bytes);
        let mut report = PatchReport {
            name: patch.name.clone(),
            subject: headers.subject,
            author: headers.author,
            state: State::Malformed,
            tree: None,
            files: Vec::new(),
            error: None,
        };
        let files = match parse(&patch.bytes, self.options) {
            Ok(files) => files,
            Err(malformed) => {
                report.error = Some(malformed.to_string());
                return Ok(report);
            }
        };
        let names = names(&files);
        let (limits, reverse) = (&self.options.limits, self.options.reverse);
        let attempt = engine::apply(self.cache, &mut self.overlay, files, limits, reverse)?;
        report.files = attempt.files;
        match attempt.problem {
            None => {
                report.tree = Some(self.overlay.tree_id());
                report.state = if report.largest_offset() == 0 {
                    State::Clean
                } else {
                    State::Offset
                };
            }
            Some(problem) => {
                let (state, error) = self.classify(patch, &names, problem)?;
                (report.state, report.error) = (state, Some(error));
                if report.state != State::Merged {
                    for name in names {
                        self.failed.entry(name).or_insert_with(|| patch.name.clone());
                    }
                }
            }
        }
        Ok(report)
    }

    fn classify(
        &self,
        patch: &PatchInput,
        names: &[Vec<u8>],
        problem: Problem,
    ) -> Result<(State, String), ObjectError> {
        if problem.kind == ProblemKind::Refused {
            return Ok((State::Malformed, problem.message));
        }
        if self.takes_back(patch)? {
            return Ok((
                State::Merged,
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
                State::Blocked,
                format!(
                    "{} ({earlier}, which does not apply, touches the same file)",
                    problem.message
                ),
            ),
            None => (State::Conflict, problem.message),
        })
    }

    /// Whether the patch applies the other way round.
    fn takes_back(&self, patch: &PatchInput) -> Result<bool, ObjectError> {
        let options = Options {
            reverse: !self.options.reverse,
            ..self.options.clone()
        };
        let files: Result<Vec<FilePatch<'_>>, Malformed> = parse(&patch.bytes, &options);
        let Ok(files) = files else { return Ok(false) };
        let mut overlay = self.overlay.clone();
        let attempt = engine::apply(self.cache, &mut overlay, files, &options.limits, options.reverse)?;
        Ok(attempt.problem.is_none())
    }
}

fn names(files: &[FilePatch<'_>]) -> Vec<Vec<u8>> {
    files
        .iter()
        .flat_map(|file| [&file.old_name, &file.new_name])
        .flatten()
        .cloned()
        .collect()
}
