//! Publishes what an image is built from, and plans its build.

use std::collections::BTreeMap;
use std::sync::Arc;

use pep440_rs::Version;

use super::apply;
use super::resolve::Gathered;
use crate::api::build::{Build, BuildStatus};
use crate::api::{PatchSet, reason};
use crate::controller::context::failures::of_registry;
use crate::controller::context::{Context, Pace};
use crate::controller::inputs::folder::Folder;
use crate::controller::inputs::ingredients::Ingredients;
use crate::controller::inputs::registries::in_time;
use crate::controller::inputs::upstreams::blocking;
use crate::controller::inputs::{folder, patches};
use crate::patch::{self, MemoryStore, PatchInput, Sequence};
use crate::plan::build::{CONSTRAINTS, Published};
use crate::plan::contexts::Contexts;
use crate::plan::{self, Failure, Step};
use crate::publish::image::{About, PatchId};
use crate::publish::layer::Contents;
use crate::publish::python::version;
use crate::publish::source_image::{self, SourceImage};
use crate::publish::{self, Registry};
use crate::source::Snapshot;

/// Pushes the patched tree where the registry lacks it, and plans the build.
pub async fn publish(
    patch_set: &PatchSet,
    build: &Build,
    context: &Arc<Context>,
    registry: &Arc<Registry>,
    gathered: Gathered,
    ingredients: Ingredients,
    pace: Pace,
) -> Result<BuildStatus, Failure> {
    let spec = &patch_set.spec;
    let options = apply::options(&gathered);
    let Gathered {
        upstream,
        resolved,
        located,
        requested,
        ..
    } = gathered;
    let args = match &build.extra_packages_from {
        None => BTreeMap::new(),
        Some(from) => {
            let bytes = patches::read_beside(context, &located, &from.path, pace.deadline).await?;
            plan::contexts::arguments(&from.path, &bytes, &spec.component.0)?
        }
    };
    let patches = patches::read(context, located, pace.deadline).await?;
    let (ref_, commit) = (
        resolved
            .revision()
            .name()
            .map_or_else(|| resolved.commit().to_string(), ToOwned::to_owned),
        resolved.commit().to_string(),
    );
    let version = version(build.source.version.as_deref(), resolved.revision().tag()).map_err(|told| {
        Failure::stalled(
            Step::Build,
            reason::INVALID_SPEC,
            format!("build.source.version: {told:?} is no version (PEP 440)"),
        )
    })?;
    let about = About {
        component: Some(spec.component.0.clone()),
        release: Some(spec.release.0.clone()),
        source: Some(upstream.url().to_string()),
        revision: Some(resolved.revision().to_string()),
        version: version.as_ref().map(ToString::to_string),
        tree: None,
        patches: patches
            .iter()
            .map(|patch| PatchId::new(&patch.name, &patch.bytes))
            .collect(),
    };
    let repository = build.source.repository.0.clone();
    let (applied, deadline, known_version) = (patches.len(), pace.deadline, version.clone());
    let made = blocking(context, "the upstream", deadline, move |mirrors| {
        let snapshot = mirrors.snapshot(&upstream, &resolved, deadline)?;
        Ok(source(
            &repository,
            snapshot,
            &patches,
            &options,
            known_version.as_ref(),
            about,
        ))
    })
    .await?;
    let source = made.map_err(|error| of_registry(&error))?;
    let distributions = distributions(&spec.component.0, source.distribution.as_ref(), &ingredients);
    // What cannot be built is said before anything is pushed.
    let mut contexts = contexts(patch_set, build, &args, &ingredients, &distributions)?;
    let pushed = source.push(registry);
    let pushed = in_time(pace, "publishing the source", pushed).await?;
    let dockerfile = match &ingredients.dockerfile {
        None => None,
        Some(folder) => Some(dockerfile(build, context, registry, folder.clone(), pace).await?),
    };
    if let Some(text) = contexts.constraints.take() {
        let (repository, release) = (&build.source.repository.0, &spec.release.0);
        let image = source_image::constraints(repository, CONSTRAINTS, release, text);
        let pushed = image.map_err(|error| of_registry(&error))?.push(registry);
        let pushed = in_time(pace, "publishing the constraints", pushed).await?;
        contexts.images.insert(CONSTRAINTS.to_owned(), pushed.reference);
    }
    let version = version.map(|version| version.to_string());
    plan::build::plan(
        build,
        Published {
            component: &spec.component.0,
            release: &spec.release.0,
            ref_: &ref_,
            commit: &commit,
            version: version.as_deref(),
            patches: applied,
            source: &pushed.reference,
            dockerfile: dockerfile.as_deref(),
            contexts: &contexts.images,
            args: &args,
            requested: requested.as_deref(),
        },
    )
    .map(|planned| BuildStatus {
        distributions,
        ..planned
    })
    .map_err(|error| Failure::stalled(Step::Build, reason::INVALID_SPEC, error.to_string()))
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

/// The contexts besides the component's own.
fn contexts(
    patch_set: &PatchSet,
    build: &Build,
    args: &BTreeMap<String, String>,
    ingredients: &Ingredients,
    distributions: &BTreeMap<String, String>,
) -> Result<Contexts, Failure> {
    let libraries: Vec<_> = ingredients
        .libraries
        .iter()
        .map(|library| (library.component.as_str(), library.source.as_str()))
        .collect();
    let mut args = args.clone();
    args.extend(build.args.clone());
    plan::contexts::contexts(plan::contexts::Ingredients {
        component: &patch_set.spec.component.0,
        libraries: &libraries,
        distributions,
        bases: &ingredients.bases,
        constraints: ingredients.constraints.as_deref(),
        args: &args,
    })
}

/// Publishes the folder with the Dockerfile, and gives it by its digest.
async fn dockerfile(
    build: &Build,
    context: &Arc<Context>,
    registry: &Registry,
    folder: Folder,
    pace: Pace,
) -> Result<String, Failure> {
    let repository = build.source.repository.0.clone();
    let made = match folder {
        Folder::Given(files) => source_image::dockerfile(
            &repository,
            Contents { tree: None, files },
            Arc::new(MemoryStore::new()),
        ),
        Folder::Git {
            upstream,
            resolved,
            path,
        } => {
            let deadline = pace.deadline;
            blocking(context, folder::REPOSITORY, deadline, move |mirrors| {
                let snapshot = mirrors.snapshot(&upstream, &resolved, deadline)?;
                let contents = Contents {
                    tree: Some(snapshot.folder(&path)?),
                    files: Vec::new(),
                };
                Ok(source_image::dockerfile(
                    &repository,
                    contents,
                    Arc::new(snapshot),
                ))
            })
            .await?
        }
    };
    let pushed = made.map_err(|error| of_registry(&error))?.push(registry);
    let pushed = in_time(pace, "publishing the Dockerfile", pushed).await?;
    Ok(pushed.reference)
}

/// The source image of a patched tree.
fn source(
    repository: &str,
    snapshot: Snapshot,
    patches: &[PatchInput],
    options: &patch::Options,
    version: Option<&Version>,
    about: About,
) -> Result<SourceImage, publish::Error> {
    let series = patch::apply(&snapshot, snapshot.tree_id(), patches, Sequence::Stacked, options)
        .map_err(|error| publish::Error::Patches(error.to_string()))?;
    source_image::patched(repository, Arc::new(snapshot), &series, version, about)
}
