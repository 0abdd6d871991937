//! Sets up the process, and runs until it is told to stop.

use std::sync::Arc;

use futures::{FutureExt, StreamExt};
use kube::api::ListParams;
use kube::runtime::reflector::store::Writer;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};

use super::context::{Context, Guarded};
use super::delivery::Deliveries;
use super::jobs::Jobs;
use super::options::{Options, TransportName};
use super::reconciler::{self, Reconciled};
use super::references::{References, Scope};
use super::registries::Pins;
use super::workflows::Workflows;
use super::{Error, orphaned_runs, triggers};
use crate::api::{ConstraintOverride, PatchSet};
use crate::ops::health::Readiness;
use crate::ops::metrics::{Metrics, MirrorTotals, NotificationTotals};
use crate::ops::{leader, server, telemetry};
use crate::publish::Layers;
use crate::source::{MirrorConfig, Mirrors, Scheme, Transports};
use crate::status::notify::{Notifier, Totals};

/// Runs the controller until SIGTERM or SIGINT, or until leadership is lost.
///
/// # Errors
///
/// Where the process cannot do its work at all. The failure of single objects is told in their status.
pub async fn run(options: Options) -> Result<(), Error> {
    telemetry::init(options.log_level, options.log_encoding)?;
    let client = Client::try_from(Config::infer().await?)?;
    let metrics = Metrics::default();
    let readiness = Readiness::default();
    let health_listener = server::listen(&options.health_addr).await?;
    let metrics_listener = server::listen(&options.metrics_addr).await?;
    let mirrors = Arc::new(Mirrors::open(mirror_config(&options))?);
    let writers = Writers::default();
    let (notifier, _posting) = match Notifier::new(&options.events_addr)? {
        Some((notifier, work)) => (Some(notifier), Some(Abort(tokio::spawn(work)))),
        None => (None, None),
    };
    let refresh = {
        let (metrics, mirrors) = (metrics.clone(), Arc::clone(&mirrors));
        let notifier = notifier.clone();
        let patch_sets = writers.patch_sets.as_reader();
        let constraint_overrides = writers.constraint_overrides.as_reader();
        move || {
            metrics.observe_mirrors(mirror_totals(&mirrors));
            if let Some(notifier) = &notifier {
                metrics.observe_notifications(notification_totals(notifier));
            }
            let patch_sets = reconciler::shown(&patch_sets).into_iter();
            metrics.show_objects(patch_sets.chain(reconciler::shown(&constraint_overrides)));
        }
    };
    let _health = Abort(tokio::spawn(server::health(health_listener, readiness.clone())));
    let _metrics = Abort(tokio::spawn(server::metrics(
        metrics_listener,
        metrics.clone(),
        refresh,
    )));

    let mut stop = Box::pin(stop_signal());
    let leadership = if options.enable_leader_election {
        readiness.set(true);
        let identity =
            std::env::var("POD_NAME").unwrap_or_else(|_| format!("patchset-{}", std::process::id()));
        tokio::select! {
            leadership = leader::acquire(client.clone(), &options.runtime_namespace, &identity) => Some(leadership?),
            () = &mut stop => return Ok(()),
        }
    } else {
        None
    };
    let work = work(client, options, mirrors, metrics, readiness, writers, notifier);
    match leadership {
        None => tokio::select! { result = work => result, () = stop => Ok(()) },
        Some(mut held) => {
            let result = tokio::select! {
                result = work => result,
                () = &mut stop => Ok(()),
                () = held.lost() => Err(crate::ops::Error::LostLease.into()),
            };
            held.release().await;
            result
        }
    }
}

async fn work(
    client: Client,
    options: Options,
    mirrors: Arc<Mirrors>,
    metrics: Metrics,
    readiness: Readiness,
    writers: Writers,
    notifier: Option<Notifier>,
) -> Result<(), Error> {
    let namespace = (!options.watch_all_namespaces).then(|| options.runtime_namespace.clone());
    let scope = Scope::new(client.clone(), namespace);
    is_installed::<PatchSet>(&scope).await?;
    is_installed::<ConstraintOverride>(&scope).await?;
    let (references, changes) = References::watch(&scope);
    let references = Arc::new(references);
    let (jobs, builds) = Jobs::watch(
        client.clone(),
        &scope,
        writers.patch_sets.as_reader(),
        options.build_limits(),
    );
    let changes = futures::stream::select(changes, builds).boxed();
    let (watch, triggers) = triggers::fan_out(changes, Arc::clone(&references));
    let _watches = Abort(tokio::spawn(watch));
    references.wait_until_known().await;
    jobs.wait_until_known().await;
    readiness.set(true);
    metrics.works();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "watching");
    let context = Arc::new(Context {
        client,
        options,
        mirrors,
        metrics,
        references,
        jobs,
        pins: Pins::default(),
        layers: Layers::default(),
        workflows: Workflows::default(),
        deliveries: Deliveries::default(),
        notifier,
        patch_sets: writers.patch_sets.as_reader(),
        constraint_overrides: writers.constraint_overrides.as_reader(),
    });
    let _orphaned_runs = Abort(tokio::spawn(orphaned_runs::cancel_all(Arc::clone(&context))));
    let patch_sets = reconciler::controller(&scope, &context, writers.patch_sets, &triggers);
    let constraint_overrides =
        reconciler::controller(&scope, &context, writers.constraint_overrides, &triggers);
    futures::stream::select(patch_sets, constraint_overrides)
        .for_each(|()| futures::future::ready(()))
        .await;
    Ok(())
}

/// Where the watches of the resources write to.
#[derive(Default)]
struct Writers {
    patch_sets: Writer<Guarded<PatchSet>>,
    constraint_overrides: Writer<Guarded<ConstraintOverride>>,
}

async fn is_installed<K: Reconciled>(scope: &Scope) -> Result<(), Error> {
    let api = scope.api::<K>();
    let listed = api.list_metadata(&ListParams::default().limit(1)).await;
    listed.map(drop).map_err(|error| match &error {
        kube::Error::Api(status) if status.is_not_found() => {
            Error::NotInstalled(format!("{} {}", K::api_version(&()), K::KIND))
        }
        _ => Error::Api(error),
    })
}

fn mirror_config(options: &Options) -> MirrorConfig {
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
        transports,
        ..MirrorConfig::new(&options.storage_path)
    }
}

fn mirror_totals(mirrors: &Mirrors) -> MirrorTotals {
    let stats = mirrors.stats();
    MirrorTotals {
        fetches: stats.fetches,
        bytes: stats.received_bytes,
        evictions: stats.evictions,
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

/// A task that ends with its owner.
struct Abort<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Abort<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
