//! Publishes patched source, and looks for the image that is built from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;

use super::check;
use super::context::{Context, Pace};
use super::gather::Gathered;
use super::ingredients::{Ingredients, Lack, Library};
use super::patches;
use super::upstreams::blocking;
use crate::api::build::{Build, BuildStatus};
use crate::api::extra_packages::ExtraPackages;
use crate::api::status::PatchSetStatus;
use crate::api::{PatchSet, reason};
use crate::constraints::{self, ConstraintsFile, Overrides, PackageName};
use crate::patch::{self, Layered, NoObjects, Sequence};
use crate::plan::build::{CONSTRAINTS, INPUTS_LABEL, Published, image, is_built, plan, reasons};
use crate::plan::patch_set::Built;
use crate::plan::{Failure, Step};
use crate::publish::image::{About, Image, PatchId};
use crate::publish::layer::{self, Contents, File};
use crate::publish::python::{VersionFile, version_file, version_of_tag};
use crate::publish::{self, Credentials, Registry, RegistryConfig};

/// The file in the context that holds the constraints, by the name that builds mount it under.
const FILE: &str = "upper-constraints.txt";

/// The key of a Secret of type `kubernetes.io/dockerconfigjson`.
const DOCKER_CONFIG: &str = ".dockerconfigjson";

/// Publishes the source where that was not done yet, and looks for the image.
pub(super) async fn build(
    patch_set: &PatchSet,
    context: &Arc<Context>,
    known: &PatchSetStatus,
    gathered: Gathered,
    planned: Option<BuildStatus>,
    pace: Pace,
) -> Built {
    let Some(build) = &patch_set.spec.build else {
        return Built::Nothing;
    };
    let ingredients = match gathered.ingredients.clone() {
        Ok(ingredients) => ingredients,
        Err(Lack::Pending(message)) => return Built::Waiting(message),
        Err(Lack::Failed(failure)) => return Built::Failed(failure, None),
    };
    let registry = match registry(patch_set, build, context).await {
        Ok(registry) => Arc::new(registry),
        Err(failure) => return Built::Failed(failure, planned),
    };
    let revision = gathered.resolved.revision().to_string();
    let planned = if let Some(planned) = planned {
        planned
    } else {
        let commit = gathered.resolved.commit().to_string();
        let moved = known
            .upstream
            .as_ref()
            .is_none_or(|upstream| upstream.commit != commit);
        match publish(patch_set, build, context, &registry, gathered, ingredients, pace).await {
            Ok(planned) => BuildStatus {
                reasons: reasons(known.build.as_ref(), &planned, &patch_set.spec.component.0, moved),
                ..planned
            },
            Err(failure) => return Built::Failed(failure, None),
        }
    };
    let Some(target) = planned.target.clone() else {
        return Built::Published(planned);
    };
    if is_built(known, &planned)
        && let Some(image) = &known.image
    {
        return Built::Image(planned, image.clone());
    }
    match look(&registry, &planned, &target, pace).await {
        Ok(None) => Built::Awaited(planned, target),
        Ok(Some(digest)) => {
            let image = image(&planned, &target, &digest, &revision);
            Built::Image(planned, image)
        }
        Err(failure) => Built::Failed(failure, Some(planned)),
    }
}

/// The digest of the image that was planned, once the registry has it.
async fn look(
    registry: &Registry,
    planned: &BuildStatus,
    target: &str,
    pace: Pace,
) -> Result<Option<String>, Failure> {
    let looked = tokio::time::timeout_at(pace.deadline.into(), registry.inspect(target)).await;
    let found = looked
        .map_err(|_| timed_out("looking for the image"))?
        .map_err(|error| of(&error))?;
    match found {
        None => Ok(None),
        Some(found) if found.labels.get(INPUTS_LABEL) == Some(&planned.inputs_digest) => {
            Ok(Some(found.digest))
        }
        Some(found) => Err(Failure::retried(
            Step::Build,
            reason::TAG_TAKEN,
            taken(planned, target, found.labels.get(INPUTS_LABEL)),
        )),
    }
}

fn taken(status: &BuildStatus, target: &str, inputs: Option<&String>) -> String {
    let what = match inputs {
        Some(inputs) => format!("is built from {inputs}"),
        None => format!("has no label {INPUTS_LABEL}"),
    };
    format!(
        "the registry has {target}, which {what}, and not from {0}: build it with --label {INPUTS_LABEL}={0}, or use {{inputs}} in build.image.tag",
        status.inputs_digest
    )
}

async fn registry(patch_set: &PatchSet, build: &Build, context: &Context) -> Result<Registry, Failure> {
    let namespace = patch_set.namespace().unwrap_or_default();
    let credentials = match &build.secret_ref {
        None => Credentials::default(),
        Some(secret) => {
            let data = context.references.secret(&namespace, &secret.name).await?;
            let wrong = |message: String| Failure::retried(Step::Build, reason::INVALID_REFERENCE, message);
            let document = data.get(DOCKER_CONFIG).ok_or_else(|| {
                wrong(format!(
                    "Secret {namespace}/{} has no key {DOCKER_CONFIG}",
                    secret.name
                ))
            })?;
            Credentials::parse(&format!("Secret {namespace}/{}", secret.name), document)
                .map_err(|error| wrong(error.to_string()))?
        }
    };
    let config = RegistryConfig {
        plain_http: context.options.plain_http_registry.clone(),
        // The reconciliation is repeated with waits of its own.
        retries: 1,
        ..RegistryConfig::default()
    };
    Ok(Registry::new(config, credentials))
}

