//! What the vendor's failures mean (contract H3). It uses few close codes for many things, so the
//! wording counts first.

use roomkit_core::provider::{ProviderError, ProviderErrorKind};
use roomkit_dial::{ErrorTable, Redactor};

use ProviderErrorKind::{
    Authentication, InvalidConfig, InvalidRequest, Policy, Quota, RateLimited, Server,
    SessionExpired, Timeout, Unsupported,
};

/// The vendor's failures by status, wording and close code.
pub(crate) const ERRORS: ErrorTable = ErrorTable::new()
    .codes(CODES)
    .wording(WORDING)
    .close_codes(CLOSE_CODES)
    .wording_first();

/// Google's words for a status, and reasons in the details of its errors.
const CODES: &[(&str, ProviderErrorKind)] = &[
    ("UNAUTHENTICATED", Authentication),
    ("PERMISSION_DENIED", Authentication),
    ("API_KEY_INVALID", Authentication),
    ("RESOURCE_EXHAUSTED", RateLimited),
    ("INVALID_ARGUMENT", InvalidRequest),
    ("FAILED_PRECONDITION", InvalidRequest),
    ("OUT_OF_RANGE", InvalidRequest),
    ("NOT_FOUND", InvalidConfig),
    ("UNIMPLEMENTED", Unsupported),
    ("DEADLINE_EXCEEDED", Timeout),
    ("UNAVAILABLE", Server),
    ("ABORTED", Server),
    ("INTERNAL", Server),
    ("UNKNOWN", Server),
];

/// What reasons and messages say, in lower case.
const WORDING: &[(&str, ProviderErrorKind)] = &[
    ("api key not valid", Authentication),
    ("api key expired", Authentication),
    ("api key not found", Authentication),
    ("reported as leaked", Authentication),
    ("unregistered callers", Authentication),
    ("invalid authentication credential", Authentication),
    ("permission denied", Authentication),
    ("user location is not supported", Policy),
    ("exceeded your current quota", Quota),
    ("resource has been exhausted", RateLimited),
    ("rate limit", RateLimited),
    ("is not found for api version", InvalidConfig),
    ("not supported for bidigeneratecontent", InvalidConfig),
    (
        "is not supported for this model configuration",
        InvalidConfig,
    ),
    ("operation is not implemented", Unsupported),
    ("invalid json payload", InvalidRequest),
    ("request contains an invalid argument", InvalidRequest),
    ("media_chunks is deprecated", InvalidRequest),
    // Behind those: what is invalid is quoted there, and may be called so.
    ("billing", Quota),
    // Seen at random after the results of tools.
    (ENTITY_NOT_FOUND, Server),
    // How the vendor ends a connection that is as old as it may be.
    ("deadline expired", SessionExpired),
    ("internal error", Server),
    ("service is currently unavailable", Server),
    ("overloaded", Server),
];

const ENTITY_NOT_FOUND: &str = "requested entity was not found";

/// Where the reason says nothing: 1008 comes for many causes in the middle of calls, and a new
/// connection finds out which it was.
const CLOSE_CODES: &[(u16, ProviderErrorKind)] = &[(1008, Server)];

/// An error as the vendor tells of it in a frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reported<'a> {
    /// An HTTP status.
    pub(crate) code: &'a str,
    /// Google's word for it.
    pub(crate) status: &'a str,
    pub(crate) message: &'a str,
}

/// What an error in a frame means: by its wording, then its status, then its code.
pub(crate) fn reported(error: Reported<'_>, redactor: &Redactor) -> ProviderError {
    let by_code = || match error.code.parse().ok()? {
        400_u16 => Some(InvalidRequest),
        401 | 403 => Some(Authentication),
        404 => Some(InvalidConfig),
        408 => Some(Timeout),
        429 => Some(RateLimited),
        _ => None,
    };
    let kind = ERRORS
        .by_wording(error.message)
        .or_else(|| ERRORS.by_code(error.status))
        .or_else(by_code)
        .unwrap_or(Server);
    let message = match error.message {
        "" => "the vendor gives no reason".to_owned(),
        message => redactor.redact(message),
    };
    let code = [error.status, error.code]
        .into_iter()
        .find(|code| !code.is_empty());
    let told = ProviderError::new(kind, message);
    match code {
        Some(code) => told.with_code(redactor.redact(code)),
        None => told,
    }
}

