//! What any channel of a room is: a dashboard, a log, a CRM, a voice.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{
    id::{ChannelId, RoomId},
    kit::WeakRoomKit,
    room::{ChannelBinding, RoomEvent},
};

/// Something that takes part in rooms. One channel may be attached to many of them.
#[async_trait]
pub trait Channel: Send + Sync + 'static {
    /// Its id, unique within a [`RoomKit`](crate::RoomKit).
    fn id(&self) -> &ChannelId;

    /// What sort of channel it is, such as `realtime_voice` or `log`. Hooks can filter by it.
    fn kind(&self) -> &str;

    /// Which visibility words include it.
    fn category(&self) -> ChannelCategory {
        ChannelCategory::Transport
    }

    /// The software behind it, stamped on the events it sends.
    fn provider_name(&self) -> Option<String> {
        None
    }

    /// It is being registered with a kit, which it may keep (weakly, or it would keep the kit alive); an
    /// error refuses that.
    fn on_registered(&self, kit: WeakRoomKit) -> Result<(), ChannelError> {
        let _ = kit;
        Ok(())
    }

    /// It is being attached to a room; an error refuses that.
    async fn on_attached(&self, binding: &ChannelBinding) -> Result<(), ChannelError> {
        let _ = binding;
        Ok(())
    }

    /// An event of another channel that this one may see. Called in the order of the timeline, one
    /// after the other; a channel that takes too long is disconnected from the room (contract R7).
    async fn on_event(
        &self,
        event: Arc<RoomEvent>,
        binding: &ChannelBinding,
    ) -> Result<(), ChannelError>;

    /// Its permissions in a room changed, or it was attached there again. Must not block: it runs
    /// inside the change.
    fn on_binding_changed(&self, binding: &ChannelBinding) {
        let _ = binding;
    }

    /// It was, or is about to be, taken out of a room; returns when it has let go of it. Where the room
    /// or the kit is closed, [`on_event`](Self::on_event) may follow with what is on its way still: the
    /// last words of others.
    async fn on_detached(&self, room: &RoomId, why: DetachReason) {
        let _ = (room, why);
    }

    /// The kit closes, or the channel was unregistered. What was on its way to it has been delivered by
    /// then, where the kit closes and that took no longer than the kit waits for it
    /// ([`delivery_timeout`](crate::RoomKitBuilder::delivery_timeout)).
    async fn close(&self) {}

    /// How long it may take to let go of a room, or to close, before the kit goes on without it; the
    /// kit's [`lifecycle_timeout`](crate::RoomKitBuilder::lifecycle_timeout) unless it says otherwise.
    fn close_timeout(&self) -> Option<Duration> {
        None
    }
}

/// Why a channel leaves a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DetachReason {
    /// The host detached it.
    Detached,
    /// The room is being closed; the channel may still write its last words.
    RoomClosed,
    /// The kit is being closed.
    Shutdown,
}

/// What a channel is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelCategory {
    /// Brings in and shows what people say.
    #[default]
    Transport,
    /// Thinks for itself: a text AI.
    Intelligence,
}

/// A channel could not take an event, or refused to be registered or attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelError(pub String);

impl ChannelError {
    /// A failure in these words.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for ChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ChannelError {}
