//! Whether the daemon lives, and apart from that whether it is ready: a start that takes long is no reason to start it
//! again. And how it is, for people and for scrapers.

use axum::extract::Extension;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::lookup::json;
use super::problem::Problem;
use super::{Ask, Connection, JSON};
use crate::server::Status;
use crate::server::metrics::CONTENT_TYPE;

/// The process answers.
#[utoipa::path(get, path = "/health/live", tag = "health", responses((status = 200, body = serde_json::Value)))]
pub(super) async fn live() -> Response {
    ([(header::CONTENT_TYPE, JSON)], r#"{"status":"live"}"#).into_response()
}

/// All that is held can be asked. Until then answers are `undecided`, never `unknown`.
#[utoipa::path(
    get, path = "/health/ready", tag = "health",
    responses((status = 200, body = serde_json::Value), (status = 503, body = serde_json::Value)),
)]
pub(super) async fn ready(Extension(connection): Extension<Connection>) -> Response {
    let (status, said) = match connection.shared.service.not_ready() {
        None => (StatusCode::OK, serde_json::json!({"status": "ready"})),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, serde_json::json!({"status": "not ready", "because": why})),
    };
    (status, json(&said)).into_response()
}

/// How the daemon is, as `hashward status` tells it.
#[utoipa::path(
    get, path = "/v1/status", tag = "health",
    responses(
        (status = 200, body = Status),
        Problem,
    ),
)]
pub(super) async fn status(Ask { mut asker, .. }: Ask) -> Result<Response, Problem> {
    Ok(json(&asker.status()?))
}

/// What the daemon counts, as Prometheus reads it.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses(
        (status = 200, body = String, content_type = "text/plain"),
        Problem,
    ),
)]
pub(super) async fn metrics(Ask { mut asker, .. }: Ask) -> Result<Response, Problem> {
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], asker.metrics().await?).into_response())
}
