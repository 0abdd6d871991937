//! Delivers an image into a ConfigMap that Flux reads.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, ObjectMeta, Patch, PatchParams};

use super::context::Context;
use super::reconciler::within_limit;
use crate::api::build::ImageStatus;
use crate::api::delivery::{Delivery, DeliveryStatus};
use crate::api::status::PatchSetStatus;
use crate::api::{PatchSet, reason};
use crate::plan::conditions::seconds;
use crate::plan::delivery::{APPROVED, data, is_approved, prefix};
use crate::plan::patch_set::Delivered;
use crate::plan::{Failure, Step};

/// The label by which Flux's controllers react to a change of a ConfigMap at once.
const WATCH: (&str, &str) = ("reconcile.fluxcd.io/watch", "Enabled");

/// What the field manager's name begins with; each `PatchSet` has one, so that several may share a ConfigMap.
const MANAGER: &str = "patchset-delivery-";

/// Whether the ConfigMap says what the status says that was delivered, and that is this image.
pub(super) async fn stands(
    patch_set: &PatchSet,
    context: &Context,
    delivery: &Delivery,
    known: &PatchSetStatus,
    image: &ImageStatus,
) -> bool {
    let prefix = prefix(delivery, &patch_set.spec.component.0);
    let told = known.delivered.as_ref().is_some_and(|delivered| {
        delivered.config_map == delivery.config_map.name
            && delivered.prefix == prefix
            && delivered.reference == image.reference
    });
    told && holds(patch_set, context, delivery, &prefix, image).await
}

/// Whether the ConfigMap has the label and the keys with their values.
async fn holds(
    patch_set: &PatchSet,
    context: &Context,
    delivery: &Delivery,
    prefix: &str,
    image: &ImageStatus,
) -> bool {
    let namespace = patch_set.namespace().unwrap_or_default();
    let name = &delivery.config_map.name;
    let Some(map) = context.references.config_map_metadata(&namespace, name) else {
        return false;
    };
    let watched = map.labels().get(WATCH.0).is_some_and(|value| value == WATCH.1);
    let found = context.references.config_map(&namespace, name).await;
    watched
        && found.is_ok_and(|found| {
            data(prefix, image)
                .iter()
                .all(|(key, value)| found.get(key).is_some_and(|there| there == value.as_bytes()))
        })
}

/// Delivers an image, where that was not done yet and may be done.
pub(super) async fn deliver(
    patch_set: &PatchSet,
    context: &Context,
    delivery: &Delivery,
    known: &PatchSetStatus,
    image: &ImageStatus,
) -> Delivered {
    let approved = patch_set.annotations().get(APPROVED).map(String::as_str);
    if !is_approved(delivery, approved, image) {
        return Delivered::Held(format!(
            "{} waits for approval: kubectl annotate --overwrite patchset {} {APPROVED}={}",
            image.reference,
            patch_set.name_any(),
            image.tag
        ));
    }
    let prefix = prefix(delivery, &patch_set.spec.component.0);
    // The first writer of a key keeps it. What was delivered before and was changed by hand is put back.
    let ours = known.delivered.as_ref().is_some_and(|delivered| {
        delivered.config_map == delivery.config_map.name && delivered.prefix == prefix
    });
    if let Err(failure) = write(patch_set, context, delivery, &prefix, image, ours).await {
        return Delivered::Failed(failure);
    }
    let now = seconds(jiff::Timestamp::now());
    let before = known.delivered.as_ref();
    Delivered::Done(DeliveryStatus {
        config_map: delivery.config_map.name.clone(),
        prefix,
        reference: image.reference.clone(),
        delivered_at: before
            .filter(|before| ours && before.reference == image.reference)
            .map_or(now, |before| before.delivered_at.clone()),
    })
}

async fn write(
    patch_set: &PatchSet,
    context: &Context,
    delivery: &Delivery,
    prefix: &str,
    image: &ImageStatus,
    force: bool,
) -> Result<(), Failure> {
    let namespace = patch_set.namespace().unwrap_or_default();
    let name = &delivery.config_map.name;
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(BTreeMap::from([(WATCH.0.to_owned(), WATCH.1.to_owned())])),
            ..ObjectMeta::default()
        },
        data: Some(data(prefix, image)),
        ..ConfigMap::default()
    };
    let manager = format!("{MANAGER}{}", patch_set.uid().unwrap_or_default());
    let mut parameters = PatchParams::apply(&manager);
    if force {
        parameters = parameters.force();
    }
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    match within_limit(api.patch(name, &parameters, &Patch::Apply(&map))).await {
        Ok(_) => Ok(()),
        Err(crate::status::Error::Api(kube::Error::Api(status))) if status.code == 409 => {
            Err(Failure::retried(
                Step::Delivery,
                reason::NAME_TAKEN,
                format!(
                    "ConfigMap {namespace}/{name} has a key {prefix}_… that somebody else set: remove it, or set delivery.configMap.prefix ({})",
                    status.message
                ),
            ))
        }
        Err(error) => Err(Failure::retried(
            Step::Delivery,
            reason::WRITE_FAILED,
            format!("cannot write ConfigMap {namespace}/{name}: {error}"),
        )),
    }
}
