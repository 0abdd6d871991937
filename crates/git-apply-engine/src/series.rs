//! Applies patches on top of each other, or each alone, and continues after one that fails.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use patch_headers::{SUMMARY_BYTES, Summary};

use super::budget::bytes;
use super::disjoint;
use super::object::{ObjectError, Objects, Oid, WriteObjects};
use super::one_patch::{self, Attempt, Problem, ProblemKind, Purpose};
use super::options::{Options, Results};
use super::overlay::{Cache, Overlay};
use super::parse::{Direction, FilePatch, encoded_mail, parse, reversed};
use super::report::{PatchReport, PatchState};

/// What reading a patch's subject and author costs at most, in units of effort.
const SUMMARY_COST: u64 = 16 * SUMMARY_BYTES as u64;

/// A patch to apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchInput {
    /// Its name, for the report.
    pub name: String,
    /// Its text: a mail of `git format-patch`, or a diff with anything around it.
    pub bytes: Vec<u8>,
    /// Leading components to remove from its names, for a patch with its own number: a quilt series
    /// can have `-pN` after a name. Takes precedence over [`Options::strip`].
    pub strip: Option<u8>,
}

impl PatchInput {
    /// Returns a patch with a name for the report.
    pub fn new(name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            bytes: bytes.into(),
            strip: None,
        }
    }

    /// Returns the patch with its own number of leading components to remove.
    #[must_use]
    pub fn with_strip(self, strip: Option<u8>) -> Self {
        Self { strip, ..self }
    }

    /// Returns the options for reading this patch: the series' options, with its own `strip` if it
    /// has one.
    #[must_use]
    pub fn options<'a>(&self, series: &'a Options) -> Cow<'a, Options> {
        match self.strip.map(usize::from) {
            Some(strip) if series.strip != Some(strip) => Cow::Owned(Options {
                strip: Some(strip),
                ..series.clone()
            }),
            _ => Cow::Borrowed(series),
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

/// Why a series could not be processed.
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
    effort: u64,
}

impl Series {
    /// Returns the report on each patch, in order.
    #[must_use]
    pub fn patches(&self) -> &[PatchReport] {
        &self.patches
    }

    /// Returns the report on each patch, and drops the rest.
    #[must_use]
    pub fn into_patches(self) -> Vec<PatchReport> {
        self.patches
    }

    /// Returns the tree after all patches that apply; the base if each was applied alone.
    #[must_use]
    pub fn tree(&self) -> Oid {
        self.tree
    }

    /// Returns the work that it took, in units of [`Limits::effort`](super::Limits::effort).
    #[must_use]
    pub fn effort(&self) -> u64 {
        self.effort
    }

    /// Writes the trees and blobs that the patches made into a store that has what they were
    /// applied to, and returns the id of [`Series::tree`]. Those of patches that were each applied
    /// alone are written only with [`Results::All`].
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
/// order. Patches after one that does not apply are still applied.
///
/// # Errors
///
/// If the store fails, or there are more patches than [`Limits::patches`](super::Limits::patches).
/// A patch that does not apply is not an error: its report says why.
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
        misfits: Vec::new(),
        of_lines: HashSet::new(),
        reported: 0,
        kept: 0,
    };
    let mut reports = Vec::with_capacity(patches.len());
    let mut others = Vec::new();
    for (number, patch) in patches.iter().enumerate() {
        reports.push(run.apply_one(number, patch)?);
        if sequence == Sequence::Independent {
            let done = std::mem::replace(&mut run.overlay, Overlay::new(base));
            if options.results == Results::All {
                run.kept = run.kept.saturating_add(done.held_bytes());
                others.push(done);
            }
            run.failed.clear();
            run.misfits.clear();
        }
    }
    if sequence == Sequence::Stacked && !options.reverse {
        run.unwind(base, patches, &mut reports)?;
    }
    let tree = run.overlay.tree_id(cache.budget());
    Ok(Series {
        patches: reports,
        overlay: run.overlay,
        others,
        tree,
        effort: cache.budget().spent(),
    })
}

