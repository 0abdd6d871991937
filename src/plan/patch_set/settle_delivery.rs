//! The status after a delivery.

use patchset_api::conditions::Truth;
use patchset_api::delivery::DeliveryStatus;
use patchset_api::reason;
use patchset_api::status::PatchSetStatus;

use super::progress::DeliveryOutcome;
use crate::plan::failure::Step;
use crate::plan::lifecycle::{Next, Settling, Verdict};

/// The status after a delivery, where the image is there.
pub(super) fn settle_delivery(
    mut settling: Settling<'_, PatchSetStatus>,
    delivered: DeliveryOutcome,
    built: &Verdict,
) -> (PatchSetStatus, Next) {
    match delivered {
        DeliveryOutcome::Failed(failure, besides) => {
            settling.status.delivered = besides.map(Box::new).or(settling.status.delivered);
            settling.into_failed(&failure)
        }
        DeliveryOutcome::Later(message) => {
            let status = settling.into_waiting(Step::Delivery, reason::PROGRESSING, &message);
            (status, Next::Soon)
        }
        DeliveryOutcome::Held(message) => {
            let status = settling.into_waiting(Step::Delivery, reason::AWAITING_APPROVAL, &message);
            // The approving annotation is noticed at once.
            (status, Next::Interval)
        }
        DeliveryOutcome::Proposed {
            proposal,
            besides,
            message,
        } => {
            settling.status.proposed = Some(Box::new(proposal));
            if let Some(besides) = besides {
                let before = settling.status.delivered.take();
                settling.status.delivered = Some(Box::new(DeliveryStatus {
                    git: before.and_then(|before| before.git),
                    ..besides
                }));
            }
            let status = settling.into_waiting(Step::Delivery, reason::AWAITING_MERGE, &message);
            (status, Next::Interval)
        }
        DeliveryOutcome::Done(delivered, proposed) => {
            settling.status.delivered = Some(Box::new(delivered));
            settling.status.proposed = proposed.map(Box::new);
            delivered_as(settling, built)
        }
        DeliveryOutcome::Nothing => delivered_as(settling, built),
    }
}

/// Records that a proposed delivery was merged, whatever happens to the next image.
pub(super) fn record_merged_delivery(settling: &mut Settling<'_, PatchSetStatus>, merged: DeliveryStatus) {
    let verdict = Verdict {
        truth: Truth::True,
        reason: reason::SUCCEEDED,
        ready: reason::SUCCEEDED,
        message: format!("{}, delivered {}", merged.reference, place_of(&merged)),
    };
    settling.mark_done(Step::Delivery, &verdict);
    settling.status.delivered = Some(Box::new(merged));
    settling.status.proposed = None;
}

/// Where an image was delivered, in words.
fn place_of(delivered: &DeliveryStatus) -> String {
    let map = delivered
        .config_map
        .iter()
        .map(|name| format!("to ConfigMap {name}"));
    let git = delivered
        .git
        .iter()
        .map(|git| format!("as {}@sha1:{} of {}", git.branch, git.commit, git.repository));
    map.chain(git).collect::<Vec<_>>().join(" and ")
}

/// The status when nothing is left to deliver.
fn delivered_as(settling: Settling<'_, PatchSetStatus>, built: &Verdict) -> (PatchSetStatus, Next) {
    let message = match settling.status.delivered.as_deref().map(place_of) {
        Some(told) => format!("{}, delivered {told}", built.message),
        None => built.message.clone(),
    };
    settling.into_judged(Step::Delivery, &Verdict { message, ..*built })
}
