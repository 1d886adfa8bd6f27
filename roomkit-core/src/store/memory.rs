//! Rooms in this process's memory.

use std::{
    collections::{HashMap, VecDeque},
    sync::{PoisonError, RwLock},
};

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{RoomStore, StoreError};
use crate::{
    id::{ChannelId, ParticipantId, RoomId},
    room::{Content, Room, RoomEvent, TimelineQuery, Visibility},
};

/// The default [`RoomStore`]: fast, and gone with the process. Closed rooms stay in it until they
/// are [deleted](crate::RoomKit::delete_room); a service that runs for months has to.
///
/// Of each timeline it keeps the newest events, as many as
/// [`max_timeline_bytes`](Self::max_timeline_bytes) hold, and forgets the oldest: whoever may write
/// into a room that stays open could fill the memory otherwise (contract X5). Indices go on; a page
/// of what is forgotten begins with the first event that is there.
#[derive(Debug)]
pub struct MemoryStore {
    rooms: RwLock<HashMap<RoomId, Entry>>,
    max_timeline_bytes: usize,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            rooms: RwLock::default(),
            max_timeline_bytes: Self::DEFAULT_TIMELINE_BYTES,
        }
    }
}

#[derive(Debug)]
struct Entry {
    room: Room,
    /// The index of the first event that is there.
    first: u64,
    /// In boxes, for most rooms have few, and a deque has room for four large things at once.
    events: VecDeque<Box<RoomEvent>>,
    /// About the memory of those events.
    bytes: usize,
    /// The index of the event that a channel wrote with a key.
    keys: HashMap<(ChannelId, String), u64>,
}

impl Entry {
    /// The index of the next event.
    fn length(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    fn event(&self, index: u64) -> Option<&RoomEvent> {
        let place = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.events.get(place).map(|event| &**event)
    }

    fn push(&mut self, event: RoomEvent) {
        if let Some(key) = key_of(&event) {
            self.keys.entry(key).or_insert(event.index);
        }
        self.bytes += bytes_of(&event);
        self.events.push_back(Box::new(event));
    }

    /// Forgets the oldest events until the rest takes no more than this; never the newest one.
    fn forget_beyond(&mut self, most: usize) {
        while self.bytes > most && self.events.len() > 1 {
            let Some(event) = self.events.pop_front() else {
                return;
            };
            self.first += 1;
            self.bytes -= bytes_of(&event);
            if let Some(key) = key_of(&event)
                && self.keys.get(&key) == Some(&event.index)
            {
                self.keys.remove(&key);
            }
        }
    }
}

impl MemoryStore {
    /// How much is kept of each timeline unless said otherwise: 4 MiB, some hours of talk.
    pub const DEFAULT_TIMELINE_BYTES: usize = 4 * 1024 * 1024;

    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// How much memory, in bytes, the events of one room may take, about; then the oldest are
    /// forgotten. The newest event is kept however large it is. [4 MiB](Self::DEFAULT_TIMELINE_BYTES)
    /// unless said otherwise; `usize::MAX` keeps all.
    #[must_use]
    pub fn max_timeline_bytes(mut self, bytes: usize) -> Self {
        self.max_timeline_bytes = bytes;
        self
    }

    fn read<T>(&self, room: &RoomId, look: impl FnOnce(&Entry) -> T) -> Result<T, StoreError> {
        let entries = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
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
        let mut entries = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        entries
            .get_mut(room)
            .ok_or_else(|| StoreError::RoomNotFound(room.clone()))
            .and_then(change)
    }
}

#[async_trait]
impl RoomStore for MemoryStore {
    async fn create_room(&self, room: &Room) -> Result<(), StoreError> {
        let mut entries = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        if entries.contains_key(&room.id) {
            return Err(StoreError::RoomExists(room.id.clone()));
        }
        let entry = Entry {
            room: room.clone(),
            first: 0,
            events: VecDeque::new(),
            bytes: 0,
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
            let mut entries = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
            entries.remove(room)
        };
        // A long timeline is let go of without the lock.
        match removed {
            Some(_) => Ok(()),
            None => Err(StoreError::RoomNotFound(room.clone())),
        }
    }

