//! Applies the patches of a PatchSet to its upstream, and searches upstream's history for those
//! that do not apply, as the controller does.

use git_apply_engine::{Options, PatchInput, Sequence, Series};
use patchset_api::PatchSet;
use patchset_api::patch_set::Patches;
use patchset_api::status::PatchStatus;

use super::places::{HeldCommit, SourcePlaces};
use crate::cli::error::Error;
use crate::cli::upstream_history::{RefreshTrial, SeriesAtCommit};
use crate::plan::history_search::AppliedPatches;
use crate::plan::report;
use crate::plan::upstream_history::{CommitLinks, add_history};

/// A series that was applied.
pub(super) struct PlannedSeries {
    pub(super) series: Series,
    /// What became of each patch, and what upstream did with it.
    pub(super) patches: Vec<PatchStatus>,
    /// Why the search of upstream's history is incomplete.
    pub(super) history_note: Option<String>,
}

/// Applies the patches of a PatchSet.
///
/// # Errors
///
/// If the upstream's objects cannot be read. A failed search of its history is only noted.
pub(super) fn judge(
    places: &SourcePlaces<'_>,
    object: &PatchSet,
    upstream: &HeldCommit,
    patches: &[PatchInput],
) -> Result<PlannedSeries, Error> {
    let options = engine_options(object.spec.patches.as_ref());
    let objects = upstream.held.objects();
    let series = git_apply_engine::apply(&*objects, upstream.tree, patches, Sequence::Stacked, &options)?;
    let applied = SeriesAtCommit {
        tip: Some(upstream.revision.commit()),
        applied: AppliedPatches {
            patches,
            options: &options,
            sequence: Sequence::Stacked,
        },
        refresh: RefreshTrial::Tried,
    };
    let mut reports = series.patches().to_vec();
    let history = places.search_history(upstream, &applied, &mut reports)?;
    let mut patches = report::patches(&reports);
    let links = CommitLinks {
        upstream: &object.spec.upstream.url,
        template: object.spec.upstream.commit_url_template.as_deref(),
    };
    add_history(&mut patches, &history.patches, links);
    Ok(PlannedSeries {
        series,
        patches,
        history_note: history.note,
    })
}

/// How a spec wants its patches to be read.
fn engine_options(spec: Option<&Patches>) -> Options {
    Options {
        strip: spec.and_then(|patches| patches.strip).map(usize::from),
        directory: spec
            .and_then(|patches| patches.directory.clone())
            .unwrap_or_default()
            .into(),
        ..Options::default()
    }
}
