//! What matters most in a `PatchSet`'s status, short enough for a column of `kubectl get`.

use foreign_text::printable;
use patchset_api::conditions;
use patchset_api::reason::{self, condition};
use patchset_api::status::{PatchSetStatus, PatchState, PatchStatus};

use super::upstream_history::SHORT_COMMIT;

/// The longest summary, in characters: with the other columns it fits a terminal of 120.
const LONGEST: usize = 40;

/// The status in a few words; `None` before there is a result.
#[must_use]
pub fn summary(status: &PatchSetStatus) -> Option<String> {
    let ready = conditions::find(&status.conditions, condition::READY)?;
    if conditions::is_true(&status.conditions, condition::READY) {
        return Some(of_ready(status));
    }
    let state = match conditions::reason(&status.conditions, condition::READY) {
        Some(reason::PATCH_CONFLICT) => PatchState::Conflict,
        Some(reason::PATCH_MALFORMED) => PatchState::Malformed,
        Some(reason::PATCH_MERGED) => PatchState::Merged,
        _ => {
            return Some(printable(
                &format!("{}: {}", ready.reason, ready.message),
                LONGEST,
            ));
        }
    };
    let first = status.patches.iter().find(|patch| patch.state == state);
    first.map(of_failure)
}

/// The image where there is one, or how the patches apply.
fn of_ready(status: &PatchSetStatus) -> String {
    let offset = status.count(PatchState::Offset);
    let upstream = status.count(PatchState::Merged);
    match &status.image {
        Some(image) => printable(&image.tag, LONGEST),
        None if upstream > 0 => format!("{upstream} upstream already, left out"),
        None if offset > 0 => format!("{offset} with an offset"),
        None if status.count(PatchState::Clean) > 0 => "all apply".to_owned(),
        None => "no patches".to_owned(),
    }
}

/// The beginning of a patch's name, and what is wrong with the patch.
fn of_failure(patch: &PatchStatus) -> String {
    let broken_by = patch
        .conflict
        .as_ref()
        .and_then(|conflict| conflict.broken_by.as_ref());
    let matter = match (patch.state, broken_by) {
        (PatchState::Merged, _) => " is upstream, drop it".to_owned(),
        (PatchState::Malformed, _) => " cannot be read".to_owned(),
        (_, Some(commit)) => {
            let digits: String = commit.commit.chars().take(SHORT_COMMIT).collect();
            format!(" broken by {digits}")
        }
        (_, None) => " conflicts".to_owned(),
    };
    let room = LONGEST.saturating_sub(matter.chars().count());
    printable(&patch.name, room) + &matter
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(ready: (&str, &str, &str), status: serde_json::Value) -> String {
        let (truth, reason, message) = ready;
        let mut status: PatchSetStatus = serde_json::from_value(status).unwrap();
        let ready = json!({
            "type": "Ready", "status": truth, "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z"
        });
        status.conditions = vec![serde_json::from_value(ready).unwrap()];
        let summary = summary(&status).unwrap();
        assert!(summary.chars().count() <= LONGEST, "{summary}");
        summary
    }

    #[test]
    fn what_matters_most_is_told_in_forty_characters() {
        let name = "0002-Warn-when-a-trust-cannot-be-deleted.patch";
        let commit = json!({ "commit": "c5c85c2727c67374311668eb08ec3f51aa689b22", "subject": "s" });
        let conflict = json!({ "file": "a.py", "brokenBy": commit });
        for (reason, patch, expected) in [
            (
                "PatchConflict",
                json!({ "name": name, "state": "Conflict", "conflict": conflict }),
                "0002-Warn-when-a-trus… broken by c5c85c2",
            ),
            (
                "PatchConflict",
                json!({ "name": "a.patch", "state": "Conflict" }),
                "a.patch conflicts",
            ),
            (
                "PatchMerged",
                json!({ "name": name, "state": "Merged" }),
                "0002-Warn-when-a-t… is upstream, drop it",
            ),
            (
                "PatchMalformed",
                json!({ "name": name, "state": "Malformed" }),
                "0002-Warn-when-a-trust-c… cannot be read",
            ),
        ] {
            let ready = ("False", reason, "1 of 2 patches apply to stable/2025.2@sha1:…");
            let status = json!({ "patches": [{ "name": "1.patch", "state": "Clean" }, patch] });
            assert_eq!(told(ready, status), expected);
        }
    }

    #[test]
    fn what_failed_is_told_by_its_reason_first() {
        let ready = (
            "False",
            "AuthenticationFailed",
            "the server refuses the login of Secret ns/key",
        );
        assert_eq!(told(ready, json!({})), "AuthenticationFailed: the server refuse…");
    }

    #[test]
    fn what_is_ready_tells_its_image_or_how_it_applies() {
        let ready = ("True", "Succeeded", "2 of 2 patches apply");
        for (states, expected) in [
            (&["Clean", "Clean"][..], "all apply"),
            (&["Clean", "Offset"], "1 with an offset"),
            (&["Merged", "Offset"], "1 upstream already, left out"),
            (&[], "no patches"),
        ] {
            let patches: Vec<_> = states
                .iter()
                .map(|state| json!({ "name": "a.patch", "state": state }))
                .collect();
            assert_eq!(told(ready, json!({ "patches": patches })), expected);
        }
    }
}
