//! What the server measures, for Prometheus.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use roomkit::http::Rejection;

use super::input::{Metrics, Visitor};
use crate::app::App;

/// `GET /metrics`
pub(super) async fn show(
    _visitor: Visitor<Metrics>,
    State(app): State<App>,
) -> Result<Response, Rejection> {
    let Some(exporter) = &app.exporter else {
        let message = "this server does not show metrics; see `[metrics]` in its configuration";
        return Err(Rejection::new(StatusCode::NOT_FOUND, "not_found", message));
    };
    let format = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    Ok((format, exporter.show()).into_response())
}
