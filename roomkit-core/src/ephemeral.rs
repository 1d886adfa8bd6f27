//! Events that are shown live and never stored: partial transcripts, typing, speech (contract T2).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    id::{ChannelId, ParticipantId, RoomId},
    room::Speaker,
};

/// Something worth showing at this moment only.
///
/// In JSON: `{"kind", "room_id", "channel_id", "participant_id"?, "at", "data"}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EphemeralEvent {
    /// What it is.
    pub kind: EphemeralKind,
    /// Its room.
    pub room_id: RoomId,
    /// The channel it comes from. Subscribers that read as a channel see it only where that
    /// channel's visibility allows.
    pub channel_id: ChannelId,
    /// The person, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participant_id: Option<ParticipantId>,
    /// When.
    pub at: Timestamp,
    /// The content: for a partial transcript `text`, `role`, `session_id`.
    #[serde(default)]
    pub data: Map<String, Value>,
    #[serde(skip)]
    pub(crate) speaker: Speaker,
}

impl EphemeralEvent {
    /// An event of this kind, now.
    pub fn new(
        kind: EphemeralKind,
        room: impl Into<RoomId>,
        channel: impl Into<ChannelId>,
    ) -> Self {
        Self {
            kind,
            room_id: room.into(),
            channel_id: channel.into(),
            participant_id: None,
            at: Timestamp::now(),
            data: Map::new(),
            speaker: Speaker::Channel,
        }
    }

    /// Names the person.
    #[must_use]
    pub fn participant(mut self, participant: impl Into<ParticipantId>) -> Self {
        self.participant_id = Some(participant.into());
        self
    }

    /// Adds a detail.
    #[must_use]
    pub fn data(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.data.insert(key.into(), value.into());
        self
    }

    /// Says when it happened, where that is not now.
    #[must_use]
    pub fn at(mut self, at: Timestamp) -> Self {
        self.at = at;
        self
    }
}

/// What sort of ephemeral event it is; a plain word in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EphemeralKind {
    /// Words that are not settled yet.
    Transcription,
    /// Somebody types, or the AI prepares an answer.
    Typing,
    /// Somebody began or stopped to speak.
    Speech,
    /// A tool call began or ended.
    ToolCall,
    /// A kind of the host's own.
    Custom(String),
}

impl EphemeralKind {
    /// The word in JSON.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Transcription => "transcription",
            Self::Typing => "typing",
            Self::Speech => "speech",
            Self::ToolCall => "tool_call",
            Self::Custom(name) => name,
        }
    }
}

impl Serialize for EphemeralKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EphemeralKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Ok(match name.as_str() {
            "transcription" => Self::Transcription,
            "typing" => Self::Typing,
            "speech" => Self::Speech,
            "tool_call" => Self::ToolCall,
            _ => Self::Custom(name),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn t2_the_json_form_is_flat_and_round_trips() {
        let event = EphemeralEvent::new(EphemeralKind::Transcription, "room", "voice")
            .participant("ann")
            .at(Timestamp::UNIX_EPOCH)
            .data("text", "hel");
        let value = serde_json::to_value(&event).unwrap();
        assert_eq!(
            value,
            json!({
                "kind": "transcription",
                "room_id": "room",
                "channel_id": "voice",
                "participant_id": "ann",
                "at": "1970-01-01T00:00:00Z",
                "data": {"text": "hel"},
            })
        );
        assert_eq!(
            serde_json::from_value::<EphemeralEvent>(value).unwrap(),
            event
        );
    }

    #[test]
    fn a_kind_of_the_hosts_own_is_a_plain_word_too() {
        let kind = EphemeralKind::Custom("reaction".into());
        let value = serde_json::to_value(&kind).unwrap();
        assert_eq!(value, json!("reaction"));
        assert_eq!(
            serde_json::from_value::<EphemeralKind>(value).unwrap(),
            kind
        );
    }
}
