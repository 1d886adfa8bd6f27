//! Events for the tests of hooks and observers, which are functions of them.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    EndReason, HandOverPhase, RealtimeAgentEvent, RealtimeAudioLevelEvent, RealtimeBargeInEvent,
    RealtimeErrorEvent, RealtimeHandOverEvent, RealtimeResponseEvent, RealtimeSessionEndedEvent,
    RealtimeSessionStartedEvent, RealtimeSpeechEvent, RealtimeTextInjectedEvent,
    RealtimeToolCallEvent, RealtimeToolProgressEvent, RealtimeToolResultEvent,
    RealtimeTranscriptionEvent, RealtimeTurnEvent, ResponsePhase,
};
use crate::{
    id::CallId,
    provider::Role,
    session::RealtimeSession,
    stats::{SessionStats, TurnLatency},
};

/// Of each event: what it has to be given, and what the rest of it is at first.
macro_rules! constructors {
    ($($(#[$doc:meta])* $event:ident($($given:ident: $type:ty),*) { $($field:ident: $first:expr),* })+) => {$(
        impl $event {
            $(#[$doc])*
            ///
            /// Its time is now. Hooks and observers get theirs from the engine; this is for their tests.
            pub fn new(session: RealtimeSession, $($given: $type),*) -> Self {
                Self {
                    session,
                    $($given: $given.into(),)*
                    $($field: $first,)*
                    timestamp: Timestamp::now(),
                }
            }
        }
    )+};
}

constructors! {
    /// A final of these words, which interrupted nothing and were not interrupted.
    RealtimeTranscriptionEvent(role: Role, text: impl Into<String>) {
        is_final: true,
        was_barge_in: false,
        item_id: None
    }
    /// The user began or stopped to speak.
    RealtimeSpeechEvent(speaking: bool) {}
    /// A response began or ended, with no word of what it cost.
    RealtimeResponseEvent(phase: ResponsePhase) { usage: None }
    /// A hand-over began or is done.
    RealtimeHandOverEvent(phase: HandOverPhase) {}
    /// This agent speaks, and none did before.
    RealtimeAgentEvent(to: Option<Arc<str>>) { from: None }
    /// An answer was interrupted of which so much, and these words, had been heard.
    RealtimeBargeInEvent(heard: Duration, heard_text: impl Into<String>) {}
    /// The model wants this tool to run.
    RealtimeToolCallEvent(
        tool_call_id: impl Into<CallId>,
        name: impl Into<String>,
        arguments: Map<String, Value>
    ) {}
    /// A running tool tells this.
    RealtimeToolProgressEvent(
        tool_call_id: impl Into<CallId>,
        name: impl Into<String>,
        progress: impl Into<String>
    ) {}
    /// A call of the tool was answered so; without arguments it was refused. It did not fail.
    RealtimeToolResultEvent(
        tool_call_id: impl Into<CallId>,
        name: impl Into<String>,
        arguments: Option<Map<String, Value>>,
        result: impl Into<String>
    ) { is_error: false }
    /// Text was given to the AI, which is to answer it.
    RealtimeTextInjectedEvent(role: Role, text: impl Into<String>) { silent: false }
    /// The provider failed at something, and the session goes on.
    RealtimeErrorEvent(code: impl Into<String>, message: impl Into<String>) { is_fatal: false }
    /// A level of this side was measured, in dBFS.
    RealtimeAudioLevelEvent(who: Role, level_dbfs: f32) {}
    /// A question was answered after so long.
    RealtimeTurnEvent(latency: TurnLatency) {}
    /// A session began.
    RealtimeSessionStartedEvent() {}
    /// A session ended for this reason after so long; it came to nothing.
    RealtimeSessionEndedEvent(reason: EndReason, duration: Duration) {
        stats: Box::<SessionStats>::default()
    }
}
