//! What failures mean: a vendor's codes and words over what all servers have in common
//! (contract H3).

use http::StatusCode;
use roomkit_core::provider::{
    ProviderError,
    ProviderErrorKind::{
        self, Authentication, InvalidConfig, InvalidRequest, Network, Policy, Protocol, Quota,
        RateLimited, Server, Timeout,
    },
};
use serde_json::Value;

use crate::Redactor;

/// Close codes of RFC 6455 and of the IANA registry, where the reason says nothing. What is in no
/// table counts as the vendor's fault.
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
];

/// A vendor's failures by code and wording, as data, so that a test can go through it.
#[derive(Debug, Clone, Copy, Default)]
pub struct ErrorTable {
    codes: &'static [(&'static str, ProviderErrorKind)],
    wording: &'static [(&'static str, ProviderErrorKind)],
    close_codes: &'static [(u16, ProviderErrorKind)],
    wording_first: bool,
}

impl ErrorTable {
    /// A table that knows only what all WebSocket and HTTP servers have in common.
    pub const fn new() -> Self {
        Self {
            codes: &[],
            wording: &[],
            close_codes: &[],
            wording_first: false,
        }
    }

    /// The vendor's codes, as words that stand by themselves: in a field of an error object, or
    /// between dots, colons and spaces of a close reason.
    #[must_use]
    pub const fn codes(mut self, codes: &'static [(&'static str, ProviderErrorKind)]) -> Self {
        self.codes = codes;
        self
    }

    /// What the vendor's messages and close reasons say somewhere; in lower case. The first row
    /// that fits counts.
    #[must_use]
    pub const fn wording(mut self, wording: &'static [(&'static str, ProviderErrorKind)]) -> Self {
        self.wording = wording;
        self
    }

    /// Close codes of the vendor's own, and those it uses in its own sense.
    #[must_use]
    pub const fn close_codes(mut self, codes: &'static [(u16, ProviderErrorKind)]) -> Self {
        self.close_codes = codes;
        self
    }

    /// The vendor's codes stand for so much that its wording counts first.
    #[must_use]
    pub const fn wording_first(mut self) -> Self {
        self.wording_first = true;
        self
    }

    /// What one of the vendor's codes means.
    pub fn by_code(&self, code: &str) -> Option<ProviderErrorKind> {
        let row = self.codes.iter().find(|(known, _)| *known == code);
        row.map(|(_, kind)| *kind)
    }

    /// What a message means.
    pub fn by_wording(&self, text: &str) -> Option<ProviderErrorKind> {
        let text = text.to_lowercase();
        let row = self.wording.iter().find(|(words, _)| text.contains(words));
        row.map(|(_, kind)| *kind)
    }

    /// What a failure means that has one of the vendor's codes, a text or both.
    fn by_code_and_wording(&self, code: Option<&str>, text: &str) -> Option<ProviderErrorKind> {
        let by_code = code.and_then(|code| self.by_code(code));
        let by_wording = || self.by_wording(text);
        if self.wording_first {
            by_wording().or(by_code)
        } else {
            by_code.or_else(by_wording)
        }
    }

    /// What the end of a socket means: by the reason's codes, then its wording (or the other way
    /// round, see [`wording_first`](Self::wording_first)), then the close code. `code` is `None` where
    /// the socket broke without a close frame. Without a code of the vendor's in the reason, the
    /// error's code is `ws_` and the number.
    pub fn closed(&self, code: Option<u16>, reason: &str, redactor: &Redactor) -> ProviderError {
        let number = code.unwrap_or(1006);
        let vendor_code = reason
            .split(['.', ' ', ':', ','])
            .rev()
            .find(|word| self.by_code(word).is_some());
        let kind = self
            .by_code_and_wording(vendor_code, reason)
            .or_else(|| {
                let mut rows = self.close_codes.iter().chain(CLOSE_CODES);
                rows.find(|(known, _)| *known == number)
                    .map(|(_, kind)| *kind)
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

    /// What an HTTP answer means that is no upgrade: by the codes of its JSON, then the wording (or the
    /// other way round), then the status. `field` is the setting that holds the URL. Without a code of
    /// the vendor's, the error's code is `http_` and the status.
    pub fn refused(
        &self,
        status: StatusCode,
        body: &[u8],
        field: &str,
        redactor: &Redactor,
    ) -> ProviderError {
        let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
        // Google's come as a list of one.
        let body = body.get(0).unwrap_or(&body);
        let error = body.get("error").unwrap_or(body);
        let text = ["message", "error_description", "detail"]
            .iter()
            .find_map(|name| error.get(name)?.as_str())
            .or(error.as_str());
        let vendor_code = ["code", "status", "type"]
            .iter()
            .flat_map(|name| [error.get(name), body.get(name)])
            .flatten()
            .filter_map(Value::as_str)
            .find(|code| self.by_code(code).is_some());
        let kind = self
            .by_code_and_wording(vendor_code, text.unwrap_or_default())
            .unwrap_or(match status.as_u16() {
                401 | 403 | 407 => Authentication,
                402 => Quota,
                408 => Timeout,
                429 => RateLimited,
                500.. => Server,
                _ => InvalidConfig,
            });
        let mut message = format!("the server answered {status}");
        if let Some(text) = text {
            message = format!("{message}: {}", redactor.redact(text));
        }
        match kind {
            Authentication => message.push_str("; check the key and what it may be used for"),
            InvalidConfig => {
                message = format!("{message}; check host and path of `{field}`, and the model");
            }
            _ => {}
        }
        let code = vendor_code.map_or_else(|| format!("http_{}", status.as_u16()), str::to_owned);
        ProviderError::new(kind, message).with_code(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: ErrorTable = ErrorTable::new()
        .codes(&[
            ("bad_key", Authentication),
            ("bad_model", InvalidConfig),
            ("PERMISSION_DENIED", Authentication),
        ])
        .wording(&[("exceeded your current quota", Quota)])
        .close_codes(&[(1008, InvalidConfig), (4000, InvalidConfig)]);

    #[test]
    fn h3_closes_are_classified_by_reason_then_code() {
        let table: &[(Option<u16>, &str, ProviderErrorKind, &str)] = &[
            (Some(3000), "wrong.bad_key", Authentication, "bad_key"),
            (Some(3000), "wrong", Authentication, "ws_3000"),
            (Some(4000), "wrong.bad_model", InvalidConfig, "bad_model"),
            (Some(4000), "wrong.unheard_of", InvalidConfig, "ws_4000"),
            (Some(1001), "", Network, "ws_1001"),
            (Some(1000), "", Network, "ws_1000"),
            (Some(1008), "", InvalidConfig, "ws_1008"),
            (Some(1011), "internal error", Server, "ws_1011"),
            (
                Some(1011),
                "You exceeded your current quota, see the plan",
                Quota,
                "ws_1011",
            ),
            (Some(1007), "", InvalidRequest, "ws_1007"),
            (Some(4999), "", Server, "ws_4999"),
            (None, "", Network, "ws_1006"),
        ];
        for (code, reason, kind, vendor_code) in table {
            let error = TABLE.closed(*code, reason, &Redactor::default());
            assert_eq!(error.kind(), *kind, "{code:?} {reason}");
            assert_eq!(error.code(), *vendor_code, "{code:?} {reason}");
        }
        let reason = "bad_model: you exceeded your current quota";
        for (table, kind) in [(TABLE, InvalidConfig), (TABLE.wording_first(), Quota)] {
            let error = table.closed(Some(1008), reason, &Redactor::default());
            assert_eq!((error.kind(), error.code()), (kind, "bad_model"));
        }
        let plain = ErrorTable::new().closed(Some(1008), "", &Redactor::default());
        assert_eq!(plain.kind(), Policy);
    }

    #[test]
    fn h3_http_refusals_are_classified_by_body_then_status() {
        let table: &[(u16, &str, ProviderErrorKind, &str)] = &[
            (401, "", Authentication, "http_401"),
            (403, "no", Authentication, "http_403"),
            (301, "<html>moved</html>", InvalidConfig, "http_301"),
            (
                400,
                r#"{"error":{"code":"Unheard","message":"no"}}"#,
                InvalidConfig,
                "http_400",
            ),
            (404, r#"{"error":"no such one"}"#, InvalidConfig, "http_404"),
            (400, r#"{"code":"bad_key"}"#, Authentication, "bad_key"),
            (
                400,
                r#"[{"error":{"code":403,"message":"m","status":"PERMISSION_DENIED"}}]"#,
                Authentication,
                "PERMISSION_DENIED",
            ),
            (402, "", Quota, "http_402"),
            (408, "", Timeout, "http_408"),
            (429, "", RateLimited, "http_429"),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota"}}"#,
                Quota,
                "http_429",
            ),
            (503, "", Server, "http_503"),
        ];
        for (status, body, kind, code) in table {
            let status = StatusCode::from_u16(*status).unwrap();
            let redactor = Redactor::default();
            let error = TABLE.refused(status, body.as_bytes(), "base_url", &redactor);
            assert_eq!((error.kind(), error.code()), (*kind, *code), "{body}");
            let names_field = error.message().contains("`base_url`");
            assert_eq!(names_field, *kind == InvalidConfig, "{error}");
        }
    }
}
