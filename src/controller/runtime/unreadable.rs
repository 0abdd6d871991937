//! Objects that the API server holds but this controller cannot read: they are reported, and
//! otherwise left alone.

use foreign_text::printable;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::error_boundary::InvalidObject;
use kube::runtime::events::EventType;
use patchset_api::conditions::Truth;
use patchset_api::reason::{self, condition};
use serde_json::json;

use crate::controller::context::Context;
use crate::controller::context::kind::Reconciled;
use crate::plan::conditions::Conditions;
use crate::status::FIELD_MANAGER;
use crate::status::events::{self, Note};
use crate::status::limit::within_limit;

/// The most characters of a parser's error that are reported.
const LONGEST_ERROR: usize = 300;

/// Reports in the log, in an Event and in the status that an object cannot be read. Failed writes
/// are logged.
pub async fn report<K: Reconciled>(context: &Context, invalid: &InvalidObject) {
    let InvalidObject { error, metadata } = invalid;
    let message = format!(
        "the object cannot be read: {}; do the CRDs match the controller's version?",
        printable(error, LONGEST_ERROR)
    );
    let (namespace, name) = (&metadata.namespace, &metadata.name);
    tracing::warn!(
        kind = K::KIND,
        namespace,
        name,
        message,
        "an object is left alone"
    );
    let note = Note {
        kind: EventType::Warning,
        reason: reason::UNREADABLE,
        message: message.clone(),
    };
    if let Err(error) = events::publish(&context.client, &reference::<K>(metadata), note).await {
        tracing::warn!(%error, "an event could not be written");
    }
    if let Err(error) = write::<K>(context, metadata, &message).await {
        tracing::warn!(%error, "the status of an object that cannot be read could not be written");
    }
}

fn reference<K: Reconciled>(metadata: &ObjectMeta) -> ObjectReference {
    ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::KIND.to_owned()),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// Sets the conditions by a merge patch: the rest of the status may be what cannot be read.
async fn write<K: Reconciled>(
    context: &Context,
    metadata: &ObjectMeta,
    message: &str,
) -> Result<(), crate::status::Error> {
    let generation = metadata.generation.unwrap_or_default();
    let mut conditions = Conditions::from_previous(&[], generation, Timestamp::now());
    conditions.set(condition::READY, Truth::False, reason::UNREADABLE, message);
    conditions.set(condition::STALLED, Truth::True, reason::UNREADABLE, message);
    let status = json!({ "observedGeneration": generation, "conditions": conditions.into_list() });
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &namespace, &resource);
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({ "status": status }));
    let name = metadata.name.clone().unwrap_or_default();
    within_limit(api.patch_status(&name, &parameters, &patch))
        .await
        .map(drop)
}
