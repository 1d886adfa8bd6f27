//! What the kit itself reports: rooms, channels, sessions, and what went wrong with them.
//!
//! Framework events are for operators and programs that watch a whole kit; what was said in a room
//! is on its timeline, not here.

use std::{
    fmt,
    sync::{PoisonError, RwLock},
};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::broadcast;

use crate::id::{ChannelId, RoomId, SessionId};

/// How many events a receiver may fall behind before it misses some.
const CAPACITY: usize = 1024;

/// One report of the kit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FrameworkEvent {
    /// What happened.
    #[serde(rename = "type")]
    pub kind: FrameworkEventKind,
    /// The room it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_id: Option<RoomId>,
    /// The channel it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<ChannelId>,
    /// The voice session it concerns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// When.
    pub at: Timestamp,
    /// Details, such as `reason`.
    pub data: Map<String, Value>,
}

impl FrameworkEvent {
    /// An event of this kind, now.
    pub fn new(kind: FrameworkEventKind) -> Self {
        Self {
            kind,
            room_id: None,
            channel_id: None,
            session_id: None,
            at: Timestamp::now(),
            data: Map::new(),
        }
    }

    /// Names the room.
    #[must_use]
    pub fn room(mut self, room: impl Into<RoomId>) -> Self {
        self.room_id = Some(room.into());
        self
    }

    /// Names the channel.
    #[must_use]
    pub fn channel(mut self, channel: impl Into<ChannelId>) -> Self {
        self.channel_id = Some(channel.into());
        self
    }

    /// Names the session.
    #[must_use]
    pub fn session(mut self, session: impl Into<SessionId>) -> Self {
        self.session_id = Some(session.into());
        self
    }

    /// Adds a detail. Never a key, token, audio or words of a conversation (contracts X1, X6).
    #[must_use]
    pub fn data(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.data.insert(key.into(), value.into());
        self
    }
}

/// What a [`FrameworkEvent`] reports; displayed and serialized in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FrameworkEventKind {
    /// A room was created.
    RoomCreated,
    /// A room was closed.
    RoomClosed,
    /// A closed room was deleted, with its timeline.
    RoomDeleted,
    /// A channel was registered with the kit.
    ChannelRegistered,
    /// A channel was taken out of the kit.
    ChannelUnregistered,
    /// A channel was attached to a room.
    ChannelAttached,
    /// A channel was detached from a room.
    ChannelDetached,
    /// An event was stored as blocked: `blocked_by`, `reason`.
    EventBlocked,
    /// A hook failed or panicked: `hook`, `trigger`, `error`.
    HookError,
    /// A hook took too long: `hook`, `trigger`, `timeout_ms`.
    HookTimeout,
    /// A channel failed to take an event: `index`, `error`. It gets the next one.
    DeliveryFailed,
    /// A channel or subscriber did not keep up and gets nothing more: `reason`.
    ChannelDisconnected,
    /// A channel failed while it was attached, detached, changed or closed: `operation`, `error`.
    ChannelFailed,
    /// An event was blocked because too many automatic answers preceded it: `chain_depth`.
    ChainDepthExceeded,
    /// The store failed: `operation`, `error`.
    StoreFailed,
    /// A voice session began.
    SessionStarted,
    /// A voice session ended: `reason`, `duration_ms`, `stats` (see [`SessionStats`](crate::stats::SessionStats)).
    SessionEnded,
    /// A conversation began to move to a new provider connection: `reason`, and with `lost` the
    /// error's `code`.
    HandOverStarted,
    /// It has, or could not: `reason`, `outcome`, `duration_ms`, `held_ms`, `attempts`.
    HandOverFinished,
    /// A session's recording began: `by`.
    RecordingStarted,
    /// A session's recording was paused: `by`.
    RecordingPaused,
    /// A session's recording goes on: `by`.
    RecordingResumed,
    /// A session's recording is whole: `duration_ms`, and how many pieces of it are `missed`.
    RecordingFinished,
    /// A session's recording failed, and what came after is not in it: `error`.
    RecordingFailed,
    /// Another agent speaks for a session: `from` (or null), `to`.
    AgentChanged,
    /// A tool call was let through or refused before its handler ran, by a hook or by its name or
    /// arguments: `tool_call_id`, `tool_name` (null if there is no such tool), `allowed`, and as `reason`
    /// what the hook gave for one, `not_declared` or `arguments`.
    BeforeToolUse,
    /// A tool call is over: `tool_call_id`, `tool_name` (as above), and as `outcome` whether it `completed`,
    /// `failed` (which a refusal and a timeout are too) or was `cancelled`.
    ToolCall,
}

