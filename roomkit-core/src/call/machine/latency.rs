//! How long the user waits for an answer.

use crate::{call::io::Moment, stats::TurnLatency};

/// The clock of one question: from the end of the user's speech to the first of the answer that is
/// sent.
#[derive(Debug, Default)]
pub(super) struct TurnClock {
    asked: Option<Moment>,
    first_audio: Option<Moment>,
}

impl TurnClock {
    /// The user speaks: what was asked before is not answered any more.
    pub(super) fn user_began(&mut self) {
        *self = Self::default();
    }

    pub(super) fn user_finished(&mut self, now: Moment) {
        *self = Self {
            asked: Some(now),
            first_audio: None,
        };
    }

    /// Audio of an answer came.
    pub(super) fn audio_came(&mut self, now: Moment) {
        if self.asked.is_some() {
            self.first_audio.get_or_insert(now);
        }
    }

    /// Audio was sent to the client. Gives how long the user has waited, once for each question.
    pub(super) fn audio_sent(&mut self, now: Moment) -> Option<TurnLatency> {
        let first_audio = self.first_audio.take()?;
        let asked = self.asked.take()?;
        Some(TurnLatency {
            first_audio: first_audio.saturating_sub(asked),
            sent: now.saturating_sub(asked),
        })
    }
}
