//! Kubernetes Events: one for each change that a person would want to know of.

use foreign_text::printable_lines;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use patchset_api::reason::Reason;

use super::limit::within_limit;
use super::{Error, FIELD_MANAGER};

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether a person should look.
    pub kind: EventType,
    /// The reason, as in the conditions.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
}

impl Note {
    /// Whether nobody has to look.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self.kind, EventType::Normal)
    }
}

/// The most characters that the API server takes as a note (1,024 bytes) for any text.
const LONGEST_NOTE: usize = 1024;

/// Publishes an event on an object.
///
/// The caller deduplicates events: one for a change, none for a repetition. Each goes out through a
/// recorder of its own, because a shared one folds events that differ only in their note into a
/// series that shows only the first note.
///
/// # Errors
///
/// Where the API server refuses, cannot be reached, or takes too long.
pub async fn publish(client: &Client, regarding: &ObjectReference, note: Note) -> Result<(), Error> {
    let reporter = Reporter {
        controller: FIELD_MANAGER.to_owned(),
        instance: pod_name(),
    };
    let event = Event {
        type_: note.kind,
        reason: note.reason.to_string(),
        note: Some(cut_note(&printable_lines(&note.message))),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    within_limit(Recorder::new(client.clone(), reporter).publish(&event, regarding)).await
}

/// The pod that the controller runs in.
pub(super) fn pod_name() -> Option<String> {
    std::env::var("POD_NAME").ok().filter(|name| !name.is_empty())
}

fn cut_note(message: &str) -> String {
    if message.len() <= LONGEST_NOTE {
        return message.to_owned();
    }
    let end = (0..=LONGEST_NOTE - '…'.len_utf8())
        .rev()
        .find(|at| message.is_char_boundary(*at))
        .unwrap_or(0);
    format!("{}…", message.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_cut_by_bytes_at_a_character() {
        assert_eq!(cut_note("short"), "short");
        let long = cut_note(&"ä".repeat(1000));
        assert!(long.len() <= LONGEST_NOTE && long.ends_with('…'));
    }
}
