//! Publishes what an image is built from, and plans its build.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check;
use super::context::{Context, Pace};
use super::folder::Folder;
use super::gather::Gathered;
use super::ingredients::{Ingredients, Library};
use super::patches;
use super::registries::{in_time, of};
use super::upstreams::blocking;
use crate::api::build::{Build, BuildStatus};
use crate::api::extra_packages::ExtraPackages;
use crate::api::{PatchSet, reason};
use crate::constraints;
use crate::patch::{self, Layered, NoObjects, Objects, Sequence};
use crate::plan::build::{CONSTRAINTS, Published, plan};
use crate::plan::{Failure, Step, pins};
use crate::publish::image::{About, Image, PatchId};
use crate::publish::layer::{self, Contents, File};
use crate::publish::python::{VersionFile, distribution, version_file, version_of_tag};
use crate::publish::{self, Registry};

/// The file in the context that holds the constraints, by the name that builds mount it under.
const FILE: &str = "upper-constraints.txt";

/// Pushes the patched tree where the registry lacks it, and plans the build.
pub(super) async fn publish(
    patch_set: &PatchSet,
    build: &Build,
    context: &Arc<Context>,
    registry: &Arc<Registry>,
    gathered: Gathered,
    ingredients: Ingredients,
    pace: Pace,
) -> Result<BuildStatus, Failure> {
    let spec = &patch_set.spec;
    let options = check::options(&gathered);
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
            arguments(&from.path, &bytes, &spec.component.0)?
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
    let version = match &build.source.version {
        Some(text) => Some(text.parse().map_err(|_| {
            Failure::stalled(
                Step::Build,
                reason::INVALID_SPEC,
                format!("build.source.version: {text:?} is no version (PEP 440)"),
            )
        })?),
        None => version_of_tag(&ref_),
    };
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
        Ok(image_of(
            snapshot,
            &patches,
            &options,
            known_version.as_ref(),
            about,
        ))
    })
    .await?;
    let (image, contents, objects, distribution) = made.map_err(|error| of(&error))?;
    let distributions = distributions(&spec.component.0, distribution, &ingredients.libraries);
    let constraints = constraints(patch_set, build, &args, &ingredients, &distributions)?;
    let tree = contents.tree.map(|tree| tree.to_string()).unwrap_or_default();
    let digits = short(&image);
    // The tree and what is said of it: another revision with the same tree is another image with the same layer.
    let reference = format!("{repository}:tree-{tree}-{digits}");
    let pushed = registry.push(&reference, &image, &contents, Arc::new(objects));
    let pushed = in_time(pace, "publishing the source", pushed).await?;
    let dockerfile = match &ingredients.dockerfile {
        None => None,
        Some(folder) => Some(dockerfile(build, context, registry, folder.clone(), pace).await?),
    };
    let mut contexts = contexts(patch_set, ingredients)?;
    if let Some(text) = constraints {
        let image = publish_constraints(patch_set, build, registry, text, pace).await?;
        contexts.insert(CONSTRAINTS.to_owned(), image);
    }
    let version = version.map(|version: pep440_rs::Version| version.to_string());
    let planned = plan(
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
            contexts: &contexts,
            args: &args,
            requested: requested.as_deref(),
        },
    )
    .map_err(|error| Failure::stalled(Step::Build, reason::INVALID_SPEC, error.to_string()))?;
    Ok(BuildStatus {
        distributions,
        ..planned
    })
}

/// The names of the Python distributions that contexts are the source of.
fn distributions(component: &str, own: Option<String>, libraries: &[Library]) -> BTreeMap<String, String> {
    let own = own.map(|name| (component.to_owned(), name));
    let of_libraries = libraries
        .iter()
        .filter_map(|library| Some((library.component.clone(), library.distribution.clone()?)));
    of_libraries.chain(own).collect()
}

/// The constraints without the pins of what is built from source, under the names of its contexts and distributions.
///
/// # Errors
///
/// Where something would stay pinned.
fn constraints(
    patch_set: &PatchSet,
    build: &Build,
    args: &BTreeMap<String, String>,
    ingredients: &Ingredients,
    distributions: &BTreeMap<String, String>,
) -> Result<Option<String>, Failure> {
    let component = patch_set.spec.component.0.as_str();
    let libraries = ingredients
        .libraries
        .iter()
        .map(|library| library.component.as_str());
    let all = distributions.values().map(String::as_str);
    let from_source = pins::names(std::iter::once(component).chain(libraries).chain(all));
    let invalid = |error: constraints::Error| {
        Failure::retried(Step::Build, reason::INVALID_CONSTRAINTS, error.to_string())
    };
    let text = ingredients
        .constraints
        .as_ref()
        .map(|text| pins::without(text, &from_source))
        .transpose()
        .map_err(invalid)?;
    let mut args = args.clone();
    args.extend(build.args.clone());
    let left = pins::left(text.as_deref(), &args, &from_source).map_err(invalid)?;
    if left.is_empty() {
        return Ok(text);
    }
    Err(Failure::stalled(
        Step::Build,
        reason::STILL_PINNED,
        format!(
            "what is built from source would stay pinned, and pip and uv would put the stock wheel in its place: {}; take that away",
            left.into_iter().take(8).collect::<Vec<_>>().join("; ")
        ),
    ))
}