impl FrameworkEventKind {
    /// Its name, as serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoomCreated => "room_created",
            Self::RoomClosed => "room_closed",
            Self::RoomDeleted => "room_deleted",
            Self::ChannelRegistered => "channel_registered",
            Self::ChannelUnregistered => "channel_unregistered",
            Self::ChannelAttached => "channel_attached",
            Self::ChannelDetached => "channel_detached",
            Self::EventBlocked => "event_blocked",
            Self::HookError => "hook_error",
            Self::HookTimeout => "hook_timeout",
            Self::DeliveryFailed => "delivery_failed",
            Self::ChannelDisconnected => "channel_disconnected",
            Self::ChannelFailed => "channel_failed",
            Self::ChainDepthExceeded => "chain_depth_exceeded",
            Self::StoreFailed => "store_failed",
            Self::SessionStarted => "session_started",
            Self::SessionEnded => "session_ended",
            Self::HandOverStarted => "hand_over_started",
            Self::HandOverFinished => "hand_over_finished",
            Self::RecordingStarted => "recording_started",
            Self::RecordingPaused => "recording_paused",
            Self::RecordingResumed => "recording_resumed",
            Self::RecordingFinished => "recording_finished",
            Self::RecordingFailed => "recording_failed",
            Self::AgentChanged => "agent_changed",
            Self::BeforeToolUse => "before_tool_use",
            Self::ToolCall => "tool_call",
        }
    }
}

impl fmt::Display for FrameworkEventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A receiver of the kit's reports, from the moment it was asked for.
#[derive(Debug)]
pub struct FrameworkEvents {
    receiver: broadcast::Receiver<FrameworkEvent>,
    missed: u64,
}

impl FrameworkEvents {
    /// The next report; `None` once the kit is closed. A receiver that falls more than a thousand
    /// events behind misses the oldest; [`missed`](Self::missed) counts them.
    pub async fn recv(&mut self) -> Option<FrameworkEvent> {
        loop {
            match self.receiver.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(count)) => self.missed += count,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// How many reports this receiver has missed so far.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}

/// The sending side; gone once the kit is closed, so that receivers see the end.
#[derive(Debug)]
pub(crate) struct FrameworkBus(RwLock<Option<broadcast::Sender<FrameworkEvent>>>);

impl FrameworkBus {
    pub(crate) fn new() -> Self {
        Self(RwLock::new(Some(broadcast::Sender::new(CAPACITY))))
    }

    pub(crate) fn emit(&self, event: FrameworkEvent) {
        let sender = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = &*sender
            && sender.receiver_count() > 0
        {
            // Fails only when the last receiver leaves at this moment: nobody is interested.
            let _ = sender.send(event);
        }
    }

    pub(crate) fn receiver(&self) -> FrameworkEvents {
        let sender = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let receiver = match &*sender {
            Some(sender) => sender.subscribe(),
            None => broadcast::Sender::new(1).subscribe(),
        };
        FrameworkEvents {
            receiver,
            missed: 0,
        }
    }

    pub(crate) fn close(&self) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_receiver_that_lags_counts_what_it_missed_and_goes_on() {
        let bus = FrameworkBus::new();
        let mut events = bus.receiver();
        for number in 0..(CAPACITY as u64 + 10) {
            bus.emit(FrameworkEvent::new(FrameworkEventKind::RoomCreated).data("number", number));
        }
        let first = events.recv().await.unwrap();
        assert_eq!(first.data["number"], 10);
        assert_eq!(events.missed(), 10);
    }

    #[tokio::test]
    async fn s7_receivers_see_the_end_when_the_bus_closes() {
        let bus = FrameworkBus::new();
        let mut before = bus.receiver();
        bus.close();
        let mut after = bus.receiver();
        bus.emit(FrameworkEvent::new(FrameworkEventKind::RoomCreated));
        assert_eq!(before.recv().await, None);
        assert_eq!(after.recv().await, None);
    }

    #[test]
    fn the_serialized_name_is_the_displayed_one() {
        let kind = FrameworkEventKind::ChainDepthExceeded;
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.to_string());
    }
}
