//! The loop of one kind of object: watch, attempt, settle, write, tell.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, TryStreamExt};
use git_mirrors::Freshness;
use jiff::Timestamp;
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Resource, ResourceExt};
use patchset_api::patch_repository::REPOSITORY_LABEL;
use patchset_api::referent::{ObjectKey, Referent, ReferentKind};
use patchset_api::{FluxDuration, PatchRepository, reason};
use tracing::Instrument;

use super::objects::find_concerned;
use super::triggers::{ObservedChange, Triggers};
use super::unreadable;
use super::work_queue::{self, Begun};
use crate::controller::Error;
use crate::controller::context::journal::{Interrupted, Journal, Statuses, requested_at};
use crate::controller::context::kind::{Reconciled, Schedule};
use crate::controller::context::turn::Turn;
use crate::controller::context::{Budget, Context, Occasion, annotations, panics};
use crate::controller::pipeline::Pipeline;
use crate::controller::state::api_server::{Guarded, controller_of, find};
use crate::controller::state::dependents::Dependency;
use crate::controller::state::nudges::Nudge;
use crate::controller::state::referents::WatchScope;
use crate::controller::state::second_looks::UsedLooks;
use crate::controller::state::slots;
use crate::ops::metrics::OutcomeLabel;
use crate::plan::lifecycle::{Next, Observed, Streak, begin_generation, wait_before_next};
use crate::plan::{Failure, Outcome, Retry, Step, backoff};

/// The share of the interval for which a look at an upstream's refs serves all objects on it. Below
/// the shortest jittered interval, so that each object's own turn finds news.
const SHARED_SHARE: f64 = 0.9;

/// How long work on a new generation goes on before the status says that it has begun. Work done
/// sooner costs one write.
const TOLD_AFTER: Duration = Duration::from_secs(1);

/// How old the digest that a tag was resolved to may be when the spec is new.
const LONGEST_PIN_FOR_NEW_SPEC: Duration = Duration::from_millis(500);

/// How often what is kept of objects that are gone is dropped.
const TIDIES_EVERY: Duration = Duration::from_secs(15);

/// How long an attempt may go on after its deadline. Each step ends by itself at the deadline; what
/// is left then is a request or two to the API server.
const OVERTIME: Duration = Duration::from_secs(60);

/// What the reconciliations of one kind share.
struct KindRuntime<K: Pipeline> {
    context: Arc<Context>,
    statuses: Statuses<K>,
    store: Store<Guarded<K>>,
}

/// The controller of a kind. It ends only with its watch, which never does.
pub async fn controller<K: Pipeline>(
    scope: &WatchScope,
    context: &Arc<Context>,
    writer: Writer<Guarded<K>>,
    triggers: &Triggers,
) {
    let store = writer.as_reader();
    let kind = Arc::new(KindRuntime::<K> {
        context: Arc::clone(context),
        statuses: Statuses::<K>::default(),
        store: store.clone(),
    });
    let changes = triggers.changes();
    let triggered = {
        let (store, dependents) = (store.clone(), Arc::clone(&context.dependents));
        changes.flat_map(move |change| futures::stream::iter(find_concerned(&store, &dependents, &change)))
    };
    let asked = futures::stream::select(triggered, called(context, store.clone(), triggers));
    let changed = changed(scope, context, writer, triggers);
    let asked = futures::stream::select(changed, asked);
    let ready = {
        let context = Arc::clone(context);
        async move {
            // Only then is it known whether what an object is made with exists. An error means that
            // a watch has ended, and this with it.
            let _ = tokio::join!(
                store.wait_until_ready(),
                context.patch_sets.wait_until_ready(),
                context.constraint_overrides.wait_until_ready(),
            );
        }
    };
    let work = {
        let kind = Arc::clone(&kind);
        move |key: ObjectKey, begun: Begun| {
            let span = tracing::info_span!("reconciling object", object.kind = K::KIND, object.key = %key);
            reconcile(key, begun, Arc::clone(&kind)).instrument(span)
        }
    };
    // Each object waits for its turn itself: a single queue would serve first come, first served.
    let working = work_queue::run(asked, ready, work);
    let tidying = async {
        loop {
            tokio::time::sleep(TIDIES_EVERY).await;
            kind.forget_gone();
        }
    };
    tokio::select! {
        () = working => {}
        () = tidying => {}
    }
}

