//! The loop of one kind of object: watch, attempt, settle, write, tell.

use std::collections::HashSet;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::{Action, Config};
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{Controller, Predicate, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Error;
use super::context::{API_TIMEOUT, Context, Guarded, Pace};
use super::memory::{Memory, Seen};
use super::references::{Referent, ReferentKind, Scope};
use super::triggers::{Change, Triggers};
use crate::api::FluxDuration;
use crate::api::reason::{self, condition};
use crate::ops::metrics::Outcome as Ended;
use crate::ops::objects::Shown;
use crate::plan::lifecycle::{Asked, Next, Observed, begin, wait};
use crate::plan::{Failure, Outcome, Step, backoff, conditions};
use crate::source::Freshness;
use crate::status::events::{self, Note};
use crate::status::notify::About;
use crate::status::writer::{self, Written};

/// The annotation by which Flux's users ask for a look now.
const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// The share of the interval for which a look at an upstream's refs serves all objects on it. Below the shortest
/// jittered interval, so that each object's own turn finds news.
const SHARED_SHARE: f64 = 0.9;

/// The same for a spec that is new: whoever changed it may have pushed what it names just before. And for what is different from
/// what the status tells.
pub(super) const JUST_NOW: Duration = Duration::from_millis(500);

/// When an object is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule<'a> {
    pub(super) interval: &'a FluxDuration,
    pub(super) timeout: &'a FluxDuration,
    pub(super) suspend: bool,
}

/// A kind of object that is reconciled.
pub(super) trait Reconciled:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Its status.
    type Status: Observed + Default + PartialEq + Serialize + Send + Sync + 'static;
    /// What its sources say.
    type Sources: Send;
    /// What an attempt gives.
    type Done: Send;
    /// The kind's name.
    const KIND: &'static str;
    /// The kind as others refer to it.
    const REFERENT: ReferentKind;

    /// The status as the API server has it.
    fn status(&self) -> Option<&Self::Status>;

    /// When it is looked at.
    fn schedule(&self) -> Schedule<'_>;

    /// Whether a result may change with this object, which is not the resource itself.
    fn refers_to(&self, namespace: &str, referent: &Referent) -> bool;

    /// What an event says besides the message of Ready.
    fn details(_: &Self::Status) -> Option<String> {
        None
    }

    /// What alerts show of it besides the message, by Flux's names where it has some.
    fn facts(&self, status: &Self::Status) -> Vec<(&'static str, String)>;

    /// What the metrics show of it.
    fn shown(&self) -> Shown;

    /// Told of each status that this process wrote, with the one before it.
    fn wrote(&self, _: &Context, _: &Self::Status, _: &Self::Status) {}

    /// One attempt.
    fn attempt(
        &self,
        context: &Arc<Context>,
        known: &Self::Status,
        pace: Pace,
    ) -> impl Future<Output = Outcome<Self::Sources, Self::Done>> + Send;

    /// The status that an attempt leads to.
    fn settle(
        &self,
        known: &Self::Status,
        asked: Asked<'_>,
        now: Timestamp,
        outcome: Outcome<Self::Sources, Self::Done>,
    ) -> (Self::Status, Next);
}

/// What the reconciliations of one kind share.
struct Kind<K: Reconciled> {
    context: Arc<Context>,
    memory: Memory<String, K::Status>,
}

/// The controller of a kind, as a stream of its results.
pub(super) fn controller<K: Reconciled>(
    scope: &Scope,
    context: &Arc<Context>,
    writer: Writer<Guarded<K>>,
    triggers: &Triggers,
) -> impl Stream<Item = ()> + Send + use<K> {
    let store = writer.as_reader();
    let mut config = watcher::Config::default();
    if let Some(selector) = &context.options.watch_label_selector {
        config = config.labels(selector);
    }
    let changes = triggers.changes();
    let teller = triggers.clone();
    let tell = move |object: &Guarded<K>| {
        teller.tell(Referent {
            kind: K::REFERENT,
            namespace: object.meta().namespace.clone().unwrap_or_default(),
            name: object.meta().name.clone().unwrap_or_default(),
        });
    };
    let objects = watcher(scope.api::<Guarded<K>>(), config)
        .default_backoff()
        .modify(|object: &mut Guarded<K>| object.meta_mut().managed_fields = None)
        .reflect(writer)
        .touched_objects()
        .inspect_ok(tell)
        .predicate_filter(
            predicates::generation
                .combine(predicates::annotations)
                .combine(deletion::<K>),
            PredicateConfig::default(),
        );
    let triggered = {
        let store = store.clone();
        changes.flat_map(move |change| {
            let concerned = store.state().into_iter().filter_map(|object| {
                let read = object.0.as_ref().ok()?;
                let concerns = match &change {
                    Change::One(referent) => read.refers_to(&read.namespace().unwrap_or_default(), referent),
                    Change::Any => true,
                };
                concerns.then(|| ObjectRef::from_obj(object.as_ref()))
            });
            futures::stream::iter(concerned.collect::<Vec<_>>())
        })
    };
    let kind = Arc::new(Kind::<K> {
        context: Arc::clone(context),
        memory: Memory::default(),
    });
    let forget = {
        let (store, kind) = (store.clone(), Arc::clone(&kind));
        move || {
            let uids: HashSet<String> = store
                .state()
                .iter()
                .filter_map(|object| object.meta().uid.clone())
                .collect();
            kind.memory.retain(|uid| uids.contains(uid));
        }
    };
    Controller::for_stream(objects, store)
        .reconcile_on(triggered)
        .with_config(Config::default().concurrency(context.options.concurrent))
        .run(reconcile, after_error, kind)
        .map(move |result| {
            forget();
            if let Err(kube::runtime::controller::Error::QueueError(error)) = result {
                tracing::warn!(kind = K::KIND, %error, "a watch was interrupted");
            }
        })
}

