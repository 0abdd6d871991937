//! Sets up the process, and runs until it is told to stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use git_mirrors::{MirrorConfig, Mirrors, Scheme, Transports};
use kube::api::ListParams;
use kube::runtime::reflector::Store;
use kube::runtime::reflector::store::Writer;
use kube::{Client, Config};
use patchset_api::referent::{Referent, ReferentKind};
use patchset_api::{ConstraintOverride, PatchRepository, PatchSet};
use source_images::Layers;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use super::triggers::{ObservedChange, Triggers};
use super::{objects, orphaned_runs, pushes, reconciler, second_looks, triggers};
use crate::controller::Error;
use crate::controller::context::kind::Reconciled;
use crate::controller::context::options::{ControllerOptions, TransportName};
use crate::controller::context::{Context, panics};
use crate::controller::inputs::held_patches::held_patches;
use crate::controller::pipeline::merged_file;
use crate::controller::state::api_server::Guarded;
use crate::controller::state::deliveries::Deliveries;
use crate::controller::state::dependents::{Dependency, Dependents};
use crate::controller::state::github_apps::GitHubApps;
use crate::controller::state::jobs::BuildJobs;
use crate::controller::state::nudges::Nudges;
use crate::controller::state::pins::Pins;
use crate::controller::state::referents::{Referents, WatchScope};
use crate::controller::state::registry_logins::RegistryLogins;
use crate::controller::state::repositories::Repositories;
use crate::controller::state::second_looks::SecondLooks;
use crate::controller::state::slots::{Sharing, Slots};
use crate::controller::state::upkeeps::Upkeeps;
use crate::controller::state::workflows::Workflows;
use crate::ops::api_client::{self, TooDeep};
use crate::ops::health::{Health, ProcessDuty};
use crate::ops::leader::{Candidate, Leadership, lease_name};
use crate::ops::metrics::{Metrics, MirrorTotals, NotificationTotals};
use crate::ops::objects::ObjectSource;
use crate::ops::{push_server, server, telemetry};
use crate::plan::backoff;
use crate::status::notify::{Notifier, Totals};
use crate::web::{self, ChangedObject, Site, Stores};

/// How often the contents that nothing refers to are dropped.
const TIDIES_EVERY: Duration = Duration::from_secs(15);

/// The longest wait for an API server that cannot be reached when this process starts.
const ASKS_AGAIN_WITHIN: Duration = Duration::from_secs(10);

/// How long work that cannot be stopped may go on while the process shuts down and still holds the
/// Lease.
const LEAVES_WITHIN: Duration = Duration::from_secs(5);

/// How long after the time of an attempt nothing may move before the process counts as dead.
const STANDS_STILL_FOR: Duration = Duration::from_secs(300);

/// Runs the controller until SIGTERM or SIGINT, or until leadership is lost.
///
/// # Errors
///
/// If the process cannot work at all. Failures of single objects are reported in their status.
pub async fn run(options: ControllerOptions) -> Result<(), Error> {
    telemetry::init(options.log_level, options.log_encoding)?;
    telemetry::log_panics();
    let mut tasks = Tasks::default();
    let process = Process::start(options, &mut tasks).await?;
    let mut stop = Box::pin(stop_signal());
    let mut leadership = if process.options.enable_leader_election {
        process.health.set_duty(ProcessDuty::StandBy);
        // The name is for people: random digits after it tell candidates apart.
        let name = std::env::var("POD_NAME").unwrap_or_else(|_| "patchset".to_owned());
        let selector = process.options.watch_label_selector.as_deref();
        let candidate = Candidate::new(lease_name(selector), &name);
        let leads = candidate.lead(process.client.clone(), &process.options.runtime_namespace);
        let leadership = tokio::select! {
            leadership = leads => leadership,
            ended = tasks.ended() => return Err(ended),
            () = &mut stop => return Ok(()),
        };
        process.health.set_duty(ProcessDuty::Work);
        Some(leadership)
    } else {
        None
    };
    let (slots, mirrors) = (process.slots.clone(), Arc::clone(&process.mirrors));
    let result = tokio::select! {
        error = process.work() => Err(error),
        ended = tasks.ended() => Err(ended),
        () = stop => Ok(()),
        // Another process begins in a few seconds: wait for nothing.
        () = leadership_lost(leadership.as_mut()) => return Err(crate::ops::Error::LostLease.into()),
    };
    mirrors.close();
    if let Some(held) = leadership {
        // Whoever takes the Lease should not run into work that this process began.
        let _ = tokio::time::timeout(LEAVES_WITHIN, slots.wait_until_all_are_free()).await;
        held.release().await;
    }
    result
}

/// Waits until leadership is lost; without leader election, forever.
async fn leadership_lost(leadership: Option<&mut Leadership>) {
    match leadership {
        Some(held) => held.lost().await,
        None => std::future::pending().await,
    }
}

