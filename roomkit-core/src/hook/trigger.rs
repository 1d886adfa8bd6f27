//! The moments a hook can be attached to, and what it is given there.

use std::{fmt, sync::Arc};

use super::list::HookList;
use crate::{
    event::{
        RealtimeAudioLevelEvent, RealtimeBargeInEvent, RealtimeErrorEvent,
        RealtimeSessionEndedEvent, RealtimeSessionStartedEvent, RealtimeSpeechEvent,
        RealtimeTextInjectedEvent, RealtimeTranscriptionEvent,
    },
    id::{ChannelId, RoomId},
    room::RoomEvent,
};

/// A moment a hook can be attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Trigger {
    /// An event is about to be written to a room.
    BeforeBroadcast,
    /// An event has been written and handed to the others.
    AfterBroadcast,
    /// A final transcript is about to leave the session.
    Transcription,
    /// A tool is about to run.
    BeforeToolUse,
    /// A tool's result is about to be given to the model.
    ToolResult,
    /// A voice session began.
    SessionStarted,
    /// A voice session ended.
    SessionEnded,
    /// The user began to speak.
    SpeechStart,
    /// The user stopped to speak.
    SpeechEnd,
    /// Words came that are not settled yet.
    PartialTranscription,
    /// The user interrupted the AI.
    BargeIn,
    /// Text was given to the AI.
    TextInjected,
    /// The provider failed at something.
    Error,
    /// A level was measured, at most ten a second for each session and direction.
    AudioLevel,
}

impl Trigger {
    /// How many triggers there are.
    pub(super) const COUNT: usize = 14;

    /// Its place in a table of triggers.
    pub(super) fn slot(self) -> usize {
        self as usize
    }

    /// Its name, in snake case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeBroadcast => "before_broadcast",
            Self::AfterBroadcast => "after_broadcast",
            Self::Transcription => "transcription",
            Self::BeforeToolUse => "before_tool_use",
            Self::ToolResult => "tool_result",
            Self::SessionStarted => "session_started",
            Self::SessionEnded => "session_ended",
            Self::SpeechStart => "speech_start",
            Self::SpeechEnd => "speech_end",
            Self::PartialTranscription => "partial_transcription",
            Self::BargeIn => "barge_in",
            Self::TextInjected => "text_injected",
            Self::Error => "error",
            Self::AudioLevel => "audio_level",
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where something happens: what a hook's filters are compared with. Made by
/// [`Hooks::scope`](super::Hooks::scope), and kept for as long as hooks are to run there.
#[derive(Debug, Clone)]
pub struct HookScope {
    /// The room.
    pub room_id: RoomId,
    /// The channel.
    pub channel_id: ChannelId,
    /// The channel's kind.
    pub channel_kind: Arc<str>,
    /// Those of the room.
    pub(super) hooks: Option<Arc<HookList>>,
}

/// What the deciding hooks made of something.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict<T> {
    /// It may happen, in this form.
    Allowed(T),
    /// It must not happen.
    Blocked {
        /// The hook that said so.
        by: String,
        /// Its reason.
        reason: String,
        /// What it is, as the hooks before left it.
        event: T,
    },
}

/// Something that happened, for the notifying hooks.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// An event was written and handed to the others.
    AfterBroadcast(Arc<RoomEvent>),
    /// A voice session began.
    SessionStarted(RealtimeSessionStartedEvent),
    /// A voice session ended.
    SessionEnded(RealtimeSessionEndedEvent),
    /// The user began to speak.
    SpeechStart(RealtimeSpeechEvent),
    /// The user stopped to speak.
    SpeechEnd(RealtimeSpeechEvent),
    /// Words came that are not settled yet.
    PartialTranscription(RealtimeTranscriptionEvent),
    /// The user interrupted the AI.
    BargeIn(RealtimeBargeInEvent),
    /// Text was given to the AI.
    TextInjected(RealtimeTextInjectedEvent),
    /// The provider failed at something.
    Error(RealtimeErrorEvent),
    /// A level was measured.
    AudioLevel(RealtimeAudioLevelEvent),
}

impl Notice {
    /// The trigger whose hooks get it.
    pub fn trigger(&self) -> Trigger {
        match self {
            Self::AfterBroadcast(_) => Trigger::AfterBroadcast,
            Self::SessionStarted(_) => Trigger::SessionStarted,
            Self::SessionEnded(_) => Trigger::SessionEnded,
            Self::SpeechStart(_) => Trigger::SpeechStart,
            Self::SpeechEnd(_) => Trigger::SpeechEnd,
            Self::PartialTranscription(_) => Trigger::PartialTranscription,
            Self::BargeIn(_) => Trigger::BargeIn,
            Self::TextInjected(_) => Trigger::TextInjected,
            Self::Error(_) => Trigger::Error,
            Self::AudioLevel(_) => Trigger::AudioLevel,
        }
    }
}
