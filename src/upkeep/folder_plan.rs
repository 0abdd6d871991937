//! What is to be done for the patches of one folder, where all that read it agree.

use std::collections::BTreeSet;

use git_apply_engine::Oid;
use jiff::Timestamp;
use patchset_api::status::{PatchState, PatchStatus};
use patchset_api::upkeep::{Renumbering, UpkeepAction};
use patchset_api::upstream_history::MergedStatus;

use super::change::{ChangeKind, PlannedChange};
use super::change_id::ChangeId;
use super::drops::{Todo, check_age, todo};
use super::facts::SeriesFacts;
use super::left_alone::{LeftAlone, LeftAloneReason};
use super::proof::{WithheldChanges, WithheldPart};
use super::refreshed::{RefreshedPatch, RefreshedPatches};
use super::same_patch::PatchElsewhere;
use crate::layout::{ContentLimits, FilesError, LayoutError, RepositoryFiles, Series, SeriesEdit};
use crate::plan::report::shown_name;

/// A folder, with links resolved, and those that read it.
#[derive(Clone, Debug)]
pub(super) struct FolderReaders<'a> {
    pub(super) folder: String,
    /// At least one.
    pub(super) readers: Vec<&'a SeriesFacts>,
}

impl<'a> FolderReaders<'a> {
    /// What folders are sorted by.
    pub(super) fn order(&self) -> (&'a str, &'a str, &str) {
        let first = self.readers.first();
        let names = first.map(|first| (first.component.as_str(), first.release.as_str()));
        let (component, release) = names.unwrap_or_default();
        (component, release, &self.folder)
    }

    /// The folder left alone as its patches are unknown, once per reader that would change them.
    fn faulty(&self, why: &impl ToString) -> Vec<LeftAlone> {
        let why = why.to_string();
        let concerned = self.readers.iter().filter(|facts| has_todo(facts));
        let left = concerned.map(|facts| LeftAlone {
            patch_set: facts.patch_set.clone(),
            name: facts.folder.clone(),
            reason: LeftAloneReason::FolderFaulty { why: why.clone() },
        });
        left.collect()
    }

    pub(super) fn component(&self) -> &'a str {
        self.order().0
    }

    /// The releases, without repetition.
    pub(super) fn releases(&self) -> Vec<String> {
        let releases: BTreeSet<&str> = self.readers.iter().map(|facts| facts.release.as_str()).collect();
        releases.into_iter().map(ToOwned::to_owned).collect()
    }

    /// Whether names are renumbered: all readers have to want it.
    pub(super) fn renumbering(&self) -> Renumbering {
        let mut policies = self.readers.iter().map(|facts| facts.policy.renumber);
        if policies.all(|renumber| renumber == Renumbering::OnDrop) {
            Renumbering::OnDrop
        } else {
            Renumbering::Never
        }
    }
}

/// A change that may be made.
#[derive(Clone, Debug)]
pub(super) struct ChangeCandidate<'a> {
    pub(super) readers: FolderReaders<'a>,
    pub(super) folder: String,
    /// The patch's name on the base.
    pub(super) name: String,
    pub(super) kind: CandidateKind,
    id: ChangeId,
    subject: Option<String>,
    applies_as_it_is: bool,
}

/// What happens to a patch.
#[derive(Clone, Debug)]
pub(super) enum CandidateKind {
    Drop(MergedStatus),
    Refresh(RefreshedPatch),
}

impl ChangeCandidate<'_> {
    /// The change left alone, once per reader of the folder.
    pub(super) fn left_alone(&self, reason: &LeftAloneReason) -> Vec<LeftAlone> {
        let readers = self.readers.readers.iter();
        let left = readers.map(|facts| LeftAlone {
            patch_set: facts.patch_set.clone(),
            name: self.name.clone(),
            reason: reason.clone(),
        });
        left.collect()
    }

    /// The change that is made.
    pub(super) fn into_change(
        self,
        elsewhere: Vec<PatchElsewhere>,
        name_in_commit: String,
        edited: SeriesEdit,
    ) -> PlannedChange {
        let first = self.readers.readers.first();
        PlannedChange {
            patch_sets: self
                .readers
                .readers
                .iter()
                .map(|facts| facts.patch_set.clone())
                .collect(),
            component: self.readers.component().to_owned(),
            releases: self.readers.releases(),
            upstream: first.and_then(|facts| facts.upstream.clone()),
            id: self.id,
            folder: self.folder,
            name: self.name,
            name_in_commit,
            subject: self.subject,
            kind: match self.kind {
                CandidateKind::Drop(merged) => ChangeKind::Drop { merged, elsewhere },
                CandidateKind::Refresh(refreshed) => ChangeKind::Refresh {
                    how: refreshed.how,
                    files: refreshed.files,
                    range_diff: refreshed.range_diff,
                    applies_as_it_is: self.applies_as_it_is,
                },
            },
            renamed: edited.renamed,
            notes: edited.notes,
        }
    }
}

