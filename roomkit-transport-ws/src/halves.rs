//! The two halves of a session's link: commands out, events in.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::Stream;
use roomkit_core::{
    client_protocol::ServerMessage,
    transport::{ClientCommand, ClientEvent, ClientSink, TransportError},
};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    config::AudioEncoding,
    link::{FRAMES_PER_POLL, Link, Shared, State},
    protocol::{self, Decoder, close_code},
    socket::{Fault, IncomingFrame, OutgoingFrame},
};

/// How often a client is pinged, which also keeps proxies from closing a quiet connection.
const PING_EVERY: Duration = Duration::from_secs(20);

/// After how long without a sign of life, not even a pong, a client is taken for gone. A slow one
/// has two pings' time to answer.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

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
        let shared = self.link.shared();
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
        let shared = self.link.shared();
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
    /// When that is due, for it is elsewhere in memory.
    wakes_at: Instant,
    /// Who is woken by it.
    woken: Option<Waker>,
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
        let now = Instant::now();
        let wakes_at = now + PING_EVERY;
        Self {
            shared,
            decoder,
            heard_at: now,
            wake_up: Box::pin(sleep_until(wakes_at)),
            wakes_at,
            woken: None,
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
        // This comes after each frame: asking a timer in vain is not free.
        let waits = self
            .woken
            .as_ref()
            .is_some_and(|it| it.will_wake(cx.waker()));
        if waits && Instant::now() < self.wakes_at {
            return false;
        }
        self.woken = Some(cx.waker().clone());
        while self.wake_up.as_mut().poll(cx).is_ready() {
            if self.heard_at.elapsed() >= SILENCE_LIMIT {
                return true;
            }
            self.ping = Ping::Due;
            self.wakes_at = Instant::now() + PING_EVERY;
            self.wake_up.as_mut().reset(self.wakes_at);
        }
        false
    }

    /// Pings when it is time and the socket has room. When it has none, something else is on its
    /// way that the client must take.
    fn send_ping(&mut self, state: &mut State) {
        let Some(socket) = state.socket.as_mut().filter(|_| !state.is_over) else {
            return;
        };
        let cx = &mut Context::from_waker(self.shared.write_waker());
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
        let mut state = shared.state();
        match this.read(&mut state, cx) {
            Read::Event(event) => return Poll::Ready(Some(event)),
            Read::Nothing if !this.is_silent(cx) => {
                // The socket is taken away under the lock that is held here, so that is not missed.
                shared.watch(cx.waker());
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
