//! A branch as the commits that it has on top of another one, and the files that they change.

use std::cell::Cell;
use std::time::Instant;

use git_apply_engine::ObjectError;
use git_format_patch::{
    BranchRange, FormatError, FormatLimits, FormattedSeries, RawCommits, SubjectPolicy, first_parent_range,
    format_series,
};
use tempfile::TempDir;
use upstream_history::{Commit, Commits};

use super::commit_fetcher::CommitFetcher;
use super::history::{History, HistoryBounds, HistorySince, LARGEST_COMMIT, REQUEST};
use super::local::{LocalError, LocalRepository};
use super::mirrors::Mirrors;
use super::object_reader::from_git2;
use super::store::{NEW, Store};
use super::wire::{Depth, FetchRequest, Fetched, Unfiltered};
use super::{Error, Oid, Resolved, Upstream};

/// How many branches' bases a mirror remembers.
const MOST_BASES: usize = 64;
/// Bytes of one answer.
const MOST_BYTES: u64 = 64 << 20;
/// The same for commits alone: a few thousand with long messages.
const MOST_COMMIT_BYTES: u64 = 8 << 20;

/// A commit of a repository.
#[derive(Clone, Copy, Debug)]
pub struct CommitAt<'a> {
    /// The repository.
    pub upstream: &'a Upstream,
    /// What its ref stands for.
    pub resolved: &'a Resolved,
}

/// Why a branch cannot be turned into patches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BranchError {
    /// The repository cannot be read.
    #[error(transparent)]
    Source(#[from] Error),
    /// The branch is not a series of patches.
    #[error(transparent)]
    Format(FormatError),
}

impl From<FormatError> for BranchError {
    fn from(error: FormatError) -> Self {
        Self::Format(error)
    }
}

/// The commits of a branch that are not reachable from another commit.
#[derive(Debug)]
pub struct Branch<'m> {
    history: Option<History<'m>>,
    range: BranchRange,
}

impl Branch<'_> {
    /// The commit that the branch's first commit is on top of.
    #[must_use]
    pub fn base(&self) -> Oid {
        self.range.base
    }

    /// The commits, from the oldest.
    #[must_use]
    pub fn commits(&self) -> &[Oid] {
        &self.range.commits
    }

    /// Reads the commits, from the oldest.
    ///
    /// # Errors
    ///
    /// Where one cannot be read.
    pub fn read_commits(&self) -> Result<Vec<Commit>, BranchError> {
        let Some(history) = &self.history else {
            return Ok(Vec::new());
        };
        let unreadable = |id: Oid| Error::Corrupt {
            what: format!("commit {id} of a branch"),
            reason: "it cannot be read".to_owned(),
        };
        let read = |id: &Oid| match history.commit(*id) {
            Ok(Some(commit)) => Ok(commit),
            Ok(None) | Err(_) => Err(BranchError::Source(
                history.fetch_failure().unwrap_or_else(|| unreadable(*id)),
            )),
        };
        self.range.commits.iter().map(read).collect()
    }

    /// Writes the commits as patches for a commit of the upstream, fetching the trees and files
    /// that they change.
    ///
    /// # Errors
    ///
    /// If a commit is not a patch, as [`format_series`] defines it, or something cannot be fetched.
    pub fn patches(
        &self,
        target: Oid,
        policy: SubjectPolicy,
        limits: FormatLimits,
    ) -> Result<FormattedSeries, BranchError> {
        let Some(history) = &self.history else {
            return Ok(FormattedSeries::default());
        };
        let formatted = format_series(history, &self.range, target, policy, limits);
        formatted.map_err(|error| match (&error, history.fetch_failure()) {
            (FormatError::Object(_), Some(failure)) => BranchError::Source(failure),
            _ => BranchError::Format(error),
        })
    }
}

