//! What goes out of the machine, at once or when it can.

use super::{Call, Given, HELD_COMMANDS, Held, TURN_PATIENCE};
use crate::{
    call::{
        io::{Action, Milestone, Moment, News, Publication},
        uplink::{Kept, Piece},
    },
    event::{HandOverPhase, ResponsePhase},
    provider::{ProviderCommand, Usage},
    transport::ClientCommand,
};

impl Call {
    pub(super) fn send_to_client(&mut self, command: ClientCommand) {
        self.out.push_back(Action::ToClient(command));
    }

    /// Sends anything but what goes the way of the user's voice.
    pub(super) fn send_to_provider(&mut self, command: ProviderCommand) {
        match command {
            command if self.connection.is_open() => {
                self.out.push_back(Action::ToProvider(command));
            }
            // They are about a connection that is gone.
            ProviderCommand::Respond
            | ProviderCommand::CancelResponse
            | ProviderCommand::Truncate { .. }
            | ProviderCommand::Ping => {}
            command => self.hold(0, Given::Command(command)),
        }
    }

    /// Sends what was said from then on, or a mark of a manual turn, when it may go.
    pub(super) fn send_by_uplink(&mut self, said: Moment, piece: Piece) {
        match self.uplink.push(said, piece) {
            Kept::Whole => {}
            Kept::DroppedNewest => self.out.push_back(Action::Dropped("early_audio")),
            Kept::DroppedOldest(pieces) => self.out.push_back(Action::DroppedHeld(pieces)),
        }
    }

    /// Sends words or an image, unless the provider would not take them now. `order` is their
    /// place in the history.
    pub(super) fn send_words(&mut self, now: Moment, order: u64, command: ProviderCommand) {
        let what = Given::Command(command);
        self.offer(now, Held { order, what });
    }

    /// Sends what was held, unless it has to wait.
    pub(super) fn offer(&mut self, now: Moment, held: Held) {
        if !self.connection.is_open() {
            self.hold(held.order, held.what);
        } else if !held.is_words() {
            self.give(now, held);
        } else if self.deferred.len() < HELD_COMMANDS {
            self.deferred.push(held);
            self.send_deferred(now);
        } else {
            self.out.push_back(Action::Dropped("early_command"));
        }
    }

    pub(super) fn send_deferred(&mut self, now: Moment) {
        if self.deferred.is_empty() {
            return;
        }
        if !self.connection.is_open() || !self.takes_words() {
            self.deferred_until = None;
            return;
        }
        let until = *self.deferred_until.get_or_insert(now + TURN_PATIENCE);
        let waits = |held: &Held| now < until && !self.is_time_for(now, held);
        let ready = self.deferred.iter().position(waits);
        let ready = ready.unwrap_or(self.deferred.len());
        for held in self.deferred.drain(..ready).collect::<Vec<_>>() {
            self.give(now, held);
        }
        if self.deferred.is_empty() {
            self.deferred_until = None;
        }
    }

    /// When that is to be looked at, if nothing happens.
    pub(super) fn deferred_wake(&self, now: Moment) -> Option<Moment> {
        self.deferred.first()?;
        [self.deferred_until, self.users_turn_until()]
            .into_iter()
            .flatten()
            .filter(|at| now < *at && *at < Moment::MAX)
            .min()
    }

    /// Words do no harm at this moment.
    pub(super) fn takes_words(&self) -> bool {
        self.provider.as_ref().is_none_or(|provider| {
            (provider.text_during_tools || self.tools.is_settled())
                && (provider.text_during_responses || self.response.is_none())
        })
    }

    /// Whoever takes no words while it answers would drop the rest of its answer for them.
    pub(super) fn cuts_short(&self) -> bool {
        self.more_to_come
            && self
                .provider
                .as_ref()
                .is_some_and(|provider| !provider.text_during_responses)
    }

    /// Whoever answers words at once would talk over the user, or cut the answer to him short.
    fn is_time_for(&self, now: Moment, held: &Held) -> bool {
        let wants_answer = held.wants_answer(self.answers_results());
        let is_users = wants_answer && self.users_turn_until().is_some_and(|end| now < end);
        self.takes_words() && !is_users && !self.cuts_short()
    }

    pub(super) fn hold(&mut self, order: u64, what: Given) {
        if self.held.len() < HELD_COMMANDS {
            self.held.push(Held { order, what });
        } else {
            self.out.push_back(Action::Dropped("early_command"));
        }
    }

    pub(super) fn give(&mut self, now: Moment, held: Held) {
        // What comes of results is seen where they are given.
        if held.is_words() {
            self.is_to_answer(held.wants_answer(false));
            self.history.gave(held.order);
        }
        match held.what {
            Given::Command(command) => self.send_to_provider(command),
            Given::Result { closed, answer, .. } => {
                self.send_tool_result(now, held.order, closed, answer);
            }
        }
    }

    /// Sends as much of the user's voice as may go now.
    pub(super) fn send_voice(&mut self, now: Moment) {
        while let Some(piece) = self.uplink.poll(now) {
            self.out.push_back(Action::ToProvider(piece.into()));
        }
    }

    pub(super) fn tell_response(
        &mut self,
        now: Moment,
        phase: ResponsePhase,
        usage: Option<Box<Usage>>,
    ) {
        let milestone = match &phase {
            ResponsePhase::Started => {
                let id = self.response.as_ref().and_then(|it| it.id.clone());
                Milestone::ResponseBegan(id)
            }
            ended => Milestone::ResponseEnded(ended.clone(), usage.clone()),
        };
        self.out.push_back(Action::Trace(milestone));
        self.words.tell(now, News::Response { phase, usage });
    }

    pub(super) fn tell_hand_over(&mut self, now: Moment, phase: HandOverPhase) {
        let milestone = Milestone::HandOver(phase.clone());
        self.out.push_back(Action::Trace(milestone));
        self.words.tell(now, News::HandOver(phase));
    }

    pub(super) fn tell_at_once(&mut self, now: Moment, news: News) {
        self.out.push_back(Action::Publish(Publication {
            at: now,
            order: 0,
            what: news,
        }));
    }
}
