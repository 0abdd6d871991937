//! The history of a commit: the commits alone, and their trees and files when they are read.

use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::fs::File;
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use git_apply_engine::{ObjectError, Objects, TreeEntry};
use git_format_patch::{CommitStore, RawCommits};
use upstream_history::{Commit, Commits, HistoryError, Upcoming};

use super::commit_fetcher::CommitFetcher;
use super::gate::locked;
use super::mirror::held_extent;
use super::mirrors::Mirrors;
use super::object_reader::ObjectReader;
use super::pack::PackLimits;
use super::session::lacks_object;
use super::store::{Extent, Store};
use super::wire::{Depth, FetchRequest, Fetched, Filter, Unfiltered};
use super::{Error, Oid, Resolved, Upstream};

/// How many histories a mirror keeps: one for each branch that was asked for.
const MOST_HISTORIES: usize = 64;
/// How many of them are tried as the start of a new one.
const MOST_TRIED: usize = 2;
/// Dates are rounded down to whole periods of this many seconds, about seven weeks, so that patches
/// of about the same age share a history.
const PERIOD: i64 = 1 << 22;
/// How many commits on each line are fetched if the wanted ones cannot be had.
const FALLBACK: usize = 1000;
/// The same where all their trees and files come with them.
const UNFILTERED_FALLBACK: usize = 100;
/// How many requests for trees and files are made for one history.
const MOST_REQUESTS: usize = 64;
/// How many objects are asked for in one of them.
const MOST_WANTS: usize = 20_000;
/// How often a request is repeated without an object that the server lacks.
const MOST_RETRIES: usize = 4;
/// The largest commit that is read, in bytes.
pub(super) const LARGEST_COMMIT: usize = 1 << 20;

impl Mirrors {
    /// Returns the history of a commit: the commits alone; their trees and files are fetched when
    /// they are read.
    ///
    /// What was fetched is kept in the mirror: while a branch stays where it is, its history costs
    /// no network, and when it moves, only the new commits do. A server that does not filter is
    /// asked for a few commits with everything in them, if the bounds allow that.
    ///
    /// # Errors
    ///
    /// As for [`Mirrors::snapshot`]; [`Error::TooLarge`] if the history exceeds `bounds`, which is
    /// remembered until the commit changes.
    pub fn history(
        &self,
        upstream: &Upstream,
        resolved: &Resolved,
        bounds: HistoryBounds,
        deadline: Instant,
    ) -> Result<History<'_>, Error> {
        History::open(CommitFetcher::new(self, upstream, resolved, deadline)?, bounds)
    }
}

/// How far back a history has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistorySince {
    /// To this time, in seconds since the epoch.
    Date(i64),
    /// To this commit, inclusive.
    Commit(Oid),
}

/// How much of a history is fetched and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryBounds {
    /// How far back it goes.
    pub since: HistorySince,
    /// Commits, the latest first.
    pub commits: usize,
    /// Bytes of one answer.
    pub bytes: u64,
}

impl HistoryBounds {
    /// A history of at most 20,000 commits and 32 MiB per answer: a commit has some 300 bytes.
    #[must_use]
    pub fn since(since: HistorySince) -> Self {
        Self {
            since,
            commits: 20_000,
            bytes: 32 << 20,
        }
    }
}

/// What is recorded of a commit's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    reach: Reach,
    /// How many commits were there, within the bounds: fewer mean damage.
    count: usize,
}

/// How far back a history goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// To a time, in seconds since the epoch.
    Since(i64),
    /// To the commits that are reachable from this one.
    After(Oid),
    /// As far as the server gave it.
    Latest,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.count)?;
        match self.reach {
            Reach::Since(seconds) => writeln!(f, "since {seconds}"),
            Reach::After(commit) => writeln!(f, "after {commit}"),
            Reach::Latest => writeln!(f, "latest"),
        }
    }
}

impl FromStr for Record {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (count, reach) = match *words.as_slice() {
            [count, "since", seconds] => (count, Reach::Since(seconds.parse().map_err(drop)?)),
            [count, "after", commit] => (count, Reach::After(commit.parse().map_err(drop)?)),
            [count, "latest"] => (count, Reach::Latest),
            _ => return Err(()),
        };
        let count = count.parse().map_err(drop)?;
        Ok(Self { reach, count })
    }
}

