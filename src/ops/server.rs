//! The HTTP endpoints: `/healthz`, `/readyz` and `/metrics`.

use std::net::{Ipv6Addr, SocketAddr};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use super::Error;
use super::health::Health;
use super::metrics::Metrics;

/// Listens on `HOST:PORT`, or on all interfaces for `:PORT`.
///
/// # Errors
///
/// If the text is not an address, or the address is in use.
pub async fn listen(address: &str) -> Result<TcpListener, Error> {
    let bound = match address.strip_prefix(':') {
        Some(port) => {
            let port: u16 = port.parse().map_err(|_| Error::Address(address.to_owned()))?;
            match TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await {
                Ok(listener) => Ok(listener),
                Err(_) => TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))).await,
            }
        }
        None if address.rsplit_once(':').is_some() => TcpListener::bind(address).await,
        None => return Err(Error::Address(address.to_owned())),
    };
    bound.map_err(|source| Error::Listen {
        address: address.to_owned(),
        source,
    })
}

/// Serves `/healthz` and `/readyz` until the task is dropped.
pub async fn health(listener: TcpListener, health: Health) {
    let answer = |state: Result<(), String>| match state {
        Ok(()) => (StatusCode::OK, "ok".to_owned()),
        Err(fault) => (StatusCode::SERVICE_UNAVAILABLE, fault),
    };
    let alive = {
        let health = health.clone();
        move || std::future::ready(answer(health.alive()))
    };
    let ready = move || std::future::ready(answer(health.ready()));
    let router = Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the health endpoint stopped");
    }
}

/// Serves `/metrics` until the task is dropped. `refresh` runs before each answer.
pub async fn metrics<F>(listener: TcpListener, metrics: Metrics, refresh: F)
where
    F: Fn() + Clone + Send + Sync + 'static,
{
    let answer = move || {
        refresh();
        let text = metrics.encode();
        async move {
            match text {
                Ok(text) => {
                    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                    ([(header::CONTENT_TYPE, kind)], text).into_response()
                }
                Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
            }
        }
    };
    let router = Router::new().route("/metrics", get(answer));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the metrics endpoint stopped");
    }
}
