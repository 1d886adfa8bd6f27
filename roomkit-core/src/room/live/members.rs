//! Who is in a room: joining, permissions, leaving.

use std::sync::{Arc, PoisonError};

use super::{LiveRoom, Member, Phase, Place, Stage};
use crate::{
    channel::Channel,
    error::RoomError,
    id::ChannelId,
    room::{ChannelBinding, RoomEvent, lane::Lane},
    subscriber::CloseReason,
};

impl LiveRoom {
    /// A place for a channel that has yet to agree. One that is attached keeps its binding until
    /// then.
    pub(crate) fn reserve(
        &self,
        channel: &Arc<dyn Channel>,
        binding: &Arc<ChannelBinding>,
    ) -> Result<(), RoomError> {
        let mut state = self.state();
        if state.phase != Phase::Open {
            return Err(RoomError::Closed(self.id.clone()));
        }
        match state.member(&binding.channel_id) {
            Some(member) if member.stage == Stage::Present && member.is(channel) => {}
            Some(_) => {
                return Err(RoomError::Refused {
                    channel: binding.channel_id.clone(),
                    reason: "it is being attached or detached at this moment".to_owned(),
                });
            }
            None => state.members.push(Member {
                channel: Arc::clone(channel),
                binding: Arc::clone(binding),
                stage: Stage::Joining,
                lane: None,
            }),
        }
        Ok(())
    }

    /// The channel agreed: it is in, its lane runs, and `record` is added to what is to be recorded.
    /// One that was in already has a new binding, and `tell` is called with it. An error when the room
    /// has begun to close, or the channel to leave, meanwhile.
    pub(crate) fn settle(
        &self,
        channel: &Arc<dyn Channel>,
        binding: &Arc<ChannelBinding>,
        record: RoomEvent,
        tell: impl FnOnce(&Arc<dyn Channel>, &ChannelBinding),
    ) -> Result<(), RoomError> {
        let _in_order = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        if state.phase != Phase::Open {
            return Err(RoomError::Closed(self.id.clone()));
        }
        let Some(place) = state
            .members
            .iter()
            .position(|member| member.stage != Stage::Leaving && member.is(channel))
        else {
            return Err(self.not_attached(&binding.channel_id));
        };
        // Only now that there is somebody to wait for it: it may be in a call still (contract R1).
        let stopped = state.take_stopped(&binding.channel_id);
        let member = &mut state.members[place];
        let was_in = std::mem::replace(&mut member.stage, Stage::Present) == Stage::Present;
        let told = was_in.then(|| Arc::clone(&member.channel));
        member.binding = Arc::clone(binding);
        if member.lane.as_ref().is_none_or(Lane::is_dead) {
            let previous = member.lane.take().or(stopped);
            let channel = Arc::clone(&member.channel);
            member.lane = Some(Lane::start(&self.context, channel, previous));
        }
        drop(state);
        self.records.add(record);
        if let Some(channel) = told {
            tell(&channel, binding);
        }
        Ok(())
    }

    /// Adds a record behind those of changes that are being told.
    pub(crate) fn record(&self, record: RoomEvent) {
        let _in_order = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        self.records.add(record);
    }

    /// Gives up a place that was only reserved.
    pub(crate) fn give_up(&self, channel: &Arc<dyn Channel>) {
        let gone = {
            let mut state = self.state();
            state.take_member(|member| member.stage == Stage::Joining && member.is(channel))
        };
        drop(gone);
    }

    /// Begins to take a channel out: it is no longer listed, but may write.
    pub(crate) fn begin_leaving(&self, channel: &ChannelId) -> Result<Place, RoomError> {
        let mut state = self.state();
        match state.member_mut(channel) {
            Some(member) if member.stage == Stage::Present => {
                member.stage = Stage::Leaving;
                Ok(member.place())
            }
            _ => Err(self.not_attached(channel)),
        }
    }

    /// The same for all channels.
    pub(crate) fn begin_leaving_all(&self) -> Vec<Place> {
        let mut state = self.state();
        state
            .members
            .iter_mut()
            .filter(|member| member.stage == Stage::Present)
            .map(|member| {
                member.stage = Stage::Leaving;
                member.place()
            })
            .collect()
    }

