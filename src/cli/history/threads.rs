//! The events of each patch, from when it came to when it went.

use std::collections::HashMap;

use jiff::Timestamp;
use upstream_history::Commit;

use super::changes::{PatchEventKind, TextChange};
use super::log::HistoryStep;

/// A patch, under all names that it had.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PatchThread {
    /// Its name; the last one if it is gone.
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    /// Whether it is gone.
    pub(super) is_gone: bool,
    /// From the oldest.
    pub(super) events: Vec<ThreadEvent>,
}

/// What a commit made of a patch.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ThreadEvent {
    pub(super) what: ThreadStep,
    /// Its previous name, if it was renamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    /// Its name; the old one if it went.
    pub(super) name: String,
    /// What changed in its text, where it was there before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<TextChange>,
    pub(super) commit: String,
    pub(super) subject: String,
    pub(super) author: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) date: Option<Timestamp>,
}

/// What became of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum ThreadStep {
    Came,
    Changed,
    Renamed,
    Went,
}

impl PatchThread {
    /// Whether a name that it has or had has a text in it.
    pub(super) fn has_name(&self, text: &str) -> bool {
        self.name.contains(text) || self.events.iter().any(|event| event.name.contains(text))
    }
}

/// Assigns the events of the commits, from the oldest, to their patches: first existing ones, by
/// name, then those that are gone, the latest first.
pub(super) fn follow(steps: Vec<HistoryStep>) -> Vec<PatchThread> {
    let mut threads: Vec<PatchThread> = Vec::new();
    let mut by_name: HashMap<String, usize> = HashMap::new();
    for step in steps {
        // The names before the step: a renumbered series passes names on.
        let names = by_name.clone();
        for event in &step.events {
            let (what, before, text) = match &event.change {
                PatchEventKind::Came => (ThreadStep::Came, None, None),
                PatchEventKind::Went => (ThreadStep::Went, Some(&event.name), None),
                PatchEventKind::Changed(text) => (ThreadStep::Changed, Some(&event.name), Some(*text)),
                PatchEventKind::Renamed { from, text } => (ThreadStep::Renamed, Some(from), Some(*text)),
            };
            let known = before.and_then(|name| names.get(name).copied());
            let number = known.unwrap_or_else(|| {
                threads.push(PatchThread {
                    name: event.name.clone(),
                    subject: None,
                    is_gone: false,
                    events: Vec::new(),
                });
                threads.len() - 1
            });
            if let Some(before) = before
                && by_name.get(before) == Some(&number)
            {
                by_name.remove(before);
            }
            if what != ThreadStep::Went {
                by_name.insert(event.name.clone(), number);
            }
            let Some(thread) = threads.get_mut(number) else {
                continue;
            };
            thread.name.clone_from(&event.name);
            thread.subject.clone_from(&event.subject);
            thread.is_gone = what == ThreadStep::Went;
            thread
                .events
                .push(thread_event(&step.commit, what, (before, &event.name), text));
        }
    }
    threads.sort_by(|one, other| {
        let last = |thread: &PatchThread| thread.events.last().and_then(|event| event.date);
        let gone = one.is_gone.cmp(&other.is_gone);
        gone.then_with(|| {
            if one.is_gone {
                last(other).cmp(&last(one))
            } else {
                one.name.cmp(&other.name)
            }
        })
    });
    threads
}

fn thread_event(
    commit: &Commit,
    what: ThreadStep,
    (before, name): (Option<&String>, &String),
    text: Option<TextChange>,
) -> ThreadEvent {
    ThreadEvent {
        what,
        from: before.filter(|before| *before != name).cloned(),
        name: name.clone(),
        text,
        commit: commit.id.to_string(),
        subject: commit.subject(),
        author: commit.author.name.clone(),
        date: Timestamp::from_second(commit.author.seconds).ok(),
    }
}