/// A commit of an upstream and its ancestors.
///
/// It gives out ancestors of [`tip`](Self::tip) alone, as far as they were fetched. Trees and files
/// are fetched when they are read, until the call's deadline: those that
/// [`Commits::expect`] names in one request, others one by one. The mirror is not evicted while
/// this exists.
pub struct History<'m> {
    source: HistorySource<'m>,
    /// The commits, each with its tree.
    commits: HashMap<Oid, Oid>,
    /// Whether it goes back as far as it had to.
    extent: HistoryExtent,
    state: Mutex<State>,
    failure: Mutex<Option<Error>>,
    _in_use: File,
}

/// Whether a history goes back as far as it had to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryExtent {
    /// It does, or it reaches the first commit.
    Whole,
    /// It was cut: there are more commits than are searched, or than the server gave.
    Cut,
}

struct State {
    store: Store,
    /// Requests for trees and files so far.
    requests: usize,
}

/// Fetches a history.
struct HistorySource<'m> {
    fetcher: CommitFetcher<'m>,
    bounds: HistoryBounds,
}

impl fmt::Debug for History<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "History({}, {} commits)", self.tip(), self.commits.len())
    }
}

impl<'m> History<'m> {
    pub(super) fn open(fetcher: CommitFetcher<'m>, bounds: HistoryBounds) -> Result<Self, Error> {
        let since = match bounds.since {
            HistorySince::Date(seconds) => HistorySince::Date(seconds - seconds.rem_euclid(PERIOD)),
            since @ HistorySince::Commit(_) => since,
        };
        let bounds = HistoryBounds { since, ..bounds };
        let source = HistorySource { fetcher, bounds };
        let opened = source.fetcher.open_with(|| source.open_if_there(), &|| {
            source.provide().map(|store| (store, Extent::Trees))
        })?;
        let commits = source.walk(&opened.store)?;
        let extent = source.extent(&opened.store, &commits)?;
        Ok(Self {
            source,
            commits,
            extent,
            state: Mutex::new(State {
                store: opened.store,
                requests: 0,
            }),
            failure: Mutex::default(),
            _in_use: opened.in_use,
        })
    }

    /// The latest commit.
    #[must_use]
    pub fn tip(&self) -> Oid {
        self.source.tip()
    }

    /// The number of commits.
    #[must_use]
    pub fn len(&self) -> usize {
        self.commits.len()
    }

    /// Whether it goes back as far as it had to.
    #[must_use]
    pub fn extent(&self) -> HistoryExtent {
        self.extent
    }

    /// Whether there is no commit, which never happens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    /// The last failure to fetch an object; `None` if there was none.
    ///
    /// Where a reader got [`ObjectError::Failed`], this says what the server did.
    #[must_use]
    pub fn fetch_failure(&self) -> Option<Error> {
        locked(&self.failure).clone()
    }

