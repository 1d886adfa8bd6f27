//! A voice session as the host sees it.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    id::{ChannelId, ParticipantId, RoomId, SessionId},
    recording::RecordingState,
    stats::SessionStats,
};

/// Where a session is in its life (contract S2).
///
/// `Connecting → Active → Ended` or `Connecting → Ended`; nothing leaves `Ended`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RealtimeSessionState {
    /// The client leg and the provider are being set up.
    Connecting,
    /// Audio flows.
    Active,
    /// Over, for whatever reason; final.
    Ended,
}

/// One caller connected to one speech-to-speech AI. A cheap handle: clones name the same session.
#[derive(Clone)]
pub struct RealtimeSession(Arc<Inner>);

struct Inner {
    id: SessionId,
    room_id: RoomId,
    participant_id: ParticipantId,
    channel_id: ChannelId,
    created_at: Timestamp,
    live: Mutex<Live>,
}

struct Live {
    state: RealtimeSessionState,
    provider_session_id: Option<String>,
    manual_turns: Option<bool>,
    metadata: Map<String, Value>,
    stats: SessionStats,
    recording: RecordingState,
    /// The host has granted its recording, by its settings or later, whether or not it has begun.
    recording_granted: bool,
    agent: Option<Arc<str>>,
}

impl RealtimeSession {
    /// A session in state [`Connecting`](RealtimeSessionState::Connecting) with a fresh id.
    ///
    /// Hosts get sessions from [`RealtimeVoiceChannel`](crate::RealtimeVoiceChannel); this is for
    /// the tests of providers and transports.
    pub fn new(
        room_id: impl Into<RoomId>,
        participant_id: impl Into<ParticipantId>,
        channel_id: impl Into<ChannelId>,
        metadata: Map<String, Value>,
    ) -> Self {
        Self(Arc::new(Inner {
            id: SessionId::random(),
            room_id: room_id.into(),
            participant_id: participant_id.into(),
            channel_id: channel_id.into(),
            created_at: Timestamp::now(),
            live: Mutex::new(Live {
                state: RealtimeSessionState::Connecting,
                provider_session_id: None,
                manual_turns: None,
                metadata,
                stats: SessionStats::default(),
                recording: RecordingState::Off,
                recording_granted: false,
                agent: None,
            }),
        }))
    }

    /// The session's id.
    pub fn id(&self) -> &SessionId {
        &self.0.id
    }

    /// The room whose conversation this is.
    pub fn room_id(&self) -> &RoomId {
        &self.0.room_id
    }

    /// Who speaks on the client's side.
    pub fn participant_id(&self) -> &ParticipantId {
        &self.0.participant_id
    }

    /// The voice channel the session belongs to.
    pub fn channel_id(&self) -> &ChannelId {
        &self.0.channel_id
    }

    /// When the session was asked for.
    pub fn created_at(&self) -> Timestamp {
        self.0.created_at
    }

    /// The present state.
    pub fn state(&self) -> RealtimeSessionState {
        self.live().state
    }

    /// The provider's own name for the session, once it told one.
    pub fn provider_session_id(&self) -> Option<String> {
        self.live().provider_session_id.clone()
    }

    /// What the host and the transport's authentication said of this session.
    pub fn metadata(&self) -> Map<String, Value> {
        self.live().metadata.clone()
    }

    /// What it has come to so far: turns and how long they took, interruptions, tokens.
    pub fn stats(&self) -> SessionStats {
        self.live().stats
    }

    /// The agent that speaks with the caller now, if agents do.
    pub fn agent(&self) -> Option<Arc<str>> {
        self.live().agent.clone()
    }

    pub(crate) fn set_agent(&self, agent: Option<Arc<str>>) {
        self.live().agent = agent;
    }

    pub(crate) fn set_stats(&self, stats: SessionStats) {
        self.live().stats = stats;
    }

    /// Whether it is recorded at this moment.
    pub fn recording(&self) -> RecordingState {
        self.live().recording
    }

    pub(crate) fn set_recording(&self, state: RecordingState) {
        self.live().recording = state;
    }

    /// Whether the host has consented to its recording, by its settings or later. One that is about to
    /// begin is then recorded as soon as it has, unless that is
    /// [paused](crate::RealtimeVoiceChannel::pause_recording) by then.
    pub fn recording_granted(&self) -> bool {
        self.live().recording_granted
    }

    pub(crate) fn grant_recording(&self) {
        self.live().recording_granted = true;
    }

    pub(crate) fn set_provider_session_id(&self, id: Option<String>) {
        self.live().provider_session_id = id;
    }

    /// Whether the host may say when the user speaks, once a connection has told.
    pub(crate) fn manual_turns(&self) -> Option<bool> {
        self.live().manual_turns
    }

    pub(crate) fn set_manual_turns(&self, are_manual: bool) {
        self.live().manual_turns = Some(are_manual);
    }

    /// Adds what the link knows of its client. What the host has said stays, for the link may have what it
    /// says from the client.
    pub(crate) fn add_metadata(&self, of_link: &Map<String, Value>) {
        let metadata = &mut self.live().metadata;
        for (key, value) in of_link {
            if !metadata.contains_key(key) {
                metadata.insert(key.clone(), value.clone());
            }
        }
    }

    /// `Connecting → Active`; false when the session is past that.
    pub(crate) fn activate(&self) -> bool {
        let mut live = self.live();
        let first = live.state == RealtimeSessionState::Connecting;
        if first {
            live.state = RealtimeSessionState::Active;
        }
        first
    }

    /// Any state `→ Ended`; false when it was ended already (contract S3).
    pub(crate) fn end(&self) -> bool {
        let mut live = self.live();
        let first = live.state != RealtimeSessionState::Ended;
        live.state = RealtimeSessionState::Ended;
        first
    }

    fn live(&self) -> std::sync::MutexGuard<'_, Live> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for RealtimeSession {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for RealtimeSession {}

impl fmt::Debug for RealtimeSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RealtimeSession")
            .field("id", self.id())
            .field("room_id", self.room_id())
            .field("participant_id", self.participant_id())
            .field("channel_id", self.channel_id())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_ended_is_final() {
        let session = RealtimeSession::new("room", "ann", "voice", Map::new());
        assert_eq!(session.state(), RealtimeSessionState::Connecting);
        assert!(session.activate());
        assert!(session.end());
        assert!(!session.end(), "the second end is not the first");
        assert!(!session.activate(), "nothing revives a session");
        assert_eq!(session.state(), RealtimeSessionState::Ended);
    }
}