/// What the process has, whether it works or stands by.
struct Process {
    options: ControllerOptions,
    client: Client,
    too_deep: TooDeep,
    mirrors: Arc<Mirrors>,
    metrics: Metrics,
    health: Health,
    slots: Slots,
    notifier: Option<Notifier>,
    writers: Writers,
}

impl Process {
    /// Prepares everything that needs no API server, and starts the tasks that also run on standby.
    async fn start(options: ControllerOptions, tasks: &mut Tasks) -> Result<Self, Error> {
        let too_deep = TooDeep::default();
        let client = api_client::new(Config::infer().await?, &too_deep)?;
        let (writers, health) = (Writers::default(), Health::default());
        let metrics = Metrics::new(writers.shown_in_metrics());
        let health_listener = server::listen(&options.health_addr).await?;
        let metrics_listener = server::listen(&options.metrics_addr).await?;
        let mirrors = Arc::new(Mirrors::open(mirror_config(&options))?);
        let sharing = if options.watch_all_namespaces {
            Sharing::Namespaces
        } else {
            Sharing::OneNamespace
        };
        let slots = Slots::new(options.concurrent, sharing);
        let queue = slots.clone();
        health.follow_queue(options.max_timeout + STANDS_STILL_FOR, move |now| {
            queue.stuck_for(now)
        });
        let notifier = match Notifier::new(&options.events_addr)? {
            Some((notifier, posting)) => {
                tasks.spawn("the task that posts events", posting);
                Some(notifier)
            }
            None => None,
        };
        let process = Self {
            options,
            client,
            too_deep,
            mirrors,
            metrics,
            health,
            slots,
            notifier,
            writers,
        };
        tasks.spawn(
            "the health endpoint",
            server::health(health_listener, process.health.clone()),
        );
        tasks.spawn(
            "the metrics endpoint",
            server::metrics(metrics_listener, process.metrics.clone(), process.refresh()),
        );
        Ok(process)
    }

    /// Returns what updates the metrics before each response.
    fn refresh(&self) -> impl Fn() + Clone + Send + Sync + 'static {
        let (metrics, mirrors) = (self.metrics.clone(), Arc::clone(&self.mirrors));
        let (notifier, too_deep) = (self.notifier.clone(), self.too_deep.clone());
        let patch_sets = self.writers.patch_sets.as_reader();
        let constraint_overrides = self.writers.constraint_overrides.as_reader();
        let repositories = self.writers.repositories.as_reader();
        move || {
            metrics.set_mirror_totals(mirror_totals(&mirrors));
            metrics.set_left_out(too_deep.count());
            if let Some(notifier) = &notifier {
                metrics.set_notification_totals(notification_totals(notifier));
            }
            metrics.set_unreadable(PatchSet::KIND, objects::unreadable_objects(&patch_sets));
            metrics.set_unreadable(
                ConstraintOverride::KIND,
                objects::unreadable_objects(&constraint_overrides),
            );
            metrics.set_unreadable(PatchRepository::KIND, objects::unreadable_objects(&repositories));
        }
    }

    /// Watches and reconciles; returns why it ended.
    async fn work(self) -> Error {
        let mut tasks = Tasks::default();
        match self.begin(&mut tasks).await {
            Ok(()) => tasks.ended().await,
            Err(error) => error,
        }
    }

    async fn begin(self, tasks: &mut Tasks) -> Result<(), Error> {
        let namespace = (!self.options.watch_all_namespaces).then(|| self.options.runtime_namespace.clone());
        let scope = WatchScope::new(self.client.clone(), namespace, self.health);
        is_installed::<PatchSet>(&scope).await?;
        is_installed::<ConstraintOverride>(&scope).await?;
        is_installed::<PatchRepository>(&scope).await?;
        let (referents, changes) = Referents::watch(&scope);
        let referents = Arc::new(referents);
        let (jobs, builds) = BuildJobs::watch(
            self.client.clone(),
            &scope,
            self.writers.patch_sets.as_reader(),
            self.options.build_limits(),
        );
        let changes = futures::stream::select(changes, builds).boxed();
        let dependents = Arc::<Dependents>::default();
        let (watch, triggers) = triggers::fan_out(changes, Arc::clone(&referents), Arc::clone(&dependents));
        tasks.spawn("the task that watches", watch);
        tokio::select! {
            () = async { tokio::join!(referents.wait_until_known(), jobs.wait_until_known()); } => {}
            ended = tasks.ended() => return Err(ended),
        }
        self.metrics.set_working();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "watching");
        let context = Arc::new(Context {
            client: self.client,
            options: self.options,
            slots: self.slots,
            mirrors: self.mirrors,
            metrics: self.metrics.clone(),
            referents: Arc::clone(&referents),
            dependents,
            look_requests: Arc::default(),
            second_looks: SecondLooks::default(),
            jobs,
            pins: Pins::default(),
            registry_logins: RegistryLogins::default(),
            github_apps: GitHubApps::default(),
            layers: Layers::default(),
            workflows: Workflows::default(),
            deliveries: Deliveries::default(),
            upkeeps: Upkeeps::default(),
            nudges: Nudges::default(),
            repositories: Repositories::default(),
            notifier: self.notifier,
            patch_sets: self.writers.patch_sets.as_reader(),
            constraint_overrides: self.writers.constraint_overrides.as_reader(),
        });
        tasks.spawn(
            "the task that drops contents",
            tidy(Arc::clone(&context), self.writers.repositories.as_reader()),
        );
        let stores = Stores {
            patch_sets: self.writers.patch_sets.as_reader(),
            constraint_overrides: self.writers.constraint_overrides.as_reader(),
            repositories: self.writers.repositories.as_reader(),
            merged_file: Arc::new(move |object| merged_file::kept_text(&referents, object)),
        };
        answer_requests(tasks, &context, &triggers, stores).await?;
        tasks.spawn(
            "the task that cancels runs of deleted PatchSets",
            orphaned_runs::cancel_all(Arc::clone(&context)),
        );
        tasks.spawn(
            "the task that looks at upstreams again",
            second_looks::look_when_due(Arc::clone(&context)),
        );
        spawn_controllers(tasks, self.writers, &scope, &context, &triggers);
        Ok(())
    }
}

