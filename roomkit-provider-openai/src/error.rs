//! What the vendor's failures mean: one table for codes, one for wording, one for close codes and
//! one for HTTP (contract H3).

mod redactor;

use roomkit_core::provider::{ProviderError, ProviderErrorKind};
use tokio_tungstenite::tungstenite::{self, http};

pub use redactor::Redactor;

use ProviderErrorKind::{
    Authentication, InvalidConfig, InvalidRequest, Network, Policy, Protocol, Quota, RateLimited,
    Server, SessionExpired, Timeout,
};

/// Codes and types of `error` objects. A close reason is `<type>.<code>` of the same words.
const CODES: &[(&str, ProviderErrorKind)] = &[
    ("invalid_api_key", Authentication),
    ("authentication_error", Authentication),
    ("permission_error", Authentication),
    ("insufficient_permissions", Authentication),
    ("insufficient_quota", Quota),
    ("billing_hard_limit_reached", Quota),
    ("billing_not_active", Quota),
    ("account_deactivated", Policy),
    ("content_policy_violation", Policy),
    ("content_filter", Policy),
    ("unsupported_country_region_territory", Policy),
    ("invalid_model", InvalidConfig),
    ("missing_model", InvalidConfig),
    ("model_not_found", InvalidConfig),
    ("invalid_intent", InvalidConfig),
    ("beta_api_shape_disabled", InvalidConfig),
    ("session_expired", SessionExpired),
    ("rate_limit_exceeded", RateLimited),
    ("inference_rate_limit_exceeded", RateLimited),
    ("rate_limit_error", RateLimited),
    ("server_error", Server),
    ("internal_error", Server),
    ("internal_server_error", Server),
];

/// What messages say where a code says nothing; in lower case.
const WORDING: &[(&str, ProviderErrorKind)] = &[
    ("maximum duration", SessionExpired),
    ("session expired", SessionExpired),
    ("missing bearer", Authentication),
    ("incorrect api key", Authentication),
    ("invalid api key", Authentication),
    ("exceeded your current quota", Quota),
    ("billing", Quota),
    ("rate limit", RateLimited),
];

/// Close codes, where the reason says nothing. Those of OpenAI, of RFC 6455 and of the IANA
/// registry; what is missing here counts as the vendor's fault.
const CLOSE_CODES: &[(u16, ProviderErrorKind)] = &[
    (1000, Network),
    (1001, Network),
    (1002, Protocol),
    (1003, InvalidRequest),
    (1005, Network),
    (1006, Network),
    (1007, InvalidRequest),
    (1008, Policy),
    (1009, InvalidRequest),
    (1010, InvalidRequest),
    (1011, Server),
    (1012, Server),
    (1013, Server),
    (1014, Server),
    (1015, Network),
    (3000, Authentication),
    (3003, Authentication),
    (3008, Timeout),
    (4000, InvalidConfig),
    (4004, InvalidConfig),
];

/// The parts of the vendor's `error` object that matter here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct VendorError<'a> {
    pub(crate) kind: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
    pub(crate) message: Option<&'a str>,
    pub(crate) param: Option<&'a str>,
}

impl VendorError<'_> {
    /// What it is, by code, then wording, then type.
    pub(crate) fn classify(&self, redactor: &Redactor) -> ProviderError {
        let kind = self
            .code
            .and_then(by_code)
            .or_else(|| self.message.and_then(by_wording))
            .or_else(|| self.kind.and_then(by_code))
            .unwrap_or(match self.kind {
                Some("invalid_request_error") => InvalidRequest,
                _ => Server,
            });
        let mut message = self.message.map_or_else(
            || "the vendor gives no reason".to_owned(),
            |message| redactor.redact(message),
        );
        if let Some(param) = self.param.filter(|param| !param.is_empty()) {
            message = format!("`{}`: {message}", redactor.redact(param));
        }
        let error = ProviderError::new(kind, message);
        match self.code.or(self.kind).filter(|code| !code.is_empty()) {
            Some(code) => error.with_code(redactor.redact(code)),
            None => error,
        }
    }

    /// Whether nothing is wrong: the request came too late or too early and changed nothing.
    pub(crate) fn is_benign(&self) -> bool {
        match self.code {
            Some(
                "response_cancel_not_active"
                | "input_audio_buffer_commit_empty"
                | "item_truncate_invalid_item_id"
                | "item_delete_invalid_item_id"
                | "item_retrieve_invalid_item_id"
                | "item_not_found",
            ) => true,
            Some("invalid_value") => self.param == Some("audio_end_ms"),
            None => self
                .message
                .is_some_and(|message| message.starts_with("Only model output audio messages")),
            _ => false,
        }
    }
}

