//! Runs, and what GitHub says of them.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;

/// A workflow run's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct RunId(pub u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A workflow run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// Where it stands.
    pub state: State,
    /// Its page, for people.
    pub html_url: String,
    /// When its present attempt began.
    pub started: Option<Timestamp>,
    /// When anything about it changed last.
    pub updated: Option<Timestamp>,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits for a runner, or for another run (`queued`, `requested`, `pending`).
    Queued,
    /// It waits for somebody to approve it, as a protected environment demands (`waiting`).
    Waiting,
    /// It runs.
    InProgress,
    /// It is over.
    Completed(Conclusion),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Well.
    Success,
    /// A job failed, or the workflow cannot be run (`failure`, `startup_failure`).
    Failure,
    /// It was cancelled.
    Cancelled,
    /// It took too long.
    TimedOut,
    /// Any other way, in GitHub's word: `skipped`, `neutral`, `action_required`, `stale`, or none.
    Other(String),
}

/// A run as it is sent.
#[derive(Deserialize)]
pub(super) struct WireRun {
    pub(super) id: RunId,
    pub(super) name: Option<String>,
    pub(super) display_title: Option<String>,
    status: Option<String>,
    conclusion: Option<String>,
    html_url: Option<String>,
    run_started_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

impl From<WireRun> for Run {
    fn from(wire: WireRun) -> Self {
        let state = match wire.status.as_deref() {
            Some("completed") => State::Completed(match wire.conclusion.as_deref() {
                Some("success") => Conclusion::Success,
                Some("failure" | "startup_failure") => Conclusion::Failure,
                Some("cancelled") => Conclusion::Cancelled,
                Some("timed_out") => Conclusion::TimedOut,
                other => Conclusion::Other(other.unwrap_or("none").chars().take(50).collect()),
            }),
            Some("waiting") => State::Waiting,
            Some("in_progress") => State::InProgress,
            // GitHub adds words now and then; whatever is not over will be looked at again.
            _ => State::Queued,
        };
        Self {
            id: wire.id,
            state,
            html_url: wire.html_url.unwrap_or_default(),
            started: wire.run_started_at,
            updated: wire.updated_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> State {
        let wire: WireRun = serde_json::from_str(json).unwrap();
        Run::from(wire).state
    }

    #[test]
    fn every_word_has_a_meaning() {
        for (word, state) in [
            ("queued", State::Queued),
            ("requested", State::Queued),
            ("pending", State::Queued),
            ("a new word", State::Queued),
            ("waiting", State::Waiting),
            ("in_progress", State::InProgress),
        ] {
            let json = format!(r#"{{"id": 1, "status": "{word}", "conclusion": null}}"#);
            assert_eq!(read(&json), state, "{word}");
        }
        for (word, conclusion) in [
            ("success", Conclusion::Success),
            ("failure", Conclusion::Failure),
            ("startup_failure", Conclusion::Failure),
            ("cancelled", Conclusion::Cancelled),
            ("timed_out", Conclusion::TimedOut),
            ("skipped", Conclusion::Other("skipped".into())),
        ] {
            let json = format!(r#"{{"id": 1, "status": "completed", "conclusion": "{word}"}}"#);
            assert_eq!(read(&json), State::Completed(conclusion), "{word}");
        }
    }
}
