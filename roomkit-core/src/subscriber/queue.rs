//! The queue between a room and one subscriber.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use futures_util::Stream;

use super::{CloseReason, RoomUpdate};
use crate::{ephemeral::EphemeralEvent, id::RoomId, room::RoomEvent};

/// An ordered, bounded stream of one room's updates; ends after [`RoomUpdate::Closed`]. Dropping it
/// unsubscribes.
pub struct Subscription {
    room_id: RoomId,
    first_index: u64,
    queue: Arc<UpdateQueue>,
    _unsubscribe: OnDrop,
}

impl Subscription {
    pub(crate) fn new(
        room_id: RoomId,
        first_index: u64,
        queue: Arc<UpdateQueue>,
        unsubscribe: OnDrop,
    ) -> Self {
        Self {
            room_id,
            first_index,
            queue,
            _unsubscribe: unsubscribe,
        }
    }

    /// The room.
    pub fn room_id(&self) -> &RoomId {
        &self.room_id
    }

    /// The index of the first event that can come. All below it are on the timeline already: reading
    /// those with [`TimelineQuery::before`](crate::room::TimelineQuery::before) shows a
    /// conversation from its beginning without a gap and without a repetition.
    pub fn first_index(&self) -> u64 {
        self.first_index
    }

    /// The next update; `None` after [`RoomUpdate::Closed`]. Nothing is lost when the future is
    /// dropped.
    pub async fn recv(&mut self) -> Option<RoomUpdate> {
        std::future::poll_fn(|context| self.queue.poll(context)).await
    }

    /// The next update if one is waiting.
    pub fn try_recv(&mut self) -> Option<RoomUpdate> {
        match self.queue.poll(&Context::from_waker(Waker::noop())) {
            Poll::Ready(update) => update,
            Poll::Pending => None,
        }
    }
}

impl Stream for Subscription {
    type Item = RoomUpdate;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<RoomUpdate>> {
        self.queue.poll(context)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("room_id", &self.room_id)
            .field("first_index", &self.first_index)
            .finish_non_exhaustive()
    }
}

/// Runs when it is dropped.
pub(crate) struct OnDrop(Option<Box<dyn FnOnce() + Send + Sync>>);

impl OnDrop {
    pub(crate) fn new(action: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(action)))
    }
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        if let Some(action) = self.0.take() {
            action();
        }
    }
}

/// What waits for one subscriber. Not a channel of the runtime, because the reason for the end must
/// fit in even when the queue is full.
pub(crate) struct UpdateQueue {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    updates: VecDeque<RoomUpdate>,
    end: End,
    reader: Option<Waker>,
}

#[derive(Default, Clone, Copy)]
enum End {
    #[default]
    Open,
    ToTell(CloseReason),
    Told,
}

impl UpdateQueue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            state: Mutex::default(),
        }
    }

    /// Adds an event; false when there is no room, and then the subscription is over.
    pub(crate) fn push_event(&self, event: Arc<RoomEvent>) -> bool {
        let full = self.state().updates.len() >= self.capacity;
        if full {
            self.close(CloseReason::TooSlow);
        } else {
            self.push(RoomUpdate::Event(event));
        }
        !full
    }

    /// Adds an ephemeral event, unless the subscriber is behind: half of the queue is kept for
    /// what must not be lost.
    pub(crate) fn push_ephemeral(&self, event: &Arc<EphemeralEvent>) {
        if self.state().updates.len() < self.capacity.div_ceil(2) {
            self.push(RoomUpdate::Ephemeral(Arc::clone(event)));
        }
    }

    /// Ends the subscription after what is queued; the first reason stays.
    pub(crate) fn close(&self, reason: CloseReason) {
        let reader = {
            let mut state = self.state();
            if matches!(state.end, End::Open) {
                state.end = End::ToTell(reason);
            }
            state.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
    }

    fn push(&self, update: RoomUpdate) {
        let reader = {
            let mut state = self.state();
            if matches!(state.end, End::Open) {
                state.updates.push_back(update);
            }
            state.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Option<RoomUpdate>> {
        let mut state = self.state();
        if let Some(update) = state.updates.pop_front() {
            return Poll::Ready(Some(update));
        }
        match state.end {
            End::Open => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
            End::ToTell(reason) => {
                state.end = End::Told;
                Poll::Ready(Some(RoomUpdate::Closed(reason)))
            }
            End::Told => Poll::Ready(None),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
