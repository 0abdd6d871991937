//! What the engines that build by attempts have in common: one attempt after the other, until the
//! registry has the image.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Duration;

use jiff::Timestamp;
use patchset_api::build::BuildStatus;
use patchset_api::reason;

use super::attempts;
use super::task::BuildTask;
use crate::controller::context::journal::Interrupted;
use crate::plan::Step;
use crate::plan::attempt::{AttemptState, Decision, decide_next, end_attempt, forgive_failures};
use crate::plan::lifecycle::Next;
use crate::plan::patch_set::{BuildOutcome, Pending};

/// How long a build that was cancelled may hold up the next one for the same tag.
pub const CANCEL_WITHIN: Duration = Duration::from_secs(60);

/// An engine that builds by attempts. What a step breaks off with is reported in place of an image.
pub trait BuildEngine {
    /// Makes builds of what is not wanted any more give way, if that has to be before looking in
    /// the registry.
    async fn make_way(&self, _: &BuildStatus) -> ControlFlow<BuildOutcome> {
        Continue(())
    }

    /// Looks at the attempt under way; returns its state.
    async fn follow(&self, planned: BuildStatus) -> ControlFlow<BuildOutcome, (BuildStatus, AttemptState)>;

    /// Gives back what an attempt takes; called when none is under way.
    fn release(&self) {}

    /// Cancels builds of what is not wanted any more, once it is known whether the registry has the
    /// image.
    async fn supersede(&self, _: &BuildStatus) -> ControlFlow<BuildOutcome> {
        Continue(())
    }

    /// Whether an image in the registry does not count, given how the attempt that pushed it ended.
    fn is_refused(&self, _: &BuildStatus, _: Option<&AttemptState>) -> bool {
        false
    }

    /// Starts an attempt, if the bounds allow one more build.
    async fn start(&self, planned: BuildStatus, number: u32) -> Result<BuildOutcome, Interrupted>;
}

/// Looks for the image, and has the engine start or follow the attempt that is due.
pub async fn build(
    engine: &impl BuildEngine,
    task: &BuildTask<'_>,
    mut planned: BuildStatus,
) -> Result<BuildOutcome, Interrupted> {
    if let Break(built) = engine.make_way(&planned).await {
        return Ok(built);
    }
    let mut seen = None;
    if attempts::is_under_way(&planned) {
        match engine.follow(planned).await {
            Continue((followed, over)) => (planned, seen) = (followed, Some(over)),
            Break(built) => return Ok(built),
        }
    }
    engine.release();
    let now = Timestamp::now();
    let is_refused = engine.is_refused(&planned, seen.as_ref());
    let step = match task.find_image(&mut planned).await {
        Ok(Some(_)) if is_refused => Step::Test,
        Ok(Some(image)) => {
            attempts::mark_succeeded(&mut planned, now);
            // A build from other inputs is of no use any more; failing to cancel it holds nothing
            // up.
            if let Break(BuildOutcome::Failed(failure, _)) = engine.supersede(&planned).await {
                let namespace = task.turn.namespace();
                tracing::warn!(namespace, %failure, "a superseded build could not be cancelled");
            }
            return Ok(BuildOutcome::Image(planned, Box::new(image)));
        }
        Ok(None) => Step::Build,
        Err(failure) => return Ok(BuildOutcome::Failed(failure, Some(planned))),
    };
    let attempt = planned.attempt.take().map(|attempt| match &seen {
        Some(seen) => end_attempt(attempt, seen, task.target, now),
        None => attempt,
    });
    planned.attempt = if task.turn.budget.is_asked_for() {
        attempt.map(forgive_failures)
    } else {
        attempt
    };
    if let Break(built) = engine.supersede(&planned).await {
        return Ok(built);
    }
    match decide_next(planned.attempt.as_ref(), task.build.retries(), now) {
        Decision::Start(number) => engine.start(planned, number).await,
        Decision::Follow => {
            let message = "the attempt under way is looked at again".to_owned();
            Ok(BuildOutcome::Awaited {
                plan: planned,
                pending: Pending::new(reason::BUILDING, message, Next::Soon),
            })
        }
        Decision::Retry(wait) => Ok(attempts::retry_later(planned, task.build, step, wait)),
        Decision::GiveUp => Ok(attempts::give_up_build(planned, task.build, step)),
    }
}
