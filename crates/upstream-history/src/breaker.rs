//! Finds the commit of an upstream that broke a patch.

use std::collections::BTreeSet;

use bstr::BString;
use git_apply_engine::{
    FileDiff, HunkOutcome, ObjectError, Objects, Oid, Options, PatchInput, PatchState, applies, read_diffs,
};

use super::by_change::{PathReader, touched_paths};
use super::change::Side;
use super::commit::{Commit, UpstreamCommit};
use super::finding::{Bounds, Commits, HistoryError, Judged, Upcoming};
use super::walk::Walk;

/// The most versions of a file on which a hunk is tried.
const MOST_TRIED: usize = 2000;

/// Where to search for a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The commit at which the patch does not apply.
    pub tip: Oid,
    /// A commit at which it applied; `None` to look as far as [`Bounds`] go.
    pub since: Option<Oid>,
}

/// Finds the commit that changed the lines that a patch expects: the last one to whose parents its
/// first hunk that does not fit still applies.
///
/// `series` ends with the patch in question; the patches before it that apply and touch the same
/// file are applied to each tree first. `None` if no commit of the range is to blame.
///
/// # Errors
///
/// If commits or their trees cannot be read. Reaching the end of what was fetched is no error.
pub fn find_breaker(
    commits: &dyn Commits,
    objects: &dyn Objects,
    range: Range,
    series: &[Judged<'_>],
    bounds: &Bounds,
) -> Result<Option<UpstreamCommit>, HistoryError> {
    let Some((judged, before)) = series.split_last() else {
        return Ok(None);
    };
    if !matches!(judged.report.state, PatchState::Conflict | PatchState::Blocked) {
        return Ok(None);
    }
    // A hunk that does not fit after the ones before it may fit alone.
    for part in [Part::Hunk, Part::File] {
        let Some(probe) = Probe::new(judged, before, part) else {
            return Ok(None);
        };
        let mut search = BreakerSearch {
            commits,
            objects,
            reader: PathReader::new(objects),
            probe,
            tried: Vec::new(),
        };
        let found = match search.run(range, bounds) {
            Err(HistoryError::Object(ObjectError::NotFound(_))) => Verdict::Nobody,
            other => other?,
        };
        match found {
            Verdict::Broke(commit) => return Ok(Some(commit.described())),
            Verdict::Nobody => return Ok(None),
            Verdict::Fits => {}
        }
    }
    Ok(None)
}

/// How much of a file's diff is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The first hunk that does not fit.
    Hunk,
    /// All of it.
    File,
}

/// The result of a walk back in time.
enum Verdict {
    /// This commit is to blame.
    Broke(Box<Commit>),
    /// No commit of the range is.
    Nobody,
    /// What is tried fits the tip.
    Fits,
}

/// What is tried on each version of a file: a hunk alone, after the patches that it builds on.
struct Probe<'a> {
    patches: Vec<PatchInput>,
    paths: BTreeSet<BString>,
    options: &'a Options,
}

impl<'a> Probe<'a> {
    /// Returns the first part of a patch that does not fit: a hunk, or a file's whole diff if the
    /// file is missing or in the way.
    fn new(judged: &Judged<'a>, before: &[Judged<'a>], part: Part) -> Option<Self> {
        let text = &judged.patch.bytes;
        let diffs = read_diffs(text, &judged.patch.options(judged.options)).ok()?;
        let at = judged.report.files.iter().position(|file| file.error.is_some())?;
        let diff = diffs.get(at)?;
        let rejected = judged.report.files.get(at)?.hunks.iter();
        let rejected = rejected
            .filter(|hunk| matches!(hunk.outcome, HunkOutcome::Rejected(_)))
            .map(|hunk| hunk.number)
            .next();
        let hunk = match rejected.and_then(|number| diff.hunks.get(number.checked_sub(1)?)) {
            Some(hunk) if part == Part::Hunk => [diff.header, hunk.text].concat(),
            _ => whole(diff, text),
        };
        let paths = touched_paths(std::slice::from_ref(diff));
        let mut patches = Vec::new();
        for earlier in before.iter().filter(|earlier| earlier.report.applies()) {
            let touched =
                read_diffs(&earlier.patch.bytes, &earlier.patch.options(earlier.options)).unwrap_or_default();
            if !touched_paths(&touched).is_disjoint(&paths) {
                patches.push(earlier.patch.clone());
            }
        }
        let probe = PatchInput::new(judged.patch.name.clone(), hunk);
        patches.push(probe.with_strip(judged.patch.strip));
        Some(Self {
            patches,
            paths,
            options: judged.options,
        })
    }
}

/// A file's whole diff; the whole patch if it is binary, with the contents between headers.
fn whole(diff: &FileDiff<'_>, patch: &[u8]) -> Vec<u8> {
    if diff.is_binary {
        return patch.to_vec();
    }
    let hunks = diff.hunks.iter().map(|hunk| hunk.text);
    std::iter::once(diff.header)
        .chain(hunks)
        .collect::<Vec<_>>()
        .concat()
}

