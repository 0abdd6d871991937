//! Publishes what an image is built from, and plans its build.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use pep440_rs::Version;

use super::apply::AppliedSeries;
use crate::api::build::{Build, BuildStatus};
use crate::api::status::PatchSetStatus;
use crate::api::{PatchSet, reason};
use crate::controller::build::attempts::is_same;
use crate::controller::context::failures::of_registry;
use crate::controller::context::turn::Turn;
use crate::controller::inputs::folder::{self, Folder};
use crate::controller::inputs::image_references::image_reference;
use crate::controller::inputs::ingredients::{Ingredients, Lack};
use crate::controller::inputs::patches;
use crate::controller::inputs::registries::{in_time, registry};
use crate::controller::inputs::upstreams::blocking;
use crate::image::ImageReference;
use crate::patch::MemoryStore;
use crate::plan::build::{CONSTRAINTS, date, reasons};
use crate::plan::contexts::Contexts;
use crate::plan::lifecycle::Next;
use crate::plan::patch_set::{Built, Pending, is_planned, results_are_current};
use crate::plan::{self, Failure, Step};
use crate::publish::image::{About, PatchId};
use crate::publish::layer::Contents;
use crate::publish::python::component_version;
use crate::publish::source_image::{self, SourceImage};
use crate::publish::{Registry, TimedStore};

/// What an image is built from, and where it goes.
pub struct Plan {
    pub planned: BuildStatus,
    pub registry: Registry,
    pub ingredients: Ingredients,
}

/// Publishes what an image is built from, where all patches apply and the status does not tell that it was published before.
///
/// # Errors
///
/// What is told of the image instead, where none is asked for or it cannot be built yet.
pub async fn publish(turn: &Turn<'_, PatchSet>, series: &AppliedSeries) -> Result<Plan, Built> {
    let Some(build) = turn.object.spec.build.as_ref().filter(|_| series.all_pass(turn)) else {
        return Err(Built::Nothing);
    };
    let ingredients = match series.inputs.ingredients.clone() {
        Ok(ingredients) => ingredients,
        Err(Lack::Pending(message)) => {
            let waiting = Built::Waiting(Pending::new(reason::DEPENDENCY_NOT_READY, message, Next::Soon));
            return Err(waiting);
        }
        Err(Lack::Failed(failure)) => return Err(Built::Failed(failure, None)),
    };
    // What was published for the same inputs needs no second look, unless somebody asks for it.
    let status = turn.status();
    let is_current = results_are_current(&status, &series.found.sources.inputs_digest) && is_planned(&status);
    let known = status
        .build
        .clone()
        .filter(|_| is_current && !turn.budget.is_asked_for());
    let registry = match registry(turn.object, turn.context, turn.budget).await {
        Ok(registry) => registry,
        Err(failure) => return Err(Built::Failed(failure, known)),
    };
    let planned = if let Some(planned) = known {
        planned
    } else {
        let repository = image_reference(&build.source.repository.0);
        let publisher = Publisher {
            turn,
            build,
            registry: &registry,
            repository: repository.map_err(|failure| Built::Failed(failure, None))?,
            ingredients: &ingredients,
        };
        match publisher.publish(series).await {
            Ok(planned) => following(planned, &status, build, series, &turn.object.spec.component.0),
            Err(failure) => return Err(Built::Failed(failure, None)),
        }
    };
    Ok(Plan {
        planned,
        registry,
        ingredients,
    })
}

/// A plan with what follows from the build before it.
fn following(
    planned: BuildStatus,
    status: &PatchSetStatus,
    build: &Build,
    series: &AppliedSeries,
    component: &str,
) -> BuildStatus {
    let commit = series.inputs.resolved.commit().to_string();
    // Where patches did not apply in between, the status is at the new commit already, and the image is not.
    let has_moved = match (&status.image, &status.upstream) {
        (Some(image), _) => !image.revision.ends_with(&commit),
        (None, Some(upstream)) => upstream.commit != commit,
        (None, None) => true,
    };
    let before = status.build.as_ref();
    let same = before.filter(|before| is_same(before, &planned));
    let mut planned = BuildStatus {
        reasons: reasons(before, &planned, build, component, has_moved),
        attempt: same.and_then(|before| before.attempt.clone()),
        rejected: same.and_then(|before| before.rejected.clone()),
        ..planned
    };
    date(&mut planned, status, Timestamp::now());
    planned
}

/// Who publishes, and where.
struct Publisher<'a> {
    turn: &'a Turn<'a, PatchSet>,
    build: &'a Build,
    registry: &'a Registry,
    /// Where the images go.
    repository: ImageReference,
    ingredients: &'a Ingredients,
}

