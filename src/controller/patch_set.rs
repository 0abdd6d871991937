//! Reconciles a `PatchSet`.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config};
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{Controller, Predicate, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Client, Resource, ResourceExt};

use super::memory::Memory;
use super::options::Options;
use super::references::{References, Scope};
use super::triggers::{self, Change};
use super::{Error, check, gather};
use crate::api::reason::condition;
use crate::api::status::{PatchSetStatus, PatchState};
use crate::api::{PatchSet, reason};
use crate::ops::metrics::{Metrics, Outcome as Ended, Shown};
use crate::plan::patch_set::{Asked, Next, begin, holds, settle, wait};
use crate::plan::{Failure, Outcome, Step, backoff, conditions};
use crate::source::{Freshness, Mirrors};
use crate::status::events::{self, Note};
use crate::status::writer;

const KIND: &str = "PatchSet";

/// The annotation by which Flux's users ask for a look now.
pub(super) const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// The share of the interval for which a look at an upstream's refs serves all objects on it. Below the shortest
/// jittered interval, so that each object's own turn finds news.
const SHARED_SHARE: f64 = 0.9;

/// How long the API server may take for one request of ours.
const API_TIMEOUT: Duration = Duration::from_secs(30);

/// What all reconciliations share.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) options: Options,
    pub(super) mirrors: Arc<Mirrors>,
    pub(super) metrics: Metrics,
    pub(super) references: Arc<References>,
    memory: Memory<String, PatchSetStatus>,
}

pub(super) type Guarded = DeserializeGuard<PatchSet>;

impl Context {
    pub(super) fn new(
        client: Client,
        options: Options,
        mirrors: Arc<Mirrors>,
        metrics: Metrics,
        references: Arc<References>,
    ) -> Self {
        Self {
            client,
            options,
            mirrors,
            metrics,
            references,
            memory: Memory::default(),
        }
    }
}

/// The controller as a stream of its results.
pub(super) fn controller(
    scope: &Scope,
    context: &Arc<Context>,
    writer: Writer<Guarded>,
    changes: BoxStream<'static, Change>,
) -> impl Stream<Item = ()> + use<> {
    let store = writer.as_reader();
    let mut config = watcher::Config::default();
    if let Some(selector) = &context.options.watch_label_selector {
        config = config.labels(selector);
    }
    let objects = watcher(scope.api::<Guarded>(), config)
        .default_backoff()
        .modify(|object: &mut Guarded| object.meta_mut().managed_fields = None)
        .reflect(writer)
        .touched_objects()
        .predicate_filter(
            predicates::generation
                .combine(predicates::annotations)
                .combine(deletion),
            PredicateConfig::default(),
        );
    let triggered = {
        let store = store.clone();
        changes.flat_map(move |change| {
            let concerned = store.state().into_iter().filter_map(|object| {
                let patch_set = object.0.as_ref().ok()?;
                let namespace = patch_set.namespace().unwrap_or_default();
                triggers::concerns(patch_set, &namespace, &change)
                    .then(|| ObjectRef::from_obj(object.as_ref()))
            });
            futures::stream::iter(concerned.collect::<Vec<_>>())
        })
    };
    let forget = {
        let (store, context) = (store.clone(), Arc::clone(context));
        move || {
            let uids: HashSet<String> = store
                .state()
                .iter()
                .filter_map(|object| object.meta().uid.clone())
                .collect();
            context.memory.retain(|uid| uids.contains(uid));
        }
    };
    Controller::for_stream(objects, store)
        .reconcile_on(triggered)
        .with_config(Config::default().concurrency(context.options.concurrent))
        .run(reconcile, after_error, Arc::clone(context))
        .map(move |result| {
            forget();
            if let Err(kube::runtime::controller::Error::QueueError(error)) = result {
                tracing::warn!(%error, "the watch of PatchSets was interrupted");
            }
        })
}

fn deletion(object: &Guarded) -> Option<u64> {
    object.meta().deletion_timestamp.as_ref().map(|_| 1)
}

