//! Which channels are in a room, and what they may do there.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{RoomKit, shared::Shared, write::record_of};
use crate::{
    call::telling,
    channel::{Channel, DetachReason},
    error::RoomError,
    framework::{FrameworkEvent, FrameworkEventKind},
    guard::{self, Failure},
    id::{ChannelId, RoomId},
    room::{Access, BindingOptions, ChannelBinding, LiveRoom, Place, Visibility},
};

/// Channels in rooms.
impl RoomKit {
    /// Attaches a channel to a room: it may read and write, and all see what it writes.
    ///
    /// # Errors
    ///
    /// As [`attach_channel_with`](Self::attach_channel_with).
    pub async fn attach_channel(
        &self,
        room: impl Into<RoomId>,
        channel: impl Into<ChannelId>,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        self.attach_channel_with(room, channel, BindingOptions::new())
            .await
    }

    /// Attaches a channel to a room, with permissions. Attaching it again replaces its permissions,
    /// and brings back one that was disconnected because it did not keep up.
    ///
    /// # Errors
    ///
    /// [`RoomError::ChannelNotRegistered`], [`RoomError::NotFound`], [`RoomError::Closed`];
    /// [`RoomError::Refused`] when the channel refuses, fails or does not answer.
    pub async fn attach_channel_with(
        &self,
        room: impl Into<RoomId>,
        channel: impl Into<ChannelId>,
        options: BindingOptions,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        let (room, channel) = (room.into(), channel.into());
        let shared = Arc::clone(self.shared());
        self.shared()
            .run(async move { shared.attach(&room, channel, options).await })
            .await
    }

    /// Takes a channel out of a room. The channel lets go first and may still write its last words;
    /// a voice channel ends the sessions it has there (contract R6).
    ///
    /// # Errors
    ///
    /// [`RoomError::NotFound`], [`RoomError::Closed`], [`RoomError::NotAttached`].
    pub async fn detach_channel(
        &self,
        room: impl Into<RoomId>,
        channel: impl Into<ChannelId>,
    ) -> Result<(), RoomError> {
        let (room, channel) = (room.into(), channel.into());
        let live = self.shared().live(&room).await?;
        let shared = Arc::clone(self.shared());
        self.shared()
            .run(async move { shared.detach(&live, &channel).await })
            .await
    }

