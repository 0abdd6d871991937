//! Serves HTTP to whoever connects, within bounds: connections, headers and times.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::ServiceExt;

/// The wait after a connection cannot be accepted, for instance for lack of file descriptors.
const ACCEPTS_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What connections may take.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionBounds {
    /// What the log calls the endpoint.
    pub name: &'static str,
    /// How many connections are open at the same time. More wait in the system's queue.
    pub connections: usize,
    /// How long the headers of a request may take.
    pub headers_within: Duration,
    /// What the headers of a request may take, in bytes.
    pub headers: usize,
    /// How long a connection may stay open. It serves one request.
    pub within: Duration,
    /// How long a connection may stay open whose request allowed a long answer.
    pub long_within: Duration,
}

/// The connection that a request came in on. Each request has it among its extensions.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Who sent it.
    pub peer: IpAddr,
    is_long: Arc<AtomicBool>,
}

impl Connection {
    /// Allows the answer to take long, as a stream of events does.
    pub fn allow_long_answer(&self) {
        self.is_long.store(true, Ordering::Relaxed);
    }
}

/// Serves connections, each for one request.
pub async fn serve(listener: TcpListener, router: Router, bounds: ConnectionBounds) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "a connection to {} cannot be accepted", bounds.name);
                tokio::time::sleep(ACCEPTS_AGAIN_AFTER).await;
                continue;
            }
        };
        let own = Connection {
            peer: peer.ip(),
            is_long: Arc::default(),
        };
        let is_long = Arc::clone(&own.is_long);
        let service = router.clone().map_request(move |mut request: Request<_>| {
            request.extensions_mut().insert(own.clone());
            request.map(Body::new)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(bounds.headers_within)
            .max_buf_size(bounds.headers)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
        connections.spawn(async move {
            let _place = place;
            let mut connection = std::pin::pin!(connection);
            let mut ended = tokio::time::timeout(bounds.within, connection.as_mut()).await;
            if ended.is_err() && is_long.load(Ordering::Relaxed) {
                ended = tokio::time::timeout(bounds.long_within, connection.as_mut()).await;
            }
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a connection to {} broke", bounds.name),
                Err(_) => tracing::debug!("a connection to {} took too long", bounds.name),
            }
        });
    }
}
