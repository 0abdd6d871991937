//! What is told of the attempts at a build, whoever builds.

use std::time::Duration;

use jiff::Timestamp;

use crate::api::build::{Build, BuildStatus};
use crate::api::reason;
use crate::plan::conditions::seconds;
use crate::plan::patch_set::Built;
use crate::plan::{Failure, Retry, Step};
use crate::text::printable_lines;

/// How much of a log is told, in characters from its end.
const LOG_CHARACTERS: usize = 2000;

/// The end of a log as it is told: without control characters, and not longer than a status should be.
pub(super) fn tail(log: &str) -> String {
    let plain = anstream::adapter::strip_str(log).to_string();
    let clean = printable_lines(&plain.replace('\r', ""));
    let clean = clean.trim();
    let excess = clean.chars().count().saturating_sub(LOG_CHARACTERS);
    clean.chars().skip(excess).collect()
}

/// A sentence on an attempt under way. `who` builds.
pub(super) fn building(planned: &BuildStatus, build: &Build, who: &str, held_up: Option<&str>) -> String {
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
pub(super) fn succeeded(planned: &mut BuildStatus, now: Timestamp) {
    if let Some(attempt) = &mut planned.attempt {
        attempt.finished_at.get_or_insert(seconds(now));
        (attempt.message, attempt.log_tail) = (None, None);
    }
}

/// Somebody asks for another try: what failed before does not count, also where the next attempt has to wait for its turn.
pub(super) fn forgive(planned: &mut BuildStatus) {
    if let Some(attempt) = planned
        .attempt
        .as_mut()
        .filter(|attempt| attempt.finished_at.is_some())
    {
        attempt.failures = 0;
    }
}

/// The last attempt failed, and the next one follows after a wait.
pub(super) fn again(planned: BuildStatus, build: &Build, wait: Duration) -> Built {
    let failure = Failure {
        retry: Retry::After(wait),
        ..failed(&planned, build, "it will be tried again")
    };
    Built::Failed(failure, Some(planned))
}

/// The last attempt failed, and none follows.
pub(super) fn given_up(planned: BuildStatus, build: &Build) -> Built {
    let failure = Failure {
        retry: Retry::WhenChanged,
        ..failed(
            &planned,
            build,
            "change what it is built from, or ask for another try with reconcile.fluxcd.io/requestedAt",
        )
    };
    Built::Failed(failure, Some(planned))
}

fn failed(planned: &BuildStatus, build: &Build, then: &str) -> Failure {
    let attempt = planned.attempt.as_ref();
    Failure::retried(
        Step::Build,
        reason::BUILD_FAILED,
        format!(
            "attempt {} of {} at {} failed: {}; {then}",
            attempt.map_or(0, |attempt| attempt.failures),
            build.retries().saturating_add(1),
            planned.target.as_deref().unwrap_or_default(),
            attempt
                .and_then(|attempt| attempt.message.as_deref())
                .unwrap_or("for a reason unknown"),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_cut_at_their_end_and_hold_no_controls() {
        let log = format!("{}\u{1b}[31mred\u{1b}[0m\r\nlast\u{7}\n", "x".repeat(5000));
        let told = tail(&log);
        assert!(told.ends_with("xred\nlast"), "{told}");
        assert_eq!(told.chars().count(), LOG_CHARACTERS);
    }
}
