//! Leader election by a Lease, so that of several replicas one works and the others stand by.
//!
//! This is the algorithm of `k8s.io/client-go/tools/leaderelection`. Clocks of different machines
//! are never compared: a candidate measures with its own clock how long it has seen the Lease
//! unchanged, and takes it once that is longer than the Lease lasts. A leader that could not renew
//! for a shorter time than that stops working by itself, before another one begins.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use sha2::{Digest, Sha256};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// The name of the Lease of those who look after all objects.
const LEASE: &str = "patchset-controller";

/// How many hexadecimal digits of a selector's SHA-256 are in the name of its Lease.
const SHARD_DIGITS: usize = 10;

/// The largest share of a wait that chance adds to it, as in client-go, so that candidates that
/// started together do not stay in step.
const JITTER: f64 = 1.2;

/// How long releasing the Lease may take.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

/// How long things take. Each is shorter than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// After this time without a renewal another candidate takes the Lease.
    pub lease_duration: Duration,
    /// After this time without a renewal the leader ends its work.
    pub renew_deadline: Duration,
    /// The wait between two tries.
    pub retry_period: Duration,
}

impl Default for Timing {
    /// The times of client-go.
    fn default() -> Self {
        Self {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// The name of the Lease of those who look after the objects of a selector; of all objects where
/// there is none.
///
/// Controllers of different shards lead side by side, even in one namespace. The chart makes the
/// same name, to grant the right to renew it.
#[must_use]
pub fn lease_name(selector: Option<&str>) -> String {
    selector.map_or_else(
        || LEASE.to_owned(),
        |selector| {
            let digest = hex::encode(Sha256::digest(selector));
            format!("{LEASE}-{}", digest.get(..SHARD_DIGITS).unwrap_or(&digest))
        },
    )
}

/// Who wants to lead.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The name of the Lease ([`lease_name`]).
    pub lease: String,
    /// A name that no other process has, not even one that ran in this one's place before.
    pub identity: String,
    /// How long things take.
    pub timing: Timing,
    /// The wall clock. It is recorded for people to read, and decides nothing.
    pub wall_clock: fn() -> Timestamp,
}

impl Candidate {
    /// A candidate for a Lease with the times of client-go, and a name that begins as given.
    #[must_use]
    pub fn new(lease: String, name: &str) -> Self {
        Self {
            lease,
            identity: format!("{name}_{:016x}", rand::random::<u64>()),
            timing: Timing::default(),
            wall_clock: Timestamp::now,
        }
    }

    /// Waits until this candidate leads. Failures are logged and tried again.
    pub async fn lead(self, client: Client, namespace: &str) -> Leadership {
        let identity = self.identity.clone();
        tracing::info!(namespace, identity, lease = self.lease, "waiting for leadership");
        let mut election = Election {
            api: Api::namespaced(client, namespace),
            candidate: self,
            observed: None,
        };
        let renewed = election.acquire().await;
        tracing::info!(identity, "leading");
        let (stop, stopped) = oneshot::channel();
        let (leads, lost) = watch::channel(true);
        let task = tokio::spawn(async move {
            tokio::select! {
                () = election.renew(renewed) => {}
                // An owner that is gone does not lead.
                _ = stopped => {}
            }
            drop(leads);
            election
        });
        Leadership { lost, stop, task }
    }
}

/// A leadership that is held.
#[derive(Debug)]
pub struct Leadership {
    lost: watch::Receiver<bool>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Election>,
}

impl Leadership {
    /// Waits until the leadership is lost, or could have been.
    pub async fn lost(&mut self) {
        // The sender is dropped when the task ends, however it ends.
        while self.lost.changed().await.is_ok() {}
    }

    /// Releases the Lease if it is held, so that another replica need not wait for it to expire.
    pub async fn release(self) {
        let _ = self.stop.send(());
        match self.task.await {
            Ok(mut election) => election.release().await,
            Err(error) if error.is_panic() => tracing::warn!("leader election crashed"),
            Err(_) => {}
        }
    }
}

/// What was last seen of the Lease.
#[derive(Clone, Debug)]
struct ObservedLease {
    lease: Lease,
    /// When its content was first seen, by this process's own clock.
    at: Instant,
}

#[derive(Debug)]
struct Election {
    api: Api<Lease>,
    candidate: Candidate,
    observed: Option<ObservedLease>,
}

/// The result of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeaseTry {
    Held,
    HeldByAnother,
}

impl Election {
    /// Tries until the Lease is held. Returns when the successful attempt began.
    async fn acquire(&mut self) -> Instant {
        let timing = self.candidate.timing;
        let mut last_told = String::new();
        loop {
            let began = Instant::now();
            match tokio::time::timeout(timing.renew_deadline, self.try_to_hold()).await {
                Ok(Ok(LeaseTry::Held)) => return began,
                Ok(Ok(LeaseTry::HeldByAnother)) => last_told.clear(),
                Ok(Err(error)) => tell_once(&mut last_told, &error.to_string()),
                Err(_) => tell_once(&mut last_told, "the API server took too long"),
            }
            let chance = rand::random::<f64>() * JITTER;
            tokio::time::sleep(timing.retry_period.mul_f64(1.0 + chance)).await;
        }
    }

