//! The call machine: what happens goes in, what is to be done comes out.

mod connection;
mod handover;
mod latency;
mod outgoing;
mod provider;
mod recording;
mod requests;
#[cfg(test)]
mod tests;
mod tools;
mod turns;
mod watch;

use std::{collections::VecDeque, time::Duration};

use connection::Connection;

use self::{latency::TurnClock, recording::Tape};
use super::{
    history::History,
    io::{Action, Input, Moment, News, Permissions, ToolAnswer},
    playout::{Due, Pace, Playout},
    tools::{Closed, ToolLedger},
    uplink::Uplink,
    words::Words,
};
use crate::{
    audio,
    event::{EndReason, ResponsePhase},
    id::ResponseId,
    provider::{HistoryItem, ProviderCapabilities, ProviderCommand},
    recording::RecordingTerms,
    stats::SessionStats,
    transport::ClientCommand,
};

/// Commands that wait for a provider connection; more than a host sends in its right mind.
const HELD_COMMANDS: usize = 1024;
/// A response that was asked for and has not begun by then is asked for again.
const RESPOND_PATIENCE: Duration = Duration::from_secs(10);
/// After the user stops, the provider's own response gets this long before one is asked for.
const AFTER_SPEECH: Duration = Duration::from_millis(300);
/// So long after the user has spoken, or the model was given something, it may owe an answer.
const OWES_AFTER_SPEECH: Duration = Duration::from_secs(3);
const OWES_AFTER_GIVEN: Duration = Duration::from_secs(30);
/// Interrupted responses whose late audio is still recognised.
const STALE_RESPONSES: usize = 8;

/// What a host decides about its calls.
#[derive(Debug, Clone)]
pub(crate) struct CallSettings {
    /// How far ahead of real time audio is sent to this client.
    pub(crate) lead: Duration,
    /// How late audio may come to this client without a gap being heard.
    pub(crate) jitter_buffer: Duration,
    /// How much audio may wait for the client.
    pub(crate) backlog: Duration,
    /// How long an answer's words wait for the question's transcript.
    pub(crate) transcript_wait: Duration,
    pub(crate) tool_limit: usize,
    pub(crate) tool_timeout: Duration,
    pub(crate) tool_result_cap: usize,
    pub(crate) interruptions: bool,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_duration: Option<Duration>,
    /// How much of the user's audio is held while there is no provider connection.
    pub(crate) hold: Duration,
    /// How many new connections are tried in a row before the call is given up.
    pub(crate) reconnect_attempts: u32,
    /// A provider connection is replaced before it is older than this.
    pub(crate) max_connection_age: Option<Duration>,
    /// The rate of this client's microphone, in Hz.
    pub(crate) input_rate: u32,
    /// Whether the call can be recorded, and who decides it.
    pub(crate) recording: Option<RecordingTerms>,
    /// Makes this call's waits differ from those of others.
    pub(crate) seed: u64,
}

/// One call. See the [module](super) for how to run it.
pub(crate) struct Call {
    settings: CallSettings,
    out: VecDeque<Action>,
    ended: bool,

    /// What the last provider connection can do.
    provider: Option<ProviderCapabilities>,
    connection: Connection,
    uplink: Uplink,
    /// What else waits for a connection, in order.
    held: Vec<Held>,
    /// Words that wait until they do no harm: until no tool call waits, or no response runs.
    deferred: Vec<Held>,
    history: History,
    stats: SessionStats,
    /// What of it the world knows.
    told_stats: SessionStats,
    turn: TurnClock,

    permissions: Permissions,
    client_muted: bool,

    user_speaking: bool,
    /// The host says when the user speaks.
    manual_turn: bool,
    assistant_speaking: bool,
    response: Option<Response>,
    owes: Option<Owes>,
    stale: VecDeque<ResponseId>,
    /// The user speaks: no audio goes out until the speech ends or a new response begins.
    gate_closed: bool,
    wanted: Wanted,
    chain_depth: u32,

    playout: Playout,
    tape: Option<Tape>,
    words: Words,
    tools: ToolLedger,

    idle: bool,
    last_busy: Moment,
}

/// The response the provider is producing.
#[derive(Debug)]
struct Response {
    id: Option<ResponseId>,
    interrupted: bool,
    /// Its words are complete.
    said: bool,
    /// The user has spoken since it began.
    spoken_over: bool,
}