/// What a failure means that comes before the setup was taken: nothing was asked yet but to be set
/// up like this, so the same will be refused again.
pub(crate) fn before_setup(error: ProviderError) -> ProviderError {
    let is_unclear =
        error.code() == "ws_1008" && !error.message().to_lowercase().contains(ENTITY_NOT_FOUND);
    let kind = match error.kind() {
        InvalidRequest => InvalidConfig,
        Server if is_unclear => Policy,
        _ => return error,
    };
    let mut message = error.message().to_owned();
    if message.to_lowercase().contains("invalid argument") {
        // The vendor says this of everything.
        message.push_str(
            " (a setting, a tool's schema or a resume handle that the model does not take)",
        );
    }
    ProviderError::new(kind, message).with_code(error.code())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_tungstenite::tungstenite::http::StatusCode;

    const CLOSES: &[(u16, &str, ProviderErrorKind)] = &[
        (
            1007,
            "API key not valid. Please pass a valid API key.",
            Authentication,
        ),
        (
            1007,
            "API key expired. Please renew the API key.",
            Authentication,
        ),
        (
            1007,
            "User location is not supported for the API use without a billing account",
            Policy,
        ),
        (
            1007,
            "Invalid JSON payload received. Unknown name \"x\" at 'setup': Cannot find field.",
            InvalidRequest,
        ),
        (
            1007,
            "Request contains an invalid argument.",
            InvalidRequest,
        ),
        (
            1007,
            "realtime_input.media_chunks is deprecated. Use audio, video, or text instead.",
            InvalidRequest,
        ),
        (
            1007,
            "The audio content type (CONTENT_TYPE_AUDIO) is not supported for this model \
             configuration.",
            InvalidConfig,
        ),
        (1007, "", InvalidRequest),
        (
            1008,
            "models/x is not found for API version v1beta, or is not supported for \
             bidiGenerateContent. Call ModelService.ListModels to see the list",
            InvalidConfig,
        ),
        (
            1008,
            "Operation is not implemented, or supported, or enabled.",
            Unsupported,
        ),
        (1008, "Requested entity was not found.", Server),
        (
            1008,
            "Method doesn't allow unregistered callers (callers without established identity).",
            Authentication,
        ),
        (1008, "", Server),
        (
            1011,
            "You exceeded your current quota, please check your plan and billing",
            Quota,
        ),
        (
            1007,
            "Invalid JSON payload received. Unknown name \"billing_id\" at 'setup.tools[0]'",
            InvalidRequest,
        ),
        (1011, "Internal error encountered.", Server),
        (1011, "Internal error occurred.", Server),
        (
            1011,
            "Deadline expired before operation could complete.",
            SessionExpired,
        ),
        (1011, "", Server),
        (1000, "", ProviderErrorKind::Network),
        (1001, "", ProviderErrorKind::Network),
        (1012, "", Server),
        (1014, "", Server),
    ];

    #[test]
    fn h3_closes_are_classified_by_reason_then_code() {
        for (code, reason, kind) in CLOSES {
            let error = ERRORS.closed(Some(*code), reason, &Redactor::default());
            assert_eq!(error.kind(), *kind, "{code} {reason}");
            assert_eq!(error.code(), format!("ws_{code}"), "{reason}");
        }
        let broken = ERRORS.closed(None, "", &Redactor::default());
        assert_eq!(broken.kind(), ProviderErrorKind::Network);
    }

    #[test]
    fn h3_before_the_setup_is_taken_a_wrong_argument_is_a_wrong_setting() {
        for (code, reason, later) in CLOSES {
            let error = before_setup(ERRORS.closed(Some(*code), reason, &Redactor::default()));
            let expected = match (code, reason, later) {
                (_, _, InvalidRequest) => InvalidConfig,
                (1008, &"", _) => Policy,
                (_, _, later) => *later,
            };
            assert_eq!(error.kind(), expected, "{code} {reason}");
            assert_eq!(error.code(), format!("ws_{code}"));
        }
    }

    #[test]
    fn h3_http_refusals_are_classified_by_wording_then_status() {
        for (status, body, kind) in [
            (
                400,
                r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"API key not valid. Please pass a valid API key."}}"#,
                Authentication,
            ),
            (
                400,
                r#"{"error":{"code":400,"status":"FAILED_PRECONDITION","message":"User location is not supported for the API use."}}"#,
                Policy,
            ),
            (
                429,
                r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"You exceeded your current quota"}}"#,
                Quota,
            ),
            (
                429,
                r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"Slow down."}}"#,
                RateLimited,
            ),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = ERRORS.refused(status, body.as_bytes(), "base_url", &Redactor::default());
            assert_eq!(before_setup(error).kind(), kind, "{body}");
        }
    }

    #[test]
    fn h3_reported_errors_are_classified_by_wording_then_status_then_code() {
        for (code, status, message, kind, told) in [
            (
                "400",
                "INVALID_ARGUMENT",
                "API key not valid.",
                Authentication,
                "INVALID_ARGUMENT",
            ),
            (
                "400",
                "FAILED_PRECONDITION",
                "User location is not supported",
                Policy,
                "FAILED_PRECONDITION",
            ),
            (
                "400",
                "INVALID_ARGUMENT",
                "no",
                InvalidRequest,
                "INVALID_ARGUMENT",
            ),
            (
                "429",
                "RESOURCE_EXHAUSTED",
                "",
                RateLimited,
                "RESOURCE_EXHAUSTED",
            ),
            (
                "429",
                "RESOURCE_EXHAUSTED",
                "You exceeded your current quota",
                Quota,
                "RESOURCE_EXHAUSTED",
            ),
            ("403", "", "", Authentication, "403"),
            ("503", "", "", Server, "503"),
            ("", "", "", Server, "server_error"),
        ] {
            let error = Reported {
                code,
                status,
                message,
            };
            let error = reported(error, &Redactor::default());
            assert_eq!(
                (error.kind(), error.code()),
                (kind, told),
                "{status} {message}"
            );
        }
    }
}
