//! Has the image of the published source built, looks for it, and has it tested.

use std::time::Duration;

use jiff::Timestamp;
use patchset_api::PatchSet;
use patchset_api::build::{BuildStatus, Engine, ImageStatus};
use patchset_api::conditions;
use patchset_api::reason::{self, condition};
use patchset_api::status::PatchSetStatus;

use super::apply::AppliedSeries;
use super::publish::PublishedBuild;
use super::test;
use crate::controller::build::attempts::superseded_build;
use crate::controller::build::sbom::SbomInputs;
use crate::controller::build::task::BuildTask;
use crate::controller::build::{inspection, job_engine, sbom, workflow_engine};
use crate::controller::context::journal::Interrupted;
use crate::controller::context::turn::Turn;
use crate::controller::inputs::image_references::image_by_digest;
use crate::controller::inputs::registries::in_time;
use crate::plan::backoff;
use crate::plan::image_test::awaiting_image;
use crate::plan::lifecycle::Next;
use crate::plan::patch_set::{BuildOutcome, Pending, image_is_current};

/// The first wait before looking for an image that somebody else builds.
const LOOK_FIRST: Duration = Duration::from_secs(15);

/// Looks for the image, has it built if it is missing, has it tested, adds its further tags, and
/// attaches the document on its patches.
pub async fn build(
    turn: &Turn<'_, PatchSet>,
    series: &AppliedSeries,
    plan: PublishedBuild,
) -> Result<BuildOutcome, Interrupted> {
    let Some(build) = &turn.object.spec.build else {
        return Ok(BuildOutcome::Nothing);
    };
    let PublishedBuild {
        planned,
        registry,
        ingredients,
    } = plan;
    let Some(target) = planned.target.clone() else {
        return Ok(BuildOutcome::Published(planned));
    };
    let is_asked = turn.budget.is_asked_for();
    let rejected = planned.rejected.as_ref();
    if let Some(rejected) = rejected.filter(|_| build.is_checked() && !is_asked) {
        let failure = inspection::rejection_failure(rejected);
        return Ok(BuildOutcome::Failed(failure, Some(planned)));
    }
    let status = turn.status();
    let task = BuildTask {
        turn,
        build,
        registry: &registry,
        progress: &series.progress,
        status: status.clone(),
        target: &target,
        revision: &series.progress.sources.upstream.revision,
    };
    let is_there =
        image_is_current(&status, &planned) && superseded_build(&status, &planned).is_none() && !is_asked;
    let image = status
        .image
        .clone()
        .filter(|image| is_there && (image.installed.is_some() || !build.is_checked()));
    test::stop_superseded(&task, &planned).await;
    let counts = image.is_some();
    let awaiting = awaiting_image(&planned).filter(|_| !is_asked);
    let awaiting = awaiting.filter(|_| superseded_build(&status, &planned).is_none());
    let found = match image.or(awaiting) {
        Some(image) => BuildOutcome::Image(planned, image),
        None => Box::pin(by_engine(&task, planned)).await?,
    };
    let tested = match found {
        BuildOutcome::Image(planned, image) => Box::pin(test::test(&task, series, planned, image)).await?,
        other => other,
    };
    let tagged = match tested {
        BuildOutcome::Image(planned, image) if !counts => with_tags(&task, planned, image).await?,
        other => other,
    };
    let (planned, mut image) = match tagged {
        BuildOutcome::Image(planned, image) => (planned, image),
        other => return Ok(other),
    };
    image.sbom_failure = None;
    if build.has_sbom() && image.sbom.is_none() {
        let inputs = SbomInputs {
            patches: series.patches(turn).await,
            states: series.patch_statuses(&status.patches),
            ingredients: &ingredients,
        };
        *image = sbom::attach_document(&task, inputs, &planned, *image).await;
    }
    Ok(BuildOutcome::Image(planned, image))
}

/// Looks for the image, and has it built by the engine of the spec.
async fn by_engine(task: &BuildTask<'_>, planned: BuildStatus) -> Result<BuildOutcome, Interrupted> {
    if task.build.engine != Engine::Job {
        job_engine::stop(task.turn.object, task.turn.context).await;
    }
    match task.build.engine {
        Engine::External => Ok(await_external_build(task, planned).await),
        Engine::Job => job_engine::build(task, planned).await,
        Engine::GitHubActions => workflow_engine::build(task, planned).await,
    }
}

