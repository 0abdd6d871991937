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
use crate::api::status::{PatchSetStatus, PatchStatus};
use crate::controller::context::turn::Turn;
use crate::controller::inputs::upstreams::blocking;
use crate::history::{Bounds, date_written};
use crate::patch::{ObjectError, Objects, Oid, Options, PatchInput, PatchReport, Sequence, Series};
use crate::plan::history_search::{AppliedPatches, HistorySearch};
use crate::plan::report::{self, shown_name};
use crate::plan::upstream_history::{
    CLOCK_SLACK, CommitLinks, UNDATED, add_history, last_applied, may_be_merged,
};
use crate::refresh::FindBlob;
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
        let mut reports = {
            let series = series.lock().unwrap_or_else(PoisonError::into_inner);
            series.patches().to_vec()
        };
        let since = since(&read, &reports, &last_applied);
        let history = mirrors.history(&upstream, &resolved, HistoryBounds::since(since), deadline)?;
        tracing::debug!(commit = %resolved.commit(), "the history of a series is searched");
        let search = HistorySearch {
            store: &history,
            tip: resolved.commit(),
            series: AppliedPatches {
                patches: &read,
                options: &options,
                sequence: Sequence::Stacked,
            },
            last_applied: &last_applied,
            bounds: Bounds::default(),
            most_breakers: MOST_BREAKERS,
            refresh_from: Some(&FullIds(&history)),
        };
        let (found, failure) = search.run(&mut reports);
        let failure = failure.map(|error| {
            let fetch = history.fetch_failure();
            fetch.map_or_else(|| error.to_string(), |fetch| fetch.to_string())
        });
        let mut patches = report::patches(&reports);
        let links = CommitLinks {
            upstream: &upstream.url().to_string(),
            template: template.as_deref(),
        };
        add_history(&mut patches, &found, links);
        Ok(SearchedSeries {
            patches,
            failure: failure.map(|error| printable(&error, FAILURE_CHARACTERS)),
        })
    });
    match searched.await {
        Ok(searched) => searched,
        Err(failure) => SearchedSeries {
            patches,
            failure: Some(printable(&failure.message, FAILURE_CHARACTERS)),
        },
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
