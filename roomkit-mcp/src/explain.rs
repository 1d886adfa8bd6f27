//! What a failure beneath means, in words for a host: short, and without secrets (contract X1).

use std::error::Error;

use http::StatusCode;
use rmcp::{
    service::{ClientInitializeError, ServiceError},
    transport::{DynamicTransportError, streamable_http_client::StreamableHttpError},
};

use crate::check::Checked;

/// What goes wrong over HTTP.
pub(crate) type HttpError = StreamableHttpError<reqwest::Error>;

/// Why a connection did not come about.
pub(crate) fn start(server: &Checked, error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::TransportError { error, .. } => transport(server, error),
        ClientInitializeError::ConnectionClosed(_) => {
            "it closed the connection instead of answering; is it an MCP server?".into()
        }
        ClientInitializeError::JsonRpcError(error) => server
            .secrets
            .redact(&format!("it refuses: {}", error.message)),
        other => chain(server, other),
    }
}

/// It was not ready in time.
pub(crate) fn late(server: &Checked) -> String {
    let limit = server.connect_timeout.as_secs_f32();
    format!("it did not get ready within {limit} s (`connect_timeout_s`)")
}

/// Why a request failed.
pub(crate) fn request(server: &Checked, error: &ServiceError) -> String {
    match error {
        ServiceError::TransportSend(error) => transport(server, error),
        ServiceError::TransportClosed => "the connection is closed".into(),
        ServiceError::McpError(error) => server.secrets.redact(&error.message),
        other => chain(server, other),
    }
}

/// What HTTP says to it, if it is HTTP.
pub(crate) fn http_error(error: &DynamicTransportError) -> Option<&HttpError> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error.error.as_ref());
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref() {
            return Some(http);
        }
        cause = error.source();
    }
    None
}

fn transport(server: &Checked, error: &DynamicTransportError) -> String {
    match http_error(error) {
        Some(http) => self::http(server, http),
        None => chain(server, error.error.as_ref()),
    }
}

/// A failure of HTTP.
pub(crate) fn http(server: &Checked, error: &HttpError) -> String {
    match error {
        // Its own words say at what it failed; what is behind them says what happened.
        StreamableHttpError::Client(error) => match error.source() {
            Some(cause) => chain(server, cause),
            None => chain(server, error),
        },
        StreamableHttpError::AuthRequired(_) => {
            status(StatusCode::UNAUTHORIZED, "give it a valid `bearer_token`")
        }
        StreamableHttpError::InsufficientScope(_) => {
            status(StatusCode::FORBIDDEN, "its token allows too little")
        }
        StreamableHttpError::ServerDoesNotSupportSse => {
            "it does not speak streamable HTTP there; correct the path in `url`".into()
        }
        other => chain(server, other),
    }
}

fn status(status: StatusCode, remedy: &str) -> String {
    format!("it answers {status}; {remedy}")
}

/// An error and what is behind it, on one line.
fn chain(server: &Checked, error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let behind = cause.to_string();
        // Many repeat what is behind them.
        if !text.contains(&behind) {
            text.push_str(": ");
            text.push_str(&behind);
        }
        source = cause.source();
    }
    server.secrets.redact(&text)
}
