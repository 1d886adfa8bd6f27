//! Readers of a room: dashboards, logs, whoever shows a conversation while it happens.
//!
//! A [`Subscription`] is an ordered, bounded stream of what happens in one room. Whoever does not
//! keep up is disconnected and delays nobody (contract R7).
//!
//! - [`RoomKit::subscribe`](crate::RoomKit::subscribe) without a channel reads as the host does:
//!   everything, what is internal included.
//! - [`SubscriberChannel`] is a channel for dashboards: its subscribers see what that channel may
//!   see, and write under its name.

mod channel;
mod queue;

use std::sync::Arc;

pub use channel::SubscriberChannel;
pub use queue::Subscription;
pub(crate) use queue::{OnDrop, UpdateQueue};

use crate::{ephemeral::EphemeralEvent, id::ChannelId, room::RoomEvent};

/// One thing a subscriber is told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RoomUpdate {
    /// An event was written to the timeline.
    Event(Arc<RoomEvent>),
    /// Something to show at this moment only. Left out first when the subscriber falls behind.
    Ephemeral(Arc<EphemeralEvent>),
    /// The subscription is over; always the last thing it says.
    Closed(CloseReason),
}

/// Why a subscription is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// It did not take what was sent to it (contract R7). What the queue held is still delivered.
    TooSlow,
    /// The room was closed.
    RoomClosed,
    /// The channel it read as was detached from the room.
    Detached,
    /// The kit was closed.
    Shutdown,
}

impl CloseReason {
    /// The reason as one word, for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TooSlow => "too_slow",
            Self::RoomClosed => "room_closed",
            Self::Detached => "detached",
            Self::Shutdown => "shutdown",
        }
    }
}

impl std::fmt::Display for CloseReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a room is read; by default as the host does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubscribeOptions {
    pub(crate) channel: Option<ChannelId>,
    pub(crate) own: bool,
    pub(crate) blocked: bool,
    pub(crate) queue_size: Option<usize>,
}

impl SubscribeOptions {
    /// As the host: every event that was shown to anybody, what is internal included.
    pub fn new() -> Self {
        Self::default()
    }

    /// As this channel, which must be attached: only what it may see, as its binding stands at each
    /// moment, and without its own events.
    #[must_use]
    pub fn channel(mut self, channel: impl Into<ChannelId>) -> Self {
        self.channel = Some(channel.into());
        self
    }

    /// With the channel's own events too, for several people who share one channel.
    #[must_use]
    pub fn include_own(mut self) -> Self {
        self.own = true;
        self
    }

    /// With events that were blocked. Only for the host; a channel never sees those.
    #[must_use]
    pub fn include_blocked(mut self) -> Self {
        self.blocked = true;
        self
    }

    /// How many updates may wait before the subscriber is cut off; the kit's
    /// [`queue_size`](crate::RoomKitBuilder::queue_size) unless said otherwise.
    #[must_use]
    pub fn queue_size(mut self, updates: usize) -> Self {
        self.queue_size = Some(updates);
        self
    }
}
