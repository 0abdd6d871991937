//! What is reported about the attempts at a build, whoever builds.

use std::time::Duration;

use jiff::Timestamp;
use patchset_api::build::{Build, BuildStatus};
use patchset_api::reason;
use patchset_api::status::PatchSetStatus;

use crate::plan::conditions::seconds;
use crate::plan::patch_set::BuildOutcome;
use crate::plan::{Failure, Retry, Step};

/// A sentence on an attempt under way. `who` builds.
pub fn describe_attempt(planned: &BuildStatus, build: &Build, who: &str, held_up: Option<&str>) -> String {
    let failures = planned.attempt.as_ref().map_or(0, |attempt| attempt.failures);
    let message = format!(
        "{who} builds {} (attempt {} of {})",
        planned.target.as_deref().unwrap_or_default(),
        failures.saturating_add(1),
        build.retries().saturating_add(1),
    );
    match held_up {
        Some(held_up) => format!("{message}: {held_up}"),
        None => message,
    }
}

/// Ends the attempt of an image that the registry has.
pub fn mark_succeeded(planned: &mut BuildStatus, now: Timestamp) {
    if let Some(attempt) = &mut planned.attempt {
        attempt.finished_at.get_or_insert(seconds(now));
        (attempt.message, attempt.log_tail) = (None, None);
    }
}

/// The last attempt failed at a step, and the next one follows after a wait.
pub fn retry_later(planned: BuildStatus, build: &Build, step: Step, wait: Duration) -> BuildOutcome {
    let failure = Failure {
        retry: Retry::After(wait),
        ..attempt_failure(&planned, build, step, "it will be tried again")
    };
    BuildOutcome::Failed(failure, Some(planned))
}

/// The last attempt failed at a step, and none follows.
pub fn give_up_build(planned: BuildStatus, build: &Build, step: Step) -> BuildOutcome {
    let failure = Failure {
        retry: Retry::WhenChanged,
        ..attempt_failure(
            &planned,
            build,
            step,
            "change what it is built from, or ask for another attempt with reconcile.fluxcd.io/requestedAt",
        )
    };
    BuildOutcome::Failed(failure, Some(planned))
}

fn attempt_failure(planned: &BuildStatus, build: &Build, step: Step, then: &str) -> Failure {
    let attempt = planned.attempt.as_ref();
    let reason = match step {
        Step::Test => reason::TEST_FAILED,
        _ => reason::BUILD_FAILED,
    };
    Failure::retried(
        step,
        reason,
        format!(
            "attempt {} of {} at {} failed: {}; {then}",
            attempt.map_or(0, |attempt| attempt.failures),
            build.retries().saturating_add(1),
            planned.target.as_deref().unwrap_or_default(),
            attempt
                .and_then(|attempt| attempt.message.as_deref())
                .unwrap_or("for an unknown reason"),
        ),
    )
}

/// Whether the last attempt is not over.
pub fn is_under_way(planned: &BuildStatus) -> bool {
    let attempt = planned.attempt.as_ref();
    attempt.is_some_and(|attempt| attempt.finished_at.is_none())
}

/// The attempt under way at what is not wanted any more.
pub fn superseded_build<'a>(status: &'a PatchSetStatus, planned: &BuildStatus) -> Option<&'a BuildStatus> {
    let former = status.build.as_ref()?;
    (is_under_way(former) && !is_same(former, planned)).then_some(former)
}

/// Whether an attempt at one is an attempt at the other.
pub fn is_same(one: &BuildStatus, other: &BuildStatus) -> bool {
    (&one.inputs_digest, &one.target) == (&other.inputs_digest, &other.target)
}

/// How long one attempt at a build may take, if the controller allows that much.
///
/// # Errors
///
/// If the spec asks for more, or for what is no duration.
pub fn timeout(build: &Build, longest: Duration) -> Result<Duration, Failure> {
    let wanted = build
        .timeout()
        .map_err(|error| Failure::stalled(Step::Build, reason::INVALID_SPEC, error.to_string()))?;
    match &build.timeout {
        Some(timeout) if wanted > longest => Err(Failure::stalled(
            Step::Build,
            reason::ACCESS_DENIED,
            format!(
                "build.timeout is {timeout}, and this controller allows builds of at most {} seconds (--max-build-timeout): shorten it",
                longest.as_secs()
            ),
        )),
        Some(_) | None => Ok(wanted.min(longest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_may_take_as_long_as_the_controller_allows() {
        let build = |timeout: Option<&str>| -> Build {
            let mut build =
                serde_json::json!({ "engine": "External", "source": { "repository": "r.example/s" } });
            if let Some(timeout) = timeout {
                build["timeout"] = timeout.into();
            }
            serde_json::from_value(build).unwrap()
        };
        let [hour, two] = [1, 2].map(|hours| Duration::from_secs(hours * 3600));
        assert_eq!(timeout(&build(None), two), Ok(hour));
        assert_eq!(
            timeout(&build(None), Duration::from_secs(60)),
            Ok(Duration::from_secs(60))
        );
        assert_eq!(timeout(&build(Some("2h")), two), Ok(two));
        let failure = timeout(&build(Some("2h1ms")), two).unwrap_err();
        assert_eq!(failure.reason, reason::ACCESS_DENIED);
        assert!(
            failure
                .message
                .contains("at most 7200 seconds (--max-build-timeout)")
        );
        assert_eq!(
            timeout(&build(Some("9000h")), two).unwrap_err().reason,
            reason::INVALID_SPEC
        );
    }
}
