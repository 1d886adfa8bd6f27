//! The queue and task that hand a room's events to one channel, or to the after-broadcast hooks,
//! in the order of the timeline.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{ChannelBinding, RoomEvent, chain};
use crate::{
    channel::Channel,
    framework::{FrameworkBus, FrameworkEvent, FrameworkEventKind},
    guard::{self, Failure},
    hook::{HookScope, Hooks, Notice},
};

/// What lanes need of their kit.
#[derive(Clone)]
pub(crate) struct LaneContext {
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    pub(crate) bus: Arc<FrameworkBus>,
    pub(crate) hooks: Hooks,
    pub(crate) queue_size: usize,
    pub(crate) delivery_timeout: Duration,
}

/// Hands events to one channel. Dropped, it finishes what it holds; [stopped](Self::stop), it does
/// not begin another.
pub(super) struct Lane {
    queue: mpsc::Sender<Delivery>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

struct Delivery {
    event: Arc<RoomEvent>,
    /// As it was when the event was committed.
    binding: Arc<ChannelBinding>,
}

impl Lane {
    /// Starts after `previous`, so that the channel is never called twice at a time.
    pub(super) fn start(
        context: &LaneContext,
        channel: Arc<dyn Channel>,
        previous: Option<Lane>,
    ) -> Self {
        let (sender, queue) = mpsc::channel(context.queue_size);
        let stop = context.stop.child_token();
        let carrier = Carrier {
            channel,
            queue,
            stop: stop.clone(),
            context: context.clone(),
        };
        let previous = previous.map(|lane| {
            lane.stop();
            lane.task
        });
        let task = context.tasks.spawn(async move {
            if let Some(previous) = previous {
                let _ = previous.await; // A lane task has no result, and its panics are caught.
            }
            carrier.run().await;
        });
        Self {
            queue: sender,
            stop,
            task,
        }
    }

    /// Hands over an event; false when the channel is too far behind to be handed it.
    pub(super) fn hand(&self, event: Arc<RoomEvent>, binding: Arc<ChannelBinding>) -> bool {
        // One that has given up has said so.
        let handed = self.queue.try_send(Delivery { event, binding });
        !matches!(handed, Err(mpsc::error::TrySendError::Full(_)))
    }

    pub(super) fn is_dead(&self) -> bool {
        self.queue.is_closed() || self.stop.is_cancelled()
    }

    /// Stopped, and in no call any more.
    pub(super) fn is_done(&self) -> bool {
        self.task.is_finished()
    }

    pub(super) fn stop(&self) {
        self.stop.cancel();
    }
}

struct Carrier {
    channel: Arc<dyn Channel>,
    queue: mpsc::Receiver<Delivery>,
    stop: CancellationToken,
    context: LaneContext,
}

impl Carrier {
    async fn run(mut self) {
        loop {
            let delivery = tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                delivery = self.queue.recv() => delivery,
            };
            let Some(Delivery { event, binding }) = delivery else {
                return;
            };
            let index = event.index;
            let host = async {
                let depth = event.chain_depth;
                chain::handling(depth, self.channel.on_event(event, &binding)).await
            };
            let outcome = tokio::select! {
                biased;
                // The kit is gone; a lane that was merely stopped finishes the call it is in.
                () = self.context.stop.cancelled() => return,
                outcome = guard::call(self.context.delivery_timeout, host) => outcome,
            };
            let failure = match outcome {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => Failure::Error(error.to_string()),
                Err(failure) => failure,
            };
            tracing::warn!(
                room = %binding.room_id, channel = %binding.channel_id, index,
                "a channel did not take an event: {failure}"
            );
            if matches!(failure, Failure::Timeout(_)) {
                // First, so that whoever attaches it again on this news gets a new lane.
                self.queue.close();
                self.context.bus.emit(disconnected(&binding, "timeout"));
                return;
            }
            self.context.bus.emit(
                FrameworkEvent::new(FrameworkEventKind::DeliveryFailed)
                    .room(&binding.room_id)
                    .channel(&binding.channel_id)
                    .data("index", index)
                    .data("error", failure.to_string()),
            );
        }
    }
}

pub(super) fn disconnected(binding: &ChannelBinding, reason: &str) -> FrameworkEvent {
    FrameworkEvent::new(FrameworkEventKind::ChannelDisconnected)
        .room(&binding.room_id)
        .channel(&binding.channel_id)
        .data("reason", reason)
}

/// Runs the after-broadcast hooks of one room, in order and off everybody's way.
pub(super) struct HookLane(mpsc::Sender<(HookScope, Arc<RoomEvent>)>);

impl HookLane {
    pub(super) fn start(context: &LaneContext) -> Self {
        let (sender, mut queue) = mpsc::channel::<(HookScope, Arc<RoomEvent>)>(context.queue_size);
        let hooks = context.hooks.clone();
        let stop = context.stop.clone();
        context.tasks.spawn(async move {
            let run = async {
                while let Some((scope, event)) = queue.recv().await {
                    let depth = event.chain_depth;
                    let notice = Notice::AfterBroadcast(event);
                    chain::handling(depth, hooks.notify(&scope, notice)).await;
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = run => {}
            }
        });
        Self(sender)
    }

    /// Hands over an event; false when the hooks are too far behind to be told of it.
    pub(super) fn hand(&self, scope: HookScope, event: Arc<RoomEvent>) -> bool {
        self.0.try_send((scope, event)).is_ok()
    }
}
