//! The HTTP surface: page, rooms, dashboards, health.

mod deliveries;
mod events;
mod health;
mod input;
mod metrics;
mod page;
mod page_config;
mod recording;
mod rooms;
mod timeline;
mod tokens;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::StatusCode,
    routing::{get, post},
};
use roomkit::http::Rejection;

use crate::app::App;

/// Largest request body, in bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Everything but the transports.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/page/config.json", get(page_config::show))
        .route("/page/{file}", get(page::file))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .route("/rooms", get(rooms::list))
        .route("/rooms/{room}", get(rooms::describe).delete(rooms::close))
        .route("/rooms/{room}/timeline", get(timeline::show))
        .route("/rooms/{room}/messages", post(rooms::post_message))
        .route("/rooms/{room}/deliveries", post(deliveries::post_delivery))
        .route("/rooms/{room}/recording", post(recording::change))
        .route("/rooms/{room}/events", get(events::watch))
        .route("/tokens", post(tokens::mint))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(app)
}

/// What those ask who run the server.
pub(crate) fn operations(app: App) -> Router {
    Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::show))
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .with_state(app)
}

/// Whether a path is one of this server's own, and no place for a transport.
pub(crate) fn is_reserved(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next();
    matches!(
        first,
        Some("" | "page" | "rooms" | "healthz" | "readyz" | "metrics" | "tokens")
    )
}

async fn unknown_path() -> Rejection {
    Rejection::new(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is nothing at this path",
    )
}

async fn unknown_method() -> Rejection {
    let message = "this path does not take this method; see the Allow header";
    Rejection::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        message,
    )
}
