//! Tries a source's patches at one release, on top of the existing ones.

use git_apply_engine::{
    LayeredStore, MemoryStore, ObjectError, Objects, Oid, Options, PatchInput, PatchReport, PatchState,
    Sequence,
};
use patch_refresh::{FileRefresh, FindBlob, PatchRefresh, RefreshKind, RefreshOptions, RefreshOutcome};

use super::dialect::{HeaderStyle, PatchForm};
use super::fetched::FetchedSource;
use crate::cli::error::Error;
use crate::cli::team::{ComponentCommit, PatchMarks, SameBy, TeamChanges, Upstreams};
use crate::cli::upstream_history::{HistoryOptions, RefreshTrial, SeriesAtCommit};
use crate::layout::{ComponentSeries, NextNames, SeriesChange};
use crate::plan::history_search::{AppliedPatches, SeriesRefresh};

/// The outcome of a source's patch at a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PatchOutcome {
    pub(super) subject: String,
    pub(super) verdict: PatchVerdict,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PatchVerdict {
    /// It was added to the series.
    Added {
        name: String,
        /// How it was refreshed, if it was.
        refreshed: Option<(RefreshKind, Vec<FileRefresh>)>,
    },
    /// It would be added if all patches of its source applied.
    Held,
    /// The series has it.
    InSeries { name: String, by: SameBy },
    /// Upstream has it; how that is known, in lines.
    Upstream { text: String },
    /// It does not apply; why, in lines.
    Conflict { text: String },
}

/// The outcome of a source at a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReleaseOutcome {
    pub(super) patches: Vec<PatchOutcome>,
    /// Why not everything is known, or was added.
    pub(super) notes: Vec<String>,
}

impl ReleaseOutcome {
    /// Whether nothing of the source is missing there.
    pub(super) fn is_done(&self) -> bool {
        let is_missing = |patch: &PatchOutcome| {
            matches!(patch.verdict, PatchVerdict::Held | PatchVerdict::Conflict { .. })
        };
        !self.patches.iter().any(is_missing)
    }
}

/// How patches are tried.
pub(super) struct Trial<'a> {
    pub(super) upstreams: &'a Upstreams,
    pub(super) engine: Options,
    pub(super) history: &'a HistoryOptions,
    pub(super) style: HeaderStyle,
}

/// A patch that is neither in the series nor upstream.
struct TriedPatch<'a> {
    /// Its number in the source.
    number: usize,
    input: PatchInput,
    refresh: Option<&'a PatchRefresh>,
}

