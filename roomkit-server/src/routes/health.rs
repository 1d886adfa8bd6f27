//! For load balancers and supervisors of processes.

use axum::{Json, extract::State};
use roomkit::http::Rejection;
use serde_json::{Value, json};

use crate::app::App;

/// The process works.
pub(super) async fn alive() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// New calls are taken; otherwise a caller would be refused in the same words.
pub(super) async fn ready(State(app): State<App>) -> Result<Json<Value>, Rejection> {
    app.admission.ready()?;
    Ok(Json(
        json!({"status": "ready", "sessions": app.admission.sessions()}),
    ))
}
