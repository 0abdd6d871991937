//! The HTTP endpoint for pushes: `POST /hook/NAMESPACE/NAME`.
//!
//! A request is answered when its body is here, and looked at after that. So the answer tells
//! nothing, neither by its status nor by its time, of which hooks there are, whether a signature was
//! good, or whether anybody is concerned: it follows from the request, and from how many others
//! there are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{self, Body};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::metrics::{Metrics, PushOutcome};
use crate::api::reference::ObjectKey;

/// The longest body, in bytes, as Flux's Receivers have it.
const LONGEST_BODY: usize = 3 << 20;
/// How many requests are read or wait to be looked at, at the same time.
const AT_ONCE: usize = 16;
/// How many connections there are at the same time. More wait in the system's queue.
const CONNECTIONS: usize = 64;
/// How long the headers of a request may take.
const HEADERS_WITHIN: Duration = Duration::from_secs(5);
/// How long the body of a request may take.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection may be there. It serves one request.
const CONNECTION_WITHIN: Duration = Duration::from_secs(20);
/// What the headers of a request may take, in bytes.
const HEADERS: usize = 32 << 10;
/// The wait after the system refuses a connection, for instance for want of files.
const ACCEPTS_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// A push that was received and not looked at.
#[derive(Debug)]
pub struct ReceivedPush {
    /// The Secret that the path names.
    pub hook: ObjectKey,
    /// The headers of the request.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// When all of it was here.
    pub at: Instant,
    /// Holds its place among the requests.
    _place: OwnedSemaphorePermit,
}

/// Where received pushes come out.
pub type ReceivedPushes = mpsc::Receiver<ReceivedPush>;

#[derive(Clone)]
struct Intake {
    places: Arc<Semaphore>,
    received: mpsc::Sender<ReceivedPush>,
    metrics: Metrics,
}

/// Prepares the endpoint: what serves it until the task is dropped, and the pushes that it takes.
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
    (serve(listener, router), pushes)
}

/// Serves connections, each for one request.
async fn serve(listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "a connection to the webhook endpoint cannot be accepted");
                tokio::time::sleep(ACCEPTS_AGAIN_AFTER).await;
                continue;
            }
        };
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_WITHIN)
            .max_buf_size(HEADERS)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        connections.spawn(async move {
            let _place = place;
            match tokio::time::timeout(CONNECTION_WITHIN, connection).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a connection to the webhook endpoint broke"),
                Err(_) => tracing::debug!("a connection to the webhook endpoint took too long"),
            }
        });
    }
}

/// Takes one request, whatever hook it names.
async fn take(
    State(intake): State<Intake>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> StatusCode {
    let Ok(place) = intake.places.try_acquire_owned() else {
        intake.metrics.note_push(PushOutcome::Overloaded);
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