/// The objects that changed in a way that matters, as the watch shows them.
fn changed<K: Pipeline>(
    scope: &WatchScope,
    context: &Arc<Context>,
    writer: Writer<Guarded<K>>,
    triggers: &Triggers,
) -> impl Stream<Item = ObjectKey> + Send + use<K> {
    let mut config = watcher::Config::default();
    if let Some(selector) = &context.options.watch_label_selector {
        config = config.labels(selector);
    }
    let tell = {
        let (teller, context) = (triggers.clone(), Arc::clone(context));
        move |object: &Guarded<K>| {
            note_seen(&context, object);
            let changed = referent::<K>(object);
            // Most changes concern no object, and those of a full list could not all be sent.
            if context.dependents.is_any_on(&Dependency::Object(changed.clone())) {
                teller.send(ObservedChange::One(changed));
            }
            teller.tell_seen(referent::<K>(object));
            if let Some(owner) = repository_of(object) {
                teller.owners.add(owner);
            }
        }
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
    objects.filter_map(|object| async move {
        match object {
            Ok(object) => Some(ObjectKey::of_object(&object)),
            Err(error) => {
                tracing::warn!(kind = K::KIND, %error, "a watch was interrupted");
                None
            }
        }
    })
}

/// The objects of a kind that are to be looked at now: those whose files changed, and those whose
/// objects did.
fn called<K: Pipeline>(
    context: &Context,
    store: Store<Guarded<K>>,
    triggers: &Triggers,
) -> impl Stream<Item = ObjectKey> + Send + use<K> {
    let dependents = Arc::clone(&context.dependents);
    let nudges = context.nudges.of_kind(K::REFERENT).flat_map(move |nudge| {
        futures::stream::iter(match nudge {
            Nudge::One(key) => vec![key],
            Nudge::All => find_concerned(&store, &dependents, &ObservedChange::Any),
        })
    });
    let owners = if K::REFERENT == ReferentKind::PatchRepository {
        triggers.owners.due()
    } else {
        futures::stream::pending().boxed()
    };
    futures::stream::select(nudges, owners)
}

/// The `PatchRepository` that an object is made for, by its owner, or else by its label.
fn repository_of(object: &impl ResourceExt) -> Option<ObjectKey> {
    let name = match controller_of(object).filter(|owner| owner.kind == PatchRepository::KIND) {
        Some(owner) => &owner.name,
        None => object.labels().get(REPOSITORY_LABEL)?,
    };
    Some(ObjectKey::new(object.namespace().unwrap_or_default(), name))
}

/// Notes what is seen of an object: what it depends on, and whether a look is requested.
fn note_seen<K: Pipeline>(context: &Context, object: &Guarded<K>) {
    let Ok(read) = &object.0 else { return };
    let seen = referent::<K>(object);
    if let Some(requested_at) = requested_at(read) {
        context
            .look_requests
            .note_asked(&seen, requested_at, Instant::now());
    }
    let generation = read.meta().generation.unwrap_or_default();
    if read.status().map(Observed::observed_generation) != Some(generation) {
        context
            .look_requests
            .note_new_spec(&seen, generation, Instant::now());
    }
    context.dependents.record(seen, read.dependencies());
}

/// The object as others refer to it.
fn referent<K: Pipeline>(object: &impl ResourceExt) -> Referent {
    Referent {
        kind: K::REFERENT,
        key: ObjectKey::of_object(object),
    }
}

fn deletion<K: Pipeline>(object: &Guarded<K>) -> Option<u64> {
    object.meta().deletion_timestamp.as_ref().map(|_| 1)
}

/// Waits for the object's turn, and does what there is to do for it. Returns the time after which
/// to look again; `None` if something has to change first.
async fn reconcile<K: Pipeline>(key: ObjectKey, begun: Begun, kind: Arc<KindRuntime<K>>) -> Option<Duration> {
    let slot = kind.context.slots.wait(&key.namespace).await;
    begun.mark();
    // It may have changed, or gone, while it waited.
    let object = find(&kind.store, &key)?;
    // What waits holds no more than this; a reconciliation is large.
    let work = Box::pin(slots::run_within(slot, kind.reconcile_or_report(&object)));
    let worked = panics::caught(work).await.unwrap_or(Err(Error::Panicked));
    worked.unwrap_or_else(|error| Some(kind.wait_after(&object, &error)))
}

impl<K: Pipeline> KindRuntime<K> {
    /// Forgets what is kept of objects that are gone, and the statuses that the store has as well.
    fn forget_gone(&self) {
        let objects = self.store.state();
        for object in &objects {
            if let Some(uid) = &object.meta().uid {
                self.statuses
                    .forget_seen(uid, object.meta().resource_version.as_deref());
            }
        }
        let uids: HashSet<&str> = objects
            .iter()
            .filter_map(|object| object.meta().uid.as_deref())
            .collect();
        self.statuses.retain(|uid| uids.contains(uid.as_str()));
    }

    /// When to try again after a write that failed.
    fn wait_after(&self, object: &Guarded<K>, error: &Error) -> Duration {
        let meta = object.meta();
        let uid = meta.uid.clone().unwrap_or_default();
        let delay = backoff::after_failures(self.statuses.note_failure(uid), backoff::LONGEST);
        tracing::warn!(
            kind = K::KIND, namespace = meta.namespace, name = meta.name, %error, delay = ?delay,
            "a reconciliation could not be finished"
        );
        delay
    }

    async fn reconcile_or_report(&self, object: &Guarded<K>) -> Result<Option<Duration>, Error> {
        note_seen(&self.context, object);
        let object = match &object.0 {
            Ok(object) => object,
            Err(invalid) => {
                unreadable::report::<K>(&self.context, invalid).await;
                return Ok(None);
            }
        };
        let started = Instant::now();
        let _active = self.context.metrics.count_active(K::KIND);
        let result = self.reconcile(object).await;
        let ended = result.as_ref().map_or(OutcomeLabel::Failed, |(_, ended)| *ended);
        self.context
            .metrics
            .observe_reconciliation(K::KIND, ended, started.elapsed());
        result.map(|(wait, _)| wait)
    }

    async fn reconcile(&self, object: &K) -> Result<(Option<Duration>, OutcomeLabel), Error> {
        let meta = object.meta();
        let (namespace, name) = (&meta.namespace, &meta.name);
        if meta.deletion_timestamp.is_some() {
            return Ok((None, OutcomeLabel::Unchanged));
        }
        if object.schedule().suspend {
            tracing::debug!(kind = K::KIND, namespace, name, "suspended");
            return Ok((None, OutcomeLabel::Suspended));
        }
        match self.work_on(object).await {
            Ok(worked) => Ok(worked),
            Err(Interrupted::Failed(error)) => Err(error),
            // Until then, the watch brings what somebody else wrote.
            Err(Interrupted::Overtaken) => {
                let failures = self.statuses.note_overtaken(meta.uid.clone().unwrap_or_default());
                let delay = backoff::after_failures(failures, backoff::LONGEST);
                Ok((Some(delay), OutcomeLabel::Unchanged))
            }
        }
    }

    /// Begins a new generation, runs the object's steps, and settles their outcome.
    async fn work_on(&self, object: &K) -> Result<(Option<Duration>, OutcomeLabel), Interrupted> {
        let looks = UsedLooks::default();
        let journal = Journal::open(&self.context, &self.statuses, object);
        let generation = object.meta().generation.unwrap_or_default();
        let begun = begin_generation(&*journal.status(), generation, Timestamp::now());
        let occasion = self.occasion(object, journal.requested_at(), begun.is_some());
        if let Some(status) = begun {
            journal.begin(status);
        }
        let before = journal.status();
        let turn = self
            .budget(object.schedule(), occasion, &looks)
            .map(|budget| Turn {
                object,
                context: &self.context,
                budget,
                journal: &journal,
            });
        let outcome = match &turn {
            Err(failure) => Outcome::Failed(failure.clone(), None),
            Ok(turn) => {
                let mut attempt = Box::pin(self.attempt(turn));
                if let Ok(outcome) = tokio::time::timeout(TOLD_AFTER, &mut attempt).await {
                    outcome?
                } else {
                    journal.tell_begun().await?;
                    attempt.await?
                }
            }
        };
        // What does not exist yet may be pushed at any time, or be newer than the look.
        let fails_by_sources =
            matches!(&outcome, Outcome::Failed(failure, _) if failure.step == Step::Source);
        let has_failed = if let Outcome::Failed(failure, _) = &outcome {
            tracing::warn!(
                kind = K::KIND,
                namespace = object.meta().namespace,
                name = object.meta().name,
                reason = %failure.reason,
                message = failure.message,
                "a step failed"
            );
            true
        } else {
            false
        };
        let next = journal.record(outcome).await?;
        let at_most = match &turn {
            Ok(turn) => Box::pin(K::conclude(turn)).await?,
            Err(_) => None,
        };
        let is_changed = journal.status() != before;
        let ended = match (has_failed, is_changed) {
            (true, _) => OutcomeLabel::Failed,
            (false, true) => OutcomeLabel::Changed,
            (false, false) => OutcomeLabel::Unchanged,
        };
        let wait = self.wait_until_next(object, next, ended);
        if next == Next::Backoff && fails_by_sources {
            self.context
                .look_requests
                .note_second_look(&referent::<K>(object));
        }
        self.note_answered(object, occasion, ended, looks);
        tracing::debug!(?next, ?ended, ?wait, ?at_most, "when it is reconciled again");
        Ok((wait.into_iter().chain(at_most).min(), ended))
    }

    /// Why an object is looked at.
    fn occasion(&self, object: &K, requested_at: Option<&str>, is_new: bool) -> Occasion {
        let (requests, this) = (&self.context.look_requests, referent::<K>(object));
        let second_look = requests.take_second_look(&this);
        if let Some(requested_at) = requested_at {
            let since = requests.asked_since(&this, requested_at);
            return Occasion::Asked {
                since: since.unwrap_or_else(Instant::now),
            };
        }
        match requests.pushed_since(&this) {
            Some(since) => Occasion::Pushed { since },
            None if is_new => {
                let generation = object.meta().generation.unwrap_or_default();
                let since = requests.new_spec_since(&this, generation);
                Occasion::NewSpec {
                    since: since.unwrap_or_else(Instant::now),
                }
            }
            None if second_look => Occasion::SecondLook,
            None => Occasion::Due,
        }
    }

    /// Notes what an object was answered by. Its upstreams get a second look if the looks may be
    /// older than what triggered the reconciliation: whoever made the object may have pushed a
    /// moment before, and a forge may report a push before its refs do.
    fn note_answered(&self, object: &K, occasion: Occasion, ended: OutcomeLabel, looks: UsedLooks) {
        let (context, this) = (&self.context, referent::<K>(object));
        let generation = object.meta().generation.unwrap_or_default();
        context.look_requests.answer_spec(&this, generation);
        if let (Occasion::Asked { since } | Occasion::Pushed { since }, true) =
            (occasion, ended != OutcomeLabel::Failed)
        {
            context.look_requests.answer_push(&this, since);
        }
        let is_too_old = |begun: Instant| match occasion {
            Occasion::NewSpec { since } => begun < since,
            Occasion::Pushed { .. } => ended == OutcomeLabel::Unchanged,
            Occasion::Due | Occasion::SecondLook | Occasion::Asked { .. } => false,
        };
        for used in looks.into_latest() {
            if is_too_old(used.look.begun) {
                context.second_looks.record(&this, used);
            }
        }
    }

    /// How long until an object is reconciled again, given how this reconciliation ended.
    fn wait_until_next(&self, object: &K, next: Next, ended: OutcomeLabel) -> Option<Duration> {
        let uid = object.meta().uid.clone().unwrap_or_default();
        let mut in_a_row = Streak::default();
        match next {
            Next::Backoff => in_a_row.failures = self.statuses.note_failure(uid),
            Next::Soon if ended != OutcomeLabel::Changed => in_a_row.polls = self.statuses.note_poll(uid),
            _ => self.statuses.note_success(&uid),
        }
        let interval = object.schedule().interval.get().unwrap_or(backoff::LONGEST);
        let interval = interval.max(self.context.options.min_interval);
        let spread = self.context.options.interval_jitter_percentage;
        let delay = backoff::jitter(
            wait_before_next(next, interval, in_a_row)?,
            spread,
            rand::random(),
        );
        Some(match next {
            // Any sooner, the look that served this time would serve again.
            Next::Interval => delay.max(self.context.options.min_interval),
            _ => delay,
        })
    }

    /// Makes one attempt, which ends soon after its deadline and whose panics affect nothing else.
    async fn attempt(&self, turn: &Turn<'_, K>) -> Result<Outcome<K::Sources, K::Done>, Interrupted> {
        let attempt = panics::caught(async {
            let outcome = K::run(turn).await?;
            if is_out_of_date(&outcome, K::failures) {
                return K::run(turn).await;
            }
            Ok(outcome)
        });
        let outcome = match tokio::time::timeout_at((turn.budget.deadline + OVERTIME).into(), attempt).await {
            Ok(Ok(outcome)) => outcome?,
            Ok(Err(panicked)) => Outcome::Failed(panicked.into(), None),
            Err(_) => {
                let message = "the attempt took longer than spec.timeout";
                Outcome::Failed(Failure::retried(Step::Source, reason::TIMED_OUT, message), None)
            }
        };
        let longest = self.context.options.max_timeout;
        let timeout = turn.object.schedule().timeout;
        Ok(match outcome {
            Outcome::Failed(failure, sources)
                if failure.reason == reason::TIMED_OUT
                    && timeout.get().is_ok_and(|asked| asked > longest) =>
            {
                let message = format!(
                    "{}; spec.timeout is {timeout}, and this controller allows {longest:?} (--max-timeout)",
                    failure.message,
                );
                Outcome::Failed(Failure { message, ..failure }, sources)
            }
            outcome => outcome,
        })
    }

    /// How new an attempt's knowledge must be, and how long it may take.
    fn budget<'a>(
        &self,
        schedule: Schedule<'_>,
        occasion: Occasion,
        looks: &'a UsedLooks,
    ) -> Result<Budget<'a>, Failure> {
        let read = |duration: &FluxDuration| {
            duration
                .get()
                .map_err(|error| Failure::stalled(Step::Source, reason::INVALID_SPEC, error.to_string()))
        };
        let options = &self.context.options;
        let timeout = read(schedule.timeout)?.min(options.max_timeout);
        let interval = read(schedule.interval)?.max(options.min_interval);
        let shared = interval.mul_f64(SHARED_SHARE);
        let (freshness, longest_pin) = match occasion {
            Occasion::Asked { since } => (Freshness::Since(since), Duration::ZERO),
            Occasion::Pushed { since } => (Freshness::Since(since), shared),
            Occasion::NewSpec { .. } | Occasion::SecondLook => {
                (Freshness::MaxAge(Duration::ZERO), LONGEST_PIN_FOR_NEW_SPEC)
            }
            Occasion::Due => (Freshness::MaxAge(shared), shared),
        };
        Ok(Budget {
            occasion,
            freshness,
            longest_pin,
            deadline: Instant::now() + timeout,
            looks,
        })
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