    async fn room(&self, room: &RoomId) -> Result<Option<Room>, StoreError> {
        let entries = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        Ok(entries.get(room).map(|entry| entry.room.clone()))
    }

    async fn rooms(&self) -> Result<Vec<Room>, StoreError> {
        let entries = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        let mut rooms = entries
            .values()
            .map(|entry| entry.room.clone())
            .collect::<Vec<_>>();
        rooms.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(rooms)
    }

    async fn append(&self, event: &RoomEvent) -> Result<(), StoreError> {
        self.write(&event.room_id, |entry| {
            let next = entry.length();
            if event.index != next {
                return Err(StoreError::IndexTaken { next });
            }
            entry.push(event.clone());
            entry.forget_beyond(self.max_timeline_bytes);
            Ok(())
        })
    }

    async fn length(&self, room: &RoomId) -> Result<u64, StoreError> {
        self.read(room, Entry::length)
    }

    async fn event_by_key(
        &self,
        room: &RoomId,
        writer: &ChannelId,
        key: &str,
    ) -> Result<Option<RoomEvent>, StoreError> {
        let key = (writer.clone(), key.to_owned());
        self.read(room, |entry| {
            let index = entry.keys.get(&key)?;
            entry.event(*index).cloned()
        })
    }

    async fn timeline(
        &self,
        room: &RoomId,
        query: &TimelineQuery,
    ) -> Result<Vec<RoomEvent>, StoreError> {
        self.read(room, |entry| {
            let page = query.range_from(entry.first, entry.length());
            page.filter_map(|index| entry.event(index).cloned())
                .collect()
        })
    }
}

/// Whose key it is, and which.
fn key_of(event: &RoomEvent) -> Option<(ChannelId, String)> {
    let key = event.idempotency_key.clone()?;
    Some((event.source.channel_id.clone(), key))
}

/// About the memory that an event takes, its key beside it included.
fn bytes_of(event: &RoomEvent) -> usize {
    let ids = [
        event.id.as_str(),
        event.room_id.as_str(),
        event.source.channel_id.as_str(),
        &event.source.channel_type,
    ];
    let options = [
        event
            .source
            .participant_id
            .as_ref()
            .map(ParticipantId::as_str),
        event.source.provider.as_deref(),
        event.blocked_by.as_deref(),
        // Once in the event, and once where it is looked up.
        event.idempotency_key.as_deref(),
        event.idempotency_key.as_deref(),
    ];
    let texts = ids.into_iter().chain(options.into_iter().flatten());
    let content = match &event.content {
        Content::Text { body } => body.len(),
        Content::System { body, code, data } => body.len() + code.len() + bytes_of_value(data),
        Content::Data { kind, data } => kind.len() + bytes_of_value(data),
    };
    let visibility = [&event.visibility, &event.source.visibility].map(|names| match names {
        Visibility::Channels(ids) => ids
            .iter()
            .map(|id| size_of_val(id) + id.as_str().len())
            .sum(),
        _ => 0,
    });
    size_of::<RoomEvent>()
        + texts.map(str::len).sum::<usize>()
        + content
        + visibility.iter().sum::<usize>()
        + bytes_of_map(&event.metadata)
}

fn bytes_of_value(value: &Value) -> usize {
    let beneath = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(bytes_of_value).sum(),
        Value::Object(map) => bytes_of_map(map),
    };
    size_of::<Value>() + beneath
}

fn bytes_of_map(map: &Map<String, Value>) -> usize {
    map.iter()
        .map(|(key, value)| size_of::<String>() + key.len() + bytes_of_value(value))
        .sum()
}
