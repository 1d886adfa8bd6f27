//! The two halves of a connection. There is no task behind them: each does its work when it is
//! polled, so dropping them leaves nothing behind (contract S7).

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{self, Poll, ready},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{
    FutureExt, SinkExt, StreamExt,
    stream::{BoxStream, SplitSink, SplitStream},
    task::AtomicWaker,
};
use roomkit_core::provider::{
    ProviderCommand, ProviderError, ProviderErrorKind, ProviderEvent, ProviderSink,
};
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use crate::{
    Outgoing,
    socket::{Context, Incoming, Read, Stream},
};

/// Commands to a vendor's wire.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot turn commands into frames",
    note = "implement `roomkit_dial::Encode` for it"
)]
pub trait Encode: Send + 'static {
    /// What the vendor is sent: `String` if all of it is text, [`Bytes`] if all of it is binary, and
    /// [`Outgoing`] if both are.
    type Frame: Into<Outgoing> + Send;

    /// Adds the frames for one command to `frames`, which is empty; none where the vendor needs
    /// none. [`ProviderCommand::Ping`] never comes here.
    ///
    /// # Errors
    /// For a command that cannot be done:
    /// [`Unsupported`](ProviderErrorKind::Unsupported) if the connection can go on. What was added
    /// before the error is not sent.
    fn encode(
        &mut self,
        command: &ProviderCommand,
        frames: &mut VecDeque<Self::Frame>,
    ) -> Result<(), ProviderError>;
}

/// A vendor's wire to events.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot turn frames into events",
    note = "implement `roomkit_dial::Decode` for it"
)]
pub trait Decode: Send + 'static {
    /// Reads one frame of text and adds what it means to `events`. Must not panic, whatever it is
    /// (contract X5): what cannot be read becomes a [`ProviderEvent::Error`] of kind
    /// [`Protocol`](ProviderErrorKind::Protocol), without its content.
    fn decode(&mut self, frame: &str, events: &mut VecDeque<ProviderEvent>);

    /// Reads one binary frame, for vendors that send audio in them: `true` if this is one of those. By
    /// default none is. Then it is for [`decode`](Self::decode) if it holds text, and otherwise dropped,
    /// counted and told as an error. A part of `frame` can be kept without copying it.
    fn decode_binary(&mut self, frame: &Bytes, events: &mut VecDeque<ProviderEvent>) -> bool {
        let _ = (frame, events);
        false
    }

    /// No frame comes any more: adds what was held back for a later one, if anything.
    fn finish(&mut self, events: &mut VecDeque<ProviderEvent>) {
        let _ = events;
    }
}

pub(crate) fn split(
    socket: Stream,
    encoder: impl Encode,
    decoder: impl Decode,
    context: Context,
    backlog: VecDeque<Incoming>,
) -> (Box<dyn ProviderSink>, BoxStream<'static, ProviderEvent>) {
    let (write, read) = socket.split();
    let link = Arc::new(Link::default());
    let sink = Sink {
        write,
        encoder,
        frames: VecDeque::new(),
        context: context.clone(),
        link: Arc::clone(&link),
    };
    let events = Events {
        read: Some(read),
        decoder,
        context,
        link,
        pongs: 0,
        backlog,
        pending: VecDeque::new(),
        last_error: None,
        closed: None,
    };
    (Box::new(sink), events.boxed())
}

/// What the two halves know of each other.
#[derive(Default)]
struct Link {
    /// We said goodbye.
    closing: AtomicBool,
    /// The sink was dropped, which ends the events and with them the socket.
    abandoned: AtomicBool,
    /// Of the events, to learn that.
    reader: AtomicWaker,
    /// How many pings were sent; each carries its number.
    pings: AtomicU64,
}

impl Link {
    fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }
}

struct Sink<E: Encode> {
    write: SplitSink<Stream, Message>,
    encoder: E,
    /// What the command at hand becomes.
    frames: VecDeque<E::Frame>,
    context: Context,
    link: Arc<Link>,
}

impl<E: Encode> Drop for Sink<E> {
    fn drop(&mut self) {
        self.link.abandoned.store(true, Ordering::Release);
        self.link.reader.wake();
    }
}

#[async_trait]
impl<E: Encode> ProviderSink for Sink<E> {
    async fn send(&mut self, command: ProviderCommand) -> Result<(), ProviderError> {
        let failed = |error| self.context.broken(&error);
        if matches!(command, ProviderCommand::Ping) {
            let number = self.link.pings.fetch_add(1, Ordering::Relaxed) + 1;
            let ping = Message::Ping(Bytes::copy_from_slice(&number.to_be_bytes()));
            return self.write.send(ping).await.map_err(failed);
        }
        self.frames.clear();
        self.encoder.encode(&command, &mut self.frames)?;
        while let Some(frame) = self.frames.pop_front() {
            let frame: Outgoing = frame.into();
            self.write.send(frame.into()).await.map_err(failed)?;
        }
        Ok(())
    }

