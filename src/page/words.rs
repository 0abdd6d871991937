//! What became of a patch, in words.

use patchset_api::status::{PatchState, PatchStatus};
use patchset_api::upstream_history::RefreshState;

/// What became of a patch, worded to follow its name.
#[must_use]
pub fn result(state: PatchState) -> &'static str {
    match state {
        PatchState::Clean => "applies",
        PatchState::Offset => "applies, some lines off",
        PatchState::Merged => "is upstream",
        PatchState::Conflict => "does not apply",
        PatchState::Malformed => "cannot be read",
        PatchState::Blocked => "waits for the patches before it",
    }
}

/// Why a patch does not apply: the place where it does not fit, or a sentence; `None` if the status
/// has neither. `quote` quotes what comes from the patch.
pub fn cause(status: &PatchStatus, quote: impl Fn(&str) -> String) -> Option<String> {
    let conflict = status.conflict.as_ref();
    if let Some((conflict, hunk, line)) =
        conflict.and_then(|conflict| Some((conflict, conflict.hunk?, conflict.line?)))
    {
        let place = quote(&format!("{}:{line}", conflict.file));
        return Some(format!("hunk {hunk} does not fit at {place}"));
    }
    let message = status.message.as_deref();
    let cause = message.or(conflict.map(|conflict| conflict.file.as_str()));
    cause.map(|cause| quote(cause.trim_end_matches('.')))
}

/// Whether a refreshed patch would apply.
#[must_use]
pub fn is_mended_by_refresh(status: &PatchStatus) -> bool {
    let refresh = status.refresh.map(|refresh| refresh.state);
    matches!(refresh, Some(RefreshState::Needed | RefreshState::Available))
}

/// What to do about a patch; empty if there is nothing to do. `refreshed` says how to get a
/// refreshed one.
#[must_use]
pub fn remedy(status: &PatchStatus, refreshed: &'static str) -> &'static str {
    match status.state {
        PatchState::Merged if status.is_merged_differing() => {
            "look at the difference from upstream's, then remove the patch"
        }
        PatchState::Merged => "remove the patch",
        PatchState::Blocked => "mend the patches before it first",
        PatchState::Malformed => "recreate the patch",
        PatchState::Clean | PatchState::Offset => "",
        PatchState::Conflict => match status.refresh.map(|refresh| refresh.state) {
            Some(RefreshState::Needed | RefreshState::Available) => refreshed,
            Some(RefreshState::Impossible) => "mend it by hand: patchset refresh finds no place for it",
            None => "refresh it, or mend it by hand",
        },
    }
}
