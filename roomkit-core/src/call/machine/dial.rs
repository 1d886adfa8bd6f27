//! The next connection: what it is asked to be, and what it is told of the conversation.

use std::{collections::HashSet, time::Duration};

use super::{
    Call, Held,
    connection::{Connection, State},
};
use crate::{
    call::{
        history::open_calls,
        io::{Action, Dial, Moment},
    },
    event::HandOverOutcome,
    provider::HistorySupport,
};

/// A new connection that is not ready by then is given up and tried again.
const DIAL_LIMIT: Duration = Duration::from_secs(10);

impl Call {
    pub(super) fn dial(&mut self, fallback: bool) {
        self.connection.state = State::Dialling { fallback };
        let Some(capabilities) = &self.provider else {
            return;
        };
        let support = capabilities.history;
        let (resumes, resumes_changed) = (capabilities.resumes, capabilities.resumes_changed);
        let mut setup = self.setup.dial();
        if self.setup.dials_changes() && !resumes_changed {
            // It stands for the session as it was.
            self.history.spend_token();
        }
        let token = self.history.token().filter(|_| resumes);
        let resume = token.cloned();
        let history = self.history.snapshot(self.words.untold(), support);
        self.connection.next_calls = match support {
            HistorySupport::Full => open_calls(&history),
            _ => HashSet::new(),
        };
        self.connection.told_until = match support {
            HistorySupport::None => u64::MAX,
            _ => self.words.order(),
        };
        self.connection.resumed_at = self.history.covers_until();
        if !fallback {
            self.forget_what_is_told();
        }
        if let Some(run) = &mut self.connection.run {
            run.attempts += 1;
            run.outcome = match (&resume, support) {
                (Some(_), _) => HandOverOutcome::Resumed,
                (None, HistorySupport::None) => HandOverOutcome::Fresh,
                (None, _) => HandOverOutcome::Replayed,
            };
        }
        setup.resume = resume;
        setup.history = history;
        let within = DIAL_LIMIT;
        self.out
            .push_back(Action::Dial(Box::new(Dial { setup, within })));
    }

    /// What waits and is part of what the new connection is told, by its dial or when it is there,
    /// waits no more. What its token stands for and still waits has never been given. And the answer of a
    /// tool whose change came after the dial waits with that change.
    pub(super) fn forget_what_is_told(&mut self) {
        let Connection {
            told_until,
            left_at,
            resumed_at,
            ..
        } = self.connection;
        if told_until == u64::MAX {
            return;
        }
        let has_waiting = self.setup.has_waiting();
        let is_told = |held: &Held| {
            let until = if has_waiting && held.is_result() {
                told_until
            } else {
                told_until.max(left_at)
            };
            resumed_at < held.order && held.order <= until
        };
        // After the last of them.
        let answers_results = self.answers_results() && self.tools.is_settled();
        let owes_answer = |held: &Held| held.wants_answer(answers_results) && is_told(held);
        let mut waits = self.held.iter().chain(&self.deferred);
        self.connection.owed |= waits.any(owes_answer);
        self.held.retain(|held| !is_told(held));
        self.deferred.retain(|held| !is_told(held));
    }

    pub(super) fn wait_to_dial(&mut self, now: Moment) {
        let until = now + self.connection.backoff();
        self.connection.state = State::Waiting(until);
    }
}
