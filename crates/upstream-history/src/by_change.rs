//! Finds the commits with a patch's own change, by the paths that they touch.

use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use bstr::{BString, ByteSlice};
use git_apply_engine::{EntryMode, FileChange, FileDiff, ObjectError, Objects, Oid, read_diffs};

use super::change::{PathChange, Side};
use super::commit::Commit;
use super::difference::{Upstream, compare};
use super::finding::{Difference, HistoryError, Judged, Upcoming};
use super::patch_id::{self, PatchId};
use super::reverts::Noted;
use super::walk::Walk;

/// The most names of folders that are remembered.
const MOST_REMEMBERED: usize = 1 << 18;

/// A folder's tree and a name in it.
type Place = (Oid, BString);

/// What stands at paths of trees; what was read is remembered, because most folders are the same
/// from commit to commit.
pub(super) struct PathReader<'a> {
    objects: &'a dyn Objects,
    known: HashMap<Place, Option<Side>>,
}

impl<'a> PathReader<'a> {
    pub(super) fn new(objects: &'a dyn Objects) -> Self {
        Self {
            objects,
            known: HashMap::new(),
        }
    }

    /// What stands at a path below a tree.
    pub(super) fn at(&mut self, tree: Oid, path: &[u8]) -> Result<Option<Side>, ObjectError> {
        let mut folder = tree;
        let mut names = path.split_str("/").peekable();
        while let Some(name) = names.next() {
            let found = self.entry(folder, name)?;
            match (found, names.peek()) {
                (found, None) => return Ok(found),
                (Some(side), Some(_)) if side.mode == EntryMode::Tree => folder = side.id,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    fn entry(&mut self, folder: Oid, name: &[u8]) -> Result<Option<Side>, ObjectError> {
        let place = (folder, BString::from(name));
        if let Some(known) = self.known.get(&place) {
            return Ok(*known);
        }
        let entries = if folder == Oid::of_tree(b"") {
            Vec::new()
        } else {
            self.objects.tree(folder)?
        };
        let found = entries.iter().find(|entry| entry.name == name).map(|entry| Side {
            mode: entry.mode,
            id: entry.id,
        });
        if self.known.len() >= MOST_REMEMBERED {
            self.known.clear();
        }
        self.known.insert(place, found);
        Ok(found)
    }
}

/// The paths that a patch changes.
pub(super) fn touched_paths(files: &[FileDiff<'_>]) -> BTreeSet<BString> {
    let paths = files.iter().flat_map(|file| {
        // The source of a copy does not change.
        let old = file.old_path.as_ref().filter(|_| file.change != FileChange::Copy);
        [old, file.new_path.as_ref()]
    });
    paths
        .flatten()
        .map(|path| BString::from(path.as_slice()))
        .collect()
}

/// What a commit changed, and its patch-id once it has been computed.
struct Change {
    paths: Vec<PathChange>,
    id: KnownId,
}

/// A patch-id that is computed once.
#[derive(Clone, Copy)]
enum KnownId {
    NotComputed,
    /// `None` where it cannot be computed.
    Computed(Option<PatchId>),
}

/// Finds commits by what they change.
pub(super) struct ByChange<'a> {
    upstream: Upstream<'a>,
    walk: &'a Walk,
    reader: PathReader<'a>,
    /// The changes that were computed; `None` where one cannot be, or is too large.
    changes: HashMap<Oid, Option<Change>>,
    expected: BTreeSet<BString>,
}

impl<'a> ByChange<'a> {
    pub(super) fn new(upstream: Upstream<'a>, walk: &'a Walk) -> Self {
        Self {
            upstream,
            walk,
            reader: PathReader::new(upstream.objects),
            changes: HashMap::new(),
            expected: BTreeSet::new(),
        }
    }

    /// Returns the commits with a patch's patch-id, or whose tree is what the patch makes of their
    /// parent's; newest first. If some are likely, only these are looked at.
    pub(super) fn find(
        &mut self,
        judged: &Judged<'_>,
        likely: &[Rc<Noted>],
    ) -> Result<Vec<(usize, Commit)>, HistoryError> {
        let Ok(files) = read_diffs(&judged.patch.bytes, &judged.patch.options(judged.options)) else {
            return Ok(Vec::new());
        };
        let paths = touched_paths(&files);
        let id = patch_id::stable(&judged.patch.bytes);
        let mut found = Vec::new();
        for noted in likely {
            if self.is_same(judged, &noted.commit, &paths, id)? {
                found.push((noted.number, noted.commit.clone()));
            }
        }
        let Some(first) = paths.first().filter(|_| likely.is_empty()) else {
            return Ok(found);
        };
        self.expect(&paths)?;
        for (number, node) in self
            .walk
            .nodes
            .iter()
            .enumerate()
            .take(self.upstream.bounds.trees)
        {
            if node.is_merge || !self.changes_path(number, first)? {
                continue;
            }
            if let Some(commit) = self.upstream.commits.commit(node.id)?
                && self.is_same(judged, &commit, &paths, id)?
            {
                found.push((number, commit));
            }
        }
        Ok(found)
    }

    /// Whether a commit touches all paths that a patch touches.
    pub(super) fn touches_all(&mut self, judged: &Judged<'_>, commit: &Commit) -> Result<bool, HistoryError> {
        let Ok(files) = read_diffs(&judged.patch.bytes, &judged.patch.options(judged.options)) else {
            return Ok(false);
        };
        let paths = touched_paths(&files);
        let Some(change) = self.change(commit)? else {
            return Ok(false);
        };
        let touched: BTreeSet<&BString> = change.paths.iter().map(|change| &change.path).collect();
        Ok(paths.iter().all(|path| touched.contains(path)))
    }

    /// Announces once that the trees along these paths are about to be read.
    fn expect(&mut self, paths: &BTreeSet<BString>) -> Result<(), HistoryError> {
        let new: Vec<BString> = paths.difference(&self.expected).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let nodes = self.walk.nodes.iter().take(self.upstream.bounds.trees);
        let commits: Vec<Oid> = nodes.map(|node| node.id).collect();
        self.upstream.commits.expect(&Upcoming::Trees {
            commits: &commits,
            paths: &new,
        })?;
        self.expected.extend(new);
        Ok(())
    }

    /// Whether a commit changed what stands at a path; `false` if that cannot be read.
    fn changes_path(&mut self, number: usize, path: &[u8]) -> Result<bool, HistoryError> {
        let Some(node) = self.walk.nodes.get(number) else {
            return Ok(false);
        };
        let before = match node.first_parent {
            None => None,
            Some(parent) => match self
                .walk
                .number(parent)
                .and_then(|parent| self.walk.nodes.get(parent))
            {
                Some(parent) => Some(parent.tree),
                None => match self.upstream.commits.commit(parent)? {
                    Some(parent) => Some(parent.tree),
                    None => return Ok(false),
                },
            },
        };
        if before == Some(node.tree) {
            return Ok(false);
        }
        let before = before.map_or(Ok(None), |tree| self.reader.at(tree, path));
        let after = self.reader.at(node.tree, path);
        match (before, after) {
            (Ok(before), Ok(after)) => Ok(before != after),
            (Err(ObjectError::NotFound(_)), _) | (_, Err(ObjectError::NotFound(_))) => Ok(false),
            (Err(error), _) | (_, Err(error)) => Err(error.into()),
        }
    }

    fn is_same(
        &mut self,
        judged: &Judged<'_>,
        commit: &Commit,
        paths: &BTreeSet<BString>,
        id: Option<PatchId>,
    ) -> Result<bool, HistoryError> {
        let upstream = self.upstream;
        let Some(change) = self.change(commit)? else {
            return Ok(false);
        };
        if !change.paths.iter().map(|change| &change.path).eq(paths) {
            return Ok(false);
        }
        let theirs = if let KnownId::Computed(theirs) = change.id {
            theirs
        } else {
            let text = unless_absent(upstream.diff(&change.paths))?;
            let theirs = text.and_then(|text| patch_id::stable(&text));
            change.id = KnownId::Computed(theirs);
            theirs
        };
        if id.is_some() && id == theirs {
            return Ok(true);
        }
        // Renames and binary contents are written in more than one way.
        let is_whole = compare(upstream, judged, &[commit])? == Difference::Same;
        Ok(is_whole)
    }

    fn change(&mut self, commit: &Commit) -> Result<Option<&mut Change>, HistoryError> {
        let computed = self.changes.len();
        let change = match self.changes.entry(commit.id) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(_) if computed >= self.upstream.bounds.changes => {
                return Ok(None);
            }
            std::collections::hash_map::Entry::Vacant(new) => {
                let paths = unless_absent(self.upstream.change(commit))?;
                new.insert(paths.map(|paths| Change {
                    paths,
                    id: KnownId::NotComputed,
                }))
            }
        };
        Ok(change.as_mut())
    }
}

/// Treats what was not fetched, or is too large, as unknown.
fn unless_absent<T>(result: Result<Option<T>, HistoryError>) -> Result<Option<T>, HistoryError> {
    match result {
        Err(HistoryError::Object(ObjectError::NotFound(_) | ObjectError::TooLarge { .. })) => Ok(None),
        other => other,
    }
}
