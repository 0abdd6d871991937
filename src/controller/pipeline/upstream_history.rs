//! What upstream did with the patches that neither apply nor are taken back whole: merged in
//! another form, merged and reverted, or broken by which commit; and which a refresh mends.
//!
//! That is looked for in the history of the ref, and only where there is such a patch. Whatever
//! keeps the history from being read keeps no verdict from being told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;

use super::resolve::ResolvedInputs;
use crate::api::PatchSet;
use crate::api::status::{PatchSetStatus, PatchState, PatchStatus};
use crate::controller::context::turn::Turn;
use crate::controller::inputs::upstreams::blocking;
use crate::history::{Bounds, Commits, HistoryError, Judged, Range, date_written, find_breaker, find_merged};
use crate::patch::{self, ObjectError, Objects, Oid, Options, PatchInput, PatchReport, Sequence, Series};
use crate::plan::report::{self, shown_name};
use crate::plan::upstream_history::{
    CLOCK_SLACK, CommitLinks, PatchHistory, UNDATED, add_history, last_applied, may_be_merged,
};
use crate::refresh::{
    FindBlob, PatchHint, Presence, RefreshError, RefreshHints, RefreshOptions, refresh_series,
};
use crate::source::{History, HistoryBounds, HistorySince, Resolved};
use crate::text::printable;

/// Of how many patches of a series the commit is looked for that broke them.
const MOST_BREAKERS: usize = 20;

/// The longest reason why a history could not be searched, in characters.
const FAILURE_CHARACTERS: usize = 300;

/// A series that was applied, and where.
pub struct AppliedOnto<'a> {
    /// What it was applied to, in words.
    pub what: &'static str,
    /// The same, resolved.
    pub resolved: &'a Resolved,
    /// The series, one patch for each of `patches`.
    pub series: Arc<Mutex<Series>>,
    /// The patches.
    pub patches: Arc<Vec<PatchInput>>,
    /// Of each patch, the upstream's commit on which it applied last, as far as it is known.
    pub last_applied: Vec<Option<Oid>>,
}

/// The patches of a series as the status has them.
pub struct SearchedSeries {
    /// Each patch, in order.
    pub patches: Vec<PatchStatus>,
    /// Why upstream's history could not be searched.
    pub failure: Option<String>,
}

/// The upstream's commit on which a patch of this name applied last, as a status tells it.
pub fn last_applied_commit(status: &PatchSetStatus, name: &str) -> Option<Oid> {
    let revision = last_applied(status, &shown_name(name))?.value()?;
    Some(revision.commit)
}

/// Says of each patch what became of it, and of those that do not apply what upstream did with
/// them. That takes at most half of the time that the reconciliation has left.
pub async fn search(
    turn: &Turn<'_, PatchSet>,
    inputs: &ResolvedInputs,
    options: Options,
    onto: AppliedOnto<'_>,
) -> SearchedSeries {
    let patches = {
        let series = onto.series.lock().unwrap_or_else(PoisonError::into_inner);
        report::patches(series.patches())
    };
    if !patches.iter().any(|patch| may_be_merged(patch.state)) {
        return SearchedSeries {
            patches,
            failure: None,
        };
    }
    let now = Instant::now();
    let deadline = now + turn.budget.deadline.saturating_duration_since(now) / 2;
    let (upstream, resolved) = (inputs.upstream.clone(), onto.resolved.clone());
    let template = turn.object.spec.upstream.commit_url_template.clone();
    let AppliedOnto {
        what,
        series,
        patches: read,
        last_applied,
        ..
    } = onto;
    let searched = blocking(turn.context, what, deadline, move |mirrors| {
        let reports = {
            let series = series.lock().unwrap_or_else(PoisonError::into_inner);
            series.patches().to_vec()
        };
        let since = since(&read, &reports, &last_applied);
        let history = mirrors.history(&upstream, &resolved, HistoryBounds::since(since), deadline)?;
        tracing::debug!(commit = %resolved.commit(), "the history of a series is searched");
        let url = upstream.url().to_string();
        let search = HistorySearch {
            history: &history,
            tip: resolved.commit(),
            options: &options,
            patches: &read,
            last_applied: &last_applied,
            links: CommitLinks {
                upstream: &url,
                template: template.as_deref(),
            },
        };
        Ok(search.run(reports))
    });
    match searched.await {
        Ok(searched) => searched,
        Err(failure) => SearchedSeries {
            patches,
            failure: Some(printable(&failure.message, FAILURE_CHARACTERS)),
        },
    }
}

/// A search that has all that it needs.
struct HistorySearch<'a> {
    history: &'a History<'a>,
    tip: Oid,
    options: &'a Options,
    patches: &'a [PatchInput],
    last_applied: &'a [Option<Oid>],
    links: CommitLinks<'a>,
}

