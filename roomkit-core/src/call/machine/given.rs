//! Words the host gives the model at the right moment: greetings and deliveries.

use std::collections::VecDeque;

use super::{Call, RESPOND_PATIENCE};
use crate::{
    call::io::{Action, Moment, News},
    provider::Role,
    voice::DeliveryStrategy,
};

/// Texts that may wait for the call to be idle.
pub(super) const DELIVERIES: usize = 256;

/// A text that waits until nobody speaks.
#[derive(Debug)]
pub(super) struct Waiting {
    text: String,
    /// It is not kept for longer.
    deadline: Option<Moment>,
    /// It may go together with others.
    joins: bool,
}

/// A greeting that speech is not to cut short (contract A3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Guard {
    #[default]
    Off,
    /// The greeting was asked for; if it has not begun by then, the user is heard all the same.
    Asked(Moment),
    /// It is being said.
    Begun,
}

impl Call {
    /// Gives the model text that somebody wrote.
    pub(super) fn inject(&mut self, now: Moment, text: String, role: Role, silent: bool) {
        let injected = News::Injected {
            text: text.clone(),
            role,
            silent,
        };
        self.words.tell(now, injected);
        self.give_text(now, text, role, silent);
    }

    /// Has the model speak first.
    pub(super) fn greet(&mut self, now: Moment, greeting: &str) {
        if self.may_guard() {
            self.guard = Guard::Asked(now + RESPOND_PATIENCE);
        }
        self.inject(now, greeting_note(greeting), Role::System, false);
    }

    fn may_guard(&self) -> bool {
        self.settings.interruptions && !self.settings.greeting_interruptions
    }

    /// A greeting is to be heard to its end, also one that is still to be asked for: what the user says
    /// meanwhile counts for nothing.
    pub(super) fn guards_greeting(&self) -> bool {
        self.guard != Guard::Off || self.greeting.is_some() && self.may_guard()
    }

    /// The connection is gone. A greeting of which nothing was said will be asked for on the next.
    pub(super) fn greeting_is_lost(&mut self, now: Moment, was_said: bool) {
        if self.guard == Guard::Begun && !was_said {
            self.guard = Guard::Asked(now + RESPOND_PATIENCE);
        }
    }

    /// The response that begins after a greeting was asked for is that greeting.
    pub(super) fn greeting_may_begin(&mut self) {
        if self.guard != Guard::Off {
            self.guard = Guard::Begun;
        }
    }

    /// Listens to the user again when the greeting was heard, was stopped, or does not come.
    pub(super) fn watch_greeting(&mut self, now: Moment) {
        let is_over = match self.guard {
            Guard::Off => return,
            Guard::Asked(until) => now >= until,
            Guard::Begun => self.has_fallen_silent(now),
        };
        if is_over {
            self.guard = Guard::Off;
        }
    }

    /// When that is to be looked at, if nothing happens. Silence in the room wakes the machine anyhow.
    pub(super) fn greeting_wake(&self) -> Option<Moment> {
        match self.guard {
            Guard::Asked(until) => Some(until),
            Guard::Off | Guard::Begun => None,
        }
    }

    /// Gives whether the text is taken.
    pub(super) fn on_deliver(
        &mut self,
        now: Moment,
        text: String,
        strategy: DeliveryStrategy,
    ) -> bool {
        let (deadline, joins) = match strategy {
            DeliveryStrategy::Immediate => {
                self.chain_depth = 0;
                self.inject(now, text, Role::User, false);
                return true;
            }
            DeliveryStrategy::WaitForIdle(limit) => (Some(now.saturating_add(limit)), false),
            DeliveryStrategy::Queued => (None, true),
        };
        let is_taken = self.deliveries.len() < DELIVERIES;
        if is_taken {
            self.deliveries.push_back(Waiting {
                text,
                deadline,
                joins,
            });
        } else {
            self.out.push_back(Action::Dropped("delivery"));
        }
        is_taken
    }

    /// Delivers what waits, if nobody speaks and nothing is owed, or it has waited long enough: one
    /// text, or all that go together.
    pub(super) fn deliver(&mut self, now: Moment) {
        if self.deliveries.is_empty() {
            return;
        }
        let is_quiet = self.connection.is_open() && self.is_quiet(now);
        let is_due = |waiting: &Waiting| waiting.deadline.is_some_and(|at| now >= at);
        let place = if is_quiet {
            Some(0)
        } else {
            self.deliveries.iter().position(is_due)
        };
        if let Some(first) = place.and_then(|place| self.deliveries.remove(place)) {
            let text = self.with_joining(first);
            self.chain_depth = 0;
            self.inject(now, text, Role::User, false);
            self.ask_for_response(now);
        }
    }

    /// When that is to be looked at, if nothing happens.
    pub(super) fn delivery_wake(&self, now: Moment) -> Option<Moment> {
        self.deliveries.front()?;
        let deadlines = self
            .deliveries
            .iter()
            .filter_map(|waiting| waiting.deadline);
        [deadlines.min(), self.may_be_quiet_at(now)]
            .into_iter()
            .flatten()
            .min()
    }

    fn with_joining(&mut self, first: Waiting) -> String {
        let mut text = first.text;
        if first.joins {
            let waiting = std::mem::take(&mut self.deliveries).into_iter();
            let (joining, others): (VecDeque<_>, _) = waiting.partition(|next| next.joins);
            self.deliveries = others;
            for Waiting { text: next, .. } in joining {
                text.push_str("\n\n");
                text.push_str(&next);
            }
        }
        text
    }
}

/// What the model is told so that it speaks first.
pub(crate) fn greeting_note(greeting: &str) -> String {
    format!("[Speak first now. Greet the caller in these words: {greeting}]")
}
