//! The shapes every frame shares: event ids, the `error` object, and the random extras a client
//! must ignore.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::fake::random::Random;
use crate::fake::serve::Frame;

/// What the server says about a client event it does not accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WireError {
    pub(crate) kind: &'static str,
    pub(crate) code: Option<Cow<'static, str>>,
    pub(crate) message: String,
    pub(crate) param: Option<String>,
}

impl WireError {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind: "invalid_request_error",
            code: Some(Cow::Borrowed(code)),
            message: message.into(),
            param: None,
        }
    }

    /// An error the vendor sends with `code: null`.
    pub(crate) fn without_code(message: impl Into<String>) -> Self {
        Self {
            code: None,
            ..Self::new("", message)
        }
    }

    pub(crate) fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub(crate) fn unknown_parameter(path: &str) -> Self {
        Self::new("unknown_parameter", format!("Unknown parameter: '{path}'.")).param(path)
    }

    pub(crate) fn missing(path: &str) -> Self {
        Self::new(
            "missing_required_parameter",
            format!("Missing required parameter: '{path}'."),
        )
        .param(path)
    }

    pub(crate) fn invalid_type(path: &str, expected: &str, got: &Value) -> Self {
        Self::new(
            "invalid_type",
            format!(
                "Invalid type for '{path}': expected {expected}, but got {} instead.",
                type_name(got)
            ),
        )
        .param(path)
    }

    pub(crate) fn invalid_value(path: &str, message: impl Into<String>) -> Self {
        Self::new("invalid_value", message).param(path)
    }

    /// The close reason of a fatal error: `<error.type>.<error.code>`.
    pub(crate) fn close_reason(&self) -> String {
        match &self.code {
            Some(code) => format!("{}.{code}", self.kind),
            None => self.kind.to_owned(),
        }
    }

    pub(crate) fn to_json(&self, client_event_id: Option<&str>) -> Value {
        json!({
            "type": self.kind,
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "event_id": client_event_id,
        })
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a decimal number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Writes server events of one connection.
#[derive(Debug)]
pub(crate) struct EventWriter {
    connection: usize,
    next_event: u64,
    next_id: u64,
    random: Random,
    noise: bool,
}

impl EventWriter {
    pub(crate) fn new(connection: usize, noise: bool) -> Self {
        Self {
            connection,
            next_event: 0,
            next_id: 0,
            random: Random::seeded(connection as u64),
            noise,
        }
    }

    /// Whether fields and event types no client knows are mixed in.
    pub(crate) fn noise(&self) -> bool {
        self.noise
    }

    pub(crate) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// An id no other object of this server has, such as `item_0x12`.
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        self.next_id += 1;
        format!("{prefix}_{}x{}", self.connection, self.next_id)
    }

    /// `fields` must be a JSON object; `type` and `event_id` go first, as on the real wire.
    pub(crate) fn event(&mut self, kind: &'static str, fields: &Value) -> Frame {
        let mut text = self.head(kind);
        let body = fields.to_string();
        let inner = body
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
            .unwrap_or("");
        if !inner.is_empty() {
            text.push(',');
            text.push_str(inner);
        }
        if self.noise && self.random.below(3) == 0 {
            let level = self.random.below(100);
            let _ = write!(
                text,
                r#","novelty":{{"level":{level},"list":[null,true,"x"]}}"#
            );
        }
        text.push('}');
        Frame {
            kind: Cow::Borrowed(kind),
            text,
            audio_bytes: 0,
        }
    }

    /// A delta event: like [`Self::event`] plus the `obfuscation` string the live service adds.
    pub(crate) fn delta(&mut self, kind: &'static str, fields: &Value) -> Frame {
        let mut frame = self.event(kind, fields);
        frame.text.pop();
        self.push_obfuscation(&mut frame.text);
        frame.text.push('}');
        frame
    }

    /// `response.output_audio.delta`, written without building a JSON tree.
    pub(crate) fn audio_delta(&mut self, target: &DeltaTarget<'_>, audio: &[u8]) -> Frame {
        let mut text = self.audio_delta_head(target, audio.len() * 4 / 3 + 4);
        STANDARD.encode_string(audio, &mut text);
        self.audio_delta_tail(text)
    }

    /// As [`Self::audio_delta`], for audio that is base64 already.
    pub(crate) fn audio_delta_encoded(&mut self, target: &DeltaTarget<'_>, audio: &str) -> Frame {
        let mut text = self.audio_delta_head(target, audio.len());
        text.push_str(audio);
        self.audio_delta_tail(text)
    }

    fn audio_delta_head(&mut self, target: &DeltaTarget<'_>, payload_bytes: usize) -> String {
        let mut text = self.head("response.output_audio.delta");
        text.reserve(payload_bytes + 256);
        let _ = write!(
            text,
            r#","response_id":"{}","item_id":"{}","output_index":{},"content_index":{},"delta":""#,
            target.response_id, target.item_id, target.output_index, target.content_index
        );
        text
    }

    fn audio_delta_tail(&mut self, mut text: String) -> Frame {
        text.push('"');
        self.push_obfuscation(&mut text);
        text.push('}');
        Frame {
            kind: Cow::Borrowed("response.output_audio.delta"),
            text,
            audio_bytes: 0,
        }
    }

    fn head(&mut self, kind: &str) -> String {
        self.next_event += 1;
        format!(
            r#"{{"type":"{kind}","event_id":"event_{}x{}""#,
            self.connection, self.next_event
        )
    }

    fn push_obfuscation(&mut self, text: &mut String) {
        const LETTERS: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        text.push_str(r#","obfuscation":""#);
        for _ in 0..=self.random.below(16) {
            let index = self.random.below(LETTERS.len() as u64) as usize;
            text.push(char::from(LETTERS[index]));
        }
        text.push('"');
    }
}

/// Where an audio delta belongs. The ids are made by this server and need no escaping.
#[derive(Debug)]
pub(crate) struct DeltaTarget<'a> {
    pub(crate) response_id: &'a str,
    pub(crate) item_id: &'a str,
    pub(crate) output_index: usize,
    pub(crate) content_index: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_json_with_type_first() {
        let mut writer = EventWriter::new(0, true);
        for _ in 0..20 {
            let frame = writer.event("input_audio_buffer.cleared", &json!({}));
            assert!(
                frame
                    .text
                    .starts_with(r#"{"type":"input_audio_buffer.cleared""#)
            );
            let value: Value = serde_json::from_str(&frame.text).unwrap();
            assert!(value["event_id"].is_string());
        }
        let nested = writer.event("x", &json!({"a": {"b": {}}}));
        let value: Value = serde_json::from_str(&nested.text).unwrap();
        assert_eq!(value["a"], json!({"b": {}}));
    }

    #[test]
    fn audio_deltas_are_json() {
        let mut writer = EventWriter::new(3, false);
        let target = DeltaTarget {
            response_id: "resp_1",
            item_id: "item_1",
            output_index: 2,
            content_index: 0,
        };
        let frame = writer.audio_delta(&target, &[0, 0, 1, 0]);
        let value: Value = serde_json::from_str(&frame.text).unwrap();
        assert_eq!(value["delta"], "AAABAA==");
        assert_eq!(value["output_index"], 2);
        assert!(value["obfuscation"].is_string());
    }

    #[test]
    fn close_reasons_join_type_and_code() {
        assert_eq!(
            WireError::new("invalid_api_key", "x").close_reason(),
            "invalid_request_error.invalid_api_key"
        );
        assert_eq!(
            WireError::without_code("x").close_reason(),
            "invalid_request_error"
        );
    }
}
