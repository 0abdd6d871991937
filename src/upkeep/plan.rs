//! Which commits to make on the base.

use std::collections::{BTreeMap, BTreeSet};

use git_apply_engine::Oid;
use jiff::Timestamp;
use patchset_api::upkeep::{Renumbering, UpkeepAction};

use super::change::{PlannedCommit, UpkeepPlan};
use super::change_id::digest;
use super::facts::SeriesFacts;
use super::folder_plan::{CandidateKind, ChangeCandidate, FolderReaders, find_candidates};
use super::left_alone::{LeftAlone, LeftAloneReason};
use super::marker::CommitMark;
use super::message::commit_message;
use super::proof::WithheldChanges;
use super::refreshed::RefreshedPatches;
use super::same_patch::{PatchElsewhere, PatchKey, why_it_stays};
use crate::layout::{
    ComponentSeries, ContentLimits, EditedFiles, FileEdit, LayoutError, RepositoryEdit, RepositoryFiles,
    Series, SeriesChange, SeriesEdit, SeriesEditError, edit_series, folder_without_links,
};
use crate::plan::report::shown_name;

/// The most changes of one request.
pub(super) const MOST_CHANGES: usize = 100;

/// The most patches of other series that are read to find the same one.
const MOST_COMPARED: usize = 2000;

/// The most bytes of a patch that are read.
const LARGEST_PATCH: u64 = 16 << 20;

/// Plans the commits to make on the base, whose files are `files`.
///
/// `facts` has all `PatchSet`s of a namespace that read from the base, including those that propose
/// nothing: they have a say in shared folders.
///
/// # Errors
///
/// If the files cannot be read, or are too many.
pub fn plan_upkeep(
    namespace: &str,
    files: &dyn RepositoryFiles,
    facts: &[SeriesFacts],
    (refreshed, withheld): (&dyn RefreshedPatches, &WithheldChanges),
    now: Timestamp,
) -> Result<UpkeepPlan, LayoutError> {
    let mut planner = UpkeepPlanner {
        files,
        facts,
        readers: BTreeMap::new(),
        edit: RepositoryEdit::default(),
        keys: BTreeMap::new(),
        plan: UpkeepPlan {
            namespace: namespace.to_owned(),
            ..UpkeepPlan::default()
        },
    };
    let folders = planner.folders()?;
    let by_folder = folders
        .iter()
        .map(|found| (found.folder.clone(), found.readers.clone()));
    planner.readers = by_folder.collect();
    let mut candidates = Vec::new();
    for readers in &folders {
        let found = find_candidates(files, readers, (refreshed, withheld), now)?;
        candidates.extend(found.candidates);
        planner.plan.left_alone.extend(found.left_alone);
    }
    planner.read_keys(&folders, &candidates);
    let all: BTreeSet<(String, String)> = candidates
        .iter()
        .filter(|candidate| matches!(candidate.kind, CandidateKind::Drop(_)))
        .map(|candidate| (candidate.folder.clone(), candidate.name.clone()))
        .collect();
    let mut renamed = BTreeMap::new();
    for candidate in candidates {
        planner.add(candidate, &all, &mut renamed)?;
    }
    let mut plan = planner.plan;
    let untried = plan.left_alone.iter().filter(|left| {
        let is_untried = matches!(
            left.reason,
            LeftAloneReason::ChangedSince | LeftAloneReason::NotTried
        );
        let mut own = facts.iter().filter(|facts| facts.patch_set == left.patch_set);
        is_untried && own.any(|facts| facts.is_in_open_request(&shown_name(&left.name)))
    });
    let untried: Vec<String> = untried.map(|left| left.patch_set.clone()).collect();
    plan.pending.extend(untried);
    plan.next_due = plan
        .left_alone
        .iter()
        .filter_map(|left| match left.reason {
            LeftAloneReason::TooFresh { until } => Some(until),
            _ => None,
        })
        .min();
    Ok(plan)
}

/// The names of patches after the commits so far, by folder and by their name on the base.
type NewNames = BTreeMap<(String, String), String>;

