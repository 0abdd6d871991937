//! The engine's report in the words of the status.

use crate::api::status::{CandidateStatus, ConflictStatus, PatchState, PatchStatus};
use crate::api::{Recorded, Revision};
use crate::patch::PatchReport;
use crate::text::{printable, printable_line};

use super::room;

/// The most conflicts of a series whose lines go into the status; the status of an object is
/// bounded.
const DETAILED_CONFLICTS: usize = 20;

/// The most lines and characters of each side of a conflict.
const SHOWN_LINES: usize = 24;
const SHOWN_CHARACTERS: usize = 2048;

/// The longest subject, author or message, in characters.
const TEXT_CHARACTERS: usize = 512;

/// The longest name of a patch, in characters.
const NAME_CHARACTERS: usize = 256;

/// Bytes of the names of patches that a candidate has already. There may be 16 candidates.
const MERGED_BYTES: usize = 4 << 10;

/// Each patch of a series.
#[must_use]
pub fn patches(reports: &[PatchReport]) -> Vec<PatchStatus> {
    let mut detailed = 0;
    reports
        .iter()
        .map(|report| {
            let conflict = conflict(report).map(|full| {
                detailed += 1;
                if detailed <= DETAILED_CONFLICTS {
                    full
                } else {
                    ConflictStatus {
                        expected: None,
                        found: None,
                        ..full
                    }
                }
            });
            PatchStatus {
                name: shown_name(&report.name),
                state: report.state,
                subject: report.subject.as_deref().map(shortened),
                author: report.author.as_deref().map(shortened),
                offset: (report.state == PatchState::Offset).then(|| report.largest_offset()),
                message: report.error.as_deref().map(shortened),
                conflict,
            }
        })
        .collect()
}

/// The same patches against a candidate.
#[must_use]
pub fn candidate(
    ref_: String,
    revision: Option<Recorded<Revision>>,
    reports: &[PatchReport],
) -> CandidateStatus {
    let applied = reports.iter().filter(|report| report.applies()).count();
    let merged = reports.iter().filter(|report| report.state == PatchState::Merged);
    let merged = merged.map(|report| shown_name(&report.name)).collect();
    let (merged, omitted_merged) = room::keep(merged, MERGED_BYTES, |_| 0);
    let failing = reports
        .iter()
        .find(|report| !report.applies() && report.state != PatchState::Merged);
    CandidateStatus {
        ref_,
        revision,
        applied: Some(format!("{applied}/{}", reports.len())),
        merged,
        omitted_merged,
        message: failing.map(|report| {
            let why = report.error.as_deref().unwrap_or_default();
            shortened(&match report.first_rejected() {
                Some((file, hunk, rejection)) => {
                    format!(
                        "{}: {} hunk {} at line {}",
                        report.name, file.path, hunk.number, rejection.line
                    )
                }
                None => format!("{}: {why}", report.name),
            })
        }),
    }
}

/// The first place of a patch that does not fit.
fn conflict(report: &PatchReport) -> Option<ConflictStatus> {
    if !matches!(report.state, PatchState::Conflict | PatchState::Blocked) {
        return None;
    }
    if let Some((file, hunk, rejection)) = report.first_rejected() {
        let found = rejection
            .nearest
            .as_ref()
            .map_or(&rejection.found, |nearest| &nearest.found);
        return Some(ConflictStatus {
            file: shortened(file.old_path.as_deref().unwrap_or(&file.path)),
            hunk: u32::try_from(hunk.number).ok(),
            line: u32::try_from(rejection.line).ok(),
            expected: Some(shown(&rejection.expected)),
            found: Some(shown(found)),
            nearest_line: rejection
                .nearest
                .as_ref()
                .and_then(|nearest| u32::try_from(nearest.line).ok()),
        });
    }
    let file = report.files.iter().find(|file| file.error.is_some())?;
    Some(ConflictStatus {
        file: shortened(file.old_path.as_deref().unwrap_or(&file.path)),
        hunk: None,
        line: None,
        expected: None,
        found: None,
        nearest_line: None,
    })
}

fn shown(lines: &[String]) -> String {
    let lines = lines.iter().take(SHOWN_LINES).map(|line| printable_line(line));
    let text = lines.collect::<Vec<_>>().join("\n");
    if text.chars().count() <= SHOWN_CHARACTERS {
        return text;
    }
    text.chars().take(SHOWN_CHARACTERS - 1).chain(['…']).collect()
}

/// A text as the status takes it.
pub(super) fn shortened(text: &str) -> String {
    printable(text, TEXT_CHARACTERS)
}

/// The name of a patch as the status has it.
#[must_use]
pub fn shown_name(name: &str) -> String {
    printable(name, NAME_CHARACTERS)
}
