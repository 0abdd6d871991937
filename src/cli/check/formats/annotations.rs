//! What is reported at a line of a file.

use super::super::changes::PatchEdit;
use super::super::report::{OverrideRow, PatchRow, Report, Strictness};
use super::words::{self, Quoting};
use crate::cli::style::plain;
use crate::layout::FaultKind;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AnnotationLevel {
    /// It makes the check fail.
    Error,
    /// It needs attention.
    Warning,
}

/// A text at a line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Annotation {
    pub(super) level: AnnotationLevel,
    /// The file, relative to the folder that was checked.
    pub(super) path: String,
    /// The line, from 1.
    pub(super) line: usize,
    /// What kind of thing it is.
    pub(super) kind: String,
    /// What it is about, in words that stay the same when lines move and refs change.
    pub(super) subject: String,
    pub(super) title: String,
    pub(super) message: String,
}

/// Everything that fails or needs attention, the worst first.
pub(super) fn annotations(report: &Report, strictness: Strictness) -> Vec<Annotation> {
    let attention = match strictness {
        Strictness::FaultsFail => AnnotationLevel::Warning,
        Strictness::AttentionFails => AnnotationLevel::Error,
    };
    let mut found: Vec<Annotation> = report
        .patches
        .iter()
        .filter(|row| row.fails())
        .map(|row| patch(row, report))
        .collect();
    found.extend(report.faults.iter().map(|fault| {
        let place = report
            .refs
            .get(&fault.path)
            .filter(|_| fault.kind == FaultKind::UpstreamUnavailable);
        let place = place.and_then(|place| Some((place.path.as_ref()?, place.line)));
        let (path, line) = place.unwrap_or((&fault.path, fault.line));
        Annotation {
            level: if fault.kind.fails() {
                AnnotationLevel::Error
            } else {
                attention
            },
            path: path.clone(),
            line: line.unwrap_or(1),
            kind: fault.kind.as_str().to_owned(),
            subject: format!("{} {}", fault.path, plain(&fault.message)),
            title: plain(&format!("{}: {}", fault.kind.as_str(), fault.path)),
            message: plain(&fault.message),
        }
    }));
    let overrides = report.overrides.iter().filter(|row| row.needs_attention());
    found.extend(overrides.map(|row| override_(row, attention)));
    found.sort_by_key(|annotation| annotation.level);
    found
}

fn patch(row: &PatchRow, report: &Report) -> Annotation {
    let status = &row.status;
    // If the patch did not change, its ref did: annotate that.
    let moved = row
        .change
        .filter(|change| change.edit == PatchEdit::Unchanged)
        .and_then(|_| report.refs.get(&row.folder));
    let moved = moved.and_then(|place| Some((place.path.clone()?, place.line)));
    let (path, line) = moved.unwrap_or_else(|| (row.path.clone(), row.line));
    let result = words::result(status.state);
    Annotation {
        level: AnnotationLevel::Error,
        path,
        line: line.unwrap_or(1),
        kind: status.state.as_str().to_owned(),
        subject: row.path.clone(),
        title: plain(&format!(
            "{} {}: {} {result}",
            row.component, row.release, status.name
        )),
        message: format!(
            "{} {}. What to do: {}.",
            plain(&row.path),
            words::story(status, Quoting::Plain),
            words::remedy(status)
        ),
    }
}

fn override_(row: &OverrideRow, level: AnnotationLevel) -> Annotation {
    Annotation {
        level,
        path: format!("overrides/{}/constraints.txt", row.release),
        line: row.line.unwrap_or(1),
        kind: row.state.as_str().to_owned(),
        subject: format!("{} {}", row.release, row.package),
        title: plain(&format!("override of {} for {}", row.package, row.release)),
        message: plain(&row.message),
    }
}
