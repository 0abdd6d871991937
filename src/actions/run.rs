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
    pub state: RunState,
    /// Its page, for people.
    pub html_url: String,
    /// When its present attempt began.
    pub started: Option<Timestamp>,
    /// When anything about it changed last.
    pub updated: Option<Timestamp>,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It waits for a runner, or for another run (`queued`, `requested`, `pending`).
    Queued,
    /// It waits for somebody to approve it, as a protected environment demands (`waiting`).
    Waiting,
    /// It runs.
    InProgress,
    /// It is over.
    Completed(Conclusion),
}

/// How a run, a job or a step ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
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

impl From<String> for Conclusion {
    /// Reads GitHub's word.
    fn from(word: String) -> Self {
        match word.as_str() {
            "success" => Self::Success,
            "failure" | "startup_failure" => Self::Failure,
            "cancelled" => Self::Cancelled,
            "timed_out" => Self::TimedOut,
            other => Self::Other(other.chars().take(50).collect()),
        }
    }
}

/// A run as the API sends it.
#[derive(Deserialize)]
pub(super) struct WireRun {
    pub(super) id: RunId,
    pub(super) name: Option<String>,
    pub(super) display_title: Option<String>,
    status: Option<WireStatus>,
    conclusion: Option<Conclusion>,
    html_url: Option<String>,
    run_started_at: Option<Timestamp>,
    updated_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WireStatus {
    Completed,
    Waiting,
    InProgress,
    /// GitHub adds words now and then; whatever is not over will be looked at again.
    #[serde(other)]
    Queued,
}

impl From<WireRun> for Run {
    fn from(wire: WireRun) -> Self {
        let state = match wire.status {
            Some(WireStatus::Completed) => {
                let none = || Conclusion::Other("none".to_owned());
                RunState::Completed(wire.conclusion.unwrap_or_else(none))
            }
            Some(WireStatus::Waiting) => RunState::Waiting,
            Some(WireStatus::InProgress) => RunState::InProgress,
            Some(WireStatus::Queued) | None => RunState::Queued,
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

    fn state_of(json: &str) -> RunState {
        let wire: WireRun = serde_json::from_str(json).unwrap();
        Run::from(wire).state
    }

    #[test]
    fn every_word_has_a_meaning() {
        for (word, state) in [
            ("queued", RunState::Queued),
            ("requested", RunState::Queued),
            ("pending", RunState::Queued),
            ("a new word", RunState::Queued),
            ("waiting", RunState::Waiting),
            ("in_progress", RunState::InProgress),
        ] {
            let json = format!(r#"{{"id": 1, "status": "{word}", "conclusion": null}}"#);
            assert_eq!(state_of(&json), state, "{word}");
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
            assert_eq!(state_of(&json), RunState::Completed(conclusion), "{word}");
        }
    }
}
