//! Whether a commit's change is that of a patch, and what differs.

use std::collections::{BTreeMap, BTreeSet};

use git_apply_engine::{
    FileChange, FileDiff, LayeredStore, ObjectError, Objects, Oid, Options, Sequence, applies, apply,
    read_diffs,
};

use super::change::{PathChange, changed_paths, diff, write_hunks};
use super::commit::Commit;
use super::finding::{Bounds, Commits, Difference, HistoryError, Judged, Upcoming};

/// Where commits and their trees are read.
#[derive(Clone, Copy)]
pub(super) struct Upstream<'a> {
    pub(super) commits: &'a dyn Commits,
    pub(super) objects: &'a dyn Objects,
    pub(super) bounds: &'a Bounds,
}

impl Upstream<'_> {
    /// The tree before a commit; `None` for the first one, and an error where the parent is not
    /// known.
    fn tree_before(&self, commit: &Commit) -> Result<Option<Oid>, HistoryError> {
        let Some(parent) = commit.parents.first() else {
            return Ok(None);
        };
        match self.commits.commit(*parent)? {
            Some(parent) => Ok(Some(parent.tree)),
            None => Err(ObjectError::NotFound(*parent).into()),
        }
    }

    /// What a commit changed; `None` if that is too much.
    pub(super) fn change(&self, commit: &Commit) -> Result<Option<Vec<PathChange>>, HistoryError> {
        let before = self.tree_before(commit)?;
        let Some(changes) = changed_paths(self.objects, before, Some(commit.tree))? else {
            return Ok(None);
        };
        let sides = changes.iter().flat_map(|change| [change.old, change.new]);
        let blobs: Vec<Oid> = sides.flatten().map(|side| side.id).collect();
        self.commits.expect(&Upcoming::Blobs(&blobs))?;
        Ok(Some(changes))
    }

    /// The diff of what a commit changed; `None` if that is too much.
    pub(super) fn diff(&self, changes: &[PathChange]) -> Result<Option<Vec<u8>>, HistoryError> {
        diff(self.objects, changes, self.bounds.file_bytes)
    }
}

/// Compares a patch with the change of commits that together make it up.
pub(super) fn compare(
    upstream: Upstream<'_>,
    judged: &Judged<'_>,
    commits: &[&Commit],
) -> Result<Difference, HistoryError> {
    let unknown = |why: String| Ok(Difference::Unknown { why });
    let compared = compare_whole(upstream, judged, commits);
    match compared {
        Ok(Some(difference)) => Ok(difference),
        Ok(None) => unknown("the commit changes too much to be compared".to_owned()),
        // What was not fetched, or is too large, does not fail the finding.
        Err(HistoryError::Object(error @ (ObjectError::NotFound(_) | ObjectError::TooLarge { .. }))) => {
            unknown(error.to_string())
        }
        Err(error) => Err(error),
    }
}

fn compare_whole(
    upstream: Upstream<'_>,
    judged: &Judged<'_>,
    commits: &[&Commit],
) -> Result<Option<Difference>, HistoryError> {
    let forward = Options {
        reverse: false,
        ..judged.options.clone()
    };
    if let [commit] = commits
        && let Some(difference) = compare_trees(upstream, judged, commit, &forward)?
    {
        return Ok(Some(difference));
    }
    let mut theirs = Vec::new();
    for commit in commits {
        let Some(changes) = upstream.change(commit)? else {
            return Ok(None);
        };
        match upstream.diff(&changes)? {
            Some(text) => theirs.extend(text),
            None => return Ok(None),
        }
    }
    let ours = match read_diffs(&judged.patch.bytes, &judged.patch.options(&forward)) {
        Ok(ours) => ours,
        Err(why) => return Ok(Some(Difference::Unknown { why })),
    };
    let limits = Options {
        limits: judged.options.limits,
        ..Options::default()
    };
    let theirs = match read_diffs(&theirs, &limits) {
        Ok(theirs) => theirs,
        // A commit without a change.
        Err(_) if theirs.is_empty() => Vec::new(),
        Err(why) => return Ok(Some(Difference::Unknown { why })),
    };
    let is_whole = commits.len() == 1;
    if lines_of(&ours, is_whole) == lines_of(&theirs, is_whole) {
        return Ok(Some(Difference::Same));
    }
    Ok(Some(differs(
        &between_diffs(&ours, &theirs),
        upstream.bounds.interdiff_bytes,
    )))
}

/// Compares what the patch makes of the tree before a commit with the tree that the commit left;
/// `None` if the patch does not apply there.
fn compare_trees(
    upstream: Upstream<'_>,
    judged: &Judged<'_>,
    commit: &Commit,
    options: &Options,
) -> Result<Option<Difference>, HistoryError> {
    let before = upstream.tree_before(commit)?.unwrap_or_else(|| Oid::of_tree(b""));
    let patch = std::slice::from_ref(judged.patch);
    // Has the empty tree in any case.
    let mut objects = LayeredStore::over(upstream.objects);
    // Why it does not apply is not needed, and takes long to find out.
    if !matches!(applies(&objects, before, patch, options), Ok(true)) {
        return Ok(None);
    }
    let Ok(series) = apply(&objects, before, patch, Sequence::Stacked, options) else {
        return Ok(None);
    };
    if !series
        .patches()
        .iter()
        .all(git_apply_engine::PatchReport::applies)
    {
        return Ok(None);
    }
    if series.tree() == commit.tree {
        return Ok(Some(Difference::Same));
    }
    let tree = series.write(&mut objects)?;
    let Some(changes) = changed_paths(&objects, Some(tree), Some(commit.tree))? else {
        return Ok(None);
    };
    let Some(text) = diff(&objects, &changes, upstream.bounds.file_bytes)? else {
        return Ok(None);
    };
    Ok(Some(differs(&text, upstream.bounds.interdiff_bytes)))
}

