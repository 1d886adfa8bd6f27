//! The client protocol on WebSocket frames (contract C1): frames to events and commands to frames,
//! without a socket and without a clock.

use std::time::Duration;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_PAD_INDIFFERENT},
};
use bytes::Bytes;
use roomkit_core::{
    audio::{Allowance, duration_of},
    client_protocol::{ClientMessage, MessageLimits, ServerMessage},
    transport::{ClientCommand, ClientEvent, DropReason},
};
use tokio::time::Instant;

use crate::{
    config::{AudioEncoding, WebSocketTransportConfig},
    socket::OutgoingFrame,
};

/// Close codes of RFC 6455, section 7.4.1, and of the registry it founded.
pub mod close_code {
    /// The session is over.
    pub const NORMAL: u16 = 1000;
    /// The frames are not WebSocket frames.
    pub const PROTOCOL: u16 = 1002;
    /// A text frame is not UTF-8.
    pub const NOT_UTF8: u16 = 1007;
    /// The client may not do that.
    pub const POLICY: u16 = 1008;
    /// A message is larger than anything that would be read.
    pub const TOO_BIG: u16 = 1009;
    /// The server could not start the session.
    pub const INTERNAL: u16 = 1011;
    /// The server has no room for the session now.
    pub const TRY_AGAIN: u16 = 1013;
}

/// A close frame's reason may have this many bytes (RFC 6455, section 5.5).
const MAX_REASON_BYTES: usize = 123;

/// Reads a client's frames. Nothing it is given is fatal: what cannot be used becomes
/// [`ClientEvent::Dropped`] (contract A1).
#[derive(Debug)]
pub struct Decoder {
    max_audio_frame_bytes: usize,
    limits: MessageLimits,
    allowance: Allowance,
    input_rate: u32,
    began: Instant,
}

impl Decoder {
    /// A decoder for a client that sends audio at `input_rate` Hz from `now` on.
    pub fn new(config: &WebSocketTransportConfig, input_rate: u32, now: Instant) -> Self {
        Self {
            max_audio_frame_bytes: config.max_audio_frame_bytes,
            limits: config.message_limits(),
            allowance: Allowance::new(),
            input_rate,
            began: now,
        }
    }

    /// The same for a client that could send for so long before.
    #[must_use]
    pub fn waited(self, time: Duration) -> Self {
        Self {
            allowance: Allowance::after(time),
            ..self
        }
    }

    /// Reads a text frame; `None` when there is nothing to say about it.
    pub fn text(&mut self, text: &str, now: Instant) -> Option<ClientEvent> {
        match self.limits.read(text) {
            Ok(ClientMessage::Audio(data)) => self.base64(&data, now),
            Ok(ClientMessage::Event(event)) => Some(event),
            Ok(_) => None,
            Err(reason) => Some(ClientEvent::Dropped(reason)),
        }
    }

    /// Reads a binary frame: PCM16.
    pub fn binary(&mut self, pcm: Bytes, now: Instant) -> Option<ClientEvent> {
        match self.admit(pcm.len(), now) {
            Err(reason) => Some(ClientEvent::Dropped(reason)),
            Ok(()) if pcm.is_empty() => None,
            Ok(()) => Some(ClientEvent::Audio(pcm)),
        }
    }

    fn base64(&mut self, data: &str, now: Instant) -> Option<ClientEvent> {
        let digits = data.trim_end_matches('=').len();
        // All limits hold before anything is decoded.
        let length = digits / 4 * 3 + digits % 4 * 3 / 4;
        if let Err(reason) = self.admit(length, now) {
            return Some(ClientEvent::Dropped(reason));
        }
        if length == 0 && data.is_empty() {
            return None;
        }
        // Of exactly this length, the vector becomes `Bytes` as it is.
        let mut pcm = vec![0; length];
        match STANDARD_PAD_INDIFFERENT.decode_slice(data, &mut pcm) {
            Ok(written) if written == length => Some(ClientEvent::Audio(pcm.into())),
            _ => Some(ClientEvent::Dropped(DropReason::Undecodable)),
        }
    }

    fn admit(&mut self, bytes: usize, now: Instant) -> Result<(), DropReason> {
        let since = now.saturating_duration_since(self.began);
        if bytes > self.max_audio_frame_bytes {
            Err(DropReason::OversizedFrame)
        } else if !self
            .allowance
            .take(duration_of(bytes, self.input_rate), since)
        {
            Err(DropReason::TooFast)
        } else {
            Ok(())
        }
    }
}

/// The frame for a command; `None` when the wire has nothing for it.
pub fn encode(command: ClientCommand, encoding: AudioEncoding) -> Option<OutgoingFrame> {
    match (command, encoding) {
        (ClientCommand::Audio(pcm), AudioEncoding::Binary) => Some(OutgoingFrame::Binary(pcm)),
        (ClientCommand::Audio(pcm), AudioEncoding::Base64) => {
            Some(OutgoingFrame::Text(audio_message(&pcm)))
        }
        (ClientCommand::Clear, _) => Some(OutgoingFrame::Text(ServerMessage::ClearAudio.to_json())),
        (ClientCommand::Message(message), _) => Some(OutgoingFrame::Text(message.to_json())),
        // Frames are sent as they come, so nothing waits for the end of a response.
        _ => None,
    }
}

/// A close frame; the reason is cut to what fits into one.
pub fn close(code: u16, reason: &str) -> OutgoingFrame {
    let mut end = reason.len().min(MAX_REASON_BYTES);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    OutgoingFrame::Close {
        code,
        reason: reason[..end].to_owned(),
    }
}

fn audio_message(pcm: &[u8]) -> String {
    const HEAD: &str = r#"{"type":"audio","data":""#;
    const TAIL: &str = r#""}"#;

    let length = HEAD.len() + pcm.len().div_ceil(3) * 4 + TAIL.len();
    let mut text = String::with_capacity(length);
    text.push_str(HEAD);
    STANDARD.encode_string(pcm, &mut text);
    text.push_str(TAIL);
    text
}
