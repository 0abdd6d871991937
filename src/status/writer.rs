//! Writes a status by server-side apply.

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::core::{NamespaceResourceScope, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Error, FIELD_MANAGER};

/// Applies a status and gives the object as the API server then holds it.
///
/// The uid goes with it, so that a status never lands on an object that was deleted and made again meanwhile.
///
/// # Errors
///
/// Where the API server refuses or cannot be reached. Nothing is written for an object that is gone.
pub async fn write<K, S>(client: &Client, object: &K, status: &S) -> Result<K, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
    S: Serialize + Sync,
{
    let api: Api<K> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let body = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": { "name": object.name_any(), "uid": object.uid() },
        "status": serde_json::to_value(status)?,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    Ok(api
        .patch_status(&object.name_any(), &parameters, &Patch::Apply(&body))
        .await?)
}
