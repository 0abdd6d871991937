//! The commits that changed a series, from the oldest.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use git_apply_engine::{EntryMode, ObjectError, Objects, Oid, Options, PatchInput};
use git_mirrors::local::LocalRepository;
use upstream_history::{Commit, Commits};

use super::changes::{PatchEvent, SeriesAtTree, changes};
use crate::cli::error::Error;
use crate::cli::team::PatchMarks;
use crate::layout::{ContentLimits, FilesError, LayoutError, RepositoryFiles, Series, TreeFiles};

/// The most commits that are looked at.
const MOST_COMMITS: usize = 200_000;

/// The most commits reported as changing the series.
const MOST_STEPS: usize = 5_000;

/// The most bytes of patches that are read in total.
const MOST_BYTES: u64 = 1 << 30;

/// Where a series is.
#[derive(Clone, Debug)]
pub(super) struct WatchedSeries {
    /// Its folder, relative to the repository's root.
    pub(super) folder: String,
    /// Files elsewhere that its links lead to.
    pub(super) outside: Vec<String>,
}

/// A commit that changed the series.
#[derive(Clone, Debug)]
pub(super) struct HistoryStep {
    pub(super) commit: Commit,
    pub(super) events: Vec<PatchEvent>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct HistoryLog {
    /// From the oldest.
    pub(super) steps: Vec<HistoryStep>,
    /// What keeps it from being whole, in sentences.
    pub(super) notes: Vec<String>,
}

/// What a tree has of a series, by the ids of objects.
type WatchedIds = Vec<Option<Oid>>;

/// A commit that is still to be visited, the newest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct PendingCommit {
    seconds: i64,
    found: Reverse<usize>,
    id: Oid,
}

impl HistoryLog {
    /// Walks from a commit back to the first one. Like `git log`, it follows only one parent of a
    /// merge if that one has the series unchanged.
    ///
    /// # Errors
    ///
    /// Where the repository cannot be read.
    pub(super) fn read(
        git: &LocalRepository,
        tip: Oid,
        watched: &WatchedSeries,
        engine: &Options,
    ) -> Result<Self, Error> {
        let mut reader = LogReader {
            git,
            watched,
            engine,
            log: Self::default(),
            bytes_left: MOST_BYTES,
        };
        reader.walk(tip)?;
        reader.log.steps.reverse();
        Ok(reader.log)
    }
}

struct LogReader<'a> {
    git: &'a LocalRepository,
    watched: &'a WatchedSeries,
    engine: &'a Options,
    log: HistoryLog,
    bytes_left: u64,
}