/// What the end of the socket means. `code` is `None` where it broke without a close frame.
pub(crate) fn closed(code: Option<u16>, reason: &str, redactor: &Redactor) -> ProviderError {
    let number = code.unwrap_or(1006);
    let vendor_code = reason
        .split(['.', ' ', ':'])
        .rev()
        .find(|word| by_code(word).is_some());
    let kind = vendor_code
        .and_then(by_code)
        .or_else(|| by_wording(reason))
        .or_else(|| {
            let row = CLOSE_CODES.iter().find(|(known, _)| *known == number);
            row.map(|(_, kind)| *kind)
        })
        .unwrap_or(Server);
    let message = match (code, reason) {
        (None, "") => "the connection broke".to_owned(),
        (None, reason) => format!("the connection broke: {}", redactor.redact(reason)),
        (Some(code), "") => format!("the vendor closed the connection with {code}"),
        (Some(code), reason) => format!(
            "the vendor closed the connection with {code}: {}",
            redactor.redact(reason)
        ),
    };
    ProviderError::new(kind, message)
        .with_code(vendor_code.map_or_else(|| format!("ws_{number}"), str::to_owned))
}

/// What a failure of the socket means.
pub(crate) fn socket(error: &tungstenite::Error, redactor: &Redactor) -> ProviderError {
    use tungstenite::Error as E;
    match error {
        E::Http(response) => refused(response, redactor),
        E::ConnectionClosed | E::AlreadyClosed => closed(None, "", redactor),
        E::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake) => {
            closed(None, "", redactor)
        }
        E::Io(_) | E::Tls(_) => closed(None, &error.to_string(), redactor),
        E::Url(_) | E::HttpFormat(_) => {
            ProviderError::new(InvalidConfig, redactor.redact(&error.to_string()))
        }
        _ => ProviderError::new(Protocol, redactor.redact(&error.to_string())),
    }
}

/// The upgrade was answered with an HTTP error, as Azure and gateways do.
fn refused(response: &http::Response<Option<Vec<u8>>>, redactor: &Redactor) -> ProviderError {
    let status = response.status();
    let text = response
        .body()
        .as_deref()
        .and_then(|body| serde_json::from_slice::<serde_json::Value>(body).ok())
        .and_then(|body| {
            let error = body.get("error")?;
            let text = error.get("message").unwrap_or(error).as_str()?;
            Some(text.to_owned())
        });
    let kind = text
        .as_deref()
        .and_then(by_wording)
        .unwrap_or(match status.as_u16() {
            401 | 403 | 407 => Authentication,
            402 => Quota,
            408 => Timeout,
            429 => RateLimited,
            500.. => Server,
            _ => InvalidConfig,
        });
    let message = match text {
        Some(text) => format!("the server answered {status}: {}", redactor.redact(&text)),
        None => format!("the server answered {status}"),
    };
    ProviderError::new(kind, message).with_code(format!("http_{}", status.as_u16()))
}

fn by_code(code: &str) -> Option<ProviderErrorKind> {
    CODES
        .iter()
        .find(|(known, _)| *known == code)
        .map(|(_, kind)| *kind)
}

