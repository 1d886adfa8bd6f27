//! The end of a connection that the service decides on: `goAway`, then a close.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::builder::ConnectionLife;
use super::engine::Engine;

/// When the connection is to be told, and when it ends.
#[derive(Debug, Default)]
pub(crate) struct Life {
    notice: Option<(Instant, Duration)>,
    end: Option<(Instant, u16, String)>,
}

impl Life {
    pub(crate) fn new(limit: Option<&ConnectionLife>, now: Instant) -> Self {
        let Some(limit) = limit else {
            return Self::default();
        };
        let notice = limit.notice.map(|notice| notice.min(limit.lasts));
        Self {
            notice: notice.map(|notice| (now + limit.lasts - notice, notice)),
            end: Some((now + limit.lasts, limit.code, limit.reason.clone())),
        }
    }

    /// Its end was announced, which may be before the setup is complete.
    pub(crate) fn is_ending(&self) -> bool {
        self.end.is_some()
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        let notice = self.notice.iter().map(|(due, _)| *due);
        let end = self.end.iter().map(|(due, _, _)| *due);
        notice.chain(end).min()
    }
}

impl Engine {
    /// Announces the end of the connection, which comes when `time_left` is over.
    pub(super) fn go_away(&mut self, time_left: Duration) {
        self.life.notice = None;
        self.life.end = Some((self.now + time_left, 1001, String::new()));
        self.announce_end(time_left);
    }

    pub(super) fn advance_life(&mut self) {
        let now = self.now;
        if let Some((_, time_left)) = self.life.notice.take_if(|(due, _)| *due <= now) {
            self.announce_end(time_left);
        }
        if let Some((_, code, reason)) = self.life.end.take_if(|(due, _, _)| *due <= now) {
            self.close(code, &reason);
        }
    }

    fn announce_end(&mut self, time_left: Duration) {
        let time_left = duration_text(time_left);
        self.writer
            .message(json!({"goAway": {"timeLeft": time_left}}));
    }
}

/// As proto3 JSON has it: `50s`, `17.250s`.
pub(crate) fn duration_text(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        milliseconds => format!("{}.{milliseconds:03}s", duration.as_secs()),
    }
}
