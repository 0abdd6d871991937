//! The engine's report in the words of the status.

use crate::api::status::{CandidateStatus, ConflictStatus, PatchState, PatchStatus};
use crate::api::upstream_history::{
    BrokenPatch, CandidateOutcome, Evidence, MergedStatus, RefreshKind, RefreshState, RefreshStatus,
};
use crate::api::{Recorded, Revision};
use crate::patch::{PatchReport, Rejection};
use crate::text::{printable, printable_line};

use super::difference::{LineSide, compare};
use super::list_size;
use super::texts::shortened;
use super::upstream_history::commit_in_words;

/// The most conflicts of a series whose lines go into the status; the status of an object is
/// bounded.
const DETAILED_CONFLICTS: usize = 20;

/// The most lines and characters of each side of a conflict.
const SHOWN_LINES: usize = 24;
const SHOWN_CHARACTERS: usize = 2048;

/// The longest name of a patch, in characters.
const NAME_CHARACTERS: usize = 256;

/// Bytes of the names of patches that a candidate has already. There may be 16 candidates.
const MERGED_BYTES: usize = 4 << 10;

/// Bytes of the patches that a candidate breaks, with the commits that did it.
const BROKEN_BYTES: usize = 8 << 10;

/// That a patch applies in reverse.
fn taken_back() -> MergedStatus {
    MergedStatus {
        commit: None,
        by: Evidence::Reverse,
        subject: None,
        author: None,
        date: None,
        url: None,
        differs: false,
        interdiff: None,
    }
}

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
                        difference: None,
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
                merged: (report.state == PatchState::Merged).then(taken_back),
                reverted: None,
                refresh: (report.state == PatchState::Offset).then_some(RefreshStatus {
                    state: RefreshState::Available,
                    by: Some(RefreshKind::Offset),
                }),
                last_applied: None,
            }
        })
        .collect()
}

/// The same patches against a candidate, and why upstream's history could not be searched, where
/// that failed.
#[must_use]
pub fn candidate(
    ref_: String,
    revision: Option<Recorded<Revision>>,
    patches: &[PatchStatus],
    history_failure: Option<String>,
) -> CandidateStatus {
    let mut outcome = CandidateOutcome::default();
    for patch in patches {
        let refresh = patch.refresh.map(|refresh| refresh.state);
        *match patch.state {
            PatchState::Clean | PatchState::Offset => &mut outcome.apply,
            PatchState::Merged => &mut outcome.merged,
            _ if refresh == Some(RefreshState::Needed) => &mut outcome.refresh,
            PatchState::Conflict | PatchState::Malformed | PatchState::Blocked => &mut outcome.need_person,
        } += 1;
    }
    let merged = patches.iter().filter(|patch| patch.state == PatchState::Merged);
    let merged = merged.map(|patch| patch.name.clone()).collect();
    let (merged, omitted_merged) = list_size::keep(merged, MERGED_BYTES, |_| 0);
    let failing = patches
        .iter()
        .find(|patch| !patch.applies() && patch.state != PatchState::Merged);
    let broken = patches.iter().filter_map(|patch| {
        let by = patch.conflict.as_ref()?.broken_by.clone()?;
        Some(BrokenPatch {
            name: patch.name.clone(),
            by,
        })
    });
    let (broken, _) = list_size::keep(broken.collect(), BROKEN_BYTES, |_| 0);
    CandidateStatus {
        ref_,
        revision,
        applied: Some(format!("{}/{}", outcome.apply, patches.len())),
        merged,
        omitted_merged,
        outcome: Some(outcome),
        broken,
        history_failure,
        history_cut: None,
        message: failing.map(|patch| shortened(&at_candidate(patch))),
    }
}

/// Where a patch does not fit a candidate, in words.
fn at_candidate(patch: &PatchStatus) -> String {
    let name = &patch.name;
    match patch
        .conflict
        .as_ref()
        .map(|conflict| (conflict.hunk, conflict.line, conflict))
    {
        Some((Some(hunk), Some(line), conflict)) => {
            let broken = conflict.broken_by.as_ref();
            let broken = broken.map(|commit| format!(", broken by {}", commit_in_words(commit)));
            let fuzz = conflict.fuzz.map(|fuzz| format!("; it {fuzz}"));
            let file = &conflict.file;
            format!(
                "{name}: {file} hunk {hunk} at line {line}{}{}",
                broken.unwrap_or_default(),
                fuzz.unwrap_or_default()
            )
        }
        _ => format!("{name}: {}", patch.message.as_deref().unwrap_or_default()),
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
            difference: difference(rejection),
            fuzz: None,
            nearest_line: rejection
                .nearest
                .as_ref()
                .and_then(|nearest| u32::try_from(nearest.line).ok()),
            broken_by: None,
        });
    }
    let file = report.files.iter().find(|file| file.error.is_some())?;
    Some(ConflictStatus {
        file: shortened(file.old_path.as_deref().unwrap_or(&file.path)),
        hunk: None,
        line: None,
        expected: None,
        found: None,
        difference: None,
        fuzz: None,
        nearest_line: None,
        broken_by: None,
    })
}

/// What a hunk expects and what stands there, line by line; nothing where either is empty.
fn difference(rejection: &Rejection) -> Option<String> {
    let lines: Vec<String> = compare(rejection)
        .iter()
        .map(|line| match line.side {
            LineSide::Both => format!(" {}", line.text),
            LineSide::Expected => format!("-{}", line.text),
            LineSide::Found => format!("+{}", line.text),
        })
        .collect();
    (!rejection.expected.is_empty()).then(|| shown(&lines))
}

fn shown(lines: &[String]) -> String {
    let lines = lines.iter().take(SHOWN_LINES).map(|line| printable_line(line));
    let text = lines.collect::<Vec<_>>().join("\n");
    if text.chars().count() <= SHOWN_CHARACTERS {
        return text;
    }
    text.chars().take(SHOWN_CHARACTERS - 1).chain(['…']).collect()
}

/// The name of a patch as the status has it.
#[must_use]
pub fn shown_name(name: &str) -> String {
    printable(name, NAME_CHARACTERS)
}
