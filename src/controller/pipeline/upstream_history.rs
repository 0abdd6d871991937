//! What upstream did with the patches that apply neither forwards nor whole in reverse: merged in
//! another form, merged and reverted, or broken by which commit; and which a refresh mends.
//!
//! The ref's history is searched for that, and only if there is such a patch. An unreadable
//! history keeps no verdict from being reported.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use foreign_text::printable;
use git_apply_engine::{Oid, Options, PatchInput, PatchReport, Sequence, Series};
use git_mirrors::{History, HistoryBounds, HistoryExtent, HistorySince, Mirrors, Resolved, Upstream};
use jiff::Timestamp;
use patchset_api::PatchSet;
use patchset_api::status::{PatchSetStatus, PatchState, PatchStatus};
use upstream_history::{Bounds, date_written, is_looked_for};

use super::resolve::ResolvedInputs;
use crate::controller::context::turn::Turn;
use crate::controller::inputs::upstreams::blocking;
use crate::controller::state::locking::lock;
use crate::plan::history_search::{AppliedPatches, FullIds, HistorySearch};
use crate::plan::report::{self, shown_name};
use crate::plan::upstream_history::{
    CLOCK_SLACK, CommitLinks, UNDATED, add_history, last_applied, may_be_merged,
};

/// For how many patches of a series to look for the commit that broke them.
const MOST_BREAKERS: usize = 20;

/// How much to search if only the commits of patches that are known to be upstream are missing:
/// their messages, and the trees of few.
const ONLY_MERGED: Bounds = Bounds {
    commits: 20_000,
    since: None,
    trees: 500,
    changes: 50,
    file_bytes: 1 << 20,
    interdiff_bytes: 0,
};

/// The longest reason why a history could not be searched, in characters.
const FAILURE_CHARACTERS: usize = 300;

/// A series that was applied, for whose patches the history is searched.
pub struct SeriesToSearch<'a> {
    /// What it was applied to, in words.
    pub what: &'static str,
    /// The patches whose commits are looked for.
    pub searched: SearchedPatches,
    /// What it was applied to, resolved.
    pub resolved: &'a Resolved,
    /// The series, one patch for each of `patches`.
    pub series: Arc<Mutex<Series>>,
    /// The patches.
    pub patches: Arc<Vec<PatchInput>>,
    /// For each patch, the last upstream commit on which it applied, if known.
    pub last_applied: Vec<Option<Oid>>,
}

/// The patches of a series as the status has them.
pub struct SearchedSeries {
    /// Each patch, in order.
    pub patches: Vec<PatchStatus>,
    /// Why upstream's history could not be searched.
    pub failure: Option<String>,
    /// How far it was searched, if that is not as far back as the patches go.
    pub cut: Option<String>,
}

/// The patches whose commits are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SearchedPatches {
    /// Those that do not apply.
    Failing,
    /// Also those that apply in reverse, whose commits are reported.
    FailingAndMerged,
}

impl SearchedPatches {
    fn include(self, state: PatchState) -> bool {
        match self {
            Self::Failing => may_be_merged(state),
            Self::FailingAndMerged => is_looked_for(state),
        }
    }
}

/// The last upstream commit on which a patch of this name applied, according to a status.
pub fn last_applied_commit(status: &PatchSetStatus, name: &str) -> Option<Oid> {
    let revision = last_applied(status, &shown_name(name))?.value()?;
    Some(revision.commit)
}

