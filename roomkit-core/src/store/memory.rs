//! Rooms in this process's memory.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use async_trait::async_trait;

use super::{RoomStore, StoreError};
use crate::{
    id::RoomId,
    room::{Room, RoomEvent, TimelineQuery},
};

/// The default [`RoomStore`]: fast, and gone with the process. Closed rooms stay in it until they
/// are [deleted](crate::RoomKit::delete_room); a service that runs for months has to.
#[derive(Debug, Default)]
pub struct MemoryStore(RwLock<HashMap<RoomId, Entry>>);

#[derive(Debug)]
struct Entry {
    room: Room,
    events: Vec<RoomEvent>,
    /// Where the event with a key is.
    keys: HashMap<String, usize>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn read<T>(&self, room: &RoomId, look: impl FnOnce(&Entry) -> T) -> Result<T, StoreError> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        entries
            .get(room)
            .map(look)
            .ok_or_else(|| StoreError::RoomNotFound(room.clone()))
    }

    fn write<T>(
        &self,
        room: &RoomId,
        change: impl FnOnce(&mut Entry) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        entries
            .get_mut(room)
            .ok_or_else(|| StoreError::RoomNotFound(room.clone()))
            .and_then(change)
    }
}

#[async_trait]
impl RoomStore for MemoryStore {
    async fn create_room(&self, room: &Room) -> Result<(), StoreError> {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if entries.contains_key(&room.id) {
            return Err(StoreError::RoomExists(room.id.clone()));
        }
        let entry = Entry {
            room: room.clone(),
            events: Vec::new(),
            keys: HashMap::new(),
        };
        entries.insert(room.id.clone(), entry);
        Ok(())
    }

    async fn update_room(&self, room: &Room) -> Result<(), StoreError> {
        self.write(&room.id, |entry| {
            entry.room = room.clone();
            Ok(())
        })
    }

    async fn remove_room(&self, room: &RoomId) -> Result<(), StoreError> {
        let removed = {
            let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
            entries.remove(room)
        };
        // A long timeline is let go of without the lock.
        match removed {
            Some(_) => Ok(()),
            None => Err(StoreError::RoomNotFound(room.clone())),
        }
    }

    async fn room(&self, room: &RoomId) -> Result<Option<Room>, StoreError> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.get(room).map(|entry| entry.room.clone()))
    }

    async fn rooms(&self) -> Result<Vec<Room>, StoreError> {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut rooms = entries
            .values()
            .map(|entry| entry.room.clone())
            .collect::<Vec<_>>();
        rooms.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(rooms)
    }

    async fn append(&self, event: &RoomEvent) -> Result<(), StoreError> {
        self.write(&event.room_id, |entry| {
            let place = entry.events.len();
            if event.index != place as u64 {
                return Err(StoreError::IndexTaken { next: place as u64 });
            }
            if let Some(key) = &event.idempotency_key {
                entry.keys.entry(key.clone()).or_insert(place);
            }
            entry.events.push(event.clone());
            Ok(())
        })
    }

    async fn length(&self, room: &RoomId) -> Result<u64, StoreError> {
        self.read(room, |entry| entry.events.len() as u64)
    }

    async fn event_by_key(
        &self,
        room: &RoomId,
        key: &str,
    ) -> Result<Option<RoomEvent>, StoreError> {
        self.read(room, |entry| {
            entry
                .keys
                .get(key)
                .map(|place| entry.events[*place].clone())
        })
    }

    async fn timeline(
        &self,
        room: &RoomId,
        query: &TimelineQuery,
    ) -> Result<Vec<RoomEvent>, StoreError> {
        self.read(room, |entry| {
            let page = query.range(entry.events.len() as u64);
            entry.events[page.start as usize..page.end as usize].to_vec()
        })
    }
}