impl LogReader<'_> {
    fn walk(&mut self, tip: Oid) -> Result<(), Error> {
        let mut seen = HashSet::from([tip]);
        let mut pending = BinaryHeap::new();
        let mut ends_early = false;
        let start = self
            .commit(tip)?
            .ok_or_else(|| Error::Usage(format!("commit {tip} cannot be read: is the clone damaged?")))?;
        pending.push(PendingCommit {
            seconds: start.committer.seconds,
            found: Reverse(0),
            id: tip,
        });
        let mut looked_at = 0;
        while let Some(PendingCommit { id, .. }) = pending.pop() {
            if looked_at >= MOST_COMMITS || self.log.steps.len() >= MOST_STEPS || self.bytes_left == 0 {
                self.log.notes.push(format!(
                    "the history is long: only its latest {looked_at} commits were read"
                ));
                break;
            }
            looked_at += 1;
            let Some(commit) = self.commit(id)? else {
                continue;
            };
            let mut parents = Vec::new();
            for parent in &commit.parents {
                match self.commit(*parent)? {
                    Some(parent) => parents.push(parent),
                    None => ends_early = true,
                }
            }
            let is_cut = parents.len() < commit.parents.len();
            for parent in self.followed(commit, parents, is_cut)? {
                if seen.insert(parent.id) {
                    pending.push(PendingCommit {
                        seconds: parent.committer.seconds,
                        found: Reverse(seen.len()),
                        id: parent.id,
                    });
                }
            }
        }
        if ends_early || self.git.is_shallow() {
            self.log.notes.push(
                "the clone is shallow: changes before its first commit are not shown one by one; git fetch --unshallow gets the rest"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// Records what a commit changed, and returns the parents to follow.
    fn followed(&mut self, commit: Commit, parents: Vec<Commit>, is_cut: bool) -> Result<Vec<Commit>, Error> {
        let own = self.ids(commit.tree)?;
        let mut same = Vec::new();
        for (at, parent) in parents.iter().enumerate() {
            if parent.tree == commit.tree || self.ids(parent.tree)? == own {
                same.push(at);
            }
        }
        if let Some(first) = same.first() {
            return Ok(parents.into_iter().skip(*first).take(1).collect());
        }
        // In a shallow clone, what the first commit changed cannot be told from what came before.
        if parents.is_empty() && is_cut {
            return Ok(parents);
        }
        // A merge whose series no parent has reports what differs from every parent. What both
        // sides did is reported by their own commits.
        let before = parents.first().map(|parent| parent.tree);
        if parents.len() < 2 {
            let events = self.events(before, commit.tree)?;
            self.add(commit, events);
        } else {
            let mut left: Option<Vec<PatchEvent>> = None;
            for parent in &parents {
                let events = self.events(Some(parent.tree), commit.tree)?;
                left = Some(match left {
                    None => events,
                    Some(left) => left.into_iter().filter(|event| events.contains(event)).collect(),
                });
            }
            self.add(commit, left.unwrap_or_default());
        }
        Ok(parents)
    }

    fn add(&mut self, commit: Commit, events: Vec<PatchEvent>) {
        if !events.is_empty() {
            self.log.steps.push(HistoryStep { commit, events });
        }
    }

    fn commit(&self, id: Oid) -> Result<Option<Commit>, Error> {
        self.git.commit(id).map_err(|error| unreadable(&error))
    }

    fn ids(&self, tree: Oid) -> Result<WatchedIds, Error> {
        let folder = std::iter::once(&self.watched.folder);
        let paths = folder.chain(&self.watched.outside);
        paths.map(|path| object_at(self.git, tree, path)).collect()
    }

    fn events(&mut self, before: Option<Oid>, after: Oid) -> Result<Vec<PatchEvent>, Error> {
        let mut at = |tree: Oid| -> Result<SeriesAtTree, Error> {
            let patches = read_series(self.git, tree, &self.watched.folder)?;
            let bytes: usize = patches.iter().map(|patch| patch.bytes.len()).sum();
            self.bytes_left = self.bytes_left.saturating_sub(bytes as u64);
            let marks = patches.iter().map(|patch| PatchMarks::read(patch, self.engine));
            Ok(SeriesAtTree {
                marks: marks.collect(),
                patches,
            })
        };
        let before = before.map(&mut at).transpose()?.unwrap_or_default();
        Ok(changes(&before, &at(after)?))
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Error {
    Error::Usage(format!("the repository's history cannot be read: {error}"))
}

/// Why an object cannot be read, and what to do where the clone was made without it.
fn not_there(git: &LocalRepository, error: &ObjectError) -> Error {
    git.why_missing(error)
        .map_or_else(|| unreadable(error), Error::from)
}

/// What is at a path of a tree.
fn object_at(git: &LocalRepository, root: Oid, path: &str) -> Result<Option<Oid>, Error> {
    let mut at = root;
    let mut is_folder = true;
    for name in path.split('/').filter(|name| !matches!(*name, "" | ".")) {
        if !is_folder {
            return Ok(None);
        }
        let entries = git.tree(at).map_err(|error| not_there(git, &error))?;
        let Some(entry) = entries.into_iter().find(|entry| entry.name == name.as_bytes()) else {
            return Ok(None);
        };
        (at, is_folder) = (entry.id, entry.mode == EntryMode::Tree);
    }
    Ok(Some(at))
}

/// The patches of a series in a tree, as far as they are known; none if there is no folder.
pub(super) fn read_series(git: &LocalRepository, tree: Oid, folder: &str) -> Result<Vec<PatchInput>, Error> {
    read_files(&TreeFiles::new(git, tree), folder).map_err(|error| {
        let filtered = match &error {
            Error::Layout(LayoutError::Files(FilesError::Unreadable { source, .. })) => source
                .downcast_ref::<ObjectError>()
                .and_then(|missing| git.why_missing(missing)),
            _ => None,
        };
        filtered.map_or(error, Error::from)
    })
}

/// The patches of a series, as far as they are known.
pub(super) fn read_files(files: &dyn RepositoryFiles, folder: &str) -> Result<Vec<PatchInput>, Error> {
    let series = match Series::read(files, folder) {
        Ok(Some(mut series)) => {
            // Faults of that time cannot be mended: report what was there.
            series.faults.clear();
            series
        }
        Ok(None) | Err(LayoutError::NoFolder { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(series.contents(files, &ContentLimits::default())?)
}
