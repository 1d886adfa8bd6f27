//! What the handles and tasks of one kit share.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    panic::AssertUnwindSafe,
    sync::{
        Arc, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{
    RoomKitBuilder,
    turns::{Turn, Turns},
};
use crate::{
    call::as_asked,
    channel::Channel,
    error::RoomError,
    framework::{FrameworkBus, FrameworkEvent, FrameworkEventKind},
    hook::Hooks,
    id::{ChannelId, RoomId},
    room::{LaneContext, LiveRoom, Room, RoomStatus},
    store::{RoomStore, StoreError},
    subscriber::CloseReason,
};

pub(super) struct Shared {
    pub(super) store: Arc<dyn RoomStore>,
    pub(super) max_chain_depth: u32,
    pub(super) max_rooms: AtomicUsize,
    pub(super) lifecycle_timeout: Duration,
    pub(super) lanes: LaneContext,
    /// By id; `None` while a channel is asked whether it wants to be one.
    channels: RwLock<Channels>,
    rooms: RwLock<Rooms>,
    /// Held while a room comes into `rooms` or leaves it.
    pub(super) turns: Turns,
    /// The subscribers of all rooms.
    watchers: Arc<AtomicUsize>,
    phase: AtomicU8,
    /// Cancelled when `close` has done its work.
    pub(super) closed: CancellationToken,
    /// Cancelled when the last handle is dropped.
    pub(super) gone: CancellationToken,
}

pub(super) type Channels = HashMap<ChannelId, Option<Arc<dyn Channel>>>;

#[derive(Default)]
struct Rooms {
    /// Those that are open, as far as they were named since the kit exists.
    live: HashMap<RoomId, Arc<LiveRoom>>,
    /// Those that are being created, which count as open.
    coming: HashSet<RoomId>,
}

/// Nothing new begins, but channels may write their last words.
const CLOSING: u8 = 1;
const CLOSED: u8 = 2;

impl Shared {
    pub(super) fn new(settings: RoomKitBuilder) -> Arc<Self> {
        let bus = Arc::new(FrameworkBus::new());
        Arc::new(Self {
            store: settings.store,
            max_chain_depth: settings.max_chain_depth,
            max_rooms: settings.max_rooms.into(),
            lifecycle_timeout: settings.lifecycle_timeout,
            lanes: LaneContext {
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
                hooks: Hooks::new(Arc::clone(&bus)),
                bus,
                queue_size: settings.queue_size,
                delivery_timeout: settings.delivery_timeout,
            },
            channels: RwLock::default(),
            rooms: RwLock::default(),
            turns: Turns::default(),
            watchers: Arc::default(),
            phase: AtomicU8::new(0),
            closed: CancellationToken::new(),
            gone: CancellationToken::new(),
        })
    }

    pub(super) fn hooks(&self) -> &Hooks {
        &self.lanes.hooks
    }

    pub(super) fn emit(&self, event: FrameworkEvent) {
        self.lanes.bus.emit(event);
    }

    /// Runs work that must not stop halfway when its caller is cancelled.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, RoomError>> + Send + 'static,
    ) -> Result<T, RoomError> {
        let stop = self.lanes.stop.clone();
        let task = async move {
            tokio::select! {
                biased;
                () = stop.cancelled() => Err(RoomError::KitClosed),
                result = work => result,
            }
        };
        match self
            .lanes
            .tasks
            .spawn(as_asked(task).in_current_span())
            .await
        {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(RoomError::KitClosed),
        }
    }

    /// Calls the store; a panic in it is its failure, and its failures are reported (contract R9).
    pub(super) async fn stored<T>(
        &self,
        operation: &'static str,
        room: Option<&RoomId>,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let result = AssertUnwindSafe(call)
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(StoreError::Failed("it panicked".to_owned())));
        if let Err(StoreError::Failed(error)) = &result {
            tracing::error!(
                operation,
                room = room.map(RoomId::as_str),
                "the store failed: {error}"
            );
            let mut event = FrameworkEvent::new(FrameworkEventKind::StoreFailed)
                .data("operation", operation)
                .data("error", error.as_str());
            event.room_id = room.cloned();
            self.emit(event);
        }
        result
    }

    pub(super) async fn record(&self, room: &RoomId) -> Result<Room, RoomError> {
        self.stored("room", Some(room), self.store.room(room))
            .await
            .map_err(room_error)?
            .ok_or_else(|| RoomError::NotFound(room.clone()))
    }
}

