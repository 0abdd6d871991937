//! Refreshes patches on a local repository.

use git_apply_engine::{ObjectError, Oid, PatchReport, PatchState, Sequence};
use git_mirrors::local::LocalRepository;
use patch_refresh::{FindBlob, FuzzyFit, PatchRefresh, RefreshOptions, RefreshStatus};

use super::error::Error;
use crate::plan::history_search::{AppliedPatches, SeriesRefresh};

/// Patches that were applied to a tree of a local repository, and looked for in its history.
pub(super) struct JudgedPatches<'a> {
    pub(super) repository: &'a LocalRepository,
    pub(super) base: Oid,
    pub(super) applied: AppliedPatches<'a>,
    pub(super) reports: &'a [PatchReport],
    /// The tree of a revision on which they applied.
    pub(super) last_applied: Option<Oid>,
}

/// What a refresh would make of a patch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RefreshOutlook {
    pub(super) status: Option<RefreshStatus>,
    /// Where the patch would apply with fuzz.
    pub(super) fuzz: Option<FuzzyFit>,
}

/// The blobs of a local repository.
pub(super) struct Blobs<'a>(pub(super) &'a LocalRepository);

impl FindBlob for Blobs<'_> {
    fn find_blob(&self, prefix: &str) -> Result<Option<Oid>, ObjectError> {
        Ok(self.0.find_blob(prefix))
    }
}

impl JudgedPatches<'_> {
    /// Refreshes the patches as far as possible, with at most so many lines of fuzz.
    pub(super) fn refresh(&self, fuzz: usize) -> Result<Vec<PatchRefresh>, Error> {
        let refresh = SeriesRefresh {
            objects: self.repository,
            base: self.base,
            series: self.applied,
            reports: self.reports,
            last_applied: &vec![self.last_applied; self.reports.len()],
            blobs: &Blobs(self.repository),
        };
        let options = RefreshOptions {
            fuzz,
            ..RefreshOptions::default()
        };
        Ok(refresh.run(&options)?)
    }

    /// What a refresh would make of each patch. Empty if all apply as they are or are merged,
    /// without reading anything, and if what is needed cannot be read.
    pub(super) fn outlook(&self) -> Vec<RefreshOutlook> {
        let is_left = |report: &PatchReport| matches!(report.state, PatchState::Clean | PatchState::Merged);
        if self.reports.iter().all(is_left) {
            return Vec::new();
        }
        if self.applied.sequence == Sequence::Stacked {
            return self.outlook_of_all();
        }
        // Each patch is refreshed for the same tree.
        let each = self.applied.patches.chunks(1).zip(self.reports.chunks(1));
        let each = each.map(|(patches, reports)| match reports {
            [report] if is_left(report) => RefreshOutlook::default(),
            _ => {
                let applied = AppliedPatches {
                    patches,
                    ..self.applied
                };
                let judged = JudgedPatches {
                    applied,
                    reports,
                    ..*self
                };
                judged.outlook_of_all().pop().unwrap_or_default()
            }
        });
        each.collect()
    }

    fn outlook_of_all(&self) -> Vec<RefreshOutlook> {
        let fuzz = RefreshOptions::default().fuzz;
        let refreshed = self.refresh(fuzz).unwrap_or_default();
        let outlook = |patch: &PatchRefresh| RefreshOutlook {
            status: patch.outcome.status(),
            fuzz: patch.fuzz,
        };
        refreshed.iter().map(outlook).collect()
    }
}
