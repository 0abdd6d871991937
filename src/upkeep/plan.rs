//! Which commits are to be made on the base.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;

use super::facts::SeriesFacts;
use super::folder_plan::{Candidate, CandidateKind, FolderReaders, find_candidates};
use super::left_alone::{LeftAlone, LeftAloneReason};
use super::marker::{CommitMark, digest};
use super::message::commit_message;
use super::proof::WithheldChanges;
use super::refreshed::{MovedFile, RefreshedPatches};
use super::same_patch::{PatchElsewhere, PatchKey, why_it_stays};
use crate::api::upkeep::{Renumbering, UpkeepAction, UpkeepState};
use crate::api::upstream_history::{MergedStatus, RefreshKind};
use crate::layout::{
    ComponentSeries, ContentLimits, EditedFiles, FileEdit, LayoutError, RepositoryEdit, RepositoryFiles,
    Series, SeriesChange, SeriesEdit, SeriesEditError, edit_series, folder_without_links,
};
use crate::patch::Oid;
use crate::plan::report::shown_name;

/// The most changes of one request.
pub(super) const MOST_CHANGES: usize = 100;

/// The most patches of other series that are read to find the same one.
const MOST_COMPARED: usize = 2000;

/// The most bytes of a patch that are read.
const LARGEST_PATCH: u64 = 16 << 20;

/// By what a change is known again: the patch with its bytes, and what it follows from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(String);

impl ChangeId {
    /// An id as a status, commit or request has it.
    #[must_use]
    pub fn recorded(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The id of a change to a patch.
    pub(super) fn new(folder: &str, patch: (&str, Oid), follows_from: &str) -> Self {
        let blob = patch.1.to_string();
        let parts = [folder, patch.0, &blob, follows_from];
        Self(digest("upkeep-change/v1", parts.map(str::as_bytes)))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which commits are to be made on the base, in their order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpkeepPlan {
    /// The namespace of the `PatchSet`s.
    pub namespace: String,
    /// A commit a change, each over the result of those before it.
    pub commits: Vec<PlannedCommit>,
    /// What is not proposed though it could be done, and why.
    pub left_alone: Vec<LeftAlone>,
    /// The `PatchSet`s with changes in the request of which it is not known what is to be done:
    /// they are tried just now.
    pub pending: BTreeSet<String>,
    /// When the next change will have been as it is for long enough.
    pub next_due: Option<Timestamp>,
}

/// A change, as a commit.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedCommit {
    /// What is changed.
    pub change: PlannedChange,
    /// The files, over the result of the commits before it.
    pub edit: RepositoryEdit,
    /// The message, with its trailer.
    pub message: String,
    /// A digest over all that the branch changes up to this commit, with what was there before.
    pub content: String,
}

/// A change to a patch.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedChange {
    /// By what it is known again.
    pub id: ChangeId,
    /// The `PatchSet`s that read the folder.
    pub patch_sets: Vec<String>,
    /// Their component.
    pub component: String,
    /// Their releases, without repetition.
    pub releases: Vec<String>,
    /// The folder, without links.
    pub folder: String,
    /// The patch's name on the base.
    pub name: String,
    /// Its name after the commits before this one, which may number patches anew.
    pub name_in_commit: String,
    /// The first line of its message.
    pub subject: Option<String>,
    /// The upstream's revision in few digits.
    pub upstream: Option<String>,
    /// What becomes of it.
    pub kind: ChangeKind,
    /// The names that other patches get.
    pub renamed: Vec<(String, String)>,
    /// What is to be told of links and of the order, in sentences.
    pub notes: Vec<String>,
}

/// What becomes of a patch.
#[derive(Clone, Debug, PartialEq)]
pub enum ChangeKind {
    /// It is dropped.
    Drop {
        /// That upstream has it.
        merged: MergedStatus,
        /// Where it stays.
        elsewhere: Vec<PatchElsewhere>,
    },
    /// It is made anew.
    Refresh {
        /// The strongest means that one of its files needed.
        how: RefreshKind,
        /// What was done for each of its files that needed it.
        files: Vec<MovedFile>,
        /// What changes in the patch but for the numbers of lines, as a diff.
        range_diff: Option<String>,
        /// Whether it applies as it is.
        applies_as_it_is: bool,
    },
}

impl UpkeepPlan {
    /// Whether nothing is to be proposed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    /// The `PatchSet`s whose series change.
    #[must_use]
    pub fn patch_sets(&self) -> BTreeSet<&str> {
        let changed = self.commits.iter().flat_map(|commit| &commit.change.patch_sets);
        changed.map(String::as_str).collect()
    }

