//! The checks the vendor makes up to `session.created`.

use serde_json::json;

use super::builder::Options;
use super::session::SessionKind;
use super::vendor::Vendor;
use super::wire::WireError;
use crate::fake::handle::UpgradeRequest;
use crate::fake::server::{HttpRefusal, known_path};

/// A request refused after the upgrade: one `error`, then a close.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: WireError,
    pub(crate) close_code: u16,
}

/// The checks made before the upgrade. Azure makes all of its own there, and answers as its other
/// APIs do.
pub(crate) fn check_upgrade(
    request: &UpgradeRequest,
    options: &Options,
) -> Result<(), HttpRefusal> {
    known_path(request.path == options.vendor.path())?;
    if options.vendor != Vendor::Azure {
        return Ok(());
    }
    let refusal = |status, code: &str, message: &str| {
        let error = json!({"error": {"code": code, "message": message}});
        Err(HttpRefusal {
            status,
            body: error.to_string(),
        })
    };
    if check_key(request, options).is_err() {
        return refusal(
            401,
            "401",
            "Access denied due to invalid subscription key or wrong API endpoint.",
        );
    }
    let model = request.query_value("model").unwrap_or_default();
    if !options.knows(model) {
        return refusal(
            404,
            "DeploymentNotFound",
            "The API deployment for this resource does not exist.",
        );
    }
    Ok(())
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
                Some(model) if options.knows(model) => Ok(SessionKind::Transcription),
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
        Some(model) if options.knows(model) => Ok(SessionKind::Realtime {
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
