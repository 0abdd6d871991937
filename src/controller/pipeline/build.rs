//! Looks for the image that the published source asks for, and has it built.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::publish;
use super::resolve::Gathered;
use crate::api::PatchSet;
use crate::api::build::{Build, BuildStatus, Engine};
use crate::api::reason::{self, condition};
use crate::api::status::{PatchSetStatus, PatchStatus};
use crate::controller::build::attempts::{is_same, superseded};
use crate::controller::build::sbom::Material;
use crate::controller::build::search::Search;
use crate::controller::build::{inspection, job_engine, sbom, workflow_engine};
use crate::controller::context::{Context, Pace};
use crate::controller::inputs::ingredients::Lack;
use crate::controller::inputs::registries::{in_time, registry};
use crate::plan::build::{date, reasons};
use crate::plan::lifecycle::Next;
use crate::plan::patch_set::{Built, holds, is_planned, stands};
use crate::plan::{backoff, conditions};
use crate::publish::Registry;
use crate::source::Freshness;

/// How soon an image is looked for that somebody else builds, at first.
const LOOK_FIRST: Duration = Duration::from_secs(15);

/// Publishes the source where that was not done yet, looks for the image, and has it built where it is not there.
pub async fn build(
    patch_set: &PatchSet,
    context: &Arc<Context>,
    known: &PatchSetStatus,
    gathered: Gathered,
    patches: &[PatchStatus],
    pace: Pace,
) -> Built {
    let Some(build) = &patch_set.spec.build else {
        return Built::Nothing;
    };
    let ingredients = match gathered.ingredients.clone() {
        Ok(ingredients) => ingredients,
        Err(Lack::Pending(message)) => {
            return Built::Waiting(reason::DEPENDENCY_NOT_READY, message, Next::Soon);
        }
        Err(Lack::Failed(failure)) => return Built::Failed(failure, None),
    };
    // What was published for the same inputs needs no second look, unless somebody asks for it.
    let is_asked = pace.freshness == Freshness::Now;
    let holds = holds(known, &gathered.sources().inputs_digest) && is_planned(known);
    let planned = known.build.clone().filter(|_| holds && !is_asked);
    let registry = match registry(patch_set, build, context, pace).await {
        Ok(registry) => Arc::new(registry),
        Err(failure) => return Built::Failed(failure, planned),
    };
    let material = Material {
        patch_set,
        located: gathered.located.clone(),
        patches,
        ingredients: ingredients.clone(),
    };
    let revision = gathered.resolved.revision().to_string();
    let planned = if let Some(planned) = planned {
        planned
    } else {
        let commit = gathered.resolved.commit().to_string();
        // Where patches did not apply in between, the status is at the new commit already, and the image is not.
        let moved = match (&known.image, &known.upstream) {
            (Some(image), _) => !image.revision.ends_with(&commit),
            (None, Some(upstream)) => upstream.commit != commit,
            (None, None) => true,
        };
        let published = publish::publish(patch_set, build, context, &registry, gathered, ingredients, pace);
        match Box::pin(published).await {
            Ok(planned) => {
                let component = &patch_set.spec.component.0;
                let before = known.build.as_ref();
                let same = before.filter(|before| is_same(before, &planned));
                let mut planned = BuildStatus {
                    reasons: reasons(before, &planned, build, component, moved),
                    attempt: same.and_then(|before| before.attempt.clone()),
                    rejected: same.and_then(|before| before.rejected.clone()),
                    ..planned
                };
                date(&mut planned, known, Timestamp::now());
                planned
            }
            Err(failure) => return Built::Failed(failure, None),
        }
    };
    let Some(target) = planned.target.clone() else {
        return Built::Published(planned);
    };
    if let Some(rejected) = planned
        .rejected
        .as_ref()
        .filter(|_| build.is_checked() && !is_asked)
    {
        let failure = inspection::refusal(rejected);
        return Built::Failed(failure, Some(planned));
    }
    let search = Search {
        registry: &registry,
        layers: &context.layers,
        target: &target,
        revision: &revision,
        is_checked: build.is_checked(),
        known: known.image.as_ref(),
        pace,
    };
    let is_there = stands(known, &planned) && superseded(known, &planned).is_none() && !is_asked;
    let image = known
        .image
        .clone()
        .filter(|image| is_there && (image.installed.is_some() || !build.is_checked()));
    let built = if let Some(image) = image {
        Built::Image(planned, Box::new(image))
    } else {
        let built = by_engine(patch_set, build, context, known, planned, &search).await;
        sorted(built, known, &registry, pace).await
    };
    match built {
        Built::Image(planned, image) if build.has_sbom() && image.sbom.is_none() => {
            let image = sbom::attached(context, &registry, material, &planned, *image, pace).await;
            Built::Image(planned, Box::new(image))
        }
        Built::Image(planned, mut image) => {
            image.sbom_failure = None;
            Built::Image(planned, image)
        }
        other => other,
    }
}