impl Mirrors {
    /// Finds the commits of a branch that are not reachable from another commit, which may be in
    /// another repository: at most `most` of them, along first parents.
    ///
    /// Fetches commits alone: only those not reachable from the other commit if the server filters
    /// and has that commit, else the latest of both. The result is kept in the mirror, so it costs
    /// no network while neither moves.
    ///
    /// # Errors
    ///
    /// [`FormatError::Merge`], [`FormatError::TooManyCommits`], [`FormatError::Unrelated`] and
    /// [`FormatError::Shallow`]; else as for [`Mirrors::snapshot`].
    pub fn branch(
        &self,
        branch: CommitAt<'_>,
        onto: CommitAt<'_>,
        most: usize,
        deadline: Instant,
    ) -> Result<Branch<'_>, BranchError> {
        let tip = branch.resolved.commit();
        let search = BaseSearch {
            mirrors: self,
            branch,
            onto,
            most,
            deadline,
        };
        let base = search.base()?;
        if base == tip {
            let commits = Vec::new();
            return Ok(Branch {
                history: None,
                range: BranchRange { base, commits },
            });
        }
        let history = search.history_of(branch, HistorySince::Commit(base))?;
        let range = first_parent_range(&history, tip, &|commit| commit == base, most, &search.other())?;
        Ok(Branch {
            history: Some(history),
            range,
        })
    }

    /// Finds the last `count` commits up to and including a commit, along first parents.
    ///
    /// # Errors
    ///
    /// [`FormatError::Merge`] if one of them is a merge; [`FormatError::Unrelated`] if there are
    /// not that many, with one more before them; else as for [`Mirrors::snapshot`].
    pub fn last_commits(
        &self,
        commit: CommitAt<'_>,
        count: usize,
        deadline: Instant,
    ) -> Result<Branch<'_>, BranchError> {
        let CommitAt { upstream, resolved } = commit;
        let tip = resolved.commit();
        let fetcher = CommitFetcher::new(self, upstream, resolved, deadline)?;
        let scratch = self.scratch()?;
        let store = Store::create(&scratch.path().join("commits"))?;
        let want = [resolved.want];
        let request = FetchRequest {
            wants: &want,
            depth: Depth::Commits(count + 1),
            unfiltered: Unfiltered::Fetch,
            ..REQUEST
        };
        fetcher.receive(&store, &request, fetcher.limits())?;
        let seen = Cell::new(0);
        let is_base = |_| seen.replace(seen.get() + 1) == count;
        let range = first_parent_range(&store, tip, &is_base, count, "the commit before them")?;
        let bounds = HistoryBounds {
            bytes: MOST_BYTES,
            ..HistoryBounds::since(HistorySince::Commit(range.base))
        };
        let history = self.history(upstream, resolved, bounds, deadline)?;
        Ok(Branch {
            history: Some(history),
            range,
        })
    }

    /// A temporary folder for what is fetched and read only once.
    fn scratch(&self) -> Result<TempDir, Error> {
        tempfile::Builder::new()
            .prefix(NEW)
            .tempdir_in(&self.config.root)
            .map_err(|error| Error::io(&self.config.root, &error))
    }
}

/// Finds the commit that a branch is on top of.
struct BaseSearch<'m, 'a> {
    mirrors: &'m Mirrors,
    branch: CommitAt<'a>,
    onto: CommitAt<'a>,
    most: usize,
    deadline: Instant,
}

