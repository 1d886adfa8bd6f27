//! The transport's settings.

use std::time::Duration;

use roomkit_core::{audio::check_rate, client_protocol::MessageLimits, error::ConfigError};
use serde::Deserialize;

/// The settings of a [`WebSocketRealtimeTransport`](crate::WebSocketRealtimeTransport).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocketTransportConfig {
    /// Rate of the clients' microphone audio, in Hz. Default: what the provider takes.
    pub input_sample_rate: Option<u32>,
    /// Rate of the audio the clients play, in Hz. Default: what the provider gives.
    pub output_sample_rate: Option<u32>,
    /// How audio goes to clients that do not say what they want; default base64 in JSON.
    pub audio: AudioEncoding,
    /// How far ahead of real time audio is sent, 20 to 5000 ms (contract A5); default 200.
    pub lead_ms: u64,
    /// The largest audio frame of a client, in bytes of PCM16; default 262 144. Larger ones are
    /// dropped.
    pub max_audio_frame_bytes: usize,
    /// The largest JSON message without audio, in bytes; default 65 536. Larger ones are dropped.
    pub max_message_bytes: usize,
    /// How deep a client's JSON may be nested; default 32. What is deeper is dropped.
    pub max_json_depth: usize,
}

impl Default for WebSocketTransportConfig {
    fn default() -> Self {
        let limits = MessageLimits::default();
        Self {
            input_sample_rate: None,
            output_sample_rate: None,
            audio: AudioEncoding::default(),
            lead_ms: 200,
            max_audio_frame_bytes: 256 * 1024,
            max_message_bytes: limits.max_message_bytes,
            max_json_depth: limits.max_json_depth,
        }
    }
}

/// How audio is encoded on its way to a client. In the other direction each frame says it itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AudioEncoding {
    /// `{"type":"audio","data":"<base64 PCM16>"}`: what every client understands.
    #[default]
    Base64,
    /// Binary frames of PCM16: a quarter fewer bytes.
    Binary,
}

impl AudioEncoding {
    /// The encoding's name, as in `session_started` and in the query field `audio`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Binary => "binary",
        }
    }

    /// The encoding of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Base64, Self::Binary]
            .into_iter()
            .find(|encoding| encoding.as_str() == name)
    }
}

impl WebSocketTransportConfig {
    /// The largest message read from the wire, in bytes. A larger one ends the connection with
    /// close code 1009 before it is read; between the other limits and this one there is room for
    /// frames and messages that are merely dropped.
    pub fn max_wire_bytes(&self) -> usize {
        let audio = self.max_audio_frame_bytes.saturating_mul(2);
        let message = self.max_message_bytes.saturating_mul(2);
        audio.max(message).max(64 * 1024)
    }

    /// Settings for a tungstenite socket that is to become a session: its defaults would take
    /// 128 KiB of buffer per connection and messages of 64 MiB.
    #[cfg(feature = "tungstenite")]
    pub fn socket_config(&self) -> tokio_tungstenite::tungstenite::protocol::WebSocketConfig {
        tokio_tungstenite::tungstenite::protocol::WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_message_size(Some(self.max_wire_bytes()))
            .max_frame_size(Some(self.max_wire_bytes()))
    }

    pub(crate) fn message_limits(&self) -> MessageLimits {
        MessageLimits {
            max_message_bytes: self.max_message_bytes,
            max_json_depth: self.max_json_depth,
        }
    }

    pub(crate) fn lead(&self) -> Duration {
        Duration::from_millis(self.lead_ms)
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !(20..=5000).contains(&self.lead_ms) {
            let problem = format!("is {}; must be from 20 to 5000", self.lead_ms);
            return Err(ConfigError::field("lead_ms", problem));
        }
        for (field, rate) in [
            ("input_sample_rate", self.input_sample_rate),
            ("output_sample_rate", self.output_sample_rate),
        ] {
            if let Some(rate) = rate {
                check_rate(field, rate)?;
            }
        }
        for (field, value) in [
            ("max_audio_frame_bytes", self.max_audio_frame_bytes),
            ("max_message_bytes", self.max_message_bytes),
            ("max_json_depth", self.max_json_depth),
        ] {
            if value == 0 {
                return Err(ConfigError::field(field, "is 0; nothing would pass"));
            }
        }
        Ok(())
    }
}

/// Room for several frames of speech; the buffer grows for a larger one. The library clears what it may
/// read into, at each attempt.
#[cfg(feature = "tungstenite")]
pub(crate) const READ_BUFFER_BYTES: usize = 4 * 1024;

/// The same where the connection below has a buffer, which nobody clears: a session that reads 4 KiB at
/// a time goes through all of it for each frame, and with a hundred of them none of it is in the
/// processor's cache.
#[cfg(feature = "axum")]
pub(crate) const READ_BYTES_OF_BUFFERED: usize = 512;

/// Every frame is flushed, so collecting them gains nothing.
#[cfg(feature = "tungstenite")]
pub(crate) const WRITE_BUFFER_BYTES: usize = 0;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_config_that_cannot_work_names_its_field() {
        for (config, field) in [
            (json!({"input_sample_rate": 7999}), "input_sample_rate"),
            (json!({"output_sample_rate": 48001}), "output_sample_rate"),
            (json!({"max_json_depth": 0}), "max_json_depth"),
            (json!({"lead_ms": 200_000}), "lead_ms"),
        ] {
            let config: WebSocketTransportConfig = serde_json::from_value(config).unwrap();
            let error = config.check().unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
        let typo = serde_json::from_value::<WebSocketTransportConfig>(json!({"lead": 1}));
        assert!(typo.unwrap_err().to_string().contains("`lead`"));
    }

    #[test]
    fn the_default_wire_limit_is_512_kib() {
        assert_eq!(
            WebSocketTransportConfig::default().max_wire_bytes(),
            512 * 1024
        );
    }

    #[test]
    fn c5_what_is_a_little_too_long_is_read_and_dropped() {
        for (max_audio_frame_bytes, max_message_bytes) in
            [(16 * 1024, 64 * 1024), (256 * 1024, 512 * 1024), (1, 1)]
        {
            let config = WebSocketTransportConfig {
                max_audio_frame_bytes,
                max_message_bytes,
                ..WebSocketTransportConfig::default()
            };
            assert!(config.max_wire_bytes() >= 2 * max_message_bytes);
            assert!(config.max_wire_bytes() >= 2 * max_audio_frame_bytes);
        }
    }
}
