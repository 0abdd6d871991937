//! Conditions as a line of steps.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use patchset_api::conditions::{Truth, find};
use patchset_api::reason::condition;

/// The steps of a series, in order, with what people call them.
const STEPS: [(&str, &str); 8] = [
    (condition::SOURCE_RESOLVED, "Resolved"),
    (condition::SOURCE_VERIFIED, "Verified"),
    (condition::PATCHES_APPLICABLE, "Applied"),
    (condition::CONSTRAINTS_MERGED, "Merged"),
    (condition::OBJECTS_APPLIED, "Objects made"),
    (condition::IMAGE_BUILT, "Built"),
    (condition::IMAGE_TESTED, "Tested"),
    (condition::DELIVERED, "Delivered"),
];

/// The state of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// It is under way, or waits.
    Waiting,
}

impl StepState {
    /// The CSS class.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Done => "good",
            Self::Failed => "person",
            Self::Waiting => "pending",
        }
    }

    /// The mark beside the words.
    #[must_use]
    pub fn mark(self) -> &'static str {
        match self {
            Self::Done => "✓",
            Self::Failed => "✗",
            Self::Waiting => "…",
        }
    }

    /// The same in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Waiting => "waits",
        }
    }
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowStep {
    /// The type of the condition.
    pub(super) condition: String,
    /// What people call it.
    pub name: String,
    /// Its state.
    pub state: StepState,
    /// The condition's reason.
    pub reason: String,
    /// Its message.
    pub message: String,
    /// Since when.
    pub since: String,
    /// How long it took, in words, if known.
    pub took: Option<String>,
}

/// A point in time, for people.
pub(super) fn moment(Time(time): &Time) -> String {
    time.strftime("%-d %b %Y %H:%M UTC").to_string()
}

fn step(name: &str, condition: &Condition) -> FlowStep {
    FlowStep {
        condition: condition.type_.clone(),
        name: name.to_owned(),
        state: match condition.status.parse() {
            Ok(Truth::True) => StepState::Done,
            Ok(Truth::False) => StepState::Failed,
            _ => StepState::Waiting,
        },
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        since: moment(&condition.last_transition_time),
        took: None,
    }
}

/// A number of seconds, for people.
pub(super) fn duration(seconds: i64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// The steps that conditions describe, in order, followed by conditions of unknown types.
pub(super) fn steps(conditions: &[Condition]) -> Vec<FlowStep> {
    let known = STEPS.iter().filter_map(|(type_, name)| {
        let condition = find(conditions, type_)?;
        Some(step(name, condition))
    });
    let general = [condition::READY, condition::RECONCILING, condition::STALLED];
    let others = conditions.iter().filter(|one| {
        !general.contains(&one.type_.as_str()) && !STEPS.iter().any(|(type_, _)| *type_ == one.type_)
    });
    known
        .chain(others.map(|condition| step(&condition.type_, condition)))
        .collect()
}
