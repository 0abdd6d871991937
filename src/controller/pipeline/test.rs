//! Has a found image tested, before it counts.

use jiff::Timestamp;
use patchset_api::build::{BuildStatus, ImageStatus};
use patchset_api::image_test::ImageTestsStatus;
use patchset_api::reason;

use super::apply::AppliedSeries;
use crate::controller::build::image_tests::{self, TestRun, TestStep};
use crate::controller::build::task::BuildTask;
use crate::controller::context::journal::Interrupted;
use crate::controller::inputs::patches;
use crate::plan::image_test::{
    FormerFailures, NextTest, PlannedTest, awaiting_image, next_test, remember_test,
};
use crate::plan::lifecycle::Next;
use crate::plan::patch_set::{BuildOutcome, Pending};
use crate::plan::{Failure, Retry, Step};

/// The largest file that is handed to a test, in bytes: it is an annotation of its pod, and those
/// may have 256 KiB in all.
const LARGEST_EXCLUDES: usize = 64 << 10;

/// Cancels tests of an image that is not the planned one any more, so that they take no place from
/// the build of the planned one.
pub async fn stop_superseded(task: &BuildTask<'_>, planned: &BuildStatus) {
    if awaiting_image(planned).is_none() {
        image_tests::stop(task).await;
    }
}

/// Runs the tests of an image that have not run yet, one after the other. The image counts if this
/// returns [`BuildOutcome::Image`].
pub async fn test(
    task: &BuildTask<'_>,
    series: &AppliedSeries,
    mut planned: BuildStatus,
    image: Box<ImageStatus>,
) -> Result<BuildOutcome, Interrupted> {
    let mut status = planned.tests.take().unwrap_or_default();
    if task.build.tests.is_empty() {
        (status.awaiting, status.results) = (None, Vec::new());
        planned.tests = Some(status).filter(|status| !status.history.is_empty());
        return Ok(BuildOutcome::Image(planned, image));
    }
    status.awaiting = Some(image.clone());
    let source = planned.contexts.get(&task.turn.object.spec.component.0).cloned();
    let found = plan_tests(task, series, source.as_deref()).await;
    let tests = match found {
        Ok(tests) => tests,
        Err(failure) => {
            planned.tests = Some(status);
            return Ok(BuildOutcome::Failed(failure, Some(planned)));
        }
    };
    let mut former = if task.turn.budget.is_asked_for() {
        FormerFailures::AreForgiven
    } else {
        FormerFailures::Stand
    };
    // Each round ends a test, or the loop.
    loop {
        let next = next_test(&tests, &image.digest, &mut status, former);
        former = FormerFailures::Stand;
        let run = |at: usize| {
            Some(TestRun {
                task,
                at,
                planned: tests.get(at)?,
                image: &image,
                source: source.as_ref(),
            })
        };
        match next {
            NextTest::AllOver => {
                status.awaiting = None;
                planned.tests = Some(status);
                return Ok(BuildOutcome::Image(planned, image));
            }
            NextTest::Blocked(at) => {
                let failure = run(at).zip(status.results.get(at)).map(|(run, result)| Failure {
                    retry: Retry::WhenChanged,
                    ..run.failure(result, BLOCKED)
                });
                planned.tests = Some(status);
                return Ok(BuildOutcome::Failed(
                    failure.unwrap_or_else(no_such_test),
                    Some(planned),
                ));
            }
            NextTest::Run(at) => {
                record_begun(task, &planned, &status).await?;
                let step = match (run(at), status.results.get_mut(at)) {
                    (Some(run), Some(result)) => Box::pin(run.step(result)).await,
                    _ => TestStep::Failed(no_such_test()),
                };
                match step {
                    TestStep::Over => {
                        remember_test(&mut status, at, Timestamp::now());
                        record(task, &planned, &status).await?;
                    }
                    TestStep::Waiting(pending) => {
                        planned.tests = Some(status);
                        return Ok(BuildOutcome::Testing {
                            plan: planned,
                            pending,
                        });
                    }
                    TestStep::Failed(failure) => {
                        planned.tests = Some(status);
                        return Ok(BuildOutcome::Failed(failure, Some(planned)));
                    }
                }
            }
        }
    }
}

/// What to do about a test that failed.
const BLOCKED: &str = "the previous image stays; fix the patch or the test, or ask for another attempt with \
                       reconcile.fluxcd.io/requestedAt";

fn no_such_test() -> Failure {
    Failure::retried(Step::Test, reason::INTERNAL_ERROR, "there is no such test")
}

/// Records which image is tested, if the status does not have it: a Job for an unknown image would
/// count as superseded.
async fn record_begun(
    task: &BuildTask<'_>,
    planned: &BuildStatus,
    status: &ImageTestsStatus,
) -> Result<(), Interrupted> {
    let known = task.turn.status();
    let known = known.build.as_deref().and_then(awaiting_image);
    let reference = |image: &ImageStatus| image.reference.clone();
    if known.as_deref().map(reference) == status.awaiting.as_deref().map(reference) {
        return Ok(());
    }
    record(task, planned, status).await
}

/// Records the state of the tests, so that their results are found again whatever happens.
async fn record(
    task: &BuildTask<'_>,
    planned: &BuildStatus,
    status: &ImageTestsStatus,
) -> Result<(), Interrupted> {
    let reference = status.awaiting.as_ref().map(|image| image.reference.to_string());
    let message = format!("{} is tested", reference.unwrap_or_default());
    task.record_built(BuildOutcome::Testing {
        plan: BuildStatus {
            tests: Some(status.clone()),
            ..planned.clone()
        },
        pending: Pending::new(reason::TESTING, message, Next::Soon),
    })
    .await
}

/// The tests of the spec, each with what it needs besides the image.
async fn plan_tests<'a>(
    task: &BuildTask<'a>,
    series: &AppliedSeries,
    source: Option<&str>,
) -> Result<Vec<PlannedTest<'a>>, Failure> {
    let mut planned = Vec::new();
    for (at, test) in task.build.tests.iter().enumerate() {
        let excludes = match &test.excludes {
            None => None,
            Some(excludes) => {
                let field = format!("build.tests[{at}].excludes");
                Some(
                    read_excludes(task, series, &field, &excludes.path)
                        .await
                        .map_err(|failure| failure.of_step(Step::Test))?,
                )
            }
        };
        planned.push(PlannedTest::new(test, source, excludes));
    }
    Ok(planned)
}

/// The file that is handed to a test; empty where there is none.
async fn read_excludes(
    task: &BuildTask<'_>,
    series: &AppliedSeries,
    field: &str,
    path: &str,
) -> Result<String, Failure> {
    let (context, located) = (task.turn.context, &series.inputs.located);
    let read = patches::read_beside(context, located, field, path, task.turn.budget.deadline).await;
    let bytes = match read {
        Err(failure) if failure.reason == reason::PATH_NOT_FOUND => return Ok(String::new()),
        read => read?,
    };
    if bytes.len() > LARGEST_EXCLUDES {
        return Err(Failure::stalled(
            Step::Test,
            reason::TOO_LARGE,
            format!(
                "{field}: {path} has {} bytes, more than the {LARGEST_EXCLUDES} that are handed to a test: shorten it",
                bytes.len()
            ),
        ));
    }
    String::from_utf8(bytes).map_err(|_| {
        Failure::stalled(
            Step::Test,
            reason::INVALID_REFERENCE,
            format!("{field}: {path} is not UTF-8 text"),
        )
    })
}
