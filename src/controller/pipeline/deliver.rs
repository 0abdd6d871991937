//! Delivers an image to where Flux takes it from.

use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::PatchSet;
use crate::api::build::ImageStatus;
use crate::api::delivery::{Delivery, DeliveryStatus, ProposalStatus};
use crate::api::status::PatchSetStatus;
use crate::controller::context::{Context, Pace};
use crate::controller::delivery::{config_map, git};
use crate::controller::state::deliveries::{NotDelivered, Placed, Rest};
use crate::plan::conditions::seconds;
use crate::plan::delivery::{APPROVED, is_approved, prefix};
use crate::plan::lifecycle::Next;
use crate::plan::patch_set::Delivered;

/// Whether the image is where the spec wants it and the status says that it is.
pub async fn stands(
    patch_set: &PatchSet,
    context: &Arc<Context>,
    delivery: &Delivery,
    known: &PatchSetStatus,
    image: &ImageStatus,
    pace: Pace,
) -> bool {
    let Some(told) = known
        .delivered
        .as_ref()
        .filter(|told| told.reference == image.reference && known.proposed.is_none())
    else {
        return false;
    };
    let in_map = match &delivery.config_map {
        None => told.config_map.is_none(),
        Some(map) => config_map::stands(patch_set, context, map, told).await,
    };
    in_map
        && match &delivery.git {
            None => told.git.is_none(),
            Some(git) => git::stands(patch_set, context, git, told, pace).await,
        }
}

/// Puts back what was delivered into a ConfigMap where somebody changed it or took it away: what runs does not wait for what comes.
pub async fn keep(patch_set: &PatchSet, context: &Arc<Context>, delivery: &Delivery, known: &PatchSetStatus) {
    let Some(map) = &delivery.config_map else { return };
    match config_map::keep(patch_set, context, delivery, map, known).await {
        Ok(()) | Err(NotDelivered::Outdated) => {}
        Err(NotDelivered::Failed(failure)) => {
            tracing::warn!(namespace = patch_set.namespace(), name = patch_set.name_any(), %failure,
                "what was delivered could not be put back");
        }
    }
}

/// Where an image is that waited to be merged, and was: it is told also while the next one conflicts, is built or is held.
pub async fn merged(
    patch_set: &PatchSet,
    context: &Arc<Context>,
    delivery: &Delivery,
    known: &PatchSetStatus,
    proposed: &ProposalStatus,
    pace: Pace,
) -> Option<DeliveryStatus> {
    let commit = git::merged(patch_set, context, delivery.git.as_ref()?, proposed, pace).await?;
    let before = known.delivered.clone();
    // The ConfigMap has a newer one.
    let is_newer = |told: &&DeliveryStatus| {
        delivery.config_map.is_some() && told.config_map.is_some() && told.reference != proposed.reference
    };
    if let Some(newer) = before.as_ref().filter(is_newer) {
        return Some(newer.clone());
    }
    let before = before.filter(|before| before.reference == proposed.reference);
    let status = before.unwrap_or_else(|| DeliveryStatus {
        reference: proposed.reference.clone(),
        delivered_at: seconds(Timestamp::now()),
        config_map: None,
        prefix: None,
        git: None,
    });
    Some(DeliveryStatus {
        git: Some(commit),
        ..status
    })
}

/// Delivers an image, where that was not done yet and may be done.
pub async fn deliver(
    patch_set: &PatchSet,
    context: &Arc<Context>,
    delivery: &Delivery,
    known: &PatchSetStatus,
    image: &ImageStatus,
    pace: Pace,
) -> Delivered {
    // Whoever delivers looks into the status whether the image is still the newest.
    let told = known.image.as_ref().map(|image| &image.reference);
    if told != Some(&image.reference) {
        return Delivered::Later(format!("{} is about to be delivered", image.reference), Next::Now);
    }
    let approved = patch_set.annotations().get(APPROVED).map(String::as_str);
    let before = known
        .delivered
        .as_ref()
        .filter(|before| before.reference == image.reference);
    // What was delivered was approved then.
    if before.is_none() && !is_approved(delivery, approved, image) {
        return Delivered::Held(format!(
            "{} waits for approval: kubectl annotate --overwrite patchset {} {APPROVED}={}",
            image.reference,
            patch_set.name_any(),
            image.tag
        ));
    }
    let mut status = DeliveryStatus {
        reference: image.reference.clone(),
        delivered_at: seconds(Timestamp::now()),
        config_map: None,
        prefix: None,
        git: None,
    };
    let outdated = || {
        let message = format!("{} is not the image to deliver any more", image.reference);
        Delivered::Later(message, Next::Soon)
    };
    if let Some(map) = &delivery.config_map {
        let prefix = prefix(map, &patch_set.spec.component.0);
        let placed = config_map::deliver(
            patch_set,
            context,
            delivery,
            map,
            &prefix,
            known,
            &image.reference,
        );
        match placed.await {
            Ok(()) => (status.config_map, status.prefix) = (Some(map.name.clone()), Some(prefix)),
            Err(NotDelivered::Outdated) => return outdated(),
            Err(NotDelivered::Failed(failure)) => return Delivered::Failed(failure, None),
        }
    }
    let mut proposed = None;
    if let Some(git) = &delivery.git {
        match git::deliver(patch_set, context, delivery, git, known, image, pace).await {
            Ok(Placed::Committed(commit)) => status.git = Some(commit),
            Ok(Placed::Found(commit, rest)) => {
                // Commits of others do not change by which one it was delivered. One that was told beside a proposal is older.
                let same = before.filter(|_| known.proposed.is_none());
                let same = same.and_then(|before| before.git.clone()).filter(|before| {
                    (&before.repository, &before.branch, &before.paths)
                        == (&commit.repository, &commit.branch, &commit.paths)
                });
                status.git = Some(same.unwrap_or(commit));
                if rest == Rest::Unknown {
                    proposed.clone_from(&known.proposed);
                }
            }
            Ok(Placed::Proposed {
                proposal,
                into,
                lacks,
                ..
            }) => {
                let mut message = format!(
                    "{} is on {} of {}, and waits to be merged into {into}",
                    proposal.reference, proposal.git.branch, proposal.git.repository,
                );
                if let Some(address) = &proposal.pull_request {
                    message = format!("{message}: {address}");
                }
                if let Some(lacks) = lacks {
                    let labels = lacks.labels.join(", ");
                    message = format!("{message}; without the label {labels}: {}", lacks.reason);
                }
                // The ConfigMap has it already.
                let told = delivery.config_map.is_some().then(|| dated(status, known));
                return Delivered::Proposed(proposal, told, message);
            }
            Err(NotDelivered::Outdated) => return outdated(),
            Err(NotDelivered::Failed(failure)) => {
                // The ConfigMap has it already.
                let told = delivery.config_map.is_some().then(|| DeliveryStatus {
                    git: before.and_then(|before| before.git.clone()),
                    ..dated(status, known)
                });
                return Delivered::Failed(failure, told);
            }
        }
    }
    Delivered::Done(dated(status, known), proposed)
}

/// With the time since when it is there.
fn dated(status: DeliveryStatus, known: &PatchSetStatus) -> DeliveryStatus {
    let before = known.delivered.as_ref().filter(|before| {
        (&before.reference, &before.config_map, &before.prefix)
            == (&status.reference, &status.config_map, &status.prefix)
    });
    match before {
        Some(before) => DeliveryStatus {
            delivered_at: before.delivered_at.clone(),
            ..status
        },
        None => status,
    }
}
