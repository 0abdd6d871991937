//! The patches of a component at a release.

use super::layout::{ComponentSeries, FaultKind, LayoutFault};
use super::report::{PatchRow, Report};
use super::upstream::{CheckedSeries, Upstreams};
use crate::cli::input;
use crate::cli::upstream_history::{HistoryOptions, SeriesHistory};
use crate::patch::{Limits, PatchInput, PatchReport};
use crate::plan::report;
use crate::plan::upstream_history::{CommitLinks, add_history};

pub(super) fn check(series: &ComponentSeries, upstreams: &Upstreams, history: &HistoryOptions) -> Report {
    let fault = |path: &str, message: String| Report {
        faults: vec![LayoutFault {
            kind: FaultKind::UpstreamUnavailable,
            path: path.to_owned(),
            line: None,
            message,
        }],
        ..Report::default()
    };
    let limit = Limits::default().patch_bytes;
    let mut patches = Vec::new();
    for path in &series.patches {
        match input::read(path, limit) {
            Ok(bytes) => patches.push(PatchInput::new(
                path.file_name().unwrap_or_default().to_string_lossy(),
                bytes,
            )),
            Err(error) => return fault(&series.path, error.to_string()),
        }
    }
    let reference = series.reference.as_deref().unwrap_or_default();
    let applied = upstreams.apply(&series.component, reference, &patches, history);
    match applied {
        Err(message) => fault(
            &series.path,
            format!("{} at {reference}: {message}", series.component),
        ),
        Ok(checked) => {
            let CheckedSeries { reports, history } = checked;
            Report {
                patches: rows(series, &reports, &history),
                notes: history
                    .note
                    .map(|note| format!("{}: {note}", series.path))
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
        path: format!("{}/{}", series.path, status.name),
        status,
    });
    rows.collect()
}
