//! The connection to the provider: how it is left for another one, and how the conversation gets
//! over (contracts H1–H6).
//!
//! A hand-over has one way, planned or not. The books of the old connection are closed: an open
//! response gets its end, the user's audio waits. A new connection is dialled, with a token or the
//! conversation so far. When it is there, it hears what the old one may not have understood, then
//! what came meanwhile, and is asked for the answer that is owed, if one is.

use std::time::Duration;

use super::{
    Call, Given, Held, Said, Wanted,
    connection::{Connection, Run, State},
    verdict::verdict,
};
use crate::{
    call::{
        history::tool_note,
        io::{Action, Moment, News, ToolAnswer},
        tools::Closed,
    },
    client_protocol::ServerMessage,
    event::{HandOverOutcome, HandOverPhase, HandOverReason, ResponsePhase},
    provider::{
        ConnectionInfo, HistoryItem, ProviderCapabilities, ProviderCommand, ProviderError,
        ProviderErrorKind, Role,
    },
    transport::ClientCommand,
};

impl Call {
    // ----- a connection comes

    pub(super) fn on_connected(&mut self, now: Moment, info: ConnectionInfo) {
        let is_first = self.connection.number == 0;
        let capabilities = info.capabilities;
        if self.connection.is_open() {
            self.close_books(now);
        }
        self.forget_what_is_told();
        self.history.connected();
        let connection = &mut self.connection;
        connection.opened(now);
        self.words.connected(connection.number);
        if let Some(life) = info.expires_in {
            connection.plan_before(now, HandOverReason::Expiring, life);
        }
        if let Some(age) = self.settings.max_connection_age {
            connection.plan_before(now, HandOverReason::MaxAge, age);
        }

        self.playout.set_rate(capabilities.output_rate);
        self.take_turns_as(now, &capabilities);
        let hears_speech = self.uplink.holds_speech();
        if hears_speech {
            // What he was saying is heard again: it is still his turn.
            self.user_stopped = Some(now);
        }
        let dropped = self.uplink.open(now, &capabilities);
        if self.manual_turn {
            let awaits_final = capabilities.transcribes_user;
            self.words
                .is_heard_again(now, awaits_final, self.user_speaking);
            self.uplink.is_heard_again();
        }
        self.provider = Some(capabilities);
        if dropped > 0 {
            self.out.push_back(Action::DroppedHeld(dropped));
        }
        self.tell_what_came_meanwhile(now);
        let made = self.setup.opened();
        let moves_on = self.take_up_what_waits(now);
        self.greet_as(now, made);
        if is_first {
            self.last_busy = now;
            self.stats.ready_after = now;
            self.begin_recording(now);
            if let Some(greeting) = self.greeting.take() {
                self.greet(now, &greeting);
            }
            return;
        }
        // What the user was saying is heard again, and the provider answers that by itself; and the
        // last result of a tool that still runs will ask for an answer, where results do.
        let is_answered = !self.manual_turn || self.continues_by_itself();
        let result_asks = self.answers_results() && !self.tools.is_settled();
        let comes_by_itself = hears_speech && is_answered || result_asks;
        if !moves_on && std::mem::take(&mut self.connection.owed) && !comes_by_itself {
            self.wanted = Wanted::NotBefore(now);
        }
        let held = self.uplink.held();
        self.finish_hand_over(now, None, held);
    }

    /// Who says from here on when the user speaks: the vendor, also of a sentence that the host had
    /// begun, which is heard again; or the host, who then says so of nothing that is heard again.
    fn take_turns_as(&mut self, now: Moment, capabilities: &ProviderCapabilities) {
        let finds_turns = |provider: &ProviderCapabilities| !provider.manual_turns;
        let was_automatic = self.provider.as_ref().is_some_and(finds_turns);
        if !capabilities.manual_turns {
            if !std::mem::take(&mut self.manual_turn) {
                return;
            }
            if std::mem::take(&mut self.user_speaking) {
                self.words.tell(now, News::UserSpeaking(false));
            }
            // It hears what was said meanwhile as well, and finds and answers that by itself.
            let uplink = &self.uplink;
            self.words.disconnected(now, |number| uplink.holds(number));
            if std::mem::take(&mut self.asks_for_turn) {
                self.wanted = Wanted::No;
            }
        } else if was_automatic {
            self.manual_turn = true;
        }
    }

    /// While this connection was dialled, the one before it was still used. What is held is not for
    /// this one, or goes out later.
    fn tell_what_came_meanwhile(&mut self, now: Moment) {
        let Connection {
            told_until,
            left_at,
            told_calls,
            ..
        } = &self.connection;
        let untold = self.words.untold();
        let mut came = self
            .history
            .between(untold, (*told_until, *left_at), told_calls);
        came.retain(|(order, _)| self.held.iter().all(|held| held.order != *order));
        for (order, item) in came {
            match item {
                HistoryItem::Message { role, text } => {
                    let respond = false;
                    let words = ProviderCommand::Text {
                        role,
                        text,
                        respond,
                    };
                    self.send_words(now, order, words);
                }
                HistoryItem::ToolResult {
                    call_id,
                    name,
                    output,
                    is_error,
                } => {
                    self.history.gave(order);
                    self.send_to_provider(ProviderCommand::ToolResult {
                        call_id,
                        name,
                        output,
                        is_error,
                    });
                }
                HistoryItem::ToolCall { .. } => {}
            }
        }
    }