/// Something for the provider that cannot be sent yet.
#[derive(Debug)]
struct Held {
    /// Its place in the history, which may be told to the provider instead; 0 if it has none.
    order: u64,
    what: Given,
}

#[derive(Debug)]
enum Given {
    Command(ProviderCommand),
    /// The form of a result depends on what the connection knows of the call.
    Result(Closed, ToolAnswer),
}

/// The model was told something and has not answered; after a while it will not.
#[derive(Debug, Clone, Copy)]
struct Owes {
    until: Moment,
}

/// Whether a response is to be asked for (contract K7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    No,
    /// As soon as nothing speaks against it, and not before this moment.
    NotBefore(Moment),
    /// It was; until this moment it may begin.
    AskedUntil(Moment),
    /// It was, and one more is wanted after it.
    AskedAndMore(Moment),
}

impl Call {
    /// `seed` is what was said before this call.
    pub(crate) fn new(
        settings: CallSettings,
        permissions: Permissions,
        seed: Vec<HistoryItem>,
    ) -> Self {
        let pace = Pace {
            lead: settings.lead,
            jitter_buffer: settings.jitter_buffer,
        };
        let playout = Playout::new(audio::DEFAULT_RATE, pace, settings.backlog);
        let words = Words::new(settings.transcript_wait);
        let tools = ToolLedger::new(settings.tool_limit, settings.tool_timeout);
        let uplink = Uplink::new(settings.input_rate, settings.hold);
        let connection = Connection::new(settings.seed);
        let tape = settings.recording.map(Tape::new);
        Self {
            settings,
            out: VecDeque::new(),
            ended: false,
            provider: None,
            connection,
            uplink,
            held: Vec::new(),
            deferred: Vec::new(),
            history: History::new(seed),
            stats: SessionStats::default(),
            told_stats: SessionStats::default(),
            turn: TurnClock::default(),
            permissions,
            client_muted: false,
            user_speaking: false,
            manual_turn: false,
            assistant_speaking: false,
            response: None,
            owes: None,
            stale: VecDeque::new(),
            gate_closed: false,
            wanted: Wanted::No,
            chain_depth: 0,
            playout,
            tape,
            words,
            tools,
            idle: true,
            last_busy: Moment::ZERO,
        }
    }

    /// Takes one thing that happened. Afterwards [`poll`](Self::poll) until it gives nothing.
    pub(crate) fn handle(&mut self, now: Moment, input: Input) {
        if self.ended {
            return;
        }
        match input {
            Input::Client(event) => self.on_client(now, event),
            Input::ClientGone => self.end(now, EndReason::ClientLeft),
            Input::Connected(info) => self.on_connected(now, info),
            Input::DialFailed(error) => self.on_dial_failed(now, error),
            Input::Provider(event) => self.on_provider(now, event),
            Input::ToolCleared(call_id) => self.tools.clear(call_id),
            Input::ToolFinished(call_id, answer) => self.on_tool_finished(now, &call_id, answer),
            Input::ToolProgress(call_id, progress) => {
                self.on_tool_progress(now, call_id, progress);
            }
            Input::ToolRules(rules) => self.tools.set_rules(rules),
            Input::Command(command) => self.on_command(now, command),
            Input::Permissions(permissions) => self.on_permissions(now, permissions),
            Input::RecordingFailed => self.recording_failed(),
            Input::Tick => {}
        }
        self.settle(now);
    }

    /// The next thing to do.
    pub(crate) fn poll(&mut self) -> Option<Action> {
        self.out.pop_front()
    }

