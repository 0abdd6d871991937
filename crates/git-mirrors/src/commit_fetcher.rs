//! Fetches objects of a commit into its mirror: under the mirror's lock, within the capacity, and
//! once more if the mirror is damaged.

use std::fs::File;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::gate::{Patience, locked};
use super::mirror::{CancelCheck, Mirror, held_extent};
use super::mirrors::Mirrors;
use super::pack::PackLimits;
use super::refs;
use super::session::{Access, Session, lacks_object};
use super::store::{self, Extent, Store};
use super::wire::{self, Conversation, Depth, FetchRequest, Fetched, Filter, Unfiltered};
use super::{Error, Oid, Resolved, Upstream, verification};

/// How many held commits are named to a server.
const MAX_HAVES: usize = 16;

/// The most files that an upstream's commit may have for the small files of the next commit to be
/// fetched with its trees: in one pack, where asking for some of them by name takes another.
const FEW_FILES: usize = 100;

/// The most objects that one request asks for by name; beyond that, the whole commit is fetched.
const MOST_WANTS: usize = 20_000;

/// Fetches objects of one commit into its mirror, for one call.
pub(super) struct CommitFetcher<'m> {
    pub(super) mirrors: &'m Mirrors,
    pub(super) mirror: Arc<Mirror>,
    pub(super) upstream: Upstream,
    pub(super) resolved: Resolved,
    pub(super) patience: Patience,
    /// The connection that the last pack came over, if the server takes further requests.
    conversation: Mutex<Option<Conversation>>,
}

/// A mirror that holds a commit, whose signature was checked if one is required.
pub(super) struct OpenedCommit {
    pub(super) store: Store,
    pub(super) extent: Extent,
    /// What is signed, and by whom.
    pub(super) signed: Option<String>,
    /// Keeps the mirror from eviction.
    pub(super) in_use: File,
}

impl<'m> CommitFetcher<'m> {
    pub(super) fn new(
        mirrors: &'m Mirrors,
        upstream: &Upstream,
        resolved: &Resolved,
        deadline: Instant,
    ) -> Result<Self, Error> {
        mirrors.config.transports.check(&upstream.url)?;
        Ok(Self {
            mirrors,
            mirror: mirrors.mirror(upstream)?,
            upstream: upstream.clone(),
            resolved: resolved.clone(),
            patience: mirrors.patience(deadline),
            conversation: Mutex::default(),
        })
    }

    /// Opens the mirror with this much of the commit, fetching it if it is not held.
    pub(super) fn open(&self, extent: Extent) -> Result<OpenedCommit, Error> {
        // A commit that is known to be held does not wait for another commit's fetch.
        self.open_with(|| self.mirror.open_if_ready(&self.resolved, extent), &|| {
            self.ensure_commit(extent)
        })
    }

