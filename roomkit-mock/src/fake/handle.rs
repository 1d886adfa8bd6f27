//! The test's side of one connection: look, wait, interfere.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{Notify, mpsc};

use super::record::{ClientEvent, Closure, ReceivedAudio, Record, Violation, WaitError};

/// What a handle asks of the connection's task.
#[derive(Debug)]
pub(crate) enum Command {
    SendText(String),
    Close { code: u16, reason: String },
    StopReading,
    Order(Order),
}

/// What a handle or another connection asks of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Something the engine waits for may have happened.
    Look,
    /// Announce the end of the connection, then end it this much later.
    GoAway(Duration),
}

/// How the client connected.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpgradeRequest {
    /// The path of the URL.
    pub path: String,
    /// The query of the URL without `?`, or the empty string.
    pub query: String,
    /// Header names in lower case with their values, in the order received.
    pub headers: Vec<(String, String)>,
}

impl UpgradeRequest {
    /// The first value of a header; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A query parameter, not percent-decoded.
    pub fn query_value(&self, name: &str) -> Option<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }
}

/// One connection of the fake, alive or gone. Clones refer to the same connection.
#[derive(Debug, Clone)]
pub struct FakeConnection {
    pub(crate) index: usize,
    pub(crate) request: Arc<UpgradeRequest>,
    pub(crate) record: Arc<Record>,
    // Unbounded because only tests fill it, a command at a time.
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) kill: Arc<Notify>,
}

impl FakeConnection {
    /// Counted from 0 in the order of the upgrades.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How the client connected.
    pub fn request(&self) -> &UpgradeRequest {
        &self.request
    }

    /// Every client event so far other than audio.
    pub fn events(&self) -> Vec<ClientEvent> {
        self.record.read().events.clone()
    }

    /// The user's audio so far, joined, in the format it was sent in. Empty with
    /// `record_audio(false)`.
    pub fn audio(&self) -> Vec<u8> {
        self.record.read().audio.pcm.clone()
    }

    /// The user's audio so far with the time each piece arrived, for measuring gaps, loss and
    /// order. Empty with `record_audio(false)`.
    pub fn received_audio(&self) -> ReceivedAudio {
        self.record.read().audio.clone()
    }

    /// Bytes of audio received so far.
    pub fn audio_bytes(&self) -> u64 {
        self.record.read().audio_bytes
    }

    /// Pieces of audio received so far.
    pub fn appends(&self) -> u64 {
        self.record.read().appends
    }

    /// Everything the client did so far that the vendor refuses.
    pub fn violations(&self) -> Vec<Violation> {
        self.record.read().violations.clone()
    }

    /// How many server events of this kind were sent so far: `OpenAI`'s `type`, Gemini's field
    /// (`setupComplete`, `toolCall`, those of `serverContent` by their own name).
    pub fn sent(&self, kind: &str) -> usize {
        self.record.read().sent.get(kind).copied().unwrap_or(0)
    }

    /// The session configuration in force; for Gemini the `setup` in camel case.
    pub fn session(&self) -> Value {
        self.record.read().session.clone()
    }

    /// How the connection ended, once it has.
    pub fn closure(&self) -> Option<Closure> {
        self.record.read().closure.clone()
    }

    /// The first client event, past or future, that `matches`.
    pub async fn wait_for_event(
        &self,
        matches: impl Fn(&Value) -> bool,
    ) -> Result<ClientEvent, WaitError> {
        self.wait_for_nth_event(0, matches).await
    }

    /// The `nth` (from 0) client event that `matches`.
    pub async fn wait_for_nth_event(
        &self,
        nth: usize,
        matches: impl Fn(&Value) -> bool,
    ) -> Result<ClientEvent, WaitError> {
        self.record
            .wait(|state| {
                let mut found = state.events.iter().filter(|event| matches(&event.json));
                found.nth(nth).cloned()
            })
            .await
    }

    /// Waits until this many bytes of audio were received.
    pub async fn wait_for_audio(&self, bytes: u64) -> Result<(), WaitError> {
        self.record
            .wait(|state| (state.audio_bytes >= bytes).then_some(()))
            .await
    }

    /// Waits until `count` server events of this kind were sent.
    pub async fn wait_for_sent(&self, kind: &str, count: usize) -> Result<(), WaitError> {
        self.record
            .wait(|state| (state.sent.get(kind).copied().unwrap_or(0) >= count).then_some(()))
            .await
    }

    /// Waits for the first violation.
    pub async fn wait_for_violation(&self) -> Result<Violation, WaitError> {
        self.record
            .wait(|state| state.violations.first().cloned())
            .await
    }

    /// Waits for the end of the connection.
    pub async fn wait_for_close(&self) -> Result<Closure, WaitError> {
        self.record.wait(|state| state.closure.clone()).await
    }

    /// Sends an event verbatim: an `event_id` or the like is up to you. Does nothing once the
    /// connection is gone.
    pub fn inject_event(&self, event: &Value) {
        self.inject_text(event.to_string());
    }

    /// Sends a frame of the kind the vendor uses, JSON or not.
    pub fn inject_text(&self, text: impl Into<String>) {
        self.command(Command::SendText(text.into()));
    }

    /// Closes with this code and reason.
    pub fn close(&self, code: u16, reason: impl Into<String>) {
        self.command(Command::Close {
            code,
            reason: reason.into(),
        });
    }

    /// Ends the TCP connection without a close frame, even while the client reads nothing.
    pub fn drop_connection(&self) {
        self.kill.notify_one();
    }

    /// Reads nothing more, so the client's writes back up.
    pub fn stop_reading(&self) {
        self.command(Command::StopReading);
    }

    pub(crate) fn command(&self, command: Command) {
        // A connection that is gone has nothing left to be asked of.
        let _ = self.commands.send(command);
    }
}