    /// Fetches those of some objects that are missing, except what the server lacks.
    fn fetch(&self, state: &mut State, wanted: &[Oid], kind: Kind) -> Result<(), Error> {
        let mut wants = state.store.lacking(wanted)?;
        wants.truncate(MOST_WANTS);
        for _ in 0..=MOST_RETRIES {
            if wants.is_empty() {
                return Ok(());
            }
            state.requests += 1;
            if state.requests > MOST_REQUESTS {
                return Err(Error::TooLarge {
                    what: format!("the number of requests for the history of {}", self.tip()),
                    limit: MOST_REQUESTS.to_string(),
                });
            }
            let fetcher = &self.source.fetcher;
            let fetched = fetcher.with_lock(&|| {
                let store = self.source.provide()?;
                self.source.fetch_objects(&store, &wants, kind)?;
                Ok(store)
            });
            match fetched {
                Ok(store) => {
                    state.store = store;
                    return Ok(());
                }
                // The server names the object that it does not give out.
                Err(Error::Declined { reason, .. }) if lacks_object(&reason) => {
                    let before = wants.len();
                    wants.retain(|want| !reason.contains(&want.to_string()));
                    if wants.len() == before {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Fetches what is about to be read.
    fn prefetch(&self, wanted: &[Oid], kind: Kind) -> Result<(), ObjectError> {
        let Some(first) = wanted.first() else {
            return Ok(());
        };
        let mut state = locked(&self.state);
        self.fetch(&mut state, wanted, kind)
            .map_err(|error| ObjectError::Failed {
                id: *first,
                message: self.note_failure(error),
            })
    }

    /// Whether a commit is among the history's.
    pub(super) fn contains(&self, commit: Oid) -> bool {
        self.commits.contains_key(&commit)
    }

    /// Keeps an error for [`Self::fetch_failure`]; returns its message.
    fn note_failure(&self, error: Error) -> String {
        let message = error.to_string();
        *locked(&self.failure) = Some(error);
        message
    }

    /// Reads an object, fetching it if it is missing.
    fn read<T>(
        &self,
        id: Oid,
        kind: Kind,
        read: impl Fn(&ObjectReader) -> Result<T, ObjectError>,
    ) -> Result<T, ObjectError> {
        let mut state = locked(&self.state);
        let outcome = match read(state.store.objects()) {
            Err(ObjectError::NotFound(_)) => {
                self.fetch(&mut state, &[id], kind)
                    .map_err(|error| ObjectError::Failed {
                        id,
                        message: self.note_failure(error),
                    })?;
                read(state.store.objects())
            }
            outcome => outcome,
        };
        if matches!(outcome, Err(ObjectError::Failed { .. })) {
            self.source.fetcher.mirror.damaged.store(true, Ordering::Relaxed);
        }
        outcome
    }
}

/// What kind of objects is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Trees, with those below them.
    Trees,
    Blobs,
}

impl RawCommits for History<'_> {
    fn raw_commit(&self, id: Oid) -> Result<Option<Vec<u8>>, ObjectError> {
        if !self.commits.contains_key(&id) {
            return Ok(None);
        }
        let raw = locked(&self.state).store.read_commit(id, LARGEST_COMMIT);
        raw.map_err(|error| ObjectError::Failed {
            id,
            message: error.to_string(),
        })
    }
}

impl CommitStore for History<'_> {
    fn expect_trees(&self, commits: &[Oid]) -> Result<(), ObjectError> {
        let trees = commits.iter().filter_map(|commit| self.commits.get(commit));
        self.prefetch(&trees.copied().collect::<Vec<_>>(), Kind::Trees)
    }

    fn expect_blobs(&self, blobs: &[Oid]) -> Result<(), ObjectError> {
        self.prefetch(blobs, Kind::Blobs)
    }
}

impl Commits for History<'_> {
    fn commit(&self, id: Oid) -> Result<Option<Commit>, HistoryError> {
        if !self.commits.contains_key(&id) {
            return Ok(None);
        }
        let raw = locked(&self.state).store.read_commit(id, LARGEST_COMMIT);
        let raw = raw.map_err(|error| HistoryError::Failed {
            message: error.to_string(),
        })?;
        let parse =
            |raw: Vec<u8>| Commit::parse(id, &raw).map_err(|error| HistoryError::Commit { id, error });
        raw.map(parse).transpose()
    }

    fn expect(&self, upcoming: &Upcoming<'_>) -> Result<(), HistoryError> {
        let mut state = locked(&self.state);
        let fetched = match upcoming {
            Upcoming::Trees { commits, .. } => {
                let trees = commits.iter().filter_map(|commit| self.commits.get(commit));
                let trees: Vec<Oid> = trees.copied().collect();
                self.fetch(&mut state, &trees, Kind::Trees)
            }
            Upcoming::Blobs(blobs) => self.fetch(&mut state, blobs, Kind::Blobs),
        };
        fetched.map_err(|error| HistoryError::Failed {
            message: self.note_failure(error),
        })
    }
}

/// A read that fails marks the mirror as damaged, unless the object is merely missing.
impl Objects for History<'_> {
    fn tree(&self, id: Oid) -> Result<Vec<TreeEntry>, ObjectError> {
        self.read(id, Kind::Trees, |objects| objects.tree(id))
    }

    fn blob(&self, id: Oid) -> Result<Bytes, ObjectError> {
        self.read(id, Kind::Blobs, |objects| objects.blob(id))
    }

    fn blob_size(&self, id: Oid) -> Result<u64, ObjectError> {
        self.read(id, Kind::Blobs, |objects| objects.blob_size(id))
    }
}