/// Shortens an interdiff to whole lines.
fn differs(text: &[u8], most: usize) -> Difference {
    let shown = match text.get(..most) {
        Some(start) => {
            let end = start
                .iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1);
            start.get(..end).unwrap_or_default()
        }
        None => text,
    };
    Difference::Differs {
        interdiff: String::from_utf8_lossy(shown).into_owned(),
        shortened: shown.len() < text.len(),
    }
}

/// The lines that a file loses and gains at one place.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    removed: Vec<Vec<u8>>,
    added: Vec<Vec<u8>>,
}

/// What a diff does to a file, regardless of where.
#[derive(Debug, PartialEq, Eq)]
struct FileLines {
    /// How the file is created, deleted or changed; copies and renames with their old names.
    changes: BTreeSet<(&'static str, Option<Vec<u8>>, u32)>,
    groups: Vec<Group>,
    /// The binary blobs, as far as their ids are given.
    binary: Vec<Vec<u8>>,
}

/// The path by which a file is compared.
fn path_of(file: &FileDiff<'_>) -> Vec<u8> {
    let path = file.new_path.as_ref().or(file.old_path.as_ref());
    path.cloned().unwrap_or_default()
}

/// Returns what diffs do, file by file. For several commits, the order of places is ignored.
fn lines_of(files: &[FileDiff<'_>], in_order: bool) -> BTreeMap<Vec<u8>, FileLines> {
    let mut all: BTreeMap<Vec<u8>, FileLines> = BTreeMap::new();
    for file in files {
        let lines = all.entry(path_of(file)).or_insert_with(|| FileLines {
            changes: BTreeSet::new(),
            groups: Vec::new(),
            binary: Vec::new(),
        });
        let mode = match file.change {
            FileChange::Create | FileChange::Delete => file.new_mode.max(file.old_mode),
            _ if file.old_mode != file.new_mode => file.new_mode,
            _ => 0,
        };
        let (kind, from) = match file.change {
            FileChange::Modify => ("", None),
            FileChange::Create => ("create", None),
            FileChange::Delete => ("delete", None),
            FileChange::Rename => ("rename", file.old_path.clone()),
            FileChange::Copy => ("copy", file.old_path.clone()),
        };
        if !kind.is_empty() || mode != 0 {
            lines.changes.insert((kind, from, mode));
        }
        if file.is_binary {
            lines.binary.push(file.new_id.to_vec());
        }
        for hunk in &file.hunks {
            add_groups(hunk.lines(), &mut lines.groups);
        }
    }
    if !in_order {
        for lines in all.values_mut() {
            lines.groups.sort();
        }
    }
    all
}

fn add_groups<'a>(lines: impl Iterator<Item = &'a [u8]>, groups: &mut Vec<Group>) {
    let mut open = Group::default();
    let mut last_is_added = None;
    for line in lines {
        let text = line.get(1..).unwrap_or_default();
        match line.first() {
            Some(b'-') => {
                open.removed.push(text.to_vec());
                last_is_added = Some(false);
            }
            Some(b'+') => {
                open.added.push(text.to_vec());
                last_is_added = Some(true);
            }
            Some(b'\\') => {
                let side = match last_is_added {
                    Some(true) => open.added.last_mut(),
                    Some(false) => open.removed.last_mut(),
                    None => None,
                };
                if let Some(line) = side {
                    line.pop();
                }
            }
            _ => {
                if open != Group::default() {
                    groups.push(std::mem::take(&mut open));
                }
                last_is_added = None;
            }
        }
    }
    if open != Group::default() {
        groups.push(open);
    }
}

/// The diff of two diffs, file by file, as `git range-diff` shows it: without hunk positions.
fn between_diffs(ours: &[FileDiff<'_>], theirs: &[FileDiff<'_>]) -> Vec<u8> {
    let shown = |files: &[FileDiff<'_>]| -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut all: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for file in files {
            let text = all.entry(path_of(file)).or_default();
            match file.change {
                FileChange::Modify => {}
                FileChange::Create => text.extend(format!(" new file {:o}\n", file.new_mode).as_bytes()),
                FileChange::Delete => text.extend(b" deleted file\n"),
                FileChange::Rename | FileChange::Copy => {
                    let from =
                        String::from_utf8_lossy(file.old_path.as_deref().unwrap_or_default()).into_owned();
                    text.extend(format!(" from {from}\n").as_bytes());
                }
            }
            if file.is_binary {
                text.extend(format!(" binary {}\n", String::from_utf8_lossy(file.new_id)).as_bytes());
            }
            for hunk in &file.hunks {
                text.extend(b"@@\n");
                hunk.lines().for_each(|line| text.extend(line));
            }
        }
        all
    };
    let (ours, theirs) = (shown(ours), shown(theirs));
    let mut out = Vec::new();
    let paths: BTreeSet<&Vec<u8>> = ours.keys().chain(theirs.keys()).collect();
    for path in paths {
        let nothing = Vec::new();
        let (before, after) = (
            ours.get(path).unwrap_or(&nothing),
            theirs.get(path).unwrap_or(&nothing),
        );
        if before != after {
            out.extend([b"## ", path.as_slice(), b" ##\n"].concat());
            write_hunks(before, after, &mut out);
        }
    }
    out
}
