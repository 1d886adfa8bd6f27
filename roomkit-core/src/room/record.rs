//! What is known of a room, and what one says when creating it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::RoomId;

/// A room as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Room {
    /// Its id.
    pub id: RoomId,
    /// Open or closed.
    pub status: RoomStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
    /// The host's own notes.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

impl Room {
    pub(crate) fn create(options: RoomOptions) -> Self {
        Self {
            id: options.id.unwrap_or_else(RoomId::random),
            status: RoomStatus::Active,
            created_at: Timestamp::now(),
            closed_at: None,
            metadata: options.metadata,
        }
    }

    pub(crate) fn into_closed(mut self) -> Self {
        self.status = RoomStatus::Closed;
        self.closed_at = Some(Timestamp::now());
        self
    }
}

/// Whether a room can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomStatus {
    /// It can be read and written.
    Active,
    /// It can be read only, for good (contract R6).
    Closed,
}

/// How a room is created: `"support-4711"`, `()` for a fresh id, or options with metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoomOptions {
    id: Option<RoomId>,
    metadata: Map<String, Value>,
}

impl RoomOptions {
    /// A room with a fresh random id.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses the id; a room of that id must not exist (contract R10).
    #[must_use]
    pub fn id(mut self, id: impl Into<RoomId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Adds a note of the host's own.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

impl From<()> for RoomOptions {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<&str> for RoomOptions {
    fn from(id: &str) -> Self {
        Self::default().id(id)
    }
}

impl From<String> for RoomOptions {
    fn from(id: String) -> Self {
        Self::default().id(id)
    }
}

impl From<RoomId> for RoomOptions {
    fn from(id: RoomId) -> Self {
        Self::default().id(id)
    }
}

impl From<&RoomId> for RoomOptions {
    fn from(id: &RoomId) -> Self {
        Self::default().id(id)
    }
}