struct BreakerSearch<'a> {
    commits: &'a dyn Commits,
    objects: &'a dyn Objects,
    reader: PathReader<'a>,
    probe: Probe<'a>,
    /// What stood at the paths, and whether the hunk fits it.
    tried: Vec<(Vec<Option<Side>>, bool)>,
}

impl BreakerSearch<'_> {
    /// Announces which trees are about to be read, and then which versions of the files.
    fn expect(&mut self, range: Range, bounds: &Bounds) -> Result<(), HistoryError> {
        let since = match range.since {
            Some(since) => self.commits.commit(since)?.map(|commit| commit.committer.seconds),
            None => None,
        };
        let near = Bounds {
            commits: bounds.trees.min(bounds.commits),
            since: since.or(bounds.since),
            ..*bounds
        };
        let walk = Walk::from(self.commits, range.tip, &near, |_, _| {})?;
        let ids: Vec<Oid> = walk.nodes.iter().map(|node| node.id).collect();
        let paths: Vec<BString> = self.probe.paths.iter().cloned().collect();
        self.commits.expect(&Upcoming::Trees {
            commits: &ids,
            paths: &paths,
        })?;
        let mut blobs = BTreeSet::new();
        for node in walk.nodes {
            match self.standing(node.tree) {
                Ok(sides) => blobs.extend(sides.into_iter().flatten().map(|side| side.id)),
                Err(HistoryError::Object(ObjectError::NotFound(_))) => {}
                Err(error) => return Err(error),
            }
        }
        let blobs: Vec<Oid> = blobs.into_iter().take(MOST_TRIED).collect();
        self.commits.expect(&Upcoming::Blobs(&blobs))
    }

    /// Walks back in time from the tip, along parents that have the same files, to the first commit
    /// to whose parents the hunk applies.
    fn run(&mut self, range: Range, bounds: &Bounds) -> Result<Verdict, HistoryError> {
        if bounds.since.is_some() || range.since.is_some() {
            self.expect(range, bounds)?;
        }
        let Some(mut commit) = self.commits.commit(range.tip)? else {
            return Ok(Verdict::Nobody);
        };
        if self.patch_applies(commit.tree)? {
            return Ok(Verdict::Fits);
        }
        for _ in 0..bounds.trees {
            let is_end = range.since == Some(commit.id)
                || (range.since.is_none()
                    && bounds.since.is_some_and(|since| commit.committer.seconds < since));
            if is_end {
                return Ok(Verdict::Nobody);
            }
            match self.step(&commit)? {
                Step::To(parent) => commit = *parent,
                Step::Broke => return Ok(Verdict::Broke(Box::new(commit))),
                Step::End => return Ok(Verdict::Nobody),
            }
        }
        Ok(Verdict::Nobody)
    }

    fn step(&mut self, commit: &Commit) -> Result<Step, HistoryError> {
        let here = self.standing(commit.tree)?;
        let mut others = Vec::new();
        for parent in &commit.parents {
            let Some(parent) = self.commits.commit(*parent)? else {
                continue;
            };
            if parent.tree == commit.tree || self.standing(parent.tree)? == here {
                return Ok(Step::To(Box::new(parent)));
            }
            others.push(parent);
        }
        let mut fits = false;
        for parent in others {
            if !self.patch_applies(parent.tree)? {
                // What broke it came in through this parent.
                return Ok(Step::To(Box::new(parent)));
            }
            fits = true;
        }
        Ok(if fits { Step::Broke } else { Step::End })
    }

    /// What stands at the paths.
    fn standing(&mut self, tree: Oid) -> Result<Vec<Option<Side>>, HistoryError> {
        let mut sides = Vec::with_capacity(self.probe.paths.len());
        for path in &self.probe.paths {
            sides.push(self.reader.at(tree, path)?);
        }
        Ok(sides)
    }

    fn patch_applies(&mut self, tree: Oid) -> Result<bool, HistoryError> {
        let here = self.standing(tree)?;
        if let Some((_, fits)) = self.tried.iter().find(|(tried, _)| *tried == here) {
            return Ok(*fits);
        }
        if self.tried.len() >= MOST_TRIED {
            return Ok(false);
        }
        let fits = match applies(self.objects, tree, &self.probe.patches, self.probe.options) {
            Ok(fits) => fits,
            Err(git_apply_engine::Error::Object(error)) => return Err(error.into()),
            Err(_) => false,
        };
        self.tried.push((here, fits));
        Ok(fits)
    }
}

/// Where a walk back in time goes next.
enum Step {
    To(Box<Commit>),
    /// All parents have what the patch expects, and the commit does not.
    Broke,
    /// No parent is known.
    End,
}
