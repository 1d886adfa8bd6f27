//! The call machine: what happens goes in, what is to be done comes out.

mod asking;
mod calm;
mod changes;
mod connection;
mod dial;
mod ending;
mod given;
mod handover;
mod latency;
mod outgoing;
mod provider;
mod recording;
mod requests;
mod settings;
mod settle;
mod silence;
mod stops;
#[cfg(any(test, feature = "fuzzing"))]
mod testing;
#[cfg(test)]
mod tests;
mod tool_calls;
mod turns;
mod verdict;
mod watch;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use asking::{AskedFor, RESPOND_PATIENCE, Wanted};
use calm::Calm;
use connection::Connection;

#[cfg(feature = "fuzzing")]
pub(crate) use self::testing::{Frames, fuzz};
pub(crate) use self::{given::greeting_note, settings::CallSettings};
use self::{latency::TurnClock, recording::Tape, silence::Silence};
use super::{
    gate::Toolbox,
    history::History,
    io::{Action, Input, Moment, News, Permissions, ToolAnswer},
    playout::{Pace, Playout},
    queue::Queue,
    setup::Setup,
    tools::{Closed, ToolLedger},
    typing::{Kind, Typing},
    uplink::Uplink,
    words::Words,
};
use crate::{
    audio,
    event::{EndReason, ResponsePhase},
    id::{CallId, ResponseId},
    provider::{HistoryItem, ProviderCapabilities, ProviderCommand, ProviderEvent, SessionSetup},
    stats::SessionStats,
    transport::ClientEvent,
};

/// Commands that wait for a provider connection; more than a host sends in its right mind.
const HELD_COMMANDS: usize = 1024;
/// After the user stops, the provider's own response gets this long before one is asked for.
const AFTER_SPEECH: Duration = Duration::from_millis(300);
/// So long after the user has spoken, or the model was given something, it may owe an answer.
const OWES_AFTER_SPEECH: Duration = Duration::from_secs(3);
const OWES_AFTER_GIVEN: Duration = Duration::from_secs(30);
/// Words that are answered at once wait so long for the user's turn, or for the rest of an answer.
/// Noise may have begun the one, and the other may never come.
const TURN_PATIENCE: Duration = Duration::from_secs(15);
/// Interrupted responses whose late audio is still recognised.
const STALE_RESPONSES: usize = 8;

/// How a call begins.
pub(crate) struct Opening {
    pub(crate) setup: Setup,
    /// What was said before.
    pub(crate) history: Vec<HistoryItem>,
    /// What the AI says first.
    pub(crate) greeting: Option<String>,
}

/// One call. See the [module](super) for how to run it.
pub(crate) struct Call {
    settings: CallSettings,
    out: Queue<Action>,
    ended: bool,

    /// What the last provider connection can do.
    provider: Option<ProviderCapabilities>,
    connection: Connection,
    uplink: Uplink,
    /// What else waits for a connection, in order.
    held: Vec<Held>,
    /// Words that wait until they do no harm: until no tool call waits, no response runs, or the
    /// user's turn is over.
    deferred: Vec<Held>,
    /// The last of these reasons counts no longer. None while another holds.
    deferred_until: Option<Moment>,
    history: History,
    /// What the session is asked to be.
    setup: Setup,
    told_agent: Option<Arc<str>>,
    /// Who answers the calls that are open, as it was when they were made (contract K5).
    calls: HashMap<CallId, Arc<Toolbox>>,
    /// What is said first, until it was asked for.
    greeting: Option<String>,
    /// Texts that wait until nobody speaks.
    deliveries: VecDeque<given::Waiting>,
    guard: given::Guard,
    stats: SessionStats,
    /// What of it the world knows.
    told_stats: SessionStats,
    turn: TurnClock,

    permissions: Permissions,
    client_muted: bool,
    typing: Typing,
    /// The same of messages for the host.
    messages: Typing,

    user_speaking: bool,
    /// When the user stopped, if no response has begun since.
    user_stopped: Option<Moment>,
    silence: Silence,
    /// The host says when the user speaks.
    manual_turn: bool,
    /// A response is wanted for a turn of the host's, and for nothing else.
    asks_for_turn: bool,
    assistant_speaking: bool,
    response: Option<Response>,
    /// The model was told something and has not answered; after this moment it will not.
    owes: Option<Moment>,
    /// The present connection was given something that it answers by itself, and has not yet.
    awaits_response: bool,
    /// The model has said that it goes on with its answer.
    more_to_come: bool,
    /// The response that begins next is not wanted any more, if it begins by then.
    stopped_until: Option<Moment>,
    stale: VecDeque<ResponseId>,
    /// The user speaks: no audio goes out until the speech ends or a new response begins.
    gate_closed: bool,
    wanted: Wanted,
    /// The model was given results since the last response was asked for, or began by itself.
    has_results: bool,
    /// Errors that came where a response was asked for, since the last began.
    refusals: u32,
    /// A response failed and was asked for once more, and nothing else was to be answered since.
    has_asked_again: bool,
    chain_depth: u32,

    playout: Playout,
    tape: Option<Tape>,
    words: Words,
    tools: ToolLedger,

    idle: bool,
    last_busy: Moment,
    /// It is to end by itself, and by then at the latest.
    end_by: Option<Moment>,
    calm: Calm,
}

/// The response the provider is producing.
#[derive(Debug)]
struct Response {
    id: Option<ResponseId>,
    interrupted: bool,
    said: Said,
    /// The user has spoken since it began.
    spoken_over: bool,
    /// One was asked for when it began: this one, or the provider refuses that because of this one.
    asked_for: AskedFor,
}

