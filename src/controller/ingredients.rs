//! What an image is built from besides the component: patched libraries, and constraints without their pins.

use kube::ResourceExt;
use kube::core::ObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store};

use super::context::Context;
use super::reconciler::{Guarded, Reconciled};
use crate::api::patch_set::Level;
use crate::api::reason::{self, condition};
use crate::api::{ConstraintOverride, PatchSet};
use crate::constraints::digest;
use crate::plan::lifecycle::Observed;
use crate::plan::{Failure, Step, conditions};

/// A patched library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Library {
    /// The component, which is the name of its context.
    pub(super) component: String,
    /// Its source image by digest.
    pub(super) source: String,
}

/// What an image is built from besides the component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ingredients {
    pub(super) libraries: Vec<Library>,
    /// The merged constraints, where there are any.
    pub(super) constraints: Option<Vec<u8>>,
}

impl Ingredients {
    /// What identifies them, for the digest over all inputs.
    pub(super) fn identity(&self) -> Vec<String> {
        let libraries = self
            .libraries
            .iter()
            .flat_map(|library| [library.component.clone(), library.source.clone()]);
        libraries
            .chain(self.constraints.iter().map(|text| digest(text)))
            .collect()
    }
}

/// Finds the libraries and constraints that a spec names.
///
/// # Errors
///
/// A failure to be retried where one is not there, or not ready: its change is taken up at once.
pub(super) async fn find(patch_set: &PatchSet, context: &Context) -> Result<Ingredients, Failure> {
    let namespace = patch_set.namespace().unwrap_or_default();
    let mut libraries = Vec::new();
    for reference in &patch_set.spec.libraries {
        libraries.push(library(&namespace, &reference.name, context)?);
    }
    let constraints = match &patch_set.spec.constraints {
        None => None,
        Some(reference) => Some(constraints(&namespace, &reference.name, context).await?),
    };
    Ok(Ingredients {
        libraries,
        constraints,
    })
}

fn library(namespace: &str, name: &str, context: &Context) -> Result<Library, Failure> {
    let object = get(&context.patch_sets, namespace, name)?;
    let not_ready = |why: &str| not_ready::<PatchSet>(namespace, name, why);
    if object.spec.level != Level::Library {
        return Err(Failure::stalled(
            Step::Build,
            reason::INVALID_SPEC,
            format!("libraries: PatchSet {namespace}/{name} is no library: set its level to Library"),
        ));
    }
    if object.spec.build.is_none() {
        return Err(not_ready("it has no build.source to be taken from"));
    }
    let status = object.status.clone().unwrap_or_default();
    is_current(&object.metadata, &status, condition::READY).map_err(|why| not_ready(&why))?;
    let component = object.spec.component.0.clone();
    let source = status
        .build
        .and_then(|build| build.contexts.get(&component).cloned());
    Ok(Library {
        source: source.ok_or_else(|| not_ready("its source is not published yet"))?,
        component,
    })
}

async fn constraints(namespace: &str, name: &str, context: &Context) -> Result<Vec<u8>, Failure> {
    let object = get(&context.constraint_overrides, namespace, name)?;
    let not_ready = |why: &str| not_ready::<ConstraintOverride>(namespace, name, why);
    let status = object.status.clone().unwrap_or_default();
    is_current(&object.metadata, &status, condition::CONSTRAINTS_MERGED).map_err(|why| not_ready(&why))?;
    let file = status
        .config_map
        .ok_or_else(|| not_ready("its file is not written yet"))?;
    let data = context.references.config_map(namespace, &file.name).await?;
    match data.get(&file.key) {
        Some(text) if digest(text) == file.digest => Ok(text.clone()),
        _ => Err(not_ready("its ConfigMap is not what its status says")),
    }
}

/// An object as the watch last showed it.
fn get<K: Reconciled>(store: &Store<Guarded<K>>, namespace: &str, name: &str) -> Result<K, Failure> {
    let found = store.get(&ObjectRef::new(name).within(namespace));
    found
        .and_then(|object| object.0.as_ref().ok().cloned())
        .ok_or_else(|| {
            Failure::retried(
                Step::Build,
                reason::REFERENCE_NOT_FOUND,
                format!(
                    "{} {namespace}/{name} does not exist; it is taken up as soon as it is there",
                    K::KIND
                ),
            )
        })
}

fn not_ready<K: Reconciled>(namespace: &str, name: &str, why: &str) -> Failure {
    Failure::retried(
        Step::Build,
        reason::DEPENDENCY_NOT_READY,
        format!("{} {namespace}/{name} is not ready: {why}", K::KIND),
    )
}

/// Whether a condition holds for the spec as it is now.
fn is_current(metadata: &ObjectMeta, status: &impl Observed, type_: &str) -> Result<(), String> {
    match conditions::find(status.conditions(), type_) {
        None => Err("it was not looked at yet".to_owned()),
        Some(found) if found.observed_generation != metadata.generation => {
            Err("its newest generation was not looked at yet".to_owned())
        }
        Some(found) if found.status == conditions::Truth::True.as_str() => Ok(()),
        Some(found) => Err(found.message.clone()),
    }
}