/// Looks for the image, and has it built by the engine of the spec.
async fn by_engine(
    patch_set: &PatchSet,
    build: &Build,
    context: &Arc<Context>,
    known: &PatchSetStatus,
    planned: BuildStatus,
    search: &Search<'_>,
) -> Built {
    if build.engine != Engine::Job {
        job_engine::stop(patch_set, context).await;
    }
    match build.engine {
        Engine::External => external(patch_set, known, planned, search).await,
        Engine::Job => job_engine::build(patch_set, build, context, planned, search).await,
        Engine::GitHubActions => {
            workflow_engine::build(patch_set, build, context, known, planned, search).await
        }
    }
}

/// Looks for an image that somebody else builds.
async fn external(
    patch_set: &PatchSet,
    known: &PatchSetStatus,
    mut planned: BuildStatus,
    search: &Search<'_>,
) -> Built {
    match search.image(&mut planned).await {
        Ok(Some(image)) => Built::Image(planned, Box::new(image)),
        Ok(None) => {
            let message = format!("the source is published; waiting for the image {}", search.target);
            let interval = patch_set.spec.interval.get().unwrap_or(backoff::LONGEST);
            let next = Next::After(look_again(known, interval, Timestamp::now()));
            Built::Awaited(planned, reason::AWAITING_IMAGE, message, next)
        }
        Err(failure) => Built::Failed(failure, Some(planned)),
    }
}

/// When to look again for an image that somebody else builds: the longer it has been waited for, the later, so that many that are
/// never built cost little.
fn look_again(known: &PatchSetStatus, interval: Duration, now: Timestamp) -> Duration {
    let since = conditions::find(&known.conditions, condition::IMAGE_BUILT)
        .filter(|built| built.reason == reason::AWAITING_IMAGE)
        .map_or(now, |built| built.last_transition_time.0);
    let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    (waited / 10).max(LOOK_FIRST).min(interval)
}

/// Adds the tag that sorts to an image that was found.
///
/// The status has it first: a controller that is killed in between finds it there, and does not add another.
async fn sorted(built: Built, known: &PatchSetStatus, registry: &Registry, pace: Pace) -> Built {
    let (mut planned, image) = match built {
        Built::Image(planned, image) if image.sortable_tag.is_some() => (planned, image),
        other => return other,
    };
    let told = known.build.as_ref().and_then(|build| build.sortable_tag.as_ref());
    if told != image.sortable_tag.as_ref() {
        let message = format!("the registry has {}; its tag that sorts is next", image.reference);
        return Built::Awaited(planned, reason::AWAITING_IMAGE, message, Next::Now);
    }
    let tag = image.sortable_tag.as_ref().map(|sortable| sortable.tag.as_str());
    let by_digest = format!("{}@{}", image.repository, image.digest);
    let added = registry.add_tag(&by_digest, tag.unwrap_or_default());
    match in_time(pace, "adding the tag that sorts", added).await {
        Ok(()) => Built::Image(planned, image),
        Err(failure) => {
            if failure.reason == reason::TAG_TAKEN {
                // The next attempt takes another time.
                planned.sortable_tag = None;
            }
            Built::Failed(failure, Some(planned))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    #[test]
    fn an_image_is_looked_for_the_later_the_longer_it_was_waited_for() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let waiting = |reason: &str| PatchSetStatus {
            conditions: vec![Condition {
                last_transition_time: Time(at(0)),
                message: String::new(),
                observed_generation: None,
                reason: reason.to_owned(),
                status: "Unknown".to_owned(),
                type_: condition::IMAGE_BUILT.to_owned(),
            }],
            ..PatchSetStatus::default()
        };
        let (known, interval) = (waiting(reason::AWAITING_IMAGE), Duration::from_secs(300));
        for (now, seconds) in [(0, 15), (100, 15), (600, 60), (1_000_000, 300)] {
            assert_eq!(look_again(&known, interval, at(now)).as_secs(), seconds);
        }
        assert_eq!(look_again(&known, Duration::from_secs(1), at(600)).as_secs(), 1);
        // Something else was waited for until now.
        assert_eq!(
            look_again(&waiting(reason::BUILDING), interval, at(600)).as_secs(),
            15
        );
    }
}