    /// What waited, up to this order, goes out, except for audio, which has a pace. Results of calls
    /// that this connection does not know become words.
    pub(super) fn send_held(&mut self, now: Moment, until: u64) {
        let held = std::mem::take(&mut self.held).into_iter();
        let (sent, kept): (Vec<Held>, Vec<Held>) = held.partition(|held| held.order <= until);
        self.held = kept;
        let gives_results = sent.iter().any(Held::is_result);
        let hands_over = sent.iter().any(Held::hands_over);
        for held in sent {
            self.offer(now, held);
        }
        if gives_results {
            self.results_are_given(now);
        }
        if hands_over && !self.answers_results() {
            // Nobody else would speak to the caller.
            self.wanted = Wanted::NotBefore(now);
        }
    }

    /// What waits to be answered is for the next connection, to which this one is about to be left: to
    /// another agent (contract K7).
    pub(super) fn answers_elsewhere(&self) -> bool {
        self.connection.is_open() && self.holds_results()
    }

    pub(super) fn holds_results(&self) -> bool {
        self.held.iter().any(Held::is_result)
    }

    /// Answers a call in the form that the present connection takes (contract K2). `order` is the
    /// place of the answer in the history.
    pub(super) fn send_tool_result(
        &mut self,
        now: Moment,
        order: u64,
        closed: Closed,
        answer: ToolAnswer,
    ) {
        if !self.connection.is_open() {
            let hands_over = false;
            let result = Given::Result {
                closed,
                answer,
                hands_over,
            };
            return self.hold(order, result);
        }
        let call_id = &closed.request.call_id;
        let is_known = closed.connection == self.connection.number
            || self.connection.told_calls.contains(call_id);
        // After the last of a turn it goes on by itself.
        let is_answered =
            self.continues_by_itself() && self.answers_results() && self.tools.is_settled();
        if is_known {
            self.history.gave(order);
            self.is_to_answer(is_answered);
            self.send_to_provider(ProviderCommand::ToolResult {
                call_id: closed.request.call_id,
                name: closed.request.name,
                output: answer.output,
                is_error: answer.is_error,
            });
        } else {
            let text = tool_note(&closed.request, &answer.output);
            let note = ProviderCommand::Text {
                role: Role::System,
                text,
                respond: is_answered,
            };
            self.send_words(now, order, note);
        }
    }

    // ----- a connection goes

    /// The connection is lost, or is as good as lost (contract H2).
    pub(super) fn on_lost(&mut self, now: Moment, error: ProviderError) {
        match self.connection.state {
            State::Starting => return self.fail(now, error),
            State::Waiting(_) | State::Dialling { fallback: false } => return,
            State::Dialling { fallback: true } => {
                self.close_books(now);
                self.connection.state = State::Dialling { fallback: false };
                self.out.push_back(Action::HangUp);
                // The client hears of it if the other one does not come at once.
                return self.words.tell(now, News::Unnoticed(error));
            }
            State::Open => {}
        }
        self.connection.lost(now);
        // That is how some refuse a change.
        let is_of_change = self.setup.awaits_answer()
            && matches!(
                error.kind(),
                ProviderErrorKind::InvalidConfig | ProviderErrorKind::Unsupported
            );
        if verdict(error.kind()).is_permanent() && !is_of_change || self.is_out_of_attempts() {
            return self.fail(now, error);
        }
        let reason = HandOverReason::Lost(error.code().to_owned());
        self.begin_hand_over(now, reason);
        self.close_books(now);
        self.out.push_back(Action::HangUp);
        let refused = if is_of_change {
            self.setup.give_up(false)
        } else {
            Vec::new()
        };
        self.tell_client_of_outage();
        if self.connection.failures == 0 {
            self.dial(false);
        } else {
            self.wait_to_dial(now);
        }
        // What the model is told of it is for the next connection.
        self.tell_refusal(now, &refused, &error, false);
    }

