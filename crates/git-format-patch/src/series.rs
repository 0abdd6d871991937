//! The patches of a branch.

use std::collections::BTreeSet;

use bstr::ByteSlice;
use git_apply_engine::{ObjectError, Oid};

use super::changes::{Change, TreeComparison};
use super::contents::Contents;
use super::error::FormatError;
use super::range::BranchRange;
use super::raw_commit::{RawCommit, skip_blank_lines};
use super::store::CommitStore;
use super::subject::{Fate, SubjectPolicy};
use super::work::{FormatLimits, Work};
use super::{file_diff, mail, name, renames, stat};

/// A commit as a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormattedPatch {
    /// The commit.
    pub commit: Oid,
    /// Its file name, such as `0001-Fix-it.patch`.
    pub name: String,
    /// The mail, as `git format-patch --no-numbered --no-signature --full-index` writes it.
    pub bytes: Vec<u8>,
}

/// The patches of a branch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormattedSeries {
    /// The patches, oldest commit first.
    pub patches: Vec<FormattedPatch>,
    /// The subjects of commits that the policy on subjects leaves out.
    pub dropped: Vec<String>,
    /// The subjects of commits without a mark that this policy expects.
    pub unmarked: Vec<String>,
}

impl FormattedSeries {
    /// Returns a sentence on the commits that the policy on subjects left out or did not know;
    /// `None` if there are none.
    ///
    /// The subjects in it are as the commits' authors wrote them: sanitise them for where they are
    /// shown.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let dropped = "left out, because the upstream is not at the branch's base: ";
        let unmarked = "kept without a mark such as UPSTREAM: <carry>: ";
        let told = [(dropped, &self.dropped), (unmarked, &self.unmarked)].map(|(what, subjects)| {
            let shown: Vec<String> = subjects
                .iter()
                .take(MOST_TOLD)
                .map(|text| format!("{text:?}"))
                .collect();
            let more = subjects.len().saturating_sub(MOST_TOLD);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            (!subjects.is_empty()).then(|| format!("{what}{}{more}", shown.join(", ")))
        });
        let told: Vec<String> = told.into_iter().flatten().collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

/// How many subjects are shown.
const MOST_TOLD: usize = 5;

/// Writes the commits of a branch as patches for a commit of its upstream.
///
/// Commits that change no file are left out, as by `git format-patch`, and so are those that the
/// policy on subjects leaves out if `target` is not the branch's base. The others are numbered as
/// if none were left out.
///
/// # Errors
///
/// If a subject violates the policy, if a commit exceeds the limits, or if something cannot be
/// read.
pub fn format_series(
    store: &dyn CommitStore,
    range: &BranchRange,
    target: Oid,
    policy: SubjectPolicy,
    limits: FormatLimits,
) -> Result<FormattedSeries, FormatError> {
    let work = Work::new(limits);
    let mut series = FormattedSeries::default();
    let base = read(store, range.base)?.tree;
    let mut before = base;
    let mut commits = Vec::new();
    for (number, id) in range.commits.iter().enumerate() {
        let commit = read(store, *id)?;
        let subject = commit.subject();
        let subject = subject.to_str_lossy();
        let fate = policy.decide(*id, &subject, target != range.base)?;
        let tree = commit.tree;
        match fate {
            Fate::Kept => {}
            Fate::Unmarked => series.unmarked.push(subject.into_owned()),
            Fate::Dropped => series.dropped.push(subject.into_owned()),
        }
        if fate != Fate::Dropped && tree != before {
            commits.push((number + 1, before, commit));
        }
        before = tree;
    }
    let all = [&[range.base], range.commits.as_slice()].concat();
    store.expect_trees(&all)?;
    let mut changed = Vec::new();
    let mut blobs = BTreeSet::new();
    for (number, before, commit) in commits {
        let comparison = TreeComparison {
            store,
            work: &work,
            commit: commit.id,
        };
        let changes = comparison.changes(before, commit.tree)?;
        blobs.extend(changes.iter().flat_map(Change::blobs));
        changed.push((number, commit, changes));
    }
    store.expect_blobs(&blobs.into_iter().collect::<Vec<_>>())?;
    for (number, commit, changes) in changed {
        let bytes = one_patch(store, &work, &commit, changes)?;
        work.hold(commit.id, &bytes)?;
        series.patches.push(FormattedPatch {
            commit: commit.id,
            name: name::file_name(number, skip_blank_lines(&commit.message)),
            bytes,
        });
    }
    Ok(series)
}

fn read(store: &dyn CommitStore, id: Oid) -> Result<RawCommit, FormatError> {
    let commit = RawCommit::read(store, id)?;
    commit.ok_or(FormatError::Object(ObjectError::NotFound(id)))
}

fn one_patch(
    store: &dyn CommitStore,
    work: &Work,
    commit: &RawCommit,
    changes: Vec<Change>,
) -> Result<Vec<u8>, FormatError> {
    let contents = Contents::read_all(store, work, commit.id, &changes)?;
    let changes = renames::detect(changes, &contents)?;
    let mut files = Vec::new();
    let mut diffs = Vec::new();
    for change in changes {
        let file = file_diff::write(&change, &contents)?;
        files.push((change, file.counts));
        diffs.extend(file.text);
        work.check_size(commit.id, diffs.len())?;
    }
    let mut text = mail::head(commit);
    text.extend(stat::render(&files));
    text.push(b'\n');
    text.extend(diffs);
    Ok(text)
}
