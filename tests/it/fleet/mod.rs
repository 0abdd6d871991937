//! Many objects that read from one repository, and the resource that makes them.

mod identity;
mod many;
pub mod repository;

use std::collections::BTreeMap;

use kube::Resource;
use kube::api::ListParams;
use patchset_api::{ConstraintOverride, PatchSet};

use crate::controller::Stage;

/// The versions of all objects, which change with each write.
async fn versions(stage: &Stage) -> BTreeMap<String, String> {
    let all = ListParams::default();
    let objects = stage.api::<PatchSet>().list(&all).await.unwrap();
    let overrides = stage.api::<ConstraintOverride>().list(&all).await.unwrap();
    let objects = objects.iter().map(Resource::meta);
    let metadata = objects.chain(overrides.iter().map(Resource::meta));
    metadata
        .map(|meta| (meta.name.clone().unwrap(), meta.resource_version.clone().unwrap()))
        .collect()
}

/// The names of the objects that were written between the two sets of versions.
fn written<'a>(before: &BTreeMap<String, String>, after: &'a BTreeMap<String, String>) -> Vec<&'a String> {
    after
        .iter()
        .filter(|(name, version)| before[*name] != **version)
        .map(|(name, _)| name)
        .collect()
}
