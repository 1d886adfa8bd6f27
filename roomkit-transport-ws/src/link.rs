//! One socket for all who need it: the two halves of a session's link, and the farewell.
//!
//! Both halves belong to one session's task, so the lock between them is never waited for; it is
//! held for one poll at a time and there for the cases in which they are apart.

use std::{
    any::Any,
    fmt,
    future::poll_fn,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use roomkit_core::client_protocol::ServerMessage;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    protocol,
    socket::{Fault, IncomingFrame, OutgoingFrame, Socket},
};

/// How long closing may take, the client's answer included.
const CLOSE_TIME: Duration = Duration::from_secs(3);

/// How long a broken connection stays open for the client to read why: with bytes of its unread,
/// closing at once would reset the connection and take the close frame along.
const BROKEN_LINGER: Duration = Duration::from_secs(1);

/// How many frames without an event are read before others get their turn.
pub(crate) const FRAMES_PER_POLL: usize = 64;

/// The right to a socket. Dropping it closes the socket, unless a farewell is still to be said.
pub(crate) struct Link {
    shared: Arc<Shared>,
    /// What the client sends from then on waits in the socket until a session reads it.
    pub(crate) made_at: Instant,
}

impl Link {
    pub(crate) fn new(socket: Box<dyn Socket>) -> Self {
        let wakers = Arc::new(Wakers::default());
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State {
                    socket: Some(socket),
                    kept: Vec::new(),
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
            made_at: Instant::now(),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Keeps a value for as long as the socket: who is sent away slowly still has his place.
    pub(crate) fn keep(&mut self, value: Box<dyn Any + Send>) {
        self.shared.state().kept.push(value);
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

pub(crate) struct State {
    pub(crate) socket: Option<Box<dyn Socket>>,
    kept: Vec<Box<dyn Any + Send>>,
    pub(crate) is_owned: bool,
    pub(crate) awaits_farewell: bool,
    /// The client is gone, or a close frame was sent.
    pub(crate) is_over: bool,
    pub(crate) started: bool,
    pub(crate) told_error: bool,
    /// The client broke a rule of WebSocket: the close code that says which.
    pub(crate) broken: Option<u16>,
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

    pub(crate) async fn send(&self, frame: OutgoingFrame) -> Result<(), Fault> {
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
    pub(crate) async fn close(&self, code: u16, reason: &str) {
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

    /// Has the reading half woken when the socket is gone, or has room again for its ping.
    pub(crate) fn watch(&self, reader: &Waker) {
        self.wakers.reader.register(reader);
    }

    /// For writing from the reading half.
    pub(crate) fn write_waker(&self) -> &Waker {
        &self.write_waker
    }

    fn release(&self, change: impl FnOnce(&mut State)) {
        let released = {
            let mut state = self.state();
            change(&mut state);
            let is_free = !state.is_owned && !state.awaits_farewell;
            is_free.then(|| (state.socket.take(), mem::take(&mut state.kept)))
        };
        // Outside the lock, as is the waking: both run foreign code.
        drop(released);
        self.wakers.wake_by_ref();
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
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