    /// When to call [`handle`](Self::handle) with a [`Tick`](Input::Tick), if nothing else comes.
    pub(crate) fn next_wake(&self, now: Moment) -> Option<Moment> {
        if self.ended {
            return None;
        }
        let wanted = match self.wanted {
            Wanted::NotBefore(at) if at > now => Some(at),
            Wanted::AskedUntil(at) | Wanted::AskedAndMore(at) => Some(at),
            _ => None,
        };
        // While a response runs, silence is only a gap in it, unless somebody waits for it.
        let is_awaited = self.words.waits_to_be_heard() || self.tape_waits();
        let silence = (self.response.is_none() || is_awaited)
            .then(|| self.playout.silent_at(now))
            .flatten();
        [
            self.playout.next_frame(now),
            silence,
            self.uplink.next_wake().map(|at| at.max(now)),
            self.connection_wake(now),
            self.words.next_wake(),
            self.tools.next_wake(now),
            wanted,
            self.settings.max_duration,
            self.settings
                .idle_timeout
                .filter(|_| self.idle)
                .map(|limit| self.last_busy + limit),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What the call has come to so far.
    pub(crate) fn stats(&self) -> SessionStats {
        self.stats
    }

    // ----- after every input

    fn settle(&mut self, now: Moment) {
        if self.ended {
            return;
        }
        if self.settings.max_duration.is_some_and(|limit| now >= limit) {
            return self.end(now, EndReason::MaxDuration);
        }
        self.run_tools(now);
        self.send_deferred();
        self.send_voice(now);
        self.ask_for_response(now);
        self.play(now);
        self.record_heard(now);
        self.watch_connection(now);
        if self.ended {
            return;
        }
        self.publish(now);
        self.tell_stats();
        self.watch_idleness(now);
    }

    fn tell_stats(&mut self) {
        if self.stats != self.told_stats {
            self.told_stats = self.stats;
            self.out.push_back(Action::Stats(self.stats));
        }
    }

    fn play(&mut self, now: Moment) {
        while let Some(due) = self.playout.poll(now) {
            match due {
                Due::Audio(pcm) if self.permissions.voice => {
                    if !self.assistant_speaking {
                        self.assistant_speaking = true;
                        self.tell_at_once(now, News::AssistantSpeaking(true));
                    }
                    if let Some(tape) = &mut self.tape {
                        tape.sent(&self.playout, pcm.clone());
                    }
                    self.send_to_client(ClientCommand::Audio(pcm));
                    if let Some(latency) = self.turn.audio_sent(now, self.playout.sent()) {
                        self.stats.turns += 1;
                        self.stats.last_turn = Some(latency);
                        self.stats.slowest_turn = self.stats.slowest_turn.max(latency.sent);
                    }
                }
                Due::Audio(_) => {}
                Due::EndOfResponse => self.send_to_client(ClientCommand::EndOfResponse),
            }
        }
    }

    fn publish(&mut self, now: Moment) {
        while let Some(publication) = self.words.poll(now, &self.playout) {
            self.history.record(publication.order, &publication.what);
            self.out.push_back(Action::Publish(publication));
        }
        let silent = self.playout.is_silent(now)
            && self
                .response
                .as_ref()
                .is_none_or(|response| response.interrupted);
        if silent {
            if std::mem::take(&mut self.assistant_speaking) {
                self.tell_at_once(now, News::AssistantSpeaking(false));
            }
            if self.words.is_settled_whole() {
                self.playout.forget_played(now);
            }
        }
    }

    fn watch_idleness(&mut self, now: Moment) {
        let idle = self.response.is_none()
            && !self.user_speaking
            && self.wanted == Wanted::No
            && self.tools.is_settled()
            && self.playout.is_silent(now);
        // A caller who waits for a tool is not one who has gone, even if the conversation may go on.
        if !(idle && self.idle && self.tools.is_empty()) {
            self.last_busy = now;
        }
        if idle != self.idle {
            self.idle = idle;
            self.out.push_back(Action::Idle(idle));
        }
        if self.provider.is_some()
            && self
                .settings
                .idle_timeout
                .is_some_and(|limit| idle && now >= self.last_busy + limit)
        {
            self.end(now, EndReason::IdleTimeout);
        }
    }

    // ----- the end

    fn end(&mut self, now: Moment, reason: EndReason) {
        if self.ended {
            return;
        }
        while let Some(closed) = self.tools.close_any() {
            self.cancel_tool(now, closed.request);
        }
        self.words.interrupt(now, &self.playout);
        self.words.answer_ended(now);
        self.record_cut(now);
        self.playout.clear(now);
        if self.response.take().is_some() {
            self.tell_response(now, ResponsePhase::Interrupted, None);
        }
        if std::mem::take(&mut self.user_speaking) {
            self.words.tell(now, News::UserSpeaking(false));
        }
        self.abandon_hand_over(now);
        self.words.give_up_waiting();
        self.publish(now);
        if !std::mem::replace(&mut self.idle, true) {
            self.out.push_back(Action::Idle(true));
        }
        self.ended = true;
        self.out.push_back(Action::End(reason));
    }
}