impl<'m> BaseSearch<'m, '_> {
    fn tip(&self) -> Oid {
        self.branch.resolved.commit()
    }

    /// What the branch is compared with, in words.
    fn other(&self) -> String {
        self.onto.resolved.revision().to_string()
    }

    fn history_of(&self, commit: CommitAt<'_>, since: HistorySince) -> Result<History<'m>, Error> {
        let bounds = HistoryBounds {
            bytes: MOST_BYTES,
            ..HistoryBounds::since(since)
        };
        let CommitAt { upstream, resolved } = commit;
        self.mirrors.history(upstream, resolved, bounds, self.deadline)
    }

    fn base(&self) -> Result<Oid, BranchError> {
        let (tip, onto) = (self.tip(), self.onto.resolved.commit());
        if tip == onto {
            return Ok(tip);
        }
        let CommitAt { upstream, resolved } = self.branch;
        let fetcher = CommitFetcher::new(self.mirrors, upstream, resolved, self.deadline)?;
        let store = Store::open(&fetcher.mirror.dir).ok().flatten();
        if let Some(base) = store.and_then(|store| store.branch_base(tip, onto)) {
            return Ok(base);
        }
        let base = match self.base_by_server(&fetcher)? {
            Some(base) => base,
            None => self.base_by_histories()?,
        };
        fetcher.with_lock(&|| {
            let store = fetcher.prepare_store(Store::open(&fetcher.mirror.dir)?)?;
            store.mark_branch_base(tip, onto, base, MOST_BASES)
        })?;
        Ok(base)
    }

    /// Asks the branch's server for the commits that are not reachable from the other commit: the
    /// first one along first parents that is not among them is the base. `None` if the server lacks
    /// the other commit, or does not filter.
    fn base_by_server(&self, fetcher: &CommitFetcher<'_>) -> Result<Option<Oid>, BranchError> {
        let onto = self.onto.resolved.commit();
        let scratch = self.mirrors.scratch()?;
        // A store of its own, so that it has only what the server sends.
        let store = Store::create(&scratch.path().join("commits"))?;
        let mut asked = self.ask(fetcher, &store, Depth::Beyond(onto));
        // Servers also answer so if the branch only reaches a parent of that commit.
        if matches!(asked, Ok(Fetched::Diverged)) {
            asked = self.ask(fetcher, &store, Depth::Without(onto));
        }
        match asked {
            Ok(Fetched::Filtered) => Ok(Some(self.first_absent(&store)?)),
            // If the tip is reachable from the other commit, there is nothing to send.
            Ok(_)
            | Err(
                Error::Declined { .. }
                | Error::Protocol { .. }
                | Error::BadPack { .. }
                | Error::Corrupt { .. },
            ) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn ask(&self, fetcher: &CommitFetcher<'_>, store: &Store, depth: Depth) -> Result<Fetched, Error> {
        let want = [self.branch.resolved.want];
        let request = FetchRequest {
            wants: &want,
            depth,
            unfiltered: Unfiltered::Skip,
            ..REQUEST
        };
        let mut limits = fetcher.limits();
        limits.packed = limits.packed.min(MOST_COMMIT_BYTES);
        fetcher.receive(store, &request, limits)
    }

    /// The first commit along first parents that the store lacks.
    fn first_absent(&self, store: &Store) -> Result<Oid, BranchError> {
        let is_absent = |commit| matches!(store.raw_commit(commit), Ok(None));
        let range = first_parent_range(store, self.tip(), &is_absent, self.most, &self.other())?;
        Ok(range.base)
    }

    /// Compares the latest commits of both.
    fn base_by_histories(&self) -> Result<Oid, BranchError> {
        let onto = self.onto.resolved.commit();
        let own = self.history_of(self.branch, HistorySince::Commit(onto))?;
        let mut oldest = i64::MAX;
        let mut at = Some(self.tip());
        for _ in 0..=self.most {
            let commit = at.map(|at| own.commit(at));
            let Some(commit) = commit.transpose().ok().flatten().flatten() else {
                break;
            };
            oldest = oldest.min(commit.committer.seconds);
            at = commit.parents.first().copied();
        }
        let theirs = self.history_of(self.onto, HistorySince::Date(oldest))?;
        let is_base = |commit| theirs.contains(commit);
        let range = first_parent_range(&own, self.tip(), &is_base, self.most, &self.other())?;
        Ok(range.base)
    }
}

impl RawCommits for Store {
    fn raw_commit(&self, id: Oid) -> Result<Option<Vec<u8>>, ObjectError> {
        let raw = self.read_commit(id, LARGEST_COMMIT);
        raw.map_err(|error| ObjectError::Failed {
            id,
            message: error.to_string(),
        })
    }
}

impl Branch<'_> {
    /// The objects of the commits, fetched as they are read; `None` if there are no commits.
    #[must_use]
    pub fn objects(&self) -> Option<&History<'_>> {
        self.history.as_ref()
    }
}

impl LocalRepository {
    /// Finds the last `count` commits up to and including a revision, along first parents.
    ///
    /// # Errors
    ///
    /// As for [`Mirrors::last_commits`].
    pub fn last_commits(&self, revision: &str, count: usize) -> Result<BranchRange, LocalBranchError> {
        let tip = self.commit_named(revision)?;
        let seen = Cell::new(0);
        let is_base = |_| seen.replace(seen.get() + 1) == count;
        Ok(first_parent_range(
            self,
            tip,
            &is_base,
            count,
            "the commit before them",
        )?)
    }

    fn commit_named(&self, revision: &str) -> Result<Oid, LocalError> {
        self.commit_of(revision).ok_or_else(|| LocalError::Revision {
            retired: self.retired(revision),
            revision: revision.to_owned(),
            message: "it is not there, or names a tree".to_owned(),
        })
    }

    /// Finds the commits of a branch that are not reachable from another commit, both named as for
    /// `git rev-parse`: at most `most` of them, along first parents.
    ///
    /// # Errors
    ///
    /// As for [`Mirrors::branch`], and if one of them is not a commit of the repository.
    pub fn branch_range(
        &self,
        branch: &str,
        onto: &str,
        most: usize,
    ) -> Result<BranchRange, LocalBranchError> {
        let (tip, onto_commit) = (self.commit_named(branch)?, self.commit_named(onto)?);
        let base = self
            .repository()
            .merge_base(tip.into(), onto_commit.into())
            .ok()
            .map(from_git2);
        let is_base = |commit| base == Some(commit);
        Ok(first_parent_range(self, tip, &is_base, most, onto)?)
    }
}

/// Why a branch of a repository on this machine cannot be turned into patches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalBranchError {
    /// A revision cannot be found.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The branch is not a series of patches.
    #[error(transparent)]
    Format(#[from] FormatError),
}
