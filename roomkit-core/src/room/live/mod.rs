//! A room that is open: who is in it, who watches it, and the one place where its events fan out.

mod fan_out;
mod members;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use super::{
    ChannelBinding, RoomEvent, Visibility,
    lane::{HookLane, Lane, LaneContext},
};
use crate::{
    channel::Channel,
    error::RoomError,
    id::{ChannelId, RoomId},
    subscriber::{CloseReason, SubscribeOptions, UpdateQueue},
};

/// A room that is open. Its timeline is in the store; this is everything that lives.
pub(crate) struct LiveRoom {
    pub(crate) id: RoomId,
    /// Held while an event is committed: the index of the next one, or `None` after a failure, when
    /// only the store knows (contract R1).
    pub(crate) commit: tokio::sync::Mutex<Option<u64>>,
    /// Held while permissions change, so that channels learn of changes in their order.
    changes: Mutex<()>,
    /// Records of changes that are to be written, in their order.
    pub(crate) records: Records,
    state: Mutex<State>,
    subscribers: AtomicUsize,
    /// The same count, over all rooms of the kit.
    watchers: Arc<AtomicUsize>,
    context: LaneContext,
    /// Held while the room is being closed.
    pub(crate) closing: tokio::sync::Mutex<()>,
    /// Told when a channel is out.
    left: Notify,
}

struct State {
    phase: Phase,
    members: Vec<Member>,
    /// Lanes of channels that are out, as far as they may still be in a call.
    stopped: Vec<(ChannelId, Lane)>,
    subscribers: Vec<Subscriber>,
    /// The index of the next event to fan out.
    next: u64,
    hook_lane: Option<HookLane>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// Channels are being told to leave and may write their last words.
    Closing,
    Closed,
}

/// A channel in the room.
struct Member {
    channel: Arc<dyn Channel>,
    binding: Arc<ChannelBinding>,
    stage: Stage,
    lane: Option<Lane>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The channel has been asked whether it wants to be.
    Joining,
    Present,
    /// The channel has been told to let go; it may write, but begin nothing.
    Leaving,
}

struct Subscriber {
    queue: Arc<UpdateQueue>,
    options: SubscribeOptions,
}

