//! The JSON messages of the client protocol (contract C1), for every transport that carries them.
//!
//! The names and fields are those of `docs/client-protocol.md`; audio frames are the transport's.

mod limits;

use std::{borrow::Cow, time::Duration};

pub use limits::MessageLimits;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    error::MessageError,
    id::{CallId, ChannelId, ItemId, ParticipantId, RoomId, SessionId},
    provider::Role,
    quiet::{bytes, characters, debug_quietly},
    recording::RecordingState,
    stats::SessionStats,
    transport::ClientEvent,
};

/// A message from the server to a client. [`to_json`](Self::to_json) writes it, and its Debug output
/// leaves out what was said.
#[derive(Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerMessage {
    /// The session is active.
    SessionStarted {
        /// The session.
        session_id: SessionId,
        /// Its room.
        room_id: RoomId,
        /// The participant the client speaks for.
        participant_id: ParticipantId,
        /// The voice channel.
        channel_id: ChannelId,
        /// Rate the client must send, in Hz.
        input_sample_rate: u32,
        /// Rate the client gets, in Hz.
        output_sample_rate: u32,
        /// How the client must encode its audio.
        input_encoding: String,
        /// How the client's audio is encoded.
        output_encoding: String,
    },
    /// Words of either side. A partial holds only what is new, a final the whole text.
    Transcription {
        /// The words.
        text: String,
        /// Who says them.
        role: Role,
        /// Whether the text is whole and settled.
        is_final: bool,
        /// The provider's id of the utterance.
        #[serde(skip_serializing_if = "Option::is_none")]
        item_id: Option<ItemId>,
        /// The answer was cut short; the text is what was heard of it.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        interrupted: bool,
    },
    /// Somebody began or stopped to speak.
    Speaking {
        /// Began, or stopped.
        speaking: bool,
        /// Who.
        who: Role,
    },
    /// Forget all audio that has not been played.
    ClearAudio,
    /// A tool runs, or has run.
    ToolCall {
        /// The call.
        call_id: CallId,
        /// The tool.
        name: String,
        /// How far it is.
        status: ToolCallStatus,
    },
    /// What the session has come to so far; only where the host wants clients to know
    /// ([`client_stats`](crate::voice::RealtimeVoiceChannelBuilder::client_stats)).
    Stats(Box<SessionStats>),
    /// The connection to the AI is being renewed; audio is held.
    Reconnecting,
    /// The connection to the AI is back.
    Reconnected,
    /// Whether the call is recorded from now on.
    Recording {
        /// `on`, `paused` or `off`.
        state: RecordingState,
    },
    /// Something went wrong.
    Error {
        /// For programs.
        code: String,
        /// For people.
        message: String,
    },
    /// Answers `ping`.
    Pong {
        /// The ping's id.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Value>,
    },
    /// The session is over.
    SessionEnded {
        /// Why.
        reason: String,
    },
    /// A message of the host's own, whole and with a `type` of its own
    /// ([`send_message`](crate::RealtimeVoiceChannel::send_message)).
    #[serde(untagged)]
    Custom(Map<String, Value>),
}

debug_quietly!(ServerMessage {
    SessionStarted {
        session_id,
        room_id,
        participant_id,
        channel_id,
        input_sample_rate,
        output_sample_rate,
        input_encoding,
        output_encoding,
    },
    Transcription { text = characters(text), role, is_final, item_id, interrupted },
    Speaking { speaking, who },
    ClearAudio,
    ToolCall { call_id, name, status },
    Stats(stats),
    Reconnecting,
    Reconnected,
    Recording { state },
    Error { code, message },
    Pong { id },
    SessionEnded { reason },
    Custom(message = bytes(json(message).as_bytes())),
});

impl ServerMessage {
    /// The message as JSON text.
    pub fn to_json(&self) -> String {
        json(self)
    }
}

pub(crate) fn json(message: &impl Serialize) -> String {
    // Only strings, numbers and JSON values are inside: writing them cannot fail.
    serde_json::to_string(message).unwrap_or_default()
}

/// How long a message of the host's own may be, as JSON: what a client's own may be, and what every
/// data channel takes.
const CUSTOM_BYTES: usize = 64 * 1024;

/// What a message from the server can be, beside [`ServerMessage::Custom`].
const SERVER_TYPES: [&str; 13] = [
    "session_started",
    "audio",
    "transcription",
    "speaking",
    "clear_audio",
    "tool_call",
    "stats",
    "reconnecting",
    "reconnected",
    "recording",
    "error",
    "pong",
    "session_ended",
];

/// Whether a host may send this to its client.
pub(crate) fn check_custom(message: &Map<String, Value>) -> Result<(), MessageError> {
    let Some(Value::String(kind)) = message.get("type") else {
        return Err(MessageError::NoType);
    };
    if SERVER_TYPES.contains(&kind.as_str()) || KNOWN.contains(&kind.as_str()) {
        return Err(MessageError::Reserved(kind.clone()));
    }
    let (bytes, max) = (json(message).len(), CUSTOM_BYTES);
    if bytes > max {
        return Err(MessageError::TooLong { bytes, max });
    }
    Ok(())
}

