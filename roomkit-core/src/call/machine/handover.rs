//! The connection to the provider: how it is left for another one, and how the conversation gets
//! over (contracts H1–H6).
//!
//! A hand-over has one way, planned or not. The books of the old connection are closed: an open
//! response gets its end, the user's audio waits. A new connection is dialled, with a token or the
//! conversation so far. When it is there, it hears what the old one may not have understood, then
//! what came meanwhile, and is asked for the answer that is owed, if one is.

use std::{collections::HashSet, time::Duration};

use super::{Call, Given, Held, Wanted};
use crate::{
    call::{
        history::{open_calls, tool_note},
        io::{Action, Dial, Moment, News, ToolAnswer},
        tools::Closed,
    },
    client_protocol::ServerMessage,
    event::{HandOverOutcome, HandOverPhase, HandOverReason, ResponsePhase},
    id::CallId,
    provider::{
        ConnectionInfo, HistoryItem, HistorySupport, ProviderCommand, ProviderError, ProviderErrorKind, Role,
    },
    transport::ClientCommand,
};

/// A new connection that is not ready by then is given up and tried again.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// A connection that has lived so long was no false start.
const PROVEN_AFTER: Duration = Duration::from_secs(10);
/// The waits between attempts: the first of these, doubled each time, up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));
/// A quiet moment is looked for so long before a connection's known end, or a quarter of its life.
const LOOK_AHEAD: Duration = Duration::from_secs(60);
/// The hand-over begins at the latest so long before that end, or a quarter of what is left.
const MARGIN: Duration = Duration::from_secs(5);
/// A go-away notice without a time means about this.
const GO_AWAY: Duration = Duration::from_secs(10);
/// The host waits so long for a quiet moment at most.
const HOST_PATIENCE: Duration = Duration::from_secs(20);

/// Signs of life are asked for this often while audio is sent, and otherwise that often.
const PING_EVERY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));
/// A peer that is asked for a sign of life and is not heard of for so long is gone; some healthy
/// ones take 30 s.
const SILENCE: Duration = Duration::from_secs(45);
/// A peer that owes a response and gives no sign of one for so long is stuck.
const OVERDUE: Duration = Duration::from_secs(60);

/// What is known of the connection to the provider.
#[derive(Debug)]
pub(super) struct Connection {
    /// Counts the connections; 0 is none yet.
    pub(super) number: u32,
    state: State,
    since: Moment,
    /// It has done something useful.
    proven: bool,
    /// Attempts since the last connection that was proven.
    failures: u32,
    plan: Option<Plan>,
    run: Option<Run>,
    /// Calls of earlier connections that this one was told of and that had no result then.
    told_calls: HashSet<CallId>,
    /// The model owes an answer to something that an earlier connection was given.
    owed: bool,
    /// The last thing that the history of the last dial holds, and the last thing that the
    /// connection before heard of.
    told_until: u64,
    left_at: u64,

    heard: Moment,
    pinged: Moment,
    pinged_place: u64,
    awaits_pong: bool,
    due_since: Option<Moment>,
    /// For the jitter of waits.
    random: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The first one is being made.
    Starting,
    Open,
    /// Another one is being made. `fallback`: the old one is still there.
    Dialling {
        fallback: bool,
    },
    /// The next attempt is made then.
    Waiting(Moment),
}

/// A hand-over that is to happen in the next quiet moment.
#[derive(Debug)]
struct Plan {
    reason: HandOverReason,
    from: Moment,
    deadline: Moment,
}

/// A hand-over that happens.
#[derive(Debug)]
struct Run {
    reason: HandOverReason,
    began: Moment,
    attempts: u32,
    outcome: HandOverOutcome,
    client_knows: bool,
}

