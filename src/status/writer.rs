//! Writes a status by server-side apply.

use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::core::{NamespaceResourceScope, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Error, FIELD_MANAGER};

/// How many times a write is tried while others change the rest of the object.
const TRIES: usize = 5;

/// The outcome of a write.
#[derive(Debug)]
pub enum Written<K> {
    /// It is stored: the object as the API server then holds it.
    Stored(Box<K>),
    /// Another writer changed the status since it was read. Theirs stays.
    Overtaken,
    /// The object is gone, or another one has its name.
    Gone,
}

/// Applies a status if the object has the given version, or if its status is still the known one.
///
/// What follows from one status never replaces another one: of two controllers, the one that was
/// held up does not write what it knew before. Changes of spec and metadata do not count: whoever
/// works on the newer spec writes again. The uid is sent along, so that a status never lands on an
/// object that was deleted and recreated meanwhile.
///
/// # Errors
///
/// Where the API server refuses or cannot be reached.
pub async fn write<K, S>(
    client: &Client,
    object: &K,
    version: Option<&str>,
    status: &S,
    is_known: impl Fn(&K) -> bool + Send,
) -> Result<Written<K>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
    S: Serialize + Sync,
{
    let api: Api<K> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let (name, uid) = (object.name_any(), object.uid());
    let status = serde_json::to_value(status)?;
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let mut version = version.map(ToOwned::to_owned);
    for _ in 0..TRIES {
        let body = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": { "name": name, "uid": uid, "resourceVersion": version },
            "status": status,
        });
        match api.patch_status(&name, &parameters, &Patch::Apply(&body)).await {
            Ok(stored) => return Ok(Written::Stored(Box::new(stored))),
            Err(kube::Error::Api(error)) if error.is_not_found() => return Ok(Written::Gone),
            // Fields of other managers are taken over: only the version or the uid can conflict.
            Err(kube::Error::Api(error)) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
        match api.get_opt(&name).await? {
            Some(now) if now.uid() == uid => {
                if !is_known(&now) {
                    return Ok(Written::Overtaken);
                }
                version = now.resource_version();
            }
            Some(_) | None => return Ok(Written::Gone),
        }
    }
    Err(Error::Busy(TRIES))
}