struct UpkeepPlanner<'a> {
    files: &'a dyn RepositoryFiles,
    facts: &'a [SeriesFacts],
    /// The readers of each folder, with links resolved.
    readers: BTreeMap<String, Vec<&'a SeriesFacts>>,
    /// All changes so far, over the base.
    edit: RepositoryEdit,
    /// The keys of patches, by folder and name, of the components that drop one.
    keys: BTreeMap<(String, String), PatchKey>,
    plan: UpkeepPlan,
}

impl<'a> UpkeepPlanner<'a> {
    /// The folders that are read, with links resolved, each with its readers.
    fn folders(&mut self) -> Result<Vec<FolderReaders<'a>>, LayoutError> {
        let mut folders: BTreeMap<String, FolderReaders<'a>> = BTreeMap::new();
        for facts in self.facts {
            let policy = &facts.policy;
            let proposes = [policy.drop, policy.refresh].contains(&UpkeepAction::PullRequest);
            // What is in the request stays there while it is tried again.
            if proposes && !facts.is_current && facts.has_open_request() {
                self.plan.pending.insert(facts.patch_set.clone());
            }
            if let Some(folder) = folder_without_links(self.files, &facts.folder)? {
                let readers = folders.entry(folder.clone()).or_insert_with(|| FolderReaders {
                    folder,
                    readers: Vec::new(),
                });
                readers.readers.push(facts);
            } else if proposes && !facts.patches.is_empty() {
                self.plan.left_alone.push(LeftAlone {
                    patch_set: facts.patch_set.clone(),
                    name: facts.folder.clone(),
                    reason: LeftAloneReason::FolderGone,
                });
            }
        }
        let mut folders: Vec<FolderReaders<'a>> = folders.into_values().collect();
        folders.sort_by(|one, other| one.order().cmp(&other.order()));
        Ok(folders)
    }

    /// Reads the keys of the patches of all components that drop one. A patch that cannot be read
    /// has no key.
    fn read_keys(&mut self, folders: &[FolderReaders<'a>], candidates: &[ChangeCandidate<'a>]) {
        let dropped: BTreeSet<&str> = candidates
            .iter()
            .filter(|candidate| matches!(candidate.kind, CandidateKind::Drop(_)))
            .map(|candidate| candidate.readers.component())
            .collect();
        let concerned = folders
            .iter()
            .filter(|readers| dropped.contains(readers.component()));
        for readers in concerned {
            let Ok(Some(series)) = Series::read(self.files, &readers.folder) else {
                continue;
            };
            for patch in series.patches {
                if self.keys.len() >= MOST_COMPARED {
                    return;
                }
                if let Ok(bytes) = self.files.read(&patch.path, LARGEST_PATCH) {
                    let key = PatchKey::read(&patch.name, &bytes);
                    self.keys.insert((readers.folder.clone(), patch.name), key);
                }
            }
        }
    }

    /// Where else a dropped patch is, and stays.
    fn elsewhere(
        &self,
        candidate: &ChangeCandidate<'a>,
        dropped: &BTreeSet<(String, String)>,
    ) -> Vec<PatchElsewhere> {
        let own = (candidate.folder.clone(), candidate.name.clone());
        let Some(key) = self.keys.get(&own) else {
            return Vec::new();
        };
        let mut found: Vec<PatchElsewhere> = self
            .keys
            .iter()
            .filter(|(place, _)| place.0 != own.0 && !dropped.contains(*place))
            .flat_map(|((folder, name), other)| {
                let readers = self.readers.get(folder).into_iter().flatten();
                readers.map(move |facts| (*facts, name, other))
            })
            .filter(|(facts, ..)| facts.component == candidate.readers.component())
            .filter_map(|(facts, name, other)| {
                let known_by = key.known_by(other)?;
                let blob = other.blob().to_string();
                Some(PatchElsewhere {
                    patch_set: facts.patch_set.clone(),
                    release: facts.release.clone(),
                    name: name.clone(),
                    known_by,
                    why: why_it_stays(facts.patch(&shown_name(name), &blob)),
                })
            })
            .collect();
        found.sort_by(|one, other| (&one.release, &one.name).cmp(&(&other.release, &other.name)));
        found
    }

    /// Adds the commit of a candidate.
    fn add(
        &mut self,
        candidate: ChangeCandidate<'a>,
        dropped: &BTreeSet<(String, String)>,
        renamed: &mut NewNames,
    ) -> Result<(), LayoutError> {
        if self.plan.commits.len() >= MOST_CHANGES {
            self.plan
                .left_alone
                .extend(candidate.left_alone(&LeftAloneReason::TooMany { most: MOST_CHANGES }));
            return Ok(());
        }
        let place = (candidate.folder.clone(), candidate.name.clone());
        let name = renamed.get(&place).unwrap_or(&candidate.name).clone();
        let made = match self.edited(&candidate, &name)? {
            Ok(made) if !made.edit.is_empty() => made,
            Ok(_) => return Ok(()),
            Err(why) => {
                let why = why.to_string();
                let left = candidate.left_alone(&LeftAloneReason::NotEditable { why });
                self.plan.left_alone.extend(left);
                return Ok(());
            }
        };
        let names = made.renamed.iter().map(|(from, to)| {
            let before = renamed
                .iter()
                .find(|((folder, _), now)| *folder == candidate.folder && *now == from);
            let base = before.map_or(from, |((_, base), _)| base);
            ((candidate.folder.clone(), base.clone()), to.clone())
        });
        let names: Vec<_> = names.collect();
        renamed.extend(names);
        let elsewhere = self.elsewhere(&candidate, dropped);
        let content = self.content_with(&made.edit);
        let edit = made.edit.clone();
        let change = candidate.into_change(elsewhere, name, made);
        let mark = CommitMark {
            namespace: self.plan.namespace.clone(),
            change: change.id.clone(),
            content: content.clone(),
        };
        self.plan.commits.push(PlannedCommit {
            message: commit_message(&change, &mark),
            change,
            edit: edit.clone(),
            content,
        });
        self.edit.merge(edit);
        Ok(())
    }

    /// The files of a change, on top of those before it.
    fn edited(
        &self,
        candidate: &ChangeCandidate<'a>,
        name: &str,
    ) -> Result<Result<SeriesEdit, SeriesEditError>, LayoutError> {
        let files = EditedFiles::new(self.files, &self.edit);
        let Some(series) = Series::read(&files, &candidate.folder)? else {
            return Ok(Ok(SeriesEdit::default()));
        };
        let series = ComponentSeries {
            component: candidate.readers.component().to_owned(),
            release: candidate.readers.releases().concat(),
            organisation: None,
            folder: candidate.folder.clone(),
            series,
            reference: None,
        };
        let name = name.to_owned();
        let change = match &candidate.kind {
            CandidateKind::Drop(_) => SeriesChange::Drop { name },
            CandidateKind::Refresh(refreshed) => SeriesChange::Replace {
                name,
                bytes: refreshed.bytes.clone(),
            },
        };
        let is_drop = matches!(candidate.kind, CandidateKind::Drop(_));
        if is_drop && candidate.readers.renumbering() == Renumbering::OnDrop {
            let changes = [change.clone(), SeriesChange::Renumber];
            if let Ok(edited) = edit_series(&files, "", &series, &changes) {
                return Ok(Ok(edited));
            }
        }
        Ok(edit_series(&files, "", &series, &[change]))
    }

    /// A digest over all changes and another one, each with what was there before it.
    fn content_with(&self, edit: &RepositoryEdit) -> String {
        let files = EditedFiles::new(self.files, &self.edit);
        let mut parts: Vec<Vec<u8>> = vec![self.plan.content().as_bytes().to_vec()];
        for edit in edit.edits() {
            let (path, after) = match edit {
                FileEdit::Write { path, bytes } => (path, Some(Oid::of_blob(bytes))),
                FileEdit::Remove { path } => (path, None),
            };
            let before = files.read(path, ContentLimits::default().file).ok();
            let before = before.map(|bytes| Oid::of_blob(&bytes));
            parts.push(path.as_bytes().to_vec());
            parts.push(format!("{before:?} {after:?}").into_bytes());
        }
        digest("upkeep-content/v1", parts.iter().map(Vec::as_slice))
    }
}
