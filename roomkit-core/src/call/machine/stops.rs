//! Answers that are stopped before they have begun (contract A3).

use super::{Call, OWES_AFTER_GIVEN, Wanted};
use crate::call::io::Moment;

impl Call {
    /// Nothing is to be heard, and yet somebody wants silence: he does not want the answer that is still
    /// to begin. (Where something was to be heard it was that, and perhaps just for what was asked.)
    pub(super) fn stop_awaited(&mut self, now: Moment) {
        let comes_by_itself = self.awaits_response
            || self.more_to_come
            || self.users_turn_until().is_some_and(|until| now < until);
        if !self.user_speaking && (self.wanted.is_asked() || comes_by_itself) {
            self.stopped_until = Some(now + OWES_AFTER_GIVEN);
        }
        if !self.has_results {
            self.wanted = self.wanted.withdrawn();
        }
        self.owes = None;
        // Nor does the next connection owe it.
        self.connection.owed = false;
        self.turn.forget();
    }

    /// Something is to be heard that the model has said to go on with, and somebody wants silence: nor
    /// does he want the rest. But where something else was asked, what begins next may answer that.
    pub(super) fn stop_announced(&mut self, now: Moment) {
        let is_asked = self.awaits_response || self.wanted.is_asked();
        if self.more_to_come && !self.user_speaking && !is_asked {
            self.stopped_until = Some(now + OWES_AFTER_GIVEN);
        }
    }

    /// The next response was stopped before it began.
    pub(super) fn is_stopped(&self, now: Moment) -> bool {
        self.stopped_until.is_some_and(|until| now < until)
    }

    /// The connection is gone, and with it the response that was stopped before it began.
    pub(super) fn forget_stopped(&mut self, now: Moment) {
        if self.is_stopped(now) {
            self.awaits_response = false;
            self.more_to_come = false;
            self.wanted = match self.wanted {
                Wanted::AskedUntil(_) => Wanted::No,
                Wanted::AskedAndMore(_) => Wanted::NotBefore(now),
                wanted => wanted,
            };
        }
        self.stopped_until = None;
    }
}
