//! Refreshes one patch.

use std::collections::BTreeMap;

use git_apply_engine::{FileReport, HunkOutcome, ObjectError, Oid, PatchInput, PatchReport, PatchState};

use super::applying::{Applied, Refresher, Stop};
use super::bases::BaseSearch;
use super::fuzz;
use super::layout::{Layout, Section};
use super::one_file::Mender;
use super::options::Presence;
use super::outcome::{FileOutcome, FileRefresh, FuzzyFit, PatchRefresh, RefreshKind, RefreshOutcome};
use super::stat;
use super::unified::{HunkStyle, hunks};
use super::work::units;

/// How often a patch whose diffs touch the same files is tried.
const ROUNDS: usize = 16;

/// What is reported on a patch besides its outcome.
#[derive(Default)]
struct Notes {
    files: Vec<FileRefresh>,
    /// The places of the diffs that do not apply as they are.
    failing: Vec<usize>,
}

/// What was done for each section of a patch, by its place.
type Outcomes = BTreeMap<usize, FileOutcome>;

/// A patch being refreshed.
struct PatchAtHand<'a> {
    /// The tree for which it is refreshed.
    tree: Oid,
    /// The tree before it where it last applied.
    last_tree: Option<Oid>,
    layout: Layout<'a>,
    outcomes: Outcomes,
}

/// How an attempt to refresh a patch ended.
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
enum Attempt {
    /// It applies, as it is or after diffs were refreshed.
    Applies(Applied),
    /// The tree has all of it.
    Merged,
    /// A person has to mend it.
    Impossible(String),
}