fn deletion<K: Reconciled>(object: &Guarded<K>) -> Option<u64> {
    object.meta().deletion_timestamp.as_ref().map(|_| 1)
}

/// A write that failed; the reconciliation is repeated.
#[allow(
    clippy::needless_pass_by_value,
    reason = "kube's error policy takes its arguments so"
)]
fn after_error<K: Reconciled>(object: Arc<Guarded<K>>, error: &Error, kind: Arc<Kind<K>>) -> Action {
    let uid = object.meta().uid.clone().unwrap_or_default();
    let delay = backoff::after_failures(kind.memory.failed(uid), backoff::LONGEST);
    tracing::warn!(
        kind = K::KIND, namespace = object.meta().namespace, name = object.meta().name, %error, delay = ?delay,
        "a reconciliation could not be finished"
    );
    Action::requeue(delay)
}

async fn reconcile<K: Reconciled>(object: Arc<Guarded<K>>, kind: Arc<Kind<K>>) -> Result<Action, Error> {
    let object = match &object.0 {
        Ok(object) => object,
        Err(invalid) => {
            tracing::warn!(
                kind = K::KIND, namespace = invalid.metadata.namespace, name = invalid.metadata.name, error = %invalid.error,
                "an object cannot be read; are the CRDs of another version than the controller?"
            );
            return Ok(Action::await_change());
        }
    };
    let started = Instant::now();
    let _active = kind.context.metrics.started(K::KIND);
    let result = kind.reconcile(object).await;
    let ended = result.as_ref().map_or(Ended::Failed, |(_, ended)| *ended);
    kind.context.metrics.reconciled(K::KIND, ended, started.elapsed());
    result.map(|(action, _)| action)
}

