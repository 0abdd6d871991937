//! Changes to the patches of a repository, as commits.

use std::collections::BTreeSet;

use jiff::Timestamp;
use patchset_api::upstream_history::{MergedStatus, RefreshKind};

use super::change_id::ChangeId;
use super::left_alone::LeftAlone;
use super::refreshed::MovedFile;
use super::same_patch::PatchElsewhere;
use crate::layout::RepositoryEdit;

/// The commits to make on the base, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UpkeepPlan {
    /// The namespace of the `PatchSet`s.
    pub namespace: String,
    /// One commit per change, each on top of those before it.
    pub commits: Vec<PlannedCommit>,
    /// What is not proposed though it could be done, and why.
    pub left_alone: Vec<LeftAlone>,
    /// The `PatchSet`s with changes in the request for which it is unknown what to do, because they
    /// are being tried.
    pub pending: BTreeSet<String>,
    /// When the next change will have been pending for long enough.
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
    /// A digest over all that the branch changes up to this commit, and over what was there before.
    pub content: String,
}

/// A change to a patch.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedChange {
    /// What the change is recognised by.
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
    /// Its name after the commits before this one, which may renumber patches.
    pub name_in_commit: String,
    /// The first line of its message.
    pub subject: Option<String>,
    /// The upstream's revision, abbreviated.
    pub upstream: Option<String>,
    /// What happens to it.
    pub kind: ChangeKind,
    /// The names that other patches get.
    pub renamed: Vec<(String, String)>,
    /// Notes on links and on the order, in sentences.
    pub notes: Vec<String>,
}

/// What happens to a patch.
#[derive(Clone, Debug, PartialEq)]
pub enum ChangeKind {
    /// It is dropped.
    Drop {
        /// How upstream has it.
        merged: MergedStatus,
        /// The other series in which it stays.
        elsewhere: Vec<PatchElsewhere>,
    },
    /// It is refreshed.
    Refresh {
        /// The strongest means that one of its files needed.
        how: RefreshKind,
        /// What was done for each of its files that needed it.
        files: Vec<MovedFile>,
        /// What changes in the patch apart from line numbers, as a diff.
        range_diff: Option<String>,
        /// Whether it applies unchanged.
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

    /// Whether the series of a `PatchSet` changes, or may change once it is tried.
    #[must_use]
    pub fn concerns(&self, patch_set: &str) -> bool {
        self.patch_sets().contains(patch_set) || self.pending.contains(patch_set)
    }

    /// The changes' ids, in their order.
    #[must_use]
    pub fn changes(&self) -> Vec<ChangeId> {
        let changes = self.commits.iter().map(|commit| commit.change.id.clone());
        changes.collect()
    }

    /// A digest over all that the branch changes, and over what was there before: a branch with the
    /// same digest is up to date and can be merged. Empty if nothing changes.
    #[must_use]
    pub fn content(&self) -> &str {
        self.commits.last().map_or("", |commit| &commit.content)
    }

    /// The plan without the files: enough for what a status says of it.
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