/// How far a tool call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolCallStatus {
    /// It runs.
    Started,
    /// It has a result.
    Completed,
    /// It failed, was refused, or took too long.
    Failed,
    /// Nobody wants its result any more.
    Cancelled,
}

/// A client's text message, taken apart without copying its audio.
#[derive(Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientMessage<'a> {
    /// `{"type":"audio","data":"<base64 PCM16>"}`: the base64 text, still encoded. It is borrowed unless
    /// the client has escaped some of it, as JSON allows for every character.
    Audio(Cow<'a, str>),
    /// Any other known message.
    Event(ClientEvent),
    /// A type this version does not know; to be ignored.
    Unknown,
}

/// A client's text message that is not one: not JSON, or a field is missing or of the wrong type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadMessage(String);

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    r#type: &'a str,
    #[serde(borrow, default)]
    data: Option<&'a str>,
}

#[derive(Deserialize)]
struct Kind {
    r#type: String,
}

/// Audio of which something is escaped.
#[derive(Deserialize)]
struct Escaped {
    data: String,
}

/// How long the id of a ping may be, as JSON.
const PING_ID_BYTES: usize = 256;

const KNOWN: [&str; 9] = [
    "audio",
    "text",
    "message",
    "interrupt",
    "mute",
    "playback",
    "recording",
    "ping",
    "end",
];

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Control {
    Text { text: String },
    Message { data: Map<String, Value> },
    Interrupt {},
    Mute { muted: bool },
    Playback { played_ms: f64 },
    Recording { on: bool },
    Ping { id: Option<Value> },
    End {},
}

/// The base64 of audio as `JSON.stringify` and as Python's `json.dumps` write it, if it stands there
/// as it is: nearly all that comes, and too long to be taken apart as JSON byte by byte.
fn plain_audio(text: &str) -> Option<&str> {
    let compact = text.strip_prefix(r#"{"type":"audio","data":""#);
    let data = compact.or_else(|| text.strip_prefix(r#"{"type": "audio", "data": ""#))?;
    let data = data.strip_suffix(r#""}"#)?;
    // All of it is looked at, in whatever order is fast.
    let needs_reading = |byte: u8| byte == b'"' || byte == b'\\' || byte < b' ';
    let is_plain = data
        .bytes()
        .fold(true, |plain, byte| plain & !needs_reading(byte));
    is_plain.then_some(data)
}

impl<'a> ClientMessage<'a> {
    /// Reads one text message of the client protocol.
    pub fn parse(text: &'a str) -> Result<Self, BadMessage> {
        if let Some(data) = plain_audio(text) {
            return Ok(Self::Audio(data.into()));
        }
        // Audio in other words: two borrowed strings and nothing else. What needs unescaping cannot be
        // borrowed, and is read below: some clients write the `/` and `+` of base64 as `\/` and `\u002B`.
        if let Ok(head) = serde_json::from_str::<Head<'a>>(text)
            && head.r#type == "audio"
        {
            return match head.data {
                Some(data) => Ok(Self::Audio(data.into())),
                None => Err(BadMessage("audio: `data` is missing".into())),
            };
        }
        let kind = serde_json::from_str::<Kind>(text)
            .map_err(|error| BadMessage(format!("not a message of this protocol: {error}")))?;
        if !KNOWN.contains(&kind.r#type.as_str()) {
            return Ok(Self::Unknown);
        }
        let bad = |error| BadMessage(format!("{}: {error}", kind.r#type));
        if kind.r#type == "audio" {
            let escaped = serde_json::from_str::<Escaped>(text).map_err(bad)?;
            return Ok(Self::Audio(escaped.data.into()));
        }
        let control = serde_json::from_str::<Control>(text).map_err(bad)?;
        Ok(Self::Event(match control {
            Control::Text { text } => ClientEvent::Text(text),
            Control::Message { data } => ClientEvent::Message(data),
            Control::Interrupt {} => ClientEvent::Interrupt,
            Control::Mute { muted } => ClientEvent::Mute(muted),
            Control::Playback { played_ms } => {
                let played = Duration::try_from_secs_f64(played_ms / 1000.0)
                    .map_err(|_| BadMessage(format!("playback: `played_ms` is {played_ms}")))?;
                ClientEvent::Playback(played)
            }
            Control::Recording { on } => ClientEvent::Recording(on),
            Control::Ping { id } => {
                // It goes back, and a client that reads nothing would have it kept.
                let length = id.as_ref().map_or(0, |id| id.to_string().len());
                if length > PING_ID_BYTES {
                    let problem = format!("has {length} bytes, at most {PING_ID_BYTES} are taken");
                    return Err(BadMessage(format!("ping: `id` {problem}")));
                }
                ClientEvent::Ping(id)
            }
            Control::End {} => ClientEvent::End,
        }))
    }
}

#[cfg(test)]
mod tests;