impl Connection {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            number: 0,
            state: State::Starting,
            since: Moment::ZERO,
            proven: false,
            failures: 0,
            plan: None,
            run: None,
            told_calls: HashSet::new(),
            owed: false,
            told_until: 0,
            left_at: 0,
            heard: Moment::ZERO,
            pinged: Moment::ZERO,
            pinged_place: 0,
            awaits_pong: false,
            due_since: None,
            random: seed | 1,
        }
    }

    /// What is sent now goes to the provider, except for the user's voice, which is held from the
    /// beginning of a hand-over.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Dialling { fallback: true })
    }

    /// Something came from the provider, if only a pong.
    pub(super) fn heard(&mut self, now: Moment, is_pong: bool) {
        self.heard = now;
        if !is_pong {
            self.due_since = None;
        }
    }

    /// The provider has done something useful on this connection: it was no false start.
    pub(super) fn proven(&mut self) {
        if !std::mem::replace(&mut self.proven, true) {
            self.failures = 0;
        }
    }

    fn is_proven(&self, now: Moment) -> bool {
        self.proven || now >= self.since + PROVEN_AFTER
    }

    /// Half-random waits: all calls of a process lose their connections together, and must not all
    /// come back together.
    fn backoff(&mut self) -> Duration {
        let (first, longest) = BACKOFF;
        let doublings = self.failures.saturating_sub(1).min(8);
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let percent = 75 + (self.random % 26) as u32;
        (first * (1 << doublings)).min(longest) * percent / 100
    }

    fn plan(&mut self, reason: HandOverReason, from: Moment, deadline: Moment) {
        if self.plan.as_ref().is_none_or(|plan| deadline < plan.deadline) {
            self.plan = Some(Plan {
                reason,
                from,
                deadline,
            });
        }
    }

    /// Plans to be gone before a known end.
    fn plan_before(&mut self, now: Moment, reason: HandOverReason, life: Duration) {
        let ahead = LOOK_AHEAD.min(life / 4);
        let margin = MARGIN.min(ahead / 4);
        self.plan(reason, now + life - ahead, now + life - margin);
    }
}

impl Call {
    // ----- a connection comes

    pub(super) fn on_connected(&mut self, now: Moment, info: ConnectionInfo) {
        let is_first = self.connection.number == 0;
        let capabilities = info.capabilities;
        if self.connection.is_open() {
            self.close_books(now);
            self.forget_what_is_told();
        }
        let connection = &mut self.connection;
        connection.number += 1;
        connection.state = State::Open;
        connection.since = now;
        connection.proven = is_first;
        connection.plan = None;
        (connection.heard, connection.pinged) = (now, now);
        (connection.awaits_pong, connection.pinged_place) = (false, 0);
        connection.due_since = None;
        if let Some(life) = info.expires_in {
            connection.plan_before(now, HandOverReason::Expiring, life);
        }
        if let Some(age) = self.settings.max_connection_age {
            connection.plan_before(now, HandOverReason::MaxAge, age);
        }

        self.playout.set_rate(capabilities.output_rate);
        let hears_speech = self.uplink.holds_speech();
        let dropped = self
            .uplink
            .open(now, capabilities.catch_up, capabilities.pings);
        self.provider = Some(capabilities);
        for _ in 0..dropped {
            self.out.push_back(Action::Dropped("held_audio"));
        }
        self.tell_what_came_meanwhile();
        self.send_held();
        if is_first {
            self.last_busy = now;
            return;
        }
        // What the user was saying is heard again, and the provider answers that by itself; and the
        // last result of a tool that still runs will ask for an answer.
        let comes_by_itself = hears_speech && !self.manual_turn || !self.tools.is_settled();
        if std::mem::take(&mut self.connection.owed) && !comes_by_itself {
            self.wanted = Wanted::NotBefore(now);
        }
        let held = self.uplink.held();
        self.finish_hand_over(now, None, held);
    }

