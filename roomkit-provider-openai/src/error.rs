//! What the vendor's failures mean: one table for codes, one for wording, one for close codes
//! (contract H3). The rows are OpenAI's unless they say whose they are.

use roomkit_core::provider::{ProviderError, ProviderErrorKind};
use roomkit_dial::{ErrorTable, Redactor};

use ProviderErrorKind::{
    Authentication, InvalidConfig, InvalidRequest, Policy, Quota, RateLimited, Server,
    SessionExpired,
};

/// All failures of the vendor and its relatives.
pub(crate) const ERRORS: ErrorTable = ErrorTable::new()
    .codes(&[
        // Permanent: the key.
        ("invalid_api_key", Authentication),
        ("invalid_authentication", Authentication),
        ("authentication_error", Authentication),
        ("permission_error", Authentication),
        ("permission_denied", Authentication),
        ("insufficient_permissions", Authentication),
        ("401", Authentication), // Azure
        ("403", Authentication), // Azure
        // Permanent: money.
        ("insufficient_quota", Quota),
        ("billing_hard_limit_reached", Quota),
        ("billing_not_active", Quota),
        // Permanent: the account.
        ("account_deactivated", Policy),
        ("unsupported_country_region_territory", Policy),
        // Permanent: what was asked for.
        ("invalid_model", InvalidConfig),
        ("missing_model", InvalidConfig),
        ("model_not_found", InvalidConfig),
        ("invalid_intent", InvalidConfig),
        ("beta_api_shape_disabled", InvalidConfig),
        ("DeploymentNotFound", InvalidConfig),     // Azure
        ("OpperationNotSupported", InvalidConfig), // Azure, spelled so
        ("OperationNotSupported", InvalidConfig),  // Azure
        ("unsupported_model", InvalidConfig),      // gateways
        // Another connection, or a later moment, does better.
        ("session_expired", SessionExpired),
        ("rate_limit_exceeded", RateLimited),
        ("inference_rate_limit_exceeded", RateLimited),
        ("rate_limit_error", RateLimited),
        ("429", RateLimited), // Azure
        ("server_error", Server),
        ("internal_error", Server),
        ("internal_server_error", Server),
        ("service_unavailable", Server),
        ("overloaded_error", Server),
        // One request was wrong, or its content; the connection goes on.
        ("content_policy_violation", InvalidRequest),
        ("content_filter", InvalidRequest),
        ("conversation_already_has_active_response", InvalidRequest),
        ("response_cancel_not_active", InvalidRequest),
        ("input_audio_buffer_commit_empty", InvalidRequest),
        ("invalid_value", InvalidRequest),
        ("invalid_type", InvalidRequest),
        ("invalid_json", InvalidRequest),
        ("invalid_event", InvalidRequest),
        ("unknown_parameter", InvalidRequest),
        ("missing_required_parameter", InvalidRequest),
        ("integer_below_min_value", InvalidRequest),
        ("cannot_update_voice", InvalidRequest),
        ("invalid_tool_call_id", InvalidRequest),
        ("item_not_found", InvalidRequest),
        ("item_truncate_invalid_item_id", InvalidRequest),
        ("item_delete_invalid_item_id", InvalidRequest),
        ("item_retrieve_invalid_item_id", InvalidRequest),
    ])
    .wording(&[
        ("maximum duration", SessionExpired),
        ("session expired", SessionExpired),
        ("session has expired", SessionExpired),
        ("missing bearer", Authentication),
        ("incorrect api key", Authentication),
        ("invalid api key", Authentication),
        ("invalid subscription key", Authentication), // Azure
        ("exceeded your current quota", Quota),
        ("used all available credits", Quota), // xAI
        ("spending limit", Quota),             // xAI
        ("billing", Quota),
        ("account is not active", Policy),
        ("deactivated", Policy),
        ("country, region, or territory not supported", Policy),
        ("not supported in realtime mode", InvalidConfig),
        ("must provide a model", InvalidConfig),
        ("does not exist or you do not have access", InvalidConfig),
        ("deployment for this resource does not exist", InvalidConfig), // Azure
        ("beta api is no longer supported", InvalidConfig),
        ("rate limit", RateLimited),
    ])
    .close_codes(&[(4000, InvalidConfig), (4004, InvalidConfig)]);

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
            .and_then(|code| ERRORS.by_code(code))
            .or_else(|| self.by_wording())
            .or_else(|| self.kind.and_then(|kind| ERRORS.by_code(kind)))
            .unwrap_or(match self.kind {
                Some("invalid_request_error") => InvalidRequest,
                _ => Server,
            });
        let mut message = self.message.filter(|text| !text.is_empty()).map_or_else(
            || "the vendor gives no reason".to_owned(),
            |message| redactor.redact(message),
        );
        if let Some(param) = self.param.filter(|param| !param.is_empty()) {
            message = format!("`{}`: {message}", redactor.redact(param));
        }
        let error = ProviderError::new(kind, message);
        let code = self.code.filter(|code| !code.is_empty()).or(self.kind);
        match code.filter(|code| !code.is_empty()) {
            Some(code) => error.with_code(redactor.redact(code)),
            None => error,
        }
    }

    /// What is said of one field of a request quotes it, such as a tool called `billing`, and says
    /// nothing of keys, money or the account.
    fn by_wording(&self) -> Option<ProviderErrorKind> {
        let kind = ERRORS.by_wording(self.message?)?;
        let is_of_field = self.kind == Some("invalid_request_error")
            && self.param.is_some_and(|param| !param.is_empty());
        let is_of_account = matches!(kind, Authentication | Quota | Policy);
        (!is_of_field || !is_of_account).then_some(kind)
    }

    /// Whether it is about a change of the session, as far as can be seen without the change's id.
    pub(crate) fn is_of_session(&self) -> bool {
        let param = self.param.unwrap_or_default();
        param == "session"
            || param.starts_with("session.")
            || self.code == Some("cannot_update_voice")
    }

    /// Whether nothing is wrong: the request came too late or too early and changed nothing.
    pub(crate) fn is_benign(&self) -> bool {
        match self.code.filter(|code| !code.is_empty()) {
            Some(
                "response_cancel_not_active"
                | "input_audio_buffer_commit_empty"
                | "item_truncate_invalid_item_id"
                | "item_delete_invalid_item_id"
                | "item_retrieve_invalid_item_id"
                | "item_not_found",
            ) => true,
            Some("invalid_value") => self.param == Some("audio_end_ms"),
            None => {
                self.says("Only model output audio messages") || self.says("Cancellation failed")
            }
            _ => false,
        }
    }

    /// Whether a response was asked for while another one runs.
    pub(crate) fn is_of_running_response(&self) -> bool {
        match self.code.filter(|code| !code.is_empty()) {
            Some(code) => code == "conversation_already_has_active_response",
            None => self.says("Conversation already has an active response"),
        }
    }

    /// Whether these are the words of an error; not every server gives each a code.
    fn says(&self, words: &str) -> bool {
        self.message
            .is_some_and(|message| message.starts_with(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roomkit_core::provider::ProviderErrorKind::Network;

    type Word = Option<&'static str>;

    const REQUEST: Word = Some("invalid_request_error");

    /// Type, code, message: what becomes of it.
    const TABLE: &[(Word, Word, Word, ProviderErrorKind)] = &[
        (REQUEST, Some("invalid_api_key"), None, Authentication),
        (
            REQUEST,
            None,
            Some("Missing bearer or basic authentication in header"),
            Authentication,
        ),
        (
            None,
            Some("401"),
            Some("Access denied due to invalid subscription key or wrong API endpoint."),
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
        (
            None,
            Some("unheard_of"),
            Some("Your team has either used all available credits or reached its limit."),
            Quota,
        ),
        (None, Some("account_deactivated"), None, Policy),
        (None, None, Some("Your account is not active."), Policy),
        (REQUEST, Some("invalid_model"), None, InvalidConfig),
        (REQUEST, Some("missing_model"), None, InvalidConfig),
        (REQUEST, Some("model_not_found"), None, InvalidConfig),
        (REQUEST, Some("invalid_intent"), None, InvalidConfig),
        (
            REQUEST,
            Some("beta_api_shape_disabled"),
            None,
            InvalidConfig,
        ),
        (
            REQUEST,
            None,
            Some("Model \"gpt-4\" is not supported in realtime mode."),
            InvalidConfig,
        ),
        (
            None,
            None,
            Some("The API deployment for this resource does not exist."),
            InvalidConfig,
        ),
        (REQUEST, Some("session_expired"), None, SessionExpired),
        (
            None,
            None,
            Some("Your session hit the maximum duration of 60 minutes."),
            SessionExpired,
        ),
        (None, Some("rate_limit_exceeded"), None, RateLimited),
        (
            None,
            Some("inference_rate_limit_exceeded"),
            None,
            RateLimited,
        ),
        (REQUEST, Some("unknown_parameter"), None, InvalidRequest),
        (None, Some("unknown_parameter"), None, InvalidRequest),
        (REQUEST, Some("cannot_update_voice"), None, InvalidRequest),
        (None, Some("content_policy_violation"), None, InvalidRequest),
        (None, Some("content_filter"), None, InvalidRequest),
        (REQUEST, Some(""), Some(""), InvalidRequest),
        (
            Some("server_error"),
            None,
            Some("The server had an error while processing your request"),
            Server,
        ),
        (Some("server_error"), None, None, Server),
        (None, Some("unheard_of"), None, Server),
        (None, None, None, Server),
    ];

    #[test]
    fn h3_errors_are_classified_by_code_then_wording_then_type() {
        for (kind, code, message, expected) in TABLE {
            let error = VendorError {
                kind: *kind,
                code: *code,
                message: *message,
                param: None,
            };
            let classified = error.classify(&Redactor::default());
            assert_eq!(classified.kind(), *expected, "{error:?}");
            let is_permanent = matches!(
                expected,
                Authentication | Quota | Policy | InvalidConfig | InvalidRequest
            );
            assert_eq!(classified.is_retryable(), !is_permanent, "{error:?}");
            assert!(!classified.code().is_empty() && !classified.message().is_empty());
        }
    }

    #[test]
    fn h3_what_is_said_of_one_field_says_nothing_of_the_account() {
        let error = VendorError {
            kind: REQUEST,
            code: Some("unheard_of"),
            message: Some("Invalid 'session.tools[0].name': 'billing.deactivated' is no name."),
            param: Some("session.tools[0].name"),
        };
        let classified = error.classify(&Redactor::default());
        assert_eq!(classified.kind(), InvalidRequest);
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
                "invalid_request_error.missing_model",
                InvalidConfig,
                "missing_model",
            ),
            (
                Some(4000),
                "invalid_request_error.invalid_model",
                InvalidConfig,
                "invalid_model",
            ),
            (
                Some(4000),
                "invalid_request_error.beta_api_shape_disabled",
                InvalidConfig,
                "beta_api_shape_disabled",
            ),
            (
                Some(4000),
                "invalid_request_error.invalid_intent",
                InvalidConfig,
                "invalid_intent",
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
            (Some(1005), "", Network, "ws_1005"),
            (Some(1011), "internal error", Server, "ws_1011"),
            (Some(1012), "", Server, "ws_1012"),
            (Some(1013), "", Server, "ws_1013"),
            (Some(1015), "", Network, "ws_1015"),
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
            (None, "", Network, "ws_1006"),
        ];
        for (code, reason, kind, vendor_code) in table {
            let error = ERRORS.closed(*code, reason, &Redactor::default());
            assert_eq!(error.kind(), *kind, "{code:?} {reason}");
            assert_eq!(error.code(), *vendor_code, "{code:?} {reason}");
        }
    }
}