impl Trial<'_> {
    /// Opens what a release of a component is built from.
    ///
    /// # Errors
    ///
    /// If it cannot be opened or fetched.
    pub(super) fn open(
        &self,
        series: &ComponentSeries,
        reference: &str,
    ) -> Result<ComponentCommit<'_>, Error> {
        let organisation = series.organisation.as_deref();
        let component = self.upstreams.component(&series.component, organisation)?;
        component.at(reference)
    }

    /// Tries the patches of a source on top of a series, and adds all of them if all apply, else
    /// none.
    ///
    /// # Errors
    ///
    /// If the series itself does not apply, or something cannot be read.
    pub(super) fn run(
        &self,
        changes: &mut TeamChanges<'_>,
        series: &ComponentSeries,
        upstream: &ComponentCommit<'_>,
        source: &FetchedSource,
    ) -> Result<ReleaseOutcome, Error> {
        let there = changes.patches(series)?;
        let applied = upstream.apply(&there, &self.engine)?;
        refuse_broken(series, applied.patches())?;
        let mut outcome = ReleaseOutcome {
            patches: in_series(&there, source, &self.engine),
            notes: Vec::new(),
        };
        let mut candidates = candidates(&outcome, source);
        self.find_upstream(upstream, &there, &mut candidates, &mut outcome)?;
        let mut objects = LayeredStore::with_top(source.blobs.clone(), upstream);
        let base = applied.write(&mut objects)?;
        let blobs = TrialBlobs {
            source: &source.blobs,
            upstream,
        };
        let inputs: Vec<PatchInput> = candidates.iter().map(|one| one.input.clone()).collect();
        let reports: Vec<PatchReport> = upstream_reports(&objects, base, &inputs, &self.engine)?;
        let refresh = SeriesRefresh {
            objects: &objects,
            base,
            series: AppliedPatches {
                patches: &inputs,
                options: &self.engine,
                sequence: Sequence::Stacked,
            },
            reports: &reports,
            last_applied: &[],
            blobs: &blobs,
        };
        // With fuzz, a person would have to review it.
        let options = RefreshOptions {
            fuzz: 0,
            ..RefreshOptions::default()
        };
        let refreshed = refresh.run(&options)?;
        for (candidate, refreshed) in candidates.iter_mut().zip(&refreshed) {
            candidate.refresh = Some(refreshed);
        }
        self.add(changes, (series, upstream), (source, &candidates), &mut outcome)?;
        Ok(outcome)
    }

    /// Looks for the patches in upstream's history, and removes those that it has from the
    /// candidates. Those that stay are reported with what would break them.
    fn find_upstream(
        &self,
        upstream: &ComponentCommit<'_>,
        there: &[PatchInput],
        candidates: &mut Vec<TriedPatch<'_>>,
        outcome: &mut ReleaseOutcome,
    ) -> Result<(), Error> {
        let inputs = candidates.iter().map(|one| one.input.clone());
        let all: Vec<PatchInput> = there.iter().cloned().chain(inputs).collect();
        let applied = upstream.apply(&all, &self.engine)?;
        let mut reports = applied.into_patches();
        let series = SeriesAtCommit {
            tip: upstream.commit(),
            applied: AppliedPatches {
                patches: &all,
                options: &self.engine,
                sequence: Sequence::Stacked,
            },
            refresh: RefreshTrial::Skipped,
        };
        let history = upstream.search(self.history, &series, &mut reports)?;
        outcome.notes.extend(history.note.clone());
        let mut left = Vec::new();
        for (at, candidate) in candidates.drain(..).enumerate() {
            let number = there.len() + at;
            let Some(report) = reports.get(number) else {
                continue;
            };
            let mut text = String::new();
            // Writing to a string does not fail.
            let _ = history.write(&mut text, number);
            if report.state == PatchState::Merged {
                set(outcome, candidate.number, PatchVerdict::Upstream { text });
                continue;
            }
            let error = report.error.as_ref().map(|error| format!("    {error}\n"));
            let text = error.unwrap_or_default() + &text;
            set(outcome, candidate.number, PatchVerdict::Conflict { text });
            left.push(candidate);
        }
        *candidates = left;
        Ok(())
    }

    fn add(
        &self,
        changes: &mut TeamChanges<'_>,
        (series, upstream): (&ComponentSeries, &ComponentCommit<'_>),
        (source, candidates): (&FetchedSource, &[TriedPatch<'_>]),
        outcome: &mut ReleaseOutcome,
    ) -> Result<(), Error> {
        let now = changes.series(series)?;
        let mut names = NextNames::after(&now.series);
        let mut added = Vec::new();
        for candidate in candidates {
            let Some(patch) = source.patches.get(candidate.number) else {
                continue;
            };
            let (bytes, form, refreshed) = match candidate.refresh.map(|refresh| (&refresh.outcome, refresh))
            {
                Some((RefreshOutcome::UpToDate, _)) => (&patch.bytes, PatchForm::Unchanged, None),
                Some((RefreshOutcome::Refreshed { how, patch, .. }, refresh)) => {
                    (patch, PatchForm::MadeAnew, Some((*how, refresh.files.clone())))
                }
                Some((RefreshOutcome::Merged, _)) => {
                    let text = String::new();
                    set(outcome, candidate.number, PatchVerdict::Upstream { text });
                    continue;
                }
                Some((RefreshOutcome::Impossible { reason }, _)) => {
                    explain(outcome, candidate.number, reason);
                    continue;
                }
                None => continue,
            };
            let name = names.next_for(&patch.subject);
            let bytes = match &patch.provenance {
                Some(provenance) => self.style.note(bytes, provenance, form),
                None => bytes.clone(),
            };
            let verdict = PatchVerdict::Added {
                name: name.to_string(),
                refreshed,
            };
            set(outcome, candidate.number, verdict);
            added.push(SeriesChange::Add { name, bytes });
        }
        if !outcome.is_done() {
            hold(outcome);
            return Ok(());
        }
        let before = changes.copy();
        changes.change(series, &added)?;
        if let Some(problem) = self.disproof(changes, series, upstream, added.len())? {
            changes.restore(before);
            outcome.notes.push(problem);
            hold(outcome);
        }
        Ok(())
    }

    /// What would be wrong with the new series: one of its patches does not apply.
    fn disproof(
        &self,
        changes: &TeamChanges<'_>,
        series: &ComponentSeries,
        upstream: &ComponentCommit<'_>,
        added: usize,
    ) -> Result<Option<String>, Error> {
        if added == 0 {
            return Ok(None);
        }
        let patches = changes.patches(series)?;
        let applied = upstream.apply(&patches, &self.engine)?;
        let broken = applied.patches().iter().find(|report| is_broken(report));
        Ok(broken.map(|report| {
            format!(
                "with the new patch in its place, {} does not apply: {}",
                report.name,
                report.error.as_deref().unwrap_or("it does not fit")
            )
        }))
    }
}

fn is_broken(report: &PatchReport) -> bool {
    !report.applies() && report.state != PatchState::Merged
}

fn refuse_broken(series: &ComponentSeries, reports: &[PatchReport]) -> Result<(), Error> {
    let Some(broken) = reports.iter().find(|report| is_broken(report)) else {
        return Ok(());
    };
    Err(Error::Usage(format!(
        "its own patch {}/{} does not apply: mend or drop it first: {}",
        series.folder,
        broken.name,
        broken.error.as_deref().unwrap_or("it does not fit")
    )))
}

/// Which of the patches the series has. The same author and subject do not make two patches the
/// same.
fn in_series(there: &[PatchInput], source: &FetchedSource, engine: &Options) -> Vec<PatchOutcome> {
    let known: Vec<PatchMarks> = there
        .iter()
        .map(|patch| PatchMarks::read(patch, engine))
        .collect();
    let outcomes = source.patches.iter().map(|patch| {
        let input = PatchInput::new(patch.subject.as_str(), patch.bytes.as_slice());
        let marks = PatchMarks::read(&input, engine);
        let found = known.iter().zip(there).find_map(|(known, input)| {
            let by = marks.same_as(known).filter(|by| *by != SameBy::Authorship)?;
            Some((by, input))
        });
        PatchOutcome {
            subject: patch.subject.clone(),
            verdict: match found {
                Some((by, input)) => PatchVerdict::InSeries {
                    name: input.name.clone(),
                    by,
                },
                None => PatchVerdict::Held,
            },
        }
    });
    outcomes.collect()
}

fn candidates<'a>(outcome: &ReleaseOutcome, source: &FetchedSource) -> Vec<TriedPatch<'a>> {
    let patches = source.patches.iter().zip(&outcome.patches).enumerate();
    let missing = patches.filter(|(_, (_, found))| found.verdict == PatchVerdict::Held);
    let candidates = missing.map(|(number, (patch, _))| TriedPatch {
        number,
        input: PatchInput::new(patch.subject.as_str(), patch.bytes.as_slice()),
        refresh: None,
    });
    candidates.collect()
}

fn set(outcome: &mut ReleaseOutcome, number: usize, verdict: PatchVerdict) {
    if let Some(patch) = outcome.patches.get_mut(number) {
        patch.verdict = verdict;
    }
}

/// Adds the reason that a patch cannot be refreshed to the reason that it does not apply.
fn explain(outcome: &mut ReleaseOutcome, number: usize, reason: &str) {
    let Some(patch) = outcome.patches.get_mut(number) else {
        return;
    };
    let before = match &patch.verdict {
        PatchVerdict::Conflict { text } => text.clone(),
        _ => String::new(),
    };
    // The new reason may include lines of the old one.
    let lines = before.lines().filter(|line| !reason.contains(line.trim()));
    let lines = lines.map(|line| format!("{line}\n"));
    let text = format!("    {reason}\n{}", lines.collect::<String>());
    patch.verdict = PatchVerdict::Conflict { text };
}

/// Holds the patches that were added.
fn hold(outcome: &mut ReleaseOutcome) {
    for patch in &mut outcome.patches {
        if matches!(patch.verdict, PatchVerdict::Added { .. }) {
            patch.verdict = PatchVerdict::Held;
        }
    }
}

fn upstream_reports(
    objects: &dyn Objects,
    base: Oid,
    inputs: &[PatchInput],
    engine: &Options,
) -> Result<Vec<PatchReport>, Error> {
    let applied = git_apply_engine::apply(objects, base, inputs, Sequence::Stacked, engine)?;
    Ok(applied.into_patches())
}

/// The files that the source was made for, and those that upstream has.
struct TrialBlobs<'a> {
    source: &'a MemoryStore,
    upstream: &'a ComponentCommit<'a>,
}

impl FindBlob for TrialBlobs<'_> {
    fn find_blob(&self, prefix: &str) -> Result<Option<Oid>, ObjectError> {
        if let Ok(id) = prefix.parse()
            && self.source.blob_size(id).is_ok()
        {
            return Ok(Some(id));
        }
        self.upstream.find_blob(prefix)
    }
}
