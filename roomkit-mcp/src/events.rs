//! The stream of events beside the requests of a session over HTTP, on which changes are announced.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::BoxStream};
use rmcp::transport::streamable_http_client::SseError;
use sse_stream::Sse;
use tokio::{sync::Notify, time::Instant};

use crate::backoff;

/// A stream that lasted so long was a good one: the next is opened at once.
const STEADY: Duration = Duration::from_secs(10);

/// The stream of one session, over all the times it is opened.
#[derive(Clone)]
pub(crate) struct Events(Arc<Inner>);

struct Inner {
    /// Told when the tools are to be listed again.
    list_changed: Arc<Notify>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How often it was tried since it was last of use.
    attempts: u32,
    /// It was tried before, and what was announced since then may have been missed.
    may_have_missed: bool,
    opened: Option<Instant>,
    last_id: Option<String>,
}

impl Events {
    pub(crate) fn new(list_changed: Arc<Notify>) -> Self {
        Self(Arc::new(Inner {
            list_changed,
            state: Mutex::default(),
        }))
    }

    /// Whether this stream is meant, and not that of a single answer, which is only ever resumed
    /// after an event of its own.
    pub(crate) fn is_meant(&self, last_id: Option<&str>) -> bool {
        last_id.is_none() || self.with(|state| state.last_id.as_deref() == last_id)
    }

    /// Waits until it is to be tried (again).
    pub(crate) async fn next_attempt(&self) {
        let attempt = self.with(|state| {
            let opened = state.opened.take();
            if opened.is_some_and(|opened| opened.elapsed() >= STEADY) {
                state.attempts = 0;
            }
            state.attempts += 1;
            state.attempts
        });
        if let Some(before) = attempt.checked_sub(2) {
            tokio::time::sleep(backoff::wait(before)).await;
        }
    }

    /// It could not be opened.
    pub(crate) fn failed(&self) {
        self.with(|state| state.may_have_missed = true);
    }

    /// It is open. Nobody repeats what was announced while it was not, so that the tools are listed.
    pub(crate) fn opened(
        &self,
        stream: BoxStream<'static, Result<Sse, SseError>>,
    ) -> BoxStream<'static, Result<Sse, SseError>> {
        let may_have_missed = self.with(|state| {
            state.opened = Some(Instant::now());
            std::mem::replace(&mut state.may_have_missed, true)
        });
        if may_have_missed {
            self.0.list_changed.notify_one();
        }
        let this = self.clone();
        let noted = stream.inspect(move |event| {
            if let Ok(event) = event {
                this.with(|state| {
                    // It is of use, however short it is: some servers end each on purpose.
                    state.attempts = state.attempts.min(1);
                    if event.id.is_some() {
                        state.last_id.clone_from(&event.id);
                    }
                });
            }
        });
        noted.boxed()
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
