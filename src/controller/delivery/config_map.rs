//! Delivers an image into a ConfigMap that Flux reads.

use std::collections::BTreeMap;

use image_references::ImageReference;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::Request;
use kube::{Client, Resource};
use patchset_api::delivery::{DeliveryConfigMap, DeliveryStatus};
use patchset_api::referent::ObjectKey;
use patchset_api::{PatchSet, Recorded, reason};

use super::newest_image::may_be_written;
use crate::controller::context::service_account::RequestIdentity;
use crate::controller::context::turn::Turn;
use crate::controller::inputs::image_references::image_reference;
use crate::controller::state::deliveries::NotDelivered;
use crate::plan::delivery::{config_map_data, key_prefix};
use crate::plan::{Failure, Step};
use crate::status::limit::within_limit;

/// The label that makes Flux's controllers react at once to changes of a ConfigMap.
const WATCH: (&str, &str) = ("reconcile.fluxcd.io/watch", "Enabled");

/// What the field manager's name begins with; each `PatchSet` has one, so that several may share a
/// ConfigMap.
const MANAGER: &str = "patchset-delivery-";

/// What the API server calls the cause of a conflict between field managers.
const MANAGER_CONFLICT: &str = "FieldManagerConflict";

/// How often to try a write that loses races.
const TRIES: usize = 5;

/// Whether the ConfigMap has what the status says was delivered.
pub async fn is_in_place(
    turn: &Turn<'_, PatchSet>,
    map: &DeliveryConfigMap,
    recorded: &DeliveryStatus,
) -> bool {
    is_recorded(turn, recorded, map) && holds_image(turn, map, &recorded.reference).await
}

/// Whether the status says that an image was delivered there.
fn is_recorded(turn: &Turn<'_, PatchSet>, recorded: &DeliveryStatus, map: &DeliveryConfigMap) -> bool {
    let prefix = key_prefix(map, &turn.object.spec.component.0);
    recorded.config_map.as_ref() == Some(&map.name) && recorded.prefix == Some(prefix)
}

/// Restores what was delivered if somebody changed or removed it, whatever happens to the next
/// image.
pub async fn keep_delivered(turn: &Turn<'_, PatchSet>, map: &DeliveryConfigMap) -> Result<(), NotDelivered> {
    let status = turn.status();
    let Some(recorded) = status
        .delivered
        .as_ref()
        .filter(|recorded| is_recorded(turn, recorded, map))
    else {
        return Ok(());
    };
    // An image that was delivered, and is not in the status yet, stays.
    if let Some(image) = &status.image
        && image.reference != recorded.reference
        && holds_image(turn, map, &image.reference).await
    {
        return Ok(());
    }
    deliver(turn, map, &recorded.reference).await
}

/// Whether the ConfigMap has the label and the keys with their values.
async fn holds_image(
    turn: &Turn<'_, PatchSet>,
    map: &DeliveryConfigMap,
    reference: &Recorded<ImageReference>,
) -> bool {
    let (key, referents) = (
        ObjectKey::new(turn.namespace(), &map.name),
        &turn.context.referents,
    );
    let Some(found) = referents.config_map_metadata(&key) else {
        return false;
    };
    let watched = found.labels().get(WATCH.0).is_some_and(|value| value == WATCH.1);
    let found = referents.config_map(&key).await;
    let prefix = key_prefix(map, &turn.object.spec.component.0);
    let Some(image) = reference.value() else {
        return false;
    };
    watched
        && found.is_ok_and(|found| {
            config_map_data(&prefix, image)
                .iter()
                .all(|(key, value)| found.get(key).is_some_and(|there| there == value.as_bytes()))
        })
}