impl<K: Reconciled> Kind<K> {
    async fn reconcile(&self, object: &K) -> Result<(Action, Ended), Error> {
        let meta = object.meta();
        let uid = meta.uid.clone().unwrap_or_default();
        let generation = meta.generation.unwrap_or_default();
        let schedule = object.schedule();
        if meta.deletion_timestamp.is_some() {
            return Ok((Action::await_change(), Ended::Unchanged));
        }
        if schedule.suspend {
            tracing::debug!(
                kind = K::KIND,
                namespace = meta.namespace,
                name = meta.name,
                "suspended"
            );
            return Ok((Action::await_change(), Ended::Suspended));
        }
        let mut known = self
            .memory
            .newer_than(&uid, meta.resource_version.as_deref())
            .unwrap_or_else(|| seen(object));
        let requested_at = object.annotations().get(REQUESTED_AT).map(String::as_str);
        let asked = Asked {
            generation,
            requested_at,
        };
        // The watch brings what somebody else wrote, until then.
        let anew = || {
            let delay = backoff::after_failures(self.memory.overtaken(uid.clone()), backoff::LONGEST);
            Ok((Action::requeue(delay), Ended::Unchanged))
        };
        let begun = begin(&known.status, generation, Timestamp::now());
        let is_new = begun.is_some();
        if let Some(status) = begun {
            let Some(written) = self.write(object, &known, &status).await? else {
                return anew();
            };
            known = written;
        }
        let now_asked = requested_at.is_some() && requested_at != known.status.last_handled_reconcile_at();
        let outcome = match pace(schedule, now_asked, is_new) {
            Ok(pace) => object.attempt(&self.context, &known.status, pace).await,
            Err(failure) => Outcome::Failed(failure, None),
        };
        let failed = match &outcome {
            Outcome::Failed(failure, _) => {
                tracing::warn!(
                    kind = K::KIND,
                    namespace = meta.namespace,
                    name = meta.name,
                    reason = failure.reason,
                    message = failure.message,
                    "a step failed"
                );
                true
            }
            Outcome::Unchanged(_) | Outcome::Done(..) => false,
        };
        let (status, next) = object.settle(&known.status, asked, Timestamp::now(), outcome);
        let changed = status != known.status;
        if changed && self.write(object, &known, &status).await?.is_none() {
            return anew();
        }
        let failures = if next == Next::Backoff {
            self.memory.failed(uid)
        } else {
            self.memory.succeeded(&uid);
            0
        };
        let interval = schedule.interval.get().unwrap_or(backoff::LONGEST);
        let action = match wait(next, interval, failures) {
            Some(delay) => Action::requeue(backoff::jittered(
                delay,
                self.context.options.interval_jitter_percentage,
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

    /// Writes a status that follows from the known one, and tells of it. Gives the status as it stands there; nothing where the
    /// object is gone, or has another status by now.
    async fn write(
        &self,
        object: &K,
        known: &Seen<K::Status>,
        status: &K::Status,
    ) -> Result<Option<Seen<K::Status>>, Error> {
        let client = &self.context.client;
        let is_known = |now: &K| seen(now).status == known.status;
        let writing = writer::write(client, object, known.version.as_deref(), status, is_known);
        let stored = match tokio::time::timeout(API_TIMEOUT, writing).await {
            Ok(Ok(Written::Stored(stored))) => stored,
            Ok(Ok(Written::Gone)) => return Ok(None),
            Ok(Ok(Written::Overtaken)) => {
                tracing::info!(
                    kind = K::KIND,
                    namespace = object.meta().namespace,
                    name = object.meta().name,
                    "somebody else wrote the status meanwhile; beginning anew"
                );
                return Ok(None);
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(crate::status::Error::TimedOut.into()),
        };
        let written = seen(stored.as_ref());
        self.memory
            .wrote(object.uid().unwrap_or_default(), written.clone());
        object.wrote(&self.context, &known.status, &written.status);
        if let Some(note) = news(known.status.conditions(), status.conditions(), K::details(status)) {
            let regarding = stored.object_ref(&());
            if let Some(notifier) = &self.context.notifier {
                let about = About {
                    facts: object.facts(status),
                    annotations: object.annotations().clone(),
                };
                let versioned = ObjectReference {
                    resource_version: stored.resource_version(),
                    ..regarding.clone()
                };
                notifier.tell(versioned, note.clone(), about);
            }
            if let Err(error) = events::publish(client, &regarding, note).await {
                tracing::warn!(%error, "an event could not be written");
            }
        }
        Ok(Some(written))
    }
}

/// The status that an object has.
fn seen<K: Reconciled>(object: &K) -> Seen<K::Status> {
    Seen {
        version: object.resource_version(),
        status: object.status().cloned().unwrap_or_default(),
    }
}

/// How new an attempt's knowledge must be, and how long it may take.
fn pace(schedule: Schedule<'_>, now_asked: bool, is_new: bool) -> Result<Pace, Failure> {
    let read = |duration: &FluxDuration| {
        duration
            .get()
            .map_err(|error| Failure::stalled(Step::Source, reason::INVALID_SPEC, error.to_string()))
    };
    let (timeout, interval) = (read(schedule.timeout)?, read(schedule.interval)?);
    Ok(Pace {
        freshness: if now_asked {
            Freshness::Now
        } else if is_new {
            Freshness::MaxAge(JUST_NOW)
        } else {
            Freshness::MaxAge(interval.mul_f64(SHARED_SHARE))
        },
        deadline: Instant::now() + timeout,
    })
}

/// A number from 0 to 1 that differs between objects and moments; nothing depends on its quality.
fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(bits).unwrap_or_default()) / f64::from(u32::MAX)
}

type Condition = k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// What a person would want to know of a change of conditions.
fn news(before: &[Condition], now: &[Condition], details: Option<String>) -> Option<Note> {
    let ready = conditions::find(now, condition::READY)?;
    let is_open = ready.status == conditions::Truth::Unknown.as_str();
    if is_open && ready.reason != reason::BUILDING {
        return None;
    }
    let told = conditions::find(before, condition::READY).is_some_and(|b| {
        (&b.status, &b.reason, &b.message) == (&ready.status, &ready.reason, &ready.message)
    });
    let is_good =
        ready.status != conditions::Truth::False.as_str() && ready.reason != reason::NEEDS_ATTENTION;
    (!told).then(|| Note {
        kind: if is_good {
            EventType::Normal
        } else {
            EventType::Warning
        },
        reason: ready.reason.clone(),
        message: match details {
            Some(details) => format!("{}\n{details}", ready.message),
            None => ready.message.clone(),
        },
    })
}

/// What the metrics show of objects that can be read.
pub(super) fn shown<K: Reconciled>(store: &kube::runtime::reflector::Store<Guarded<K>>) -> Vec<Shown> {
    store
        .state()
        .iter()
        .filter_map(|object| object.0.as_ref().ok())
        .map(Reconciled::shown)
        .collect()
}

/// What the metrics show of objects of any kind.
pub(super) fn identity<K: Reconciled>(object: &K) -> Shown {
    let conditions = object.status().map(Observed::conditions).unwrap_or_default();
    let conditions = conditions.iter();
    Shown {
        kind: K::KIND,
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        suspended: object.schedule().suspend,
        conditions: conditions
            .map(|one| (one.type_.clone(), one.status.clone(), one.reason.clone()))
            .collect(),
        ..Shown::default()
    }
}

/// Makes one request to the API server, within the time that one may take.
pub(super) async fn within_limit<T>(
    request: impl Future<Output = kube::Result<T>> + Send,
) -> Result<T, crate::status::Error> {
    match tokio::time::timeout(API_TIMEOUT, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(crate::status::Error::TimedOut),
    }
}
