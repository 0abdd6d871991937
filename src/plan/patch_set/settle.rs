//! The status after an attempt.

use foreign_text::printable;
use jiff::Timestamp;
use patchset_api::Recorded;
use patchset_api::conditions::Truth;
use patchset_api::status::PatchSetStatus;

use super::progress::{ApplyResult, BuildOutcome, DeliveryOutcome, PatchSetProgress, Policy, Sources};
use super::series_verdict::{allows_ready, verdict};
use super::settle_build::settle_build;
use super::settle_delivery::record_merged_delivery;
use crate::plan::failure::Step;
use crate::plan::lifecycle::{AskedFor, Next, Outcome, Settling};
use crate::plan::upstream_history::last_applied;
use crate::plan::{list_size, report};

/// The longest note on the folder of the patches, in characters.
const LONGEST_NOTE: usize = 400;

/// The status after an attempt, and when to make the next.
#[must_use]
pub fn settle(
    previous: &PatchSetStatus,
    asked: AskedFor<'_>,
    policy: Policy<'_>,
    now: Timestamp,
    outcome: Outcome<Sources, PatchSetProgress>,
) -> (PatchSetStatus, Next) {
    let mut settling = Settling::from_previous(previous, asked, now);
    let signatures = outcome
        .sources()
        .and_then(|sources| sources.signatures.as_deref());
    settling.mark_verified(policy.signatures, signatures);
    let (built, delivered) = match outcome {
        Outcome::Failed(failure, sources) => {
            if let Some(sources) = sources {
                settling.mark_resolved(&describe_sources(&sources));
            }
            return settling.into_failed(&failure);
        }
        Outcome::Unchanged(sources) => {
            settling.mark_resolved(&describe_sources(&sources));
            record_sources(&mut settling.status, sources);
            (BuildOutcome::Nothing, DeliveryOutcome::Nothing)
        }
        Outcome::Done(
            sources,
            PatchSetProgress {
                checked,
                candidates,
                built,
                delivered,
                merged_delivery,
            },
        ) => {
            settling.mark_resolved(&describe_sources(&sources));
            record_sources(&mut settling.status, sources);
            if let Some(checked) = checked {
                record_apply_result(&mut settling.status, checked, previous, (policy, now));
            }
            if let Some(candidates) = candidates {
                settling.status.candidates = candidates;
            }
            if let Some(merged) = merged_delivery {
                record_merged_delivery(&mut settling, merged);
            }
            (built, delivered)
        }
    };
    if !policy.delivers {
        settling.drop_step(Step::Delivery);
        (settling.status.delivered, settling.status.proposed) = (None, None);
    }
    let verdict = verdict(&settling.status, policy);
    if !policy.builds {
        settling.drop_step(Step::Build);
        settling.drop_step(Step::Test);
        (settling.status.build, settling.status.image) = (None, None);
        settling.status.history.clear();
        return settling.into_judged(Step::Patches, &verdict);
    }
    if verdict.truth != Truth::True {
        return settling.into_judged(Step::Patches, &verdict);
    }
    settling.mark_done(Step::Patches, &verdict);
    settle_build(settling, policy, &verdict, (built, delivered), now)
}

fn describe_sources(sources: &Sources) -> String {
    match &sources.patches_revision {
        Some(patches) => format!("upstream at {}, patches at {patches}", sources.upstream.revision),
        None => format!("upstream at {}", sources.upstream.revision),
    }
}

fn record_sources(status: &mut PatchSetStatus, sources: Sources) {
    status.upstream = Some(sources.upstream);
    status.patches_revision = sources.patches_revision;
    status.inputs_digest = Some(sources.inputs_digest);
}

fn record_apply_result(
    status: &mut PatchSetStatus,
    mut checked: ApplyResult,
    previous: &PatchSetStatus,
    (policy, now): (Policy<'_>, Timestamp),
) {
    report::add_since(&mut checked.patches, &previous.patches, now);
    for patch in checked.patches.iter_mut().filter(|patch| !patch.applies()) {
        patch.last_applied = last_applied(previous, &patch.name).cloned();
    }
    let passing = checked
        .patches
        .iter()
        .filter(|p| allows_ready(p, policy.merged_patches))
        .count();
    status.applied = Some(format!("{passing}/{}", checked.patches.len()));
    status.patched_tree = (passing == checked.patches.len()).then(|| Recorded::new(checked.tree));
    (status.patches, status.omitted_patches) = list_size::keep_patches(&checked.patches, policy.list_bytes);
    status.history_failure = checked.history_failure;
    status.patches_note = checked.note.map(|note| printable(&note, LONGEST_NOTE));
    status.history_cut = checked.history_cut;
}
