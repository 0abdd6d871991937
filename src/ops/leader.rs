//! Leader election by a Lease, so that of several replicas one works and the others stand by.

use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Error;

/// The name of the Lease.
const LEASE: &str = "patchset-controller";

/// Seconds after which a silent leader is replaced.
const DURATION_SECONDS: u64 = 15;

/// Seconds before the end of that time at which the leader renews.
const GRACE_SECONDS: u64 = 5;

/// A leadership that is held.
#[derive(Debug)]
pub struct Leadership {
    state: watch::Receiver<bool>,
    task: JoinHandle<kube_lease_manager::Result<LeaseManager>>,
}

/// Waits until this process is the leader.
///
/// # Errors
///
/// Where the Lease cannot be made or read, or election ends.
pub async fn acquire(client: Client, namespace: &str, identity: &str) -> Result<Leadership, Error> {
    let manager = LeaseManagerBuilder::new(client, LEASE)
        .with_namespace(namespace)
        .with_identity(identity)
        .with_duration(DURATION_SECONDS)
        .with_grace(GRACE_SECONDS)
        .build()
        .await?;
    let (mut state, task) = manager.watch().await;
    tracing::info!(namespace, identity, lease = LEASE, "waiting for leadership");
    state
        .wait_for(|leads| *leads)
        .await
        .map_err(|_| Error::LostLease)?;
    tracing::info!(identity, "leading");
    Ok(Leadership { state, task })
}

impl Leadership {
    /// Waits until the leadership is lost.
    pub async fn lost(&mut self) {
        // An error means that the election's task ended, which loses the leadership too.
        let _ = self.state.wait_for(|leads| !*leads).await;
    }

    /// Gives the Lease back, so that another replica need not wait for its end.
    pub async fn release(self) {
        drop(self.state);
        match self.task.await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the lease could not be given back"),
            Err(error) => tracing::warn!(%error, "leader election ended badly"),
        }
    }
}
