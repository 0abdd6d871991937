//! The verdict on a series of patches.

use patchset_api::conditions::Truth;
use patchset_api::patch_set::MergedPatches;
use patchset_api::reason::{self, Reason};
use patchset_api::status::{PatchSetStatus, PatchState, PatchStatus};
use patchset_api::upstream_history::RevertedStatus;

use super::progress::Policy;
use crate::plan::lifecycle::Verdict;
use crate::plan::upstream_history::{commit_in_words, merged_in_words};

/// Whether all patches of a series let their `PatchSet` be ready.
#[must_use]
pub fn all_allow_ready(patches: &[PatchStatus], merged: MergedPatches) -> bool {
    patches.iter().all(|patch| allows_ready(patch, merged))
}

/// Whether a patch lets its `PatchSet` be ready.
pub(super) fn allows_ready(patch: &PatchStatus, merged: MergedPatches) -> bool {
    match (patch.state, merged) {
        (PatchState::Merged, MergedPatches::Skip) => !patch.is_merged_differing(),
        (PatchState::Merged, MergedPatches::SkipDiffering) => true,
        _ => patch.applies(),
    }
}

/// How many patches that upstream has let their `PatchSet` be ready, listed or not.
fn count_skipped(status: &PatchSetStatus, merged: MergedPatches) -> usize {
    let upstream = status.count(PatchState::Merged);
    match merged {
        MergedPatches::Fail => 0,
        MergedPatches::Skip => upstream.saturating_sub(status.count_differing()),
        MergedPatches::SkipDiffering => upstream,
    }
}

/// The verdict on a series.
pub(super) fn verdict(status: &PatchSetStatus, policy: Policy<'_>) -> Verdict {
    let upstream = status.upstream.as_ref();
    let revision = upstream.map_or("the upstream", |upstream| upstream.revision.as_str());
    // Those that do not apply are kept in the list first, so it has one if there are any.
    let mut patches = status.patches.iter();
    match patches.find(|patch| !allows_ready(patch, policy.merged_patches)) {
        None => verdict_of_passing(status, policy, revision),
        Some(first) => verdict_of_failing(status, policy, revision, first),
    }
}

/// The verdict where nothing keeps the object from being ready.
fn verdict_of_passing(status: &PatchSetStatus, policy: Policy<'_>, revision: &str) -> Verdict {
    let (reason, message) = match (count_all(status), policy.patches_location) {
        (0, None) => (
            reason::NO_PATCHES,
            format!("no patches are carried on {revision}{}", folder_note(status)),
        ),
        (0, Some(place)) => (
            reason::NO_PATCHES,
            format!(
                "no patches are carried on {revision}: {place} has no *.patch or *.diff{}",
                folder_note(status)
            ),
        ),
        (total, _) => (reason::SUCCEEDED, all_apply(status, total, revision)),
    };
    Verdict {
        truth: Truth::True,
        reason,
        ready: reason::SUCCEEDED,
        message,
    }
}

/// The verdict if some patches do not apply, of which `failing` is one.
fn verdict_of_failing(
    status: &PatchSetStatus,
    policy: Policy<'_>,
    revision: &str,
    failing: &PatchStatus,
) -> Verdict {
    let skipped = count_skipped(status, policy.merged_patches);
    let (reason, state) = worst_failure(status, skipped);
    let fails = |patch: &&PatchStatus| patch.state == state && !allows_ready(patch, policy.merged_patches);
    let first = status.patches.iter().find(fails).unwrap_or(failing);
    let applied = status.count(PatchState::Clean) + status.count(PatchState::Offset) + skipped;
    Verdict {
        truth: Truth::False,
        reason,
        ready: reason,
        message: format!(
            "{applied} of {} patches apply to {revision}: {}{}{}{}",
            count_all(status),
            first_failure(first, policy.merged_patches),
            not_searched(status),
            omitted_patches_note(status),
            folder_note(status)
        ),
    }
}

/// What is reported if patches fail in different ways: the reason, and the state behind it.
/// `skipped` counts the merged ones that keep nothing from being ready.
fn worst_failure(status: &PatchSetStatus, skipped: usize) -> (Reason, PatchState) {
    if status.count(PatchState::Conflict) > 0 {
        (reason::PATCH_CONFLICT, PatchState::Conflict)
    } else if status.count(PatchState::Malformed) > 0 {
        (reason::PATCH_MALFORMED, PatchState::Malformed)
    } else if status.count(PatchState::Merged) > skipped {
        (reason::PATCH_MERGED, PatchState::Merged)
    } else {
        (reason::PATCH_CONFLICT, PatchState::Blocked)
    }
}

