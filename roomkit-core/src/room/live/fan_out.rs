//! The one place where a room's events fan out (contracts R1, R2, R7).

use std::sync::Arc;

use super::{LiveRoom, Stage, State};
use crate::{
    ephemeral::EphemeralEvent,
    framework::{FrameworkEvent, FrameworkEventKind},
    hook::Trigger,
    room::{
        EventStatus, RoomEvent,
        lane::{HookLane, disconnected},
    },
};

impl LiveRoom {
    /// The index of the first event that has not been handed out yet.
    pub(crate) fn next_index(&self) -> u64 {
        self.state().next
    }

    /// Hands a committed event to everybody who may see it (contract R2): whom its visibility names,
    /// or its channel's where it says nothing of its own. Called in the order of the timeline, while
    /// the commit lock is held.
    pub(crate) fn publish(&self, event: &RoomEvent) {
        let stored = Arc::new(event.clone());
        let shown = if *event.shown_to() == event.visibility {
            Arc::clone(&stored)
        } else {
            let mut copy = event.clone();
            copy.visibility = event.shown_to().clone();
            Arc::new(copy)
        };
        let mut state = self.state();
        state.next = event.index + 1;
        if event.status == EventStatus::Delivered {
            self.hand_to_members(&mut state, &shown);
            self.hand_to_hooks(&mut state, &stored);
        }
        self.hand_to_subscribers(&mut state, &stored, &shown);
    }

    /// Shows an ephemeral event to the subscribers who may see it.
    pub(crate) fn publish_ephemeral(&self, event: EphemeralEvent) {
        let event = Arc::new(event);
        let state = self.state();
        for subscriber in &state.subscribers {
            let sees = match &subscriber.options.channel {
                None => true,
                Some(reader) => state.member(&event.channel_id).is_some_and(|source| {
                    source.binding.refuses(event.speaker).is_none()
                        && (subscriber.options.own || *reader != event.channel_id)
                        && state.reads(reader, &source.binding.visibility)
                }),
            };
            if sees {
                subscriber.queue.push_ephemeral(&event);
            }
        }
    }

    fn hand_to_members(&self, state: &mut State, event: &Arc<RoomEvent>) {
        for member in &mut state.members {
            if member.binding.channel_id == event.source.channel_id
                || member.stage == Stage::Joining
                || !member.binding.sees(&event.visibility)
            {
                continue;
            }
            let Some(lane) = &member.lane else {
                continue;
            };
            if !lane.is_dead() && !lane.hand(Arc::clone(event), Arc::clone(&member.binding)) {
                lane.stop();
                tracing::warn!(
                    room = %self.id, channel = %member.binding.channel_id,
                    "a channel is too far behind and gets nothing more from this room"
                );
                self.context
                    .bus
                    .emit(disconnected(&member.binding, "queue_full"));
            }
        }
    }

    fn hand_to_hooks(&self, state: &mut State, event: &Arc<RoomEvent>) {
        let source = &event.source;
        let hooks = &self.context.hooks;
        if !hooks.any(Trigger::AfterBroadcast) {
            return;
        }
        let scope = hooks.scope(&self.id, &source.channel_id, source.channel_type.as_str());
        if !hooks.is_hooked(Trigger::AfterBroadcast, &scope) {
            return;
        }
        let lane = state
            .hook_lane
            .get_or_insert_with(|| HookLane::start(&self.context));
        if !lane.hand(scope, Arc::clone(event)) {
            tracing::warn!(
                room = %self.id, index = event.index,
                "the after-broadcast hooks are too far behind and are not told of an event"
            );
            self.context.bus.emit(
                FrameworkEvent::new(FrameworkEventKind::HookError)
                    .room(&self.id)
                    .channel(&source.channel_id)
                    .data("trigger", Trigger::AfterBroadcast.as_str())
                    .data("index", event.index)
                    .data("error", "the queue is full"),
            );
        }
    }

    fn hand_to_subscribers(
        &self,
        state: &mut State,
        stored: &Arc<RoomEvent>,
        shown: &Arc<RoomEvent>,
    ) {
        let delivered = stored.status == EventStatus::Delivered;
        let mut too_slow = 0;
        let mut subscribers = std::mem::take(&mut state.subscribers);
        subscribers.retain(|subscriber| {
            let options = &subscriber.options;
            let event = match &options.channel {
                None if delivered || options.blocked => stored,
                Some(reader)
                    if delivered
                        && (options.own || *reader != shown.source.channel_id)
                        && state.reads(reader, &shown.visibility) =>
                {
                    shown
                }
                _ => return true,
            };
            let kept = subscriber.queue.push_event(Arc::clone(event));
            if !kept {
                too_slow += 1;
                let mut report = FrameworkEvent::new(FrameworkEventKind::ChannelDisconnected)
                    .room(&self.id)
                    .data("reason", "subscriber_too_slow");
                report.channel_id.clone_from(&options.channel);
                self.context.bus.emit(report);
            }
            kept
        });
        state.subscribers = subscribers;
        self.uncount(too_slow);
    }
}
