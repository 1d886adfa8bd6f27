//! Accepting connections: the HTTP upgrade, and the checks the vendor makes after it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::builder::Options;
use super::handle::UpgradeRequest;
use super::session::SessionKind;
use super::vendor::Vendor;
use super::wire::WireError;
use super::{Hub, connection};

/// A request refused after the upgrade: one `error`, then a close.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: WireError,
    pub(crate) close_code: u16,
}

/// Accepts until it is aborted, and takes its connections with it.
pub(crate) async fn accept_loop(listener: TcpListener, hub: Arc<Hub>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection::serve(stream, Arc::clone(&hub)));
                }
                // Out of file descriptors, most likely: some may be free in a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Performs the upgrade. The vendor answers 101 even to requests it is about to refuse, so only
/// a wrong path and scripted refusals fail here.
pub(crate) async fn upgrade(
    stream: TcpStream,
    hub: &Hub,
) -> io::Result<(WebSocketStream<TcpStream>, UpgradeRequest)> {
    stream.set_nodelay(true)?;
    let mut seen = UpgradeRequest::default();
    let config = WebSocketConfig::default()
        .max_message_size(Some(64 << 20))
        .max_frame_size(Some(64 << 20));
    // The signature is tungstenite's.
    #[allow(clippy::result_large_err)]
    let inspect = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        seen = describe(request);
        if let Some(status) = hub.take_refusal() {
            return Err(http_error(status, "Refused, as scripted."));
        }
        let path = hub.options.vendor.path();
        if seen.path != path {
            return Err(http_error(404, &format!("The fake serves {path} only.")));
        }
        if hub.options.vendor == Vendor::Azure {
            check_azure(&seen, &hub.options)?;
        }
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async_with_config(stream, inspect, Some(config))
        .await
        .map_err(io::Error::other)?;
    Ok((socket, seen))
}

/// The checks made between the upgrade and `session.created`.
pub(crate) fn check_request(
    request: &UpgradeRequest,
    options: &Options,
) -> Result<SessionKind, Refusal> {
    check_key(request, options)?;
    if request.header("openai-beta").is_some() {
        return Err(bad_request(
            "beta_api_shape_disabled",
            "The Realtime Beta API is no longer supported. Please use /v1/realtime for the GA API.",
        ));
    }
    match request.query_value("intent") {
        None => {}
        Some("transcription") => {
            return match request.query_value("model") {
                None => Ok(SessionKind::Transcription),
                Some(model) if known(model, options) => Ok(SessionKind::Transcription),
                Some(model) => Err(invalid_model(model)),
            };
        }
        Some(intent) => {
            return Err(bad_request(
                "invalid_intent",
                &format!("Invalid intent: '{intent}'."),
            ));
        }
    }
    match request.query_value("model") {
        None | Some("") => Err(bad_request(
            "missing_model",
            "You must provide a model parameter.",
        )),
        Some(model) if known(model, options) => Ok(SessionKind::Realtime {
            model: model.to_owned(),
        }),
        Some(model) => Err(invalid_model(model)),
    }
}

fn check_key(request: &UpgradeRequest, options: &Options) -> Result<(), Refusal> {
    let unauthenticated = |error| Refusal {
        error,
        close_code: 3000,
    };
    let bearer = request
        .header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "));
    let key = match options.vendor {
        Vendor::Azure => request.header("api-key").or(bearer),
        Vendor::OpenAi | Vendor::XAi => bearer,
    }
    .filter(|key| !key.trim().is_empty());
    match (key, &options.api_key) {
        (None, _) => Err(unauthenticated(WireError::without_code(
            "Missing bearer or basic authentication in header",
        ))),
        (Some(given), Some(expected)) if given != expected => Err(unauthenticated(WireError::new(
            "invalid_api_key",
            format!(
                "Incorrect API key provided: {}. You can find your API key at https://platform.openai.com/account/api-keys.",
                masked(given)
            ),
        ))),
        (Some(_), _) => Ok(()),
    }
}

/// Azure refuses before the upgrade, with an error as its other APIs have it.
#[allow(clippy::result_large_err)]
fn check_azure(request: &UpgradeRequest, options: &Options) -> Result<(), ErrorResponse> {
    let refusal = |status, code: &str, message: &str| {
        let error = serde_json::json!({"error": {"code": code, "message": message}});
        Err(http_error(status, &error.to_string()))
    };
    if check_key(request, options).is_err() {
        return refusal(
            401,
            "401",
            "Access denied due to invalid subscription key or wrong API endpoint.",
        );
    }
    let model = request.query_value("model").unwrap_or_default();
    if !known(model, options) {
        return refusal(
            404,
            "DeploymentNotFound",
            "The API deployment for this resource does not exist.",
        );
    }
    Ok(())
}

fn known(model: &str, options: &Options) -> bool {
    options.vendor.knows(model) || options.models.iter().any(|extra| extra == model)
}

fn invalid_model(model: &str) -> Refusal {
    bad_request(
        "invalid_model",
        &format!("Model \"{model}\" is not supported in realtime mode."),
    )
}

fn bad_request(code: &'static str, message: &str) -> Refusal {
    Refusal {
        error: WireError::new(code, message),
        close_code: 4000,
    }
}

/// The vendor shows both ends of a wrong key.
fn masked(key: &str) -> String {
    let letters: Vec<char> = key.chars().collect();
    if letters.len() < 12 {
        return "*".repeat(letters.len());
    }
    let head: String = letters[..4].iter().collect();
    let tail: String = letters[letters.len() - 4..].iter().collect();
    format!("{head}{}{tail}", "*".repeat(letters.len() - 8))
}

fn describe(request: &Request) -> UpgradeRequest {
    UpgradeRequest {
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        headers: request
            .headers()
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect(),
    }
}

fn http_error(status: u16, message: &str) -> ErrorResponse {
    let mut response = ErrorResponse::new(Some(message.to_owned()));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}
