//! The HTTP endpoint for pushes: `POST /hook/NAMESPACE/NAME`.
//!
//! A request is answered once its body has arrived, and examined after that. So neither the status
//! nor the time of the answer reveals which hooks exist, whether a signature was good, or whether
//! any object is concerned: both follow from the request, and from how many others there are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{self, Body};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use patchset_api::referent::ObjectKey;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::bounded_server::{ConnectionBounds, serve};
use super::metrics::{Metrics, PushOutcome};

/// The longest body, in bytes, as Flux's Receivers have it.
const LONGEST_BODY: usize = 3 << 20;
/// How many requests are read or wait to be examined, at the same time.
const AT_ONCE: usize = 16;
/// How long the body of a request may take.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// What connections may take.
const BOUNDS: ConnectionBounds = ConnectionBounds {
    name: "the webhook endpoint",
    connections: 64,
    headers_within: Duration::from_secs(5),
    headers: 32 << 10,
    within: Duration::from_secs(20),
    long_within: Duration::ZERO,
};

/// A push that was received and not examined.
#[derive(Debug)]
pub struct ReceivedPush {
    /// The Secret that the path names.
    pub hook: ObjectKey,
    /// The headers of the request.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// When all of it had arrived.
    pub at: Instant,
    /// Holds its place among the requests.
    _place: OwnedSemaphorePermit,
}

/// The channel that received pushes come from.
pub type ReceivedPushes = mpsc::Receiver<ReceivedPush>;

#[derive(Clone)]
struct Intake {
    places: Arc<Semaphore>,
    received: mpsc::Sender<ReceivedPush>,
    metrics: Metrics,
}

/// Prepares the endpoint: the future that serves it until it is dropped, and the pushes received.
pub fn endpoint(
    listener: TcpListener,
    metrics: Metrics,
) -> (impl Future<Output = ()> + Send + 'static, ReceivedPushes) {
    let (received, pushes) = mpsc::channel(AT_ONCE);
    let intake = Intake {
        places: Arc::new(Semaphore::new(AT_ONCE)),
        received,
        metrics,
    };
    let router = Router::new()
        .route("/hook/{namespace}/{name}", post(take))
        .with_state(intake);
    (serve(listener, router, BOUNDS), pushes)
}

/// Takes one request, whatever hook it names.
async fn take(
    State(intake): State<Intake>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    let Ok(place) = intake.places.try_acquire_owned() else {
        intake.metrics.count_push(PushOutcome::Overloaded);
        return StatusCode::SERVICE_UNAVAILABLE;
    };
    let body = match tokio::time::timeout(BODY_WITHIN, body::to_bytes(body, LONGEST_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return StatusCode::PAYLOAD_TOO_LARGE,
        Err(_) => return StatusCode::REQUEST_TIMEOUT,
    };
    let push = ReceivedPush {
        hook: ObjectKey::new(namespace, name),
        headers,
        body,
        at: Instant::now(),
        _place: place,
    };
    match intake.received.try_send(push) {
        Ok(()) => StatusCode::ACCEPTED,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}
