//! What a place that keeps recordings implements.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use super::RecordingDecision;
use crate::{
    id::{ChannelId, ItemId, ParticipantId, RoomId, SessionId},
    provider::Role,
    session::RealtimeSession,
    stats::milliseconds,
};

/// A place that keeps recordings: files, a bucket, a queue. One value serves many sessions.
#[async_trait]
pub trait RecordingSink: Send + Sync + 'static {
    /// The name it is registered by, such as `ogg_opus`.
    fn name(&self) -> &str;

    /// The rate it wants, in Hz.
    fn sample_rate(&self) -> u32 {
        24_000
    }

    /// Begins the recording of a session. The call does not wait for it.
    async fn open(&self, info: RecordingInfo) -> Result<Box<dyn RecordingWriter>, RecordingError>;
}

/// Keeps one recording. Its calls come one after the other, none may take longer than 10 s, and the
/// first that fails or panics is the last: the recording is over, and the call goes on.
///
/// Dropped without [`finish`](Self::finish) it was cut off; what it was given is to stay readable.
#[async_trait]
pub trait RecordingWriter: Send + 'static {
    /// What follows: PCM16 little-endian at [`RecordingInfo::sample_rate`], left and right sample
    /// in turn. Blocks come several times a second and leave no time out.
    async fn audio(&mut self, stereo: Bytes) -> Result<(), RecordingError>;

    /// Something that happened. Marks come in the order in which they are known: the words of an
    /// utterance later than its audio.
    async fn mark(&mut self, mark: RecordingMark) -> Result<(), RecordingError>;

    /// That was all. Together with what still waits to be written it may take 8 s; what takes longer,
    /// an upload say, is better done in a task of its own.
    async fn finish(&mut self, summary: RecordingSummary) -> Result<(), RecordingError>;
}

/// A recording that could not be made or went wrong, in words that hold no audio and no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RecordingError(String);

impl RecordingError {
    /// A failure with this explanation.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// Whose recording it is, and of what form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecordingInfo {
    /// The session.
    pub session_id: SessionId,
    /// Its room.
    pub room_id: RoomId,
    /// The caller, on the left.
    pub participant_id: ParticipantId,
    /// The voice channel.
    pub channel_id: ChannelId,
    /// The provider whose AI is on the right.
    pub provider: String,
    /// The wall clock at the recording's beginning.
    pub started_at: Timestamp,
    /// Samples of each side in a second.
    pub sample_rate: u32,
    /// Who consented.
    pub consent: RecordingDecision,
}

impl RecordingInfo {
    /// A recording of this session that begins now, by the settings' consent. The provider is not
    /// named yet.
    pub fn new(session: &RealtimeSession, sample_rate: u32) -> Self {
        Self {
            session_id: session.id().clone(),
            room_id: session.room_id().clone(),
            participant_id: session.participant_id().clone(),
            channel_id: session.channel_id().clone(),
            provider: String::new(),
            started_at: Timestamp::now(),
            sample_rate,
            consent: RecordingDecision::Settings,
        }
    }
}

/// Something that happened in a recorded call. Its times are in ms since the recording began.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RecordingMark {
    /// When it happened; for words, when they began to be said.
    #[serde(rename = "at_ms", serialize_with = "milliseconds")]
    pub at: Duration,
    /// What happened.
    #[serde(flatten)]
    pub kind: RecordingMarkKind,
}

impl RecordingMark {
    /// This, so long after the recording's beginning.
    pub fn new(at: Duration, kind: RecordingMarkKind) -> Self {
        Self { at, kind }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecordingMarkKind {
    /// Somebody began or stopped to speak.
    Speaking {
        /// Who.
        who: Role,
        /// Began, or stopped.
        speaking: bool,
    },
    /// Words that were said, after the host's hooks. Those that were said, even in part, while
    /// nothing was recorded are left out.
    Transcript {
        /// Who said them.
        role: Role,
        /// The words.
        text: String,
        /// The answer was cut short: this is what was heard of it.
        interrupted: bool,
        /// The provider's id of the utterance.
        #[serde(skip_serializing_if = "Option::is_none")]
        item_id: Option<ItemId>,
    },
    /// An answer was cut short.
    BargeIn {
        /// How much of it was heard.
        #[serde(rename = "heard_ms", serialize_with = "milliseconds")]
        heard: Duration,
    },
    /// The conversation began to move to another provider connection.
    HandOverStarted {
        /// Why.
        reason: String,
    },
    /// It has moved, or could not.
    HandOverFinished {
        /// How it ended.
        outcome: String,
    },
    /// What is said from here on is not kept.
    Paused {
        /// Who wanted it.
        by: RecordingDecision,
    },
    /// The recording goes on.
    Resumed {
        /// Who wanted it.
        by: RecordingDecision,
    },
    /// The sink was too slow: so many pieces of audio or marks are missing.
    Missed {
        /// How many since the last such mark.
        pieces: u64,
    },
}

/// What a recording came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecordingSummary {
    /// How long it is, pauses included.
    #[serde(rename = "duration_ms", serialize_with = "milliseconds")]
    pub duration: Duration,
    /// How many pieces of audio or marks are missing because the sink was too slow, or a client's
    /// audio came too late.
    pub missed: u64,
}

impl RecordingSummary {
    /// A recording of this length from which so much is missing.
    pub fn new(duration: Duration, missed: u64) -> Self {
        Self { duration, missed }
    }
}
