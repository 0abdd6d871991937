//! How the `PatchSet`s of a repository are doing: a matrix, counts, and one line.

use std::collections::BTreeSet;

use kube::ResourceExt;
use patchset_api::PatchSet;
use patchset_api::conditions::{self, Truth};
use patchset_api::patch_repository::{MOST_CELLS, RepositoryCell, RepositoryCounts, RepositoryFault};
use patchset_api::reason::{self, Reason, condition};
use patchset_api::upkeep::{RepositoryUpkeepStatus, UpkeepState};

use crate::layout::FaultKind;

/// The longest line, in characters: what `kubectl get` shows stays below 120 with it.
const LONGEST_LINE: usize = 84;

/// The most pull requests that a status names.
const MOST_PULL_REQUESTS: usize = 10;

/// What there is of a `PatchSet` that is asked for.
#[derive(Clone, Copy, Debug)]
pub enum ChildState<'a> {
    /// Nothing yet.
    Absent,
    /// The object.
    Present(&'a PatchSet),
    /// It cannot be written: its name is another's, or the API server refuses it.
    Refused(Reason),
}

/// How the `PatchSet`s of a repository are doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetSummary {
    /// The first cells of the matrix: those that need attention, and the others by name.
    pub cells: Vec<RepositoryCell>,
    /// How many more there are.
    pub omitted_cells: usize,
    /// How many are in which state.
    pub counts: RepositoryCounts,
    /// What Ready is: False where something needs attention, Unknown where something is under way.
    pub ready: Truth,
    /// Why.
    pub reason: Reason,
    /// What is to be done for the patches; `None` if no `PatchSet` asks for it.
    pub upkeep: Option<RepositoryUpkeepStatus>,
    /// The same in one line, for instance `78 of 80 ready; 2 conflict: cinder 2025.2, nova 2026.1`.
    pub message: String,
}

/// How a `PatchSet` is doing; what needs attention first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum CellState {
    Conflicting,
    Failing,
    Merged,
    Pending,
    Ready,
}

impl CellState {
    /// What `PatchSet`s in this state do, in words: for one, and for several.
    fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Conflicting => ("conflicts", "conflict"),
            Self::Failing => ("fails", "fail"),
            Self::Merged => ("is merged upstream", "are merged upstream"),
            Self::Pending => ("is under way", "are under way"),
            Self::Ready => ("is ready", "are ready"),
        }
    }
}