    /// Opens the mirror that `ready` returns, or else the one that `work` returns under the lock.
    pub(super) fn open_with(
        &self,
        ready: impl FnOnce() -> Option<(Store, Extent)>,
        work: &dyn Fn() -> Result<(Store, Extent), Error>,
    ) -> Result<OpenedCommit, Error> {
        let in_use = self.mirror.mark_in_use(&self.patience)?;
        let in_use = in_use.ok_or_else(|| self.busy())?;
        let opened = match ready() {
            Some(ready) => Ok(ready),
            None => self.with_lock(work),
        };
        let (store, extent) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                drop(in_use);
                self.mirrors.storage.discard_if_empty(&self.mirror.dir);
                return Err(error);
            }
        };
        let signed = verification::check(&store, &self.resolved, &self.upstream.url);
        let signed = signed.inspect_err(|error| {
            let is_damaged = matches!(error, Error::Corrupt { .. });
            self.mirror.damaged.fetch_or(is_damaged, Ordering::Relaxed);
        })?;
        Ok(OpenedCommit {
            store,
            extent,
            signed,
            in_use,
        })
    }

    /// Runs work that writes to the mirror, and keeps all mirrors within the capacity.
    ///
    /// A mirror that is known to be damaged is thrown away first; one that turns out to be damaged
    /// is thrown away, and the work is done once more.
    pub(super) fn with_lock<T>(&self, work: &dyn Fn() -> Result<T, Error>) -> Result<T, Error> {
        let (mirror, storage) = (&self.mirror, &self.mirrors.storage);
        let pass = mirror
            .write_gate
            .enter(&self.patience)
            .ok_or_else(|| self.busy())?;
        let lock = mirror.lock_for_writing(&self.patience)?;
        let lock = lock.ok_or_else(|| self.busy())?;
        if mirror.damaged.swap(false, Ordering::Relaxed) {
            self.rebuild("a reader met damage")?;
        }
        let done = match work() {
            Err(Error::Corrupt { what, reason }) if mirror.dir.exists() => {
                self.rebuild(&format!("{what}: {reason}")).and_then(|()| work())
            }
            outcome => outcome,
        };
        if done.is_ok() && !self.mirrors.has_kept_look(mirror) {
            self.mirrors.keep_look(mirror);
        }
        storage.measure_one(&mirror.dir);
        drop((pass, lock));
        if done.is_ok() {
            storage.evict();
        }
        done
    }

    /// Fetches what is missing of the commit, and verifies it; returns how much is held.
    ///
    /// The caller has the mirror's lock.
    pub(super) fn ensure_commit(&self, extent: Extent) -> Result<(Store, Extent), Error> {
        let (mirror, commit) = (&self.mirror, self.resolved.commit());
        let mut opened = Store::open(&mirror.dir)?;
        if let Some(store) = &opened
            && let Some(held) = held_extent(store, &self.resolved).filter(|held| *held >= extent)
        {
            self.with_deadline(|check| mirror.verify(store, commit, held, check))?;
            if let Some(store) = opened.take() {
                return Ok((store, held));
            }
        }
        let store = self.prepare_store(opened)?;
        let filters = extent == Extent::Trees && !mirror.fetch_whole.load(Ordering::Relaxed);
        let held = match self.fetch_commit(&store, filters.then_some(Filter::Blobs)) {
            // Some servers offer to filter but have it switched off.
            Err(Error::Declined { .. } | Error::Protocol { .. }) if filters => {
                let held = self.fetch_commit(&store, None)?;
                mirror.fetch_whole.store(true, Ordering::Relaxed);
                held
            }
            outcome => outcome?,
        };
        Ok((store, held))
    }

    /// Fetches the commit's trees and these of its blobs, if they are not held: in one request, or
    /// with the whole commit if the server does not give them out.
    ///
    /// The caller has the mirror's lock.
    pub(super) fn ensure_blobs(&self, blobs: &[Oid]) -> Result<(Store, Extent), Error> {
        let (store, extent) = self.ensure_commit(Extent::Trees)?;
        let lacking = match extent {
            Extent::Whole => Vec::new(),
            Extent::Trees => store.lacking(blobs)?,
        };
        if lacking.is_empty() {
            return Ok((store, extent));
        }
        let fetch_whole = &self.mirror.fetch_whole;
        if lacking.len() <= MOST_WANTS && !fetch_whole.load(Ordering::Relaxed) {
            match self.fetch_objects(&store, &lacking, &[], self.limits()) {
                Ok(()) => return Ok((store, extent)),
                Err(error @ (Error::Declined { .. } | Error::Protocol { .. } | Error::BadPack { .. })) => {
                    tracing::info!(url = %self.upstream.url, %error, "fetching the whole commit: the server does not give out single files");
                    fetch_whole.store(true, Ordering::Relaxed);
                }
                Err(error) => return Err(error),
            }
        }
        drop(store);
        self.ensure_commit(Extent::Whole)
    }

    /// Fetches objects by name, and everything that trees among them lead to except blobs.
    ///
    /// `known` are commits whose trees are held. The caller has the mirror's lock.
    pub(super) fn fetch_objects(
        &self,
        store: &Store,
        wants: &[Oid],
        known: &[Oid],
        limits: PackLimits,
    ) -> Result<(), Error> {
        let request = FetchRequest {
            wants,
            depth: Depth::NoCommits,
            filter: Some(Filter::Blobs),
            unfiltered: Unfiltered::Skip,
            held: &[],
            partial: known,
        };
        let fetched = self.receive(store, &request, limits);
        let fetched = fetched.map_err(|error| self.as_bad_pack(error, known.is_empty()))?;
        let unusable = |reason: String| Error::BadPack {
            url: self.upstream.url.to_string(),
            reason,
        };
        if fetched == Fetched::NoFilter {
            return Err(unusable("the server does not filter (any more)".to_owned()));
        }
        match store.lacking(wants)?.first() {
            Some(lacking) => Err(unusable(format!(
                "it lacks object {lacking}, which was asked for"
            ))),
            None => Ok(()),
        }
    }

    /// Fetches a pack into the mirror, over the connection of the previous one if that is still
    /// usable.
    ///
    /// The caller has the mirror's lock.
    pub(super) fn receive(
        &self,
        store: &Store,
        request: &FetchRequest<'_>,
        limits: PackLimits,
    ) -> Result<Fetched, Error> {
        let kept = locked(&self.conversation).take();
        if let Some(kept) = kept {
            kept.session().begin_request(self.mirrors.config.max_refs);
            match self.receive_by(kept, store, request, limits) {
                // It may have been closed in the meantime.
                Err(error @ (Error::Unreachable { .. } | Error::Protocol { .. })) => {
                    tracing::debug!(url = %self.upstream.url, %error, "reconnecting");
                }
                outcome => return outcome,
            }
        }
        let conversation = Conversation::begin(self.session()?)?;
        self.receive_by(conversation, store, request, limits)
    }

    fn receive_by(
        &self,
        mut conversation: Conversation,
        store: &Store,
        request: &FetchRequest<'_>,
        limits: PackLimits,
    ) -> Result<Fetched, Error> {
        let session = Arc::clone(conversation.session());
        let earlier = store.packs()?;
        let mut reserved = self.mirrors.storage.reserve();
        // Data around the pack, such as progress, is counted too, and bounded like refs.
        let largest = limits.packed.saturating_add(self.mirrors.config.max_refs);
        let fetched = wire::fetch(&mut conversation, request, largest, &mut |pack| {
            self.mirrors.count_fetch();
            let mut reserve = |bytes| reserved.grow_to(bytes);
            store.receive(pack, limits, &mut reserve, &|| {
                session.check("receiving the pack")
            })
        })?;
        if fetched == Fetched::Filtered {
            store.mark_filtered(&earlier)?;
        }
        if conversation.takes_more() && matches!(fetched, Fetched::Everything | Fetched::Filtered) {
            *locked(&self.conversation) = Some(conversation);
        }
        Ok(fetched)
    }

    /// Returns the mirror's store, swept, or a new one if there is none or it has too many packs.
    ///
    /// The caller has the mirror's lock.
    pub(super) fn prepare_store(&self, mut opened: Option<Store>) -> Result<Store, Error> {
        if let Some(store) = &opened {
            store.sweep()?;
            if store.too_many_packs()? {
                opened = None;
                self.rebuild("it has many packs")?;
            }
        }
        if let Some(store) = opened {
            return Ok(store);
        }
        // It may have been evicted since.
        self.mirror.forget_verified();
        Store::create(&self.mirror.dir)
    }

    fn fetch_commit(&self, store: &Store, filter: Option<Filter>) -> Result<Extent, Error> {
        let (mirror, commit) = (&self.mirror, self.resolved.commit());
        let whole = self.verified(store, Extent::Whole)?;
        let partial = match filter {
            Some(_) => self.verified(store, Extent::Trees)?,
            None => Vec::new(),
        };
        let filter = match (filter, partial.first().or(whole.first())) {
            (Some(Filter::Blobs), Some(known))
                if self.with_deadline(|check| store.has_few_files(*known, FEW_FILES, check))? =>
            {
                Some(Filter::LargeBlobs)
            }
            (filter, _) => filter,
        };
        let request = FetchRequest {
            wants: &[self.resolved.want],
            depth: Depth::Commits(1),
            filter,
            unfiltered: Unfiltered::Fetch,
            held: &whole,
            partial: &partial,
        };
        let begun = Instant::now();
        let held = self
            .receive(store, &request, self.limits())
            .map_err(|error| self.as_moved(error))
            .and_then(|fetched| {
                let extent = match fetched {
                    Fetched::Filtered => Extent::Trees,
                    _ => Extent::Whole,
                };
                self.with_deadline(|check| mirror.verify(store, commit, extent, check))
            })
            .map_err(|error| self.as_bad_pack(error, whole.is_empty() && partial.is_empty()))?;
        store.mark_held(commit, held)?;
        tracing::info!(url = %self.upstream.url, revision = %self.resolved.revision, ?held,
            seconds = begun.elapsed().as_secs_f64(), "fetched");
        Ok(held)
    }

    /// Returns the latest commits that are held to this extent, after verifying them.
    fn verified(&self, store: &Store, extent: Extent) -> Result<Vec<Oid>, Error> {
        let mut commits = store.held_commits(extent)?;
        commits.truncate(MAX_HAVES);
        for commit in &commits {
            self.with_deadline(|check| self.mirror.verify(store, *commit, extent, check))?;
        }
        Ok(commits)
    }

    /// Runs work with a check that fails once the deadline has passed.
    pub(super) fn with_deadline<T>(
        &self,
        work: impl FnOnce(CancelCheck<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let session = self.session()?;
        work(&|| session.check("checking the commit"))
    }

    fn session(&self) -> Result<Arc<Session>, Error> {
        let (mirrors, upstream) = (self.mirrors, &self.upstream);
        mirrors.session(
            upstream,
            Access::Read,
            mirrors.config.max_refs,
            self.patience.deadline,
        )
    }

    /// The bounds on a pack.
    pub(super) fn limits(&self) -> PackLimits {
        let config = &self.mirrors.config;
        PackLimits {
            packed: config.max_pack,
            object: config.max_object,
            unpacked: config.max_unpacked,
        }
    }

    /// Blames the server for a damaged pack, where no earlier pack can be at fault.
    fn as_bad_pack(&self, error: Error, stands_alone: bool) -> Error {
        match error {
            Error::Corrupt { reason, .. } if stands_alone => Error::BadPack {
                url: self.upstream.url.to_string(),
                reason,
            },
            error => error,
        }
    }

    /// Turns a refusal to give out the commit into [`Error::Moved`] or [`Error::RefNotFound`]: the
    /// server has lost it, or never had it.
    ///
    /// If the server listed the commit, that list is out of date.
    pub(super) fn as_moved(&self, error: Error) -> Error {
        match error {
            Error::Declined { reason, .. } if lacks_object(&reason) => {
                let (url, commit) = (&self.upstream.url, self.resolved.commit().to_string());
                match self.resolved.revision.name() {
                    Some(name) => {
                        self.mirrors.forget_look(&self.mirror);
                        Error::Moved {
                            url: url.to_string(),
                            name: name.to_owned(),
                            commit,
                        }
                    }
                    None => refs::not_found(url, &commit),
                }
            }
            error => error,
        }
    }

    fn rebuild(&self, reason: &str) -> Result<(), Error> {
        let mirror = &self.mirror;
        tracing::warn!(mirror = %mirror.dir.display(), reason, "discarding a mirror to fetch it again");
        self.mirrors.count_rebuild();
        mirror.forget_verified();
        store::remove(&mirror.dir)
    }

    /// The error for another fetch of the same upstream that takes too long.
    fn busy(&self) -> Error {
        Error::Timeout {
            url: self.upstream.url.to_string(),
            step: "waiting for another fetch of the same upstream",
        }
    }
}
