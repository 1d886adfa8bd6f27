//! What one connection did: everything received, every refusal, and waits for the next thing.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use thiserror::Error;
use tokio::sync::Notify;

/// One thing the client sent other than audio.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientEvent {
    /// The event as it was received.
    pub json: Value,
    /// Bytes of audio received before it, which places it among the audio.
    pub audio_bytes_before: u64,
    /// When it arrived.
    pub at: Instant,
    pub(crate) kind: String,
}

impl ClientEvent {
    /// What it is called on the wire: `OpenAI`'s `type` or Gemini's field, such as
    /// `realtimeInput.text`. The empty string if there is neither.
    pub fn kind(&self) -> &str {
        &self.kind
    }
}

/// The user's audio as one connection received it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceivedAudio {
    /// All of it, joined, in the format it was sent in.
    pub pcm: Vec<u8>,
    /// The pieces it came in, in order of arrival.
    pub chunks: Vec<AudioChunk>,
}

/// Where one piece of [`ReceivedAudio`] lies and when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioChunk {
    /// Its first byte in `pcm`.
    pub offset: usize,
    /// Its length in bytes.
    pub bytes: usize,
    /// Its sample rate in Hz.
    pub rate: u32,
    /// When it arrived.
    pub at: Instant,
}

impl ReceivedAudio {
    /// The bytes of one piece; nothing if it is not one of these.
    pub fn bytes_of(&self, chunk: &AudioChunk) -> &[u8] {
        let end = chunk.offset.saturating_add(chunk.bytes);
        self.pcm.get(chunk.offset..end).unwrap_or_default()
    }

    fn push(&mut self, audio: &[u8], rate: u32) {
        self.chunks.push(AudioChunk {
            offset: self.pcm.len(),
            bytes: audio.len(),
            rate,
            at: Instant::now(),
        });
        self.pcm.extend_from_slice(audio);
    }
}

/// Something the client did that the real service would not have accepted either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The vendor's code for it: `OpenAI`'s error code or Gemini's close code. `None` where the
    /// vendor gives none or says nothing at all.
    pub code: Option<String>,
    /// The text for humans.
    pub message: String,
    /// The offending parameter's path.
    pub param: Option<String>,
    /// The client's own `event_id`, if it sent one; `OpenAI` only.
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
        "nothing within {0:?}; raise it with the builder's wait_timeout if the machine is slow"
    )]
    TimedOut(Duration),
}

#[derive(Debug, Default)]
pub(crate) struct RecordState {
    pub(crate) events: Vec<ClientEvent>,
    pub(crate) audio: ReceivedAudio,
    pub(crate) audio_bytes: u64,
    pub(crate) appends: u64,
    pub(crate) violations: Vec<Violation>,
    pub(crate) sent: BTreeMap<String, usize>,
    pub(crate) session: Value,
    pub(crate) closure: Option<Closure>,
}

impl RecordState {
    /// Counts one piece of the user's audio, and keeps it if `keep`.
    pub(crate) fn heard(&mut self, audio: &[u8], rate: u32, keep: bool) {
        self.appends += 1;
        self.audio_bytes += audio.len() as u64;
        if keep {
            self.audio.push(audio, rate);
        }
    }

    /// Keeps an event with its place among the audio.
    pub(crate) fn event(&mut self, kind: String, json: Value) {
        let audio_bytes_before = self.audio_bytes;
        self.events.push(ClientEvent {
            json,
            audio_bytes_before,
            at: Instant::now(),
            kind,
        });
    }
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