    async fn close(&mut self) {
        self.link.closing.store(true, Ordering::Relaxed);
        let goodbye = CloseFrame {
            code: CloseCode::Normal,
            reason: "".into(),
        };
        // Whatever goes wrong here, the connection is over.
        let _ = self.write.send(Message::Close(Some(goodbye))).await;
    }
}

struct Events<D> {
    /// None once it is over.
    read: Option<SplitStream<Stream>>,
    decoder: D,
    context: Context,
    link: Arc<Link>,
    /// The highest ping that was answered.
    pongs: u64,
    /// What came before there was a decoder.
    backlog: VecDeque<Incoming>,
    /// What the last frame meant, as far as it has not been told.
    pending: VecDeque<ProviderEvent>,
    /// The event before this one, if it was an error: often the reason why the socket ends.
    last_error: Option<ProviderError>,
    /// How the connection ended, while there is more to tell before it.
    closed: Option<ProviderEvent>,
}

/// Nothing in there is pinned.
impl<D> Unpin for Events<D> {}

impl<D: Decode> futures_util::Stream for Events<D> {
    type Item = ProviderEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<ProviderEvent>> {
        let this = self.get_mut();
        if this.read.is_none() {
            return Poll::Ready(None);
        }
        let event = ready!(this.poll_event(cx));
        if matches!(event, ProviderEvent::Closed(_)) {
            // The read half goes with the last event, and the socket with it.
            this.read = None;
        }
        Poll::Ready(Some(event))
    }
}

impl<D: Decode> Events<D> {
    fn poll_event(&mut self, cx: &mut task::Context<'_>) -> Poll<ProviderEvent> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                if self.pending.is_empty() {
                    // The next goes to the front again, which the processor still has at hand.
                    self.pending.clear();
                }
                self.last_error = match &event {
                    ProviderEvent::Error(error) => Some(error.clone()),
                    _ => None,
                };
                return Poll::Ready(event);
            }
            if let Some(closed) = self.closed.take() {
                return Poll::Ready(closed);
            }
            if let Some(frame) = self.backlog.pop_front() {
                decode(&mut self.decoder, frame, &self.context, &mut self.pending);
                continue;
            }
            let Some(read) = self.read.as_mut().filter(|_| !self.link.is_abandoned()) else {
                return Poll::Ready(ProviderEvent::Closed(None));
            };
            let Poll::Ready(item) = read.poll_next_unpin(cx) else {
                self.link.reader.register(cx.waker());
                if self.link.is_abandoned() {
                    return Poll::Ready(ProviderEvent::Closed(None));
                }
                return Poll::Pending;
            };
            match self.context.read(item) {
                Ok(Read::Frame(frame)) => {
                    decode(&mut self.decoder, frame, &self.context, &mut self.pending);
                }
                Ok(Read::Pong(payload)) => self.pong(&payload),
                Ok(Read::Nothing) => {}
                Ok(Read::Closed(error)) => {
                    // Reading once more flushes our half of the closing handshake.
                    let _ = read.next().now_or_never();
                    self.end(error);
                }
                Err(error) => self.end(error),
            }
        }
    }

    /// A pong answers its ping and those before it: a peer need not answer each. One that nobody
    /// asked for says nothing.
    fn pong(&mut self, payload: &[u8]) {
        let Ok(number) = payload.try_into().map(u64::from_be_bytes) else {
            return;
        };
        if number > self.link.pings.load(Ordering::Relaxed) {
            return;
        }
        for _ in self.pongs..number {
            self.pending.push_back(ProviderEvent::Pong);
        }
        self.pongs = self.pongs.max(number);
    }

    fn end(&mut self, error: ProviderError) {
        let is_asked_for = self.link.closing.load(Ordering::Relaxed);
        let last_error = self.last_error.take();
        let error = (!is_asked_for).then(|| reason(last_error, error));
        self.closed = Some(ProviderEvent::Closed(error));
        self.decoder.finish(&mut self.pending);
    }
}

/// Adds what a frame means to `events`.
pub(crate) fn decode(
    decoder: &mut impl Decode,
    frame: Incoming,
    context: &Context,
    events: &mut VecDeque<ProviderEvent>,
) {
    if let Incoming::Binary(bytes) = &frame
        && decoder.decode_binary(bytes, events)
    {
        return;
    }
    match context.text(frame) {
        Ok(frame) => decoder.decode(&frame, events),
        Err(error) => events.push_back(ProviderEvent::Error(error)),
    }
}

/// Why a socket ended. The end itself may say little; the error right before it says why.
pub(crate) fn reason(last_error: Option<ProviderError>, end: ProviderError) -> ProviderError {
    let is_announced = |last: &ProviderError| {
        !matches!(
            last.kind(),
            ProviderErrorKind::InvalidRequest | ProviderErrorKind::Protocol
        )
    };
    match last_error.filter(is_announced) {
        Some(announced) if end.code().starts_with("ws_") => announced,
        _ => end,
    }
}
