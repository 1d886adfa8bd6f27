//! What a client leg's crate implements.
//!
//! A transport translates between its wire and [`ClientEvent`]s and [`ClientCommand`]s. Pacing,
//! barge-in, mute and limits on what may be queued are the call engine's.

use std::{any::Any, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde_json::{Map, Value};

pub use crate::error::TransportError;
use crate::{
    audio::check_rate,
    client_protocol::{ServerMessage, json},
    error::ConfigError,
    quiet::{bytes, characters, debug_quietly},
    session::RealtimeSession,
};

/// A way for clients to bring their audio. One value serves many sessions.
#[async_trait]
pub trait RealtimeAudioTransport: Send + Sync + 'static {
    /// The name it is registered by, such as `websocket`.
    fn name(&self) -> &str;

    /// Takes an open client connection for a session. `offer` holds the provider's rates: a link
    /// whose client has no wish of its own should take them, and nothing is resampled.
    async fn accept(
        &self,
        session: &RealtimeSession,
        connection: Connection,
        offer: AudioOffer,
    ) -> Result<ClientLink, TransportError>;
}

/// A client connection of any type, on its way to the transport that knows the type.
pub struct Connection {
    value: Box<dyn Any + Send>,
    type_name: &'static str,
}

impl Connection {
    /// Wraps whatever the transport takes.
    pub fn new<T: Send + 'static>(value: T) -> Self {
        Self {
            value: Box::new(value),
            type_name: std::any::type_name::<T>(),
        }
    }

    /// Takes it out again, for the transport that expects a `T`.
    pub fn downcast<T: 'static>(self) -> Result<T, TransportError> {
        match self.value.downcast::<T>() {
            Ok(value) => Ok(*value),
            Err(_) => Err(TransportError::WrongConnection {
                expected: std::any::type_name::<T>(),
                given: self.type_name,
            }),
        }
    }
}

/// The rates that need no resampling, in Hz.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioOffer {
    /// What the provider takes: best for the client's microphone.
    pub input_rate: u32,
    /// What the provider gives: best for the client's speaker.
    pub output_rate: u32,
}

/// An accepted client.
pub struct ClientLink {
    /// What this client sends and plays.
    pub info: LinkInfo,
    /// Where commands go.
    pub sink: Box<dyn ClientSink>,
    /// What the client says; ends when it is gone. It is polled when the waker of its last
    /// [`Pending`](std::task::Poll::Pending) was woken, and not otherwise.
    pub events: BoxStream<'static, ClientEvent>,
}

/// Facts of one accepted client.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LinkInfo {
    /// Rate of the microphone audio it sends, in Hz: 8000 to 48 000, and a multiple of 25
    /// ([`check_rate`]).
    pub input_rate: u32,
    /// Rate of the audio it plays, in Hz; as above.
    pub output_rate: u32,
    /// How the client encodes its audio, announced in `session_started`.
    pub input_encoding: String,
    /// How its audio is encoded on the way to it.
    pub output_encoding: String,
    /// How far ahead of real time audio may be sent (contract A5); less than one frame of 20 ms
    /// means one frame. The host may have set another for its channel.
    pub lead: Duration,
    /// How late a frame may come without a gap being heard: what the client keeps in store against
    /// that. A frame that is late by no more than this is followed at once by all that is overdue,
    /// so the client's store is filled up again; after a longer gap audio starts anew. Zero, for a
    /// client that plays what it has: every gap is heard, and all that follows is that much later.
    pub jitter_buffer: Duration,
    /// What authentication said; becomes part of the session's metadata, except for keys that the host has
    /// given it.
    pub metadata: Map<String, Value>,
    /// The name of the transport it came by, where that is not the channel's: one that passes
    /// connections on to others says to which. For traces.
    pub transport: Option<String>,
}

impl LinkInfo {
    /// A link with these rates in Hz, PCM16 both ways, a lead of 200 ms and no jitter buffer.
    pub fn new(input_rate: u32, output_rate: u32) -> Self {
        Self {
            input_rate,
            output_rate,
            input_encoding: "pcm16".into(),
            output_encoding: "pcm16".into(),
            lead: Duration::from_millis(200),
            jitter_buffer: Duration::ZERO,
            metadata: Map::new(),
            transport: None,
        }
    }