/// Pushes the patched tree where the registry lacks it, and plans the build.
async fn publish(
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
    let (image, contents, objects) = made.map_err(|error| of(&error))?;
    let tree = contents.tree.map(|tree| tree.to_string()).unwrap_or_default();
    let digits = short(&image);
    // The tree and what is said of it: another revision with the same tree is another image with the same layer.
    let reference = format!("{repository}:tree-{tree}-{digits}");
    let pushed = registry.push(&reference, &image, &contents, Arc::new(objects));
    let pushed = tokio::time::timeout_at(deadline.into(), pushed)
        .await
        .map_err(|_| timed_out("publishing the source"))?
        .map_err(|error| of(&error))?;
    let contexts = contexts(patch_set, build, registry, ingredients, pace).await?;
    let version = version.map(|version: pep440_rs::Version| version.to_string());
    plan(
        build,
        Published {
            component: &spec.component.0,
            release: &spec.release.0,
            ref_: &ref_,
            commit: &commit,
            version: version.as_deref(),
            patches: applied,
            source: &pushed.reference,
            contexts: &contexts,
            args: &args,
        },
    )
    .map_err(|error| Failure::stalled(Step::Build, reason::INVALID_SPEC, error.to_string()))
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

/// The contexts besides the component's own: libraries, and constraints without the pins of what is built from source.
async fn contexts(
    patch_set: &PatchSet,
    build: &Build,
    registry: &Registry,
    ingredients: Ingredients,
    pace: Pace,
) -> Result<BTreeMap<String, String>, Failure> {
    let component = &patch_set.spec.component.0;
    let mut contexts = BTreeMap::new();
    for Library {
        component: name,
        source,
    } in &ingredients.libraries
    {
        if name == component || contexts.insert(name.clone(), source.clone()).is_some() {
            return Err(Failure::stalled(
                Step::Build,
                reason::INVALID_SPEC,
                format!("libraries: two sources are called {name}, and each context needs a name of its own"),
            ));
        }
    }
    let Some(text) = ingredients.constraints else {
        return Ok(contexts);
    };
    let from_source: Vec<PackageName> = std::iter::once(component)
        .chain(contexts.keys())
        .filter_map(|name| name.parse().ok())
        .collect();
    let invalid = |error: constraints::Error| {
        Failure::retried(Step::Build, reason::INVALID_CONSTRAINTS, error.to_string())
    };
    let base = ConstraintsFile::parse(&text).map_err(invalid)?;
    let none = Overrides::parse(b"").map_err(invalid)?;
    let merged = constraints::merge(&base, &none, &from_source).map_err(invalid)?;
    let contents = Contents {
        tree: None,
        files: vec![File {
            name: FILE.to_owned(),
            content: merged.text.into_bytes(),
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
    let pushed = tokio::time::timeout_at(pace.deadline.into(), pushed)
        .await
        .map_err(|_| timed_out("publishing the constraints"))?
        .map_err(|error| of(&error))?;
    contexts.insert(CONSTRAINTS.to_owned(), pushed.reference);
    Ok(contexts)
}

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

/// The source image of a patched tree, with what its layer is written from.
fn image_of(
    snapshot: crate::source::Snapshot,
    patches: &[patch::PatchInput],
    options: &patch::Options,
    version: Option<&pep440_rs::Version>,
    about: About,
) -> Result<(Image, Contents, Layered), publish::Error> {
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
    Ok((image, contents, objects))
}

fn timed_out(what: &str) -> Failure {
    Failure::retried(
        Step::Build,
        reason::TIMED_OUT,
        format!("{what}: not done within spec.timeout"),
    )
}

/// What an error of a registry means for an object.
fn of(error: &publish::Error) -> Failure {
    use publish::Error as E;
    let message = error.to_string();
    match error {
        E::Authentication { .. } => Failure::retried(Step::Build, reason::AUTHENTICATION_FAILED, message),
        E::Unavailable { .. } => Failure::retried(Step::Build, reason::UNREACHABLE, message),
        E::TagTaken { .. } => Failure::retried(Step::Build, reason::TAG_TAKEN, message),
        E::Hostile { .. } | E::TooLarge { .. } => Failure::stalled(Step::Build, reason::TOO_LARGE, message),
        E::Reference { .. } => Failure::stalled(Step::Build, reason::INVALID_SPEC, message),
        E::Credentials { .. } => Failure::retried(Step::Build, reason::INVALID_REFERENCE, message),
        E::Refused { .. } => Failure::retried(Step::Build, reason::REGISTRY_REFUSED, message),
        E::Object(_) | E::Write(_) | E::Patches(_) => {
            Failure::retried(Step::Build, reason::STORAGE_FAILED, message)
        }
    }
}