/// A write that failed; the reconciliation is repeated.
#[allow(
    clippy::needless_pass_by_value,
    reason = "kube's error policy takes its arguments so"
)]
fn after_error(object: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    let uid = object.meta().uid.clone().unwrap_or_default();
    let delay = backoff::after_failures(context.memory.failed(uid), backoff::LONGEST);
    tracing::warn!(
        namespace = object.meta().namespace, name = object.meta().name, %error, delay = ?delay,
        "a reconciliation could not be finished"
    );
    Action::requeue(delay)
}

async fn reconcile(object: Arc<Guarded>, context: Arc<Context>) -> Result<Action, Error> {
    let patch_set = match &object.0 {
        Ok(patch_set) => patch_set,
        Err(invalid) => {
            tracing::warn!(
                namespace = invalid.metadata.namespace, name = invalid.metadata.name, error = %invalid.error,
                "an object cannot be read; are the CRDs of another version than the controller?"
            );
            return Ok(Action::await_change());
        }
    };
    let started = Instant::now();
    let _active = context.metrics.started(KIND);
    let (action, ended) = reconcile_one(patch_set, &context).await?;
    context.metrics.reconciled(KIND, ended, started.elapsed());
    Ok(action)
}

async fn reconcile_one(patch_set: &PatchSet, context: &Arc<Context>) -> Result<(Action, Ended), Error> {
    let uid = patch_set.uid().unwrap_or_default();
    let generation = patch_set.metadata.generation.unwrap_or_default();
    let mut known = context
        .memory
        .newer_than(&uid, patch_set.resource_version().as_deref())
        .or_else(|| patch_set.status.clone())
        .unwrap_or_default();
    if patch_set.metadata.deletion_timestamp.is_some() {
        return Ok((Action::await_change(), Ended::Unchanged));
    }
    if patch_set.spec.suspend {
        tracing::debug!(
            namespace = patch_set.namespace(),
            name = patch_set.name_any(),
            "suspended"
        );
        return Ok((Action::await_change(), Ended::Suspended));
    }
    let requested_at = patch_set.annotations().get(REQUESTED_AT).map(String::as_str);
    let asked = Asked {
        generation,
        requested_at,
        merged: patch_set.spec.merged_patches,
    };
    if let Some(status) = begin(&known, generation, Timestamp::now()) {
        write(context, patch_set, &known, &status).await?;
        known = status;
    }
    let now_asked = requested_at.is_some() && requested_at != known.last_handled_reconcile_at.as_deref();
    let outcome = attempt(patch_set, context, &known, now_asked).await;
    let failed = match &outcome {
        Outcome::Failed(failure, _) => {
            tracing::warn!(
                namespace = patch_set.namespace(),
                name = patch_set.name_any(),
                reason = failure.reason,
                message = failure.message,
                "a step failed"
            );
            true
        }
        Outcome::Unchanged(_) | Outcome::Checked(..) => false,
    };
    let (status, next) = settle(&known, asked, Timestamp::now(), outcome);
    let changed = status != known;
    if changed {
        write(context, patch_set, &known, &status).await?;
    }
    let failures = if next == Next::Backoff {
        context.memory.failed(uid)
    } else {
        context.memory.succeeded(&uid);
        0
    };
    let interval = patch_set.spec.interval.get().unwrap_or(backoff::LONGEST);
    let action = match wait(next, interval, failures) {
        Some(delay) => Action::requeue(backoff::jittered(
            delay,
            context.options.interval_jitter_percentage,
            random(),
        )),
        None => Action::await_change(),
    };
    let ended = match (failed, changed) {
        (true, _) => Ended::Failed,
        (false, true) => Ended::Changed,
        (false, false) => Ended::Unchanged,
    };
    Ok((action, ended))
}

/// A number from 0 to 1 that differs between objects and moments; nothing depends on its quality.
fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(bits).unwrap_or_default()) / f64::from(u32::MAX)
}

