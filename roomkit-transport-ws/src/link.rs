//! The two halves of an accepted socket.
//!
//! Both halves belong to one session's task, so the lock between them is never waited for; it is
//! held for one poll at a time and there for the cases in which they are apart.

use std::{
    any::Any,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{Stream, task::AtomicWaker};
use roomkit_core::{
    client_protocol::ServerMessage,
    transport::{ClientCommand, ClientEvent, ClientSink, TransportError},
};
use tokio::time::{Instant, Sleep, sleep, timeout};

use crate::{
    config::AudioEncoding,
    protocol::{self, Decoder, close_code},
    socket::{Fault, IncomingFrame, OutgoingFrame, Socket},
};

/// How often a client is pinged, which also keeps proxies from closing a quiet connection.
const PING_EVERY: Duration = Duration::from_secs(20);

/// After how long without a sign of life, not even a pong, a client is taken for gone. A slow one
/// has two pings' time to answer.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// How long closing may take, the client's answer included.
const CLOSE_TIME: Duration = Duration::from_secs(3);

/// How long a broken connection stays open for the client to read why: with bytes of its unread,
/// closing at once would reset the connection and take the close frame along.
const BROKEN_LINGER: Duration = Duration::from_secs(1);

/// How many frames without an event are read before others get their turn.
const FRAMES_PER_POLL: usize = 64;

/// The right to a socket. Dropping it closes the socket, unless a farewell is still to be said.
pub(crate) struct Link {
    shared: Arc<Shared>,
    kept: Vec<Box<dyn Any + Send>>,
}

impl Link {
    pub(crate) fn new(socket: Box<dyn Socket>) -> Self {
        let wakers = Arc::new(Wakers::default());
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    socket: Some(socket),
                    is_owned: true,
                    awaits_farewell: false,
                    is_over: false,
                    started: false,
                    told_error: false,
                    broken: None,
                }),
                write_waker: Waker::from(Arc::clone(&wakers)),
                wakers,
            }),
            kept: Vec::new(),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Keeps a value for as long as the link lives.
    pub(crate) fn keep(&mut self, value: Box<dyn Any + Send>) {
        self.kept.push(value);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.release(|state| state.is_owned = false);
    }
}

/// A socket that both halves, and the farewell, can reach.
pub(crate) struct Shared {
    state: Mutex<State>,
    wakers: Arc<Wakers>,
    /// Wakes both halves: pings are written by the reading half, and a socket remembers one writer.
    write_waker: Waker,
}

struct State {
    socket: Option<Box<dyn Socket>>,
    is_owned: bool,
    awaits_farewell: bool,
    /// The client is gone, or a close frame was sent.
    is_over: bool,
    started: bool,
    told_error: bool,
    /// The client broke a rule of WebSocket: the close code that says which.
    broken: Option<u16>,
}

#[derive(Default)]
struct Wakers {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl Shared {
    /// Announces that a farewell may follow.
    pub(crate) fn await_farewell(&self) {
        self.state().awaits_farewell = true;
    }

    /// The farewell was said, or is not needed.
    pub(crate) fn end_farewell(&self) {
        self.release(|state| state.awaits_farewell = false);
    }

    /// Tells the client why there will be no session, unless it knows, and closes.
    pub(crate) async fn refuse(&self, error: &str, message: &str, code: u16) {
        let (told, broken) = {
            let state = self.state();
            (state.told_error, state.broken.is_some())
        };
        if !told && !broken {
            let error = ServerMessage::Error {
                code: error.into(),
                message: message.into(),
            };
            let frame = OutgoingFrame::Text(error.to_json());
            self.state().told_error = true;
            let _ = timeout(CLOSE_TIME, self.send(frame)).await;
        }
        self.close(code, message).await;
    }

    async fn send(&self, frame: OutgoingFrame) -> Result<(), Fault> {
        let mut frame = Some(frame);
        poll_fn(|cx| {
            self.wakers.writer.register(cx.waker());
            let cx = &mut Context::from_waker(&self.write_waker);
            let state = &mut *self.state();
            let Some(socket) = state.socket.as_mut().filter(|_| !state.is_over) else {
                return Poll::Ready(Err(Fault::Gone("the connection is closed".into())));
            };
            if frame.is_some() {
                ready!(socket.poll_ready(cx))?;
            }
            if let Some(frame) = frame.take() {
                socket.start_send(frame)?;
            }
            socket.poll_flush(cx)
        })
        .await
    }

    /// Sends a close frame and waits, not for long, for the client's: if the socket were closed
    /// while audio still comes in, the client would see a reset and not the last messages.
    async fn close(&self, code: u16, reason: &str) {
        let broken = self.state().broken;
        let frame = protocol::close(broken.unwrap_or(code), reason);
        let closing = async {
            let sent = self.send(frame).await;
            self.state().is_over = true;
            match (sent, broken) {
                (Err(_), _) => {}
                (Ok(()), Some(_)) => sleep(BROKEN_LINGER).await,
                (Ok(()), None) => poll_fn(|cx| self.poll_discard(cx)).await,
            }
        };
        let _ = timeout(CLOSE_TIME, closing).await;
        self.state().is_over = true;
    }

    fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        let Some(socket) = state.socket.as_mut() else {
            return Poll::Ready(());
        };
        for _ in 0..FRAMES_PER_POLL {
            match ready!(socket.poll_read(cx)) {
                Some(Ok(IncomingFrame::Close) | Err(_)) | None => return Poll::Ready(()),
                Some(Ok(_)) => {}
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn release(&self, change: impl FnOnce(&mut State)) {
        let socket = {
            let mut state = self.state();
            change(&mut state);
            if state.is_owned || state.awaits_farewell {
                None
            } else {
                state.socket.take()
            }
        };
        // Outside the lock, as is the waking: both run foreign code.
        drop(socket);
        self.wakers.wake_by_ref();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("is_over", &self.state().is_over)
            .finish_non_exhaustive()
    }
}

/// The sending half.
pub(crate) struct Commands {
    link: Link,
    audio: AudioEncoding,
}

impl Commands {
    pub(crate) fn new(link: Link, audio: AudioEncoding) -> Self {
        Self { link, audio }
    }
}

#[async_trait]
impl ClientSink for Commands {
    async fn send(&mut self, command: ClientCommand) -> Result<(), TransportError> {
        let shared = &self.link.shared;
        match &command {
            ClientCommand::Message(ServerMessage::SessionStarted { .. }) => {
                shared.state().started = true;
            }
            ClientCommand::Message(ServerMessage::Error { .. }) => {
                shared.state().told_error = true;
            }
            _ => {}
        }
        let Some(frame) = protocol::encode(command, self.audio) else {
            return Ok(());
        };
        let sent = shared.send(frame).await;
        sent.map_err(|fault| TransportError::Disconnected(fault.to_string()))
    }

    async fn close(&mut self, reason: &str) {
        let shared = &self.link.shared;
        let code = if shared.state().started {
            close_code::NORMAL
        } else {
            close_code::INTERNAL
        };
        shared.close(code, reason).await;
    }
}

/// The receiving half, which also watches whether the client is alive.
pub(crate) struct Events {
    shared: Arc<Shared>,
    decoder: Decoder,
    heard_at: Instant,
    wake_up: Pin<Box<Sleep>>,
    ping: Ping,
    ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ping {
    Idle,
    Due,
    Written,
}

/// What reading a socket until it has nothing more came to.
enum Read {
    Event(ClientEvent),
    End,
    Nothing,
}

impl Events {
    pub(crate) fn new(shared: Arc<Shared>, decoder: Decoder) -> Self {
        Self {
            shared,
            decoder,
            heard_at: Instant::now(),
            wake_up: Box::pin(sleep(PING_EVERY)),
            ping: Ping::Idle,
            ended: false,
        }
    }

    fn read(&mut self, state: &mut State, cx: &mut Context<'_>) -> Read {
        let Some(socket) = state.socket.as_mut().filter(|_| state.is_owned) else {
            return Read::End;
        };
        for _ in 0..FRAMES_PER_POLL {
            let frame = match socket.poll_read(cx) {
                Poll::Pending => return Read::Nothing,
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(Fault::Broken(code, message)))) => {
                    return self.violation(state, code, message);
                }
                Poll::Ready(Some(Err(Fault::Gone(_))) | None) => {
                    state.is_over = true;
                    return Read::End;
                }
            };
            self.heard_at = Instant::now();
            let event = match frame {
                IncomingFrame::Text(bytes) => match std::str::from_utf8(&bytes) {
                    Ok(text) => self.decoder.text(text, self.heard_at),
                    Err(error) => {
                        return self.violation(state, close_code::NOT_UTF8, error.to_string());
                    }
                },
                IncomingFrame::Binary(pcm) => self.decoder.binary(pcm, self.heard_at),
                IncomingFrame::Control => None,
                IncomingFrame::Close => {
                    // The library has an answer ready, which goes out with the next read.
                    let _ = socket.poll_read(cx);
                    state.is_over = true;
                    return Read::End;
                }
            };
            if let Some(event) = event {
                return Read::Event(event);
            }
        }
        cx.waker().wake_by_ref();
        Read::Nothing
    }

    fn violation(&mut self, state: &mut State, code: u16, message: String) -> Read {
        state.broken = Some(code);
        self.ended = true;
        Read::Event(ClientEvent::Violation(message))
    }

    /// True when the client has been silent for too long.
    fn is_silent(&mut self, cx: &mut Context<'_>) -> bool {
        while self.wake_up.as_mut().poll(cx).is_ready() {
            if self.heard_at.elapsed() >= SILENCE_LIMIT {
                return true;
            }
            self.ping = Ping::Due;
            self.wake_up.as_mut().reset(Instant::now() + PING_EVERY);
        }
        false
    }

    /// Pings when it is time and the socket has room. When it has none, something else is on its
    /// way that the client must take.
    fn send_ping(&mut self, state: &mut State) {
        let Some(socket) = state.socket.as_mut().filter(|_| !state.is_over) else {
            return;
        };
        let cx = &mut Context::from_waker(&self.shared.write_waker);
        // Errors are not looked at: reading will meet them.
        if self.ping == Ping::Due && socket.poll_ready(cx).is_ready() {
            let _ = socket.start_send(OutgoingFrame::Ping);
            self.ping = Ping::Written;
        }
        if self.ping == Ping::Written && socket.poll_flush(cx).is_ready() {
            self.ping = Ping::Idle;
        }
    }
}

impl Stream for Events {
    type Item = ClientEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ClientEvent>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let shared = Arc::clone(&this.shared);
        shared.wakers.reader.register(cx.waker());
        let mut state = shared.state();
        match this.read(&mut state, cx) {
            Read::Event(event) => return Poll::Ready(Some(event)),
            Read::Nothing if !this.is_silent(cx) => {
                this.send_ping(&mut state);
                return Poll::Pending;
            }
            Read::Nothing => state.is_over = true,
            Read::End => {}
        }
        this.ended = true;
        Poll::Ready(None)
    }
}
