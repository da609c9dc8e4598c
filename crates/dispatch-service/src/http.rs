//! The small HTTP server of each service: `/metrics`, `/healthcheck`, `/livez`, `/readyz`.

use std::net::SocketAddr;

use axum::{Router, extract::State, http::StatusCode, routing::get};
use metrics_exporter_prometheus::PrometheusHandle;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{health::Health, metrics::render};

/// The server could not be started.
#[derive(Debug, Error)]
#[error(
    "cannot serve metrics and health on {address} (PROMETHEUS_HOST, PROMETHEUS_PORT): {source}"
)]
pub(crate) struct ServeError {
    address: SocketAddr,
    source: std::io::Error,
}

/// Binds the address, then serves in the background until `stop`.
pub(crate) async fn serve(
    address: SocketAddr,
    metrics: PrometheusHandle,
    health: Health,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| ServeError { address, source })?;
    let routes = Router::new()
        .route("/metrics", get(async move || render(&metrics)))
        // twilight-dispatch's probe: answers as long as the process does.
        .route("/healthcheck", get(StatusCode::OK))
        .route("/livez", get(StatusCode::OK))
        .route("/readyz", get(ready).with_state(health));
    tokio::spawn(async move {
        let served = axum::serve(listener, routes)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await;
        if let Err(error) = served {
            tracing::error!(%error, "stopped serving metrics and health");
        }
    });
    Ok(())
}

async fn ready(State(health): State<Health>) -> (StatusCode, String) {
    match health.missing() {
        missing if missing.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
        missing => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not ready: {}\n", missing.join(", ")),
        ),
    }
}