/// Writes the image's keys if they are not there yet.
pub async fn deliver(
    turn: &Turn<'_, PatchSet>,
    map: &DeliveryConfigMap,
    reference: &Recorded<ImageReference>,
) -> Result<(), NotDelivered> {
    if holds_image(turn, map, reference).await {
        return Ok(());
    }
    let image = image_reference(reference)?;
    let (patch_set, context, namespace) = (turn.object, turn.context, turn.namespace());
    let Some(delivery) = &patch_set.spec.delivery else {
        return Err(NotDelivered::Outdated);
    };
    let prefix = key_prefix(map, &patch_set.spec.component.0);
    // The first writer of a key keeps it. What was delivered before and was changed by hand is put
    // back.
    let status = turn.status();
    let is_ours = status
        .delivered
        .as_ref()
        .is_some_and(|recorded| is_recorded(turn, recorded, map));
    let conflicts = if is_ours {
        Conflicts::Replace
    } else {
        Conflicts::Refuse
    };
    let place = SharedConfigMap {
        client: &context.client,
        namespace: &namespace,
        name: &map.name,
        manager: format!("{MANAGER}{}", patch_set.uid().unwrap_or_default()),
        identity: RequestIdentity::of_writes(patch_set, &context.options)?,
    };
    for _ in 0..TRIES {
        let Some(version) = place
            .version()
            .await
            .map_err(|error| place.write_failure(&error))?
        else {
            continue;
        };
        if !may_be_written(context, patch_set, delivery, reference).await? {
            return Err(NotDelivered::Outdated);
        }
        let wanted = ConfigMap {
            metadata: ObjectMeta {
                resource_version: Some(version),
                ..labelled_metadata(&map.name)
            },
            data: Some(config_map_data(&prefix, &image)),
            ..ConfigMap::default()
        };
        match place.apply(&wanted, conflicts).await {
            Ok(()) => return Ok(()),
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
            Err(error) => return Err(place.write_failure(&error).into()),
        }
    }
    let message = format!("others wrote to it {TRIES} times meanwhile");
    Err(failure_of(&namespace, &map.name, &message).into())
}

/// What to do with keys that somebody else set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conflicts {
    Replace,
    Refuse,
}

/// A ConfigMap that is written, and who writes it.
struct SharedConfigMap<'a> {
    client: &'a Client,
    namespace: &'a str,
    name: &'a str,
    manager: String,
    identity: RequestIdentity,
}

impl SharedConfigMap<'_> {
    /// The ConfigMap's current version. Creates it without keys if it does not exist; `None` if
    /// somebody else did that at the same time.
    async fn version(&self) -> Result<Option<String>, crate::status::Error> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), self.namespace);
        if let Some(found) = within_limit(api.get_metadata_opt(self.name)).await? {
            return Ok(found.resource_version());
        }
        let empty = ConfigMap {
            metadata: labelled_metadata(self.name),
            ..ConfigMap::default()
        };
        let parameters = PostParams {
            field_manager: Some(self.manager.clone()),
            ..PostParams::default()
        };
        let request = self.requests().create(&parameters, serde_json::to_vec(&empty)?);
        match self.identity.request::<ConfigMap>(self.client, request).await {
            Ok(made) => Ok(made.resource_version()),
            Err(crate::status::Error::Api(kube::Error::Api(status))) if status.is_already_exists() => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes what it should have.
    async fn apply(&self, wanted: &ConfigMap, conflicts: Conflicts) -> Result<(), crate::status::Error> {
        let mut parameters = PatchParams::apply(&self.manager);
        if conflicts == Conflicts::Replace {
            parameters = parameters.force();
        }
        let request = self
            .requests()
            .patch(self.name, &parameters, &Patch::Apply(wanted));
        let written = self.identity.request::<ConfigMap>(self.client, request).await;
        written.map(drop)
    }

    fn requests(&self) -> Request {
        Request::new(ConfigMap::url_path(&(), Some(self.namespace)))
    }

    fn write_failure(&self, error: &crate::status::Error) -> Failure {
        match error {
            crate::status::Error::Api(kube::Error::Api(status)) if status.is_forbidden() => {
                let advice = self.identity.advice(status);
                let message = format!(
                    "{} lacks a permission: {}; {advice}",
                    self.identity, status.message
                );
                failure_of(self.namespace, self.name, &message)
            }
            error => failure_of(self.namespace, self.name, error),
        }
    }
}

fn failure_of(namespace: &str, name: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::retried(
        Step::Delivery,
        reason::WRITE_FAILED,
        format!("cannot write ConfigMap {namespace}/{name}: {error}"),
    )
}

fn labelled_metadata(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(BTreeMap::from([(WATCH.0.to_owned(), WATCH.1.to_owned())])),
        ..ObjectMeta::default()
    }
}
