//! The checks the vendor makes between the upgrade and `session.created`.

use super::builder::Options;
use super::session::SessionKind;
use super::wire::WireError;
use crate::fake::handle::UpgradeRequest;

/// Models that answer on `/v1/realtime` today; `gpt-4o-realtime-preview*` went with the beta.
const MODELS: &[&str] = &[
    "gpt-realtime",
    "gpt-realtime-1.5",
    "gpt-realtime-2",
    "gpt-realtime-2.1",
    "gpt-realtime-2.1-mini",
    "gpt-realtime-2025-08-28",
    "gpt-realtime-mini",
    "gpt-realtime-mini-2025-10-06",
    "gpt-realtime-mini-2025-12-15",
    "gpt-audio-1.5",
    "gpt-audio-mini",
    "gpt-audio-mini-2025-10-06",
    "gpt-audio-mini-2025-12-15",
];

/// A request refused after the upgrade: one `error`, then a close.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) error: WireError,
    pub(crate) close_code: u16,
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
    let key = request
        .header("authorization")
        .and_then(|value| value.strip_prefix("Bearer "))
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

fn known(model: &str, options: &Options) -> bool {
    MODELS.contains(&model) || options.models.iter().any(|extra| extra == model)
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