impl Publisher<'_> {
    /// Pushes what the registry lacks, and plans the build.
    async fn publish(&self, series: &AppliedSeries) -> Result<BuildStatus, Failure> {
        let (turn, build, resolved) = (self.turn, self.build, &series.inputs.resolved);
        let args = match &build.extra_packages_from {
            None => BTreeMap::new(),
            Some(from) => {
                let (located, deadline) = (&series.inputs.located, turn.budget.deadline);
                let bytes = patches::read_beside(turn.context, located, &from.path, deadline).await?;
                plan::contexts::arguments(&from.path, &bytes, &turn.object.spec.component.0)?
            }
        };
        let version = component_version(build.source.version.as_deref(), resolved.revision().tag()).map_err(
            |told| {
                Failure::stalled(
                    Step::Build,
                    reason::INVALID_SPEC,
                    format!("build.source.version: {told:?} is no version (PEP 440)"),
                )
            },
        )?;
        let source = self.source(series, version.as_ref()).await?;
        let (component, release) = (&turn.object.spec.component.0, &turn.object.spec.release.0);
        let distributions = distributions(component, source.distribution.as_ref(), self.ingredients);
        // What cannot be built is said before anything is pushed.
        let mut contexts = self.contexts(&args, &distributions)?;
        let pushed = Box::pin(source.push(self.registry));
        let pushed = in_time(turn.budget, "publishing the source", pushed).await?;
        let dockerfile = match &self.ingredients.dockerfile {
            None => None,
            Some(folder) => Some(self.dockerfile(folder.clone()).await?),
        };
        if let Some(text) = contexts.constraints.take() {
            let image = source_image::describe_constraints(&self.repository, CONSTRAINTS, release, text);
            let image = image.map_err(|error| of_registry(&error))?;
            let pushed = Box::pin(image.push(self.registry));
            let pushed = in_time(turn.budget, "publishing the constraints", pushed).await?;
            contexts
                .images
                .insert(CONSTRAINTS.to_owned(), pushed.reference.to_string());
        }
        let commit = resolved.commit().to_string();
        let planned = plan::build::plan(
            build,
            plan::build::Published {
                component,
                release,
                ref_: resolved.revision().name().unwrap_or(&commit),
                commit: &commit,
                version: version.map(|version| version.to_string()).as_deref(),
                patches: series.patches(turn).await?.len(),
                source: &pushed.reference.to_string(),
                dockerfile: dockerfile.as_deref(),
                contexts: &contexts.images,
                args: &args,
                requested: series.inputs.requested.as_deref(),
            },
        );
        let planned = planned
            .map_err(|error| Failure::stalled(Step::Build, reason::INVALID_SPEC, error.to_string()))?;
        Ok(BuildStatus {
            distributions,
            ..planned
        })
    }

    /// The source image of the patched tree.
    async fn source(
        &self,
        series: &AppliedSeries,
        version: Option<&Version>,
    ) -> Result<SourceImage, Failure> {
        let (turn, spec) = (self.turn, &self.turn.object.spec);
        let (upstream, resolved) = (series.inputs.upstream.clone(), series.inputs.resolved.clone());
        let read = series.patches(turn).await.map_err(Failure::of_build)?;
        let applied = series.onto_upstream(turn).await.map_err(Failure::of_build)?;
        let about = About {
            component: Some(spec.component.0.clone()),
            release: Some(spec.release.0.clone()),
            source: Some(upstream.url().to_string()),
            revision: Some(resolved.revision().to_string()),
            version: version.map(ToString::to_string),
            tree: None,
            patches: read
                .iter()
                .map(|patch| PatchId::new(&patch.name, &patch.bytes))
                .collect(),
        };
        let (repository, version) = (self.repository.clone(), version.cloned());
        let deadline = turn.budget.deadline;
        let made = blocking(turn.context, "the upstream", deadline, move |mirrors| {
            let snapshot = mirrors.snapshot(&upstream, &resolved, deadline)?;
            let tree = Arc::new(TimedStore::new(snapshot, deadline));
            let applied = applied.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(source_image::describe_patched_tree(
                &repository,
                tree,
                &applied,
                version.as_ref(),
                about,
            ))
        });
        made.await?.map_err(|error| of_registry(&error))
    }

    /// The contexts besides the component's own.
    fn contexts(
        &self,
        args: &BTreeMap<String, String>,
        distributions: &BTreeMap<String, String>,
    ) -> Result<Contexts, Failure> {
        let libraries = self.ingredients.libraries.iter();
        let libraries: Vec<_> = libraries
            .map(|library| (library.component.as_str(), library.source.as_str()))
            .collect();
        let mut args = args.clone();
        args.extend(self.build.args.clone());
        plan::contexts::contexts(plan::contexts::Ingredients {
            component: &self.turn.object.spec.component.0,
            libraries: &libraries,
            distributions,
            bases: &self.ingredients.bases,
            constraints: self.ingredients.constraints.as_deref(),
            args: &args,
        })
    }

    /// Publishes the folder with the Dockerfile, and gives it by its digest.
    async fn dockerfile(&self, folder: Folder) -> Result<String, Failure> {
        let repository = self.repository.clone();
        let made = match folder {
            Folder::Given(files) => source_image::describe_folder(
                &repository,
                Contents { tree: None, files },
                Arc::new(MemoryStore::new()),
            ),
            Folder::Git {
                upstream,
                resolved,
                path,
            } => {
                let deadline = self.turn.budget.deadline;
                blocking(self.turn.context, folder::REPOSITORY, deadline, move |mirrors| {
                    let snapshot = mirrors.snapshot(&upstream, &resolved, deadline)?;
                    let contents = Contents {
                        tree: Some(snapshot.folder(&path)?),
                        files: Vec::new(),
                    };
                    Ok(source_image::describe_folder(
                        &repository,
                        contents,
                        Arc::new(TimedStore::new(snapshot, deadline)),
                    ))
                })
                .await?
            }
        };
        let image = made.map_err(|error| of_registry(&error))?;
        let pushed = Box::pin(image.push(self.registry));
        let pushed = in_time(self.turn.budget, "publishing the Dockerfile", pushed).await?;
        Ok(pushed.reference.to_string())
    }
}

/// The names of the Python distributions that contexts are the source of.
fn distributions(
    component: &str,
    own: Option<&String>,
    ingredients: &Ingredients,
) -> BTreeMap<String, String> {
    let own = own.map(|name| (component.to_owned(), name.clone()));
    let of_libraries = ingredients
        .libraries
        .iter()
        .filter_map(|library| Some((library.component.clone(), library.distribution.clone()?)));
    of_libraries.chain(own).collect()
}
