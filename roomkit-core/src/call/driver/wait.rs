//! What the task of a call waits for, and in which order it asks.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
};

use futures_util::future::OptionFuture;
use tokio::{sync::oneshot, task};

use super::{Driver, Provider, STALL};
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
    Mailbox(Option<Box<Command>>),
    Publisher(Option<FromPublisher>),
    Tool(task::Id, CallId, Finished),
    /// A cancelled one is gone.
    ToolDropped,
    Progress(u64, String),
    Connected(Result<ProviderConnection, ProviderError>),
    ClientSent(Result<(), TransportError>),
    ProviderSent(Result<(), SendFailure>),
    RecordingFailed(RecordingError),
    StartAbandoned,
    Timer,
}

impl Driver {
    /// Waits for the next thing to happen.
    ///
    /// The two links come first: most wake-ups are for a frame. The others do after some frames in a
    /// row, so that no flood keeps them out.
    pub(super) async fn next(&mut self) -> Happening {
        self.set_timer();
        let provider_is_idle = |provider: &Provider| provider.outbox.is_idle();
        if !self.client.is_idle() || !self.provider.as_ref().is_none_or(provider_is_idle) {
            // What is on its way was last asked without a bell.
            self.others_bell.ask_anyway();
        }
        let (provider_sends, mut provider_events) = match &mut self.provider {
            Some(provider) => (
                (!provider.outbox.is_idle()).then(|| provider.outbox.drive()),
                Some(&mut provider.events),
            ),
            None => (None, None),
        };
        let client_events = &mut self.client_events;
        let mut poll_provider = |context: &Context<'_>| match &mut provider_events {
            Some(events) => events.poll(context).map(Happening::Provider),
            None => Poll::Pending,
        };
        let mut poll_links = |context: &Context<'_>, client_first: bool| {
            if client_first && let Poll::Ready(event) = client_events.poll(context) {
                return Poll::Ready(Happening::Client(event));
            }
            match poll_provider(context) {
                Poll::Pending if !client_first => {
                    client_events.poll(context).map(Happening::Client)
                }
                provider => provider,
            }
        };
        let mut others = pin!(async {
            tokio::select! {
                Some(sent) = OptionFuture::from(provider_sends) => Happening::ProviderSent(sent),
                sent = self.client.drive(), if !self.client.is_idle() => Happening::ClientSent(sent),
                command = self.mailbox.recv() => Happening::Mailbox(command),
                message = self.from_publisher.recv() => Happening::Publisher(message),
                Some(ended) = self.tools.join_next_with_id(), if !self.tools.is_empty() => {
                    match ended {
                        Ok((task, (call_id, Some(finished)))) => {
                            Happening::Tool(task, call_id, finished)
                        }
                        Ok((_, (_, None))) | Err(_) => Happening::ToolDropped,
                    }
                }
                Some(report) = self.reports.recv() => {
                    let (serial, progress) = *report;
                    Happening::Progress(serial, progress)
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
        let (in_a_row, others_bell) = (&mut self.in_a_row, &mut self.others_bell);
        poll_fn(|context| {
            let links_first = *in_a_row < FRAMES_IN_A_ROW;
            // In turns, for the same reason.
            let client_first = !in_a_row.is_multiple_of(2);
            if links_first && let Poll::Ready(frame) = poll_links(context, client_first) {
                *in_a_row += 1;
                return Poll::Ready(frame);
            }
            *in_a_row = 0;
            let ask = |context: &mut Context<'_>| others.as_mut().poll(context);
            if let Poll::Ready(other) = others_bell.ask(context, ask) {
                return Poll::Ready(other);
            }
            if links_first {
                return Poll::Pending;
            }
            poll_links(context, client_first)
        })
        .await
    }

    /// Sets the timer if something is due earlier than it is set to; a timer that rings too early
    /// costs less than setting it for every frame.
    fn set_timer(&mut self) {
        let machine = self
            .call
            .next_wake(self.now)
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
            self.others_bell.ask_anyway();
        }
    }
}
