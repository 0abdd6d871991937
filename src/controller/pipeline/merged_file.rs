//! The ConfigMap that holds merged constraints, and that the `ConstraintOverride` owns.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use patchset_api::constraint_override::MergedFile;
use patchset_api::referent::ObjectKey;
use patchset_api::{ConstraintOverride, reason};
use upper_constraints::digest;

use crate::controller::context::Context;
use crate::controller::state::api_server::controller_of;
use crate::controller::state::referents::Referents;
use crate::plan::constraint_override::current_merged_file;
use crate::plan::{Failure, Step};
use crate::status::FIELD_MANAGER;
use crate::status::limit::within_limit;

/// What the ConfigMap's name appends to the resource's.
const SUFFIX: &str = "-constraints";

/// The key: the name that builds mount the file under.
pub const KEY: &str = "upper-constraints.txt";

/// The longest name that an object may have (RFC 1123).
const LONGEST_NAME: usize = 253;

/// The name of a resource's ConfigMap.
pub fn name(resource: &str) -> String {
    format!("{resource}{SUFFIX}")
}

/// The resource whose ConfigMap has this name.
pub fn owner(config_map: &str) -> Option<&str> {
    config_map.strip_suffix(SUFFIX)
}

/// Whether the ConfigMap is there as it was written: owned by the resource, and with the same file.
pub async fn is_in_place(
    context: &Context,
    owner: &ConstraintOverride,
    file: &MergedFile,
) -> Result<bool, Failure> {
    let key = ObjectKey::new(owner.namespace().unwrap_or_default(), &file.name);
    let Some(map) = context.referents.config_map_metadata(&key) else {
        return Ok(false);
    };
    if !is_owned(map.as_ref(), owner) {
        return Ok(false);
    }
    let data = context.referents.config_map(&key).await?;
    Ok(data
        .get(&file.key)
        .is_some_and(|text| digest(text) == file.digest))
}

/// The file as it was written, if the ConfigMap was read before and still has it. Asks no server.
pub fn kept_text(referents: &Referents, owner: &ConstraintOverride) -> Option<String> {
    let file = current_merged_file(owner.status.as_ref()?)?;
    let key = ObjectKey::new(owner.namespace()?, &file.name);
    if !is_owned(referents.config_map_metadata(&key)?.as_ref(), owner) {
        return None;
    }
    let data = referents.kept_config_map(&key)?;
    let text = data.get(&file.key).filter(|text| digest(text) == file.digest)?;
    String::from_utf8(text.clone()).ok()
}

/// Writes the ConfigMap.
///
/// # Errors
///
/// If one of that name belongs to somebody else, or the API server does not accept it.
pub async fn write(context: &Context, owner: &ConstraintOverride, text: &str) -> Result<(), Failure> {
    let namespace = owner.namespace().unwrap_or_default();
    let name = name(&owner.name_any());
    if name.len() > LONGEST_NAME {
        return Err(Failure::stalled(
            Step::Constraints,
            reason::INVALID_SPEC,
            format!(
                "the ConfigMap would be called {name}, which is longer than {LONGEST_NAME} characters: give the resource a shorter name"
            ),
        ));
    }
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let failed = |error: &dyn std::fmt::Display| {
        Failure::retried(
            Step::Constraints,
            reason::WRITE_FAILED,
            format!("cannot write ConfigMap {namespace}/{name}: {error}"),
        )
    };
    // The watch may not have shown it yet.
    let existing = within_limit(api.get_metadata_opt(&name))
        .await
        .map_err(|error| failed(&error))?;
    let uid = existing.as_ref().and_then(ResourceExt::uid);
    if existing.is_some_and(|existing| !is_owned(&existing, owner)) {
        return Err(Failure::stalled(
            Step::Constraints,
            reason::NAME_TAKEN,
            format!(
                "ConfigMap {namespace}/{name} already exists and belongs to somebody else: remove it, or give the resource another name"
            ),
        ));
    }
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            // Never overwrites another object of this name.
            uid: uid.clone(),
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/managed-by".to_owned(),
                FIELD_MANAGER.to_owned(),
            )])),
            owner_references: owner.controller_owner_ref(&()).map(|reference| vec![reference]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(KEY.to_owned(), text.to_owned())])),
        ..ConfigMap::default()
    };
    let parameters = PatchParams {
        // What somebody made a moment ago is not taken over.
        force: uid.is_some(),
        ..PatchParams::apply(FIELD_MANAGER)
    };
    within_limit(api.patch(&name, &parameters, &Patch::Apply(&map)))
        .await
        .map(drop)
        .map_err(|error| failed(&error))
}

fn is_owned(map: &impl ResourceExt, owner: &ConstraintOverride) -> bool {
    controller_of(map).is_some_and(|controller| Some(&controller.uid) == owner.metadata.uid.as_ref())
}
