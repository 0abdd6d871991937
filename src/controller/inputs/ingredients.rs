//! What an image is built from besides the component: patched libraries, and constraints without
//! their pins.

use std::collections::BTreeMap;
use std::sync::Arc;

use image_references::ImageReference;
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use patchset_api::conditions::{self, Truth};
use patchset_api::constraint_override::OverrideStatus;
use patchset_api::patch_set::Level;
use patchset_api::reason::{self, condition};
use patchset_api::referent::ObjectKey;
use patchset_api::{ConstraintOverride, PatchSet};
use upper_constraints::digest;

use super::folder::{self, LocatedFolder};
use super::registries;
use crate::controller::context::kind::Reconciled;
use crate::controller::context::{Budget, Context};
use crate::controller::state::api_server::{Guarded, find as find_watched};
use crate::plan::lifecycle::Observed;
use crate::plan::{Failure, Step};
use crate::recipe::Library;
use crate::recipe::libraries::{self, LibrariesError};

/// What an image is built from besides the component.
#[derive(Clone, Debug)]
pub struct Ingredients {
    pub libraries: Vec<Library>,
    /// The merged constraints, where there are any.
    pub constraints: Option<Vec<u8>>,
    /// What the overrides that are merged into them did.
    pub overrides: MergedOverrides,
    /// The folder with the Dockerfile, where there is one.
    pub dockerfile: Option<LocatedFolder>,
    /// The images of further named contexts, by their digests.
    pub bases: BTreeMap<String, ImageReference>,
}

impl Ingredients {
    /// What identifies them, for the digest over all inputs.
    pub fn identity(&self) -> Vec<String> {
        let libraries = self.libraries.iter().flat_map(|library| {
            let distribution = library.distribution.clone().unwrap_or_default();
            [
                library.component.clone(),
                library.source.to_string(),
                distribution,
            ]
        });
        let bases = self
            .bases
            .iter()
            .flat_map(|(name, image)| [name.clone(), image.as_given()]);
        libraries
            .chain(self.constraints.iter().map(|text| digest(text)))
            .chain(self.dockerfile.iter().map(folder::identity))
            .chain(bases)
            .collect()
    }
}

/// What overrides did, as the status of their object tells it.
#[derive(Clone, Debug, Default)]
pub struct MergedOverrides {
    /// The `ConstraintOverride`.
    pub name: String,
    pub results: Vec<OverrideStatus>,
    /// How many more there are, for which the status has no room.
    pub omitted: u32,
}

/// Why an image cannot be built yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotBuildable {
    /// Something is there, and its newest generation is still being looked at.
    Pending(String),
    /// Something is missing or at fault.
    Failed(Failure),
}