/// What is to be done for a folder.
#[derive(Default)]
pub(super) struct FolderCandidates<'a> {
    pub(super) candidates: Vec<ChangeCandidate<'a>>,
    pub(super) left_alone: Vec<LeftAlone>,
}

/// Finds what is to be done for a folder: drops first, each kind in the order of the patches.
pub(super) fn find_candidates<'a>(
    files: &dyn RepositoryFiles,
    readers: &FolderReaders<'a>,
    (refreshed, withheld): (&dyn RefreshedPatches, &WithheldChanges),
    now: Timestamp,
) -> Result<FolderCandidates<'a>, LayoutError> {
    let mut found = FolderCandidates::default();
    if readers.readers.iter().all(|facts| !has_todo(facts)) {
        return Ok(found);
    }
    let wanted: BTreeSet<&str> = readers
        .readers
        .iter()
        .flat_map(|facts| &facts.patches)
        .filter(|patch| todo(patch).is_some())
        .map(|patch| patch.name.as_str())
        .collect();
    let series = match Series::read(files, &readers.folder) {
        Ok(Some(series)) => series,
        Ok(None) => return Ok(found),
        Err(error @ LayoutError::Files(_)) => return Err(error),
        Err(error) => {
            found.left_alone.extend(readers.faulty(&error));
            return Ok(found);
        }
    };
    if let Some(fault) = series.blocking_fault() {
        found.left_alone.extend(readers.faulty(fault));
        return Ok(found);
    }
    let judge = Judge {
        readers,
        refreshed,
        withheld,
        now,
    };
    let mut there = BTreeSet::new();
    let mut refreshes = Vec::new();
    for patch in &series.patches {
        let shown = shown_name(&patch.name);
        there.insert(shown.clone());
        if !wanted.contains(shown.as_str()) {
            continue;
        }
        let bytes = match files.read(&patch.path, ContentLimits::default().file) {
            Ok(bytes) => bytes,
            Err(error @ FilesError::Unreadable { .. }) => return Err(error.into()),
            Err(error) => {
                found.left_alone.extend(readers.faulty(&error));
                return Ok(found);
            }
        };
        match judge.judge(&patch.name, Oid::of_blob(&bytes)) {
            Judgement::Change(candidate) => match candidate.kind {
                CandidateKind::Drop(_) => found.candidates.push(*candidate),
                CandidateKind::Refresh(_) => refreshes.push(*candidate),
            },
            Judgement::LeftAlone(left) => found.left_alone.extend(left),
        }
    }
    found.candidates.append(&mut refreshes);
    for facts in readers.readers.iter().filter(|facts| has_todo(facts)) {
        let gone = facts.patches.iter().filter(|patch| {
            !there.contains(&patch.name) && proposed_action(facts, patch) == Some(UpkeepAction::PullRequest)
        });
        found.left_alone.extend(gone.map(|patch| LeftAlone {
            patch_set: facts.patch_set.clone(),
            name: patch.name.clone(),
            reason: LeftAloneReason::GoneSince,
        }));
        if facts.omitted > 0 {
            found.left_alone.push(LeftAlone {
                patch_set: facts.patch_set.clone(),
                name: facts.folder.clone(),
                reason: LeftAloneReason::NotListed { count: facts.omitted },
            });
        }
    }
    Ok(found)
}

