//! A request that is turned down, as the answer to it.

use std::time::Duration;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use metrics::counter;
use serde_json::json;

/// Why a request is turned down: an HTTP status and JSON of the form
/// `{"code": "...", "message": "..."}`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Rejection {
    status: StatusCode,
    code: &'static str,
    message: String,
    /// In seconds.
    retry_after: Option<u64>,
}

impl Rejection {
    /// A rejection with a code for programs and a message for people, which must hold no secret.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after: None,
        }
    }

    /// 400: a field of the query or the body cannot be used.
    pub fn bad_request(field: &str, problem: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad_request",
            format!("{field}: {problem}"),
        )
    }

    /// Says when to try again, as `Retry-After` and in the words; whole seconds, rounded up.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_millis().div_ceil(1000) as u64;
        self.message = format!("{}; try again in {seconds} s", self.message);
        self.retry_after = Some(seconds);
        self
    }

    /// Counts it among those that were refused (`roomkit_admission_refused_total`), by its code: for
    /// what a limit refuses. What [`Admission`](crate::Admission) refuses is counted there.
    #[must_use]
    pub fn counted(self) -> Self {
        counter!("roomkit_admission_refused_total", "reason" => self.code).increment(1);
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The code for programs, which is also the metric label.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let body = Json(json!({"code": self.code, "message": self.message}));
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
