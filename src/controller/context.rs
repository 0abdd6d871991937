//! What all reconciliations share.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use kube::core::DeserializeGuard;
use kube::runtime::reflector::Store;

use super::delivery::Deliveries;
use super::github_apps::GitHubApps;
use super::jobs::Jobs;
use super::options::{Options, TransportName};
use super::references::References;
use super::registries::Pins;
use super::registry_logins::RegistryLogins;
use super::turns::Turns;
use super::workflows::Workflows;
use crate::api::{ConstraintOverride, PatchSet};
use crate::ops::metrics::Metrics;
use crate::publish::Layers;
use crate::rest::{self, PlainHttp};
use crate::source::{Freshness, Mirrors};
use crate::status::notify::Notifier;

/// How long the API server may take for one request of ours.
pub(super) const API_TIMEOUT: Duration = Duration::from_secs(30);

/// An object as it is watched: one that cannot be read does not stop the others.
pub(super) type Guarded<K> = DeserializeGuard<K>;

/// What all reconciliations share.
pub(super) struct Context {
    pub(super) client: Client,
    pub(super) options: Options,
    pub(super) turns: Turns,
    pub(super) mirrors: Arc<Mirrors>,
    pub(super) metrics: Metrics,
    pub(super) references: Arc<References>,
    pub(super) jobs: Jobs,
    pub(super) pins: Pins,
    pub(super) registry_logins: RegistryLogins,
    pub(super) github_apps: GitHubApps,
    pub(super) layers: Layers,
    pub(super) workflows: Workflows,
    pub(super) deliveries: Deliveries,
    pub(super) notifier: Option<Notifier>,
    pub(super) patch_sets: Store<Guarded<PatchSet>>,
    pub(super) constraint_overrides: Store<Guarded<ConstraintOverride>>,
}

impl Context {
    /// How the APIs of other servers are asked.
    pub(super) fn requests(&self) -> rest::Config {
        let is_plain = self.options.allow_transport.contains(&TransportName::Http);
        rest::Config {
            plain_http: if is_plain {
                PlainHttp::All
            } else {
                PlainHttp::default()
            },
            // The reconciliation is repeated with waits of its own.
            retries: 1,
            timeout: Duration::from_secs(20),
            ..rest::Config::default()
        }
    }
}

/// How new the knowledge of upstreams must be for one attempt, and when the attempt is given up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) freshness: Freshness,
    pub(super) deadline: Instant,
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
