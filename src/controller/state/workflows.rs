//! The workflows of GitHub Actions that build images: their clients, what this process asked of
//! them, and how many are at work.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};
use patchset_api::PatchSet;
use patchset_api::build::{Attempt, Engine};
use patchset_api::referent::ObjectKey;

use super::api_server::{Guarded, find};
use super::build_places::{BEGINS_WITHIN, BuildLimits, BuildQueue, Queued, UnderWay};
use super::locking::lock;
use super::recent::{ClientCache, Recent};
use crate::actions::{ActionsClient, RunId, Workflow};

/// How long a run may wait for a runner, besides the time that it may take, before its place is
/// given to another.
const QUEUED_WITHIN: Duration = Duration::from_secs(10 * 60);

/// The most requests and cancellations that are remembered.
const MOST_REMEMBERED: usize = 10_000;

/// What this process knows of a request for a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkflowRequestState {
    /// This process wrote it to the status, and requested no run yet.
    Fresh,
    /// A run may have been requested, at this time or before.
    Asked(Instant),
    /// A run was requested at this time, and the server said that it begins.
    Answered(Instant),
}

/// What is kept between reconciliations.
#[derive(Default)]
pub struct Workflows {
    pub clients: ClientCache<ActionsClient>,
    requests: Recent<String, WorkflowRequestState, MOST_REMEMBERED>,
    cancelled: Recent<(String, RunId), Instant, MOST_REMEMBERED>,
    places: Mutex<RunPlaces>,
    /// The runs that are followed, by the uid of the `PatchSet` that they build for.
    followed: Mutex<HashMap<String, FollowedRun>>,
}

/// Who takes a place that the watch does not show.
#[derive(Default)]
struct RunPlaces {
    /// Objects whose attempt begins, and is not in their watched status yet; since when.
    beginning: HashMap<ObjectKey, Instant>,
    queue: BuildQueue,
}

/// A run that may be under way, with what is needed to cancel it when its `PatchSet` and that one's
/// Secret are gone.
#[derive(Clone)]
pub struct FollowedRun {
    pub patch_set: ObjectKey,
    /// The uid of the `PatchSet`.
    pub uid: String,
    pub workflow: Workflow,
    pub client: Arc<ActionsClient>,
    pub attempt: Attempt,
}

impl Workflows {
    /// Notes that a request was put into the status by this process, before anything is asked for.
    pub fn note_recorded(&self, request: &str) {
        self.requests
            .get_or_put(request.to_owned(), || WorkflowRequestState::Fresh);
    }

    /// What is known of a request; one from before this process began counts as asked for at this
    /// moment.
    pub fn state_of(&self, request: &str) -> WorkflowRequestState {
        let asked = || WorkflowRequestState::Asked(Instant::now());
        self.requests.get_or_put(request.to_owned(), asked)
    }

    /// Records the state of a request.
    pub fn record_state(&self, request: &str, known: WorkflowRequestState) {
        self.requests.put(request.to_owned(), known);
    }

    /// When a run was cancelled by this process.
    pub fn cancelled_at(&self, workflow: &Workflow, run: RunId) -> Option<Instant> {
        self.cancelled.get(&(workflow.address(), run))
    }

    /// Notes that a run was cancelled.
    pub fn note_cancelled(&self, workflow: &Workflow, run: RunId) {
        let cancelled = (workflow.address(), run);
        self.cancelled.put(cancelled, Instant::now());
    }

    /// Takes a place for one more build, if the bounds leave one and it is its turn.
    pub fn take_place(
        &self,
        store: &Store<Guarded<PatchSet>>,
        patch_set: &PatchSet,
        limits: BuildLimits,
    ) -> Result<(), Queued> {
        let this = ObjectKey::of_object(patch_set);
        let mut places = lock(&self.places);
        let RunPlaces { beginning, queue } = &mut *places;
        let mut active: HashSet<ObjectKey> = HashSet::new();
        for object in store.state() {
            let Ok(object) = &object.0 else { continue };
            if is_active(object, limits, Timestamp::now()) {
                let key = ObjectKey::of_object(object);
                beginning.remove(&key);
                active.insert(key);
            }
        }
        beginning.retain(|key, since| since.elapsed() < BEGINS_WITHIN && find(store, key).is_some());
        active.extend(beginning.keys().cloned());
        // Its own former build is over, whatever the watch has seen of it.
        active.remove(&this);
        let under_way: UnderWay = active.into_iter().map(|key| key.namespace).collect();
        queue.retain(|waiting| {
            find(store, waiting)
                .is_some_and(|object| object.0.as_ref().is_ok_and(|object| !object.spec.suspend))
        });
        queue.ask(&this, &under_way, limits, Instant::now())?;
        beginning.insert(this, Instant::now());
        Ok(())
    }

    /// Gives a place back: the attempt is over.
    pub fn give_back(&self, patch_set: &PatchSet) {
        lock(&self.places)
            .beginning
            .remove(&ObjectKey::of_object(patch_set));
        lock(&self.followed).remove(&patch_set.uid().unwrap_or_default());
    }

    /// Notes the run of an attempt that is not over.
    pub fn follow_run(&self, run: FollowedRun) {
        lock(&self.followed).insert(run.uid.clone(), run);
    }

    /// Takes out the runs that nothing follows any more, because their `PatchSet`s are gone: at
    /// most as many as allowed for each namespace.
    pub fn take_orphans(
        &self,
        store: &Store<Guarded<PatchSet>>,
        allowed: impl Fn(&str) -> usize,
    ) -> Vec<FollowedRun> {
        let mut taken: HashMap<String, usize> = HashMap::new();
        let is_gone = |run: &FollowedRun| {
            find(store, &run.patch_set).is_none_or(|object| {
                let meta = object.meta();
                meta.uid.as_ref() != Some(&run.uid) || meta.deletion_timestamp.is_some()
            })
        };
        let mut followed = lock(&self.followed);
        let orphans = followed.extract_if(|_, run| {
            is_gone(run) && {
                let count = taken.entry(run.patch_set.namespace.clone()).or_default();
                *count += 1;
                *count <= allowed(&run.patch_set.namespace)
            }
        });
        orphans.map(|(_, run)| run).collect()
    }
}

/// Whether a run may be under way. Nothing follows one while patches conflict or the object is
/// suspended: it holds its place at most as long as a run may take.
fn is_active(patch_set: &PatchSet, limits: BuildLimits, now: Timestamp) -> bool {
    let wanted = patch_set.spec.build.as_ref().filter(|_| !patch_set.spec.suspend);
    let Some(wanted) = wanted.filter(|build| build.engine == Engine::GitHubActions) else {
        return false;
    };
    let build = patch_set.status.as_ref().and_then(|status| status.build.as_ref());
    let attempt = build.and_then(|build| build.attempt.as_ref());
    let Some(attempt) = attempt.filter(|attempt| attempt.finished_at.is_none()) else {
        return false;
    };
    let Time(begun) = attempt.started_at;
    let longest = wanted.timeout().unwrap_or_default().min(limits.timeout) + QUEUED_WITHIN;
    Duration::try_from(now.duration_since(begun)).is_ok_and(|since| since < longest)
}
