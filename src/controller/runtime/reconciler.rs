//! The loop of one kind of object: watch, attempt, settle, write, tell.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, Predicate, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Resource, ResourceExt};

use super::objects::concerned;
use super::triggers::Triggers;
use super::unreadable;
use crate::api::{FluxDuration, reason};
use crate::controller::Error;
use crate::controller::context::kind::{Reconciled, Schedule};
use crate::controller::context::news::news;
use crate::controller::context::{Context, JUST_NOW, Pace, annotations, panics};
use crate::controller::state::api_server::{API_TIMEOUT, Guarded};
use crate::controller::state::memory::{Memory, Seen};
use crate::controller::state::references::Scope;
use crate::controller::state::referent::Referent;
use crate::controller::state::turns;
use crate::ops::metrics::Outcome as Ended;
use crate::plan::lifecycle::{Asked, InARow, Next, Observed, begin, wait};
use crate::plan::{Failure, Outcome, Retry, Step, backoff};
use crate::source::Freshness;
use crate::status::events;
use crate::status::notify::About;
use crate::status::writer::{self, Written};

/// The annotation by which Flux's users ask for a look now.
const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";

/// The share of the interval for which a look at an upstream's refs serves all objects on it. Below the
/// shortest jittered interval, so that each object's own turn finds news.
const SHARED_SHARE: f64 = 0.9;

/// How long an attempt may go on after its deadline. Each step ends by itself at the deadline; what is left
/// then is a request or two to the API server.
const OVERTIME: Duration = Duration::from_secs(60);

/// As many reconciliations as there are objects, in kube's words.
const UNBOUNDED: u16 = 0;

/// What the reconciliations of one kind share.
struct Kind<K: Reconciled> {
    context: Arc<Context>,
    memory: Memory<String, K::Status>,
    store: Store<Guarded<K>>,
}

/// The controller of a kind, as a stream of its results.
pub fn controller<K: Reconciled>(
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
    let objects = scope
        .watch::<Guarded<K>>(config)
        .modify(|object: &mut Guarded<K>| {
            object.meta_mut().managed_fields = None;
            annotations::keep_used(object.annotations_mut());
        })
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
        changes.flat_map(move |change| futures::stream::iter(concerned(&store.state(), &change)))
    };
    let kind = Arc::new(Kind::<K> {
        context: Arc::clone(context),
        memory: Memory::default(),
        store: store.clone(),
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
    // Each object waits for its turn itself: in the controller's own queue, the first to come would be
    // served first.
    Controller::for_stream(objects, store)
        .reconcile_on(triggered)
        .with_config(Config::default().concurrency(UNBOUNDED))
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

/// Waits for the object's turn, and does what there is to do for it.
async fn reconcile<K: Reconciled>(object: Arc<Guarded<K>>, kind: Arc<Kind<K>>) -> Result<Action, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let turn = kind.context.turns.wait(&namespace).await;
    // It may have changed, or gone, while it waited.
    let Some(object) = kind.store.get(&ObjectRef::from_obj(object.as_ref())) else {
        return Ok(Action::await_change());
    };
    // What waits holds no more than this; a reconciliation is large.
    let work = Box::pin(turns::within(turn, kind.look_at(&object)));
    panics::caught(work).await.unwrap_or(Err(Error::Panicked))
}

impl<K: Reconciled> Kind<K> {
    async fn look_at(&self, object: &Guarded<K>) -> Result<Action, Error> {
        let object = match &object.0 {
            Ok(object) => object,
            Err(invalid) => {
                unreadable::tell::<K>(&self.context, invalid).await;
                return Ok(Action::await_change());
            }
        };
        let started = Instant::now();
        let _active = self.context.metrics.started(K::KIND);
        let result = self.reconcile(object).await;
        let ended = result.as_ref().map_or(Ended::Failed, |(_, ended)| *ended);
        self.context.metrics.reconciled(K::KIND, ended, started.elapsed());
        result.map(|(action, _)| action)
    }

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
        let outcome = match self.pace(schedule, now_asked, is_new) {
            Ok(pace) => self.attempt(object, &known.status, pace).await,
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
        let mut in_a_row = InARow::default();
        match next {
            Next::Backoff => in_a_row.failures = self.memory.failed(uid),
            Next::Soon if !changed => in_a_row.looks = self.memory.looked(uid),
            _ => self.memory.succeeded(&uid),
        }
        let interval = schedule.interval.get().unwrap_or(backoff::LONGEST);
        let interval = interval.max(self.context.options.min_interval);
        let action = match wait(next, interval, in_a_row) {
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

    /// One attempt, which ends soon after its deadline, and whose defects are its own.
    async fn attempt(&self, object: &K, known: &K::Status, pace: Pace) -> Outcome<K::Sources, K::Done> {
        let attempt = panics::caught(async {
            let outcome = object.attempt(&self.context, known, pace).await;
            if is_out_of_date(&outcome, K::failures) {
                return object.attempt(&self.context, known, pace).await;
            }
            outcome
        });
        let outcome = match tokio::time::timeout_at((pace.deadline + OVERTIME).into(), attempt).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panicked)) => Outcome::Failed(panicked.into(), None),
            Err(_) => {
                let message = "the attempt took longer than spec.timeout";
                Outcome::Failed(Failure::retried(Step::Source, reason::TIMED_OUT, message), None)
            }
        };
        let longest = self.context.options.max_timeout;
        match outcome {
            Outcome::Failed(failure, sources)
                if failure.reason == reason::TIMED_OUT
                    && object.schedule().timeout.get().is_ok_and(|asked| asked > longest) =>
            {
                let message = format!(
                    "{}; spec.timeout is {}, and this controller allows {longest:?} (--max-timeout)",
                    failure.message,
                    object.schedule().timeout
                );
                Outcome::Failed(Failure { message, ..failure }, sources)
            }
            outcome => outcome,
        }
    }

    /// How new an attempt's knowledge must be, and how long it may take.
    fn pace(&self, schedule: Schedule<'_>, now_asked: bool, is_new: bool) -> Result<Pace, Failure> {
        let read = |duration: &FluxDuration| {
            duration
                .get()
                .map_err(|error| Failure::stalled(Step::Source, reason::INVALID_SPEC, error.to_string()))
        };
        let options = &self.context.options;
        let timeout = read(schedule.timeout)?.min(options.max_timeout);
        let interval = read(schedule.interval)?.max(options.min_interval);
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

    /// Writes a status that follows from the known one, and tells of it. Gives the status as it stands
    /// there; nothing where the object is gone, or has another status by now.
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
        let details = K::details(status);
        if let Some(note) = news(known.status.conditions(), status.conditions(), details.as_deref()) {
            let regarding = stored.object_ref(&());
            if let Some(notifier) = &self.context.notifier {
                let about = About {
                    facts: object.facts(status),
                    annotations: annotations::for_events(object.annotations()),
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

/// Whether an attempt failed because a branch moved between the look at it and the fetch.
fn is_out_of_date<S, D>(outcome: &Outcome<S, D>, failures: impl Fn(&D) -> Vec<&Failure>) -> bool {
    let failures = match outcome {
        Outcome::Failed(failure, _) => vec![failure],
        Outcome::Unchanged(_) => Vec::new(),
        Outcome::Done(_, done) => failures(done),
    };
    failures.iter().any(|failure| failure.retry == Retry::Anew)
}

/// A number from 0 to 1 that differs between objects and moments; nothing depends on its quality.
fn random() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(0_u8) >> 32;
    f64::from(u32::try_from(bits).unwrap_or_default()) / f64::from(u32::MAX)
}
