//! What the handles and tasks of one kit share.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::RoomKitBuilder;
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
    pub(super) channels: RwLock<HashMap<ChannelId, Arc<dyn Channel>>>,
    /// The rooms that are open, as far as they were named since the kit exists.
    rooms: RwLock<HashMap<RoomId, Arc<LiveRoom>>>,
    /// Held while a room comes into `rooms` or leaves it, so that a closed one cannot come back.
    pub(super) opening: tokio::sync::Mutex<()>,
    /// The subscribers of all rooms.
    watchers: Arc<AtomicUsize>,
    phase: AtomicU8,
    /// Cancelled when `close` has done its work.
    pub(super) closed: CancellationToken,
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
            opening: tokio::sync::Mutex::new(()),
            watchers: Arc::default(),
            phase: AtomicU8::new(0),
            closed: CancellationToken::new(),
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

/// The rooms that are open.
impl Shared {
    /// The room, which must be open. One that only the store knows comes to life here.
    pub(super) async fn live(&self, id: &RoomId) -> Result<Arc<LiveRoom>, RoomError> {
        self.check_not_closed()?;
        if let Some(room) = self.live_now(id) {
            return Ok(room);
        }
        let _opening = self.opening.lock().await;
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
    pub(super) async fn live_and_held(
        &self,
        id: &RoomId,
    ) -> Result<tokio::sync::MutexGuard<'_, ()>, RoomError> {
        loop {
            self.live(id).await?;
            let opening = self.opening.lock().await;
            if self.live_now(id).is_some() {
                return Ok(opening);
            }
        }
    }

    pub(super) fn live_now(&self, id: &RoomId) -> Option<Arc<LiveRoom>> {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        rooms.get(id).cloned()
    }

    pub(super) fn count_live(&self) -> usize {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        rooms.len()
    }

    pub(super) fn all_live(&self) -> Vec<Arc<LiveRoom>> {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        rooms.values().cloned().collect()
    }

    /// Brings a room to life; `opening` is held.
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
        rooms.insert(id, Arc::clone(&room));
        Ok(room)
    }

    pub(super) fn forget(&self, id: &RoomId) {
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        rooms.remove(id);
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
            std::mem::take(&mut *rooms)
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
        let channels = {
            let mut channels = self
                .channels
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *channels)
        };
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