/// Reports what became of each patch, and what upstream did with those that do not apply. Takes at
/// most half of the time that the reconciliation has left.
pub async fn search(
    turn: &Turn<'_, PatchSet>,
    inputs: &ResolvedInputs,
    options: Options,
    onto: SeriesToSearch<'_>,
) -> SearchedSeries {
    let patches = {
        let series = lock(&onto.series);
        report::patches(series.patches())
    };
    let searched = onto.searched;
    if !patches.iter().any(|patch| searched.include(patch.state)) {
        return SearchedSeries {
            patches,
            failure: None,
            cut: None,
        };
    }
    // If only the commits of patches that are known to be upstream are missing, it is no failure
    // not to find them.
    let has_failing = patches.iter().any(|patch| may_be_merged(patch.state));
    let now = Instant::now();
    let deadline = now + turn.budget.deadline.saturating_duration_since(now) / 2;
    let SeriesToSearch {
        what,
        searched,
        resolved,
        series,
        patches: read,
        last_applied,
    } = onto;
    let search = OwnedSearch {
        upstream: inputs.upstream.clone(),
        resolved: resolved.clone(),
        template: turn.object.spec.upstream.commit_url_template.clone(),
        options,
        searched,
        has_failing,
        series,
        patches: read,
        last_applied,
        deadline,
    };
    let outcome = blocking(turn.context, what, deadline, move |mirrors| search.run(mirrors));
    match outcome.await {
        Ok(searched) => searched,
        Err(failure) => SearchedSeries {
            patches,
            failure: has_failing.then(|| printable(&failure.message, FAILURE_CHARACTERS)),
            cut: None,
        },
    }
}

/// A search that owns all it needs, so that it can run on a thread of its own.
struct OwnedSearch {
    upstream: Upstream,
    resolved: Resolved,
    template: Option<String>,
    options: Options,
    searched: SearchedPatches,
    /// Whether any patch does not apply.
    has_failing: bool,
    series: Arc<Mutex<Series>>,
    patches: Arc<Vec<PatchInput>>,
    last_applied: Vec<Option<Oid>>,
    deadline: Instant,
}

impl OwnedSearch {
    fn run(&self, mirrors: &Mirrors) -> Result<SearchedSeries, git_mirrors::Error> {
        let mut reports = {
            let series = lock(&self.series);
            series.patches().to_vec()
        };
        let since = since(self.searched, &self.patches, &reports, &self.last_applied);
        let bounds = HistoryBounds::since(since);
        let history = mirrors.history(&self.upstream, &self.resolved, bounds, self.deadline)?;
        tracing::debug!(commit = %self.resolved.commit(), "the history of a series is searched");
        let blobs = FullIds(&history);
        let search = HistorySearch {
            store: &history,
            tip: self.resolved.commit(),
            series: AppliedPatches {
                patches: &self.patches,
                options: &self.options,
                sequence: Sequence::Stacked,
            },
            last_applied: &self.last_applied,
            bounds: if self.has_failing {
                Bounds::default()
            } else {
                ONLY_MERGED
            },
            most_breakers: MOST_BREAKERS,
            refresh_from: self.has_failing.then_some(&blobs),
        };
        let (found, failure) = search.run(&mut reports);
        let failure = failure.filter(|_| self.has_failing).map(|error| {
            let fetch = history.fetch_failure();
            fetch.map_or_else(|| error.to_string(), |fetch| fetch.to_string())
        });
        let mut patches = report::patches(&reports);
        let links = CommitLinks {
            upstream: &self.upstream.url().to_string(),
            template: self.template.as_deref(),
        };
        add_history(&mut patches, &found, links);
        let cut = self.cut(&history, &patches);
        Ok(SearchedSeries {
            patches,
            failure: failure.map(|error| printable(&error, FAILURE_CHARACTERS)),
            cut,
        })
    }

    /// How far a history was searched that was cut, if patches were not found in it.
    fn cut(&self, history: &History<'_>, patches: &[PatchStatus]) -> Option<String> {
        let has_commit = |patch: &PatchStatus| {
            let merged = patch.merged.as_ref();
            merged.is_some_and(|merged| merged.commit.is_some())
        };
        let may_miss = |patch: &PatchStatus| self.searched.include(patch.state) && !has_commit(patch);
        let is_cut = history.extent() == HistoryExtent::Cut && patches.iter().any(may_miss);
        is_cut.then(|| {
            format!(
                "only its latest {} commits were searched: the rest is beyond what is fetched, or the server gives no more",
                history.len()
            )
        })
    }
}

/// How far back the history has to go: to when the first of the patches that do not apply was
/// written. If none says when, to where one of them applied last.
fn since(
    searched: SearchedPatches,
    patches: &[PatchInput],
    reports: &[PatchReport],
    last_applied: &[Option<Oid>],
) -> HistorySince {
    let failing = |at: &usize| {
        reports
            .get(*at)
            .is_some_and(|report| searched.include(report.state))
    };
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
