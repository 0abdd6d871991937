//! Delivers an image to where Flux takes it from.

use forges::MissingLabels;
use jiff::Timestamp;
use kube::ResourceExt;
use patchset_api::PatchSet;
use patchset_api::build::ImageStatus;
use patchset_api::delivery::{Delivery, DeliveryGit, DeliveryStatus, ProposalStatus};
use patchset_api::status::PatchSetStatus;

use super::apply::AppliedSeries;
use crate::controller::context::journal::Interrupted;
use crate::controller::context::turn::Turn;
use crate::controller::delivery::{config_map, git};
use crate::controller::state::deliveries::{NotDelivered, OpenChanges, Placed};
use crate::plan::Outcome;
use crate::plan::conditions::seconds;
use crate::plan::delivery::{APPROVED, is_approved, key_prefix};
use crate::plan::patch_set::{BuildOutcome, DeliveryOutcome, PatchSetProgress, Sources};

/// Whether the image is where the spec wants it and the status says that it is.
pub async fn is_in_place(turn: &Turn<'_, PatchSet>, delivery: &Delivery, image: &ImageStatus) -> bool {
    let status = turn.status();
    let is_recorded =
        |recorded: &&DeliveryStatus| recorded.reference == image.reference && status.proposed.is_none();
    let Some(recorded) = status.delivered.as_deref().filter(is_recorded) else {
        return false;
    };
    let in_map = match &delivery.config_map {
        None => recorded.config_map.is_none(),
        Some(map) => config_map::is_in_place(turn, map, recorded).await,
    };
    in_map
        && match &delivery.git {
            None => recorded.git.is_none(),
            Some(git) => git::is_in_place(turn, git, recorded).await,
        }
}

/// Restores what was delivered into a ConfigMap if somebody changed or removed it: what runs does
/// not wait for what comes next.
pub async fn keep_delivered(turn: &Turn<'_, PatchSet>) {
    let delivery = turn.object.spec.delivery.as_ref();
    let Some(map) = delivery.and_then(|delivery| delivery.config_map.as_ref()) else {
        return;
    };
    match config_map::keep_delivered(turn, map).await {
        Ok(()) | Err(NotDelivered::Outdated) => {}
        Err(NotDelivered::Failed(failure)) => {
            tracing::warn!(namespace = turn.namespace(), name = turn.object.name_any(), %failure,
                "what was delivered could not be restored");
        }
    }
}

/// Delivers what was built, if that is allowed and still to be done, and returns the outcome of all
/// steps.
pub async fn deliver(
    turn: &Turn<'_, PatchSet>,
    series: &AppliedSeries,
    built: BuildOutcome,
) -> Result<Outcome<Sources, PatchSetProgress>, Interrupted> {
    let Some(delivery) = &turn.object.spec.delivery else {
        return Ok(series.progress.outcome(built, DeliveryOutcome::Nothing, None));
    };
    let mut merged = match &turn.status().proposed {
        // The delivery itself finds that.
        Some(proposed) if matches!(&built, BuildOutcome::Image(_, image) if image.reference == proposed.reference) => {
            None
        }
        Some(proposed) => Box::pin(find_merged(turn, delivery, proposed)).await,
        None => None,
    };
    let delivered = match &built {
        BuildOutcome::Image(_, image) => {
            // Delivery checks in the status whether the image is still the newest.
            let status = turn.status();
            if status.image.as_ref().map(|image| &image.reference) != Some(&image.reference) {
                let next = DeliveryOutcome::Later(format!("{} is about to be delivered", image.reference));
                turn.record(series.progress.outcome(built.clone(), next, merged.take()))
                    .await?;
            }
            Box::pin(deliver_image(turn, delivery, image)).await
        }
        _ => DeliveryOutcome::Nothing,
    };
    Ok(series.progress.outcome(built, delivered, merged))
}

