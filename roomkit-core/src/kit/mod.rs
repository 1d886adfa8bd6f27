//! The front door: rooms, channels, hooks and what is reported of them.
#![allow(missing_docs, clippy::unused_async, clippy::needless_pass_by_value)]

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use crate::{
    channel::Channel,
    ephemeral::EphemeralEvent,
    error::RoomError,
    framework::{FrameworkBus, FrameworkEvent, FrameworkEvents},
    hook::{Hook, Hooks},
    id::{ChannelId, RoomId},
    room::{
        Access, BindingOptions, ChannelBinding, NewEvent, Room, RoomEvent, RoomOptions,
        TimelineQuery, Visibility,
    },
    store::RoomStore,
    subscriber::{SubscribeOptions, Subscription},
};

/// A kit that may be gone; see [`RoomKit`].
#[derive(Debug, Clone)]
pub struct WeakRoomKit(Weak<Inner>);

/// Rooms and channels.
#[derive(Debug, Clone)]
pub struct RoomKit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bus: Arc<FrameworkBus>,
    hooks: Hooks,
}

#[derive(Default)]
pub struct RoomKitBuilder;

impl RoomKitBuilder {
    #[must_use]
    pub fn store(self, _store: Arc<dyn RoomStore>) -> Self {
        self
    }
    #[must_use]
    pub fn max_chain_depth(self, _depth: u32) -> Self {
        self
    }
    #[must_use]
    pub fn delivery_timeout(self, _timeout: Duration) -> Self {
        self
    }
    #[must_use]
    pub fn queue_size(self, _events: usize) -> Self {
        self
    }
    pub fn build(self) -> RoomKit {
        let bus = Arc::new(FrameworkBus::new());
        let hooks = Hooks::new(Arc::clone(&bus));
        RoomKit(Arc::new(Inner { bus, hooks }))
    }
}

impl Default for RoomKit {
    fn default() -> Self {
        Self::new()
    }
}

impl RoomKit {
    pub fn new() -> Self {
        Self::builder().build()
    }
    pub fn builder() -> RoomKitBuilder {
        RoomKitBuilder
    }
    pub fn downgrade(&self) -> WeakRoomKit {
        WeakRoomKit(Arc::downgrade(&self.0))
    }
    pub fn register_channel<C: Channel>(&self, channel: C) -> Result<(), RoomError> {
        let _ = channel;
        Ok(())
    }
    pub async fn unregister_channel(&self, id: impl Into<ChannelId>) -> Result<(), RoomError> {
        Err(RoomError::ChannelNotRegistered(id.into()))
    }
    pub fn channel(&self, _id: impl Into<ChannelId>) -> Option<Arc<dyn Channel>> {
        None
    }
    pub async fn create_room(&self, options: impl Into<RoomOptions>) -> Result<Room, RoomError> {
        Ok(Room::create(options.into()))
    }
    pub async fn room(&self, room: impl Into<RoomId>) -> Result<Room, RoomError> {
        Err(RoomError::NotFound(room.into()))
    }
    pub async fn rooms(&self) -> Result<Vec<Room>, RoomError> {
        Ok(Vec::new())
    }
    pub async fn close_room(&self, room: impl Into<RoomId>) -> Result<Room, RoomError> {
        Err(RoomError::NotFound(room.into()))
    }
    pub async fn attach_channel(
        &self,
        room: impl Into<RoomId>,
        channel: impl Into<ChannelId>,
    ) -> Result<ChannelBinding, RoomError> {
        self.attach_channel_with(room, channel, BindingOptions::new())
            .await
    }
    pub async fn attach_channel_with(
        &self,
        room: impl Into<RoomId>,
        _channel: impl Into<ChannelId>,
        _options: BindingOptions,
    ) -> Result<ChannelBinding, RoomError> {
        Err(RoomError::NotFound(room.into()))
    }
    pub async fn detach_channel(
        &self,
        room: impl Into<RoomId>,
        _channel: impl Into<ChannelId>,
    ) -> Result<(), RoomError> {
        Err(RoomError::NotFound(room.into()))
    }
    pub async fn bindings(
        &self,
        room: impl Into<RoomId>,
    ) -> Result<Vec<Arc<ChannelBinding>>, RoomError> {
        Err(RoomError::NotFound(room.into()))
    }
    pub async fn binding(
        &self,
        room: impl Into<RoomId>,
        _channel: impl Into<ChannelId>,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        Err(RoomError::NotFound(room.into()))
    }
    pub async fn mute(
        &self,
        room: impl Into<RoomId>,
        _channel: impl Into<ChannelId>,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        Err(RoomError::NotFound(room.into()))
    }
    pub async fn set_access(
        &self,
        room: impl Into<RoomId>,
        _channel: impl Into<ChannelId>,
        _access: Access,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        Err(RoomError::NotFound(room.into()))
    }
    pub async fn set_visibility(
        &self,
        room: impl Into<RoomId>,
        _channel: impl Into<ChannelId>,
        _visibility: Visibility,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        Err(RoomError::NotFound(room.into()))
    }
    pub async fn send_event(
        &self,
        room: impl Into<RoomId>,
        _channel: impl Into<ChannelId>,
        _event: impl Into<NewEvent>,
    ) -> Result<RoomEvent, RoomError> {
        Err(RoomError::NotFound(room.into()))
    }
    pub async fn timeline(
        &self,
        room: impl Into<RoomId>,
        _query: TimelineQuery,
    ) -> Result<Vec<RoomEvent>, RoomError> {
        Err(RoomError::NotFound(room.into()))
    }
    pub async fn subscribe(
        &self,
        room: impl Into<RoomId>,
        _options: SubscribeOptions,
    ) -> Result<Subscription, RoomError> {
        Err(RoomError::NotFound(room.into()))
    }
    pub fn publish_ephemeral(&self, _event: EphemeralEvent) {}
    pub fn has_subscribers(&self, _room: &RoomId) -> bool {
        false
    }
    pub fn framework_events(&self) -> FrameworkEvents {
        self.0.bus.receiver()
    }
    pub fn emit(&self, event: FrameworkEvent) {
        self.0.bus.emit(event);
    }
    pub fn add_hook(&self, hook: Hook) {
        self.0.hooks.add(None, hook);
    }
    pub fn remove_hook(&self, name: &str) -> bool {
        self.0.hooks.remove(None, name)
    }
    pub fn hooks(&self) -> &Hooks {
        &self.0.hooks
    }
    pub async fn close(&self) {}
}

impl WeakRoomKit {
    pub fn upgrade(&self) -> Option<RoomKit> {
        self.0.upgrade().map(RoomKit)
    }
}
