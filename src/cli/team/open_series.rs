//! A series with its upstream, applied.

use git_apply_engine::{Oid, Options, PatchInput, PatchReport, Sequence};
use patch_refresh::{PatchRefresh, RefreshOptions};

use super::address::SeriesAddress;
use super::component::ComponentCommit;
use super::repository::TeamRepository;
use super::upstreams::Upstreams;
use crate::cli::error::Error;
use crate::cli::upstream_history::{HistoryOptions, RefreshTrial, SeriesAtCommit, SeriesHistory};
use crate::layout::ComponentSeries;
use crate::plan::history_search::{AppliedPatches, SeriesRefresh};

/// The patches of a component at a release, applied to what it is built from.
pub(in crate::cli) struct OpenSeries<'t, 'u> {
    pub(in crate::cli) series: &'t ComponentSeries,
    /// What the component is built from: a tag, a branch or a commit.
    pub(in crate::cli) reference: String,
    pub(in crate::cli) upstream: ComponentCommit<'u>,
    pub(in crate::cli) patches: Vec<PatchInput>,
    pub(in crate::cli) engine: Options,
    pub(in crate::cli) applied: git_apply_engine::Series,
}

impl<'t, 'u> OpenSeries<'t, 'u> {
    /// Reads the patches of a component at a release, and applies them to its upstream.
    ///
    /// # Errors
    ///
    /// If there are none, nothing says what the component is built from, or the upstream cannot be
    /// reached.
    pub(in crate::cli) fn open(
        team: &'t TeamRepository,
        address: &SeriesAddress,
        upstreams: &'u Upstreams,
        engine: Options,
    ) -> Result<Self, Error> {
        let series = team.series(address)?;
        let patches = team.patches(series)?;
        let reference = series.reference.clone().ok_or_else(|| {
            Error::Usage(format!(
                "{address}: nothing says what it is built from: name its ref in releases/{}/source-refs.yaml, or give --ref-template",
                address.release
            ))
        })?;
        let in_series = |error: Error| Error::Usage(format!("{address} at {reference}: {error}"));
        let upstream = upstreams
            .component(&series.component, series.organisation.as_deref())
            .and_then(|component| component.at(&reference))
            .map_err(in_series)?;
        let applied = upstream.apply(&patches, &engine).map_err(in_series)?;
        Ok(Self {
            series,
            reference,
            upstream,
            patches,
            engine,
            applied,
        })
    }

    /// What became of each patch.
    pub(in crate::cli) fn reports(&self) -> &[PatchReport] {
        self.applied.patches()
    }

    /// The series as others search and refresh it.
    pub(in crate::cli) fn applied_patches(&self) -> AppliedPatches<'_> {
        AppliedPatches {
            patches: &self.patches,
            options: &self.engine,
            sequence: Sequence::Stacked,
        }
    }

    /// Searches the component's history for the patches that do not apply, and puts what upstream
    /// has into their reports.
    ///
    /// # Errors
    ///
    /// Where the bound of the search cannot be used.
    pub(in crate::cli) fn search(
        &self,
        history: &HistoryOptions,
        refresh: RefreshTrial,
    ) -> Result<(Vec<PatchReport>, SeriesHistory), Error> {
        let mut reports = self.reports().to_vec();
        let series = SeriesAtCommit {
            tip: self.upstream.commit(),
            applied: self.applied_patches(),
            refresh,
        };
        let found = self.upstream.search(history, &series, &mut reports)?;
        Ok((reports, found))
    }

    /// Refreshes the patches as far as possible. `reports` say what upstream has, and
    /// `last_applied` is the tree of a revision on which they applied.
    ///
    /// # Errors
    ///
    /// Where what is needed for it cannot be read.
    pub(in crate::cli) fn refresh(
        &self,
        reports: &[PatchReport],
        last_applied: Option<Oid>,
        options: &RefreshOptions,
    ) -> Result<Vec<PatchRefresh>, Error> {
        let refresh = SeriesRefresh {
            objects: &self.upstream,
            base: self.upstream.tree_id(),
            series: self.applied_patches(),
            reports,
            last_applied: &vec![last_applied; reports.len()],
            blobs: &self.upstream,
        };
        Ok(refresh.run(options)?)
    }
}
