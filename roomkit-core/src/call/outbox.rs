//! What waits to be sent over one link, without ever blocking the call (contract A6).
//!
//! At most one command is on its way; the rest waits here, where audio can still be taken back or
//! dropped. The sink is moved into the send and comes back with it, so that the task of the call
//! can go on with everything else while a slow peer takes its time.

use std::{collections::VecDeque, future::Future, pin::Pin, task::Poll};

use futures_util::future::BoxFuture;
use tokio::time::Instant;

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
    queue: VecDeque<W::Command>,
}

enum State<W: Wire> {
    Ready(W),
    Sending {
        since: Instant,
        send: BoxFuture<'static, (W, Result<(), W::Error>)>,
    },
    /// Only while one of the others is being replaced.
    Moving,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

impl<W: Wire> Outbox<W> {
    pub(super) fn new(wire: W) -> Self {
        Self {
            state: State::Ready(wire),
            queue: VecDeque::new(),
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
        let dropped = self.queue.len() >= CAPACITY / 2
            && self
                .queue
                .iter()
                .position(W::is_audio)
                .and_then(|oldest| self.queue.remove(oldest))
                .is_some();
        self.push(command).map(|()| dropped)
    }

    /// Takes back all audio that is not on its way yet.
    pub(super) fn drop_audio(&mut self) {
        self.queue.retain(|command| !W::is_audio(command));
    }

    /// Nothing waits and nothing is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && !matches!(self.state, State::Sending { .. })
    }

    /// Since when the present command is on its way.
    pub(super) fn sending_since(&self) -> Option<Instant> {
        match &self.state {
            State::Sending { since, .. } => Some(*since),
            _ => None,
        }
    }

    /// Sends what waits until nothing does, or until a send fails; what waits behind that one stays.
    /// May be dropped and called again at any time.
    pub(super) fn drive(&mut self) -> impl Future<Output = Result<(), W::Error>> + Send + '_ {
        std::future::poll_fn(|context| {
            loop {
                match std::mem::replace(&mut self.state, State::Moving) {
                    State::Ready(mut wire) => {
                        let Some(command) = self.queue.pop_front() else {
                            self.state = State::Ready(wire);
                            return Poll::Ready(Ok(()));
                        };
                        let send: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(async move {
                            let sent = wire.send(command).await;
                            (wire, sent)
                        });
                        self.state = State::Sending {
                            since: Instant::now(),
                            send,
                        };
                    }
                    State::Sending { since, mut send } => match send.as_mut().poll(context) {
                        Poll::Ready((wire, Ok(()))) => self.state = State::Ready(wire),
                        Poll::Ready((wire, Err(error))) => {
                            self.state = State::Ready(wire);
                            return Poll::Ready(Err(error));
                        }
                        Poll::Pending => {
                            self.state = State::Sending { since, send };
                            return Poll::Pending;
                        }
                    },
                    State::Moving => return Poll::Ready(Ok(())),
                }
            }
        })
    }

    /// The sink, to be closed, once the present send is done.
    pub(super) async fn into_wire(self) -> Option<W> {
        match self.state {
            State::Ready(wire) => Some(wire),
            State::Sending { send, .. } => Some(send.await.0),
            State::Moving => None,
        }
    }
}
