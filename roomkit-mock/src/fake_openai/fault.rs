//! What the fake is told to break, and where.

use std::time::Duration;

use serde_json::Value;

use crate::fake::fault;

/// A fault of the fake `OpenAI` server.
pub type Fault = fault::Fault<FaultPoint, FaultAction>;

/// Where a fault strikes. Counts run over one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FaultPoint {
    /// After the upgrade, before `session.created`.
    BeforeSessionCreated,
    /// After this many server events were sent.
    AfterServerEvents(usize),
    /// After this many client events were received, audio appends included.
    AfterClientEvents(usize),
    /// After the first server event of this type.
    AfterSending(String),
    /// In the middle of a response: after this many `response.output_audio.delta`.
    AfterAudioDeltas(usize),
    /// After this much audio was appended, in milliseconds of audio time.
    AfterAudioMs(u64),
    /// This long after `session.created`, in milliseconds.
    AfterMs(u64),
}

/// What happens at the point of a fault.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultAction {
    /// A close frame with this code and reason.
    Close {
        /// The WebSocket close code.
        code: u16,
        /// At most 123 bytes; the rest is cut off.
        reason: String,
    },
    /// The TCP connection ends without a close frame.
    Drop,
    /// Nothing more is read, so the client's writes back up. Sending goes on.
    StopReading,
    /// `session.update` is taken in and never answered from here on.
    IgnoreSessionUpdates,
    /// `error` `session_expired`, then close 1001: the end of every session after 60 minutes.
    ExpireSession,
    /// An event of your making, sent verbatim.
    SendEvent(Value),
    /// A text frame that need not be JSON.
    SendText(String),
}

impl FaultAction {
    /// A text frame that breaks off in the middle of its JSON.
    pub fn malformed_json() -> Self {
        Self::SendText(r#"{"type":"response.output_audio.delta","delta":"AAA"#.to_owned())
    }
}

/// The faults one connection still has before it.
#[derive(Debug)]
pub(crate) struct FaultWatch {
    waiting: fault::Waiting<FaultPoint, FaultAction>,
    server_events: usize,
    client_events: usize,
    audio_deltas: usize,
}

impl FaultWatch {
    pub(crate) fn for_connection(faults: &[Fault], index: usize) -> Self {
        Self {
            waiting: fault::Waiting::for_connection(faults, index),
            server_events: 0,
            client_events: 0,
            audio_deltas: 0,
        }
    }

    pub(crate) fn connected(&mut self) -> Vec<FaultAction> {
        self.waiting
            .strike(|point| matches!(point, FaultPoint::BeforeSessionCreated))
    }

    pub(crate) fn sent(&mut self, kind: &str) -> Vec<FaultAction> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.server_events += 1;
        if kind == "response.output_audio.delta" {
            self.audio_deltas += 1;
        }
        let (events, deltas) = (self.server_events, self.audio_deltas);
        self.waiting.strike(|point| match point {
            FaultPoint::AfterServerEvents(count) => *count <= events,
            FaultPoint::AfterAudioDeltas(count) => *count <= deltas,
            FaultPoint::AfterSending(wanted) => wanted == kind,
            _ => false,
        })
    }

    pub(crate) fn received(&mut self, audio_ms: u64) -> Vec<FaultAction> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        self.client_events += 1;
        let events = self.client_events;
        self.waiting.strike(|point| match point {
            FaultPoint::AfterClientEvents(count) => *count <= events,
            FaultPoint::AfterAudioMs(milliseconds) => *milliseconds <= audio_ms,
            _ => false,
        })
    }

    /// When, counted from the session's start, the next fault by time strikes.
    pub(crate) fn next_age(&self) -> Option<Duration> {
        let ages = self.waiting.points().filter_map(|point| match point {
            FaultPoint::AfterMs(milliseconds) => Some(Duration::from_millis(*milliseconds)),
            _ => None,
        });
        ages.min()
    }

    pub(crate) fn aged(&mut self, age: Duration) -> Vec<FaultAction> {
        self.waiting.strike(|point| match point {
            FaultPoint::AfterMs(milliseconds) => Duration::from_millis(*milliseconds) <= age,
            _ => false,
        })
    }
}