    pub(super) fn on_dial_failed(&mut self, now: Moment, error: ProviderError) {
        let State::Dialling { fallback } = self.connection.state else {
            return;
        };
        self.connection.failures += 1;
        let out_of_attempts = self.is_out_of_attempts();
        let verdict = verdict(error.kind());
        let token_is_suspect = verdict.is_suspect(self.connection.failures > 1);
        if token_is_suspect && !out_of_attempts && self.history.spend_token() {
            return self.dial(fallback);
        }
        if self.gives_up_changes(now, &error, out_of_attempts) {
            self.connection.failures = 0;
            if fallback {
                self.keep_connection(now, error, false);
            } else {
                self.dial(false);
            }
            return;
        }
        if fallback {
            let again = !verdict.is_permanent() && !out_of_attempts;
            return self.keep_connection(now, error, again);
        }
        if verdict.is_permanent() || out_of_attempts {
            return self.fail(now, error);
        }
        self.tell_client_of_outage();
        self.wait_to_dial(now);
    }

    /// No new connection could be had, but the old one is still good. `again`: it is tried again.
    fn keep_connection(&mut self, now: Moment, error: ProviderError, again: bool) {
        self.connection.state = State::Open;
        self.uplink.reopen();
        if again {
            self.setup.kept();
            let reason = match &self.connection.run {
                Some(run) => run.reason.clone(),
                None => HandOverReason::Host,
            };
            let at = now + self.connection.backoff();
            self.connection.plan_anew(now, Some((at, reason)));
        } else {
            self.give_up_changes(now, &error);
            self.take_up_what_waits(now);
            self.connection.owed = false;
            self.connection.plan_anew(now, None);
        }
        self.finish_hand_over(now, Some(HandOverOutcome::Kept), Duration::ZERO);
        self.words.tell(now, News::Unnoticed(error));
    }

    fn is_out_of_attempts(&self) -> bool {
        self.connection.failures >= self.settings.reconnect_attempts
    }

    // ----- a hand-over

    /// Begins a hand-over that was planned.
    pub(super) fn begin_planned(&mut self, now: Moment, reason: HandOverReason) {
        let overlaps = self.provider.as_ref().is_some_and(|p| p.overlaps);
        self.begin_hand_over(now, reason);
        if !overlaps {
            self.close_books(now);
            self.out.push_back(Action::HangUp);
        }
        self.dial(overlaps);
    }

    /// From here on the user's voice waits for another connection.
    fn begin_hand_over(&mut self, now: Moment, reason: HandOverReason) {
        self.connection.plan = None;
        self.connection.run = Some(Run {
            reason: reason.clone(),
            began: now,
            attempts: 0,
            outcome: HandOverOutcome::Fresh,
            client_knows: false,
        });
        self.uplink.shut();
        self.stats.hand_overs += 1;
        let phase = HandOverPhase::Started { reason };
        self.tell_hand_over(now, phase);
    }

    /// Nothing more comes from the present connection, and nothing more goes to it.
    fn close_books(&mut self, now: Moment) {
        self.forget_stopped(now);
        self.connection.owed |= self.owes_answer(now);
        self.wanted = Wanted::No;
        self.has_results = false;
        self.owes = None;
        self.awaits_response = false;
        self.more_to_come = false;
        let uplink = &self.uplink;
        self.words.disconnected(now, |number| uplink.holds(number));
        if let Some(response) = self.response.take() {
            if !response.interrupted {
                self.playout.push_end_of_response();
            }
            self.greeting_is_lost(now, response.said == Said::All);
            self.tell_response(now, ResponsePhase::Lost, None);
        }
        self.gate_closed = false;
        self.stale.clear();
        if self.user_speaking && !self.manual_turn {
            self.user_speaking = false;
            self.words.tell(now, News::UserSpeaking(false));
        }
        self.connection.left_at = self.words.order();
    }

    fn finish_hand_over(&mut self, now: Moment, outcome: Option<HandOverOutcome>, held: Duration) {
        let Some(run) = self.connection.run.take() else {
            return;
        };
        if run.client_knows && outcome != Some(HandOverOutcome::Failed) {
            let message = ServerMessage::Reconnected;
            self.send_to_client(ClientCommand::Message(message));
        }
        let phase = HandOverPhase::Finished {
            reason: run.reason,
            outcome: outcome.unwrap_or(run.outcome),
            duration: now.saturating_sub(run.began),
            held,
            attempts: run.attempts,
        };
        self.tell_hand_over(now, phase);
    }

    /// The call ends while its connection is being replaced.
    pub(super) fn abandon_hand_over(&mut self, now: Moment) {
        let held = self.uplink.held();
        self.finish_hand_over(now, Some(HandOverOutcome::Failed), held);
    }

    fn tell_client_of_outage(&mut self) {
        if let Some(run) = &mut self.connection.run
            && !std::mem::replace(&mut run.client_knows, true)
        {
            let message = ServerMessage::Reconnecting;
            self.send_to_client(ClientCommand::Message(message));
        }
    }

    /// The model owes an answer, and the new connection would not know it by itself. (What still waits to
    /// be given is looked after where it is told.)
    fn owes_answer(&self, now: Moment) -> bool {
        let lost = self
            .response
            .as_ref()
            .is_some_and(|response| !response.interrupted && response.said < Said::All);
        lost || self.awaits_answer() || self.owes.is_some_and(|until| now < until)
    }
}