/// The channels that are registered.
impl Shared {
    pub(super) fn channel(&self, id: &ChannelId) -> Option<Arc<dyn Channel>> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        channels.get(id).cloned().flatten()
    }

    pub(super) fn all_channels(&self) -> Vec<Arc<dyn Channel>> {
        let channels = self.channels.read().unwrap_or_else(PoisonError::into_inner);
        channels.values().flatten().cloned().collect()
    }

    /// Nobody else can have this id; nobody finds a channel by it yet.
    pub(super) fn reserve(&self, id: &ChannelId) -> Result<(), RoomError> {
        let mut channels = self.channels();
        self.check_open()?;
        match channels.entry(id.clone()) {
            Entry::Occupied(_) => Err(RoomError::ChannelExists(id.clone())),
            Entry::Vacant(place) => {
                place.insert(None);
                Ok(())
            }
        }
    }

    /// The channel that the id was reserved for can be found from now on.
    pub(super) fn register(
        &self,
        id: &ChannelId,
        channel: Arc<dyn Channel>,
    ) -> Result<(), RoomError> {
        let mut channels = self.channels();
        // Looked at under the lock: what is added after this check is found by `close`.
        self.check_open()?;
        channels.insert(id.clone(), Some(channel));
        Ok(())
    }

    /// The registered channel is one no more.
    pub(super) fn remove(&self, id: &ChannelId) -> Result<Arc<dyn Channel>, RoomError> {
        let mut channels = self.channels();
        match channels.entry(id.clone()) {
            Entry::Occupied(place) if place.get().is_some() => place.remove(),
            _ => None,
        }
        .ok_or_else(|| RoomError::ChannelNotRegistered(id.clone()))
    }

    pub(super) fn channels(&self) -> RwLockWriteGuard<'_, Channels> {
        self.channels
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rooms that are open.
impl Shared {
    /// The room, which must be open. One that only the store knows comes to life here.
    pub(super) async fn live(&self, id: &RoomId) -> Result<Arc<LiveRoom>, RoomError> {
        self.check_not_closed()?;
        if let Some(room) = self.live_now(id) {
            return Ok(room);
        }
        let _turn = self.turns.of(id).await;
        if let Some(room) = self.live_now(id) {
            return Ok(room);
        }
        let record = self.record(id).await?;
        if record.status == RoomStatus::Closed {
            return Err(RoomError::Closed(id.clone()));
        }
        let length = self
            .stored("length", Some(id), self.store.length(id))
            .await
            .map_err(room_error)?;
        self.open(record.id, length)
    }

    /// The same, with the promise that the room does not go while the guard is held.
    pub(super) async fn live_and_held(&self, id: &RoomId) -> Result<Turn<'_>, RoomError> {
        loop {
            self.live(id).await?;
            let turn = self.turns.of(id).await;
            if self.live_now(id).is_some() {
                return Ok(turn);
            }
        }
    }

    pub(super) fn live_now(&self, id: &RoomId) -> Option<Arc<LiveRoom>> {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        rooms.live.get(id).cloned()
    }

    pub(super) fn count_live(&self) -> usize {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        rooms.live.len()
    }

    /// Whether one more room may be created; then it counts as open until it `came` or did not.
    pub(super) fn may_come(&self, id: &RoomId) -> bool {
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        let is_new = |id: &&RoomId| !rooms.live.contains_key(*id);
        let coming = rooms.coming.iter().filter(is_new).count();
        let may = rooms.live.len() + coming < self.max_rooms();
        if may {
            rooms.coming.insert(id.clone());
        }
        may
    }

    pub(super) fn came(&self, id: &RoomId) {
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        rooms.coming.remove(id);
    }

    pub(super) fn all_live(&self) -> Vec<Arc<LiveRoom>> {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        rooms.live.values().cloned().collect()
    }

    /// Brings a room to life; its turn is held.
    pub(super) fn open(&self, id: RoomId, length: u64) -> Result<Arc<LiveRoom>, RoomError> {
        let room = LiveRoom::new(
            id.clone(),
            length,
            Arc::clone(&self.watchers),
            self.lanes.clone(),
        );
        let room = Arc::new(room);
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        // Looked at under the lock: what is added after this check is found by `abandon`.
        self.check_not_closed()?;
        self.hooks().open_room(&id);
        rooms.live.insert(id, Arc::clone(&room));
        Ok(room)
    }

    pub(super) fn forget(&self, id: &RoomId) {
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        rooms.live.remove(id);
        drop(rooms);
        self.hooks().forget_room(id);
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watchers.load(Ordering::Acquire) > 0
    }
}

/// The end of the kit.
impl Shared {
    /// Whether rooms and channels can still be added.
    pub(super) fn check_open(&self) -> Result<(), RoomError> {
        match self.phase.load(Ordering::Acquire) {
            0 => Ok(()),
            _ => Err(RoomError::KitClosed),
        }
    }

    /// Whether events can still be written.
    pub(super) fn check_not_closed(&self) -> Result<(), RoomError> {
        match self.phase.load(Ordering::Acquire) {
            CLOSED => Err(RoomError::KitClosed),
            _ => Ok(()),
        }
    }

    /// `open → closing`; false when somebody else was first.
    pub(super) fn begin_closing(&self) -> bool {
        self.phase.fetch_max(CLOSING, Ordering::AcqRel) == 0
    }

    /// `→ closed` for writers, and then waits, for so long at most, until what the store has of them at
    /// this moment is shown, too.
    pub(super) async fn end_writing(&self, limit: Duration) {
        self.phase.store(CLOSED, Ordering::Release);
        let rooms = self.all_live();
        let writes = rooms.iter().map(|room| async {
            if timeout(limit, room.commit.lock()).await.is_err() {
                tracing::warn!(room = %room.id, "the store does not finish a write");
            }
        });
        join_all(writes).await;
    }

    /// `→ closed`: writes are refused, lanes finish what they hold, subscribers read the end.
    pub(super) fn retire(&self) {
        self.phase.store(CLOSED, Ordering::Release);
        let rooms = {
            let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut rooms.live)
        };
        for room in rooms.into_values() {
            room.finish(CloseReason::Shutdown);
        }
        self.lanes.tasks.close();
    }

    /// Stops every task where it is, and lets go of everything of the host's.
    pub(super) fn abandon(&self) {
        self.retire();
        self.lanes.stop.cancel();
        self.hooks().clear();
        self.lanes.bus.close();
        let channels = std::mem::take(&mut *self.channels());
        drop(channels);
    }
}

/// The store's failure as the host sees it.
pub(super) fn room_error(error: StoreError) -> RoomError {
    match error {
        StoreError::RoomExists(room) => RoomError::Exists(room),
        StoreError::RoomNotFound(room) => RoomError::NotFound(room),
        other => RoomError::Store(other.to_string()),
    }
}
