//! What a change of conditions says to people: in a Kubernetes Event, and to Flux's notification
//! controller.

use foreign_text::printable_lines;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::events::EventType;
use patchset_api::conditions::{self, Truth};
use patchset_api::reason::{self, Reason, condition};

use crate::status::events::Note;

/// Returns what a person would want to know about a change of conditions; `None` if nothing is new.
pub fn note_of_change(before: &[Condition], now: &[Condition], details: Option<&str>) -> Option<Note> {
    let ready = conditions::find(now, condition::READY)?;
    let truth: Truth = ready.status.parse().ok()?;
    let reason: Reason = ready.reason.parse().ok()?;
    if truth == Truth::Unknown && reason != reason::BUILDING {
        return None;
    }
    let is_known = conditions::find(before, condition::READY).is_some_and(|b| {
        (&b.status, &b.reason, &b.message) == (&ready.status, &ready.reason, &ready.message)
    });
    let is_good = truth != Truth::False && reason != reason::NEEDS_ATTENTION;
    (!is_known).then(|| Note {
        kind: if is_good {
            EventType::Normal
        } else {
            EventType::Warning
        },
        reason,
        message: match details {
            Some(details) => printable_lines(&format!("{}\n{details}", ready.message)),
            None => printable_lines(&ready.message),
        },
    })
}