/// Returns whether patches would apply to a tree, on top of each other. Stops at the first fault,
/// and reports neither where hunks go nor why one does not fit.
///
/// # Errors
///
/// As for [`apply`].
pub fn applies(
    objects: &dyn Objects,
    base: Oid,
    patches: &[PatchInput],
    options: &Options,
) -> Result<bool, Error> {
    let cache = Cache::new(objects, &options.limits);
    let mut overlay = Overlay::new(base);
    let direction = direction(options.reverse);
    for (at, patch) in patches.iter().enumerate() {
        cache.budget().begin_patch(overlay.held_bytes());
        let Ok(parsed) = parse(&patch.bytes, &patch.options(options), cache.budget()) else {
            return Ok(false);
        };
        let files = directed(&parsed, direction);
        let purpose = if at + 1 == patches.len() {
            Purpose::Try
        } else {
            Purpose::Apply
        };
        let attempt = one_patch::apply(&cache, &mut overlay, files, direction, purpose)?;
        if attempt.problem.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Adds to an error that the patch is an encoded mail, unless the error says so.
fn with_encoding(error: String, patch: &[u8]) -> String {
    match encoded_mail(patch) {
        Some(what) if !error.contains(what) => format!("{error}; {what}"),
        _ => error,
    }
}

/// A patch that does not fit, kept until it is known which patches upstream has.
struct Misfit {
    /// Its number in the series.
    number: usize,
    /// The names that it touches.
    names: Vec<Vec<u8>>,
    /// Why it does not fit.
    problem: String,
    /// Whether the tree is to blame, and not the patch.
    is_conflict: bool,
}

struct SeriesRun<'c, 'o> {
    cache: &'c Cache<'o>,
    options: &'c Options,
    overlay: Overlay,
    /// Names touched by patches that did not apply, each with the first such patch.
    failed: HashMap<Vec<u8>, String>,
    /// The patches that conflict, and are not known to be upstream's.
    misfits: Vec<Misfit>,
    /// The numbers of the patches whose files all have hunks of lines.
    of_lines: HashSet<usize>,
    /// Bytes of all reports, without the lines that they show.
    reported: u64,
    /// Bytes of overlays that are kept to be written.
    kept: u64,
}

impl SeriesRun<'_, '_> {
    fn apply_one(&mut self, number: usize, patch: &PatchInput) -> Result<PatchReport, ObjectError> {
        let budget = self.cache.budget();
        let held = self.overlay.held_bytes().saturating_add(self.kept);
        budget.begin_patch(held.saturating_add(self.reported));
        let report = self.report(number, patch)?;
        self.reported = self.reported.saturating_add(size(&report));
        Ok(report)
    }

    fn report(&mut self, number: usize, patch: &PatchInput) -> Result<PatchReport, ObjectError> {
        let budget = self.cache.budget();
        budget.count(SUMMARY_COST);
        let summary = Summary::read(&patch.bytes);
        let mut report = PatchReport {
            name: patch.name.clone(),
            subject: summary.subject,
            author: summary.author,
            state: PatchState::Malformed,
            tree: None,
            files: Vec::new(),
            error: None,
        };
        let parsed = match parse(&patch.bytes, &patch.options(self.options), budget) {
            Ok(parsed) => parsed,
            Err(malformed) => {
                report.error = Some(with_encoding(malformed.to_string(), &patch.bytes));
                return Ok(report);
            }
        };
        if parsed.iter().all(FilePatch::has_lines) {
            self.of_lines.insert(number);
        }
        let held = budget.held_bytes();
        let mut attempt = self.attempt(&parsed, Purpose::Place)?;
        if let Some(problem) = attempt.problem {
            budget.fall_back_to(held);
            if problem.kind == ProblemKind::Conflict && self.takes_back(&parsed)? {
                report.files = parsed.iter().map(one_patch::touched_file).collect();
                (report.state, report.error) = (PatchState::Merged, Some(self.merged_error().to_owned()));
                return Ok(report);
            }
            // A patch that is in the tree already needs no report on what does not fit.
            attempt = self.attempt(&parsed, Purpose::Report)?;
        }
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
                let names = names(&parsed);
                let (state, error) = match problem.kind {
                    ProblemKind::Conflict => verdict(&self.failed, &names, &problem.message),
                    ProblemKind::Refused | ProblemKind::TooLarge => {
                        (PatchState::Malformed, problem.message.clone())
                    }
                };
                (report.state, report.error) = (state, Some(with_encoding(error, &patch.bytes)));
                self.remember(number, &patch.name, names, problem);
            }
        }
        Ok(report)
    }

    /// Applies a patch in the direction of the series.
    fn attempt(&mut self, parsed: &[FilePatch<'_>], purpose: Purpose) -> Result<Attempt, ObjectError> {
        let direction = direction(self.options.reverse);
        let files = directed(parsed, direction);
        one_patch::apply(self.cache, &mut self.overlay, files, direction, purpose)
    }

    /// Why a patch that applies in the other direction does not apply in this one.
    fn merged_error(&self) -> &'static str {
        if self.options.reverse {
            "it is not in the tree, so there is nothing to reverse: it applies as it is"
        } else {
            "it is in the tree already: it applies in reverse"
        }
    }

    /// Records what the verdicts on a patch that does not fit, and on those after it, depend on.
    fn remember(&mut self, number: usize, name: &str, names: Vec<Vec<u8>>, problem: Problem) {
        for touched in &names {
            let failed = self.failed.entry(touched.clone());
            failed.or_insert_with(|| name.to_owned());
        }
        self.misfits.push(Misfit {
            number,
            names,
            is_conflict: problem.kind == ProblemKind::Conflict,
            problem: problem.message,
        });
    }

    /// Takes back from the tree, last to first, the patches that upstream has, as `git apply -R`
    /// would: a patch below another one that upstream has is recognised only this way. Patches that
    /// were blocked by these are judged again.
    fn unwind(
        &mut self,
        base: Oid,
        patches: &[PatchInput],
        reports: &mut [PatchReport],
    ) -> Result<(), ObjectError> {
        let is_open = |misfit: &&Misfit| misfit.is_conflict;
        let Some(lowest) = self.misfits.iter().find(is_open).map(|misfit| misfit.number) else {
            return Ok(());
        };
        let kept = self.overlay.held_bytes().saturating_add(self.reported);
        let (mut unwound, mut taken_back) = (Overlay::new(base), 0);
        let is_alone = disjoint::stand_alone(reports, &self.of_lines);
        // From the last to the first, the order in which the patches are visited.
        let mut open = std::mem::take(&mut self.misfits);
        let mut misfits = Vec::new();
        for (number, (patch, report)) in patches.iter().zip(&mut *reports).enumerate().skip(lowest).rev() {
            let misfit = open.pop_if(|misfit| misfit.number == number);
            // Until one is taken back, the tree says nothing new about one that does not fit.
            let is_known_to_fail = misfit
                .as_ref()
                .is_some_and(|misfit| !misfit.is_conflict || taken_back == 0);
            if report.applies() || report.state == PatchState::Malformed || is_known_to_fail {
                misfits.extend(misfit);
                continue;
            }
            if is_alone.get(number) == Some(&true) {
                // As in the first pass, it is taken back or does not fit, and does not affect the
                // others.
                taken_back += usize::from(misfit.is_none());
                misfits.extend(misfit);
                continue;
            }
            self.cache
                .budget()
                .begin_patch(kept.saturating_add(unwound.held_bytes()));
            if !self.take_back_from(&mut unwound, patch)? {
                misfits.extend(misfit);
                continue;
            }
            taken_back += 1;
            if misfit.is_some() {
                report.state = PatchState::Merged;
                report.error = Some(
                    "it is in the tree already: it applies in reverse, \
                     after later patches of the series that are there too"
                        .to_owned(),
                );
            }
        }
        misfits.extend(open.into_iter().rev());
        misfits.reverse();
        judge_anew(&misfits, patches, reports);
        Ok(())
    }

    /// Takes a patch back from a tree, if it applies in reverse.
    fn take_back_from(&self, tree: &mut Overlay, patch: &PatchInput) -> Result<bool, ObjectError> {
        let budget = self.cache.budget();
        let Ok(parsed) = parse(&patch.bytes, &patch.options(self.options), budget) else {
            return Ok(false);
        };
        let files = reversed(&parsed);
        let attempt = one_patch::apply(self.cache, tree, files, Direction::Reverse, Purpose::Apply)?;
        Ok(attempt.problem.is_none())
    }

    /// Whether the patch applies the other way round.
    fn takes_back(&mut self, parsed: &[FilePatch<'_>]) -> Result<bool, ObjectError> {
        let direction = direction(!self.options.reverse);
        let files = directed(parsed, direction);
        let attempt = one_patch::apply(self.cache, &mut self.overlay, files, direction, Purpose::Try)?;
        Ok(attempt.problem.is_none())
    }
}

/// Decides which of the patches that do not fit are blocked by another of them.
fn judge_anew(misfits: &[Misfit], patches: &[PatchInput], reports: &mut [PatchReport]) {
    let mut failed = HashMap::new();
    for misfit in misfits {
        if let Some(report) = reports.get_mut(misfit.number)
            && report.state == PatchState::Blocked
        {
            let (state, error) = verdict(&failed, &misfit.names, &misfit.problem);
            (report.state, report.error) = (state, Some(error));
        }
        if let Some(patch) = patches.get(misfit.number) {
            for name in &misfit.names {
                failed.entry(name.clone()).or_insert_with(|| patch.name.clone());
            }
        }
    }
}

/// Whether a conflict is a patch's own, or follows from another patch that does not fit.
fn verdict(failed: &HashMap<Vec<u8>, String>, names: &[Vec<u8>], problem: &str) -> (PatchState, String) {
    match names.iter().find_map(|name| failed.get(name)) {
        Some(earlier) => (
            PatchState::Blocked,
            format!("{problem} ({earlier}, which does not apply, touches the same file)"),
        ),
        None => (PatchState::Conflict, problem.to_owned()),
    }
}

fn direction(reverse: bool) -> Direction {
    if reverse {
        Direction::Reverse
    } else {
        Direction::Forward
    }
}

/// The diffs of a patch as they are applied in a direction.
fn directed<'a>(parsed: &[FilePatch<'a>], direction: Direction) -> Vec<FilePatch<'a>> {
    match direction {
        Direction::Forward => parsed.to_vec(),
        Direction::Reverse => reversed(parsed),
    }
}