    /// While this connection was dialled, the one before it was still used.
    fn tell_what_came_meanwhile(&mut self) {
        let Connection {
            told_until,
            left_at,
            told_calls,
            ..
        } = &self.connection;
        let untold = self.words.untold();
        let came = self
            .history
            .between(untold, (*told_until, *left_at), told_calls);
        for (order, item) in came {
            match item {
                HistoryItem::Message { role, text } => {
                    let respond = false;
                    let words = ProviderCommand::Text {
                        role,
                        text,
                        respond,
                    };
                    self.send_words(order, words);
                }
                HistoryItem::ToolResult {
                    call_id,
                    name,
                    output,
                    is_error,
                } => self.send_to_provider(ProviderCommand::ToolResult {
                    call_id,
                    name,
                    output,
                    is_error,
                }),
                HistoryItem::ToolCall { .. } => {}
            }
        }
    }

    /// What waited goes out, except for audio, which has a pace. Results of calls that this
    /// connection does not know become words.
    fn send_held(&mut self) {
        for held in std::mem::take(&mut self.held) {
            self.give(held);
        }
    }

    /// Answers a call in the form that the present connection takes (contract K2).
    pub(super) fn send_tool_result(&mut self, order: u64, closed: Closed, answer: ToolAnswer) {
        if !self.connection.is_open() {
            return self.hold(order, Given::Result(closed, answer));
        }
        let call_id = &closed.request.call_id;
        let is_known = closed.connection == self.connection.number
            || self.connection.told_calls.contains(call_id);
        if is_known {
            self.send_to_provider(ProviderCommand::ToolResult {
                call_id: closed.request.call_id,
                name: closed.request.name,
                output: answer.output,
                is_error: answer.is_error,
            });
        } else {
            let text = tool_note(&closed.request, &answer.output);
            let respond = self.continues_by_itself() && self.tools.is_settled();
            let note = ProviderCommand::Text {
                role: Role::System,
                text,
                respond,
            };
            self.send_words(order, note);
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
                return self.out.push_back(Action::HangUp);
            }
            State::Open => {}
        }
        if self.connection.is_proven(now) {
            self.connection.failures = 0;
        } else {
            self.connection.failures += 1;
        }
        if is_permanent(&error) || self.is_out_of_attempts() {
            return self.fail(now, error);
        }
        let reason = HandOverReason::Lost(error.code().to_owned());
        self.begin_hand_over(now, reason);
        self.close_books(now);
        self.out.push_back(Action::HangUp);
        self.tell_client_of_outage();
        if self.connection.failures == 0 {
            self.dial(false);
        } else {
            self.wait_to_dial(now);
        }
    }

    pub(super) fn on_dial_failed(&mut self, now: Moment, error: ProviderError) {
        let State::Dialling { fallback } = self.connection.state else {
            return;
        };
        self.connection.failures += 1;
        let out_of_attempts = self.is_out_of_attempts();
        let token_is_suspect = match error.kind() {
            ProviderErrorKind::Network | ProviderErrorKind::RateLimited => false,
            ProviderErrorKind::Authentication | ProviderErrorKind::Quota => false,
            ProviderErrorKind::Server => self.connection.failures > 1,
            _ => true,
        };
        if token_is_suspect && !out_of_attempts && self.history.spend_token() {
            return self.dial(fallback);
        }
        if fallback {
            return self.keep_connection(now, error, out_of_attempts);
        }
        if is_permanent(&error) || out_of_attempts {
            return self.fail(now, error);
        }
        self.tell_client_of_outage();
        self.wait_to_dial(now);
    }

    /// No new connection could be had, but the old one is still good.
    fn keep_connection(&mut self, now: Moment, error: ProviderError, out_of_attempts: bool) {
        self.connection.state = State::Open;
        self.uplink.reopen();
        if !is_permanent(&error) && !out_of_attempts {
            let reason = match &self.connection.run {
                Some(run) => run.reason.clone(),
                None => HandOverReason::Host,
            };
            let again = now + self.connection.backoff();
            self.connection.plan(reason, again, again + HOST_PATIENCE);
        }
        self.finish_hand_over(now, Some(HandOverOutcome::Kept), Duration::ZERO);
        let is_fatal = false;
        self.words.tell(now, News::Error { error, is_fatal });
    }

    fn is_out_of_attempts(&self) -> bool {
        self.connection.failures >= self.settings.reconnect_attempts
    }

    // ----- a hand-over

    /// The vendor says that the connection will end.
    pub(super) fn on_go_away(&mut self, now: Moment, time_left: Option<Duration>) {
        let left = time_left.unwrap_or(GO_AWAY);
        let deadline = now + left - MARGIN.min(left / 4);
        let reason = HandOverReason::GoAway;
        self.connection.plan(reason, now, deadline);
    }

    /// The vendor says that the connection has reached its end.
    pub(super) fn on_expired(&mut self, now: Moment) {
        self.connection.plan(HandOverReason::Expiring, now, now);
    }

    pub(super) fn on_hand_over_wanted(&mut self, now: Moment) {
        let deadline = now + HOST_PATIENCE;
        self.connection.plan(HandOverReason::Host, now, deadline);
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
        let phase = HandOverPhase::Started { reason };
        self.words.tell(now, News::HandOver(phase));
    }

    /// Nothing more comes from the present connection, and nothing more goes to it.
    fn close_books(&mut self, now: Moment) {
        let hears_speech = self.uplink.holds_speech();
        self.connection.owed |= self.owes_answer(now);
        self.wanted = Wanted::No;
        self.owes = None;
        self.words.disconnected(now, hears_speech);
        if let Some(response) = self.response.take() {
            if !response.interrupted {
                self.playout.push_end_of_response();
            }
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

    fn finish_hand_over(
        &mut self,
        now: Moment,
        outcome: Option<HandOverOutcome>,
        held: Duration,
    ) {
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
            duration: now - run.began,
            held,
            attempts: run.attempts,
        };
        self.words.tell(now, News::HandOver(phase));
    }

    /// The call ends while its connection is being replaced.
    pub(super) fn abandon_hand_over(&mut self, now: Moment) {
        let held = self.uplink.held();
        self.finish_hand_over(now, Some(HandOverOutcome::Failed), held);
    }

    fn dial(&mut self, fallback: bool) {
        self.connection.state = State::Dialling { fallback };
        let Some(capabilities) = &self.provider else {
            return;
        };
        let support = capabilities.history;
        let token = self.history.token().filter(|_| capabilities.resumes);
        let resume = token.cloned();
        let history = self.history.snapshot(self.words.untold(), support);
        self.connection.told_calls = match support {
            HistorySupport::Full => open_calls(&history),
            _ => HashSet::new(),
        };
        self.connection.told_until = match support {
            HistorySupport::None => u64::MAX,
            _ => self.words.order(),
        };
        if support != HistorySupport::None && !fallback {
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
        self.out.push_back(Action::Dial(Dial {
            resume,
            history,
            within: DIAL_LIMIT,
        }));
    }

    /// What waits and is part of the history that is told to the new connection waits no more.
    fn forget_what_is_told(&mut self) {
        let is_told = |held: &Held| held.order > 0 && !self.history.covers(held.order);
        let wants_answer = |held: &&Held| match &held.what {
            Given::Command(ProviderCommand::Text { respond, .. }) => *respond && is_told(held),
            Given::Command(_) => false,
            Given::Result(..) => self.tools.is_settled(),
        };
        let waits = self.held.iter().chain(&self.deferred);
        self.connection.owed |= waits.filter(wants_answer).count() > 0;
        self.held.retain(|held| !is_told(held));
        self.deferred.retain(|held| !is_told(held));
    }

    fn wait_to_dial(&mut self, now: Moment) {
        let until = now + self.connection.backoff();
        self.connection.state = State::Waiting(until);
    }

    fn tell_client_of_outage(&mut self) {
        if let Some(run) = &mut self.connection.run
            && !std::mem::replace(&mut run.client_knows, true)
        {
            let message = ServerMessage::Reconnecting;
            self.send_to_client(ClientCommand::Message(message));
        }
    }

    // ----- after every input

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
        if let Some(plan) = &self.connection.plan
            && now >= plan.from
            && (now >= plan.deadline || self.is_quiet(now))
        {
            let reason = plan.reason.clone();
            let overlaps = self.provider.as_ref().is_some_and(|p| p.overlaps);
            self.begin_hand_over(now, reason);
            if !overlaps {
                self.close_books(now);
                self.out.push_back(Action::HangUp);
            }
            return self.dial(overlaps);
        }
        self.ping(now);
        let is_due = self.is_response_due(now);
        let connection = &mut self.connection;
        connection.due_since = is_due.then(|| connection.due_since.unwrap_or(now));
        if connection.is_silent(now) {
            let problem = format!("the provider has not been heard of for {SILENCE:?}");
            let error = ProviderError::new(ProviderErrorKind::Timeout, problem);
            self.on_lost(now, error);
        } else if connection.due_since.is_some_and(|since| now >= since + OVERDUE) {
            let problem = format!("no sign of the response that is due for {OVERDUE:?}");
            let error = ProviderError::new(ProviderErrorKind::Timeout, problem);
            self.on_lost(now, error);
        }
    }

    fn ping(&mut self, now: Moment) {
        let pings = self.provider.as_ref().is_some_and(|p| p.pings);
        let place = self.uplink.sent();
        let connection = &mut self.connection;
        let (busy, idle) = PING_EVERY;
        let every = if place > connection.pinged_place {
            busy
        } else {
            idle
        };
        if pings && !connection.awaits_pong && now >= connection.pinged + every {
            connection.pinged = now;
            connection.pinged_place = place;
            connection.awaits_pong = true;
            self.send_to_provider(ProviderCommand::Ping);
        }
    }

    pub(super) fn on_pong(&mut self) {
        if std::mem::take(&mut self.connection.awaits_pong) {
            self.uplink.received(self.connection.pinged_place);
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
        let pings = self.provider.as_ref().is_some_and(|p| p.pings);
        let life = if connection.awaits_pong {
            Some(connection.silent_at())
        } else {
            pings.then(|| connection.pinged + PING_EVERY.1)
        };
        let plan = connection.plan.as_ref().map(|plan| {
            if now < plan.from {
                plan.from
            } else {
                // Silence in the room wakes the machine anyhow.
                let owed = self.owes.map(|owes| owes.until);
                owed.filter(|until| *until > now)
                    .map_or(plan.deadline, |until| until.min(plan.deadline))
            }
        });
        let overdue = connection.due_since.map(|since| since + OVERDUE);
        [life, plan, overdue].into_iter().flatten().min()
    }

    /// Nobody speaks, nothing is audible, nothing is owed (contract H1).
    fn is_quiet(&self, now: Moment) -> bool {
        self.response.is_none()
            && !self.user_speaking
            && self.wanted == Wanted::No
            && self.tools.is_settled()
            && self.owes.is_none_or(|owes| now >= owes.until)
            && !self.words.awaits_user()
            && self.uplink.is_clear()
            && self.playout.is_silent(now)
    }

    fn is_response_due(&self, now: Moment) -> bool {
        let runs = self.response.as_ref().is_some_and(|r| !r.interrupted);
        let asked = self.wanted != Wanted::No && !self.user_speaking;
        (runs || asked) && self.tools.is_settled() && self.playout.is_silent(now)
    }

    /// The model owes an answer, and the new connection would not know it by itself.
    fn owes_answer(&self, now: Moment) -> bool {
        let lost = self
            .response
            .as_ref()
            .is_some_and(|response| !response.interrupted && !response.said);
        lost || self.wanted != Wanted::No || self.owes.is_some_and(|owes| now < owes.until)
    }
}

impl Connection {
    fn silent_at(&self) -> Moment {
        self.heard.max(self.pinged) + SILENCE
    }

    fn is_silent(&self, now: Moment) -> bool {
        self.awaits_pong && now >= self.silent_at()
    }
}

/// Another connection would end the same way (contract H3).
fn is_permanent(error: &ProviderError) -> bool {
    // A request that was wrong is not made again by a new connection.
    !error.is_retryable() && error.kind() != ProviderErrorKind::InvalidRequest
}
