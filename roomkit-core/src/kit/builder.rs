//! How a kit is set up.

use std::{fmt, sync::Arc, time::Duration};

use super::{RoomKit, shared::Shared};
use crate::store::{MemoryStore, RoomStore};

/// The settings of a [`RoomKit`], each with a default.
#[must_use = "a builder does nothing until `build`"]
pub struct RoomKitBuilder {
    pub(super) store: Arc<dyn RoomStore>,
    pub(super) max_chain_depth: u32,
    pub(super) max_rooms: usize,
    pub(super) delivery_timeout: Duration,
    pub(super) lifecycle_timeout: Duration,
    pub(super) queue_size: usize,
}

impl Default for RoomKitBuilder {
    fn default() -> Self {
        Self {
            store: Arc::new(MemoryStore::new()),
            max_chain_depth: 5,
            max_rooms: usize::MAX,
            delivery_timeout: Duration::from_secs(5),
            lifecycle_timeout: Duration::from_secs(10),
            queue_size: 1024,
        }
    }
}

impl RoomKitBuilder {
    /// Where rooms and timelines are kept; in memory unless said otherwise.
    pub fn store(mut self, store: Arc<dyn RoomStore>) -> Self {
        self.store = store;
        self
    }

    /// How many automatic answers may follow one another before the next is blocked (contract R4);
    /// 5 unless said otherwise.
    pub fn max_chain_depth(mut self, depth: u32) -> Self {
        self.max_chain_depth = depth;
        self
    }

    /// How many rooms may be [open](RoomKit::open_rooms) when one more is created; any number unless
    /// said otherwise.
    pub fn max_rooms(mut self, rooms: usize) -> Self {
        self.max_rooms = rooms;
        self
    }

    /// How long a channel may take for one event before it is disconnected from the room
    /// (contract R7); 5 s unless said otherwise.
    pub fn delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// How long a channel may take to be attached, detached or closed before the kit goes on
    /// without it; 10 s unless said otherwise. A channel may say itself how long it needs for its end
    /// ([`Channel::close_timeout`](crate::channel::Channel::close_timeout)), as the voice channel does.
    pub fn lifecycle_timeout(mut self, timeout: Duration) -> Self {
        self.lifecycle_timeout = timeout;
        self
    }

    /// How many events may wait for one channel, or updates for one subscriber, before it is
    /// disconnected (contract R7); 1024 unless said otherwise, at least 1 and at most 2^24.
    pub fn queue_size(mut self, events: usize) -> Self {
        self.queue_size = events.clamp(1, 1 << 24);
        self
    }

    /// The kit. Needs no runtime yet; its methods do.
    pub fn build(self) -> RoomKit {
        RoomKit::with(Shared::new(self))
    }
}

impl fmt::Debug for RoomKitBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomKitBuilder")
            .field("max_chain_depth", &self.max_chain_depth)
            .field("max_rooms", &self.max_rooms)
            .field("delivery_timeout", &self.delivery_timeout)
            .field("lifecycle_timeout", &self.lifecycle_timeout)
            .field("queue_size", &self.queue_size)
            .finish_non_exhaustive()
    }
}
