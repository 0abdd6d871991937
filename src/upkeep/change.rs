//! Changes to the patches of a repository, as commits.

use std::collections::BTreeSet;

use jiff::Timestamp;
use patchset_api::upstream_history::{MergedStatus, RefreshKind};

use super::change_id::ChangeId;
use super::left_alone::LeftAlone;
use super::refreshed::MovedFile;
use super::same_patch::PatchElsewhere;
use crate::layout::RepositoryEdit;

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

    /// Whether the series of a `PatchSet` changes, or may do so once it was tried.
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
