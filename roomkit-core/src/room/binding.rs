//! How a channel is attached to a room: its permissions there.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    channel::ChannelCategory,
    id::{ChannelId, RoomId},
    room::Visibility,
};

/// The rule that keeps the words of a muted channel from the room.
pub(crate) const SOURCE_MUTED: &str = "source_muted";

/// Whose words they are that come from a channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Speaker {
    /// The channel's own: whoever is at its other end.
    #[default]
    Channel,
    /// The AI's of a voice channel, whose other end is the caller: a caller who is muted hears it, and the
    /// room sees what he heard.
    Ai,
}

/// A channel's place in one room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChannelBinding {
    /// The room.
    pub room_id: RoomId,
    /// The channel.
    pub channel_id: ChannelId,
    /// The channel's kind.
    pub channel_type: String,
    /// Which visibility words include it here.
    pub category: ChannelCategory,
    /// What it may do.
    pub access: Access,
    /// Its own words are stored as blocked; a microphone is not heard, but what the AI says to it is shown
    /// (contract A7).
    pub muted: bool,
    /// Nothing audible is played to it.
    pub output_muted: bool,
    /// Who sees its events, unless an event says otherwise.
    pub visibility: Visibility,
    /// When it was attached.
    pub attached_at: Timestamp,
}

impl ChannelBinding {
    /// A channel of this kind in this room, attached just now as [`BindingOptions::new`] has it, and of
    /// category transport. Channels get theirs from the room; this is for their tests.
    pub fn new(
        room_id: impl Into<RoomId>,
        channel_id: impl Into<ChannelId>,
        channel_type: impl Into<String>,
    ) -> Self {
        Self {
            room_id: room_id.into(),
            channel_id: channel_id.into(),
            channel_type: channel_type.into(),
            category: ChannelCategory::default(),
            access: Access::default(),
            muted: false,
            output_muted: false,
            visibility: Visibility::default(),
            attached_at: Timestamp::now(),
        }
    }

    /// Whether its words reach the room.
    pub fn can_write(&self) -> bool {
        self.refuses(Speaker::Channel).is_none()
    }

    /// The rule by which nobody is shown what is said here, if there is one.
    pub(crate) fn refuses(&self, speaker: Speaker) -> Option<&'static str> {
        if self.muted && speaker == Speaker::Channel {
            Some(SOURCE_MUTED)
        } else if !self.access.writes() {
            Some("source_read_only")
        } else {
            None
        }
    }

    /// Whether it gets what others write.
    pub fn can_read(&self) -> bool {
        matches!(self.access, Access::ReadWrite | Access::ReadOnly)
    }

    /// Whether it gets what others write and show to these.
    pub fn sees(&self, visibility: &Visibility) -> bool {
        self.can_read() && visibility.includes(&self.channel_id, self.category)
    }
}

/// What a channel may do in a room.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Read and write.
    #[default]
    ReadWrite,
    /// Only read.
    ReadOnly,
    /// Only write.
    WriteOnly,
    /// Neither.
    None,
}

impl Access {
    /// Whether it may write.
    pub(crate) fn writes(self) -> bool {
        matches!(self, Self::ReadWrite | Self::WriteOnly)
    }
}

/// How a channel is attached: read and write, audible, seen by all, unless said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BindingOptions {
    pub(crate) access: Access,
    pub(crate) muted: bool,
    pub(crate) output_muted: bool,
    pub(crate) visibility: Visibility,
    pub(crate) category: Option<ChannelCategory>,
}

impl BindingOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// What the channel may do.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Whether its words are kept from the room.
    #[must_use]
    pub fn muted(mut self, muted: bool) -> Self {
        self.muted = muted;
        self
    }

    /// Whether nothing audible is played to it.
    #[must_use]
    pub fn output_muted(mut self, output_muted: bool) -> Self {
        self.output_muted = output_muted;
        self
    }

    /// Who sees its events, unless an event says otherwise.
    #[must_use]
    pub fn visibility(mut self, visibility: Visibility) -> Self {
        self.visibility = visibility;
        self
    }

    /// Which visibility words include it here; the channel's own
    /// [`category`](crate::channel::Channel::category) unless said otherwise.
    #[must_use]
    pub fn category(mut self, category: ChannelCategory) -> Self {
        self.category = Some(category);
        self
    }
}