/// Takes pushes and serves the page, if configured. Only the process that works does: one on
/// standby knows no objects.
async fn answer_requests(
    tasks: &mut Tasks,
    context: &Arc<Context>,
    triggers: &Triggers,
    stores: Stores,
) -> Result<(), Error> {
    if !context.options.webhook_addr.is_empty() {
        let listener = server::listen(&context.options.webhook_addr).await?;
        let (endpoint, pushes) = push_server::endpoint(listener, context.metrics.clone());
        tasks.spawn("the webhook endpoint", endpoint);
        let receiver = pushes::receive(Arc::clone(context), triggers.clone(), pushes);
        tasks.spawn("the task that handles pushes", receiver);
    }
    if !context.options.web_addr.is_empty() {
        let listener = server::listen(&context.options.web_addr).await?;
        let told = triggers.clone();
        let changes = Box::new(move || shown_changes(&told));
        let texts = {
            let context = Arc::clone(context);
            Arc::new(move |object: &PatchSet| held_patches(&context, object))
        };
        let viewers = context.options.viewers();
        let site = Site::new(context.client.clone(), stores, changes, texts, viewers);
        tasks.spawn("the page", web::serve(listener, site));
    }
    Ok(())
}

/// Starts the loops of all kinds.
fn spawn_controllers(
    tasks: &mut Tasks,
    writers: Writers,
    scope: &WatchScope,
    context: &Arc<Context>,
    triggers: &Triggers,
) {
    let given = || (scope.clone(), Arc::clone(context), triggers.clone());
    let Writers {
        patch_sets,
        constraint_overrides,
        repositories,
    } = writers;
    let (scope, context, triggers) = given();
    tasks.spawn("the controller of PatchSets", async move {
        Box::pin(reconciler::controller(&scope, &context, patch_sets, &triggers)).await;
    });
    let (scope, context, triggers) = given();
    tasks.spawn("the controller of ConstraintOverrides", async move {
        Box::pin(reconciler::controller(
            &scope,
            &context,
            constraint_overrides,
            &triggers,
        ))
        .await;
    });
    let (scope, context, triggers) = given();
    tasks.spawn("the controller of PatchRepositories", async move {
        Box::pin(reconciler::controller(&scope, &context, repositories, &triggers)).await;
    });
}

/// Changes to what the page shows.
fn shown_changes(triggers: &Triggers) -> BoxStream<'static, ChangedObject> {
    let shown = |change| {
        let changed = match change {
            ObservedChange::Any => ChangedObject::Any,
            ObservedChange::Repository { .. } => return None,
            ObservedChange::One(Referent { kind, key }) => match kind {
                ReferentKind::PatchSet => ChangedObject::PatchSet(key.namespace),
                ReferentKind::ConstraintOverride => ChangedObject::ConstraintOverride(key.namespace),
                ReferentKind::PatchRepository => ChangedObject::PatchRepository(key.namespace),
                _ => return None,
            },
        };
        Some(changed)
    };
    triggers
        .seen()
        .filter_map(move |change| std::future::ready(shown(change)))
        .boxed()
}

