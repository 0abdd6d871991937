//! The patches of a component at a release.

use super::layout::{ComponentSeries, FaultKind, LayoutFault};
use super::report::{PatchRow, Report};
use super::upstream::Upstreams;
use crate::cli::input;
use crate::patch::{self, Limits, Options, PatchInput};
use crate::plan::report;

pub(super) fn check(series: &ComponentSeries, upstreams: &Upstreams) -> Report {
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
            Ok(bytes) => patches.push(PatchInput {
                name: path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                bytes,
            }),
            Err(error) => return fault(&series.path, error.to_string()),
        }
    }
    let reference = series.reference.as_deref().unwrap_or_default();
    let options = Options::default();
    let applied = upstreams.apply(&series.component, reference, &patches, &options);
    match applied {
        Err(message) => fault(
            &series.path,
            format!("{} at {reference}: {message}", series.component),
        ),
        Ok(applied) => Report {
            patches: rows(series, applied.patches()),
            ..Report::default()
        },
    }
}

fn rows(series: &ComponentSeries, reports: &[patch::PatchReport]) -> Vec<PatchRow> {
    report::patches(reports)
        .into_iter()
        .map(|status| PatchRow {
            component: series.component.clone(),
            release: series.release.clone(),
            path: format!("{}/{}", series.path, status.name),
            status,
        })
        .collect()
}
