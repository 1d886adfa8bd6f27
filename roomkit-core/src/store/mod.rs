//! Where rooms and their timelines are kept (contract R9).

mod memory;

use async_trait::async_trait;

pub use memory::MemoryStore;

use crate::{
    id::{ChannelId, RoomId},
    room::{Room, RoomEvent, TimelineQuery},
};

/// Keeps rooms and their timelines.
///
/// The kit serializes the writes of one room and calls for different rooms at the same time. An
/// implementation promises:
///
/// - **whole or nothing**: a call that returns an error has changed nothing, as far as it can know;
/// - **[`append`](Self::append) is atomic**: it compares the index and writes in one step, so that
///   two writers can never take the same place (contract R1);
/// - **what was read is a snapshot**: later writes do not change it;
/// - nothing is removed but by [`remove_room`](Self::remove_room), and, by a store that says so, the
///   oldest events of a timeline: indices go on, and those that are forgotten are never given again.
///
/// Bindings are not kept here: they tie a room to channel objects of this process, and the host
/// attaches its channels again after a restart. A room found in the store is live again as soon as
/// it is first named.
///
/// A call that never returns blocks the writes of its room, and whoever would close it or name it for the
/// first time; no other room. An implementation over a network sets its own timeouts.
#[async_trait]
pub trait RoomStore: Send + Sync + 'static {
    /// Adds a room; [`StoreError::RoomExists`] when there is one of that id (contract R10).
    async fn create_room(&self, room: &Room) -> Result<(), StoreError>;

    /// Replaces the record of a room; [`StoreError::RoomNotFound`] when there is none.
    async fn update_room(&self, room: &Room) -> Result<(), StoreError>;

    /// Removes a room and its events; [`StoreError::RoomNotFound`] when there is none. Its id may
    /// then be given to a new room.
    async fn remove_room(&self, room: &RoomId) -> Result<(), StoreError>;

    /// The record of a room.
    async fn room(&self, room: &RoomId) -> Result<Option<Room>, StoreError>;

    /// All rooms, oldest first.
    async fn rooms(&self) -> Result<Vec<Room>, StoreError>;

    /// Adds an event at the end of its room's timeline. Its index must be the timeline's length,
    /// else [`StoreError::IndexTaken`] with that length.
    async fn append(&self, event: &RoomEvent) -> Result<(), StoreError>;

    /// How many events a room's timeline has had: the index of the next.
    async fn length(&self, room: &RoomId) -> Result<u64, StoreError>;

    /// The event that this channel wrote with this idempotency key (contract R8), unless it is forgotten.
    /// Another channel's event of that key is another.
    async fn event_by_key(
        &self,
        room: &RoomId,
        writer: &ChannelId,
        key: &str,
    ) -> Result<Option<RoomEvent>, StoreError>;

    /// A page of a room's timeline, in ascending order; see
    /// [`TimelineQuery::range`] for the indices it consists of, and
    /// [`TimelineQuery::range_from`] where events are forgotten.
    async fn timeline(
        &self,
        room: &RoomId,
        query: &TimelineQuery,
    ) -> Result<Vec<RoomEvent>, StoreError>;
}

/// A store could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is a room of this id.
    #[error("room `{0}` exists already")]
    RoomExists(RoomId),
    /// There is no room of this id.
    #[error("there is no room `{0}`")]
    RoomNotFound(RoomId),
    /// The event's index is not the next of its timeline.
    #[error("the next index is {next}, not the one given")]
    IndexTaken {
        /// The length of the timeline.
        next: u64,
    },
    /// The store itself failed. The message holds no words of a conversation (contract X6).
    #[error("{0}")]
    Failed(String),
}
