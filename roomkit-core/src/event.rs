//! What is reported of a live session: the payloads of hooks and observers.

mod new;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    id::{CallId, ItemId},
    provider::{Role, Usage},
    session::RealtimeSession,
    stats::{SessionStats, TurnLatency},
};

/// Words of either side.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeTranscriptionEvent {
    /// The session.
    pub session: RealtimeSession,
    /// For a partial only what is new, for a final the whole text.
    pub text: String,
    /// Who says it.
    pub role: Role,
    /// Whether the text is settled.
    pub is_final: bool,
    /// User: the utterance interrupted the AI. Assistant: the answer was interrupted, and `text`
    /// is what was heard of it (contract T4).
    pub was_barge_in: bool,
    /// The provider's id of the utterance.
    pub item_id: Option<ItemId>,
    /// When the speech began, as far as that is known; otherwise when the words came.
    pub timestamp: Timestamp,
}

/// The user began or stopped to speak, as the provider noticed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeSpeechEvent {
    /// The session.
    pub session: RealtimeSession,
    /// Began, or stopped.
    pub speaking: bool,
    /// When.
    pub timestamp: Timestamp,
}

/// The client's own program tells the host's something, such as a key of a telephone.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeClientMessageEvent {
    /// The session.
    pub session: RealtimeSession,
    /// What it tells, in its own form. Its word only: nobody has looked at it.
    pub message: Map<String, Value>,
    /// When it came.
    pub timestamp: Timestamp,
}

/// A response of the AI began or ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeResponseEvent {
    /// The session.
    pub session: RealtimeSession,
    /// Where the response is.
    pub phase: ResponsePhase,
    /// What it cost, at its end and where the provider tells.
    pub usage: Option<Usage>,
    /// When.
    pub timestamp: Timestamp,
}

/// Where a response is in its life; each start has exactly one end (contract T6).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponsePhase {
    /// It began.
    Started,
    /// It was said in full.
    Completed,
    /// It was interrupted by the user or on request.
    Interrupted,
    /// It failed, or was cut short, with the reason.
    Failed(String),
    /// Its connection was lost.
    Lost,
}

/// The conversation moves from one provider connection to another (contracts H1, H2).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeHandOverEvent {
    /// The session.
    pub session: RealtimeSession,
    /// Begun, or done.
    pub phase: HandOverPhase,
    /// When.
    pub timestamp: Timestamp,
}

/// Where a hand-over is; each start has exactly one end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandOverPhase {
    /// The user's audio is held from here on, and a new connection is being opened.
    Started {
        /// Why.
        reason: HandOverReason,
    },
    /// It is over.
    Finished {
        /// Why it was begun.
        reason: HandOverReason,
        /// How it ended.
        outcome: HandOverOutcome,
        /// From its start to here.
        duration: Duration,
        /// How much of the user's audio was held meanwhile, or is sent once more because the old
        /// connection may not have understood it.
        held: Duration,
        /// How many connections were tried.
        attempts: u32,
    },
}

/// Why a conversation needs another provider connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandOverReason {
    /// The provider said that it will close the connection.
    GoAway,
    /// The provider's known limit on a connection's life comes near.
    Expiring,
    /// The connection is as old as the host lets one get.
    MaxAge,
    /// The host asked for it.
    Host,
    /// The session was changed in a way that takes another connection.
    Changed,
    /// The connection was lost, with the error's code.
    Lost(String),
}

impl HandOverReason {
    /// The reason as metrics and framework events have it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::GoAway => "go_away",
            Self::Expiring => "expiring",
            Self::MaxAge => "max_age",
            Self::Host => "host",
            Self::Changed => "changed",
            Self::Lost(_) => "lost",
        }
    }
}

/// What became of a hand-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandOverOutcome {
    /// The provider took up the conversation where it was.
    Resumed,
    /// The conversation was told to the new connection.
    Replayed,
    /// The new connection knows nothing of the conversation: the provider cannot be told.
    Fresh,
    /// No new connection could be had, and the old one is still used.
    Kept,
    /// No new connection could be had, or the session ended meanwhile.
    Failed,
}

impl HandOverOutcome {
    /// The outcome as metrics and framework events have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resumed => "resumed",
            Self::Replayed => "replayed",
            Self::Fresh => "fresh",
            Self::Kept => "kept",
            Self::Failed => "failed",
        }
    }
}

/// Another agent speaks with the caller.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeAgentEvent {
    /// The session.
    pub session: RealtimeSession,
    /// Who spoke before, if that was an agent.
    pub from: Option<Arc<str>>,
    /// Who speaks now.
    pub to: Option<Arc<str>>,
    /// When.
    pub timestamp: Timestamp,
}

