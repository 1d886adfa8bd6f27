//! What a channel hands in; the room makes a [`RoomEvent`] of it.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::{
    id::ParticipantId,
    room::{Content, EventKind, RoomEvent, Speaker, Visibility},
};

/// An event to be written to a room.
///
/// ```
/// use roomkit_core::room::NewEvent;
///
/// let whisper = NewEvent::text("offer her the refund")
///     .participant("supervisor-7")
///     .visibility("realtime-voice".parse().unwrap_or_default())
///     .metadata("silent", true)
///     .idempotency_key("dashboard-42");
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    pub(crate) kind: EventKind,
    pub(crate) content: Content,
    pub(crate) participant: Option<ParticipantId>,
    pub(crate) provider: Option<String>,
    pub(crate) visibility: Visibility,
    pub(crate) chain_depth: u32,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) speaker: Speaker,
    /// Its channel was muted, or might not write, when it was said: whatever it may by now, nobody is shown
    /// it.
    pub(crate) was_refused: bool,
}

impl NewEvent {
    /// A message with this content.
    pub fn new(content: Content) -> Self {
        Self {
            kind: EventKind::Message,
            content,
            participant: None,
            provider: None,
            visibility: Visibility::All,
            chain_depth: 0,
            idempotency_key: None,
            created_at: None,
            metadata: Map::new(),
            speaker: Speaker::Channel,
            was_refused: false,
        }
    }

    /// A message of plain text.
    pub fn text(body: impl Into<String>) -> Self {
        Self::new(Content::text(body))
    }

    /// What sort of event it is; a message unless said otherwise.
    #[must_use]
    pub fn kind(mut self, kind: EventKind) -> Self {
        self.kind = kind;
        self
    }

    /// Replaces the content.
    #[must_use]
    pub fn content(mut self, content: Content) -> Self {
        self.content = content;
        self
    }

    /// Who says it.
    #[must_use]
    pub fn participant(mut self, participant: impl Into<ParticipantId>) -> Self {
        self.participant = Some(participant.into());
        self
    }

    /// The software it comes from; the channel's own
    /// [`provider_name`](crate::channel::Channel::provider_name) unless said otherwise.
    #[must_use]
    pub fn provider(mut self, provider: impl Into<String>) -> Self {
        self.provider = Some(provider.into());
        self
    }

    /// Who may see it. Left at `all`, the visibility of the channel's binding applies (contract R2).
    #[must_use]
    pub fn visibility(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }

    /// How many automatic answers lie between a person's words and this (contract R4). What a
    /// channel or hook writes while it is being handed an event is at least one deeper than that.
    #[must_use]
    pub fn chain_depth(mut self, depth: u32) -> Self {
        self.chain_depth = depth;
        self
    }

    /// Marks it as an automatic answer to `event`: one deeper in the chain (contract R4).
    #[must_use]
    pub fn answer_to(self, event: &RoomEvent) -> Self {
        let depth = event.chain_depth.saturating_add(1);
        self.chain_depth(depth)
    }

    /// Writing it again with this key, by the same channel in the same room, gives the first event back
    /// (contract R8).
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// When it happened, where that is not now; for speech, when the speech began.
    #[must_use]
    pub fn created_at(mut self, at: Timestamp) -> Self {
        self.created_at = Some(at);
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

impl From<&str> for NewEvent {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for NewEvent {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}
