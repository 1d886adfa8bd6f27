//! How long the user waits for an answer.

use std::time::Duration;

use crate::{call::io::Moment, stats::TurnLatency};

/// The clock of one question: from the end of the user's speech to the first of the answer that is
/// sent, and then played. Where that is in the client's stream tells it from what was said before.
#[derive(Debug, Default)]
pub(super) struct TurnClock {
    asked: Option<Moment>,
    first_audio: Option<First>,
    /// Sent, and the client has not said that it plays it.
    sent: Option<Sent>,
}

/// The first audio of an answer.
#[derive(Debug, Clone, Copy)]
struct First {
    at: Moment,
    place: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    asked: Moment,
    place: Duration,
}

impl TurnClock {
    /// What was asked is not answered any more: the user asks anew or wants no answer, the model has
    /// nothing to say to it, or is not to be heard.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn user_finished(&mut self, now: Moment) {
        *self = Self {
            asked: Some(now),
            ..Self::default()
        };
    }

    /// The answer is over, and nothing of it was to be heard.
    pub(super) fn passed(&mut self) {
        if !self.answers() {
            self.asked = None;
        }
    }

    /// So much of the stream was let pass without being sent, for the caller is not to hear it.
    pub(super) fn skipped(&mut self, until: Duration) {
        if self.first_audio.is_some_and(|first| first.place < until) {
            self.forget();
        }
    }

    /// Audio of an answer came, and begins at this place of the client's stream.
    pub(super) fn audio_came(&mut self, now: Moment, place: Duration) {
        if self.asked.is_some() {
            self.first_audio.get_or_insert(First { at: now, place });
        }
    }

    /// The first of an answer has come and is not sent yet.
    pub(super) fn answers(&self) -> bool {
        self.first_audio.is_some()
    }

    /// So much of the stream was sent to the client. Gives how long the user has waited, once for
    /// each question.
    pub(super) fn audio_sent(&mut self, now: Moment, sent: Duration) -> Option<TurnLatency> {
        let First { at, place } = self.first_audio.take_if(|first| first.place < sent)?;
        let asked = self.asked.take()?;
        self.sent = Some(Sent { asked, place });
        Some(TurnLatency {
            first_audio: at.saturating_sub(asked),
            sent: now.saturating_sub(asked),
            played: None,
        })
    }

    /// The client has played so much of the stream. Gives how long it took until it played the
    /// first of the answer, once.
    pub(super) fn played(&mut self, now: Moment, played: Duration) -> Option<Duration> {
        let Sent { asked, place } = self.sent.take_if(|sent| sent.place < played)?;
        let began = now.saturating_sub(played.saturating_sub(place));
        Some(began.saturating_sub(asked))
    }
}