    /// The channels that are leaving beside these.
    pub(crate) fn leaving_beside(&self, places: &[Place]) -> Vec<Arc<dyn Channel>> {
        let state = self.state();
        let others = state.members.iter().filter(|member| {
            let is_one = places.iter().any(|(channel, _)| member.is(channel));
            member.stage == Stage::Leaving && !is_one
        });
        others.map(|member| Arc::clone(&member.channel)).collect()
    }

    /// Waits until there are none.
    pub(crate) async fn others_left(&self, places: &[Place]) {
        loop {
            let left = self.left.notified();
            if self.leaving_beside(places).is_empty() {
                return;
            }
            left.await;
        }
    }

    /// The channel is out: nothing more is delivered to it or to those who read as it.
    pub(crate) fn leave(&self, channel: &ChannelId) {
        let (member, readers) = {
            let mut state = self.state();
            let mut member = state.take_member(|member| member.binding.channel_id == *channel);
            let lane = member.as_mut().and_then(|member| member.lane.take());
            // It may be in a call still, and the next one of this channel waits for that.
            state.stopped.retain(|(_, lane)| !lane.is_done());
            state.stopped.extend(lane.map(|lane| {
                lane.stop();
                (channel.clone(), lane)
            }));
            let readers = state
                .subscribers
                .extract_if(.., |other| other.options.channel.as_ref() == Some(channel))
                .collect::<Vec<_>>();
            self.uncount(readers.len());
            (member, readers)
        };
        drop(member); // Not under the lock: this may run the host's own `drop`.
        self.left.notify_waiters();
        for reader in readers {
            reader.queue.close(CloseReason::Detached);
        }
    }

    /// The bindings of all channels that are in.
    pub(crate) fn bindings(&self) -> Vec<Arc<ChannelBinding>> {
        let state = self.state();
        let present = state.members.iter().filter(|m| m.stage == Stage::Present);
        present.map(|member| Arc::clone(&member.binding)).collect()
    }

    /// The binding of a channel that is in and not about to leave.
    pub(crate) fn binding(&self, channel: &ChannelId) -> Result<Arc<ChannelBinding>, RoomError> {
        let state = self.state();
        if state.phase != Phase::Open {
            return Err(RoomError::Closed(self.id.clone()));
        }
        match state.member(channel) {
            Some(member) if member.stage == Stage::Present => Ok(Arc::clone(&member.binding)),
            _ => Err(self.not_attached(channel)),
        }
    }

    /// A channel that may write, be it its last words.
    pub(crate) fn writer(&self, channel: &ChannelId) -> Result<Place, RoomError> {
        let state = self.state();
        if state.phase == Phase::Closed {
            return Err(RoomError::Closed(self.id.clone()));
        }
        match state.member(channel) {
            Some(member) if member.stage != Stage::Joining => Ok(member.place()),
            _ => Err(self.not_attached(channel)),
        }
    }

    /// Changes a binding and calls `tell` with it as it was and as it is, in one order for everybody. The
    /// binding it is; `false` when nothing changed.
    pub(crate) fn change(
        &self,
        channel: &ChannelId,
        change: impl FnOnce(&mut ChannelBinding),
        tell: impl FnOnce(&Arc<dyn Channel>, &ChannelBinding, &Arc<ChannelBinding>),
    ) -> Result<(Arc<ChannelBinding>, bool), RoomError> {
        let _in_order = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.binding(channel)?;
        let mut after = ChannelBinding::clone(&before);
        change(&mut after);
        if after == *before {
            return Ok((before, false));
        }
        let after = Arc::new(after);
        let told = {
            let mut state = self.state();
            let member = state.member_mut(channel);
            let member = member.ok_or_else(|| self.not_attached(channel))?;
            member.binding = Arc::clone(&after);
            Arc::clone(&member.channel)
        };
        tell(&told, &before, &after);
        Ok((after, true))
    }

    pub(super) fn not_attached(&self, channel: &ChannelId) -> RoomError {
        RoomError::NotAttached {
            room: self.id.clone(),
            channel: channel.clone(),
        }
    }
}