fn by_wording(text: &str) -> Option<ProviderErrorKind> {
    let text = text.to_lowercase();
    WORDING
        .iter()
        .find(|(words, _)| text.contains(words))
        .map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h3_errors_are_classified_by_code_then_wording_then_type() {
        type Word = Option<&'static str>;
        let table: &[(Word, Word, Word, ProviderErrorKind)] = &[
            (
                Some("invalid_request_error"),
                Some("invalid_api_key"),
                None,
                Authentication,
            ),
            (
                Some("invalid_request_error"),
                None,
                Some("Missing bearer or basic authentication in header"),
                Authentication,
            ),
            (
                Some("insufficient_quota"),
                Some("insufficient_quota"),
                None,
                Quota,
            ),
            (Some("insufficient_quota"), None, None, Quota),
            (None, Some("billing_hard_limit_reached"), None, Quota),
            (None, Some("account_deactivated"), None, Policy),
            (None, Some("invalid_model"), None, InvalidConfig),
            (None, Some("beta_api_shape_disabled"), None, InvalidConfig),
            (
                Some("invalid_request_error"),
                Some("session_expired"),
                None,
                SessionExpired,
            ),
            (
                None,
                None,
                Some("Your session hit the maximum duration of 60 minutes."),
                SessionExpired,
            ),
            (
                None,
                Some("inference_rate_limit_exceeded"),
                None,
                RateLimited,
            ),
            (
                Some("invalid_request_error"),
                Some("unknown_parameter"),
                None,
                InvalidRequest,
            ),
            (
                Some("invalid_request_error"),
                Some("cannot_update_voice"),
                None,
                InvalidRequest,
            ),
            (
                Some("server_error"),
                None,
                Some("The server had an error"),
                Server,
            ),
            (None, None, None, Server),
        ];
        for (kind, code, message, expected) in table {
            let error = VendorError {
                kind: *kind,
                code: *code,
                message: *message,
                param: None,
            };
            let classified = error.classify(&Redactor::default());
            assert_eq!(classified.kind(), *expected, "{error:?}");
        }
    }

    #[test]
    fn h3_closes_are_classified_by_reason_then_code() {
        let table: &[(Option<u16>, &str, ProviderErrorKind, &str)] = &[
            (
                Some(3000),
                "invalid_request_error.invalid_api_key",
                Authentication,
                "invalid_api_key",
            ),
            (
                Some(3000),
                "invalid_request_error",
                Authentication,
                "ws_3000",
            ),
            (
                Some(4000),
                "invalid_request_error.invalid_model",
                InvalidConfig,
                "invalid_model",
            ),
            (
                Some(4000),
                "invalid_request_error.unheard_of",
                InvalidConfig,
                "ws_4000",
            ),
            (
                Some(4004),
                "invalid_request_error.model_not_found",
                InvalidConfig,
                "model_not_found",
            ),
            (
                Some(1001),
                "Your session hit the maximum duration of 60 minutes.",
                SessionExpired,
                "ws_1001",
            ),
            (Some(1001), "", Network, "ws_1001"),
            (Some(1000), "", Network, "ws_1000"),
            (Some(1011), "internal error", Server, "ws_1011"),
            (
                Some(1008),
                "insufficient_quota",
                Quota,
                "insufficient_quota",
            ),
            (
                Some(1011),
                "You exceeded your current quota, please check your plan",
                Quota,
                "ws_1011",
            ),
            (Some(1007), "", InvalidRequest, "ws_1007"),
            (Some(4999), "", Server, "ws_4999"),
            (None, "", Network, "ws_1006"),
        ];
        for (code, reason, kind, vendor_code) in table {
            let error = closed(*code, reason, &Redactor::default());
            assert_eq!(error.kind(), *kind, "{code:?} {reason}");
            assert_eq!(error.code(), *vendor_code, "{code:?} {reason}");
        }
    }

    #[test]
    fn h3_http_refusals_are_classified_by_status_and_body() {
        let table: &[(u16, &str, ProviderErrorKind)] = &[
            (401, "", Authentication),
            (403, "no", Authentication),
            (
                400,
                r#"{"error":{"code":"OpperationNotSupported","message":"no"}}"#,
                InvalidConfig,
            ),
            (404, r#"{"error":"no such deployment"}"#, InvalidConfig),
            (429, "", RateLimited),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota"}}"#,
                Quota,
            ),
            (503, "", Server),
        ];
        for (status, body, expected) in table {
            let mut response = http::Response::new(Some(body.as_bytes().to_vec()));
            *response.status_mut() = http::StatusCode::from_u16(*status).unwrap();
            let error = socket(
                &tungstenite::Error::Http(Box::new(response)),
                &Redactor::default(),
            );
            assert_eq!(error.kind(), *expected, "{status} {body}");
            assert_eq!(error.code(), format!("http_{status}"));
        }
    }
}