    /// Renews the Lease until that fails for too long, or another candidate holds it.
    async fn renew(&mut self, mut renewed: Instant) {
        let timing = self.candidate.timing;
        loop {
            let until = renewed + timing.renew_deadline;
            let next = (Instant::now() + timing.retry_period).min(until);
            tokio::time::sleep_until(next.into()).await;
            let began = Instant::now();
            match tokio::time::timeout_at(until.into(), self.try_to_hold()).await {
                Ok(Ok(LeaseTry::Held)) => renewed = began,
                Ok(Ok(LeaseTry::HeldByAnother)) => {
                    tracing::error!("another process holds the lease");
                    return;
                }
                Ok(Err(error)) => tracing::warn!(%error, "the lease could not be renewed"),
                Err(_) => {}
            }
            if Instant::now() >= until && renewed < began {
                tracing::error!(within = ?timing.renew_deadline, "the lease could not be renewed in time");
                return;
            }
        }
    }

    async fn try_to_hold(&mut self) -> kube::Result<LeaseTry> {
        // As long as its last write stands, the leader need not read.
        if let Some(observed) = self.observed.clone()
            && self.is_holder(&observed.lease)
            && is_valid(&observed)
            && self.replace(observed.lease).await.is_ok()
        {
            return Ok(LeaseTry::Held);
        }
        let Some(found) = self.api.get_opt(&self.candidate.lease).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.candidate.lease.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.claim(None)),
            };
            let created = self.api.create(&PostParams::default(), &lease).await?;
            self.observe(created);
            return Ok(LeaseTry::Held);
        };
        let observed = self.observe(found);
        let holder = holder(&observed.lease);
        let is_free = holder.is_none_or(str::is_empty) || !is_valid(&observed);
        if !is_free && !self.is_holder(&observed.lease) {
            return Ok(LeaseTry::HeldByAnother);
        }
        self.replace(observed.lease).await?;
        Ok(LeaseTry::Held)
    }

    /// Claims the Lease, if it has not changed since it was seen.
    async fn replace(&mut self, mut lease: Lease) -> kube::Result<()> {
        lease.spec = Some(self.claim(lease.spec.as_ref()));
        let written = self
            .api
            .replace(&self.candidate.lease, &PostParams::default(), &lease)
            .await?;
        self.observe(written);
        Ok(())
    }

    fn claim(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime((self.candidate.wall_clock)());
        let identity = &self.candidate.identity;
        let own = before.filter(|spec| spec.holder_identity.as_ref() == Some(identity));
        let transitions = before.map_or(0, |spec| spec.lease_transitions.unwrap_or_default());
        LeaseSpec {
            holder_identity: Some(identity.clone()),
            lease_duration_seconds: Some(seconds(self.candidate.timing.lease_duration)),
            acquire_time: own
                .and_then(|spec| spec.acquire_time.clone())
                .or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(match (own, before) {
                (Some(_), _) | (_, None) => transitions,
                (None, Some(_)) => transitions.saturating_add(1),
            }),
            ..LeaseSpec::default()
        }
    }

    /// Notes the Lease as it is. The time stays if its content is the same.
    fn observe(&mut self, lease: Lease) -> ObservedLease {
        let known = self.observed.take();
        let at = known
            .filter(|known| known.lease.spec == lease.spec)
            .map_or_else(Instant::now, |known| known.at);
        let observed = ObservedLease { lease, at };
        self.observed = Some(observed.clone());
        observed
    }

    fn is_holder(&self, lease: &Lease) -> bool {
        holder(lease) == Some(self.candidate.identity.as_str())
    }

    async fn release(&mut self) {
        match tokio::time::timeout(RELEASE_WITHIN, self.try_to_release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease could not be released"),
            Err(_) => tracing::warn!("the lease could not be released in time"),
        }
    }

    async fn try_to_release(&mut self) -> kube::Result<()> {
        let Some(mut lease) = self.api.get_opt(&self.candidate.lease).await? else {
            return Ok(());
        };
        if !self.is_holder(&lease) {
            return Ok(());
        }
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            spec.renew_time = Some(MicroTime((self.candidate.wall_clock)()));
        }
        self.api
            .replace(&self.candidate.lease, &PostParams::default(), &lease)
            .await?;
        tracing::info!(lease = lease.name_any(), "the lease was released");
        Ok(())
    }
}

/// Whether the Lease still lasts, by the time since its content was first seen.
fn is_valid(observed: &ObservedLease) -> bool {
    let spec = observed.lease.spec.as_ref();
    let lasts = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
    observed.at.elapsed() < Duration::from_secs(lasts.try_into().unwrap_or(0))
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

/// Whole seconds, at least one, as the Lease has them.
fn seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs().max(1)).unwrap_or(i32::MAX)
}

fn tell_once(last_told: &mut String, error: &str) {
    if last_told != error {
        tracing::warn!(error, "cannot take part in leader election; trying again");
        error.clone_into(last_told);
    }
}
