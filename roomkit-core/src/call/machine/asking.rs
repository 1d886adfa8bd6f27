//! Whether and when the model is asked for a response (contract K7).

use std::time::Duration;

use super::{Call, Held};
use crate::{
    call::io::Moment,
    provider::{Continuation, ProviderCommand},
};

/// A response that was asked for and has not begun by then is asked for again.
pub(super) const RESPOND_PATIENCE: Duration = Duration::from_secs(10);
/// How often a provider may answer with an error where it is asked for a response.
const MAX_REFUSALS: u32 = 3;

/// Whether a response is to be asked for (contract K7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    No,
    /// As soon as nothing speaks against it, and not before this moment.
    NotBefore(Moment),
    /// It was; until this moment it may begin.
    AskedUntil(Moment),
    /// It was, and one more is wanted after the next that begins.
    AskedAndMore(Moment),
}

/// What a response was asked for after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum AskedFor {
    /// It was not.
    #[default]
    Nothing,
    /// Words or an image.
    Words,
    /// Results of tools, and perhaps words.
    Results,
}

impl Wanted {
    /// It was asked for, and may begin.
    pub(super) fn is_asked(self) -> bool {
        matches!(self, Self::AskedUntil(_) | Self::AskedAndMore(_))
    }

    /// When it is to be looked at, if nothing happens.
    pub(super) fn due(self, now: Moment) -> Option<Moment> {
        match self {
            Self::NotBefore(at) if at > now => Some(at),
            Self::AskedUntil(at) | Self::AskedAndMore(at) => Some(at),
            Self::No | Self::NotBefore(_) => None,
        }
    }

    /// Something else is to be answered.
    fn one_more(self, now: Moment) -> Self {
        match self {
            Self::No => Self::NotBefore(now),
            Self::AskedUntil(until) => Self::AskedAndMore(until),
            wanted => wanted,
        }
    }

    /// What it was or is to be asked for has begun, or does not come.
    pub(super) fn one_done(self, now: Moment) -> Self {
        match self {
            Self::AskedAndMore(_) => Self::NotBefore(now),
            _ => Self::No,
        }
    }

    /// What it is still to be asked for is not wanted any more.
    pub(super) fn withdrawn(self) -> Self {
        match self {
            Self::NotBefore(_) => Self::No,
            Self::AskedAndMore(until) => Self::AskedUntil(until),
            wanted => wanted,
        }
    }
}

impl Call {
    /// The model should say something about what it was just given.
    pub(super) fn want_response(&mut self, now: Moment) {
        if self.continues_by_itself() {
            // It answers what it is given, as soon as it is.
            return;
        }
        self.has_asked_again = false;
        self.asks_for_turn = false;
        self.wanted = self.wanted.one_more(now);
    }

    /// The provider was given something that it answers by itself, if so: whatever was stopped before,
    /// this is to be heard.
    pub(super) fn is_to_answer(&mut self, is_answered: bool) {
        if is_answered {
            self.awaits_response = true;
            self.stopped_until = None;
        }
    }

    pub(super) fn continues_by_itself(&self) -> bool {
        self.provider
            .as_ref()
            .is_some_and(|provider| provider.continuation == Continuation::Automatic)
    }

    pub(super) fn ask_for_response(&mut self, now: Moment) {
        if self.continues_by_itself() && self.awaits_response {
            // What comes of that answers whatever else is to be answered.
            self.wanted = Wanted::No;
        }
        if let Wanted::AskedUntil(until) | Wanted::AskedAndMore(until) = self.wanted
            && now >= until
        {
            self.wanted = match self.wanted {
                // Nobody waits for it.
                Wanted::AskedUntil(_) if self.is_stopped(now) => Wanted::No,
                _ => Wanted::NotBefore(now),
            };
        }
        if let Wanted::NotBefore(_) = self.wanted
            && self.has_results
            && !self.tools.is_settled()
        {
            // A quick tool was done before the model made the next call of the same turn: it is
            // asked after the last of them.
            self.wanted = Wanted::No;
        }
        if let Wanted::NotBefore(at) = self.wanted
            && now >= at
            && self.connection.is_open()
            && self.uplink.is_clear()
            && self.response.is_none()
            && !self.user_speaks()
            && !self.answers_elsewhere()
        {
            self.wanted = if self.continues_by_itself() {
                self.awaits_response = true;
                Wanted::No
            } else {
                Wanted::AskedUntil(now + RESPOND_PATIENCE)
            };
            self.stopped_until = None;
            self.send_to_provider(ProviderCommand::Respond);
        }
    }

    /// A response is due: it was asked for, or comes by itself, now or when the model is given what
    /// waits for that.
    pub(super) fn is_response_owed(&self) -> bool {
        let waits_for_connection = !self.connection.is_open();
        let answers_results = self.answers_results();
        let wants_answer = |held: &Held| held.wants_answer(answers_results);
        self.awaits_answer()
            || waits_for_connection && self.held.iter().any(wants_answer)
            || self.deferred.iter().any(wants_answer)
    }

    /// A response to what the present connection was given is to be asked for, was, or comes by
    /// itself.
    pub(super) fn awaits_answer(&self) -> bool {
        self.wanted != Wanted::No || self.awaits_response || self.more_to_come
    }

    /// The provider reports an error. Who answers with one each time it is asked for a response is not
    /// asked for ever: the call would never be idle.
    pub(super) fn asking_failed(&mut self) {
        if self.wanted.is_asked() {
            self.refusals += 1;
            if self.refusals >= MAX_REFUSALS {
                self.refusals = 0;
                self.wanted = Wanted::No;
            }
        }
    }

    /// The turn that a response was or is to be asked for is over without one.
    pub(super) fn asking_was_for_nothing(&mut self, now: Moment) {
        if !self.continues_by_itself() {
            self.wanted = self.wanted.one_done(now);
        }
    }
}