/// Whether a `PatchSet` proposes something for one of its patches.
fn has_todo(facts: &SeriesFacts) -> bool {
    let mut patches = facts.patches.iter();
    facts.is_current && patches.any(|patch| proposed_action(facts, patch) == Some(UpkeepAction::PullRequest))
}

/// The action that a `PatchSet` wants for a patch; `None` if there is nothing to do for it.
pub(super) fn proposed_action(facts: &SeriesFacts, patch: &PatchStatus) -> Option<UpkeepAction> {
    Some(match todo(patch)? {
        Ok(Todo::Refresh) => facts.policy.refresh,
        Ok(Todo::Drop(_)) | Err(_) => facts.policy.drop,
    })
}

/// The decision on a patch for which there is something to do.
enum Judgement<'a> {
    Change(Box<ChangeCandidate<'a>>),
    LeftAlone(Vec<LeftAlone>),
}

/// What one reader says of a patch.
enum Opinion {
    /// It proposes a change.
    Change(Todo),
    /// It keeps the patch unchanged.
    Keeps,
    /// It only allows reporting what is to be done.
    Reports,
    /// Something is to be done, and is left alone.
    LeftAlone(LeftAloneReason),
}

struct Judge<'j, 'a> {
    readers: &'j FolderReaders<'a>,
    refreshed: &'j dyn RefreshedPatches,
    withheld: &'j WithheldChanges,
    now: Timestamp,
}

