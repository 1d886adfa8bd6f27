//! What the task of a call waits for, and in which order it asks.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{StreamExt, future::OptionFuture, task::AtomicWaker};
use tokio::{sync::oneshot, time::Instant};

use super::{Driver, STALL};
use crate::{
    call::{gate::Finished, io::Command, outbox::SendFailure, publisher::FromPublisher},
    error::{ProviderError, TransportError},
    id::CallId,
    provider::{ProviderConnection, ProviderEvent},
    recording::{Recorder, RecordingError},
    transport::ClientEvent,
};

/// How many frames of the two links are taken before anything else gets its turn.
const FRAMES_IN_A_ROW: u32 = 16;

/// What the task of a call waits for.
pub(super) enum Happening {
    Client(Option<ClientEvent>),
    Provider(Option<ProviderEvent>),
    Mailbox(Option<Command>),
    Publisher(FromPublisher),
    Tool(CallId, Finished),
    /// A cancelled one is gone.
    ToolDropped,
    Progress(CallId, String),
    Connected(Result<ProviderConnection, ProviderError>),
    ClientSent(Result<(), TransportError>),
    ProviderSent(Result<(), SendFailure>),
    RecordingFailed(RecordingError),
    StartAbandoned,
    Timer,
}

/// Wakes the task for everybody but the two links, and keeps in mind that it did.
#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// Whether anybody but the links has to be asked.
pub(super) struct Others {
    bell: Arc<Bell>,
    waker: Waker,
    /// Not all of them have the bell at hand.
    stirred: bool,
}

impl Others {
    pub(super) fn new() -> Self {
        let bell = Arc::<Bell>::default();
        Self {
            waker: Waker::from(Arc::clone(&bell)),
            bell,
            stirred: true,
        }
    }

    /// There may be somebody new to wait for.
    pub(super) fn stir(&mut self) {
        self.stirred = true;
    }

    /// Asks them if there is a reason to: asking costs as much as a frame does.
    fn poll<T>(&mut self, ask: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let bell = &self.bell.rung;
        self.stirred |= bell.load(Ordering::Relaxed) && bell.swap(false, Ordering::Acquire);
        if !self.stirred {
            return Poll::Pending;
        }
        let answer = ask(&mut Context::from_waker(&self.waker));
        // Whoever comes after the one that answered has not been asked.
        self.stirred = answer.is_ready();
        answer
    }
}

impl Driver {
    /// Waits for the next thing to happen.
    ///
    /// The two links are asked first: most wake-ups are for a frame. The others are asked when one of
    /// them has called, and also after some frames in a row, so that no flood keeps them out.
    pub(super) async fn next(&mut self) -> Happening {
        self.set_timer();
        if !self.client.is_idle()
            || self
                .provider
                .as_ref()
                .is_some_and(|it| !it.outbox.is_idle())
        {
            // What is on its way was last asked by nobody who waits.
            self.others.stir();
        }
        let in_a_row = &mut self.in_a_row;
        let whether = &mut self.others;
        let (provider_sends, mut provider_events) = match &mut self.provider {
            Some(provider) => (
                (!provider.outbox.is_idle()).then(|| provider.outbox.drive()),
                Some(&mut provider.events),
            ),
            None => (None, None),
        };
        let client_events = &mut self.client_events;
        let mut poll_client = |context: &mut Context<'_>| {
            let event = client_events.poll_next_unpin(context);
            event.map(Happening::Client)
        };
        let mut poll_provider = |context: &mut Context<'_>| match &mut provider_events {
            Some(events) => events.poll_next_unpin(context).map(Happening::Provider),
            None => Poll::Pending,
        };
        let mut poll_links = |client_first: bool, context: &mut Context<'_>| {
            let first = if client_first {
                poll_client(context)
            } else {
                poll_provider(context)
            };
            match first {
                Poll::Ready(frame) => Poll::Ready(frame),
                Poll::Pending if client_first => poll_provider(context),
                Poll::Pending => poll_client(context),
            }
        };
        let mut others = pin!(async {
            tokio::select! {
                Some(sent) = OptionFuture::from(provider_sends) => Happening::ProviderSent(sent),
                sent = self.client.drive(), if !self.client.is_idle() => Happening::ClientSent(sent),
                command = self.mailbox.recv() => Happening::Mailbox(command),
                Some(message) = self.from_publisher.recv() => Happening::Publisher(message),
                Some(ended) = self.tools.join_next(), if !self.tools.is_empty() => {
                    ended.map_or(Happening::ToolDropped, |(call_id, finished)| {
                        Happening::Tool(call_id, finished)
                    })
                }
                Some((call_id, progress)) = self.reports.recv() => {
                    Happening::Progress(call_id, progress)
                }
                Some(connected) = OptionFuture::from(self.connecting.as_mut()) => {
                    Happening::Connected(connected)
                }
                Some(error) = OptionFuture::from(self.recorder.as_mut().map(Recorder::failure)) => {
                    Happening::RecordingFailed(error)
                }
                Some(()) = OptionFuture::from(self.ready.as_mut().map(oneshot::Sender::closed)) => {
                    Happening::StartAbandoned
                }
                () = &mut self.timer, if self.timer_is_set => Happening::Timer,
            }
        });
        poll_fn(|context| {
            whether.bell.task.register(context.waker());
            let links_first = *in_a_row < FRAMES_IN_A_ROW;
            // In turns, for the same reason.
            let client_first = !in_a_row.is_multiple_of(2);
            if links_first && let Poll::Ready(frame) = poll_links(client_first, context) {
                *in_a_row += 1;
                return Poll::Ready(frame);
            }
            *in_a_row = 0;
            if let Poll::Ready(other) = whether.poll(|context| others.as_mut().poll(context)) {
                return Poll::Ready(other);
            }
            if links_first {
                return Poll::Pending;
            }
            poll_links(client_first, context)
        })
        .await
    }

    /// Sets the timer if something is due earlier than it is set to; a timer that rings too early
    /// costs less than setting it for every frame.
    fn set_timer(&mut self) {
        let now = Instant::now();
        let machine = self
            .call
            .next_wake(now - self.began)
            // A peer may have named a time that this machine's clock does not reach.
            .and_then(|wake| self.began.checked_add(wake));
        let sends = [
            self.client.sending_since(),
            self.provider
                .as_ref()
                .and_then(|provider| provider.outbox.sending_since()),
        ];
        let stall = sends.into_iter().flatten().min().map(|since| since + STALL);
        let Some(due) = [machine, stall].into_iter().flatten().min() else {
            return;
        };
        if !self.timer_is_set || due < self.timer.deadline() {
            self.timer.as_mut().reset(due);
            self.timer_is_set = true;
            self.others.stir();
        }
    }
}