/// The user spoke, or asked for silence, while an answer was audible.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeBargeInEvent {
    /// The session.
    pub session: RealtimeSession,
    /// How much of the interrupted item was heard (contract A4).
    pub heard: Duration,
    /// The words heard, as far as the provider sent them.
    pub heard_text: String,
    /// When.
    pub timestamp: Timestamp,
}

/// The model wants a tool to run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeToolCallEvent {
    /// The session.
    pub session: RealtimeSession,
    /// The provider's id of the call.
    pub tool_call_id: CallId,
    /// The tool.
    pub name: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
    /// When.
    pub timestamp: Timestamp,
}

/// A running tool tells how far it has come.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeToolProgressEvent {
    /// The session.
    pub session: RealtimeSession,
    /// The provider's id of the call.
    pub tool_call_id: CallId,
    /// The tool.
    pub name: String,
    /// What it tells.
    pub progress: String,
    /// When.
    pub timestamp: Timestamp,
}

/// A tool call has an answer.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeToolResultEvent {
    /// The session.
    pub session: RealtimeSession,
    /// The provider's id of the call.
    pub tool_call_id: CallId,
    /// The tool.
    pub name: String,
    /// What the tool was called with, after the gate (contract K5). `None`: the call was refused there,
    /// and nothing ran.
    pub arguments: Option<Map<String, Value>>,
    /// What the model will read: JSON or text.
    pub result: String,
    /// The result says that the call failed or was refused.
    pub is_error: bool,
    /// When.
    pub timestamp: Timestamp,
}

/// Text was given to the AI.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeTextInjectedEvent {
    /// The session.
    pub session: RealtimeSession,
    /// The text.
    pub text: String,
    /// In whose name.
    pub role: Role,
    /// The AI was not asked to answer it.
    pub silent: bool,
    /// When.
    pub timestamp: Timestamp,
}

/// The provider failed at something.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeErrorEvent {
    /// The session.
    pub session: RealtimeSession,
    /// The provider's code.
    pub code: String,
    /// What happened.
    pub message: String,
    /// The session ends with it.
    pub is_fatal: bool,
    /// When.
    pub timestamp: Timestamp,
}

/// How loud a direction is; at most ten a second for each session and direction.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeAudioLevelEvent {
    /// The session.
    pub session: RealtimeSession,
    /// Whose audio: the user's or the assistant's.
    pub who: Role,
    /// Root mean square level in dBFS, −60 (silence) to 0 (full scale).
    pub level_dbfs: f32,
    /// When.
    pub timestamp: Timestamp,
}

/// A question of the user's was answered, and this is how long it took.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeTurnEvent {
    /// The session.
    pub session: RealtimeSession,
    /// How long the user waited.
    pub latency: TurnLatency,
    /// When the first of the answer was sent.
    pub timestamp: Timestamp,
}

/// A session began.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeSessionStartedEvent {
    /// The session.
    pub session: RealtimeSession,
    /// When.
    pub timestamp: Timestamp,
}

/// A session is over.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RealtimeSessionEndedEvent {
    /// The session.
    pub session: RealtimeSession,
    /// Why.
    pub reason: EndReason,
    /// How long it was active.
    pub duration: Duration,
    /// What it came to: turns and how long they took, interruptions, moves, tokens.
    pub stats: Box<SessionStats>,
    /// When.
    pub timestamp: Timestamp,
}

/// Why a session ended (contract S3). [`as_str`](Self::as_str) is what the client reads.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// The host ended it.
    Host,
    /// The client asked for it.
    ClientEnded,
    /// The client is gone.
    ClientLeft,
    /// The client did not take what was sent to it.
    ClientTooSlow,
    /// The client broke a rule, with the rule.
    ClientViolation(String),
    /// The provider failed, with its code.
    Provider(String),
    /// The host's hooks and observers did not keep up with the conversation.
    HostTooSlow,
    /// The room was closed.
    RoomClosed,
    /// The channel was detached from the room.
    Detached,
    /// Nobody spoke for too long (contract S6).
    IdleTimeout,
    /// It lasted as long as it may (contract S6).
    MaxDuration,
    /// The process or the kit shuts down.
    Shutdown,
    /// A defect in roomkit or a plugin.
    Internal,
}

impl EndReason {
    /// The reason as clients and metrics read it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Host => "host",
            Self::ClientEnded => "client_ended",
            Self::ClientLeft => "client_left",
            Self::ClientTooSlow => "client_too_slow",
            Self::ClientViolation(_) => "client_violation",
            Self::Provider(_) => "provider_error",
            Self::HostTooSlow => "host_too_slow",
            Self::RoomClosed => "room_closed",
            Self::Detached => "detached",
            Self::IdleTimeout => "idle_timeout",
            Self::MaxDuration => "max_duration",
            Self::Shutdown => "shutdown",
            Self::Internal => "internal",
        }
    }
}
