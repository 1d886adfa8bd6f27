//! Creating, reading and closing rooms.

use std::sync::{Arc, atomic::Ordering};

use super::{
    RoomKit,
    shared::{Shared, room_error},
};
use crate::{
    channel::DetachReason,
    error::RoomError,
    framework::{FrameworkEvent, FrameworkEventKind},
    id::RoomId,
    room::{LiveRoom, Room, RoomEvent, RoomOptions, RoomStatus, TimelineQuery},
    subscriber::CloseReason,
};

/// Rooms.
impl RoomKit {
    /// Creates a room: `create_room("support-1")`, `create_room(())` for a fresh id, or with
    /// [`RoomOptions`].
    ///
    /// # Errors
    ///
    /// [`RoomError::Exists`] when there is a room of that id, even a closed one (contract R10);
    /// [`RoomError::TooManyRooms`] when the kit has a [limit](crate::kit::RoomKitBuilder::max_rooms);
    /// [`RoomError::Store`].
    pub async fn create_room(&self, options: impl Into<RoomOptions>) -> Result<Room, RoomError> {
        let room = Room::create(options.into());
        let shared = Arc::clone(self.shared());
        self.shared()
            .run(async move { shared.create_room(room).await })
            .await
    }

    /// A room as it is now, open or closed.
    ///
    /// # Errors
    ///
    /// [`RoomError::NotFound`], [`RoomError::Store`].
    pub async fn room(&self, room: impl Into<RoomId>) -> Result<Room, RoomError> {
        self.shared().record(&room.into()).await
    }

    /// All rooms, closed ones included, oldest first.
    ///
    /// # Errors
    ///
    /// [`RoomError::Store`].
    pub async fn rooms(&self) -> Result<Vec<Room>, RoomError> {
        let shared = self.shared();
        let rooms = shared.stored("rooms", None, shared.store.rooms()).await;
        rooms.map_err(room_error)
    }

    /// A page of a room's timeline, everything included, in ascending order (contract R8). Closed
    /// rooms can be read too.
    ///
    /// # Errors
    ///
    /// [`RoomError::NotFound`], [`RoomError::Store`].
    pub async fn timeline(
        &self,
        room: impl Into<RoomId>,
        query: TimelineQuery,
    ) -> Result<Vec<RoomEvent>, RoomError> {
        let room = room.into();
        let shared = self.shared();
        let page = shared.store.timeline(&room, &query);
        shared
            .stored("timeline", Some(&room), page)
            .await
            .map_err(room_error)
    }

    /// Closes a room for good (contract R6): its channels let go of it first and may still write
    /// their last words, then writes are refused, what is on its way is delivered, and subscribers
    /// read the end. Closing a closed room changes nothing.
    ///
    /// # Errors
    ///
    /// [`RoomError::NotFound`]; [`RoomError::Store`] when the store could not be told, and then the
    /// room is open still, though its channels are gone from it.
    pub async fn close_room(&self, room: impl Into<RoomId>) -> Result<Room, RoomError> {
        let room = room.into();
        let live = match self.shared().live(&room).await {
            Ok(live) => live,
            Err(RoomError::Closed(room)) => return self.room(room).await,
            Err(error) => return Err(error),
        };
        let shared = Arc::clone(self.shared());
        self.shared()
            .run(async move { shared.close_room(&live).await })
            .await
    }

    /// Deletes a closed room: its record, its timeline, and whatever the kit still knew of it. The
    /// id may then be given to a new room. A kit deletes nothing by itself, so a host that serves
    /// many short conversations does (contract S7).
    ///
    /// # Errors
    ///
    /// [`RoomError::NotFound`]; [`RoomError::Open`] when it has not been closed;
    /// [`RoomError::Store`] when the store failed, and then the room is there still.
    pub async fn delete_room(&self, room: impl Into<RoomId>) -> Result<(), RoomError> {
        let room = room.into();
        let shared = Arc::clone(self.shared());
        self.shared()
            .run(async move { shared.delete_room(&room).await })
            .await
    }