/// One attempt, within the object's timeout.
async fn attempt(
    patch_set: &PatchSet,
    context: &Arc<Context>,
    known: &PatchSetStatus,
    now_asked: bool,
) -> Outcome {
    let invalid = |error: crate::api::duration::DurationError| {
        Failure::stalled(Step::Source, reason::INVALID_SPEC, error.to_string())
    };
    let (timeout, interval) = match (patch_set.spec.timeout.get(), patch_set.spec.interval.get()) {
        (Ok(timeout), Ok(interval)) => (timeout, interval),
        (Err(error), _) | (_, Err(error)) => return Outcome::Failed(invalid(error), None),
    };
    let freshness = if now_asked {
        Freshness::Now
    } else {
        Freshness::MaxAge(interval.mul_f64(SHARED_SHARE))
    };
    let deadline = Instant::now() + timeout;
    let gathered = match gather::gather(patch_set, context, freshness, deadline).await {
        Ok(gathered) => gathered,
        Err(failure) => return Outcome::Failed(failure, None),
    };
    let sources = gathered.sources();
    if holds(known, &sources.inputs_digest) {
        return Outcome::Unchanged(sources);
    }
    match check::check(gathered, context, deadline).await {
        Ok(checked) => Outcome::Checked(sources, checked),
        Err(failure) => Outcome::Failed(failure, Some(sources)),
    }
}

async fn write(
    context: &Context,
    patch_set: &PatchSet,
    known: &PatchSetStatus,
    status: &PatchSetStatus,
) -> Result<(), Error> {
    let written = tokio::time::timeout(API_TIMEOUT, writer::write(&context.client, patch_set, status)).await;
    let object = match written {
        Ok(Err(crate::status::Error::Api(kube::Error::Api(error)))) if error.is_not_found() => return Ok(()),
        Ok(result) => result?,
        Err(_) => return Err(crate::status::Error::TimedOut.into()),
    };
    let uid = patch_set.uid().unwrap_or_default();
    context
        .memory
        .wrote(uid, object.resource_version().unwrap_or_default(), status.clone());
    if let Some(note) = news(known, status)
        && let Err(error) = events::publish(&context.client, &patch_set.object_ref(&()), note).await
    {
        tracing::warn!(%error, "an event could not be written");
    }
    Ok(())
}

/// What a person would want to know of a change of status.
fn news(known: &PatchSetStatus, status: &PatchSetStatus) -> Option<Note> {
    let ready = conditions::find(&status.conditions, condition::READY)?;
    if ready.status == conditions::Truth::Unknown.as_str() {
        return None;
    }
    let before = conditions::find(&known.conditions, condition::READY);
    let told = before.is_some_and(|b| {
        (&b.status, &b.reason, &b.message) == (&ready.status, &ready.reason, &ready.message)
    });
    (!told).then(|| Note {
        kind: if ready.status == conditions::Truth::True.as_str() {
            EventType::Normal
        } else {
            EventType::Warning
        },
        reason: ready.reason.clone(),
        message: ready.message.clone(),
    })
}

/// An object as the metrics show it.
pub(super) fn shown(patch_set: &PatchSet) -> Shown {
    const STATES: [PatchState; 6] = [
        PatchState::Clean,
        PatchState::Offset,
        PatchState::Merged,
        PatchState::Conflict,
        PatchState::Malformed,
        PatchState::Blocked,
    ];
    let status = patch_set.status.clone().unwrap_or_default();
    let count = |state| status.patches.iter().filter(|patch| patch.state == state).count();
    Shown {
        kind: KIND,
        namespace: patch_set.namespace().unwrap_or_default(),
        name: patch_set.name_any(),
        ready: conditions::find(&status.conditions, condition::READY)
            .map(|ready| (ready.status.clone(), ready.reason.clone())),
        patches: STATES
            .map(|state| (state.as_str(), i64::try_from(count(state)).unwrap_or(i64::MAX)))
            .to_vec(),
    }
}
