//! Who of those the task of a call waits for has something to say.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{FutureExt, StreamExt, stream::BoxStream};

/// Rings for one of them and wakes the task; whoever has not rung is not asked. Asking in vain is not
/// cheap: a WebSocket makes room for what it might read, and clears it, before it sees that there is
/// nothing.
pub(super) struct Bell {
    rung: Arc<Rung>,
    waker: Waker,
    /// It is to be asked without a ring.
    unasked: bool,
}

struct Rung {
    has: AtomicBool,
    task: Waker,
}

impl Wake for Rung {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Bell {
    /// For somebody who has not been asked yet.
    pub(super) fn new() -> Self {
        Self::of(Waker::noop().clone())
    }

    fn of(task: Waker) -> Self {
        let has = AtomicBool::new(false);
        let rung = Arc::new(Rung { has, task });
        Self {
            waker: Waker::from(Arc::clone(&rung)),
            rung,
            unasked: true,
        }
    }

    /// Whoever it is has changed, or was asked without the bell, and may not ring.
    pub(super) fn ask_anyway(&mut self) {
        self.unasked = true;
    }

    /// Asks, if there is a reason to. The bell wakes the task of `context` from then on.
    pub(super) fn ask<T>(
        &mut self,
        context: &Context<'_>,
        ask: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if !self.rung.task.will_wake(context.waker()) {
            *self = Self::of(context.waker().clone());
        }
        let has_rung = &self.rung.has;
        self.unasked |= has_rung.load(Ordering::Relaxed) && has_rung.swap(false, Ordering::Acquire);
        if !self.unasked {
            return Poll::Pending;
        }
        let answer = ask(&mut Context::from_waker(&self.waker));
        // Nobody rings before the answer is that there is nothing.
        self.unasked = answer.is_ready();
        answer
    }
}

/// What one of the two links says, and its bell.
pub(super) struct Events<T> {
    stream: BoxStream<'static, T>,
    bell: Bell,
}

impl<T> Events<T> {
    pub(super) fn new(stream: BoxStream<'static, T>) -> Self {
        Self {
            stream,
            bell: Bell::new(),
        }
    }

    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<Option<T>> {
        self.bell
            .ask(context, |context| self.stream.poll_next_unpin(context))
    }

    /// What has come already.
    pub(super) fn at_once(&mut self) -> Option<T> {
        self.bell.ask_anyway();
        self.stream.next().now_or_never().flatten()
    }
}
