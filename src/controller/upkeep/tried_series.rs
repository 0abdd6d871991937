//! Tries what a plan does to series, and refreshes their patches, over the mirrors of their
//! upstreams.

use std::collections::HashMap;
use std::time::Instant;

use git_apply_engine::{Objects, Oid, Options, PatchInput, PatchReport, Sequence, Series};
use git_mirrors::{HistoryBounds, HistorySince, Mirrors, Resolved, Upstream};
use jiff::Timestamp;
use patch_refresh::{PatchRefresh, RefreshOptions};
use patchset_api::status::{PatchSetStatus, PatchState, PatchStatus};
use upstream_history::{Commits, date_written};

use crate::layout::{ContentLimits, FolderPatches, RepositoryFiles};
use crate::plan::history_search::{AppliedPatches, FullIds, SeriesRefresh};
use crate::plan::report::shown_name;
use crate::plan::upstream_history::{CLOCK_SLACK, UNDATED, last_applied};
use crate::upkeep::{RefreshedPatch, RefreshedPatches, SeriesProof, SeriesResult};

/// A series that is looked after, and what it is for.
pub struct TriedSeries {
    /// The `PatchSet`'s name.
    pub patch_set: String,
    /// The folder of its patches.
    pub folder: String,
    pub upstream: Upstream,
    /// The upstream's commit that the status names.
    pub resolved: Resolved,
    /// How the patches are read.
    pub options: Options,
    /// What the status says of the patches.
    pub status: PatchSetStatus,
    pub refreshing: Refreshing,
}

/// Whether the patches of a series are refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshing {
    /// Those that need it are.
    WhatNeedsIt,
    /// None is.
    Nothing,
}

/// Refreshed patches, by `PatchSet` and name.
#[derive(Default)]
pub struct Refreshed(HashMap<String, HashMap<String, RefreshedPatch>>);

impl RefreshedPatches for Refreshed {
    fn refreshed(&self, patch_set: &str, patch: &str) -> Option<&RefreshedPatch> {
        self.0.get(patch_set)?.get(patch)
    }
}

impl Refreshed {
    /// Refreshes the patches of all series that want it.
    ///
    /// # Errors
    ///
    /// If an upstream cannot be read: what is to be done is not known then.
    pub fn make(
        mirrors: &Mirrors,
        files: &dyn RepositoryFiles,
        all: &[TriedSeries],
        deadline: Instant,
    ) -> Result<Self, git_mirrors::Error> {
        let mut refreshed = Self::default();
        for series in all
            .iter()
            .filter(|series| series.refreshing == Refreshing::WhatNeedsIt)
        {
            let needs_it = |patch: &PatchStatus| patch.state == PatchState::Offset || patch.refresh.is_some();
            if !series.status.patches.iter().any(needs_it) {
                continue;
            }
            let Some(patches) = series.patches(files) else {
                continue;
            };
            let made = series.refresh(mirrors, &patches, deadline)?;
            let made = patches.iter().zip(&made).filter_map(|(patch, made)| {
                let refreshed = RefreshedPatch::from_refresh(&patch.bytes, made)?;
                Some((patch.name.clone(), refreshed))
            });
            refreshed.0.insert(series.patch_set.clone(), made.collect());
        }
        Ok(refreshed)
    }
}

/// Applies the series that a plan changes, without and with its changes.
///
/// One whose folder cannot be read, or that the engine refuses, has no proof.
///
/// # Errors
///
/// Where an upstream cannot be read: what a change does is not known then.
pub fn try_changes<'a>(
    mirrors: &Mirrors,
    (before, after): (&dyn RepositoryFiles, &dyn RepositoryFiles),
    series: impl IntoIterator<Item = &'a TriedSeries>,
    deadline: Instant,
) -> Result<Vec<SeriesProof>, git_mirrors::Error> {
    let mut proofs = Vec::new();
    for series in series {
        let [Some(before), Some(after)] = [before, after].map(|files| series.patches(files)) else {
            continue;
        };
        let before = series.apply(mirrors, &before, deadline)?;
        let after = series.apply(mirrors, &after, deadline)?;
        if let (Some(before), Some(after)) = (before, after) {
            proofs.push(SeriesProof {
                patch_set: series.patch_set.clone(),
                before,
                after,
            });
        }
    }
    Ok(proofs)
}

impl TriedSeries {
    /// Its patches as a repository has them; `None` where they cannot be read.
    fn patches(&self, files: &dyn RepositoryFiles) -> Option<Vec<PatchInput>> {
        let read = FolderPatches::read(files, &self.folder, &ContentLimits::default());
        read.ok().map(|folder| folder.patches)
    }