/// Why a search found less than there may be.
#[derive(Debug, thiserror::Error)]
enum SearchError {
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    Apply(#[from] patch::Error),
    #[error(transparent)]
    Refresh(#[from] RefreshError),
}

impl HistorySearch<'_> {
    fn run(&self, mut reports: Vec<PatchReport>) -> SearchedSeries {
        let mut found = vec![PatchHistory::default(); reports.len()];
        let failure = self.fill(&mut reports, &mut found).err().map(|error| {
            let fetch = self.history.fetch_failure();
            fetch.map_or_else(|| error.to_string(), |fetch| fetch.to_string())
        });
        let mut patches = report::patches(&reports);
        add_history(&mut patches, &found, self.links);
        SearchedSeries {
            patches,
            failure: failure.map(|error| printable(&error, FAILURE_CHARACTERS)),
        }
    }

    /// Fills in what is found, step by step: what was found before a step failed is kept.
    fn fill(&self, reports: &mut [PatchReport], found: &mut [PatchHistory]) -> Result<(), SearchError> {
        let series = Judged::series(self.patches, reports, self.options);
        let merged = find_merged(self.history, self.history, self.tip, &series, &Bounds::default())?;
        for (found, finding) in found.iter_mut().zip(merged) {
            found.finding = finding;
        }
        self.judge_without_merged(reports, found)?;
        self.find_breakers(reports, found)?;
        self.find_refreshes(reports, found)
    }

    /// What becomes of the other patches where those that upstream has are not there: one that was
    /// held up by such a patch is judged by itself.
    fn judge_without_merged(
        &self,
        reports: &mut [PatchReport],
        found: &[PatchHistory],
    ) -> Result<(), SearchError> {
        let is_left_out = |at: usize| {
            found.get(at).is_some_and(PatchHistory::is_merged)
                && reports.get(at).is_some_and(|report| may_be_merged(report.state))
        };
        let kept: Vec<usize> = (0..reports.len()).filter(|at| !is_left_out(*at)).collect();
        let is_blocked = |at: &usize| {
            reports
                .get(*at)
                .is_some_and(|report| report.state == PatchState::Blocked)
        };
        if kept.len() == reports.len() || !kept.iter().any(is_blocked) {
            return Ok(());
        }
        let patches: Vec<PatchInput> = kept
            .iter()
            .filter_map(|at| self.patches.get(*at).cloned())
            .collect();
        let tree = self.tree(self.tip)?;
        let series = patch::apply(self.history, tree, &patches, Sequence::Stacked, self.options)?;
        for (at, report) in kept.into_iter().zip(series.patches()) {
            if let Some(slot) = reports.get_mut(at) {
                *slot = report.clone();
            }
        }
        Ok(())
    }

    fn find_refreshes(&self, reports: &[PatchReport], found: &mut [PatchHistory]) -> Result<(), SearchError> {
        let mut hints = Vec::with_capacity(reports.len());
        for (found, last) in found.iter().zip(self.last_applied) {
            hints.push(PatchHint {
                last_applied: last.and_then(|commit| self.tree(commit).ok()),
                presence: if found.is_merged() {
                    Presence::Merged
                } else {
                    Presence::Unknown
                },
            });
        }
        let blobs = FullIds(self.history);
        let hints = RefreshHints {
            blobs: Some(&blobs),
            patches: &hints,
        };
        let options = RefreshOptions {
            engine: self.options.clone(),
            ..RefreshOptions::default()
        };
        let tree = self.tree(self.tip)?;
        let refreshed = refresh_series(self.history, tree, self.patches, &hints, &options)?;
        for (found, refreshed) in found.iter_mut().zip(refreshed) {
            found.refresh = refreshed.outcome.status();
        }
        Ok(())
    }

    fn find_breakers(&self, reports: &[PatchReport], found: &mut [PatchHistory]) -> Result<(), SearchError> {
        let series = Judged::series(self.patches, reports, self.options);
        let mut left = MOST_BREAKERS;
        for (at, found) in found.iter_mut().enumerate() {
            let is_conflict = series
                .get(at)
                .is_some_and(|judged| judged.report.state == PatchState::Conflict);
            let (true, Some(until)) = (is_conflict && !found.is_merged(), series.get(..=at)) else {
                continue;
            };
            if left == 0 {
                break;
            }
            left -= 1;
            let range = Range {
                tip: self.tip,
                since: self.last_applied.get(at).copied().flatten(),
            };
            found.broken_by = find_breaker(self.history, self.history, range, until, &Bounds::default())?;
        }
        Ok(())
    }

    /// The tree of a commit that is among those known.
    fn tree(&self, commit: Oid) -> Result<Oid, HistoryError> {
        let known = self.history.commit(commit)?;
        known
            .map(|known| known.tree)
            .ok_or(HistoryError::Object(ObjectError::NotFound(commit)))
    }
}

/// Finds the blobs that `index` lines name in full, where the mirror has them or the server gives
/// them.
struct FullIds<'a>(&'a History<'a>);

impl FindBlob for FullIds<'_> {
    fn find_blob(&self, prefix: &str) -> Result<Option<Oid>, ObjectError> {
        let Ok(id) = prefix.parse() else {
            return Ok(None);
        };
        Ok(self.0.blob_size(id).ok().map(|_| id))
    }
}

/// How far back the history has to go: to when the first of the patches that do not apply was
/// written. Where none tells that, to where one of them applied last.
fn since(patches: &[PatchInput], reports: &[PatchReport], last_applied: &[Option<Oid>]) -> HistorySince {
    let failing = |at: &usize| reports.get(*at).is_some_and(|report| may_be_merged(report.state));
    let failing: Vec<usize> = (0..reports.len()).filter(failing).collect();
    let written = failing.iter().filter_map(|at| patches.get(*at).map(date_written));
    let written: Vec<Option<i64>> = written.collect();
    let applied = failing
        .iter()
        .find_map(|at| last_applied.get(*at).copied().flatten());
    match applied {
        Some(commit) if written.iter().all(Option::is_none) => HistorySince::Commit(commit),
        _ => {
            let undated = Timestamp::now().as_second().saturating_sub(UNDATED);
            let dates = written.into_iter().map(|written| written.unwrap_or(undated));
            HistorySince::Date(dates.min().unwrap_or(undated).saturating_sub(CLOCK_SLACK))
        }
    }
}