impl<'a> Judge<'_, 'a> {
    fn judge(&self, name: &str, blob: Oid) -> Judgement<'a> {
        let opinions: Vec<(&SeriesFacts, Opinion)> = self
            .readers
            .readers
            .iter()
            .map(|facts| (*facts, self.opinion(facts, name, blob)))
            .collect();
        let wants = opinions.iter().filter_map(|(facts, opinion)| match opinion {
            Opinion::Change(todo) => Some((*facts, todo)),
            _ => None,
        });
        // If upstream's change differs for one of them, that is the one to look at.
        let differs = |todo: &Todo| matches!(todo, Todo::Drop(merged) if merged.differs);
        let Some((first, wanted)) = wants.max_by_key(|(_, todo)| differs(todo)) else {
            // If none may propose it, each has its own reason.
            let left = opinions.into_iter().filter_map(|(facts, opinion)| match opinion {
                Opinion::LeftAlone(reason) => Some(left_alone(facts, name, reason)),
                Opinion::Change(_) | Opinion::Keeps | Opinion::Reports => None,
            });
            return Judgement::LeftAlone(left.collect());
        };
        let objection = opinions.iter().find_map(|(facts, opinion)| {
            let patch_set = facts.patch_set.clone();
            match opinion {
                Opinion::Change(todo) if is_same(todo, wanted) => None,
                Opinion::Change(_) | Opinion::Keeps => Some(LeftAloneReason::NeededBy { patch_set }),
                Opinion::Reports => Some(LeftAloneReason::NotAllowedBy { patch_set }),
                Opinion::LeftAlone(_) if !facts.is_current => Some(LeftAloneReason::WaitsFor { patch_set }),
                Opinion::LeftAlone(reason) => Some(reason.clone()),
            }
        });
        let change = match objection {
            Some(reason) => Err(reason),
            None => self.candidate(first, wanted, (name, blob)),
        };
        match change {
            Ok(candidate) => Judgement::Change(Box::new(candidate)),
            Err(reason) => {
                let concerned = opinions
                    .iter()
                    .filter(|(_, opinion)| matches!(opinion, Opinion::Change(_) | Opinion::LeftAlone(_)));
                let left = concerned.map(|(facts, _)| left_alone(facts, name, reason.clone()));
                Judgement::LeftAlone(left.collect())
            }
        }
    }

    fn opinion(&self, facts: &SeriesFacts, name: &str, blob: Oid) -> Opinion {
        let shown = shown_name(name);
        if !facts.is_current {
            return Opinion::LeftAlone(LeftAloneReason::NotTried);
        }
        let Some(patch) = facts.patches.iter().find(|patch| patch.name == shown) else {
            return if facts.omitted > 0 {
                Opinion::LeftAlone(LeftAloneReason::NotListed { count: facts.omitted })
            } else {
                Opinion::LeftAlone(LeftAloneReason::WaitsFor {
                    patch_set: facts.patch_set.clone(),
                })
            };
        };
        let Some(todo) = todo(patch) else {
            return Opinion::Keeps;
        };
        if proposed_action(facts, patch) != Some(UpkeepAction::PullRequest) {
            return Opinion::Reports;
        }
        let todo = match todo {
            Ok(todo) => todo,
            Err(reason) => return Opinion::LeftAlone(reason),
        };
        let known = patch.blob.as_ref().map(|known| known.as_str().to_owned());
        let is_tried = match known {
            None => Err(LeftAloneReason::NotTried),
            Some(known) if known != blob.to_string() => Err(LeftAloneReason::ChangedSince),
            // What an open request proposes stays in it: it has waited long enough once.
            Some(_) if facts.is_in_open_request(&shown) => Ok(()),
            Some(_) => check_age(patch, facts.policy.after, self.now),
        };
        if let Err(reason) = is_tried {
            return Opinion::LeftAlone(reason);
        }
        let harm = self.withheld.harmful.get(&facts.patch_set);
        match (harm, &todo) {
            (Some((WithheldPart::All, harm)), _) | (Some((WithheldPart::Refreshes, harm)), Todo::Refresh) => {
                Opinion::LeftAlone(LeftAloneReason::Harmful(*harm))
            }
            _ => Opinion::Change(todo),
        }
    }

    /// The change, if all that is needed for it is there.
    fn candidate(
        &self,
        first: &SeriesFacts,
        wanted: &Todo,
        (name, blob): (&str, Oid),
    ) -> Result<ChangeCandidate<'a>, LeftAloneReason> {
        let (kind, follows_from) = match wanted {
            Todo::Drop(merged) => {
                let commit = merged.commit.as_ref().map_or("", |commit| commit.as_str());
                let follows_from = format!("drop {} {} {commit}", merged.by, merged.differs);
                (CandidateKind::Drop(merged.clone()), follows_from)
            }
            Todo::Refresh => {
                let made = self.refreshed_for_all(name, blob)?;
                let follows_from = format!("refresh {}", made.how);
                (CandidateKind::Refresh(made.clone()), follows_from)
            }
        };
        let id = ChangeId::new(&self.readers.folder, (name, blob), &follows_from);
        let is_declined = self.withheld.declined.contains(&id)
            || self
                .readers
                .readers
                .iter()
                .any(|facts| facts.declined.contains(&id));
        if is_declined {
            return Err(LeftAloneReason::Declined { change: id });
        }
        let patch = first.patch(&shown_name(name), &blob.to_string());
        Ok(ChangeCandidate {
            readers: self.readers.clone(),
            folder: self.readers.folder.clone(),
            name: name.to_owned(),
            kind,
            id,
            subject: patch.and_then(|patch| patch.subject.clone()),
            applies_as_it_is: patch.is_some_and(|patch| patch.state == PatchState::Offset),
        })
    }

    /// The refreshed patch, if it is the same for all readers.
    fn refreshed_for_all(&self, name: &str, blob: Oid) -> Result<&RefreshedPatch, LeftAloneReason> {
        let mut found: Option<&RefreshedPatch> = None;
        for facts in &self.readers.readers {
            let made = self.refreshed.refreshed(&facts.patch_set, name);
            let made = made.ok_or(LeftAloneReason::NotRefreshed)?;
            if made.original != blob {
                return Err(LeftAloneReason::ChangedSince);
            }
            if found.is_some_and(|found| found.bytes != made.bytes) {
                return Err(LeftAloneReason::NeededBy {
                    patch_set: facts.patch_set.clone(),
                });
            }
            found = Some(made);
        }
        found.ok_or(LeftAloneReason::NotRefreshed)
    }
}

/// Whether two want the same to be done.
fn is_same(one: &Todo, other: &Todo) -> bool {
    matches!(
        (one, other),
        (Todo::Drop(_), Todo::Drop(_)) | (Todo::Refresh, Todo::Refresh)
    )
}

fn left_alone(facts: &SeriesFacts, name: &str, reason: LeftAloneReason) -> LeftAlone {
    LeftAlone {
        patch_set: facts.patch_set.clone(),
        name: name.to_owned(),
        reason,
    }
}