impl Refresher<'_> {
    /// Refreshes the patch at a place of the series for a tree.
    pub(crate) fn refresh(
        &mut self,
        tree: Oid,
        at: usize,
        patch: &PatchInput,
    ) -> Result<PatchRefresh, ObjectError> {
        let before = tree;
        let mut notes = Notes::default();
        self.engine = patch.options(&self.options.engine).into_owned();
        let (outcome, tree) = match self.try_to_refresh(tree, at, patch, &mut notes) {
            Ok(refreshed) => refreshed,
            Err(Stop::Store(error)) => return Err(error),
            Err(Stop::Exceeded(reason)) => (RefreshOutcome::Impossible { reason }, tree),
        };
        let Notes { mut files, failing } = notes;
        if matches!(outcome, RefreshOutcome::UpToDate | RefreshOutcome::Merged) {
            files.clear();
        }
        Ok(PatchRefresh {
            name: patch.name.clone(),
            // Nothing is reported beyond the limits.
            fuzz: match outcome {
                RefreshOutcome::Refreshed { .. } | RefreshOutcome::Impossible { .. } => {
                    self.fuzzy_fit(before, patch, &failing).ok().flatten()
                }
                RefreshOutcome::UpToDate | RefreshOutcome::Merged => None,
            },
            outcome,
            files,
            tree,
        })
    }

    /// Where a patch would go if context were skipped. `failing` has the places of the diffs that
    /// do not apply.
    fn fuzzy_fit(&self, tree: Oid, patch: &PatchInput, failing: &[usize]) -> Result<Option<FuzzyFit>, Stop> {
        let Some(layout) = (!failing.is_empty())
            .then(|| Layout::read(&patch.bytes, &self.options.engine).ok())
            .flatten()
        else {
            return Ok(None);
        };
        let shared = layout.shared_paths();
        let mut most: Option<FuzzyFit> = None;
        for at in failing {
            let Some(section) = layout.sections.get(*at) else {
                return Ok(None);
            };
            let diff = &section.diff;
            let is_text = !diff.is_binary && !diff.hunks.is_empty();
            if !is_text || diff.old_path.is_none() || section.paths().any(|path| shared.contains(path)) {
                return Ok(None);
            }
            let file = self.contents(tree, diff.old_path.as_deref())?;
            let fuzzed = fuzz::apply(&file, &section.hunks(), self.options.fuzz, self.work)?;
            let Some(fuzzed) = fuzzed.filter(|fuzzed| fuzzed.fuzz > 0) else {
                return Ok(None);
            };
            let number = |number| u32::try_from(number).unwrap_or(u32::MAX);
            let fit = FuzzyFit {
                lines: number(fuzzed.fuzz),
                line: number(fuzzed.line),
            };
            most = most.filter(|most| most.lines >= fit.lines).or(Some(fit));
        }
        Ok(most)
    }

    fn try_to_refresh(
        &mut self,
        tree: Oid,
        at: usize,
        patch: &PatchInput,
        notes: &mut Notes,
    ) -> Result<(RefreshOutcome, Oid), Stop> {
        let hint = self.hints.patches.get(at).copied().unwrap_or_default();
        let first = self.apply(tree, patch.bytes.clone(), &self.engine)?;
        match first.report.state {
            PatchState::Clean => return Ok((RefreshOutcome::UpToDate, self.keep(&first)?)),
            PatchState::Merged => return Ok((RefreshOutcome::Merged, tree)),
            PatchState::Conflict | PatchState::Blocked if hint.presence == Presence::Merged => {
                return Ok((RefreshOutcome::Merged, tree));
            }
            _ => {}
        }
        let reason = first.report.error.clone().unwrap_or_default();
        if first.report.state == PatchState::Malformed {
            return Ok((RefreshOutcome::Impossible { reason }, tree));
        }
        let limit = self.work.limits().file_bytes;
        if units(patch.bytes.len()) > limit {
            let reason = format!("{reason}; it has more than {limit} bytes, and is not refreshed");
            return Ok((RefreshOutcome::Impossible { reason }, tree));
        }
        self.work.spend(units(patch.bytes.len()))?;
        let layout = match Layout::read(&patch.bytes, &self.engine) {
            Ok(layout) => layout,
            Err(reason) => return Ok((RefreshOutcome::Impossible { reason }, tree)),
        };
        let placed = layout.kept_sections().into_iter().zip(&first.report.files);
        let failing = placed.filter(|(_, file)| file.error.is_some()).map(|(at, _)| at);
        notes.failing.extend(failing);
        let counts: Vec<_> = layout.sections.iter().map(Section::counts).collect();
        let mut at_hand = PatchAtHand {
            tree,
            last_tree: match hint.last_applied {
                Some(base) if !first.report.applies() => self.replay(base, at)?,
                _ => None,
            },
            layout,
            outcomes: Outcomes::new(),
        };
        let refreshed = match self.try_all(&mut at_hand, first)? {
            Attempt::Merged => (RefreshOutcome::Merged, tree),
            Attempt::Impossible(reason) => (RefreshOutcome::Impossible { reason }, tree),
            Attempt::Applies(applied) => {
                let after = self.keep(&applied)?;
                self.place(&mut at_hand, &applied.report, after)?;
                self.set_index_lines(&mut at_hand, after)?;
                stat::renew(&mut at_hand.layout, &counts);
                (self.verified(&at_hand, patch, after)?, after)
            }
        };
        let file = |(at, outcome): (usize, FileOutcome)| {
            let path = at_hand.layout.sections.get(at)?.name();
            Some(FileRefresh { path, outcome })
        };
        notes.files.extend(at_hand.outcomes.into_iter().filter_map(file));
        Ok(refreshed)
    }

    /// Refreshes diffs until the patch applies.
    fn try_all(&mut self, at_hand: &mut PatchAtHand<'_>, first: Applied) -> Result<Attempt, Stop> {
        let mut applied = first;
        for _ in 0..ROUNDS {
            let report = &applied.report;
            if report.applies() {
                return Ok(Attempt::Applies(applied));
            }
            let reason = report.error.clone().unwrap_or_default();
            let kept = at_hand.layout.kept_sections().into_iter().zip(&report.files);
            let failing: Vec<(usize, String)> = kept
                .filter_map(|(at, file)| Some((at, file.error.clone()?)))
                .collect();
            let is_stuck = failing.iter().any(|(at, _)| at_hand.outcomes.contains_key(at));
            if failing.is_empty() || is_stuck || report.state == PatchState::Malformed {
                return Ok(Attempt::Impossible(reason));
            }
            if let Some(reason) = self.mend_failing(at_hand, failing)? {
                return Ok(Attempt::Impossible(reason));
            }
            if at_hand.layout.kept_sections().is_empty() {
                return Ok(Attempt::Merged);
            }
            applied = self.apply(at_hand.tree, at_hand.layout.text(), &self.engine)?;
        }
        Ok(Attempt::Impossible(
            "its diffs change the same files too often".to_owned(),
        ))
    }

    /// Refreshes the diffs that do not apply; of those that touch the same files, the first.
    /// Returns why a person has to look at them, if one has to.
    fn mend_failing(
        &mut self,
        at_hand: &mut PatchAtHand<'_>,
        failing: Vec<(usize, String)>,
    ) -> Result<Option<String>, Stop> {
        let shared = at_hand.layout.shared_paths();
        let (mut reasons, mut has_shared) = (Vec::new(), false);
        for (at, error) in failing {
            let Some(section) = at_hand.layout.sections.get(at) else {
                continue;
            };
            let is_shared = section.paths().any(|path| shared.contains(path));
            if is_shared && std::mem::replace(&mut has_shared, true) {
                continue;
            }
            let tree = if is_shared {
                self.tree_before(at_hand, at)?
            } else {
                Some(at_hand.tree)
            };
            let mender = self.mender(at_hand.layout.style, at_hand.last_tree);
            let Some(section) = at_hand.layout.sections.get_mut(at) else {
                continue;
            };
            let mended = match tree {
                Some(tree) => mender.refresh_file(tree, section, &error)?,
                None => Err(error),
            };
            let outcome = match mended {
                Ok(mended) => mended.put_into(section),
                Err(reason) => {
                    reasons.push(reason.clone());
                    FileOutcome::Impossible { reason }
                }
            };
            at_hand.outcomes.insert(at, outcome);
        }
        let more = reasons.len().saturating_sub(1);
        Ok(reasons.into_iter().next().map(|first| match more {
            0 => first,
            1 => format!("{first}; the same goes for one more file"),
            _ => format!("{first}; the same goes for {more} more files"),
        }))
    }

    fn mender(&self, style: HunkStyle, last_tree: Option<Oid>) -> Mender<'_> {
        Mender {
            scratch: &self.scratch,
            bases: BaseSearch {
                hints: self.hints,
                options: &self.engine,
                work: self.work,
                tree: last_tree,
            },
            style,
            fuzz: self.options.fuzz,
        }
    }

    /// The tree that the sections before one leave; `None` where they do not apply.
    fn tree_before(&mut self, at_hand: &PatchAtHand<'_>, at: usize) -> Result<Option<Oid>, Stop> {
        let layout = &at_hand.layout;
        if layout.kept_sections().first().is_none_or(|first| *first >= at) {
            return Ok(Some(at_hand.tree));
        }
        let applied = self.apply(at_hand.tree, layout.text_up_to(at), &self.engine)?;
        if !applied.report.applies() {
            return Ok(None);
        }
        self.keep(&applied).map(Some)
    }

    /// Renumbers the hunks' headers to the lines where they went.
    fn place(&self, at_hand: &mut PatchAtHand<'_>, report: &PatchReport, after: Oid) -> Result<(), Stop> {
        let layout = &mut at_hand.layout;
        let (shared, style) = (layout.shared_paths(), layout.style);
        for (at, file) in layout.kept_sections().into_iter().zip(&report.files) {
            let lines = largest_offset(file);
            let Some(section) = layout.sections.get_mut(at).filter(|_| lines != 0) else {
                continue;
            };
            let is_shared = section.paths().any(|path| shared.contains(path));
            if !section.renumber(&file.hunks) && !is_shared {
                let old = self.contents(at_hand.tree, section.diff.old_path.as_deref())?;
                let new = self.contents(after, section.diff.new_path.as_deref())?;
                section.body = hunks(&old, &new, style, self.work)?;
            }
            at_hand
                .outcomes
                .entry(at)
                .or_insert(FileOutcome::Offset { lines });
        }
        Ok(())
    }

    fn contents(&self, tree: Oid, path: Option<&[u8]>) -> Result<Vec<u8>, Stop> {
        let Some(path) = path else { return Ok(Vec::new()) };
        let file = self.scratch.file(tree, path)?;
        let limit = self.work.limits().file_bytes;
        let contents = file.map(|file| self.scratch.contents(file.id, limit));
        Ok(contents.transpose()?.flatten().unwrap_or_default().to_vec())
    }

    /// Puts the ids of the blobs before and after into the `index` lines. Those of files that
    /// several sections touch stay unchanged: they name states that no tree has.
    fn set_index_lines(&self, at_hand: &mut PatchAtHand<'_>, after: Oid) -> Result<(), Stop> {
        let layout = &mut at_hand.layout;
        let shared = layout.shared_paths();
        for section in layout.sections.iter_mut().filter(|section| section.is_kept()) {
            if section.paths().any(|path| shared.contains(path)) {
                continue;
            }
            let id = |tree, path: &Option<Vec<u8>>| -> Result<Option<Oid>, ObjectError> {
                let Some(path) = path else { return Ok(None) };
                Ok(self.scratch.file(tree, path)?.map(|file| file.id))
            };
            let old = id(at_hand.tree, &section.diff.old_path)?;
            let new = id(after, &section.diff.new_path)?;
            section.set_index(old, new);
        }
        Ok(())
    }

    /// The outcome for the refreshed patch, after applying it once more.
    fn verified(
        &self,
        at_hand: &PatchAtHand<'_>,
        patch: &PatchInput,
        after: Oid,
    ) -> Result<RefreshOutcome, Stop> {
        let text = at_hand.layout.text();
        if text == patch.bytes {
            return Ok(RefreshOutcome::UpToDate);
        }
        let applied = self.apply(at_hand.tree, text.clone(), &self.engine)?;
        if applied.report.tree != Some(after) {
            return Ok(RefreshOutcome::Impossible {
                reason: "the refreshed patch does not give the same tree: this is a bug in the program"
                    .to_owned(),
            });
        }
        self.work.hold(text.len())?;
        Ok(RefreshOutcome::Refreshed {
            how: strongest(&at_hand.outcomes),
            patch: text,
            tree: after,
        })
    }
}

/// The largest distance of a hunk from where it says, in lines.
fn largest_offset(file: &FileReport) -> i64 {
    let offsets = file.hunks.iter().filter_map(|hunk| match hunk.outcome {
        HunkOutcome::Placed { offset, .. } => Some(offset),
        HunkOutcome::Rejected(_) => None,
    });
    offsets.max_by_key(|offset| offset.unsigned_abs()).unwrap_or(0)
}

/// The strongest means that was used.
fn strongest(outcomes: &Outcomes) -> RefreshKind {
    let kinds = outcomes.values().filter_map(|outcome| match outcome {
        FileOutcome::Offset { .. } => Some(RefreshKind::Offset),
        FileOutcome::ThreeWay { .. } | FileOutcome::LeftOut => Some(RefreshKind::ThreeWay),
        FileOutcome::Fuzz { .. } => Some(RefreshKind::Fuzz),
        FileOutcome::Impossible { .. } => None,
    });
    kinds.max().unwrap_or(RefreshKind::Offset)
}
