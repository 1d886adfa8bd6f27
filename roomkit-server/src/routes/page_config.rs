//! What the page has to know of this server before it can call.

use axum::{
    Json,
    extract::State,
    http::{HeaderName, header},
};
use serde_json::{Value, json};

use crate::app::App;

/// `GET /page/config.json`: the ways in. For everybody, as the page itself is: a way in is no secret, and
/// asks for a token of its own.
pub(super) async fn show(State(app): State<App>) -> ([(HeaderName, &'static str); 2], Json<Value>) {
    let headers = [
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Json(json!({"transports": &*app.ways_in})))
}