/// How many patches the series has.
fn count_all(status: &PatchSetStatus) -> usize {
    PatchState::ALL.iter().map(|state| status.count(*state)).sum()
}

/// How many patches the list has no room for, in words.
fn omitted_patches_note(status: &PatchSetStatus) -> String {
    match status.omitted_patches.map_or(0, |omitted| omitted.total()) {
        0 => String::new(),
        n => format!("; status.patches has no room for {n} more"),
    }
}

fn all_apply(status: &PatchSetStatus, total: usize, revision: &str) -> String {
    let count = |state| status.count(state);
    let message = match total {
        1 => format!("1 patch applies to {revision}"),
        n => format!("{n} of {n} patches apply to {revision}"),
    };
    let mut remarks = Vec::new();
    if count(PatchState::Offset) > 0 {
        remarks.push(format!("{} with an offset", count(PatchState::Offset)));
    }
    if count(PatchState::Merged) > 0 {
        remarks.push(format!(
            "{} already upstream and skipped",
            count(PatchState::Merged)
        ));
    }
    let message = match remarks.as_slice() {
        [] => message,
        _ => format!("{message} ({})", remarks.join(", ")),
    };
    message + &omitted_patches_note(status) + &folder_note(status)
}

/// What else the patches' folder has, in words.
fn folder_note(status: &PatchSetStatus) -> String {
    match &status.patches_note {
        None => String::new(),
        Some(note) => format!("; in their folder: {note}"),
    }
}

/// Why upstream's history could not be searched, in words.
fn not_searched(status: &PatchSetStatus) -> String {
    match (&status.history_failure, &status.history_cut) {
        (None, None) => String::new(),
        (Some(why), _) => format!("; upstream's history could not be searched: {why}"),
        (None, Some(cut)) => format!("; of upstream's history {cut}"),
    }
}

fn first_failure(patch: &PatchStatus, merged: MergedPatches) -> String {
    let name = &patch.name;
    match (patch.state, &patch.conflict, &patch.message) {
        (PatchState::Merged, _, _) => first_merged(patch, merged),
        (PatchState::Conflict, Some(conflict), _) => {
            let place = match (conflict.hunk, conflict.line, &patch.message) {
                (Some(hunk), Some(line), _) => {
                    format!(
                        "{name} conflicts in {}, hunk {hunk} at line {line}",
                        conflict.file
                    )
                }
                (_, _, Some(message)) => format!("{name} conflicts: {message}"),
                (_, _, None) => format!("{name} conflicts in {}", conflict.file),
            };
            let broken = conflict.broken_by.as_ref();
            let broken = broken.map(|commit| format!(", broken by {}", commit_in_words(commit)));
            let reverted = patch.reverted.as_ref().map(|RevertedStatus { merged, by }| {
                let (merged, by) = (commit_in_words(merged), commit_in_words(by));
                format!("; upstream had merged it as {merged}, and reverted it in {by}")
            });
            let fuzz = conflict.fuzz.map(|fuzz| format!("; it {fuzz}"));
            [Some(place), broken, fuzz, reverted]
                .into_iter()
                .flatten()
                .collect()
        }
        (_, _, Some(message)) => format!("{name}: {message}"),
        (state, _, None) => format!("{name}: {}", state.as_str()),
    }
}

/// What to do with a patch that upstream has.
fn first_merged(patch: &PatchStatus, policy: MergedPatches) -> String {
    let name = &patch.name;
    let Some(commit) = patch.merged.as_ref().and_then(merged_in_words) else {
        return format!("{name} is already upstream, remove it");
    };
    match (patch.is_merged_differing(), policy) {
        (false, _) => format!("{name} was merged upstream as {commit}: remove it"),
        (true, MergedPatches::Skip) => format!(
            "{name} was merged upstream in another form as {commit}: look at the difference and remove it, or \
             set mergedPatches to SkipDiffering"
        ),
        (true, _) => format!("{name} was merged upstream in another form as {commit}: remove it"),
    }
}
