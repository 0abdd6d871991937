//! Leader election, against a real API server.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use patchset::ops::leader::{Candidate, Timing, lease_name};

use crate::support::api_server::ApiServer;
use crate::support::relay::Relay;

/// How long anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Long enough for a slow machine, and in the order of client-go's.
const TIMING: Timing = Timing {
    lease_duration: Duration::from_secs(9),
    renew_deadline: Duration::from_secs(5),
    retry_period: Duration::from_millis(500),
};

fn candidate(name: &str) -> Candidate {
    Candidate {
        timing: TIMING,
        ..Candidate::new(lease_name(None), name)
    }
}

async fn lease(server: &ApiServer, namespace: &str) -> Lease {
    let api: Api<Lease> = Api::namespaced(server.client(), namespace);
    api.get("patchset-controller").await.unwrap()
}

async fn holder(server: &ApiServer, namespace: &str) -> String {
    let spec = lease(server, namespace).await.spec.unwrap();
    spec.holder_identity.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_ends_before_another_one_begins() {
    let server = ApiServer::get().await;
    let namespace = server.namespace("cut-off").await;
    let relay = Relay::start(server.address());
    let client = server.client_by(relay.address);
    let mut first = candidate("first").lead(client, &namespace).await;
    let second = tokio::spawn({
        let (client, namespace) = (server.client(), namespace.clone());
        async move { (candidate("second").lead(client, &namespace).await, Instant::now()) }
    });
    // It is renewed for longer than it lasts.
    tokio::time::sleep(TIMING.lease_duration + TIMING.retry_period * 2).await;
    assert!(!second.is_finished(), "both lead");
    let cut = Instant::now();
    relay.cut();
    tokio::time::timeout(PATIENCE, first.lost()).await.unwrap();
    let ended = Instant::now();
    assert!(ended - cut <= TIMING.renew_deadline + TIMING.retry_period * 2);
    let (second, began) = tokio::time::timeout(PATIENCE, second).await.unwrap().unwrap();
    assert!(began > ended, "the second began {:?} too early", ended - began);
    assert!(holder(server, &namespace).await.starts_with("second_"));
    assert_eq!(
        lease(server, &namespace).await.spec.unwrap().lease_transitions,
        Some(1)
    );
    // A former leader does not take the Lease from the current one.
    relay.mend();
    first.release().await;
    assert!(holder(server, &namespace).await.starts_with("second_"));
    second.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_differ_give_no_second_leader() {
    let server = ApiServer::get().await;
    for (number, skewed) in [
        || Timestamp::now() + SignedDuration::from_hours(1),
        || Timestamp::now() - SignedDuration::from_hours(1),
    ]
    .into_iter()
    .enumerate()
    {
        let namespace = server.namespace("skewed").await;
        let first = Candidate {
            wall_clock: skewed,
            ..candidate("first")
        };
        let first = first.lead(server.client(), &namespace).await;
        let second = candidate("second").lead(server.client(), &namespace);
        // Three times as long as a Lease lasts by its own time.
        let waited = tokio::time::timeout(TIMING.lease_duration * 2, second).await;
        assert!(waited.is_err(), "two lead with skew {number}");
        assert!(holder(server, &namespace).await.starts_with("first_"));
        first.release().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_given_back_is_taken_at_once() {
    let server = ApiServer::get().await;
    let namespace = server.namespace("release").await;
    let long = Candidate {
        timing: Timing {
            lease_duration: PATIENCE * 10,
            ..TIMING
        },
        ..candidate("first")
    };
    let first = long.lead(server.client(), &namespace).await;
    let second = tokio::spawn({
        let (client, namespace) = (server.client(), namespace.clone());
        async move { candidate("second").lead(client, &namespace).await }
    });
    tokio::time::sleep(TIMING.retry_period * 4).await;
    assert!(!second.is_finished(), "both lead");
    first.release().await;
    let second = tokio::time::timeout(PATIENCE, second).await.unwrap().unwrap();
    assert!(holder(server, &namespace).await.starts_with("second_"));
    second.release().await;
}
