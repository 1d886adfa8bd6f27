//! A call that was asked to end by itself, once nobody waits for anything (contract S11).

use std::time::Duration;

use super::Call;
use crate::call::io::Moment;

impl Call {
    /// It ends once it is over, and after the limit at the latest; the earliest of several counts.
    pub(super) fn end_when_over(&mut self, now: Moment, limit: Duration) {
        let by = now.saturating_add(limit);
        self.end_by = Some(self.end_by.map_or(by, |before| before.min(by)));
    }

    /// It was asked to end, and all that was to be said has been heard, or took too long.
    pub(super) fn is_over(&self, now: Moment) -> bool {
        self.end_by.is_some_and(|by| now >= by || self.is_done(now))
    }

    /// The conversation may go on while a tool runs, but the model still has its result to tell. A call
    /// that has no connection has not been greeted, or cannot know what is owed.
    fn is_done(&self, now: Moment) -> bool {
        self.connection.is_open() && self.tools.is_empty() && self.is_quiet(now)
    }

    /// When that is to be looked at, if nothing happens. Silence in the room wakes the machine anyhow.
    pub(super) fn ending_wake(&self, now: Moment) -> Option<Moment> {
        let by = self.end_by?;
        let until = self.may_be_quiet_at(now);
        Some(until.map_or(by, |until| until.min(by)))
    }
}
