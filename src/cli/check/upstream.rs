//! A series of a check, applied to its component.

use bytes::Bytes;
use git_apply_engine::{ObjectError, Objects, Oid, Options, PatchReport, PatchState, Sequence, TreeEntry};
use patch_refresh::{FindBlob, PatchRefresh, RefreshOptions};

use super::task::{Baseline, SeriesTask};
use crate::cli::error::Error;
use crate::cli::team::{ComponentCommit, ComponentRepository, Upstreams};
use crate::cli::upstream_history::{HistoryOptions, RefreshTrial, SeriesAtCommit, SeriesHistory};
use crate::plan::history_search::{AppliedPatches, SeriesRefresh};

/// How series are applied, and how their histories are searched.
#[derive(Clone, Copy)]
pub(super) struct SeriesSettings<'a> {
    pub(super) engine: &'a Options,
    pub(super) history: &'a HistoryOptions,
}

impl SeriesSettings<'_> {
    /// How the history is searched for patches that applied on a commit, where one is known.
    fn history(&self, applied_on: Option<Oid>) -> HistoryOptions {
        match applied_on {
            Some(commit) => self.history.after(commit),
            None => self.history.clone(),
        }
    }
}

/// A series that was applied to a component.
pub(super) struct CheckedSeries {
    pub(super) reports: Vec<PatchReport>,
    pub(super) history: SeriesHistory,
    /// One per patch; empty if all apply where they say.
    pub(super) refreshed: Vec<PatchRefresh>,
    /// What became of the patches before the change; a sentence if that is not known.
    pub(super) before: Result<Vec<PatchReport>, String>,
}

/// The series before the change, on what it was for.
struct AppliedBefore<'a> {
    /// Nothing where there was none, or it cannot be had.
    upstream: Option<ComponentCommit<'a>>,
    reports: Result<Vec<PatchReport>, String>,
}

/// Applies a series to its component at a tag, branch or commit, searches the component's history
/// for the patches that do not apply, and refreshes them as far as possible.
///
/// # Errors
///
/// A sentence, where the component's tree cannot be had.
pub(super) fn apply(
    upstreams: &Upstreams,
    task: &SeriesTask,
    settings: SeriesSettings<'_>,
) -> Result<CheckedSeries, String> {
    upstreams
        .component(&task.component, task.organisation.as_deref())
        .and_then(|component| check(&component, task, settings))
        .map_err(|error| error.to_string())
}

fn check(
    component: &ComponentRepository<'_>,
    task: &SeriesTask,
    settings: SeriesSettings<'_>,
) -> Result<CheckedSeries, Error> {
    let engine = settings.engine;
    let upstream = component.at(&task.reference.name)?;
    let mut reports = upstream.apply(&task.patches, engine)?.into_patches();
    let applied = AppliedPatches {
        patches: &task.patches,
        options: engine,
        sequence: Sequence::Stacked,
    };
    let before = applied_before(component, &task.baseline, engine);
    let base = before.upstream.as_ref();
    let history = settings.history(base.and_then(ComponentCommit::commit));
    let series = SeriesAtCommit {
        tip: upstream.commit(),
        applied,
        refresh: RefreshTrial::Tried,
    };
    let found = upstream.search(&history, &series, &mut reports)?;
    let last_applied = upstream
        .last_applied(&history)?
        .or(base.map(ComponentCommit::tree_id));
    let objects = EitherCommit {
        first: &upstream,
        second: base,
    };
    let refresh = SeriesRefresh {
        objects: &objects,
        base: upstream.tree_id(),
        series: applied,
        reports: &reports,
        last_applied: &vec![last_applied; reports.len()],
        blobs: &objects,
    };
    Ok(CheckedSeries {
        refreshed: refreshed(&refresh),
        history: found,
        reports,
        before: before.reports,
    })
}

/// What became of the patches before the change.
fn applied_before<'a>(
    component: &ComponentRepository<'a>,
    baseline: &Baseline,
    engine: &Options,
) -> AppliedBefore<'a> {
    let Baseline::Series { reference, patches } = baseline else {
        return AppliedBefore {
            upstream: None,
            reports: Ok(Vec::new()),
        };
    };
    let mut upstream = None;
    let mut apply = || -> Result<Vec<PatchReport>, Error> {
        let at = component.at(reference)?;
        let applied = at.apply(patches, engine)?;
        upstream = Some(at);
        Ok(applied.into_patches())
    };
    let reports = apply().map_err(|error| error.to_string());
    AppliedBefore { upstream, reports }
}

/// Refreshes the patches of a series; empty if all apply where they say, or if what is needed
/// cannot be read.
fn refreshed(refresh: &SeriesRefresh<'_>) -> Vec<PatchRefresh> {
    let is_clean = |report: &PatchReport| report.state == PatchState::Clean;
    if refresh.reports.iter().all(is_clean) {
        return Vec::new();
    }
    refresh.run(&RefreshOptions::default()).unwrap_or_default()
}

/// The objects of two commits.
struct EitherCommit<'a> {
    first: &'a ComponentCommit<'a>,
    second: Option<&'a ComponentCommit<'a>>,
}

impl EitherCommit<'_> {
    fn get<T>(&self, get: impl Fn(&ComponentCommit<'_>) -> Result<T, ObjectError>) -> Result<T, ObjectError> {
        match (get(self.first), self.second) {
            (Err(ObjectError::NotFound(_)), Some(second)) => get(second),
            (outcome, _) => outcome,
        }
    }
}

impl Objects for EitherCommit<'_> {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        self.get(|commit| commit.tree(id))
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        self.get(|commit| commit.blob(id))
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        self.get(|commit| commit.blob_size(id))
    }
}

impl FindBlob for EitherCommit<'_> {
    fn find_blob(&self, prefix: &str) -> Result<Option<Oid>, ObjectError> {
        match (self.first.find_blob(prefix)?, self.second) {
            (None, Some(second)) => second.find_blob(prefix),
            (found, _) => Ok(found),
        }
    }
}