    /// The channels of a room, in the order in which they were attached. A closed room has none.
    ///
    /// # Errors
    ///
    /// [`RoomError::NotFound`], [`RoomError::Store`].
    pub async fn bindings(
        &self,
        room: impl Into<RoomId>,
    ) -> Result<Vec<Arc<ChannelBinding>>, RoomError> {
        match self.shared().live(&room.into()).await {
            Ok(live) => Ok(live.bindings()),
            Err(RoomError::Closed(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// A channel's place in a room. One that has been told to leave has none any more.
    ///
    /// # Errors
    ///
    /// [`RoomError::NotFound`], [`RoomError::Closed`], [`RoomError::NotAttached`].
    pub async fn binding(
        &self,
        room: impl Into<RoomId>,
        channel: impl Into<ChannelId>,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        self.shared()
            .live(&room.into())
            .await?
            .binding(&channel.into())
    }
}

/// Permissions. Each change applies at once (contract A7), is told to the channel in order, and is
/// recorded on the timeline as an internal system event, except for the muting of output. All fail
/// with [`RoomError::NotFound`], [`RoomError::Closed`] or [`RoomError::NotAttached`].
impl RoomKit {
    /// The channel's words are stored as blocked from now on; a microphone is not heard. A muted voice
    /// channel is its caller: what the AI says there is shown all the same.
    pub async fn mute(
        &self,
        room: impl Into<RoomId>,
        channel: impl Into<ChannelId>,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        let change = |binding: &mut ChannelBinding| binding.muted = true;
        let record = |_: &_, _: &_| Some(("channel_muted", Value::Null));
        self.change(room.into(), channel.into(), change, record)
            .await
    }

    /// Undoes [`mute`](Self::mute).
    pub async fn unmute(
        &self,
        room: impl Into<RoomId>,
        channel: impl Into<ChannelId>,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        let change = |binding: &mut ChannelBinding| binding.muted = false;
        let record = |_: &_, _: &_| Some(("channel_unmuted", Value::Null));
        self.change(room.into(), channel.into(), change, record)
            .await
    }

    /// Nothing audible is played to the channel from now on.
    pub async fn mute_output(
        &self,
        room: impl Into<RoomId>,
        channel: impl Into<ChannelId>,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        let change = |binding: &mut ChannelBinding| binding.output_muted = true;
        self.change(room.into(), channel.into(), change, |_, _| None)
            .await
    }

    /// Undoes [`mute_output`](Self::mute_output).
    pub async fn unmute_output(
        &self,
        room: impl Into<RoomId>,
        channel: impl Into<ChannelId>,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        let change = |binding: &mut ChannelBinding| binding.output_muted = false;
        self.change(room.into(), channel.into(), change, |_, _| None)
            .await
    }

    /// What the channel may do from now on.
    pub async fn set_access(
        &self,
        room: impl Into<RoomId>,
        channel: impl Into<ChannelId>,
        access: Access,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        let change = |binding: &mut ChannelBinding| binding.access = access;
        let record = |old: &ChannelBinding, new: &ChannelBinding| {
            let data = json!({"field": "access", "old": old.access, "new": new.access});
            Some(("channel_updated", data))
        };
        self.change(room.into(), channel.into(), change, record)
            .await
    }

    /// Who sees the channel's events from now on, unless an event says otherwise.
    pub async fn set_visibility(
        &self,
        room: impl Into<RoomId>,
        channel: impl Into<ChannelId>,
        visibility: Visibility,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        let change = |binding: &mut ChannelBinding| binding.visibility = visibility;
        let record = |old: &ChannelBinding, new: &ChannelBinding| {
            let data = json!({"field": "visibility", "old": old.visibility, "new": new.visibility});
            Some(("channel_updated", data))
        };
        self.change(room.into(), channel.into(), change, record)
            .await
    }

    async fn change(
        &self,
        room: RoomId,
        channel: ChannelId,
        change: impl FnOnce(&mut ChannelBinding),
        record: impl FnOnce(&ChannelBinding, &ChannelBinding) -> Option<(&'static str, Value)>,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        let shared = self.shared();
        let live = shared.live(&room).await?;
        let tell = |told: &_, before: &_, after: &Arc<_>| {
            shared.tell_changed(told, after);
            if let Some((code, data)) = record(before, after) {
                let body = format!("{channel}: {}", code.replace('_', " "));
                live.records.add(record_of(after, code, body, data));
            }
        };
        let (binding, has_changed) = live.change(&channel, change, tell)?;
        if has_changed {
            let owned = Arc::clone(shared);
            let work = async move {
                owned.write_records(&live).await;
                Ok(())
            };
            shared.run(work).await?;
        }
        Ok(binding)
    }
}

impl Shared {
    async fn attach(
        self: &Arc<Self>,
        room: &RoomId,
        id: ChannelId,
        options: BindingOptions,
    ) -> Result<Arc<ChannelBinding>, RoomError> {
        self.check_open()?;
        let channel = self.registered(&id)?;
        let live = self.live(room).await?;
        let binding = Arc::new(ChannelBinding {
            room_id: room.clone(),
            channel_id: id.clone(),
            channel_type: channel.kind().to_owned(),
            category: options.category.unwrap_or_else(|| channel.category()),
            access: options.access,
            muted: options.muted,
            output_muted: options.output_muted,
            visibility: options.visibility,
            attached_at: Timestamp::now(),
        });
        live.reserve(&channel, &binding)?;
        let host = async { channel.on_attached(&binding).await };
        let agreed = guard::call(self.lifecycle_timeout, host)
            .await
            .and_then(|agreed| agreed.map_err(|error| Failure::Error(error.to_string())));
        if let Err(failure) = agreed {
            live.give_up(&channel);
            return Err(RoomError::Refused {
                channel: id,
                reason: failure.to_string(),
            });
        }
        let body = format!("{id} was attached");
        let record = record_of(&binding, "channel_attached", body, Value::Null);
        let tell = |told: &_, binding: &_| self.tell_changed(told, binding);
        if let Err(error) = live.settle(&channel, &binding, record, tell) {
            live.give_up(&channel);
            let why = match &error {
                RoomError::Closed(_) => DetachReason::RoomClosed,
                _ => DetachReason::Detached,
            };
            self.tell_detached(room, &[(channel, binding)], why).await;
            return Err(error);
        }
        // Whoever unregistered it or closed the kit while it was asked did not find it here; another may
        // have its id by now.
        let still_wanted = self.check_open().and_then(|()| {
            let registered = self.registered(&id)?;
            let gone = || RoomError::ChannelNotRegistered(id.clone());
            Arc::ptr_eq(&registered, &channel)
                .then_some(())
                .ok_or_else(gone)
        });
        if let Err(error) = still_wanted {
            let _ = self.detach(&live, &id).await; // Else they found it after all.
            return Err(error);
        }
        self.write_records(&live).await;
        self.emit(
            FrameworkEvent::new(FrameworkEventKind::ChannelAttached)
                .room(room)
                .channel(&id),
        );
        Ok(binding)
    }

    async fn detach(
        self: &Arc<Self>,
        room: &Arc<LiveRoom>,
        id: &ChannelId,
    ) -> Result<(), RoomError> {
        let place = room.begin_leaving(id)?;
        let binding = Arc::clone(&place.1);
        self.tell_detached(&room.id, &[place], DetachReason::Detached)
            .await;
        // Before it is out, and may be attached again.
        let body = format!("{id} was detached");
        let record = record_of(&binding, "channel_detached", body, Value::Null);
        room.record(record);
        room.leave(id);
        self.write_records(room).await;
        self.emit(
            FrameworkEvent::new(FrameworkEventKind::ChannelDetached)
                .room(&room.id)
                .channel(id),
        );
        Ok(())
    }

    pub(super) async fn unregister(self: &Arc<Self>, id: ChannelId) -> Result<(), RoomError> {
        let channel = self.remove(&id)?;
        let rooms = self.all_live();
        // A room it is not in, or is leaving already, has nothing to do.
        let _ = join_all(rooms.iter().map(|room| self.detach(room, &id))).await;
        self.close_channel(&channel).await;
        self.emit(FrameworkEvent::new(FrameworkEventKind::ChannelUnregistered).channel(&id));
        Ok(())
    }

    fn tell_changed(&self, channel: &Arc<dyn Channel>, binding: &ChannelBinding) {
        if let Err(failure) = guard::call_sync(|| channel.on_binding_changed(binding)) {
            let (id, room) = (&binding.channel_id, &binding.room_id);
            self.report_channel(id, Some(room), "on_binding_changed", &failure);
        }
    }

    /// Waits until these channels have let go of the room. All are told at the same time, and
    /// neither a failing nor a hanging one keeps another from it.
    pub(super) async fn tell_detached(&self, room: &RoomId, places: &[Place], why: DetachReason) {
        join_all(places.iter().map(|(channel, _)| async move {
            let host = async { channel.on_detached(room, why).await };
            if let Err(failure) = guard::call(self.close_timeout(channel), host).await {
                self.report_channel(channel.id(), Some(room), "on_detached", &failure);
            }
        }))
        .await;
    }

    /// Waits until the channels are out of the room that were being taken out before these: they may
    /// still write their last words. A hook or an observer that asks is one that they may wait for.
    pub(super) async fn others_left(&self, room: &LiveRoom, places: &[Place]) {
        let others = room.leaving_beside(places);
        let limits = others.iter().map(|channel| self.close_timeout(channel));
        if telling().is_none()
            && let Some(limit) = limits.max()
            && timeout(limit, room.others_left(places)).await.is_err()
        {
            tracing::warn!(room = %room.id, "a channel that is being taken out does not let go");
        }
    }

    pub(super) async fn close_channel(&self, channel: &Arc<dyn Channel>) {
        let host = async { channel.close().await };
        if let Err(failure) = guard::call(self.close_timeout(channel), host).await {
            self.report_channel(channel.id(), None, "close", &failure);
        }
    }

    fn close_timeout(&self, channel: &Arc<dyn Channel>) -> Duration {
        let own = guard::call_sync(|| channel.close_timeout());
        own.ok().flatten().unwrap_or(self.lifecycle_timeout)
    }

    pub(super) fn report_channel(
        &self,
        channel: &ChannelId,
        room: Option<&RoomId>,
        operation: &'static str,
        failure: &Failure,
    ) {
        tracing::warn!(
            channel = %channel, room = room.map(RoomId::as_str), operation,
            "a channel failed: {failure}"
        );
        let mut event = FrameworkEvent::new(FrameworkEventKind::ChannelFailed)
            .channel(channel)
            .data("operation", operation)
            .data("error", failure.to_string());
        event.room_id = room.cloned();
        self.emit(event);
    }

    fn registered(&self, id: &ChannelId) -> Result<Arc<dyn Channel>, RoomError> {
        self.channel(id)
            .ok_or_else(|| RoomError::ChannelNotRegistered(id.clone()))
    }
}
