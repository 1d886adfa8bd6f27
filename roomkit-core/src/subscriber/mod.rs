//! Dashboards and other readers of a room.

use std::sync::Arc;

use crate::{ephemeral::EphemeralEvent, id::ChannelId, room::RoomEvent};

/// One thing a subscriber is told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RoomUpdate {
    /// An event was written to the timeline.
    Event(Arc<RoomEvent>),
    /// Something to show at this moment only.
    Ephemeral(Arc<EphemeralEvent>),
    /// The subscription is over; the last thing it says.
    Closed(CloseReason),
}

/// Why a subscription is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// It did not take what was sent to it (contract R7).
    TooSlow,
}

/// How a room is read.
#[derive(Debug, Clone, Default)]
pub struct SubscribeOptions {
    channel: Option<ChannelId>,
}

/// A stream of a room's updates.
#[derive(Debug)]
pub struct Subscription(());
