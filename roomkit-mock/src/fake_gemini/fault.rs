//! What the fake is told to break, and where.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fake::fault;
use crate::fake::serve::Frame;

/// A fault of the fake Gemini server.
pub type Fault = fault::Fault<FaultPoint, FaultAction>;

/// Where a fault strikes. Counts run over one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultPoint {
    /// After the upgrade, before `setup` is read.
    BeforeSetup,
    /// After `setup` was read, before `setupComplete`.
    AfterSetup,
    /// After this many server frames were sent.
    AfterServerEvents(usize),
    /// After this many client frames were received, audio included.
    AfterClientEvents(usize),
    /// After the first server frame of this kind, such as `setupComplete` or `toolCall` (between
    /// a call and its result); fields of `serverContent` go by their own name.
    AfterSending(String),
    /// After the first client frame of this kind, such as `toolResponse` or `realtimeInput.text`,
    /// and before what it is answered with.
    AfterReceiving(String),
    /// In the middle of an answer: after this many frames of audio.
    AfterAudioChunks(usize),
    /// In the middle of an answer: after the frame that completes this many bytes of audio.
    AfterAudioBytes(usize),
    /// After this much audio was received, in milliseconds of audio time.
    AfterAudioMs(u64),
}

/// What happens at the point of a fault.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultAction {
    /// A close frame with this code and reason.
    Close {
        /// The WebSocket close code.
        code: u16,
        /// At most 123 bytes; the rest is cut off.
        reason: String,
    },
    /// The TCP connection ends without a close frame.
    Drop,
    /// Nothing more is read, so the client's writes back up. Sending goes on.
    StopReading,
    /// Nothing more is sent, and everything is read: a half-open connection.
    Stall,
    /// Nothing is sent for this long; then what was held back follows.
    Delay(Duration),
    /// `goAway` with this much time left, then close 1001 when it is over.
    GoAway(Duration),
    /// A message of your making.
    SendEvent(Value),
    /// A frame of the usual kind that need not be JSON.
    SendText(String),
    /// A binary frame of any bytes.
    SendBytes(Vec<u8>),
}

impl FaultAction {
    fn close(code: u16, reason: &str) -> Self {
        Self::Close {
            code,
            reason: reason.to_owned(),
        }
    }

    /// Close 1011 as after the longest session: `Deadline expired before operation could
    /// complete.`
    pub fn deadline_expired() -> Self {
        Self::close(1011, DEADLINE_EXPIRED)
    }

    /// Close 1011, a fault of the vendor: `Internal error encountered.`
    pub fn internal_error() -> Self {
        Self::close(1011, "Internal error encountered.")
    }

    /// Close 1011 for good: the quota is used up.
    pub fn quota_exceeded() -> Self {
        Self::close(
            1011,
            "You exceeded your current quota, please check your plan and billing details.",
        )
    }

    /// Close 1007 with the reason for nearly everything: `Request contains an invalid argument.`
    pub fn invalid_argument() -> Self {
        Self::close(1007, "Request contains an invalid argument.")
    }

    /// Close 1008 as seen at random after tool responses: `Requested entity was not found.`
    pub fn entity_not_found() -> Self {
        Self::close(1008, "Requested entity was not found.")
    }

    /// Close 1008: `Operation is not implemented, or supported, or enabled.`
    pub fn not_implemented() -> Self {
        Self::close(
            1008,
            "Operation is not implemented, or supported, or enabled.",
        )
    }

    /// Close 1007: the key has expired.
    pub fn key_expired() -> Self {
        Self::close(1007, "API key expired. Please renew the API key.")
    }

    /// Close 1007: the caller's region is not served.
    pub fn location_not_supported() -> Self {
        Self::close(1007, "User location is not supported for the API use.")
    }

    /// A message that is nothing but an error.
    pub fn bare_error(code: u16, message: &str, status: &str) -> Self {
        Self::SendEvent(json!({"error": {"code": code, "message": message, "status": status}}))
    }

    /// Bytes that are neither JSON nor UTF-8.
    pub fn garbage() -> Self {
        Self::SendBytes(vec![0xff, 0xfe, 0x00, 0x7b, 0xc3, 0x28])
    }

    /// A frame that breaks off in the middle of its JSON.
    pub fn malformed_json() -> Self {
        let broken = r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"data":"AAA"#;
        Self::SendText(broken.to_owned())
    }

    /// A valid message with audio of this many bytes, for a client's limit on frames.
    pub fn oversized(bytes: usize) -> Self {
        let data = "A".repeat(bytes.div_ceil(3) * 4);
        Self::SendEvent(json!({"serverContent": {"modelTurn": {"parts": [
            {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": data}}]}}}))
    }
}

/// The reason of the close that ends the longest sessions.
pub(crate) const DEADLINE_EXPIRED: &str = "Deadline expired before operation could complete.";

/// The faults one connection still has before it.
#[derive(Debug)]
pub(crate) struct FaultWatch {
    waiting: fault::Waiting<FaultPoint, FaultAction>,
    server_events: usize,
    client_events: usize,
    audio_chunks: usize,
    audio_bytes: usize,
}

impl FaultWatch {
    pub(crate) fn for_connection(faults: &[Fault], index: usize) -> Self {
        Self {
            waiting: fault::Waiting::for_connection(faults, index),
            server_events: 0,
            client_events: 0,
            audio_chunks: 0,
            audio_bytes: 0,
        }
    }

    pub(crate) fn connected(&mut self) -> Vec<FaultAction> {
        self.waiting
            .strike(|point| matches!(point, FaultPoint::BeforeSetup))
    }

    pub(crate) fn set_up(&mut self) -> Vec<FaultAction> {
        self.waiting
            .strike(|point| matches!(point, FaultPoint::AfterSetup))
    }

    pub(crate) fn sent(&mut self, frame: &Frame) -> Vec<FaultAction> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.server_events += 1;
        if frame.kinds().any(|kind| kind == "modelTurn") {
            self.audio_chunks += 1;
        }
        self.audio_bytes += frame.audio_bytes;
        let (events, chunks) = (self.server_events, self.audio_chunks);
        let audio_bytes = self.audio_bytes;
        self.waiting.strike(|point| match point {
            FaultPoint::AfterServerEvents(count) => *count <= events,
            FaultPoint::AfterAudioChunks(count) => *count <= chunks,
            FaultPoint::AfterAudioBytes(bytes) => *bytes <= audio_bytes,
            FaultPoint::AfterSending(wanted) => frame.kinds().any(|kind| kind == wanted),
            _ => false,
        })
    }

    pub(crate) fn received(&mut self, kind: &str, audio_ms: u64) -> Vec<FaultAction> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.client_events += 1;
        let events = self.client_events;
        self.waiting.strike(|point| match point {
            FaultPoint::AfterClientEvents(count) => *count <= events,
            FaultPoint::AfterAudioMs(milliseconds) => *milliseconds <= audio_ms,
            FaultPoint::AfterReceiving(wanted) => wanted == kind,
            _ => false,
        })
    }
}
