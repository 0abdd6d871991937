//! The patches of a component at a release.

use super::report::{PatchRow, Report};
use super::upstream::{CheckedSeries, Upstreams};
use crate::cli::local_files::LocalFolder;
use crate::cli::upstream_history::{HistoryOptions, SeriesHistory};
use crate::layout::{ComponentSeries, ContentLimits, FaultKind, LayoutFault};
use crate::patch::{Limits, PatchReport};
use crate::plan::report;
use crate::plan::upstream_history::{CommitLinks, add_history};

pub(super) fn check(
    series: &ComponentSeries,
    folder: &LocalFolder,
    upstreams: &Upstreams,
    history: &HistoryOptions,
) -> Report {
    let fault = |path: &str, message: String| Report {
        faults: vec![LayoutFault::new(FaultKind::UpstreamUnavailable, path, message)],
        ..Report::default()
    };
    let limits = ContentLimits {
        file: Limits::default().patch_bytes,
        ..ContentLimits::default()
    };
    let patches = match series.series.contents(&folder.files, &limits) {
        Ok(patches) => patches,
        Err(error) => return fault(&series.folder, error.to_string()),
    };
    let component = match &series.organisation {
        Some(organisation) => format!("{organisation}/{}", series.component),
        None => series.component.clone(),
    };
    let reference = series.reference.as_deref().unwrap_or_default();
    let applied = upstreams.apply(&component, reference, &patches, history);
    match applied {
        Err(message) => fault(
            &series.folder,
            format!("{} at {reference}: {message}", series.component),
        ),
        Ok(checked) => {
            let CheckedSeries { reports, history } = checked;
            Report {
                patches: rows(series, &reports, &history),
                notes: history
                    .note
                    .map(|note| format!("{}: {note}", series.folder))
                    .into_iter()
                    .collect(),
                ..Report::default()
            }
        }
    }
}

fn rows(series: &ComponentSeries, reports: &[PatchReport], history: &SeriesHistory) -> Vec<PatchRow> {
    let mut patches = report::patches(reports);
    let links = CommitLinks {
        upstream: history.upstream.as_deref().unwrap_or_default(),
        template: None,
    };
    add_history(&mut patches, &history.patches, links);
    let rows = patches.into_iter().map(|status| PatchRow {
        component: series.component.clone(),
        release: series.release.clone(),
        path: format!("{}/{}", series.folder, status.name),
        status,
    });
    rows.collect()
}