/// The arguments that an `extra-packages.yaml` has for a component.
fn arguments(path: &str, bytes: &[u8], component: &str) -> Result<BTreeMap<String, String>, Failure> {
    let invalid = |why: &dyn std::fmt::Display| {
        Failure::retried(Step::Build, reason::INVALID_REFERENCE, format!("{path} {why}"))
    };
    let text = std::str::from_utf8(bytes).map_err(|_| invalid(&"is not UTF-8"))?;
    let packages = ExtraPackages::parse(text).map_err(|error| invalid(&error))?;
    Ok(packages.arguments(component))
}

/// The contexts besides the component's own and the constraints.
fn contexts(patch_set: &PatchSet, ingredients: Ingredients) -> Result<BTreeMap<String, String>, Failure> {
    let component = &patch_set.spec.component.0;
    let mut contexts = BTreeMap::new();
    for library in ingredients.libraries {
        let name = library.component;
        if name == *component || contexts.insert(name.clone(), library.source).is_some() {
            return Err(Failure::stalled(
                Step::Build,
                reason::INVALID_SPEC,
                format!("libraries: two sources are called {name}, and each context needs a name of its own"),
            ));
        }
    }
    for (name, image) in ingredients.bases {
        if name == *component || name == CONSTRAINTS || contexts.contains_key(&name) {
            return Err(Failure::stalled(
                Step::Build,
                reason::INVALID_SPEC,
                format!("build.contexts: {name} is the name of a context that the build has already"),
            ));
        }
        contexts.insert(name, image);
    }
    Ok(contexts)
}

/// Publishes constraints, and gives them by their digest.
async fn publish_constraints(
    patch_set: &PatchSet,
    build: &Build,
    registry: &Registry,
    text: String,
    pace: Pace,
) -> Result<String, Failure> {
    let contents = Contents {
        tree: None,
        files: vec![File {
            name: FILE.to_owned(),
            content: text.into_bytes(),
        }],
    };
    let about = About {
        component: Some(CONSTRAINTS.to_owned()),
        release: Some(patch_set.spec.release.0.clone()),
        ..About::default()
    };
    let image = layer::measure(&NoObjects, &contents)
        .and_then(|layer| Image::new(layer, &about).map_err(|error| publish::Error::Write(error.into())))
        .map_err(|error| of(&error))?;
    let reference = format!("{}:constraints-{}", build.source.repository.0, short(&image));
    let pushed = registry.push(&reference, &image, &contents, Arc::new(NoObjects));
    let pushed = in_time(pace, "publishing the constraints", pushed).await?;
    Ok(pushed.reference)
}

/// Publishes the folder with the Dockerfile, and gives it by its digest.
async fn dockerfile(
    build: &Build,
    context: &Arc<Context>,
    registry: &Registry,
    folder: Folder,
    pace: Pace,
) -> Result<String, Failure> {
    let repository = &build.source.repository.0;
    let about = About {
        component: Some("dockerfile".to_owned()),
        ..About::default()
    };
    let described = move |contents: Contents, objects: Arc<dyn Objects + Send + Sync>| {
        let layer = layer::measure(&*objects, &contents)?;
        let image = Image::new(layer, &about).map_err(|error| publish::Error::Write(error.into()))?;
        Ok((image, contents, objects))
    };
    let made: Result<Described, publish::Error> = match folder {
        Folder::Given(files) => described(Contents { tree: None, files }, Arc::new(NoObjects)),
        Folder::Git {
            upstream,
            resolved,
            path,
        } => {
            let deadline = pace.deadline;
            blocking(context, "the Dockerfile's repository", deadline, move |mirrors| {
                let snapshot = mirrors.snapshot(&upstream, &resolved, deadline)?;
                let contents = Contents {
                    tree: Some(snapshot.folder(&path)?),
                    files: Vec::new(),
                };
                Ok(described(contents, Arc::new(snapshot)))
            })
            .await?
        }
    };
    let (image, contents, objects) = made.map_err(|error| of(&error))?;
    let reference = format!("{repository}:dockerfile-{}", short(&image));
    let pushed = registry.push(&reference, &image, &contents, objects);
    let pushed = in_time(pace, "publishing the Dockerfile", pushed).await?;
    Ok(pushed.reference)
}

/// An image with what its layer is written from.
type Described = (Image, Contents, Arc<dyn Objects + Send + Sync>);

/// The first digits of an image's digest, for its tag.
fn short(image: &Image) -> String {
    image
        .manifest
        .1
        .trim_start_matches("sha256:")
        .chars()
        .take(12)
        .collect()
}

/// The source image of a patched tree, with what its layer is written from, and the name of the Python distribution that it is.
fn image_of(
    snapshot: crate::source::Snapshot,
    patches: &[patch::PatchInput],
    options: &patch::Options,
    version: Option<&pep440_rs::Version>,
    about: About,
) -> Result<(Image, Contents, Layered, Option<String>), publish::Error> {
    let base = snapshot.tree_id();
    let snapshot = Arc::new(snapshot);
    let series = patch::apply(&*snapshot, base, patches, Sequence::Stacked, options)
        .map_err(|error| publish::Error::Patches(error.to_string()))?;
    let mut objects = Layered::over(snapshot);
    let tree = series.write(&mut objects)?;
    let files = match version_file(&objects, tree, version)? {
        VersionFile::Add(files) => files,
        VersionFile::NotNeeded | VersionFile::Unknown { .. } => Vec::new(),
    };
    let contents = Contents {
        tree: Some(tree),
        files,
    };
    let about = About {
        tree: Some(tree.to_string()),
        ..about
    };
    let image = Image::new(layer::measure(&objects, &contents)?, &about)
        .map_err(|error| publish::Error::Write(error.into()))?;
    let distribution = distribution(&objects, tree)?;
    Ok((image, contents, objects, distribution))
}