impl HistorySource<'_> {
    fn tip(&self) -> Oid {
        self.fetcher.resolved.commit()
    }

    /// Opens the mirror, if it has the history.
    fn open_if_there(&self) -> Option<(Store, Extent)> {
        if self.fetcher.mirror.damaged.load(Ordering::Relaxed) {
            return None;
        }
        // What cannot be read is mended under the lock.
        let store = Store::open(&self.fetcher.mirror.dir).ok().flatten();
        let there = store.filter(|store| self.is_there(store).unwrap_or(false));
        there.map(|store| (store, Extent::Trees))
    }

    fn is_there(&self, store: &Store) -> Result<bool, Error> {
        let has_tag = self
            .fetcher
            .resolved
            .needed_tag()
            .is_none_or(|tag| store.has_object(tag));
        let mut histories = records(store)?.into_iter();
        let own = histories.find(|(tip, _)| *tip == self.tip());
        match own {
            Some((tip, record)) if has_tag => self.covers(store, tip, record),
            _ => Ok(false),
        }
    }

    /// Whether a history goes back as far as it has to, and is still as complete as recorded.
    fn covers(&self, store: &Store, tip: Oid, record: Record) -> Result<bool, Error> {
        let goes_back = match (self.bounds.since, record.reach) {
            (HistorySince::Date(wanted), Reach::Since(since)) => since <= wanted,
            // Only reading it shows whether it does.
            (HistorySince::Commit(_), _) => true,
            (HistorySince::Date(_), _) => tip == self.tip() && record.reach == Reach::Latest,
        };
        if !goes_back {
            return Ok(false);
        }
        let commits = self.walk_from(store, tip)?;
        let is_whole = commits.len() >= record.count.min(self.bounds.commits);
        Ok(is_whole
            && match self.bounds.since {
                HistorySince::Date(_) => true,
                HistorySince::Commit(_) if tip == self.tip() && record.reach == Reach::Latest => true,
                HistorySince::Commit(wanted) => commits.contains_key(&wanted),
            })
    }

    /// Fetches the history, unless it is there.
    ///
    /// The caller has the mirror's lock.
    fn provide(&self) -> Result<Store, Error> {
        let opened = Store::open(&self.fetcher.mirror.dir)?;
        if let Some(store) = &opened
            && self.is_there(store)?
            && let Some(store) = opened
        {
            return Ok(store);
        }
        let asked = format!("{} {:?}", self.tip(), self.bounds);
        let oversized_history = &self.fetcher.mirror.oversized_history;
        if let Some((refused, error)) = &*locked(oversized_history)
            && *refused == asked
        {
            return Err(error.clone());
        }
        let store = self.fetcher.prepare_store(opened)?;
        let reach = self.fetch_history(&store).inspect_err(|error| {
            // Finding that out again would take as many bytes.
            if matches!(error, Error::TooLarge { .. }) {
                *locked(oversized_history) = Some((asked, error.clone()));
            }
        })?;
        let record = Record {
            reach,
            count: self.walk(&store)?.len(),
        };
        store.mark_history(self.tip(), &record.to_string(), MOST_HISTORIES)?;
        Ok(store)
    }

    /// Fetches the history: what is new since one that is held, or else all of it.
    fn fetch_history(&self, store: &Store) -> Result<Reach, Error> {
        let known = records(store)?.into_iter();
        for (tip, record) in known.filter(|(tip, _)| *tip != self.tip()).take(MOST_TRIED) {
            if self.covers(store, tip, record)? && self.fetch_beyond(store, tip)? {
                return Ok(record.reach);
            }
        }
        match self.bounds.since {
            HistorySince::Commit(known) => {
                if self.fetch_after(store, known)? && self.fetch_one(store, known)? {
                    return Ok(Reach::After(known));
                }
                self.fetch_latest(store)
            }
            HistorySince::Date(since) => match self.fetch_filtered(store, Depth::Since(since)) {
                Ok(Fetched::Filtered) => self.whole_tip(store, Reach::Since(since)),
                // If no commit is that young, git declines.
                Err(Error::Declined { .. } | Error::Protocol { .. }) if self.is_older(store, since)? => {
                    Ok(Reach::Since(since))
                }
                Ok(_) | Err(Error::TooLarge { .. } | Error::Declined { .. } | Error::Protocol { .. }) => {
                    self.fetch_latest(store)
                }
                Err(error) => Err(error),
            },
        }
    }

    /// Whether the tip, which this fetches, is older than a time.
    fn is_older(&self, store: &Store, than: i64) -> Result<bool, Error> {
        if self.fetch_filtered(store, Depth::Commits(1))? != Fetched::Filtered {
            return Ok(false);
        }
        let tip = read_commit(store, self.tip())?;
        Ok(tip.is_some_and(|tip| tip.committer.seconds < than))
    }

    /// Fetches what the tip has beyond a history that is held; returns whether it continues that
    /// history, and the server filters.
    ///
    /// The commits that arrive show whether it does: servers also send a pack if the tip leads only
    /// to a parent of the commit, and one may send less than what lies between them. If there are
    /// more than are read, it is assumed to.
    fn fetch_beyond(&self, store: &Store, known: Oid) -> Result<bool, Error> {
        let fetched = self.fetch_if_possible(store, Depth::Beyond(known))?;
        if fetched != Some(Fetched::Filtered) {
            return Ok(false);
        }
        let commits = self.walk(store)?;
        let goes_on = match self.bounds.since {
            HistorySince::Commit(wanted) => commits.contains_key(&wanted),
            HistorySince::Date(_) => {
                let known = self.walk_from(store, known)?;
                commits.keys().any(|commit| known.contains_key(commit))
            }
        };
        Ok(goes_on || commits.len() >= self.bounds.commits)
    }

    /// Fetches what the tip has beyond a commit; returns whether it leads to that commit, and the
    /// server filters.
    ///
    /// Commits may be older than what they are on top of, such as those brought from elsewhere with
    /// their dates; servers then do not take them for descendants.
    fn fetch_after(&self, store: &Store, known: Oid) -> Result<bool, Error> {
        let mut fetched = self.fetch_if_possible(store, Depth::Beyond(known))?;
        if fetched == Some(Fetched::Diverged) {
            fetched = self.fetch_if_possible(store, Depth::Without(known))?;
        }
        if fetched != Some(Fetched::Filtered) {
            return Ok(false);
        }
        let leads_there = |commit: &Commit| commit.parents.contains(&known);
        let commits = self.walk(store)?.into_keys();
        let read = commits.map(|commit| read_commit(store, commit));
        let found = read.collect::<Result<Vec<_>, Error>>()?;
        Ok(found.iter().flatten().any(leads_there))
    }

    /// Fetches commits; `None` where the server does not give them.
    fn fetch_if_possible(&self, store: &Store, depth: Depth) -> Result<Option<Fetched>, Error> {
        match self.fetch_filtered(store, depth) {
            Ok(fetched) => Ok(Some(fetched)),
            Err(
                Error::Declined { .. }
                | Error::Protocol { .. }
                | Error::BadPack { .. }
                | Error::TooLarge { .. },
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Fetches the commit that a history ends with; returns whether it is there.
    fn fetch_one(&self, store: &Store, commit: Oid) -> Result<bool, Error> {
        if !store.has_object(commit) {
            let request = FetchRequest {
                wants: &[commit],
                ..REQUEST
            };
            self.receive(store, &request)?;
        }
        Ok(store.has_object(commit))
    }

    /// Fetches the latest commits, as many as can be had.
    fn fetch_latest(&self, store: &Store) -> Result<Reach, Error> {
        let count = FALLBACK.min(self.bounds.commits);
        if self.fetch_filtered(store, Depth::Commits(count))? == Fetched::NoFilter {
            let want = [self.fetcher.resolved.want];
            let request = FetchRequest {
                wants: &want,
                depth: Depth::Commits(UNFILTERED_FALLBACK.min(self.bounds.commits)),
                filter: None,
                ..REQUEST
            };
            self.receive(store, &request)?;
        }
        self.whole_tip(store, Reach::Latest)
    }

    fn fetch_filtered(&self, store: &Store, depth: Depth) -> Result<Fetched, Error> {
        let want = [self.fetcher.resolved.want];
        let request = FetchRequest {
            wants: &want,
            depth,
            unfiltered: Unfiltered::Skip,
            ..REQUEST
        };
        self.receive(store, &request)
    }

    /// Fetches trees or blobs.
    fn fetch_objects(&self, store: &Store, wants: &[Oid], kind: Kind) -> Result<(), Error> {
        let is_held = held_extent(store, &self.fetcher.resolved).is_some();
        // A commit that is held has all its trees, but not every blob.
        let known = [self.tip()];
        let known = match kind {
            Kind::Trees if is_held => &known[..],
            Kind::Trees | Kind::Blobs => &[],
        };
        self.fetcher.fetch_objects(store, wants, known, self.limits())
    }

    fn receive(&self, store: &Store, request: &FetchRequest<'_>) -> Result<Fetched, Error> {
        let received = self.fetcher.receive(store, request, self.limits());
        received.map_err(|error| match error {
            Error::Corrupt { reason, .. } => self.bad_pack(reason),
            error => self.fetcher.as_moved(error),
        })
    }

    fn limits(&self) -> PackLimits {
        let limits = self.fetcher.limits();
        PackLimits {
            packed: limits.packed.min(self.bounds.bytes),
            ..limits
        }
    }

    fn has_tip(&self, store: &Store) -> bool {
        read_commit(store, self.tip()).is_ok_and(|tip| tip.is_some())
    }

    fn whole_tip(&self, store: &Store, reach: Reach) -> Result<Reach, Error> {
        if self.has_tip(store) {
            return Ok(reach);
        }
        Err(self.bad_pack(format!("it lacks commit {}, which was asked for", self.tip())))
    }

    fn bad_pack(&self, reason: String) -> Error {
        Error::BadPack {
            url: self.fetcher.upstream.url.to_string(),
            reason,
        }
    }

    fn walk(&self, store: &Store) -> Result<HashMap<Oid, Oid>, Error> {
        self.walk_from(store, self.tip())
    }

    /// Whether commits lead as far back as they have to: each line ends at the first commit, at one
    /// that is old enough, or where the server was asked to end.
    fn extent(&self, store: &Store, commits: &HashMap<Oid, Oid>) -> Result<HistoryExtent, Error> {
        let is_reached = match self.bounds.since {
            HistorySince::Commit(known) => commits.contains_key(&known),
            HistorySince::Date(since) => {
                let mut histories = records(store)?.into_iter();
                let own = histories.find(|(tip, _)| *tip == self.tip());
                let reach = own.map(|(_, record)| record.reach);
                let is_whole = matches!(reach, Some(Reach::Since(reached)) if reached <= since);
                is_whole && commits.len() < self.bounds.commits
            }
        };
        if is_reached {
            return Ok(HistoryExtent::Whole);
        }
        for id in commits.keys() {
            let Some(commit) = read_commit(store, *id)? else {
                continue;
            };
            let goes_on = commit.parents.iter().any(|parent| !commits.contains_key(parent));
            let is_younger = match self.bounds.since {
                HistorySince::Date(since) => commit.committer.seconds >= since,
                HistorySince::Commit(_) => true,
            };
            if goes_on && is_younger {
                return Ok(HistoryExtent::Cut);
            }
        }
        Ok(HistoryExtent::Whole)
    }

    /// A commit and its ancestors that are held, the latest first up to the bound, each with its
    /// tree.
    fn walk_from(&self, store: &Store, tip: Oid) -> Result<HashMap<Oid, Oid>, Error> {
        self.fetcher.with_deadline(|check| {
            let mut found = HashMap::new();
            let mut queue = BinaryHeap::from([(i64::MAX, tip)]);
            while let Some((_, id)) = queue.pop() {
                if found.contains_key(&id) || found.len() >= self.bounds.commits {
                    continue;
                }
                check()?;
                let Some(commit) = read_commit(store, id)? else {
                    continue;
                };
                found.insert(id, commit.tree);
                let parents = commit
                    .parents
                    .iter()
                    .filter(|parent| !found.contains_key(*parent));
                queue.extend(parents.map(|parent| (commit.committer.seconds, *parent)));
            }
            Ok(found)
        })
    }
}

/// The recorded histories, the latest first.
fn records(store: &Store) -> Result<Vec<(Oid, Record)>, Error> {
    let histories = store.histories()?.into_iter();
    let read = |(tip, text): (Oid, String)| Some((tip, text.parse().ok()?));
    Ok(histories.filter_map(read).collect())
}

/// Reads a commit; `None` if it is missing, or not a commit that can be parsed.
fn read_commit(store: &Store, id: Oid) -> Result<Option<Commit>, Error> {
    let raw = store.read_commit(id, LARGEST_COMMIT)?;
    Ok(raw.and_then(|raw| Commit::parse(id, &raw).ok()))
}

/// A request for one commit, alone.
pub(super) const REQUEST: FetchRequest<'static> = FetchRequest {
    wants: &[],
    depth: Depth::Commits(1),
    filter: Some(Filter::Trees),
    unfiltered: Unfiltered::Fetch,
    held: &[],
    partial: &[],
};