/// Looks for an image that somebody else builds.
async fn await_external_build(task: &BuildTask<'_>, mut planned: BuildStatus) -> BuildOutcome {
    match task.find_image(&mut planned).await {
        Ok(Some(image)) => BuildOutcome::Image(planned, Box::new(image)),
        Ok(None) => {
            let message = format!("the source is published; waiting for the image {}", task.target);
            let interval = task.turn.object.spec.interval.get().unwrap_or(backoff::LONGEST);
            let next = Next::After(next_look_for_image(&task.status, interval, Timestamp::now()));
            BuildOutcome::Awaited {
                plan: planned,
                pending: Pending::new(reason::AWAITING_IMAGE, message, next),
            }
        }
        Err(failure) => BuildOutcome::Failed(failure, Some(planned)),
    }
}

/// When to look again for an image that somebody else builds: the longer it has been waited for,
/// the later, so that many that are never built cost little.
fn next_look_for_image(status: &PatchSetStatus, interval: Duration, now: Timestamp) -> Duration {
    let since = conditions::find(&status.conditions, condition::IMAGE_BUILT)
        .filter(|built| built.reason.parse() == Ok(reason::AWAITING_IMAGE))
        .map_or(now, |built| built.last_transition_time.0);
    let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    (waited / 10).max(LOOK_FIRST).min(interval)
}

/// Moves the further tags to an image that was found and tested, and adds the tag that sorts.
async fn with_tags(
    task: &BuildTask<'_>,
    planned: BuildStatus,
    image: Box<ImageStatus>,
) -> Result<BuildOutcome, Interrupted> {
    match task.move_tags(&image).await {
        Ok(()) => with_sortable_tag(task, planned, image).await,
        Err(failure) => Ok(BuildOutcome::Failed(failure, Some(planned))),
    }
}

/// Adds the tag that sorts to an image that was found.
///
/// The status records it first: a controller that is killed in between finds it there, and does not
/// add another.
async fn with_sortable_tag(
    task: &BuildTask<'_>,
    mut planned: BuildStatus,
    image: Box<ImageStatus>,
) -> Result<BuildOutcome, Interrupted> {
    let Some(sortable) = &image.sortable_tag else {
        return Ok(BuildOutcome::Image(planned, image));
    };
    let recorded = task
        .status
        .build
        .as_ref()
        .and_then(|build| build.sortable_tag.as_ref());
    if recorded != Some(sortable) {
        let message = format!("the registry has {}; its sortable tag is next", image.reference);
        task.record(&planned, reason::AWAITING_IMAGE, message).await?;
    }
    let by_digest = match image_by_digest(&image) {
        Ok(by_digest) => by_digest,
        Err(failure) => return Ok(BuildOutcome::Failed(failure, Some(planned))),
    };
    let added = Box::pin(task.registry.add_tag(&by_digest, &sortable.tag));
    match in_time(task.turn.budget, "adding the sortable tag", added).await {
        Ok(()) => Ok(BuildOutcome::Image(planned, image)),
        Err(failure) => {
            if failure.reason == reason::TAG_TAKEN {
                // The next attempt takes another time.
                planned.sortable_tag = None;
            }
            Ok(BuildOutcome::Failed(failure, Some(planned)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
    use patchset_api::reason::Reason;

    #[test]
    fn an_image_is_looked_for_the_later_the_longer_it_was_waited_for() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let waiting = |reason: Reason| PatchSetStatus {
            conditions: vec![Condition {
                last_transition_time: Time(at(0)),
                message: String::new(),
                observed_generation: None,
                reason: reason.to_string(),
                status: "Unknown".to_owned(),
                type_: condition::IMAGE_BUILT.to_owned(),
            }],
            ..PatchSetStatus::default()
        };
        let (known, interval) = (waiting(reason::AWAITING_IMAGE), Duration::from_secs(300));
        for (now, seconds) in [(0, 15), (100, 15), (600, 60), (1_000_000, 300)] {
            assert_eq!(next_look_for_image(&known, interval, at(now)).as_secs(), seconds);
        }
        assert_eq!(
            next_look_for_image(&known, Duration::from_secs(1), at(600)).as_secs(),
            1
        );
        // Until this point it waited for something else.
        assert_eq!(
            next_look_for_image(&waiting(reason::BUILDING), interval, at(600)).as_secs(),
            15
        );
    }
}
