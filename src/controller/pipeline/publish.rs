//! Publishes what an image is built from, and plans its build.

use std::collections::BTreeMap;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;

use jiff::Timestamp;
use patchset_api::build::{Build, BuildStatus};
use patchset_api::status::PatchSetStatus;
use patchset_api::{PatchSet, reason};
use source_images::{Registry, TimedStore};

use super::apply::AppliedSeries;
use crate::controller::build::attempts::is_same;
use crate::controller::context::failures::registry_failure;
use crate::controller::context::turn::Turn;
use crate::controller::inputs::ingredients::{Ingredients, NotBuildable};
use crate::controller::inputs::registries::{in_time, registry};
use crate::controller::inputs::upstreams::blocking;
use crate::controller::inputs::{folder, patches};
use crate::controller::state::locking::lock;
use crate::plan::build::set_tag_time;
use crate::plan::image_test::carried_on;
use crate::plan::lifecycle::Next;
use crate::plan::patch_set::{BuildOutcome, Pending, is_planned, results_are_current};
use crate::plan::{Failure, Step};
use crate::recipe::{
    self, BaseImage, BuildFindings, FoundUpstream, Located, Recipe, RecipeError, build_reasons,
};
use crate::source::api_revision;

/// What an image is built from, and where it goes.
pub struct PublishedBuild {
    pub planned: BuildStatus,
    pub registry: Registry,
    pub ingredients: Ingredients,
}

/// Publishes what an image is built from, if all patches apply and the status does not say that it
/// was published before.
///
/// Breaks with the outcome for the image instead, if none is asked for or it cannot be built yet.
pub async fn publish(
    turn: &Turn<'_, PatchSet>,
    series: &AppliedSeries,
) -> ControlFlow<BuildOutcome, PublishedBuild> {
    let Some(build) = turn.object.spec.build.as_ref().filter(|_| series.all_pass(turn)) else {
        return Break(BuildOutcome::Nothing);
    };
    let ingredients = match series.inputs.ingredients.clone() {
        Ok(ingredients) => ingredients,
        Err(NotBuildable::Pending(message)) => {
            let waiting =
                BuildOutcome::Waiting(Pending::new(reason::DEPENDENCY_NOT_READY, message, Next::Soon));
            return Break(waiting);
        }
        Err(NotBuildable::Failed(failure)) => return Break(BuildOutcome::Failed(failure, None)),
    };
    // What was published for the same inputs needs no second look, unless somebody asks for it.
    let status = turn.status();
    let digest = &series.progress.sources.inputs_digest;
    let is_current = results_are_current(&status, digest) && is_planned(&status);
    let known = status
        .build
        .as_deref()
        .filter(|_| is_current && !turn.budget.is_asked_for())
        .cloned();
    let registry = match registry(turn.object, turn.context, turn.budget).await {
        Ok(registry) => registry,
        Err(failure) => return Break(BuildOutcome::Failed(failure, known)),
    };
    let planned = if let Some(planned) = known {
        planned
    } else {
        let published = publish_parts(turn, build, series, &ingredients, &registry).await;
        match published {
            Ok(planned) => after_status(planned, &status, build, series, &turn.object.spec.component.0),
            Err(failure) => return Break(BuildOutcome::Failed(failure, None)),
        }
    };
    Continue(PublishedBuild {
        planned,
        registry,
        ingredients,
    })
}

/// The plan, with what it takes over from the build before it.
fn after_status(
    planned: BuildStatus,
    status: &PatchSetStatus,
    build: &Build,
    series: &AppliedSeries,
    component: &str,
) -> BuildStatus {
    let commit = series.inputs.resolved.commit();
    let before = status.build.as_deref();
    let same = before.filter(|before| is_same(before, &planned));
    let mut planned = BuildStatus {
        reasons: build_reasons(status, &planned, build, component, commit),
        attempt: same.and_then(|before| before.attempt.clone()),
        rejected: same.and_then(|before| before.rejected.clone()),
        tests: carried_on(before, same.is_some()),
        ..planned
    };
    set_tag_time(&mut planned, status, Timestamp::now());
    planned
}

/// Pushes the images that the build takes and the registry lacks, and plans the build. What cannot
/// be built is reported before anything is pushed.
async fn publish_parts(
    turn: &Turn<'_, PatchSet>,
    build: &Build,
    series: &AppliedSeries,
    ingredients: &Ingredients,
    registry: &Registry,
) -> Result<BuildStatus, Failure> {
    let Recipe {
        parts,
        build: planned,
        ..
    } = describe(turn, build, series, ingredients).await?;
    for part in parts {
        let what = format!("publishing {}", part.kind);
        let pushed = Box::pin(part.image.push(registry));
        in_time(turn.budget, &what, pushed).await?;
    }
    Ok(planned)
}

/// Describes what is built from what was found.
async fn describe(
    turn: &Turn<'_, PatchSet>,
    build: &Build,
    series: &AppliedSeries,
    ingredients: &Ingredients,
) -> Result<Recipe, Failure> {
    let (context, deadline) = (turn.context, turn.budget.deadline);
    let arguments = match &build.extra_packages_from {
        None => BTreeMap::new(),
        Some(from) => {
            let (located, field) = (&series.inputs.located, "build.extraPackagesFrom");
            let bytes = patches::read_beside(context, located, field, &from.path, deadline).await?;
            recipe::read_arguments(&from.path, &bytes, &turn.object.spec.component.0)?
        }
    };
    let dockerfile = match ingredients.dockerfile.clone() {
        None => None,
        Some(located) => Some(folder::open(context, located, deadline).await?),
    };
    let read = series
        .patches(turn)
        .await
        .map_err(|failure| failure.of_step(Step::Build))?;
    let applied = series
        .applied_to_upstream(turn)
        .await
        .map_err(|failure| failure.of_step(Step::Build))?;
    let (upstream, resolved) = (series.inputs.upstream.clone(), series.inputs.resolved.clone());
    let (spec, build, ingredients) = (turn.object.spec.clone(), build.clone(), ingredients.clone());
    let requested = series.inputs.requested.clone();
    let patches_revision = series.inputs.located.as_ref().map(Located::revision);
    let patches_revision = patches_revision.and_then(|revision| revision.parse().ok());
    let known = turn.status().build.clone();
    let described = blocking(context, "the upstream", deadline, move |mirrors| {
        let snapshot = mirrors.snapshot(&upstream, &resolved, deadline)?;
        let applied = lock(&applied);
        let bases = ingredients.bases.into_iter();
        Ok(Recipe::describe(BuildFindings {
            spec: &spec,
            build: &build,
            upstream: FoundUpstream {
                url: upstream.url().to_string(),
                revision: api_revision(resolved.revision()),
                tag: resolved.revision().tag().map(ToOwned::to_owned),
                objects: Arc::new(TimedStore::new(snapshot, deadline)),
            },
            patches: &read,
            patches_revision,
            known: known.as_deref(),
            series: &applied,
            arguments,
            dockerfile,
            libraries: &ingredients.libraries,
            constraints: ingredients.constraints.as_deref(),
            bases: bases
                .map(|(name, image)| (name, BaseImage::Pinned(image)))
                .collect(),
            requested: requested.as_deref(),
        }))
    });
    described.await?.map_err(|error| match error {
        RecipeError::Image(error) => registry_failure(&error),
        RecipeError::Plan(failure) => failure,
    })
}