    /// Refuses rates that no client can mean (contract A2).
    pub(crate) fn check_rates(&self) -> Result<(), ConfigError> {
        check_rate("link.input_rate", self.input_rate)?;
        check_rate("link.output_rate", self.output_rate)?;
        Ok(())
    }
}

/// The sending half of a client link. Dropping it closes the link.
#[async_trait]
pub trait ClientSink: Send + 'static {
    /// Sends one command. Waiting here is back-pressure: the engine queues, bounded, behind it.
    async fn send(&mut self, command: ClientCommand) -> Result<(), TransportError>;

    /// Closes the link. Called once, last; the engine bounds the time it may take.
    async fn close(&mut self, reason: &str) {
        let _ = reason;
    }
}

/// What the engine asks of a client link. Its Debug output leaves out what was said.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum ClientCommand {
    /// Audio to play: PCM16 mono at [`LinkInfo::output_rate`], paced by the engine. When the
    /// provider gives that rate, in frames of 20 ms; a shorter one only where a response ends, or
    /// where nothing followed in time. A resampler between them makes frames of about 20 ms.
    Audio(Bytes),
    /// Forget all audio that has not been played, here and at the client (`clear_audio`).
    Clear,
    /// The response has been sent whole: flush what waits to fill a frame.
    EndOfResponse,
    /// A message for the client's page.
    Message(ServerMessage),
}

debug_quietly!(ClientCommand {
    Audio(pcm = bytes(pcm)),
    Clear,
    EndOfResponse,
    Message(message),
});

/// What a client says. Its Debug output leaves out what was said.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// Microphone audio: PCM16 mono at [`LinkInfo::input_rate`]. Half a sample is not passed on: the
    /// engine drops such a frame and counts it (contract A1).
    Audio(Bytes),
    /// Silence in the same form, which the transport made up because nothing came from the client for a
    /// while. The AI hears it; it is not recorded, and nothing that the client said.
    Filling(Bytes),
    /// Text for the AI, as if the user had said it.
    Text(String),
    /// A message for the host's program, such as a key of a telephone: its
    /// [`on_client_message`](crate::RealtimeVoiceChannel::on_client_message). The AI gets nothing of it.
    Message(Map<String, Value>),
    /// Stop the AI's present answer.
    Interrupt,
    /// The client switched its microphone off or on.
    Mute(bool),
    /// How much audio the client has played since the later of `session_started` and the last
    /// `clear_audio`.
    Playback(Duration),
    /// Wants the call to be recorded, or not from now on.
    Recording(bool),
    /// Wants a `pong` with the same id.
    Ping(Option<Value>),
    /// Wants to end the session.
    End,
    /// Something was dropped by the transport, and why (contract A1): counted, not fatal.
    Dropped(DropReason),
    /// The client broke a rule so badly that the session must end, with the reason it is given.
    Violation(String),
}

debug_quietly!(ClientEvent {
    Audio(pcm = bytes(pcm)),
    Filling(pcm = bytes(pcm)),
    Text(text = characters(text)),
    Message(message = bytes(json(message).as_bytes())),
    Interrupt,
    Mute(muted),
    Playback(played),
    Recording(on),
    Ping(id),
    End,
    Dropped(reason),
    Violation(rule),
});

/// Why something a client sent was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// PCM16 with half a sample.
    OddLength,
    /// An audio frame over the limit.
    OversizedFrame,
    /// Any other message over the limit. The engine tells the client, who cannot know otherwise what
    /// became of it.
    OversizedMessage {
        /// The most that is taken, in bytes.
        limit: usize,
    },
    /// Not JSON, not base64, or JSON of the wrong shape.
    Undecodable,
    /// More audio than real time allows, more text than anybody types, or more messages for the host
    /// (contract C5).
    TooFast,
}

impl DropReason {
    /// The reason as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OddLength => "odd_length",
            Self::OversizedFrame => "oversized_frame",
            Self::OversizedMessage { .. } => "oversized_message",
            Self::Undecodable => "undecodable",
            Self::TooFast => "too_fast",
        }
    }
}
