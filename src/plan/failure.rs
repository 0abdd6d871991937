//! What kept the controller from an answer.

use std::time::Duration;

use patchset_api::reason::{Reason, condition};

/// The step that a failure belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Resolving the upstream, or reading the patches.
    Source,
    /// Checking who signed what was resolved.
    Verification,
    /// Applying the patches.
    Patches,
    /// Publishing the source, and looking for the image.
    Build,
    /// Testing the image.
    Test,
    /// Delivering the image.
    Delivery,
    /// Merging the constraints, and writing the merged file.
    Constraints,
    /// Making the objects that a repository's folders ask for.
    Objects,
}

impl Step {
    /// The step's condition.
    #[must_use]
    pub fn condition(self) -> &'static str {
        match self {
            Self::Source => condition::SOURCE_RESOLVED,
            Self::Verification => condition::SOURCE_VERIFIED,
            Self::Patches => condition::PATCHES_APPLICABLE,
            Self::Build => condition::IMAGE_BUILT,
            Self::Test => condition::IMAGE_TESTED,
            Self::Delivery => condition::DELIVERED,
            Self::Constraints => condition::CONSTRAINTS_MERGED,
            Self::Objects => condition::OBJECTS_APPLIED,
        }
    }
}

/// What may resolve a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Another attempt, after a wait that grows.
    Backoff,
    /// The same, but immediately the first time: what was read is out of date.
    Anew,
    /// Another attempt, after this time.
    After(Duration),
    /// Only a change by a person: of the spec, of the patches, of the controller's options.
    WhenChanged,
}

/// A step that could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The step.
    pub step: Step,
    /// The conditions' reason.
    pub reason: Reason,
    /// What, where, and what to do.
    pub message: String,
    /// Whether to try again.
    pub retry: Retry,
}

impl Failure {
    /// A failure that another attempt may mend.
    pub fn retried(step: Step, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            step,
            reason,
            message: message.into(),
            retry: Retry::Backoff,
        }
    }

    /// The same failure, attributed to another step that it prevented.
    #[must_use]
    pub fn of_step(self, step: Step) -> Self {
        Self { step, ..self }
    }

    /// A failure that only a person can mend.
    pub fn stalled(step: Step, reason: Reason, message: impl Into<String>) -> Self {
        Self {
            step,
            reason,
            message: message.into(),
            retry: Retry::WhenChanged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use patchset_api::reason;

    #[test]
    fn a_failure_that_kept_another_step_from_being_done_is_one_of_that_step() {
        let failure = Failure::retried(Step::Source, reason::ACCESS_DENIED, "no");
        let expected = Failure::retried(Step::Delivery, reason::ACCESS_DENIED, "no");
        assert_eq!(failure.of_step(Step::Delivery), expected);
    }
}
