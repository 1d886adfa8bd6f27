//! What the fake is told to break, and where.

use std::time::Duration;

use serde_json::Value;

/// Something that goes wrong at one point of a connection, once.
///
/// A fault strikes the first connection unless told otherwise, so a client that reconnects finds
/// a healthy server.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub(crate) point: FaultPoint,
    pub(crate) action: FaultAction,
    pub(crate) connection: Option<usize>,
}

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

impl Fault {
    /// A fault on the first connection.
    pub fn new(point: FaultPoint, action: FaultAction) -> Self {
        Self {
            point,
            action,
            connection: Some(0),
        }
    }

    /// Strikes the connection with this index, counted from 0, in place of the first.
    #[must_use]
    pub fn on_connection(mut self, index: usize) -> Self {
        self.connection = Some(index);
        self
    }

    /// Strikes every connection, once each.
    #[must_use]
    pub fn on_every_connection(mut self) -> Self {
        self.connection = None;
        self
    }
}

/// The faults one connection still has before it.
#[derive(Debug)]
pub(crate) struct FaultWatch {
    waiting: Vec<Fault>,
    server_events: usize,
    client_events: usize,
    audio_deltas: usize,
}

impl FaultWatch {
    pub(crate) fn for_connection(faults: &[Fault], index: usize) -> Self {
        Self {
            waiting: faults
                .iter()
                .filter(|fault| fault.connection.is_none_or(|wanted| wanted == index))
                .cloned()
                .collect(),
            server_events: 0,
            client_events: 0,
            audio_deltas: 0,
        }
    }

    pub(crate) fn connected(&mut self) -> Vec<FaultAction> {
        self.strike(|point| matches!(point, FaultPoint::BeforeSessionCreated))
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
        self.strike(|point| match point {
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
        self.strike(|point| match point {
            FaultPoint::AfterClientEvents(count) => *count <= events,
            FaultPoint::AfterAudioMs(milliseconds) => *milliseconds <= audio_ms,
            _ => false,
        })
    }

    /// When, counted from the session's start, the next fault by time strikes.
    pub(crate) fn next_age(&self) -> Option<Duration> {
        let ages = self.waiting.iter().filter_map(|fault| match fault.point {
            FaultPoint::AfterMs(milliseconds) => Some(Duration::from_millis(milliseconds)),
            _ => None,
        });
        ages.min()
    }

    pub(crate) fn aged(&mut self, age: Duration) -> Vec<FaultAction> {
        self.strike(|point| match point {
            FaultPoint::AfterMs(milliseconds) => Duration::from_millis(*milliseconds) <= age,
            _ => false,
        })
    }

    fn strike(&mut self, reached: impl Fn(&FaultPoint) -> bool) -> Vec<FaultAction> {
        self.waiting
            .extract_if(.., |fault| reached(&fault.point))
            .map(|fault| fault.action)
            .collect()
    }
}
