//! What a `PatchRepository`'s status says about the objects that it made.

use std::collections::BTreeMap;

use kube::ResourceExt;
use patchset_api::conditions::Truth;
use patchset_api::patch_repository::{MOST_FAULTS, RepositoryFault};
use patchset_api::reason::{self, Reason};
use patchset_api::{PatchRepository, PatchSet};

use super::made_objects::children;
use crate::controller::context::turn::Turn;
use crate::controller::state::repositories::{MadeKind, MadeObjects};
use crate::fleet::{ChildState, FleetSummary, summarize};
use crate::plan::Failure;
use crate::plan::lifecycle::Verdict;
use crate::plan::patch_repository::RepositoryProgress;

/// Reasons that only go away once a person changes something.
const FOR_A_PERSON: [Reason; 6] = [
    reason::PATCH_CONFLICT,
    reason::PATCH_MALFORMED,
    reason::PATCH_MERGED,
    reason::NAME_TAKEN,
    reason::TEMPLATE_INVALID,
    reason::LAYOUT_INVALID,
];

/// The `PatchSet`s that are asked for: those that were made of the folders in this reconciliation,
/// or those that are there as they were made before.
pub enum AskedObjects {
    Anew(Vec<PatchSet>),
    AsBefore,
}

/// Sums up the state of everything that is asked for.
pub fn progress(
    turn: &Turn<'_, PatchRepository>,
    made: &MadeObjects,
    asked: &AskedObjects,
    failure: Option<Failure>,
) -> RepositoryProgress {
    let there = children::<PatchSet>(turn);
    let there: BTreeMap<String, &PatchSet> = there
        .iter()
        .filter_map(|child| Some((child.name_any(), child.0.as_ref().ok()?)))
        .collect();
    let cells: Vec<(&PatchSet, ChildState<'_>)> = match asked {
        AskedObjects::Anew(asked) => asked
            .iter()
            .map(|asked| (asked, state(asked, made, &there)))
            .collect(),
        AskedObjects::AsBefore => {
            let is_asked_for =
                |name: &&String| made.objects.contains_key(&(MadeKind::PatchSet, (*name).clone()));
            let asked = there.iter().filter(|(name, _)| is_asked_for(name));
            asked
                .map(|(_, child)| (*child, ChildState::Present(child)))
                .collect()
        }
    };
    let overrides = made
        .objects
        .keys()
        .filter(|(kind, _)| *kind == MadeKind::ConstraintOverride);
    let wrong: Vec<RepositoryFault> = made
        .faults
        .iter()
        .filter(|fault| fault.kind != reason::NOT_PRUNED.as_str())
        .cloned()
        .collect();
    let summary = summarize(&cells, overrides.count(), &wrong);
    let objects = applied_verdict(made, &summary);
    let FleetSummary {
        cells,
        omitted_cells,
        counts,
        ready,
        reason,
        upkeep,
        message,
    } = summary;
    RepositoryProgress {
        layout: made.layout,
        objects,
        failure,
        counts,
        cells,
        omitted_cells: omitted(omitted_cells),
        faults: made.faults.iter().take(MOST_FAULTS).cloned().collect(),
        omitted_faults: omitted(made.faults.len().saturating_sub(MOST_FAULTS)),
        upkeep,
        ready: Verdict {
            truth: ready,
            // What passes by itself is retried by the objects themselves.
            reason: if ready == Truth::False && !FOR_A_PERSON.contains(&reason) {
                reason::PROGRESSING_WITH_RETRY
            } else {
                reason
            },
            ready: reason,
            message,
        },
    }
}

fn state<'a>(asked: &PatchSet, made: &MadeObjects, there: &BTreeMap<String, &'a PatchSet>) -> ChildState<'a> {
    let name = asked.name_any();
    match (
        made.refused.get(&(MadeKind::PatchSet, name.clone())),
        there.get(&name),
    ) {
        (Some(reason), _) => ChildState::Refused(*reason),
        (None, Some(child)) => ChildState::Present(child),
        (None, None) => ChildState::Absent,
    }
}

fn omitted(count: usize) -> Option<u32> {
    (count > 0).then(|| u32::try_from(count).unwrap_or(u32::MAX))
}

/// Whether the objects are there as they are asked for.
fn applied_verdict(made: &MadeObjects, summary: &FleetSummary) -> Verdict {
    let verdict = |truth, reason, message| Verdict {
        truth,
        reason,
        ready: reason,
        message,
    };
    if let Some(((_, name), reason)) = made.refused.iter().next() {
        let why = made.faults.iter().find(|fault| fault.path == *name);
        let why = why.map(|fault| fault.message.as_str()).unwrap_or_default();
        let more = made.refused.len() - 1;
        let others = if more > 0 {
            format!(" (and {more} more)")
        } else {
            String::new()
        };
        return verdict(Truth::False, *reason, format!("{name}: {why}{others}"));
    }
    let (patch_sets, overrides) = (summary.counts.patch_sets, summary.counts.constraint_overrides);
    let message = format!("{patch_sets} PatchSets and {overrides} ConstraintOverrides exist as asked for");
    verdict(Truth::True, reason::SUCCEEDED, message)
}
