//! Whether an image is still the one to deliver.

use image_references::ImageReference;
use kube::api::Api;
use kube::{Resource, ResourceExt};
use patchset_api::delivery::Delivery;
use patchset_api::{PatchSet, Recorded, reason};

use crate::controller::context::Context;
use crate::plan::delivery::{APPROVED, may_be_in_place};
use crate::plan::{Failure, Step};
use crate::status::limit::within_limit;

/// Reads the PatchSet again from the API server, because a watch lags, and says whether this image
/// may still be written, and the spec still asks for its delivery in this way.
///
/// Call it after reading the destination, and before a write that succeeds only if the destination
/// is unchanged. In that order an older image cannot overwrite a newer one, even with two
/// controllers running.
pub async fn may_be_written(
    context: &Context,
    patch_set: &PatchSet,
    delivery: &Delivery,
    reference: &Recorded<ImageReference>,
) -> Result<bool, Failure> {
    let namespace = patch_set.namespace().unwrap_or_default();
    let api: Api<PatchSet> = Api::namespaced(context.client.clone(), &namespace);
    let now = within_limit(api.get_opt(&patch_set.name_any()))
        .await
        .map_err(|error| {
            Failure::retried(
                Step::Delivery,
                reason::UNREACHABLE,
                format!("cannot check whether the image is still the newest: {error}"),
            )
        })?;
    Ok(now.is_some_and(|now| {
        let approved = now.annotations().get(APPROVED).map(String::as_str);
        let status = now.status.as_ref();
        let newest = status.and_then(|status| status.image.as_deref());
        let delivered = status.and_then(|status| status.delivered.as_deref());
        now.uid() == patch_set.uid()
            && now.meta().generation == patch_set.meta().generation
            && now.meta().deletion_timestamp.is_none()
            && !now.spec.suspend
            && now.spec.delivery.as_deref() == Some(delivery)
            && may_be_in_place(delivery, approved, newest, delivered, reference)
    }))
}
