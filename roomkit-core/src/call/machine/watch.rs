//! What the connection to the provider needs after every input (contracts H1, H5).

use super::{
    Call,
    connection::{Plan, State},
};
use crate::{call::io::Moment, provider::ProviderCommand};

impl Call {
    /// Does what is due: a planned hand-over, the next attempt, a ping; and notices a connection
    /// that is dead without saying so (contract H5).
    pub(super) fn watch_connection(&mut self, now: Moment) {
        match self.connection.state {
            State::Starting | State::Dialling { .. } => return,
            State::Waiting(until) => {
                if now >= until {
                    self.dial(false);
                }
                return;
            }
            State::Open => {}
        }
        self.connection.lasts(now);
        if let Some(plan) = &self.connection.plan
            && now >= plan.from
            && (now >= plan.deadline || self.is_moment_for(plan, now))
        {
            let reason = plan.reason.clone();
            return self.begin_planned(now, reason);
        }
        if self.pings() && self.connection.takes_ping(now, self.uplink.sent()) {
            self.send_to_provider(ProviderCommand::Ping);
        }
        let is_due = self.is_response_due();
        let heard_by = self.playout.heard_by();
        let connection = &mut self.connection;
        connection.due_since = is_due.then(|| connection.due_since.unwrap_or(now));
        if let Some(error) = connection.is_dead(now, heard_by) {
            self.on_lost(now, error);
        }
    }

    pub(super) fn on_pong(&mut self) {
        if let Some(place) = self.connection.pong() {
            self.uplink.received(place);
        }
    }

    /// When the connection wants to be looked at, if nothing happens.
    pub(super) fn connection_wake(&self, now: Moment) -> Option<Moment> {
        let connection = &self.connection;
        match connection.state {
            State::Starting | State::Dialling { .. } => return None,
            State::Waiting(until) => return Some(until),
            State::Open => {}
        }
        let life = self.pings().then(|| connection.next_sign());
        let plan = connection.plan.as_ref().map(|plan| {
            if now < plan.from {
                return plan.from;
            }
            let until = self.may_be_quiet_at(now);
            until.map_or(plan.deadline, |until| until.min(plan.deadline))
        });
        [life, plan, connection.overdue_at(self.playout.heard_by())]
            .into_iter()
            .flatten()
            .min()
    }

    /// When audio that is sent is to be followed by a ping.
    pub(super) fn next_ping(&self) -> Option<Moment> {
        self.pings().then(|| self.connection.next_ping()).flatten()
    }

    fn pings(&self) -> bool {
        self.provider.as_ref().is_some_and(|p| p.pings)
    }

    /// When nothing is owed any more, if that is what a quiet moment waits for. Silence in the room
    /// wakes the machine anyhow.
    pub(super) fn may_be_quiet_at(&self, now: Moment) -> Option<Moment> {
        self.owed_until().filter(|until| *until > now)
    }

    /// Until when something more may come of what was said.
    fn owed_until(&self) -> Option<Moment> {
        self.owes.max(self.words.awaits_user_until())
    }

    fn is_moment_for(&self, plan: &Plan, now: Moment) -> bool {
        if plan.is_urgent || self.answers_elsewhere() {
            self.response.is_none()
        } else {
            // The last quiet moment of a call is its end.
            self.is_quiet(now) && !self.is_over(now)
        }
    }

    /// Nobody speaks, nothing is audible, no answer is due (contract A8).
    pub(super) fn is_idle(&self, now: Moment) -> bool {
        self.response.is_none()
            && !self.user_speaks()
            && !self.is_response_owed()
            && !self.connection.owed
            && !self.answers_elsewhere()
            && self.tools.is_settled()
            && self.playout.is_silent(now)
    }

    /// Nor may anything more come of what was said (contract H1).
    pub(super) fn is_quiet(&self, now: Moment) -> bool {
        self.is_idle(now)
            && self.owed_until().is_none_or(|until| now >= until)
            && self.uplink.is_clear()
    }

    fn is_response_due(&self) -> bool {
        let asked = self.is_response_owed() && !self.user_speaks() && !self.answers_elsewhere();
        (self.is_answering() || asked) && self.tools.is_settled()
    }

    /// Nothing is to be heard, and nothing more comes of a response that is.
    pub(super) fn has_fallen_silent(&self, now: Moment) -> bool {
        !self.is_answering() && self.playout.is_silent(now)
    }

    /// A response runs that nobody has interrupted.
    pub(super) fn is_answering(&self) -> bool {
        self.response.as_ref().is_some_and(|it| !it.interrupted)
    }
}
