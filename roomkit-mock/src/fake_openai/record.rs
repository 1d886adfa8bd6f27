//! What one connection did: everything received, every refusal, and waits for the next thing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use tokio::sync::Notify;

/// One client event other than an audio append.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientEvent {
    /// The event as it was received.
    pub json: Value,
    /// Bytes of audio appended before it, which places it among the appends.
    pub audio_bytes_before: u64,
}

impl ClientEvent {
    /// The event's `type`, or the empty string.
    pub fn kind(&self) -> &str {
        self.json["type"].as_str().unwrap_or_default()
    }
}

/// An `error` the fake had to send: something the real service would not have accepted either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The error code; the vendor leaves it out at times.
    pub code: Option<String>,
    /// The text for humans.
    pub message: String,
    /// The offending parameter's path.
    pub param: Option<String>,
    /// The client's own `event_id`, if it sent one.
    pub event_id: Option<String>,
}

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closure {
    /// The client sent a close frame, with this code if any.
    ByClient(Option<u16>),
    /// The fake sent a close frame.
    ByServer {
        /// The WebSocket close code.
        code: u16,
        /// The close reason.
        reason: String,
    },
    /// The TCP connection ended without a close frame, from either side.
    Dropped,
}

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WaitError {
    /// The connection ended first.
    #[error("the connection closed ({0:?}) before the event; check the violations it recorded")]
    Closed(Closure),
    /// The configured limit passed.
    #[error(
        "nothing within {0:?}; raise it with FakeOpenAiBuilder::wait_timeout if the machine is slow"
    )]
    TimedOut(Duration),
}

#[derive(Debug, Default)]
pub(crate) struct RecordState {
    pub(crate) events: Vec<ClientEvent>,
    pub(crate) audio: Vec<u8>,
    pub(crate) audio_bytes: u64,
    pub(crate) appends: u64,
    pub(crate) violations: Vec<Violation>,
    pub(crate) sent: BTreeMap<String, usize>,
    pub(crate) session: Value,
    pub(crate) closure: Option<Closure>,
}

/// Shared by the connection's task and its handles.
#[derive(Debug)]
pub(crate) struct Record {
    state: Mutex<RecordState>,
    changed: Notify,
    wait_timeout: Duration,
}

impl Record {
    pub(crate) fn new(wait_timeout: Duration) -> Self {
        Self {
            state: Mutex::default(),
            changed: Notify::new(),
            wait_timeout,
        }
    }

    pub(crate) fn read(&self) -> MutexGuard<'_, RecordState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut RecordState)) {
        change(&mut self.read());
        self.changed.notify_waiters();
    }

    /// Waits until `find` returns something.
    pub(crate) async fn wait<T>(
        &self,
        find: impl Fn(&RecordState) -> Option<T>,
    ) -> Result<T, WaitError> {
        let search = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                // Listening before looking: nothing can happen unnoticed in between.
                changed.as_mut().enable();
                {
                    let state = self.read();
                    if let Some(found) = find(&state) {
                        return Ok(found);
                    }
                    if let Some(closure) = &state.closure {
                        return Err(WaitError::Closed(closure.clone()));
                    }
                }
                changed.await;
            }
        };
        tokio::time::timeout(self.wait_timeout, search)
            .await
            .unwrap_or(Err(WaitError::TimedOut(self.wait_timeout)))
    }
}
