//! The patches of a component at a release.

use super::super::input;
use super::Found;
use super::layout::{Fault, FaultKind, Series};
use super::upstream::Upstreams;
use crate::api::status::{PatchState, PatchStatus};
use crate::patch::{self, Limits, Options, PatchInput};
use crate::plan::report;

/// One patch.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct PatchRow {
    pub(super) component: String,
    pub(super) release: String,
    /// The file, relative to the root.
    pub(super) path: String,
    /// What became of it, in the words of a `PatchSet`'s status.
    #[serde(flatten)]
    pub(super) status: PatchStatus,
}

impl PatchRow {
    /// Whether it applies. One that upstream has already does not.
    pub(super) fn applies(&self) -> bool {
        matches!(self.status.state, PatchState::Clean | PatchState::Offset)
    }
}

pub(super) fn check(series: &Series, upstreams: &Upstreams) -> Found {
    let fault = |path: &str, message: String| Found {
        faults: vec![Fault {
            kind: FaultKind::UpstreamUnavailable,
            path: path.to_owned(),
            line: None,
            message,
        }],
        ..Found::default()
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
        Ok(applied) => Found {
            patches: rows(series, applied.patches()),
            ..Found::default()
        },
    }
}

fn rows(series: &Series, reports: &[patch::PatchReport]) -> Vec<PatchRow> {
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