impl From<Failure> for NotBuildable {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Finds the libraries and constraints that a spec names.
///
/// # Errors
///
/// If one does not exist, or is not ready: its change is picked up at once.
pub async fn find(
    patch_set: &PatchSet,
    context: &Arc<Context>,
    budget: Budget<'_>,
) -> Result<Ingredients, NotBuildable> {
    let namespace = patch_set.namespace().unwrap_or_default();
    let mut libraries = Vec::new();
    for name in library_names(patch_set, &namespace, context)? {
        libraries.push(library(&ObjectKey::new(&namespace, name), context)?);
    }
    let (constraints, overrides) = match &patch_set.spec.constraints {
        None => (None, MergedOverrides::default()),
        Some(reference) => {
            let key = ObjectKey::new(&namespace, &reference.name);
            let (text, overrides) = constraints(&key, context).await?;
            (Some(text), overrides)
        }
    };
    let (mut dockerfile, mut bases) = (None, BTreeMap::new());
    if let Some(build) = &patch_set.spec.build {
        if let Some(source) = &build.dockerfile {
            let found = folder::locate(context, &namespace, source, budget).await;
            dockerfile = Some(found.map_err(|failure| failure.of_step(Step::Build))?);
        }
        for (name, image) in &build.contexts {
            let pinned = registries::pin_to_digest(patch_set, context, name, &image.0, budget).await?;
            bases.insert(name.clone(), pinned);
        }
    }
    Ok(Ingredients {
        libraries,
        constraints,
        overrides,
        dockerfile,
        bases,
    })
}

/// The libraries that a spec names, and those that they name.
fn library_names(patch_set: &PatchSet, namespace: &str, context: &Context) -> Result<Vec<String>, Failure> {
    let root = patch_set.name_any();
    let named = |patch_set: &PatchSet| {
        let libraries = patch_set.spec.libraries.iter();
        libraries.map(|reference| reference.name.clone()).collect()
    };
    // The watch may show the resource itself as it was before.
    let needs = |name: &str| match get_object(context, &context.patch_sets, &ObjectKey::new(namespace, name))
    {
        _ if name == root => named(patch_set),
        Ok(library) => named(&library),
        Err(_) => Vec::new(),
    };
    libraries::all_libraries(&root, &needs).map_err(|error| {
        let reason = match error {
            LibrariesError::Cycle(_) => reason::DEPENDENCY_CYCLE,
            LibrariesError::TooMany => reason::INVALID_SPEC,
        };
        Failure::stalled(Step::Build, reason, format!("libraries: {error}"))
    })
}

fn library(key: &ObjectKey, context: &Context) -> Result<Library, NotBuildable> {
    let object = get_object(context, &context.patch_sets, key)?;
    let not_ready = |why: &str| not_ready::<PatchSet>(key, why);
    if object.spec.level != Level::Library {
        return Err(Failure::stalled(
            Step::Build,
            reason::INVALID_SPEC,
            format!("libraries: PatchSet {key} is not a library: set its level to Library"),
        )
        .into());
    }
    if object.spec.build.is_none() {
        return Err(not_ready("it has no build.source to take it from").into());
    }
    let status = object.status.clone().unwrap_or_default();
    check_condition(&object, &status, condition::READY)?;
    let component = object.spec.component.0.clone();
    let mut build = status.build.unwrap_or_default();
    let source = build.contexts.remove(&component);
    let source = source.ok_or_else(|| not_ready("its source is not published yet"))?;
    Ok(Library {
        name: key.name.clone(),
        distribution: build.distributions.remove(&component),
        component,
        source,
    })
}

async fn constraints(key: &ObjectKey, context: &Context) -> Result<(Vec<u8>, MergedOverrides), NotBuildable> {
    let object = get_object(context, &context.constraint_overrides, key)?;
    let not_ready = |why: &str| not_ready::<ConstraintOverride>(key, why);
    let status = object.status.clone().unwrap_or_default();
    check_condition(&object, &status, condition::CONSTRAINTS_MERGED)?;
    let file = status
        .config_map
        .ok_or_else(|| not_ready("its file is not written yet"))?;
    let file_key = ObjectKey::new(&key.namespace, &file.name);
    let data = context.referents.config_map(&file_key).await?;
    match data.get(&file.key) {
        Some(text) if digest(text) == file.digest => Ok((
            text.clone(),
            MergedOverrides {
                name: key.name.clone(),
                results: status.results,
                omitted: status.omitted_results.unwrap_or_default(),
            },
        )),
        // Its watch and ours show the same change at different moments.
        _ => Err(NotBuildable::Pending(format!(
            "ConstraintOverride {key}: its file is being written"
        ))),
    }
}

/// An object as the watch last showed it.
fn get_object<K: Reconciled>(
    context: &Context,
    store: &Store<Guarded<K>>,
    key: &ObjectKey,
) -> Result<K, Failure> {
    let found = find_watched(store, key).and_then(|object| object.0.as_ref().ok().cloned());
    found.ok_or_else(|| {
        let missing = match &context.options.watch_label_selector {
            Some(selector) => format!(
                "is not among the objects that this controller looks after ({selector}): it has to be in the same shard"
            ),
            None => "does not exist".to_owned(),
        };
        let message = format!(
            "{} {key} {missing}; it will be picked up as soon as it is there",
            K::KIND
        );
        Failure::retried(Step::Build, reason::REFERENCE_NOT_FOUND, message)
    })
}

fn not_ready<K: Reconciled>(key: &ObjectKey, why: &str) -> Failure {
    Failure::retried(
        Step::Build,
        reason::DEPENDENCY_NOT_READY,
        format!("{} {key} is not ready: {why}", K::KIND),
    )
}

/// Checks that a condition holds for the current spec.
fn check_condition<K: Reconciled>(
    object: &K,
    status: &impl Observed,
    type_: &str,
) -> Result<(), NotBuildable> {
    let (meta, key) = (object.meta(), ObjectKey::of_object(object));
    match conditions::find(status.conditions(), type_) {
        Some(found) if found.observed_generation == meta.generation => match found.status.parse() {
            Ok(Truth::True) => Ok(()),
            Ok(Truth::False) => Err(not_ready::<K>(&key, &found.message).into()),
            Ok(Truth::Unknown) | Err(_) => Err(NotBuildable::Pending(format!(
                "{} {key}: {}",
                K::KIND,
                found.message
            ))),
        },
        _ => Err(NotBuildable::Pending(format!(
            "{} {key} is being looked at",
            K::KIND
        ))),
    }
}
