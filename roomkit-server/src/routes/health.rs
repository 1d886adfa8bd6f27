//! For load balancers and supervisors of processes.

use axum::{Json, extract::State, http::StatusCode};
use roomkit::http::Rejection;
use serde_json::{Value, json};

use crate::app::App;

/// The process works.
pub(super) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// New calls are taken.
pub(super) async fn ready(State(app): State<App>) -> Result<Json<Value>, Rejection> {
    if app.admission.is_draining() {
        let message = "the server is about to stop";
        return Err(Rejection::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "draining",
            message,
        ));
    }
    Ok(Json(
        json!({"status": "ready", "sessions": app.admission.sessions()}),
    ))
}