/// Sums up the `PatchSet`s that are asked for, each with its state.
#[must_use]
pub fn summarize(
    children: &[(&PatchSet, ChildState<'_>)],
    constraint_overrides: usize,
    faults: &[RepositoryFault],
) -> FleetSummary {
    let mut cells: Vec<(CellState, RepositoryCell)> = children
        .iter()
        .map(|(asked, found)| cell(asked, *found))
        .collect();
    cells.sort_by(|(state, cell), (other_state, other)| {
        (state, &cell.component, &cell.release).cmp(&(other_state, &other.component, &other.release))
    });
    let count = |state: CellState| cells.iter().filter(|(own, _)| *own == state).count();
    let counts = RepositoryCounts {
        patch_sets: number(cells.len()),
        constraint_overrides: number(constraint_overrides),
        ready: number(count(CellState::Ready)),
        conflicting: number(count(CellState::Conflicting)),
        merged: number(count(CellState::Merged)),
        failing: number(count(CellState::Failing)),
        pending: number(count(CellState::Pending)),
    };
    let (ready, reason) = verdict(&cells, faults);
    let message = line(&cells, faults);
    let omitted_cells = cells.len().saturating_sub(MOST_CELLS);
    FleetSummary {
        cells: cells.into_iter().map(|(_, cell)| cell).take(MOST_CELLS).collect(),
        omitted_cells,
        counts,
        ready,
        reason,
        upkeep: sum_up_upkeep(children),
        message,
    }
}

/// What is to be done for the patches, over all `PatchSet`s.
fn sum_up_upkeep(children: &[(&PatchSet, ChildState<'_>)]) -> Option<RepositoryUpkeepStatus> {
    let found = children.iter().filter_map(|(_, found)| match found {
        ChildState::Present(found) => found.status.as_ref()?.upkeep.as_ref(),
        ChildState::Absent | ChildState::Refused(_) => None,
    });
    let mut told: Option<RepositoryUpkeepStatus> = None;
    let mut open = BTreeSet::new();
    for status in found {
        let told = told.get_or_insert_default();
        told.drops = told.drops.saturating_add(number(status.drops.len()));
        told.refreshes = told.refreshes.saturating_add(number(status.refreshes.len()));
        match status.state {
            UpkeepState::Proposed => open.extend(status.pull_request.as_ref()),
            UpkeepState::StandsBack | UpkeepState::Closed => told.held = told.held.saturating_add(1),
            UpkeepState::Reported | UpkeepState::Waiting | UpkeepState::Merged | UpkeepState::Failed => {}
        }
    }
    if let Some(told) = &mut told {
        told.pull_requests = open.into_iter().take(MOST_PULL_REQUESTS).cloned().collect();
    }
    told
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn cell(asked: &PatchSet, found: ChildState<'_>) -> (CellState, RepositoryCell) {
    let mut cell = RepositoryCell {
        component: asked.spec.component.0.clone(),
        release: asked.spec.release.0.clone(),
        name: asked.name_any(),
        applied: None,
        ready: Truth::Unknown.as_str().to_owned(),
        reason: None,
        tag: None,
    };
    let found = match found {
        ChildState::Absent => return (CellState::Pending, cell),
        ChildState::Refused(reason) => {
            Truth::False.as_str().clone_into(&mut cell.ready);
            cell.reason = Some(reason.to_string());
            return (CellState::Failing, cell);
        }
        ChildState::Present(found) => found,
    };
    let Some(status) = &found.status else {
        return (CellState::Pending, cell);
    };
    cell.applied.clone_from(&status.applied);
    cell.tag = status.image.as_ref().map(|image| image.tag.clone());
    let ready = conditions::find(&status.conditions, condition::READY);
    // What a status says of an earlier spec does not hold for this one.
    let is_current = found
        .metadata
        .generation
        .is_none_or(|generation| status.observed_generation == generation);
    let Some(ready) = ready.filter(|_| is_current) else {
        return (CellState::Pending, cell);
    };
    cell.ready.clone_from(&ready.status);
    cell.reason = Some(ready.reason.clone());
    let state = match ready.status.parse() {
        Ok(Truth::True) => CellState::Ready,
        Ok(Truth::False) => match ready.reason.parse() {
            Ok(reason::PATCH_CONFLICT | reason::PATCH_MALFORMED) => CellState::Conflicting,
            Ok(reason::PATCH_MERGED) => CellState::Merged,
            _ => CellState::Failing,
        },
        _ => CellState::Pending,
    };
    (state, cell)
}

fn verdict(cells: &[(CellState, RepositoryCell)], faults: &[RepositoryFault]) -> (Truth, Reason) {
    let reason_of = |cell: &RepositoryCell| cell.reason.as_ref().and_then(|reason| reason.parse().ok());
    let first = cells.first();
    match first.map(|(state, _)| *state) {
        Some(CellState::Conflicting) => (Truth::False, reason::PATCH_CONFLICT),
        Some(CellState::Failing) => {
            let reason = first.and_then(|(_, cell)| reason_of(cell));
            (Truth::False, reason.unwrap_or(reason::DEPENDENCY_NOT_READY))
        }
        Some(CellState::Merged) => (Truth::False, reason::PATCH_MERGED),
        _ if faults.iter().any(fails_a_check) => (Truth::False, fault_reason(faults)),
        Some(CellState::Pending) => (Truth::Unknown, reason::PROGRESSING),
        Some(CellState::Ready) | None if faults.is_empty() => (Truth::True, reason::SUCCEEDED),
        Some(CellState::Ready) | None => (Truth::True, reason::NEEDS_ATTENTION),
    }
}

/// Whether a fault fails a check of the folders, too.
#[must_use]
pub fn fails_a_check(fault: &RepositoryFault) -> bool {
    let mut kinds = FaultKind::FOR_ATTENTION.iter();
    !kinds.any(|kind| fault.kind == kind.as_str())
}

/// The reasons of faults that are not in the folders; they come before those that are.
const OWN_FAULTS: [Reason; 2] = [reason::NAME_TAKEN, reason::TEMPLATE_INVALID];

fn fault_reason(faults: &[RepositoryFault]) -> Reason {
    let found = OWN_FAULTS
        .into_iter()
        .find(|reason| faults.iter().any(|fault| fault.kind == reason.as_str()));
    found.unwrap_or(reason::LAYOUT_INVALID)
}

/// Where the most important fault is.
fn first_place(faults: &[RepositoryFault]) -> Option<&str> {
    let is_own = |fault: &&RepositoryFault| OWN_FAULTS.iter().any(|reason| fault.kind == reason.as_str());
    let first = faults.iter().find(is_own).or(faults.first())?;
    Some(&first.path)
}

/// The line: how many are ready, how many are not and why, and as many names as it has room for.
fn line(cells: &[(CellState, RepositoryCell)], faults: &[RepositoryFault]) -> String {
    let total = cells.len();
    let of_state = |state: CellState| cells.iter().filter(move |(own, _)| *own == state);
    let ready = of_state(CellState::Ready).count();
    let mut parts: Vec<(String, Vec<String>)> = Vec::new();
    if total > 0 {
        parts.push((format!("{ready} of {total} ready"), Vec::new()));
    } else if faults.is_empty() {
        parts.push(("no PatchSets: the folders ask for none".to_owned(), Vec::new()));
    } else {
        parts.push(("no PatchSets".to_owned(), Vec::new()));
    }
    for state in [
        CellState::Conflicting,
        CellState::Failing,
        CellState::Merged,
        CellState::Pending,
    ] {
        let names: Vec<String> = of_state(state)
            .map(|(_, cell)| format!("{} {}", cell.component, cell.release))
            .collect();
        let (one, several) = state.describe();
        match names.len() {
            0 => continue,
            1 => parts.push((format!("1 {one}"), names)),
            count => parts.push((format!("{count} {several}"), names)),
        }
        // A pending state passes by itself.
        if state == CellState::Pending
            && let Some((_, names)) = parts.last_mut()
        {
            names.clear();
        }
    }
    let place = first_place(faults).map(ToOwned::to_owned);
    match faults.len() {
        0 => {}
        1 => parts.push(("1 fault".to_owned(), place.into_iter().collect())),
        count => {
            let place = place.map(|place| format!("{place} …"));
            parts.push((format!("{count} faults"), place.into_iter().collect()));
        }
    }
    let without_names: usize = parts.iter().map(|(text, _)| text.chars().count() + 2).sum();
    let mut room = LONGEST_LINE.saturating_sub(without_names.saturating_sub(2));
    let texts: Vec<String> = parts
        .into_iter()
        .map(|(text, names)| {
            let listed = list_names(&names, room);
            room = room.saturating_sub(listed.chars().count());
            text + &listed
        })
        .collect();
    texts.join("; ")
}

/// `: a, b and 3 more`, within `room` characters; nothing if there is no room for a name.
fn list_names(names: &[String], room: usize) -> String {
    // A name takes a character at least.
    (1..=names.len().min(room))
        .rev()
        .map(|listed| {
            let more = names.len() - listed;
            let shown = names.get(..listed).unwrap_or_default().join(", ");
            match more {
                0 => format!(": {shown}"),
                more => format!(": {shown} and {more} more"),
            }
        })
        .find(|text| text.chars().count() <= room)
        .unwrap_or_default()
}
