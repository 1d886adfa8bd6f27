//! One entry of a room's timeline.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ChannelBinding, NewEvent};
use crate::{
    channel::ChannelCategory,
    id::{ChannelId, EventId, ParticipantId, RoomId},
};

/// Something that happened in a room, at its place on the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoomEvent {
    /// Its id.
    pub id: EventId,
    /// Its room.
    pub room_id: RoomId,
    /// Its place: 0, 1, 2, … without gaps (contract R1).
    pub index: u64,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// Where it came from.
    pub source: EventSource,
    /// What it says.
    pub content: Content,
    /// Whether others were shown it.
    pub status: EventStatus,
    /// What blocked it: a hook's name, `source_muted`, `source_read_only`, `chain_depth`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked_by: Option<String>,
    /// Who may see it, as far as it says so itself; see [`shown_to`](Self::shown_to).
    pub visibility: Visibility,
    /// How many automatic answers lie between a person's words and this (contract R4).
    #[serde(default)]
    pub chain_depth: u32,
    /// Writing twice with one key writes once (contract R8).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// When it happened; for speech, when the speech began.
    pub created_at: Timestamp,
    /// More about it: for transcripts `role`, `voice_session_id`, `item_id`, `interrupted`.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

impl RoomEvent {
    /// What a room makes of what this channel hands in, but for its place on the timeline, which is 0.
    /// Hooks and channels get theirs from the room; this is for their tests.
    ///
    /// ```
    /// use roomkit_core::room::{ChannelBinding, NewEvent, RoomEvent};
    ///
    /// let desk = ChannelBinding::new("lobby", "desk", "dashboard");
    /// let event = RoomEvent::new(&desk, NewEvent::text("hello").participant("ann"));
    /// assert_eq!(event.content.as_text(), Some("hello"));
    /// assert_eq!(event.source.channel_type, "dashboard");
    /// ```
    pub fn new(binding: &ChannelBinding, event: NewEvent) -> Self {
        Self {
            id: EventId::random(),
            room_id: binding.room_id.clone(),
            index: 0,
            kind: event.kind,
            source: EventSource {
                channel_id: binding.channel_id.clone(),
                channel_type: binding.channel_type.clone(),
                category: binding.category,
                visibility: binding.visibility.clone(),
                participant_id: event.participant,
                provider: event.provider,
            },
            content: event.content,
            status: EventStatus::Delivered,
            blocked_by: None,
            visibility: event.visibility,
            chain_depth: event.chain_depth,
            idempotency_key: event.idempotency_key,
            created_at: event.created_at.unwrap_or_else(Timestamp::now),
            metadata: event.metadata,
        }
    }

    /// Who sees it: whom it names, or those its channel named when it wrote this.
    pub fn shown_to(&self) -> &Visibility {
        match &self.visibility {
            Visibility::All => &self.source.visibility,
            own => own,
        }
    }
}

/// What sort of event it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// Somebody said or wrote something.
    Message,
    /// The room says something of itself: attached, muted, closed.
    System,
    /// A correction of an earlier message.
    Edit,
    /// Somebody has seen something.
    Receipt,
    /// A kind of the host's own.
    Custom(String),
}

/// Where an event came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EventSource {
    /// The channel.
    pub channel_id: ChannelId,
    /// The channel's kind.
    pub channel_type: String,
    /// The channel's category in the room when it wrote this; it may have left since.
    #[serde(default)]
    pub category: ChannelCategory,
    /// Who saw the channel's events when it wrote this; an event may say otherwise.
    #[serde(default, skip_serializing_if = "Visibility::is_all")]
    pub visibility: Visibility,
    /// The person, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant_id: Option<ParticipantId>,
    /// The software behind the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Content {
    /// Plain text; the only content that is injected into a voice session (contract R4).
    Text {
        /// The text.
        body: String,
    },
    /// A record of the room's own life.
    System {
        /// For people.
        body: String,
        /// For programs, such as `channel_attached`.
        code: String,
        /// Details.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        data: Value,
    },
    /// Anything else a host stores: media, locations, forms. Never injected.
    Data {
        /// Its media type or the host's own name for it.
        kind: String,
        /// The content.
        data: Value,
    },
}

impl Content {
    /// Plain text.
    pub fn text(body: impl Into<String>) -> Self {
        Self::Text { body: body.into() }
    }

    /// The text of plain text content.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text { body } => Some(body),
            _ => None,
        }
    }
}

/// Whether an event was shown to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventStatus {
    /// It was.
    Delivered,
    /// It is on the timeline only.
    Blocked,
}

/// Who may see an event (contract R2). In JSON: a word, or channel ids with commas between.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// Every channel that may read.
    #[default]
    All,
    /// Nobody: it is on the timeline only.
    None,
    /// The timeline and the host only.
    Internal,
    /// Channels of category transport.
    Transport,
    /// Channels of category intelligence.
    Intelligence,
    /// These channels. Naming the voice channel alone is a whisper to the AI (contract R3).
    Channels(Vec<ChannelId>),
}

impl Visibility {
    fn is_all(&self) -> bool {
        *self == Self::All
    }

    /// Whether a channel of this id and category is meant.
    pub fn includes(&self, channel: &ChannelId, category: ChannelCategory) -> bool {
        match self {
            Self::All => true,
            Self::None | Self::Internal => false,
            Self::Transport => category == ChannelCategory::Transport,
            Self::Intelligence => category == ChannelCategory::Intelligence,
            Self::Channels(channels) => channels.contains(channel),
        }
    }
}

impl fmt::Display for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::None => f.write_str("none"),
            Self::Internal => f.write_str("internal"),
            Self::Transport => f.write_str("transport"),
            Self::Intelligence => f.write_str("intelligence"),
            Self::Channels(channels) => {
                for (place, channel) in channels.iter().enumerate() {
                    if place > 0 {
                        f.write_str(",")?;
                    }
                    f.write_str(channel.as_str())?;
                }
                Ok(())
            }
        }
    }
}

impl FromStr for Visibility {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.trim() {
            "" | "all" => Self::All,
            "none" => Self::None,
            "internal" => Self::Internal,
            "transport" => Self::Transport,
            "intelligence" => Self::Intelligence,
            list => Self::Channels(
                list.split(',')
                    .map(str::trim)
                    .filter(|id| !id.is_empty())
                    .map(ChannelId::from)
                    .collect(),
            ),
        })
    }
}

impl Serialize for Visibility {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Visibility {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let Ok(visibility) = text.parse();
        Ok(visibility)
    }
}