/// Tasks without which the process cannot do its work. They end with their owner.
#[derive(Default)]
struct Tasks(JoinSet<&'static str>);

impl Tasks {
    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(async move {
            // So that an interruption is reported with the task's name.
            let _ = panics::caught(task).await;
            name
        });
    }

    /// Waits until the first task ends, which none should.
    async fn ended(&mut self) -> Error {
        match self.0.join_next().await {
            Some(Ok(name)) => Error::TaskEnded(name.to_owned()),
            Some(Err(_)) | None => Error::TaskEnded("a task".to_owned()),
        }
    }
}

/// Drops what is kept of objects that are gone, and the contents of Secrets and `ConfigMap`s that no
/// object refers to any more.
async fn tidy(context: Arc<Context>, repositories: Store<Guarded<PatchRepository>>) {
    let (patch_sets, constraint_overrides) = (&context.patch_sets, &context.constraint_overrides);
    let exists = |object: &Referent| {
        !objects::is_gone(patch_sets, object)
            && !objects::is_gone(constraint_overrides, object)
            && !objects::is_gone(&repositories, object)
    };
    loop {
        // What is dropped while a watch has not listed all objects comes back when they are
        // reconciled.
        context.dependents.retain(exists);
        context.look_requests.retain(exists);
        context.referents.retain(|referent| {
            context
                .dependents
                .is_any_on(&Dependency::Object(referent.clone()))
                || objects::is_owned(patch_sets, referent)
                || objects::is_owned(constraint_overrides, referent)
        });
        let (contents, bytes) = context.referents.contents_size();
        context.metrics.set_contents(contents, bytes);
        tokio::time::sleep(TIDIES_EVERY).await;
    }
}

/// The stores that the watches of the resources write to.
#[derive(Default)]
struct Writers {
    patch_sets: Writer<Guarded<PatchSet>>,
    constraint_overrides: Writer<Guarded<ConstraintOverride>>,
    repositories: Writer<Guarded<PatchRepository>>,
}

impl Writers {
    /// What the metrics show: the objects that the watches have found so far.
    fn shown_in_metrics(&self) -> ObjectSource {
        let patch_sets = self.patch_sets.as_reader();
        let constraint_overrides = self.constraint_overrides.as_reader();
        let repositories = self.repositories.as_reader();
        Box::new(move || {
            let all = objects::metrics_of_all(&patch_sets);
            let all = all.chain(objects::metrics_of_all(&constraint_overrides));
            Box::new(all.chain(objects::metrics_of_all(&repositories)))
        })
    }
}

/// Checks that the API server serves a kind. Waits while the server cannot be reached or has a
/// fault of its own: whatever restarts this process would wait longer each time.
async fn is_installed<K: Reconciled>(scope: &WatchScope) -> Result<(), Error> {
    let api = scope.api::<K>();
    let mut failures = 0;
    loop {
        let error = match api.list_metadata(&ListParams::default().limit(1)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                return Err(Error::NotInstalled(format!(
                    "{} {}",
                    K::api_version(&()),
                    K::KIND
                )));
            }
            Err(kube::Error::Api(status)) if (400..500).contains(&status.code) && status.code != 429 => {
                return Err(Error::Api(kube::Error::Api(status)));
            }
            Err(error) => error,
        };
        failures += 1;
        let delay = backoff::after_failures(failures, ASKS_AGAIN_WITHIN);
        tracing::warn!(kind = K::KIND, %error, ?delay, "the API server does not answer yet");
        tokio::time::sleep(delay).await;
    }
}

fn mirror_config(options: &ControllerOptions) -> MirrorConfig {
    let transports = options
        .allow_transport
        .iter()
        .fold(Transports::NONE, |transports, name| {
            transports.and(match name {
                TransportName::Https => Scheme::Https,
                TransportName::Ssh => Scheme::Ssh,
                TransportName::Http => Scheme::Http,
                TransportName::Git => Scheme::Git,
            })
        });
    MirrorConfig {
        capacity: options.storage_capacity,
        look_interval: options.min_interval,
        transports,
        ..crate::source::mirror_config(&options.storage_path)
    }
}

fn mirror_totals(mirrors: &Mirrors) -> MirrorTotals {
    let stats = mirrors.stats();
    MirrorTotals {
        looks: stats.looks,
        fetches: stats.fetches,
        bytes: stats.received_bytes,
        evictions: stats.evictions,
        rebuilds: stats.rebuilds,
        stored: mirrors.disk_bytes(),
    }
}

fn notification_totals(notifier: &Notifier) -> NotificationTotals {
    let Totals {
        delivered,
        duplicates,
        dropped,
    } = notifier.totals();
    NotificationTotals {
        delivered,
        duplicates,
        dropped,
    }
}

async fn stop_signal() {
    let interrupt = tokio::signal::ctrl_c().map(drop);
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            () = interrupt => {}
            _ = terminate.recv() => {}
        },
        Err(_) => interrupt.await,
    }
    tracing::info!("stopping");
}
