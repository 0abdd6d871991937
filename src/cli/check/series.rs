//! What becomes of the patches of a component at a release.

use patch_refresh::RefreshOutcome;

use super::fix::SeriesFix;
use super::report::{PatchRow, Report};
use super::task::SeriesTask;
use super::upstream::{self, CheckedSeries, SeriesSettings};
use crate::cli::team::Upstreams;
use crate::layout::{FaultKind, LayoutFault, SeriesChange};
use crate::plan::report;
use crate::plan::upstream_history::{CommitLinks, add_history};

pub(super) fn check(task: &SeriesTask, upstreams: &Upstreams, settings: SeriesSettings<'_>) -> Report {
    let mut found = Report {
        changes: task.change().into_iter().collect(),
        refs: [(task.folder.clone(), task.reference.clone())].into(),
        ..Report::default()
    };
    let CheckedSeries {
        reports,
        history,
        refreshed,
        before,
    } = match upstream::apply(upstreams, task, settings) {
        Ok(checked) => checked,
        Err(message) => {
            let message = format!("{} at {}: {message}", task.component, task.reference.name);
            found.faults.push(LayoutFault {
                kind: FaultKind::UpstreamUnavailable,
                path: task.folder.clone(),
                line: None,
                message,
            });
            return found;
        }
    };
    let note = |note: String| format!("{}: {note}", task.folder);
    found.notes.extend(history.note.map(note));
    let before = before.unwrap_or_else(|error| {
        found.notes.push(note(format!(
            "it is not known which patches applied before the change: {error}"
        )));
        Vec::new()
    });
    let mut patches = report::patches(&reports);
    report::add_headers(&mut patches, &task.patches);
    let links = CommitLinks {
        upstream: history.upstream.as_deref().unwrap_or_default(),
        template: None,
    };
    add_history(&mut patches, &history.patches, links);
    let mut changes = Vec::new();
    for (at, (mut status, report)) in patches.into_iter().zip(&reports).enumerate() {
        let Some(patch) = task.patches.get(at) else {
            continue;
        };
        let refreshed = refreshed.get(at).map(|refreshed| &refreshed.outcome);
        if status.refresh.is_none() && !status.applies() {
            status.refresh = refreshed.and_then(RefreshOutcome::status);
        }
        let name = patch.name.clone();
        match refreshed {
            Some(RefreshOutcome::Refreshed { patch, .. }) => changes.push(SeriesChange::Replace {
                name,
                bytes: patch.clone(),
            }),
            // If upstream's form differs, a person has to look at it first.
            Some(RefreshOutcome::Merged) if !status.is_merged_differing() => {
                changes.push(SeriesChange::Drop { name });
            }
            _ => {}
        }
        let hunk = report.first_rejected().map(|(_, hunk, _)| hunk.patch_line);
        found.patches.push(PatchRow {
            component: task.component.clone(),
            release: task.release.clone(),
            path: format!("{}/{}", task.folder, status.name),
            folder: task.folder.clone(),
            line: hunk,
            change: task.patch_change(patch, report, &before),
            status,
            bytes: patch.bytes.clone(),
        });
    }
    if !changes.is_empty() {
        found.fixes.push(SeriesFix {
            component: task.component.clone(),
            release: task.release.clone(),
            changes,
        });
    }
    found
}
