//! What waits to be sent over one link, without ever blocking the call (contract A6).
//!
//! At most one command is on its way; the rest waits here, where audio can still be taken back or
//! dropped. The sink is moved into the send and comes back with it, so that the task of the call
//! can go on with everything else while a slow peer takes its time.

use std::{future::Future, task::Poll};

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::ReusableBoxFuture;

use super::queue::Queue;
use crate::{
    error::{ProviderError, TransportError},
    provider::{ProviderCommand, ProviderSink},
    transport::{ClientCommand, ClientSink},
};

/// How many commands may wait. Audio comes in frames of about 20 ms, so this is some 20 s of it.
const CAPACITY: usize = 1024;

/// A link commands can be sent over.
pub(super) trait Wire: Send + 'static {
    type Command: Send + 'static;
    type Error: Send + 'static;

    fn send(
        &mut self,
        command: Self::Command,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    fn is_audio(command: &Self::Command) -> bool;
}

/// The client's sink.
pub(super) struct ClientWire(pub(super) Box<dyn ClientSink>);

/// The provider's sink.
pub(super) struct ProviderWire(pub(super) Box<dyn ProviderSink>);

/// A command could not be sent.
#[derive(Debug)]
pub(super) struct SendFailure {
    pub(super) error: ProviderError,
    /// It was a change of the session.
    pub(super) is_of_update: bool,
}

impl Wire for ClientWire {
    type Command = ClientCommand;
    type Error = TransportError;

    fn send(
        &mut self,
        command: ClientCommand,
    ) -> impl Future<Output = Result<(), TransportError>> + Send {
        self.0.send(command)
    }

    fn is_audio(command: &ClientCommand) -> bool {
        matches!(command, ClientCommand::Audio(_))
    }
}

impl Wire for ProviderWire {
    type Command = ProviderCommand;
    type Error = SendFailure;

    async fn send(&mut self, command: ProviderCommand) -> Result<(), SendFailure> {
        let is_of_update = matches!(command, ProviderCommand::Update(_));
        let sent = self.0.send(command).await;
        sent.map_err(|error| SendFailure {
            error,
            is_of_update,
        })
    }

    fn is_audio(command: &ProviderCommand) -> bool {
        matches!(command, ProviderCommand::Audio(_))
    }
}

/// A link and what waits for it.
pub(super) struct Outbox<W: Wire> {
    state: State<W>,
    /// The send of the present command. Its memory is used for the next one: a call sends a hundred
    /// in a second.
    send: ReusableBoxFuture<'static, (W, Result<(), W::Error>)>,
    /// Since when a send is not done that was not done at once.
    since: Option<Instant>,
    queue: Queue<W::Command>,
}

enum State<W: Wire> {
    Ready(W),
    Sending,
    /// While one of the others is being replaced; and for good if the link panicked, which took it
    /// along.
    Gone,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl<W: Wire> Outbox<W> {
    pub(super) fn new(wire: W) -> Self {
        Self {
            state: State::Ready(wire),
            send: ReusableBoxFuture::new(std::future::pending()),
            since: None,
            queue: Queue::new(),
        }
    }

    /// Queues a command; [`drive`](Self::drive) sends it.
    pub(super) fn push(&mut self, command: W::Command) -> Result<(), Full> {
        if self.queue.len() >= CAPACITY {
            return Err(Full);
        }
        self.queue.push_back(command);
        Ok(())
    }

    /// Queues audio in place of the oldest that waits, if there is no room. True: some was dropped.
    pub(super) fn push_dropping_oldest(&mut self, command: W::Command) -> Result<bool, Full> {
        let dropped =
            self.queue.len() >= CAPACITY / 2 && self.queue.take_first(W::is_audio).is_some();
        self.push(command).map(|()| dropped)
    }

    /// Takes back all audio that is not on its way yet.
    pub(super) fn drop_audio(&mut self) {
        self.queue.retain(|command| !W::is_audio(command));
    }

    /// Nothing waits that could be sent, and nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        match self.state {
            State::Ready(_) => self.queue.is_empty(),
            State::Sending => false,
            State::Gone => true,
        }
    }

    /// Since when the present command is on its way, if the link did not take it at once.
    pub(super) fn sending_since(&self) -> Option<Instant> {
        self.since
    }

    /// Sends what waits until nothing does, or until a send fails; what waits behind that one stays.
    /// May be dropped and called again at any time.
    pub(super) fn drive(&mut self) -> impl Future<Output = Result<(), W::Error>> + Send + '_ {
        std::future::poll_fn(|context| {
            loop {
                match std::mem::replace(&mut self.state, State::Gone) {
                    State::Ready(mut wire) => {
                        let Some(command) = self.queue.pop_front() else {
                            self.state = State::Ready(wire);
                            return Poll::Ready(Ok(()));
                        };
                        self.send.set(async move {
                            let sent = wire.send(command).await;
                            (wire, sent)
                        });
                        self.state = State::Sending;
                    }
                    State::Sending => {
                        let Poll::Ready((wire, sent)) = self.send.poll(context) else {
                            self.state = State::Sending;
                            self.since.get_or_insert_with(Instant::now);
                            return Poll::Pending;
                        };
                        self.state = State::Ready(wire);
                        self.since = None;
                        if sent.is_err() {
                            return Poll::Ready(sent);
                        }
                    }
                    State::Gone => return Poll::Ready(Ok(())),
                }
            }
        })
    }

    /// The same as far as the link takes it without waiting; `None` if it does not take all of it.
    pub(super) fn drive_at_once(&mut self) -> Option<Result<(), W::Error>> {
        if self.is_idle() {
            return Some(Ok(()));
        }
        self.drive().now_or_never()
    }

    /// The sink, to be closed, once the present send is done.
    pub(super) async fn into_wire(self) -> Option<W> {
        match self.state {
            State::Ready(wire) => Some(wire),
            State::Sending => {
                let mut send = self.send;
                Some(std::future::poll_fn(|context| send.poll(context)).await.0)
            }
            State::Gone => None,
        }
    }
}

impl Outbox<ProviderWire> {
    /// How many changes of the session wait.
    pub(super) fn updates(&self) -> usize {
        let is_update = |command: &&ProviderCommand| matches!(command, ProviderCommand::Update(_));
        self.queue.iter().filter(is_update).count()
    }
}