/// Bytes that a report holds, plus the names and the error that are remembered if the patch failed,
/// without the lines that it shows.
fn size(report: &PatchReport) -> u64 {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let files = report.files.iter().map(|file| {
        let names = 3 * file.path.len() + 3 * text(&file.old_path) + text(&file.error);
        size_of_val(file) + names + size_of_val(file.hunks.as_slice())
    });
    let own = size_of_val(report) + report.name.len();
    let texts = [&report.subject, &report.author, &report.error].map(text);
    bytes(own + text(&report.error) + texts.into_iter().sum::<usize>() + files.sum::<usize>())
}

fn names(files: &[FilePatch<'_>]) -> Vec<Vec<u8>> {
    files
        .iter()
        .flat_map(|file| [&file.old_name, &file.new_name])
        .flatten()
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::{FileChange, FileReport, HunkOutcome, HunkReport};
    use super::*;

    fn report() -> PatchReport {
        PatchReport {
            name: String::new(),
            subject: None,
            author: None,
            state: PatchState::Conflict,
            tree: None,
            files: Vec::new(),
            error: None,
        }
    }

    #[test]
    fn a_report_without_files_is_as_large_as_itself_and_its_texts() {
        let empty = size(&report());
        assert_eq!(empty, bytes(size_of::<PatchReport>()));

        let told = PatchReport {
            name: "n".repeat(5),
            subject: Some("s".repeat(70)),
            author: Some("a".repeat(300)),
            error: Some("e".repeat(1000)),
            ..report()
        };
        // The error is held twice, the second time for the verdict on later patches.
        assert_eq!(size(&told) - empty, 5 + 70 + 300 + 2 * 1000);
    }

    #[test]
    fn each_file_of_a_report_adds_its_names_three_times_its_error_and_its_hunks() {
        let hunk = HunkReport {
            number: 1,
            patch_line: 5,
            old_start: 1,
            outcome: HunkOutcome::Placed { line: 1, offset: 0 },
        };
        let file = FileReport {
            path: "p".repeat(7),
            old_path: Some("o".repeat(110)),
            change: FileChange::Modify,
            error: Some("e".repeat(1300)),
            hunks: vec![hunk; 4],
        };
        let of_file = size_of::<FileReport>() + 3 * 7 + 3 * 110 + 1300 + 4 * size_of::<HunkReport>();
        let with_files = PatchReport {
            files: vec![file.clone(), file],
            ..report()
        };
        assert_eq!(size(&with_files) - size(&report()), bytes(2 * of_file));
    }
}
