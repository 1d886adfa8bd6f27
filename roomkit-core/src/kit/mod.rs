//! The front door: rooms, channels, hooks, and what is reported of them.
//!
//! A [`RoomKit`] owns a store of rooms and a set of channels. A channel that is attached to a room
//! reads what the others write there and writes itself; everything written is an event on the
//! room's timeline, in one order for everybody.
//!
//! ```
//! use roomkit_core::{
//!     RoomKit,
//!     room::{NewEvent, TimelineQuery},
//!     subscriber::{SubscribeOptions, SubscriberChannel},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), roomkit_core::error::RoomError> {
//! let kit = RoomKit::new();
//! kit.register_channel(SubscriberChannel::new("dashboard"))?;
//! let room = kit.create_room("support-1").await?;
//! kit.attach_channel(&room.id, "dashboard").await?;
//!
//! let mut updates = kit.subscribe(&room.id, SubscribeOptions::new()).await?;
//! let event = kit
//!     .send_event(&room.id, "dashboard", NewEvent::text("hello").participant("ann"))
//!     .await?;
//! assert!(updates.recv().await.is_some());
//!
//! let timeline = kit.timeline(&room.id, TimelineQuery::latest(10)).await?;
//! assert_eq!(timeline.last(), Some(&event));
//! kit.close().await;
//! # Ok(())
//! # }
//! ```

mod builder;
mod lifecycle;
mod members;
mod rooms;
mod shared;
mod turns;
mod write;

use std::{
    fmt,
    sync::{Arc, Weak},
};

pub use builder::RoomKitBuilder;
use tokio_util::sync::CancellationToken;

use crate::{
    channel::Channel,
    ephemeral::EphemeralEvent,
    error::RoomError,
    framework::{FrameworkEvent, FrameworkEventKind, FrameworkEvents},
    guard::{self, Failure},
    hook::{Hook, Hooks},
    id::{ChannelId, RoomId},
    subscriber::{OnDrop, SubscribeOptions, Subscription, UpdateQueue},
};
use shared::Shared;

/// Rooms, channels, hooks and what is reported of them; see the [module](self) for an example.
///
/// A cheap handle: clones name the same kit. When the last one is dropped every task of the kit
/// stops where it is; [`close`](Self::close) ends things in order (contract S7).
///
/// # Cancellation
///
/// A change of a room that has begun is made to its end, also when the future that asked for it is dropped,
/// as `timeout` does: a task of the kit makes it. So a method that was given up may have done what it
/// was to do. Give an event an [idempotency key](crate::room::NewEvent::idempotency_key) and send it again:
/// it is written once (contract R8). Attaching, detaching and closing can be repeated as they are.
#[derive(Clone)]
pub struct RoomKit(Arc<Handle>);

/// A kit that may be gone. What channels, hooks and host tasks keep, so as not to keep the kit
/// alive themselves.
#[derive(Clone)]
pub struct WeakRoomKit(Weak<Handle>);

/// What the host's handles share; the kit's own tasks share only what is inside, so that the end of
/// the last handle can be noticed.
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.abandon();
        self.0.gone.cancel();
    }
}

impl Default for RoomKit {
    fn default() -> Self {
        Self::new()
    }
}

/// Setting up.
impl RoomKit {
    /// A kit that keeps its rooms in memory.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A kit with settings.
    pub fn builder() -> RoomKitBuilder {
        RoomKitBuilder::default()
    }

    /// A handle that does not keep the kit alive.
    pub fn downgrade(&self) -> WeakRoomKit {
        WeakRoomKit(Arc::downgrade(&self.0))
    }

    /// Cancelled when the last handle is dropped.
    pub(crate) fn gone(&self) -> CancellationToken {
        self.shared().gone.clone()
    }

    fn with(shared: Arc<Shared>) -> Self {
        Self(Arc::new(Handle(shared)))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.0
    }
}

impl WeakRoomKit {
    /// The kit, if it still exists.
    pub fn upgrade(&self) -> Option<RoomKit> {
        self.0.upgrade().map(RoomKit)
    }
}

/// Channels.
impl RoomKit {
    /// Makes a channel known, so that it can be attached to rooms. Channels are cheap handles:
    /// register one clone, keep another.
    ///
    /// # Errors
    ///
    /// [`RoomError::ChannelExists`] when its id is taken; [`RoomError::Refused`] when the channel refuses
    /// or fails, as a voice channel does that was registered before, with this kit or another.
    pub fn register_channel<C: Channel>(&self, channel: C) -> Result<(), RoomError> {
        let shared = self.shared();
        let channel = Arc::new(channel) as Arc<dyn Channel>;
        let id = channel.id().clone();
        shared.reserve(&id)?;
        let weak = self.downgrade();
        let agreed = guard::call_sync(|| channel.on_registered(weak))
            .and_then(|agreed| agreed.map_err(|error| Failure::Error(error.to_string())));
        if let Err(failure) = agreed {
            shared.channels().remove(&id);
            return Err(RoomError::Refused {
                channel: id,
                reason: failure.to_string(),
            });
        }
        shared.register(&id, Arc::clone(&channel))?;
        shared.emit(
            FrameworkEvent::new(FrameworkEventKind::ChannelRegistered)
                .channel(id)
                .data("kind", channel.kind()),
        );
        Ok(())
    }

