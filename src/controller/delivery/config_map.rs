//! Delivers an image into a ConfigMap that Flux reads.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};

use super::super::context::Context;
use super::super::reconciler::within_limit;
use super::NotDelivered;
use super::wanted::is_wanted;
use crate::api::delivery::{Delivery, DeliveryConfigMap, DeliveryStatus};
use crate::api::status::PatchSetStatus;
use crate::api::{PatchSet, reason};
use crate::plan::delivery::{data, prefix};
use crate::plan::{Failure, Step};

/// The label by which Flux's controllers react to a change of a ConfigMap at once.
const WATCH: (&str, &str) = ("reconcile.fluxcd.io/watch", "Enabled");

/// What the field manager's name begins with; each `PatchSet` has one, so that several may share a ConfigMap.
const MANAGER: &str = "patchset-delivery-";

/// What the API server names the cause of a conflict between field managers.
const MANAGER_CONFLICT: &str = "FieldManagerConflict";

/// How often a write is tried that others come before.
const TRIES: usize = 5;

/// Whether the ConfigMap has what the status says that was delivered.
pub(super) async fn stands(
    patch_set: &PatchSet,
    context: &Context,
    map: &DeliveryConfigMap,
    told: &DeliveryStatus,
) -> bool {
    let prefix = prefix(map, &patch_set.spec.component.0);
    is_told(told, map, &prefix) && holds(patch_set, context, map, &prefix, &told.reference).await
}

/// Whether the status says that an image was delivered there.
fn is_told(told: &DeliveryStatus, map: &DeliveryConfigMap, prefix: &str) -> bool {
    told.config_map.as_ref() == Some(&map.name) && told.prefix.as_deref() == Some(prefix)
}

/// Puts back what was delivered where somebody changed it or took it away, whatever becomes of the next image.
pub(super) async fn keep(
    patch_set: &PatchSet,
    context: &Context,
    delivery: &Delivery,
    map: &DeliveryConfigMap,
    known: &PatchSetStatus,
) -> Result<(), NotDelivered> {
    let prefix = prefix(map, &patch_set.spec.component.0);
    let Some(told) = known
        .delivered
        .as_ref()
        .filter(|told| is_told(told, map, &prefix))
    else {
        return Ok(());
    };
    // One that was delivered, and is not in the status yet, stays.
    if let Some(image) = &known.image
        && image.reference != told.reference
        && holds(patch_set, context, map, &prefix, &image.reference).await
    {
        return Ok(());
    }
    deliver(patch_set, context, delivery, map, &prefix, known, &told.reference).await
}

/// Whether the ConfigMap has the label and the keys with their values.
async fn holds(
    patch_set: &PatchSet,
    context: &Context,
    map: &DeliveryConfigMap,
    prefix: &str,
    reference: &str,
) -> bool {
    let namespace = patch_set.namespace().unwrap_or_default();
    let Some(found) = context.references.config_map_metadata(&namespace, &map.name) else {
        return false;
    };
    let watched = found.labels().get(WATCH.0).is_some_and(|value| value == WATCH.1);
    let found = context.references.config_map(&namespace, &map.name).await;
    watched
        && found.is_ok_and(|found| {
            data(prefix, reference)
                .iter()
                .all(|(key, value)| found.get(key).is_some_and(|there| there == value.as_bytes()))
        })
}

/// Writes the image's keys where they are not there yet.
pub(super) async fn deliver(
    patch_set: &PatchSet,
    context: &Context,
    delivery: &Delivery,
    map: &DeliveryConfigMap,
    prefix: &str,
    known: &PatchSetStatus,
    reference: &str,
) -> Result<(), NotDelivered> {
    if holds(patch_set, context, map, prefix, reference).await {
        return Ok(());
    }
    // The first writer of a key keeps it. What was delivered before and was changed by hand is put back.
    let ours = known
        .delivered
        .as_ref()
        .is_some_and(|told| is_told(told, map, prefix));
    let namespace = patch_set.namespace().unwrap_or_default();
    let manager = format!("{MANAGER}{}", patch_set.uid().unwrap_or_default());
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let failed = |error: &dyn std::fmt::Display| {
        Failure::retried(
            Step::Delivery,
            reason::WRITE_FAILED,
            format!("cannot write ConfigMap {namespace}/{}: {error}", map.name),
        )
    };
    for _ in 0..TRIES {
        let version = match version(&api, &map.name, &manager).await {
            Ok(Some(version)) => version,
            Ok(None) => continue,
            Err(error) => return Err(failed(&error).into()),
        };
        if !is_wanted(context, patch_set, delivery, reference).await? {
            return Err(NotDelivered::Outdated);
        }
        let wanted = ConfigMap {
            metadata: ObjectMeta {
                resource_version: Some(version),
                ..labelled(&map.name)
            },
            data: Some(data(prefix, reference)),
            ..ConfigMap::default()
        };
        let mut parameters = PatchParams::apply(&manager);
        if ours {
            parameters = parameters.force();
        }
        match within_limit(api.patch(&map.name, &parameters, &Patch::Apply(&wanted))).await {
            Ok(_) => return Ok(()),
            Err(crate::status::Error::Api(kube::Error::Api(status))) if status.is_conflict() => {
                let causes = status.details.iter().flat_map(|details| &details.causes);
                if causes.into_iter().any(|cause| cause.reason == MANAGER_CONFLICT) {
                    return Err(Failure::retried(
                        Step::Delivery,
                        reason::NAME_TAKEN,
                        format!(
                            "ConfigMap {namespace}/{} has a key {prefix}_…, or the label, that somebody else set: remove it, or set delivery.configMap.prefix ({})",
                            map.name, status.message
                        ),
                    )
                    .into());
                }
            }
            Err(error) => return Err(failed(&error).into()),
        }
    }
    Err(failed(&format!("others wrote it {TRIES} times meanwhile")).into())
}

/// The ConfigMap's version now. It is made, without keys, where it is not there; nothing where somebody else did that at the
/// same time.
async fn version(
    api: &Api<ConfigMap>,
    name: &str,
    manager: &str,
) -> Result<Option<String>, crate::status::Error> {
    if let Some(found) = within_limit(api.get_metadata_opt(name)).await? {
        return Ok(found.resource_version());
    }
    let empty = ConfigMap {
        metadata: labelled(name),
        ..ConfigMap::default()
    };
    let parameters = PostParams {
        field_manager: Some(manager.to_owned()),
        ..PostParams::default()
    };
    match within_limit(api.create(&parameters, &empty)).await {
        Ok(made) => Ok(made.resource_version()),
        Err(crate::status::Error::Api(kube::Error::Api(status))) if status.is_already_exists() => Ok(None),
        Err(error) => Err(error),
    }
}

fn labelled(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(BTreeMap::from([(WATCH.0.to_owned(), WATCH.1.to_owned())])),
        ..ObjectMeta::default()
    }
}