/// How much of a response has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Nothing,
    Part,
    /// Its words are complete.
    All,
}

/// Something for the provider that cannot be sent yet.
#[derive(Debug)]
struct Held {
    /// Its place in the history, which may be told to the provider instead; 0 if it has none.
    order: u64,
    what: Given,
}

impl Held {
    fn is_words(&self) -> bool {
        matches!(
            self.what,
            Given::Command(ProviderCommand::Text { .. } | ProviderCommand::Image { .. })
        )
    }

    fn is_result(&self) -> bool {
        matches!(self.what, Given::Result { .. })
    }

    /// Another agent is to take the caller over with it.
    fn hands_over(&self) -> bool {
        matches!(
            self.what,
            Given::Result {
                hands_over: true,
                ..
            }
        )
    }

    /// The model is to say something about it; about results of tools only where it does, but for
    /// the agent that takes the caller over.
    fn wants_answer(&self, answers_results: bool) -> bool {
        match &self.what {
            Given::Command(
                ProviderCommand::Text { respond, .. } | ProviderCommand::Image { respond, .. },
            ) => *respond,
            Given::Command(_) => false,
            Given::Result { hands_over, .. } => answers_results || *hands_over,
        }
    }
}

#[derive(Debug)]
enum Given {
    Command(ProviderCommand),
    /// The form of a result depends on what the connection knows of the call.
    Result {
        closed: Closed,
        answer: ToolAnswer,
        hands_over: bool,
    },
}

impl Call {
    /// What the session is asked to be holds what was said before this call.
    pub(crate) fn new(settings: CallSettings, permissions: Permissions, opening: Opening) -> Self {
        let Opening {
            setup,
            history,
            greeting,
        } = opening;
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
        let mut call = Self {
            settings,
            out: Queue::new(),
            ended: false,
            provider: None,
            connection,
            uplink,
            held: Vec::new(),
            deferred: Vec::new(),
            deferred_until: None,
            history: History::new(history),
            told_agent: setup.agent(true).cloned(),
            setup,
            calls: HashMap::new(),
            greeting,
            deliveries: VecDeque::new(),
            guard: given::Guard::default(),
            stats: SessionStats::default(),
            told_stats: SessionStats::default(),
            turn: TurnClock::default(),
            permissions,
            client_muted: false,
            typing: Typing::new(Kind::Text),
            messages: Typing::new(Kind::Message),
            user_speaking: false,
            user_stopped: None,
            silence: Silence::default(),
            manual_turn: false,
            asks_for_turn: false,
            assistant_speaking: false,
            response: None,
            owes: None,
            awaits_response: false,
            more_to_come: false,
            stopped_until: None,
            stale: VecDeque::new(),
            gate_closed: false,
            wanted: Wanted::No,
            has_results: false,
            refusals: 0,
            has_asked_again: false,
            chain_depth: 0,
            playout,
            tape,
            words,
            tools,
            idle: true,
            last_busy: Moment::ZERO,
            end_by: None,
            calm: Calm::default(),
        };
        call.note_calm(Moment::ZERO);
        call
    }

    /// Takes one thing that happened. Afterwards [`poll`](Self::poll) until it gives nothing.
    pub(crate) fn handle(&mut self, now: Moment, input: Input) {
        if self.ended {
            return;
        }
        let is_of_audio = matches!(
            input,
            Input::Client(ClientEvent::Audio(_) | ClientEvent::Filling(_))
                | Input::Provider(ProviderEvent::Audio { .. })
                | Input::Tick
        );
        match input {
            Input::Client(event) => self.on_client(now, event),
            Input::ClientGone => self.end(now, EndReason::ClientLeft),
            Input::Connected(info) => self.on_connected(now, info),
            Input::DialFailed(error) => self.on_dial_failed(now, error),
            Input::Provider(event) => self.on_provider(now, event),
            Input::UpdateFailed(error, behind) => self.on_update_failed(now, &error, behind),
            Input::ToolCleared(serial) => self.tools.clear(serial),
            Input::ToolFinished(call_id, answer) => self.on_tool_finished(now, &call_id, answer),
            Input::ToolProgress(serial, progress) => {
                self.on_tool_progress(now, serial, progress);
            }
            Input::ToolChanges(call_id, answer, change) => match self.tools.close(&call_id) {
                Some(closed) => self.answer_with_change(now, closed, answer, *change),
                None => self.out.push_back(Action::Dropped("late_tool_result")),
            },
            Input::Command(command) => self.on_command(now, command),
            Input::Permissions(permissions) => self.on_permissions(now, permissions),
            Input::RecordingFailed => self.recording_failed(),
            Input::Tick => {}
        }
        if is_of_audio && self.passes_audio(now) {
            return;
        }
        self.settle(now);
        self.note_calm(now);
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
        // While a response runs, silence is only a gap in it, unless somebody waits for it.
        let is_awaited = self.words.waits_to_be_heard() || self.tape_waits();
        let silence = (self.response.is_none() || is_awaited)
            .then(|| self.playout.silent_at(now))
            .flatten();
        [
            self.calm.due(),
            self.playout.next_frame(now),
            silence,
            self.uplink.next_wake().map(|at| at.max(now)),
            self.silence_wake().map(|at| at.max(now)),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// What the session is to be once all changes are made.
    pub(crate) fn setup(&self) -> SessionSetup {
        self.setup.wanted()
    }

    /// What the call has come to so far.
    pub(crate) fn stats(&self) -> SessionStats {
        self.stats
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