    /// Detaches a channel from all rooms, closes it and forgets it.
    ///
    /// # Errors
    ///
    /// [`RoomError::ChannelNotRegistered`].
    pub async fn unregister_channel(&self, id: impl Into<ChannelId>) -> Result<(), RoomError> {
        let id = id.into();
        let shared = Arc::clone(self.shared());
        self.shared()
            .run(async move { shared.unregister(id).await })
            .await
    }

    /// A registered channel.
    pub fn channel(&self, id: impl Into<ChannelId>) -> Option<Arc<dyn Channel>> {
        self.shared().channel(&id.into())
    }
}

/// Watching.
impl RoomKit {
    /// What happens in a room from now on.
    ///
    /// # Errors
    ///
    /// [`RoomError::NotFound`], [`RoomError::Closed`]; [`RoomError::NotAttached`] when it should
    /// read as a channel that is not in the room.
    pub async fn subscribe(
        &self,
        room: impl Into<RoomId>,
        options: SubscribeOptions,
    ) -> Result<Subscription, RoomError> {
        let room = room.into();
        let shared = self.shared();
        let live = shared.live(&room).await?;
        let capacity = options.queue_size.unwrap_or(shared.lanes.queue_size);
        let queue = Arc::new(UpdateQueue::new(capacity));
        let first_index = live.subscribe(Arc::clone(&queue), options)?;
        let (watched, given) = (Arc::downgrade(&live), Arc::clone(&queue));
        let unsubscribe = OnDrop::new(move || {
            if let Some(live) = watched.upgrade() {
                live.unsubscribe(&given);
            }
        });
        Ok(Subscription::new(room, first_index, queue, unsubscribe))
    }

    /// Whether anybody watches the room. Costs one atomic read when nobody watches any; ask before
    /// building an ephemeral event.
    pub fn has_subscribers(&self, room: &RoomId) -> bool {
        let shared = self.shared();
        shared.is_watched()
            && shared
                .live_now(room)
                .is_some_and(|live| live.has_subscribers())
    }

    /// Shows something to the subscribers of its room, at this moment only (contract T2). Never
    /// waits; a room that is not open, and subscribers who are behind, do not get it.
    pub fn publish_ephemeral(&self, event: EphemeralEvent) {
        let shared = self.shared();
        if shared.is_watched()
            && let Some(live) = shared.live_now(&event.room_id)
            && live.has_subscribers()
        {
            live.publish_ephemeral(event);
        }
    }

    /// What the kit reports of itself from now on.
    pub fn framework_events(&self) -> FrameworkEvents {
        self.shared().lanes.bus.receiver()
    }

    /// Reports something to those who watch the kit; for channels. Never waits.
    pub fn emit(&self, event: FrameworkEvent) {
        self.shared().emit(event);
    }
}

/// Hooks.
impl RoomKit {
    /// Adds a hook for all rooms.
    pub fn add_hook(&self, hook: Hook) {
        self.hooks().add(None, hook);
    }

    /// Adds a hook for one room; it goes when the room is closed.
    ///
    /// # Errors
    ///
    /// [`RoomError::NotFound`], [`RoomError::Closed`].
    pub async fn add_room_hook(
        &self,
        room: impl Into<RoomId>,
        hook: Hook,
    ) -> Result<(), RoomError> {
        let room = room.into();
        let _turn = self.shared().live_and_held(&room).await?;
        self.hooks().add(Some(&room), hook);
        Ok(())
    }

    /// Removes the hooks of this name that are for all rooms; false when there is none. Hooks that were
    /// given no name have their trigger's, all of one trigger the same.
    pub fn remove_hook(&self, name: &str) -> bool {
        self.hooks().remove(None, name)
    }

    /// Removes the hooks of this name from one room; false when there is none. As with
    /// [`remove_hook`](Self::remove_hook), hooks without a name of their own go together.
    pub fn remove_room_hook(&self, room: impl Into<RoomId>, name: &str) -> bool {
        self.hooks().remove(Some(&room.into()), name)
    }

    /// Runs hooks as the engine does: for channels that have something to ask them, and for tests of
    /// their order, filters and failures.
    pub fn hooks(&self) -> &Hooks {
        self.shared().hooks()
    }
}

impl fmt::Debug for RoomKit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomKit").finish_non_exhaustive()
    }
}

impl fmt::Debug for WeakRoomKit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakRoomKit").finish_non_exhaustive()
    }
}