    /// How far patches apply; `None` where the engine refuses them.
    fn apply(
        &self,
        mirrors: &Mirrors,
        patches: &[PatchInput],
        deadline: Instant,
    ) -> Result<Option<SeriesResult>, git_mirrors::Error> {
        let snapshot = mirrors.partial_snapshot(&self.upstream, &self.resolved, deadline)?;
        snapshot.prefetch_paths(git_apply_engine::touched_paths(patches, &self.options))?;
        let tree = snapshot.tree_id();
        match git_apply_engine::apply(&snapshot, tree, patches, Sequence::Stacked, &self.options) {
            Ok(series) => {
                let reports = self.with_known_merges(&series, patches);
                Ok(Some(SeriesResult::from_reports(&reports, series.tree())))
            }
            Err(git_apply_engine::Error::Object(error)) => {
                Err(snapshot
                    .fetch_failure()
                    .unwrap_or_else(|| git_mirrors::Error::Corrupt {
                        what: format!("what {} is applied to", self.patch_set),
                        reason: error.to_string(),
                    }))
            }
            Err(git_apply_engine::Error::TooMany { .. }) => Ok(None),
        }
    }

    /// The report on each patch. The status knows those that upstream has in another form.
    fn with_known_merges(&self, series: &Series, patches: &[PatchInput]) -> Vec<PatchReport> {
        let mut reports = series.patches().to_vec();
        for (report, patch) in reports.iter_mut().zip(patches) {
            let known = self.status_of(patch);
            if !report.applies() && known.is_some_and(|known| known.state == PatchState::Merged) {
                report.state = PatchState::Merged;
            }
        }
        reports
    }

    /// What the status says of a patch with these bytes.
    fn status_of(&self, patch: &PatchInput) -> Option<&PatchStatus> {
        let (name, blob) = (shown_name(&patch.name), Oid::of_blob(&patch.bytes).to_string());
        let is_it = |known: &&PatchStatus| {
            known.name == name && known.blob.as_ref().is_some_and(|known| known.as_str() == blob)
        };
        self.status.patches.iter().find(is_it)
    }

    /// Refreshes patches: with the upstream's history if one does not apply, as for the status.
    fn refresh(
        &self,
        mirrors: &Mirrors,
        patches: &[PatchInput],
        deadline: Instant,
    ) -> Result<Vec<PatchRefresh>, git_mirrors::Error> {
        let failing = patches.iter().filter(|patch| {
            let known = self.status_of(patch);
            known.is_some_and(|known| known.refresh.is_some())
        });
        let undated = Timestamp::now().as_second().saturating_sub(UNDATED);
        let oldest = failing.map(|patch| date_written(patch).unwrap_or(undated)).min();
        let Some(oldest) = oldest else {
            let snapshot = mirrors.partial_snapshot(&self.upstream, &self.resolved, deadline)?;
            snapshot.prefetch_paths(git_apply_engine::touched_paths(patches, &self.options))?;
            let made = self.refresh_over(&snapshot, snapshot.tree_id(), (patches, &|_| None));
            return made.ok_or_else(|| self.unreadable(snapshot.fetch_failure()));
        };
        let since = HistorySince::Date(oldest.saturating_sub(CLOCK_SLACK));
        let bounds = HistoryBounds::since(since);
        let history = mirrors.history(&self.upstream, &self.resolved, bounds, deadline)?;
        let tree = |commit: Oid| history.commit(commit).ok().flatten().map(|commit| commit.tree);
        let base = tree(self.resolved.commit());
        let made = base.and_then(|base| self.refresh_over(&history, base, (patches, &tree)));
        made.ok_or_else(|| self.unreadable(history.fetch_failure()))
    }

    fn refresh_over(
        &self,
        objects: &dyn Objects,
        base: Oid,
        (patches, tree): (&[PatchInput], &dyn Fn(Oid) -> Option<Oid>),
    ) -> Option<Vec<PatchRefresh>> {
        let applied =
            git_apply_engine::apply(objects, base, patches, Sequence::Stacked, &self.options).ok()?;
        let reports = self.with_known_merges(&applied, patches);
        let last_applied = patches.iter().map(|patch| {
            let revision = last_applied(&self.status, &shown_name(&patch.name))?.value()?;
            tree(revision.commit)
        });
        let last_applied: Vec<Option<Oid>> = last_applied.collect();
        let refresh = SeriesRefresh {
            objects,
            base,
            series: AppliedPatches {
                patches,
                options: &self.options,
                sequence: Sequence::Stacked,
            },
            reports: &reports,
            last_applied: &last_applied,
            blobs: &FullIds(objects),
        };
        refresh.run(&RefreshOptions::default()).ok()
    }

    fn unreadable(&self, fetch: Option<git_mirrors::Error>) -> git_mirrors::Error {
        fetch.unwrap_or_else(|| git_mirrors::Error::Corrupt {
            what: format!("what {} is refreshed for", self.patch_set),
            reason: "it cannot be read".to_owned(),
        })
    }
}
