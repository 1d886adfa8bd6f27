//! The channel that dashboards read and write through.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;

use super::{SubscribeOptions, Subscription};
use crate::{
    channel::{Channel, ChannelError},
    error::RoomError,
    id::{ChannelId, RoomId},
    kit::WeakRoomKit,
    room::{ChannelBinding, RoomEvent},
};

/// A channel for people who watch: each of its [subscriptions](Self::subscribe) gets what this
/// channel may see in one room, and what they write goes through
/// [`RoomKit::send_event`](crate::RoomKit::send_event) under the channel's id.
///
/// A cheap handle: register one clone, keep another.
///
/// ```
/// # async fn example() -> Result<(), roomkit_core::error::RoomError> {
/// use roomkit_core::{RoomKit, room::NewEvent, subscriber::SubscriberChannel};
///
/// let kit = RoomKit::new();
/// let dashboard = SubscriberChannel::new("dashboard");
/// kit.register_channel(dashboard.clone())?;
/// kit.create_room("support-1").await?;
/// kit.attach_channel("support-1", "dashboard").await?;
///
/// let mut updates = dashboard.subscribe("support-1").await?;
/// kit.send_event("support-1", "dashboard", NewEvent::text("I am listening")).await?;
/// while let Some(update) = updates.recv().await {
///     println!("{update:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SubscriberChannel(Arc<Inner>);

struct Inner {
    id: ChannelId,
    kit: Mutex<Option<WeakRoomKit>>,
}

impl SubscriberChannel {
    /// A channel of this id.
    pub fn new(id: impl Into<ChannelId>) -> Self {
        Self(Arc::new(Inner {
            id: id.into(),
            kit: Mutex::new(None),
        }))
    }

    /// What happens in this room from now on, as far as this channel may see it. Its own events,
    /// which are those of everybody who writes through it, are not among it (contract R2).
    ///
    /// # Errors
    ///
    /// When the channel is not registered, or not attached to the room, or the room is closed.
    pub async fn subscribe(&self, room: impl Into<RoomId>) -> Result<Subscription, RoomError> {
        self.subscribe_with(room, SubscribeOptions::new()).await
    }

    /// Like [`subscribe`](Self::subscribe), with options; it always reads as this channel.
    pub async fn subscribe_with(
        &self,
        room: impl Into<RoomId>,
        options: SubscribeOptions,
    ) -> Result<Subscription, RoomError> {
        let weak = self.kit().clone();
        let kit = weak
            .ok_or_else(|| RoomError::ChannelNotRegistered(self.0.id.clone()))?
            .upgrade()
            .ok_or(RoomError::KitClosed)?;
        kit.subscribe(room, options.channel(&self.0.id)).await
    }

    fn kit(&self) -> std::sync::MutexGuard<'_, Option<WeakRoomKit>> {
        self.0.kit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Channel for SubscriberChannel {
    fn id(&self) -> &ChannelId {
        &self.0.id
    }

    fn kind(&self) -> &'static str {
        "websocket"
    }

    fn on_registered(&self, kit: WeakRoomKit) -> Result<(), ChannelError> {
        let mut known = self.kit();
        if known.as_ref().and_then(WeakRoomKit::upgrade).is_some() {
            let problem = "a subscriber channel is registered with one kit at a time; build another one, \
                           or unregister it there";
            return Err(ChannelError::new(problem));
        }
        *known = Some(kit);
        Ok(())
    }

    /// Nothing to do: the room hands each subscription its events itself, so that a slow one costs
    /// only itself.
    async fn on_event(
        &self,
        _event: Arc<RoomEvent>,
        _binding: &ChannelBinding,
    ) -> Result<(), ChannelError> {
        Ok(())
    }

    async fn close(&self) {
        *self.kit() = None;
    }
}

impl fmt::Debug for SubscriberChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubscriberChannel")
            .field("id", &self.0.id)
            .finish_non_exhaustive()
    }
}
