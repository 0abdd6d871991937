//! What can be made anew of patches on a local repository.

use super::error::Error;
use crate::patch::{ObjectError, Oid, PatchReport, PatchState};
use crate::plan::history_search::{AppliedPatches, SeriesRefresh};
use crate::refresh::{FindBlob, FuzzyFit, PatchRefresh, RefreshOptions, RefreshStatus};
use crate::source::local::LocalRepository;

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
    /// Makes the patches anew, as far as they can be, with at most so many lines of fuzz.
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

    /// What a refresh would make of each patch; nothing for a series that applies as it is, for
    /// which nothing is read, and where what is needed for it cannot be read.
    pub(super) fn outlook(&self) -> Vec<RefreshOutlook> {
        let is_clean = |report: &PatchReport| report.state == PatchState::Clean;
        if self.reports.iter().all(is_clean) {
            return Vec::new();
        }
        let fuzz = RefreshOptions::default().fuzz;
        let refreshed = self.refresh(fuzz).unwrap_or_default();
        let outlook = |patch: &PatchRefresh| RefreshOutlook {
            status: patch.outcome.status(),
            fuzz: patch.fuzz,
        };
        refreshed.iter().map(outlook).collect()
    }
}