/// Where an image is that waited to be merged and was: this is reported even while the next one
/// conflicts, is built or is held.
async fn find_merged(
    turn: &Turn<'_, PatchSet>,
    delivery: &Delivery,
    proposed: &ProposalStatus,
) -> Option<DeliveryStatus> {
    let commit = git::find_merged_commit(turn, delivery.git.as_ref()?, proposed).await?;
    let status = turn.status();
    let before = status.delivered.as_deref();
    // The ConfigMap has a newer one.
    let is_newer = |recorded: &&DeliveryStatus| {
        delivery.config_map.is_some()
            && recorded.config_map.is_some()
            && recorded.reference != proposed.reference
    };
    if let Some(newer) = before.filter(is_newer) {
        return Some(newer.clone());
    }
    let before = before.filter(|before| before.reference == proposed.reference);
    let status = before.cloned().unwrap_or_else(|| DeliveryStatus {
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

/// Delivers an image that the status has: first into the ConfigMap, then by Git.
async fn deliver_image(
    turn: &Turn<'_, PatchSet>,
    delivery: &Delivery,
    image: &ImageStatus,
) -> DeliveryOutcome {
    if let Some(message) = waits_for_approval(turn, delivery, image) {
        return DeliveryOutcome::Held(message);
    }
    let in_map = match deliver_to_config_map(turn, delivery, image).await {
        Ok(in_map) => with_first_delivery_time(in_map, &turn.status()),
        Err(error) => return not_delivered(error, image, None),
    };
    match &delivery.git {
        None => DeliveryOutcome::Done(in_map, None),
        Some(git) => deliver_by_git(turn, git, image, in_map).await,
    }
}

/// Why an image is held back, in words, if it is: nobody approved it. What was delivered before was
/// approved then.
fn waits_for_approval(turn: &Turn<'_, PatchSet>, delivery: &Delivery, image: &ImageStatus) -> Option<String> {
    let patch_set = turn.object;
    let approved = patch_set.annotations().get(APPROVED).map(String::as_str);
    let is_free = delivered_before(&turn.status(), image).is_some() || is_approved(delivery, approved, image);
    (!is_free).then(|| {
        format!(
            "{} waits for approval: kubectl annotate --overwrite patchset {} {APPROVED}={}",
            image.reference,
            patch_set.name_any(),
            image.tag
        )
    })
}

/// Delivers into the ConfigMap, if the spec names one; returns where the image is then.
async fn deliver_to_config_map(
    turn: &Turn<'_, PatchSet>,
    delivery: &Delivery,
    image: &ImageStatus,
) -> Result<DeliveryStatus, NotDelivered> {
    let delivered_at = seconds(Timestamp::now());
    let map = delivery.config_map.as_ref();
    if let Some(map) = map {
        config_map::deliver(turn, map, &image.reference).await?;
    }
    Ok(DeliveryStatus {
        reference: image.reference.clone(),
        delivered_at,
        config_map: map.map(|map| map.name.clone()),
        prefix: map.map(|map| key_prefix(map, &turn.object.spec.component.0)),
        git: None,
    })
}

/// Delivers by Git what the spec's ConfigMap, if it names one, already has.
async fn deliver_by_git(
    turn: &Turn<'_, PatchSet>,
    git: &DeliveryGit,
    image: &ImageStatus,
    in_map: DeliveryStatus,
) -> DeliveryOutcome {
    let status = turn.status();
    let commit_before = delivered_before(&status, image).and_then(|before| before.git.clone());
    let besides = in_map.config_map.is_some().then(|| in_map.clone());
    let by = |commit| DeliveryStatus {
        git: Some(commit),
        ..in_map
    };
    match git::deliver(turn, git, image).await {
        Ok(Placed::Committed(commit)) => DeliveryOutcome::Done(by(commit), None),
        Ok(Placed::Found(commit, rest)) => {
            // Commits of others do not change which one delivered it. One that the status has
            // beside a proposal is older.
            let same = commit_before
                .filter(|_| status.proposed.is_none())
                .filter(|before| {
                    (&before.repository, &before.branch, &before.paths)
                        == (&commit.repository, &commit.branch, &commit.paths)
                });
            let proposed = status
                .proposed
                .as_deref()
                .filter(|_| rest == OpenChanges::Unknown)
                .cloned();
            DeliveryOutcome::Done(by(same.unwrap_or(commit)), proposed)
        }
        Ok(Placed::Proposed {
            proposal,
            into,
            lacks,
            ..
        }) => {
            let message = waits_to_be_merged(&proposal, &into, lacks);
            DeliveryOutcome::Proposed {
                proposal,
                besides,
                message,
            }
        }
        Err(error) => {
            let besides = besides.map(|besides| DeliveryStatus {
                git: commit_before,
                ..besides
            });
            not_delivered(error, image, besides)
        }
    }
}

/// What the status says about this image's delivery.
fn delivered_before<'a>(status: &'a PatchSetStatus, image: &ImageStatus) -> Option<&'a DeliveryStatus> {
    let before = status.delivered.as_deref();
    before.filter(|before| before.reference == image.reference)
}

/// On which branch an image waits, in words.
fn waits_to_be_merged(proposal: &ProposalStatus, into: &str, lacks: Option<MissingLabels>) -> String {
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
    message
}

/// The outcome for an image that is not where it should be. `besides` is where else it is.
fn not_delivered(
    error: NotDelivered,
    image: &ImageStatus,
    besides: Option<DeliveryStatus>,
) -> DeliveryOutcome {
    match error {
        NotDelivered::Outdated => {
            DeliveryOutcome::Later(format!("{} is no longer the image to deliver", image.reference))
        }
        NotDelivered::Failed(failure) => DeliveryOutcome::Failed(failure, besides),
    }
}

/// Adds the time since which the image has been there.
fn with_first_delivery_time(delivered: DeliveryStatus, status: &PatchSetStatus) -> DeliveryStatus {
    let before = status.delivered.as_ref().filter(|before| {
        (&before.reference, &before.config_map, &before.prefix)
            == (&delivered.reference, &delivered.config_map, &delivered.prefix)
    });
    match before {
        Some(before) => DeliveryStatus {
            delivered_at: before.delivered_at.clone(),
            ..delivered
        },
        None => delivered,
    }
}