/// A room's own events, on their way to its timeline: whoever has the turn writes all that there are, so
/// that they get there in the order in which they were added.
#[derive(Default)]
pub(crate) struct Records {
    waiting: Mutex<VecDeque<RoomEvent>>,
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Records {
    pub(crate) fn add(&self, record: RoomEvent) {
        self.waiting().push_back(record);
    }

    pub(crate) fn next(&self) -> Option<RoomEvent> {
        let mut waiting = self.waiting();
        let next = waiting.pop_front();
        if waiting.is_empty() {
            // Most rooms have one record or two in their life; they need no place for four until its end.
            *waiting = VecDeque::new();
        }
        next
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<RoomEvent>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A channel and its binding, as they were when asked for.
pub(crate) type Place = (Arc<dyn Channel>, Arc<ChannelBinding>);

impl LiveRoom {
    /// An open room whose timeline has `length` events.
    pub(crate) fn new(
        id: RoomId,
        length: u64,
        watchers: Arc<AtomicUsize>,
        context: LaneContext,
    ) -> Self {
        Self {
            id,
            commit: tokio::sync::Mutex::new(Some(length)),
            changes: Mutex::new(()),
            records: Records::default(),
            state: Mutex::new(State {
                phase: Phase::Open,
                members: Vec::new(),
                stopped: Vec::new(),
                subscribers: Vec::new(),
                next: length,
                hook_lane: None,
            }),
            subscribers: AtomicUsize::new(0),
            watchers,
            context,
            closing: tokio::sync::Mutex::new(()),
            left: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Life of the room.
impl LiveRoom {
    pub(crate) fn phase(&self) -> Phase {
        self.state().phase
    }

    /// `Open → Closing`; false when it is closed already.
    pub(crate) fn begin_closing(&self) -> bool {
        let mut state = self.state();
        let open = state.phase != Phase::Closed;
        if open {
            state.phase = Phase::Closing;
        }
        open
    }

    /// `Closing → Open`, when the store could not be told.
    pub(crate) fn reopen(&self) {
        self.state().phase = Phase::Open;
    }

    /// `→ Closed`: nothing is written from here on. What the lanes hold is still delivered, and
    /// each subscriber reads what it has and then the reason.
    pub(crate) fn finish(&self, reason: CloseReason) {
        let (members, subscribers, hook_lane) = {
            let mut state = self.state();
            state.phase = Phase::Closed;
            let taken = (
                std::mem::take(&mut state.members),
                std::mem::take(&mut state.subscribers),
                state.hook_lane.take(),
            );
            self.uncount(taken.1.len());
            taken
        };
        for subscriber in subscribers {
            subscriber.queue.close(reason);
        }
        drop((members, hook_lane)); // Not under the lock: this may run the host's own `drop`.
        // Whoever waits for channels to leave waits for nobody now.
        self.left.notify_waiters();
    }
}

/// Who watches the room.
impl LiveRoom {
    /// Adds a subscriber; the index of the first event it can get.
    pub(crate) fn subscribe(
        &self,
        queue: Arc<UpdateQueue>,
        options: SubscribeOptions,
    ) -> Result<u64, RoomError> {
        let mut state = self.state();
        if state.phase != Phase::Open {
            return Err(RoomError::Closed(self.id.clone()));
        }
        if let Some(channel) = &options.channel
            && state
                .member(channel)
                .is_none_or(|m| m.stage != Stage::Present)
        {
            return Err(self.not_attached(channel));
        }
        state.subscribers.push(Subscriber { queue, options });
        self.subscribers.fetch_add(1, Ordering::Release);
        self.watchers.fetch_add(1, Ordering::Release);
        Ok(state.next)
    }

    pub(crate) fn unsubscribe(&self, queue: &Arc<UpdateQueue>) {
        let mut state = self.state();
        let before = state.subscribers.len();
        state
            .subscribers
            .retain(|other| !Arc::ptr_eq(&other.queue, queue));
        self.uncount(before - state.subscribers.len());
    }

    pub(crate) fn has_subscribers(&self) -> bool {
        self.subscribers.load(Ordering::Acquire) > 0
    }

    fn uncount(&self, gone: usize) {
        self.subscribers.fetch_sub(gone, Ordering::Release);
        self.watchers.fetch_sub(gone, Ordering::Release);
    }
}

impl State {
    fn member(&self, channel: &ChannelId) -> Option<&Member> {
        self.members
            .iter()
            .find(|member| member.binding.channel_id == *channel)
    }

    fn member_mut(&mut self, channel: &ChannelId) -> Option<&mut Member> {
        self.members
            .iter_mut()
            .find(|member| member.binding.channel_id == *channel)
    }

    fn take_stopped(&mut self, channel: &ChannelId) -> Option<Lane> {
        let place = self.stopped.iter().position(|(id, _)| id == channel)?;
        Some(self.stopped.swap_remove(place).1)
    }

    fn take_member(&mut self, which: impl Fn(&Member) -> bool) -> Option<Member> {
        let place = self.members.iter().position(which)?;
        Some(self.members.remove(place))
    }

    /// Whether one who reads as `channel` sees what has this visibility.
    fn reads(&self, channel: &ChannelId, visibility: &Visibility) -> bool {
        self.member(channel)
            .is_some_and(|member| member.binding.sees(visibility))
    }
}

impl Member {
    /// Whether it is this very channel, and not one that has its id now.
    fn is(&self, channel: &Arc<dyn Channel>) -> bool {
        Arc::ptr_eq(&self.channel, channel)
    }

    fn place(&self) -> Place {
        (Arc::clone(&self.channel), Arc::clone(&self.binding))
    }
}