    /// The changes' ids, in their order.
    #[must_use]
    pub fn changes(&self) -> Vec<ChangeId> {
        let changes = self.commits.iter().map(|commit| commit.change.id.clone());
        changes.collect()
    }

    /// A digest over all that the branch changes, with what was there before: a branch with the same
    /// is up to date, and can be merged. Empty where nothing is.
    #[must_use]
    pub fn content(&self) -> &str {
        self.commits.last().map_or("", |commit| &commit.content)
    }

    /// The same without the files: enough for what a status says of it.
    #[must_use]
    pub fn without_edits(mut self) -> Self {
        for commit in &mut self.commits {
            commit.edit = RepositoryEdit::default();
        }
        self
    }

    /// All changes together, over the base.
    #[must_use]
    pub fn whole_edit(&self) -> RepositoryEdit {
        let mut whole = RepositoryEdit::default();
        for commit in &self.commits {
            whole.merge(commit.edit.clone());
        }
        whole
    }
}

/// Says which commits are to be made on the base, whose files these are.
///
/// `facts` has all `PatchSet`s of a namespace that read from the base, also those that propose
/// nothing: they have a say in folders that several read.
///
/// # Errors
///
/// Where the files cannot be read, or are too many.
pub fn plan_upkeep(
    namespace: &str,
    files: &dyn RepositoryFiles,
    facts: &[SeriesFacts],
    (refreshed, withheld): (&dyn RefreshedPatches, &WithheldChanges),
    now: Timestamp,
) -> Result<UpkeepPlan, LayoutError> {
    let mut planner = Planner {
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

/// The names that patches of folders have by now, by folder and the name on the base.
type NewNames = BTreeMap<(String, String), String>;

struct Planner<'a> {
    files: &'a dyn RepositoryFiles,
    facts: &'a [SeriesFacts],
    /// Those that read each folder without links.
    readers: BTreeMap<String, Vec<&'a SeriesFacts>>,
    /// All changes so far, over the base.
    edit: RepositoryEdit,
    /// What patches are known by, by folder and name, of components of which one is dropped.
    keys: BTreeMap<(String, String), PatchKey>,
    plan: UpkeepPlan,
}

impl<'a> Planner<'a> {
    /// The folders that are read, without links, each with those that read it.
    fn folders(&mut self) -> Result<Vec<FolderReaders<'a>>, LayoutError> {
        let mut folders: BTreeMap<String, FolderReaders<'a>> = BTreeMap::new();
        for facts in self.facts {
            let policy = &facts.policy;
            let proposes = [policy.drop, policy.refresh].contains(&UpkeepAction::PullRequest);
            // What is in the request stays there while it is tried anew.
            let state = facts.status.as_ref().map(|status| status.state);
            if proposes && !facts.is_current && state == Some(UpkeepState::Proposed) {
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

    /// Reads by what the patches of components are known of which one is dropped. What cannot be
    /// read is known by nothing.
    fn read_keys(&mut self, folders: &[FolderReaders<'a>], candidates: &[Candidate<'a>]) {
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

    /// Where else a patch is that is dropped, and stays.
    fn elsewhere(
        &self,
        candidate: &Candidate<'a>,
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
        candidate: Candidate<'a>,
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

    /// The files of a change over the result of those before it.
    fn edited(
        &self,
        candidate: &Candidate<'a>,
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

    /// A digest over all changes with another one, each with what is there before it.
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