    /// A room that is open.
    pub(crate) async fn live_room(&self, room: &RoomId) -> Result<Arc<LiveRoom>, RoomError> {
        self.shared().live(room).await
    }

    /// How many rooms are open, of those that this kit has made or that were named since it exists.
    pub fn open_rooms(&self) -> usize {
        self.shared().count_live()
    }

    /// How many may be open when one more is created.
    pub fn max_rooms(&self) -> usize {
        self.shared().max_rooms()
    }

    /// Changes how many rooms may be open when one more is created. Rooms that are open stay open, also
    /// where there are more of them than there may be now.
    pub fn set_max_rooms(&self, rooms: usize) {
        self.shared().max_rooms.store(rooms, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn max_rooms(&self) -> usize {
        self.max_rooms.load(Ordering::Relaxed)
    }

    async fn create_room(&self, room: Room) -> Result<Room, RoomError> {
        self.check_open()?;
        let _turn = self.turns.of(&room.id).await;
        if !self.may_come(&room.id) {
            return self.refuse_one_more(room.id).await;
        }
        // Nothing but the end of the kit keeps this from its end.
        let opened = self.store_created(&room).await;
        self.came(&room.id);
        opened?;
        self.emit(FrameworkEvent::new(FrameworkEventKind::RoomCreated).room(&room.id));
        Ok(room)
    }

    async fn store_created(&self, room: &Room) -> Result<Arc<LiveRoom>, RoomError> {
        self.stored("create_room", Some(&room.id), self.store.create_room(room))
            .await
            .map_err(room_error)?;
        self.open(room.id.clone(), 0)
    }

    /// A room that exists is the better answer: the host can use it.
    async fn refuse_one_more(&self, id: RoomId) -> Result<Room, RoomError> {
        match self.record(&id).await {
            Ok(_) => Err(RoomError::Exists(id)),
            Err(RoomError::NotFound(_)) => Err(RoomError::TooManyRooms(self.max_rooms())),
            Err(error) => Err(error),
        }
    }

    async fn delete_room(&self, id: &RoomId) -> Result<(), RoomError> {
        self.check_not_closed()?;
        let _turn = self.turns.of(id).await;
        if self.record(id).await?.status != RoomStatus::Closed {
            return Err(RoomError::Open(id.clone()));
        }
        self.stored("remove_room", Some(id), self.store.remove_room(id))
            .await
            .map_err(room_error)?;
        // Alive still only if it was another process that closed it.
        if let Some(live) = self.live_now(id) {
            live.finish(CloseReason::RoomClosed);
        }
        self.forget(id);
        self.emit(FrameworkEvent::new(FrameworkEventKind::RoomDeleted).room(id));
        Ok(())
    }

    async fn close_room(&self, room: &Arc<LiveRoom>) -> Result<Room, RoomError> {
        let _closing = room.closing.lock().await;
        if !room.begin_closing() {
            return self.record(&room.id).await; // Somebody else was closing it meanwhile.
        }
        let places = room.begin_leaving_all();
        self.tell_detached(&room.id, &places, DetachReason::RoomClosed)
            .await;
        self.others_left(room, &places).await;
        let closed = {
            let _last_write = room.commit.lock().await;
            let _turn = self.turns.of(&room.id).await;
            let closed = self.store_closed(&room.id).await;
            if closed.is_ok() {
                room.finish(CloseReason::RoomClosed);
                self.forget(&room.id);
            }
            closed
        };
        match closed {
            Ok(record) => {
                self.emit(FrameworkEvent::new(FrameworkEventKind::RoomClosed).room(&room.id));
                Ok(record)
            }
            Err(error) => {
                for (channel, _) in places {
                    room.leave(channel.id());
                }
                room.reopen();
                Err(error)
            }
        }
    }

    async fn store_closed(&self, id: &RoomId) -> Result<Room, RoomError> {
        let closed = self.record(id).await?.into_closed();
        self.stored("update_room", Some(id), self.store.update_room(&closed))
            .await
            .map_err(room_error)?;
        Ok(closed)
    }
}
