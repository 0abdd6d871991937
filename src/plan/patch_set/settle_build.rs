//! The status after a build and its tests.

use jiff::Timestamp;
use patchset_api::conditions::Truth;
use patchset_api::reason;
use patchset_api::status::PatchSetStatus;

use super::image_history::remember_image;
use super::progress::{BuildOutcome, DeliveryOutcome, Pending, Policy};
use super::settle_delivery::settle_delivery;
use crate::plan::build::is_planned_image;
use crate::plan::failure::{Failure, Step};
use crate::plan::image_test::{TestsVerdict, tests_verdict};
use crate::plan::lifecycle::{Next, Settling, Verdict};

/// The status after a build, its tests and the delivery, where all patches apply.
pub(super) fn settle_build(
    mut settling: Settling<'_, PatchSetStatus>,
    policy: Policy<'_>,
    series: &Verdict,
    (built, delivered): (BuildOutcome, DeliveryOutcome),
    now: Timestamp,
) -> (PatchSetStatus, Next) {
    match record_build(&mut settling.status, built, now) {
        BuildEnd::Done => {}
        BuildEnd::Failed(failure) => {
            if failure.step == Step::Test {
                let built = untested_image_verdict(&settling.status, series);
                settling.mark_done(Step::Build, &built);
            }
            return settling.into_failed(&failure);
        }
        BuildEnd::Waiting(pending) => {
            settling.drop_step(Step::Test);
            let status = settling.into_waiting(Step::Build, pending.reason, &pending.message);
            return (status, pending.next);
        }
        BuildEnd::Testing(pending) => {
            let built = untested_image_verdict(&settling.status, series);
            settling.mark_done(Step::Build, &built);
            let status = settling.into_waiting(Step::Test, pending.reason, &pending.message);
            return (status, pending.next);
        }
    }
    let mut built = built_verdict(&settling.status, series);
    if policy.tests && settling.status.image.is_some() {
        mark_tested(&mut settling, &mut built);
    } else {
        settling.drop_step(Step::Test);
    }
    if !policy.delivers {
        return settling.into_judged(Step::Build, &built);
    }
    settling.mark_done(Step::Build, &built);
    settle_delivery(settling, delivered, &built)
}

/// The verdict on a build whose image exists but does not count.
fn untested_image_verdict(status: &PatchSetStatus, series: &Verdict) -> Verdict {
    let build = status.build.as_ref();
    let awaiting = build.and_then(|build| build.tests.as_ref()?.awaiting.as_ref());
    let target = build.and_then(|build| build.target.as_deref());
    let image = awaiting.map_or(target, |image| Some(image.reference.as_str()));
    Verdict {
        reason: reason::SUCCEEDED,
        message: format!("{}; built: {}", series.message, image.unwrap_or_default()),
        ..*series
    }
}

/// Records the test results of an image that counts.
fn mark_tested(settling: &mut Settling<'_, PatchSetStatus>, built: &mut Verdict) {
    let build = settling.status.build.as_ref();
    let tests = tests_verdict(build.and_then(|build| build.tests.as_ref()));
    let (truth, reason, message) = match tests {
        TestsVerdict::Passed(message) => (Truth::True, reason::SUCCEEDED, message),
        TestsVerdict::Reported(message) => {
            built.ready = reason::NEEDS_ATTENTION;
            built.message = format!("{}; some of its tests failed: {message}", built.message);
            (Truth::False, reason::TEST_FAILED, message)
        }
    };
    let verdict = Verdict {
        truth,
        reason,
        ready: built.ready,
        message,
    };
    settling.mark_done(Step::Test, &verdict);
}

/// How a build ends for the status.
pub(super) enum BuildEnd {
    /// The image is there, or none is asked for.
    Done,
    Failed(Failure),
    /// The build waits for something.
    Waiting(Pending),
    /// The image is there, and waits for the end of a test.
    Testing(Pending),
}

/// Records the outcome of the build in a status.
pub(super) fn record_build(status: &mut PatchSetStatus, built: BuildOutcome, now: Timestamp) -> BuildEnd {
    match built {
        BuildOutcome::Failed(failure, planned) => {
            let rejected = planned.as_ref().and_then(|build| build.rejected.as_ref());
            // An image that counted is dropped when a look into it rejects it.
            if let (Some(rejected), Some(image)) = (rejected, &status.image)
                && rejected.digest == image.digest
            {
                status.image = None;
            }
            status.build = planned.map(Box::new).or(status.build.take());
            return BuildEnd::Failed(failure);
        }
        BuildOutcome::Waiting(pending) => return BuildEnd::Waiting(pending),
        BuildOutcome::Published(build) => {
            status.build = Some(Box::new(build));
            status.image = None;
        }
        BuildOutcome::Awaited { plan, pending } => {
            // An image that is awaited is not in the registry, even where it was before.
            status.image = status
                .image
                .take()
                .filter(|image| !is_planned_image(image, &plan));
            status.build = Some(Box::new(plan));
            return BuildEnd::Waiting(pending);
        }
        BuildOutcome::Testing { plan, pending } => {
            status.build = Some(Box::new(plan));
            return BuildEnd::Testing(pending);
        }
        BuildOutcome::Image(build, image) => {
            remember_image(status, &build, &image, now);
            status.build = Some(Box::new(build));
            status.image = Some(image);
        }
        BuildOutcome::Nothing => {}
    }
    BuildEnd::Done
}

/// The verdict if the image is there, or only the source is asked for.
fn built_verdict(status: &PatchSetStatus, series: &Verdict) -> Verdict {
    let mut ready = series.ready;
    let mut message = match &status.image {
        Some(image) => format!("{}; the image is {}", series.message, image.reference),
        None => format!("{}; the source is published", series.message),
    };
    if let Some(why) = status
        .image
        .as_ref()
        .and_then(|image| image.sbom_failure.as_ref())
    {
        ready = reason::NEEDS_ATTENTION;
        message = format!(
            "{message}; the document on its patches could not be attached, and will be tried again: {why}"
        );
    }
    Verdict {
        reason: reason::SUCCEEDED,
        ready,
        message,
        ..*series
    }
}
