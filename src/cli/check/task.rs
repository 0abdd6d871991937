//! The patches of a component at a release, and what they are compared to.

use git_apply_engine::{PatchInput, PatchReport};

use super::changes::{ChangeVerdict, PatchChange, PatchEdit, SeriesDifference};
use super::report::RefPlace;
use crate::cli::local_files::LocalFolder;
use crate::layout::{
    ComponentSeries, ContentLimits, FaultKind, LayoutError, LayoutFault, RepositoryFiles, RepositoryLayout,
};

/// The patches of a component at a release.
#[derive(Clone, Debug)]
pub(super) struct SeriesTask {
    pub(super) component: String,
    pub(super) release: String,
    /// The folder above the component on its server, where the layout has it.
    pub(super) organisation: Option<String>,
    /// The folder, relative to the root.
    pub(super) folder: String,
    /// What the component is built from.
    pub(super) reference: RefPlace,
    pub(super) patches: Vec<PatchInput>,
    pub(super) baseline: Baseline,
}

/// What a series is compared to.
#[derive(Clone, Debug)]
pub(super) enum Baseline {
    /// Nothing: all is told.
    Ignored,
    /// The base does not have it.
    Absent,
    /// What the base has.
    Series {
        reference: String,
        patches: Vec<PatchInput>,
    },
}

/// The patches of a series; `None` if there are none, or if a fault already says that they are not
/// known.
///
/// # Errors
///
/// If they cannot be read.
pub(super) fn readable_series(
    series: &ComponentSeries,
    files: &dyn RepositoryFiles,
) -> Result<Option<Vec<PatchInput>>, LayoutFault> {
    let read = series.series.contents(files, &ContentLimits::default());
    match read {
        Ok(patches) => Ok((!patches.is_empty()).then_some(patches)),
        Err(LayoutError::Faulty(_)) => Ok(None),
        Err(error) => Err(LayoutFault::new(
            FaultKind::UpstreamUnavailable,
            &series.folder,
            error.to_string(),
        )),
    }
}

impl SeriesTask {
    /// What to check of a series; `None` if it has no patches, or no ref, which a fault reports.
    ///
    /// # Errors
    ///
    /// If the patches cannot be read.
    pub(super) fn new(
        series: &ComponentSeries,
        layout: &RepositoryLayout,
        folder: &LocalFolder,
    ) -> Result<Option<Self>, LayoutFault> {
        let Some(patches) = readable_series(series, &folder.files)? else {
            return Ok(None);
        };
        let Some(name) = series.reference.clone() else {
            return Ok(None);
        };
        let release = layout.releases.get(&series.release);
        let refs = release.and_then(|release| release.refs.as_ref());
        Ok(Some(Self {
            component: series.component.clone(),
            release: series.release.clone(),
            organisation: series.organisation.clone(),
            folder: series.folder.clone(),
            reference: RefPlace {
                name,
                path: refs.map(|refs| refs.path.clone()),
                line: refs.and_then(|refs| refs.refs.line(&series.component)),
            },
            patches,
            baseline: Baseline::Ignored,
        }))
    }

    /// Whether it equals the base's, and need not be checked.
    pub(super) fn is_unchanged(&self) -> bool {
        match &self.baseline {
            Baseline::Ignored | Baseline::Absent => false,
            Baseline::Series { reference, patches } => {
                *reference == self.reference.name && *patches == self.patches
            }
        }
    }

    /// What was done to it since the base.
    pub(super) fn change(&self) -> Option<SeriesDifference> {
        let (from, before): (_, &[PatchInput]) = match &self.baseline {
            Baseline::Ignored => return None,
            Baseline::Absent => (None, &[]),
            Baseline::Series { reference, patches } => (Some(reference.clone()), patches),
        };
        let removed = before
            .iter()
            .filter(|old| self.patches.iter().all(|new| new.name != old.name));
        Some(SeriesDifference {
            component: self.component.clone(),
            release: self.release.clone(),
            folder: self.folder.clone(),
            from,
            to: Some(self.reference.name.clone()),
            removed: removed.map(|old| old.name.clone()).collect(),
        })
    }

    /// What was done to a patch since the base, and what became of it.
    pub(super) fn patch_change(
        &self,
        patch: &PatchInput,
        report: &PatchReport,
        before: &[PatchReport],
    ) -> Option<PatchChange> {
        let edit = match &self.baseline {
            Baseline::Ignored => return None,
            Baseline::Absent => PatchEdit::Added,
            Baseline::Series { patches, .. } => match patches.iter().find(|old| old.name == patch.name) {
                None => PatchEdit::Added,
                Some(old) if old == patch => PatchEdit::Unchanged,
                Some(_) => PatchEdit::Changed,
            },
        };
        let before = before.iter().find(|report| report.name == patch.name);
        Some(PatchChange {
            edit,
            verdict: ChangeVerdict::new(before.map(PatchReport::applies), report.applies()),
            before: before.map(|report| report.state),
        })
    }
}
