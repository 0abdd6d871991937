//! What all reconciliations share, and what every kind of object brings to them.

pub mod annotations;
pub mod failures;
pub mod journal;
pub mod kind;
mod news;
pub mod options;
pub mod panics;
pub mod service_account;
pub mod turn;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kube::Client;
use kube::runtime::reflector::Store;

use crate::controller::state::api_server::Guarded;
use crate::controller::state::deliveries::Deliveries;
use crate::controller::state::dependents::Dependents;
use crate::controller::state::github_apps::GitHubApps;
use crate::controller::state::jobs::BuildJobs;
use crate::controller::state::look_requests::LookRequests;
use crate::controller::state::nudges::Nudges;
use crate::controller::state::pins::Pins;
use crate::controller::state::referents::Referents;
use crate::controller::state::registry_logins::RegistryLogins;
use crate::controller::state::repositories::Repositories;
use crate::controller::state::second_looks::{SecondLooks, UsedLooks};
use crate::controller::state::slots::Slots;
use crate::controller::state::upkeeps::Upkeeps;
use crate::controller::state::workflows::Workflows;
use crate::ops::metrics::Metrics;
use crate::plan::{Failure, Step};
use crate::status::notify::Notifier;
use forge_rest::{PlainHttp, RequestConfig};
use git_mirrors::{Freshness, Mirrors};
use options::{ControllerOptions, TransportName};
use patchset_api::{ConstraintOverride, PatchSet, reason};
use source_images::Layers;

/// What all reconciliations share.
pub struct Context {
    pub client: Client,
    pub options: ControllerOptions,
    pub slots: Slots,
    pub mirrors: Arc<Mirrors>,
    pub metrics: Metrics,
    pub referents: Arc<Referents>,
    pub dependents: Arc<Dependents>,
    pub look_requests: Arc<LookRequests>,
    pub second_looks: SecondLooks,
    pub jobs: BuildJobs,
    pub pins: Pins,
    pub registry_logins: RegistryLogins,
    pub github_apps: GitHubApps,
    pub layers: Layers,
    pub workflows: Workflows,
    pub deliveries: Deliveries,
    pub upkeeps: Upkeeps,
    pub nudges: Nudges,
    pub repositories: Repositories,
    pub notifier: Option<Notifier>,
    pub patch_sets: Store<Guarded<PatchSet>>,
    pub constraint_overrides: Store<Guarded<ConstraintOverride>>,
}

impl Context {
    /// How to call the APIs of other servers.
    pub fn requests(&self) -> RequestConfig {
        let is_plain = self.options.allow_transport.contains(&TransportName::Http);
        RequestConfig {
            plain_http: if is_plain {
                PlainHttp::All
            } else {
                PlainHttp::default()
            },
            // The reconciliation is retried, with its own waits.
            retries: 1,
            timeout: Duration::from_secs(20),
            user_agent: crate::USER_AGENT,
            ..RequestConfig::default()
        }
    }
}

/// Why an object is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// It is due, or something that it refers to changed.
    Due,
    /// Its spec is new; `since` is when it was first seen.
    NewSpec { since: Instant },
    /// It was answered by a look that may be older than what triggered the reconciliation.
    SecondLook,
    /// A push to a repository that it reads was received at `since`.
    Pushed { since: Instant },
    /// A look is requested; `since` is when the request was first seen.
    Asked { since: Instant },
}

/// How fresh knowledge of servers must be for one attempt, and when the attempt is given up.
#[derive(Clone, Copy, Debug)]
pub struct Budget<'a> {
    pub occasion: Occasion,
    /// Of upstreams.
    pub freshness: Freshness,
    /// How old the digest that a tag was resolved to may be.
    pub longest_pin: Duration,
    pub deadline: Instant,
    /// The looks at upstreams that answered the attempt.
    pub looks: &'a UsedLooks,
}

impl Budget<'_> {
    /// Whether a look is requested at everything that is otherwise taken for granted.
    pub fn is_asked_for(self) -> bool {
        matches!(self.occasion, Occasion::Asked { .. })
    }

    /// The same budget with looks as new as the upstreams allow; `None` if its looks are newer
    /// anyway.
    pub fn with_newest_looks(self) -> Option<Self> {
        matches!(self.freshness, Freshness::MaxAge(_)).then_some(Self {
            freshness: Freshness::MaxAge(Duration::ZERO),
            ..self
        })
    }

    /// Waits for a step's work, at most as long as the reconciliation may take.
    ///
    /// # Errors
    ///
    /// `TimedOut` if it is not done by then.
    pub async fn limit<T>(self, step: Step, what: &str, work: impl Future<Output = T>) -> Result<T, Failure> {
        let done = tokio::time::timeout_at(self.deadline.into(), work).await;
        done.map_err(|_| {
            let message = format!("{what}: not done within spec.timeout");
            Failure::retried(step, reason::TIMED_OUT, message)
        })
    }
}
