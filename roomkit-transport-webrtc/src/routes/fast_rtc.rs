//! FastRTC's signalling. Its answers are JSON of its shape; beside it the HTTP status tells the
//! truth, where FastRTC says 200 to everything.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::{Path, State as AxumState},
    response::{IntoResponse, Response},
};
use http::{Request as HttpRequest, StatusCode, header};
use roomkit_http::Rejection;
use serde_json::json;

use super::{Signalling, rejection};
use crate::protocol::{BadRequest, Request};

/// `POST /webrtc/offer`
pub(super) async fn post(
    AxumState(signalling): AxumState<Arc<Signalling>>,
    request: HttpRequest<Body>,
) -> Response {
    match signalling.fast_rtc(request).await {
        Ok(response) => response,
        Err(rejection) => failed(rejection, &signalling),
    }
}

/// `DELETE /webrtc/offer/{webrtc_id}`
pub(super) async fn hang_up(
    AxumState(signalling): AxumState<Arc<Signalling>>,
    Path(id): Path<String>,
    request: HttpRequest<Body>,
) -> Response {
    match signalling.hang_up(request, id).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(rejection) => failed(rejection, &signalling),
    }
}

impl Signalling {
    async fn fast_rtc(&self, request: HttpRequest<Body>) -> Result<Response, Rejection> {
        let (caller, body) = self.recognize(request).await?;
        let body = self.body(body).await?;
        match Request::read(&body).map_err(|error| unreadable(&error))? {
            Request::Offer {
                id,
                sdp,
                restart: false,
            } => Ok(answered(&self.answer(caller, id, sdp).await?)),
            Request::Offer { id, sdp, .. } => {
                self.check_unless_there(&caller, &id).await?;
                let by = self.speaker(&caller);
                let answer = self.transport.restart_by(&by, &id, &sdp).await;
                Ok(answered(&answer.map_err(|error| rejection(&error))?))
            }
            Request::Candidate { id, candidate } => {
                self.check_unless_there(&caller, &id).await?;
                let by = self.speaker(&caller);
                let added = self.transport.add_candidate_by(&by, &id, &candidate);
                let is_there = added.await.map_err(|error| rejection(&error))?;
                // It may have overtaken its offer, and waits for it.
                let status = if is_there {
                    StatusCode::OK
                } else {
                    StatusCode::ACCEPTED
                };
                Ok((status, Json(json!({"status": "success"}))).into_response())
            }
        }
    }
}

fn answered(sdp: &str) -> Response {
    Json(json!({"sdp": sdp, "type": "answer"})).into_response()
}

fn unreadable(error: &BadRequest) -> Rejection {
    let status = match error {
        BadRequest::NotJson(_) => StatusCode::BAD_REQUEST,
        BadRequest::Field { .. } => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Rejection::new(status, "bad_request", error.to_string())
}

/// A refusal in FastRTC's shape, under its names where it has one.
fn failed(rejection: Rejection, signalling: &Signalling) -> Response {
    let is_full = rejection.code() == "full";
    let error = match rejection.code() {
        "full" => "concurrency_limit_reached",
        code => code,
    };
    let mut meta = json!({"error": error, "message": rejection.message()});
    if is_full {
        meta["limit"] = signalling.admission.max_sessions().into();
    }
    let body = Json(json!({"status": "failed", "meta": meta})).into_response();
    // The status, and headers such as `Retry-After`, are the refusal's own.
    let (mut parts, _) = rejection.into_response().into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    (parts.status, parts.headers, body.into_body()).into_response()
}
