//! What can be made anew of patches on a local repository.

use super::error::Error;
use crate::patch::{ObjectError, Oid, Options, PatchInput, PatchReport, PatchState, Sequence};
use crate::refresh::{
    FindBlob, PatchHint, PatchRefresh, Presence, RefreshHints, RefreshOptions, RefreshStatus, refresh_series,
};
use crate::source::local::LocalRepository;

/// Patches that were applied to a tree of a local repository, and looked for in its history.
pub(super) struct JudgedPatches<'a> {
    pub(super) repository: &'a LocalRepository,
    pub(super) base: Oid,
    pub(super) patches: &'a [PatchInput],
    pub(super) reports: &'a [PatchReport],
    pub(super) sequence: Sequence,
    /// The tree of a revision on which they applied.
    pub(super) last_applied: Option<Oid>,
}

/// The blobs of a local repository.
struct Blobs<'a>(&'a LocalRepository);

impl FindBlob for Blobs<'_> {
    fn find_blob(&self, prefix: &str) -> Result<Option<Oid>, ObjectError> {
        Ok(self.0.find_blob(prefix))
    }
}

impl JudgedPatches<'_> {
    /// Makes the patches anew, as far as they can be, with at most so many lines of fuzz.
    pub(super) fn refresh(&self, engine: &Options, fuzz: Option<usize>) -> Result<Vec<PatchRefresh>, Error> {
        let default = RefreshOptions::default();
        let options = RefreshOptions {
            engine: engine.clone(),
            fuzz: fuzz.unwrap_or(default.fuzz),
            ..default
        };
        let hint = |report: &PatchReport| PatchHint {
            last_applied: self.last_applied,
            presence: match report.state {
                PatchState::Merged => Presence::Merged,
                _ => Presence::Unknown,
            },
        };
        let hints: Vec<PatchHint> = self.reports.iter().map(hint).collect();
        let size = match self.sequence {
            Sequence::Stacked => self.patches.len(),
            Sequence::Independent => 1,
        };
        let mut refreshed = Vec::with_capacity(self.patches.len());
        for (patches, hints) in self.patches.chunks(size.max(1)).zip(hints.chunks(size.max(1))) {
            let hints = RefreshHints {
                blobs: Some(&Blobs(self.repository)),
                patches: hints,
            };
            refreshed.extend(refresh_series(
                self.repository,
                self.base,
                patches,
                &hints,
                &options,
            )?);
        }
        Ok(refreshed)
    }

    /// What a status says of each patch; nothing where all apply as they are or are there, for
    /// which nothing is read, and where what is needed for it cannot be read.
    pub(super) fn statuses(&self, engine: &Options) -> Vec<Option<RefreshStatus>> {
        let is_left = |report: &PatchReport| matches!(report.state, PatchState::Clean | PatchState::Merged);
        if self.reports.iter().all(is_left) {
            return Vec::new();
        }
        let statuses = |judged: &Self| -> Vec<Option<RefreshStatus>> {
            let refreshed = judged.refresh(engine, None).unwrap_or_default();
            refreshed.iter().map(|patch| patch.outcome.status()).collect()
        };
        if self.sequence == Sequence::Stacked {
            return statuses(self);
        }
        // Each patch is made anew for the same tree.
        let each = self.patches.chunks(1).zip(self.reports.chunks(1));
        let each = each.map(|(patches, reports)| match reports {
            [report] if is_left(report) => None,
            _ => statuses(&JudgedPatches {
                patches,
                reports,
                ..*self
            })
            .pop()
            .flatten(),
        });
        each.collect()
    }
}
