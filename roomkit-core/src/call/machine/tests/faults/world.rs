//! The world around one call: a talking user, a network, a vendor, tools, and what goes wrong.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    Frame, Rng, ms,
    vendor::{Plan, Style, Vendor},
};
use crate::{
    call::io::{Action, Command, Dial, Input, Moment, News, Permissions, ToolAnswer},
    event::EndReason,
    id::CallId,
    provider::{
        ConnectionInfo, ProviderCommand, ProviderError, ProviderErrorKind, ProviderEvent, Role,
        SessionSetup,
    },
    transport::ClientEvent,
};

use super::super::Call;

/// A frame of the user's audio, every so often.
const FRAME: Moment = ms(40);

/// What goes wrong, or merely happens.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// The connection breaks; the call notices.
    Cut(ProviderErrorKind),
    /// The connection is dead, and nobody says so.
    HalfOpen,
    GoAway(Moment),
    HandOver,
    Text(bool),
    Interrupt,
    Mute(bool),
}

/// At which instant trouble comes, beside those that have a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trap {
    ToolCall,
    FirstAudio,
    Connected,
    Dial,
}

enum Happening {
    Frame(u32),
    ToVendor(usize, ProviderCommand),
    Vendor(usize, Plan),
    FromVendor(usize, ProviderEvent),
    Dialled(u32, Result<Dial, ProviderErrorKind>),
    Cleared(u64),
    ToolDone(CallId),
    Trouble(Trouble),
}

/// One connection, seen from outside.
pub(super) struct Line {
    pub(super) vendor: Vendor,
    /// Nothing gets through any more.
    dead: bool,
    up_free: Moment,
    down_free: Moment,
}

pub(super) struct World {
    pub(super) rng: Rng,
    pub(super) style: Style,
    pub(super) now: Moment,
    pub(super) call: Call,
    agenda: BTreeMap<(Moment, u64), Happening>,
    serial: u64,
    pub(super) lines: Vec<Line>,
    current: Option<usize>,
    dials: u32,
    dial_troubles: Vec<DialTrouble>,
    pub(super) traps: Vec<Trap>,
    calls: u32,
    /// Frame numbers of each utterance, first and last.
    pub(super) utterances: Vec<(u32, u32)>,
    pub(super) log: Vec<(Moment, Action)>,
    pub(super) script: Vec<String>,
    pub(super) runs: HashMap<CallId, u32>,
    /// Calls that are known to be answered: by a result, in words, or in a history.
    pub(super) told: HashSet<String>,
    pub(super) violations: Vec<String>,
    responding: bool,
    /// Calls the present connection has made and that are not answered.
    open_calls: HashSet<CallId>,
    seen_calls: HashSet<CallId>,
    pub(super) ended: Option<EndReason>,
    /// Audio was dropped because the hold was full, or muted.
    pub(super) lossy: bool,
}

/// What becomes of a dial.
#[derive(Debug, Clone, Copy)]
pub(super) enum DialTrouble {
    Slow(Moment),
    Fails(ProviderErrorKind),
    TokenRefused,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let style = if rng.chance(50) {
            Style::Replaying
        } else {
            Style::Resuming
        };
        let mut settings = super::super::settings();
        settings.input_rate = super::RATE;
        settings.seed = seed;
        let permissions = Permissions {
            microphone: true,
            voice: true,
        };
        let call = Call::new(settings, permissions, super::super::opening());
        let mut world = Self {
            rng,
            style,
            now: Moment::ZERO,
            call,
            agenda: BTreeMap::new(),
            serial: 0,
            lines: Vec::new(),
            current: None,
            dials: 0,
            dial_troubles: Vec::new(),
            traps: Vec::new(),
            calls: 0,
            utterances: vec![(0, 0)],
            log: Vec::new(),
            script: vec![format!("seed {seed}, {style:?}")],
            runs: HashMap::new(),
            told: HashSet::new(),
            violations: Vec::new(),
            responding: false,
            open_calls: HashSet::new(),
            seen_calls: HashSet::new(),
            ended: None,
            lossy: false,
        };
        world.write_script();
        world.connect(&Dial {
            setup: SessionSetup::new("s".into()),
            within: ms(10_000),
        });
        world
    }

    /// Who speaks when, and what goes wrong when.
    fn write_script(&mut self) {
        let mut frame = 20 + self.rng.below(50);
        for _ in 0..2 + self.rng.below(4) {
            let length = 10 + self.rng.below(60);
            self.utterances.push((frame, frame + length));
            frame += length + 25 + self.rng.below(120);
        }
        let until = frame + 40;
        for number in 0..until {
            let at = FRAME * number + self.rng.ms(0, 15);
            self.plan(at, Happening::Frame(number));
        }
        let end = FRAME * until;
        for _ in 0..self.rng.below(5) {
            let at = self.rng.ms(200, end.as_millis() as u64);
            let trouble = self.trouble();
            self.note(&format!("at {at:?}: {trouble:?}"));
            self.plan(at, Happening::Trouble(trouble.clone()));
            if self.rng.chance(25) {
                // Twice in a row.
                let again = at + self.rng.ms(1, 1500);
                self.plan(again, Happening::Trouble(trouble));
            }
        }
        for _ in 0..self.rng.below(3) {
            let trap = [
                Trap::ToolCall,
                Trap::FirstAudio,
                Trap::Connected,
                Trap::Dial,
            ][self.rng.below(4) as usize];
            self.note(&format!("cut at {trap:?}"));
            self.traps.push(trap);
        }
        for _ in 0..self.rng.below(3) {
            let trouble = match self.rng.below(5) {
                0 | 1 => DialTrouble::Slow(self.rng.ms(500, 4_000)),
                2 => DialTrouble::Fails(ProviderErrorKind::Network),
                3 => DialTrouble::Fails(ProviderErrorKind::Server),
                _ => DialTrouble::TokenRefused,
            };
            self.note(&format!("dial: {trouble:?}"));
            self.dial_troubles.push(trouble);
        }
    }

    fn trouble(&mut self) -> Trouble {
        match self.rng.below(14) {
            0..=4 => Trouble::Cut(
                [
                    ProviderErrorKind::Network,
                    ProviderErrorKind::Server,
                    ProviderErrorKind::SessionExpired,
                    ProviderErrorKind::InvalidRequest,
                ][self.rng.below(4) as usize],
            ),
            5 => Trouble::HalfOpen,
            6 | 7 => Trouble::GoAway(self.rng.ms(200, 8_000)),
            8 | 9 => Trouble::HandOver,
            10 | 11 => Trouble::Text(self.rng.chance(30)),
            12 => Trouble::Interrupt,
            _ => Trouble::Mute(self.rng.chance(50)),
        }
    }

    // ----- time

    /// Lets everything happen up to the end of the script, and what follows from it.
    pub(super) fn run(&mut self, rest: Moment) {
        let script_end = FRAME * (self.utterances.last().map_or(0, |(_, last)| *last) + 70);
        let deadline = script_end + rest;
        for _ in 0..200_000 {
            if self.ended.is_some() {
                return;
            }
            let wake = self.call.next_wake(self.now).map(|at| at.max(self.now));
            let next = self.agenda.keys().next().map(|(at, _)| *at);
            match (wake, next) {
                (Some(wake), next) if next.is_none_or(|at| wake <= at) => {
                    if wake > deadline {
                        return;
                    }
                    self.now = wake;
                    self.feed(Input::Tick);
                }
                (_, Some(at)) if at <= deadline => {
                    self.now = at;
                    if let Some((_, happening)) = self.agenda.pop_first() {
                        self.happen(happening);
                    }
                }
                _ => return,
            }
        }
        self.violation("the call does not come to rest");
    }

    fn plan(&mut self, at: Moment, happening: Happening) {
        self.serial += 1;
        self.agenda.insert((at, self.serial), happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Frame(number) => {
                let of = |(n, (first, last)): (usize, &(u32, u32))| {
                    (n > 0 && (*first..=*last).contains(&number)).then_some(n as u32)
                };
                let utterance = self.utterances.iter().enumerate().find_map(of);
                let utterance = utterance.unwrap_or(0);
                let frame = Frame { number, utterance };
                self.feed(Input::Client(ClientEvent::Audio(frame.pcm())));
            }
            Happening::ToVendor(line, command) => {
                if !self.lines[line].dead {
                    let plans = self.lines[line].vendor.take(command, &mut self.rng);
                    self.plan_vendor(line, plans);
                }
            }
            Happening::Vendor(line, plan) => self.vendor_acts(line, plan),
            Happening::FromVendor(line, event) => {
                if self.current == Some(line) {
                    self.vendor_says(event);
                }
            }
            Happening::Dialled(dial, outcome) => self.dialled(dial, outcome),
            Happening::Cleared(serial) => self.feed(Input::ToolCleared(serial)),
            Happening::ToolDone(call_id) => {
                let answer = ToolAnswer {
                    output: format!("result of {call_id}"),
                    is_error: false,
                };
                self.feed(Input::ToolFinished(call_id, answer));
            }
            Happening::Trouble(trouble) => self.make(&trouble),
        }
    }

    fn vendor_acts(&mut self, line: usize, plan: Plan) {
        if self.lines[line].dead {
            return;
        }
        if let Plan::Say(event) = plan {
            let latency = self.rng.ms(10, 60);
            let at = (self.now + latency).max(self.lines[line].down_free);
            self.lines[line].down_free = at;
            return self.plan(at, Happening::FromVendor(line, event));
        }
        let plans = self.lines[line]
            .vendor
            .act(&plan, &mut self.rng, &mut self.calls);
        self.plan_vendor(line, plans);
    }

    fn plan_vendor(&mut self, line: usize, plans: Vec<(Moment, Plan)>) {
        for (delay, plan) in plans {
            let at = self.now + delay;
            if delay.is_zero() {
                self.vendor_acts(line, plan);
            } else {
                self.plan(at, Happening::Vendor(line, plan));
            }
        }
    }

    fn vendor_says(&mut self, event: ProviderEvent) {
        match &event {
            ProviderEvent::ResponseStarted { .. } => self.responding = true,
            ProviderEvent::ResponseEnded { .. } => self.responding = false,
            ProviderEvent::ToolCall { call_id, .. } if self.seen_calls.insert(call_id.clone()) => {
                self.open_calls.insert(call_id.clone());
            }
            _ => {}
        }
        let trap = match &event {
            ProviderEvent::ToolCall { .. } => Some(Trap::ToolCall),
            ProviderEvent::Audio { .. } => Some(Trap::FirstAudio),
            _ => None,
        };
        self.feed(Input::Provider(event));
        if let Some(trap) = trap {
            self.spring(trap);
        }
    }

    /// If this instant is one where trouble waits, it comes, now or a moment later.
    fn spring(&mut self, trap: Trap) {
        if let Some(place) = self.traps.iter().position(|set| *set == trap) {
            self.traps.remove(place);
            let at = self.now + self.rng.ms(0, 120);
            let cut = Trouble::Cut(ProviderErrorKind::Network);
            self.plan(at, Happening::Trouble(cut));
        }
    }

    fn make(&mut self, trouble: &Trouble) {
        match trouble {
            Trouble::Cut(kind) => {
                if let Some(line) = self.current {
                    self.lines[line].dead = true;
                    self.note(&format!("{:?}: cut", self.now));
                    let error = ProviderError::new(*kind, "cut");
                    self.feed(Input::Provider(ProviderEvent::Closed(Some(error))));
                }
            }
            Trouble::HalfOpen => {
                if let Some(line) = self.current {
                    // What is on its way still arrives.
                    self.lines[line].dead = true;
                    self.note(&format!("{:?}: half open", self.now));
                }
            }
            Trouble::GoAway(left) => {
                if self.current.is_some() {
                    let time_left = Some(*left);
                    self.feed(Input::Provider(ProviderEvent::GoAway { time_left }));
                }
            }
            Trouble::HandOver => self.feed(Input::Command(Command::HandOver)),
            Trouble::Text(silent) => self.feed(Input::Command(Command::Text {
                text: "a note".into(),
                role: Role::System,
                silent: *silent,
                chain_depth: 0,
            })),
            Trouble::Interrupt => self.feed(Input::Client(ClientEvent::Interrupt)),
            Trouble::Mute(muted) => {
                // A user who mutes in mid-sentence says less: that is no loss.
                self.lossy |= muted;
                self.feed(Input::Client(ClientEvent::Mute(*muted)));
            }
        }
    }

    // ----- what the call does

    pub(super) fn feed(&mut self, input: Input) {
        self.call.handle(self.now, input);
        while let Some(action) = self.call.poll() {
            self.act(&action);
            self.log.push((self.now, action));
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::ToProvider(command) => self.send(command.clone()),
            Action::Dial(dial) => self.dial(dial),
            Action::HangUp => {
                self.responding = false;
                self.current = None;
            }
            Action::Publish(publication) => {
                if let News::ToolCall(request) = &publication.what {
                    let at = self.now + self.rng.ms(0, 30);
                    self.plan(at, Happening::Cleared(request.serial));
                }
            }
            Action::StartTool(request) => {
                *self.runs.entry(request.call_id.clone()).or_default() += 1;
                let takes = if self.rng.chance(5) {
                    ms(40_000)
                } else {
                    self.rng.ms(10, 5_000)
                };
                let at = self.now + takes;
                self.plan(at, Happening::ToolDone(request.call_id.clone()));
            }
            Action::DroppedHeld(_) => self.lossy = true,
            Action::End(reason) => self.ended = Some(reason.clone()),
            _ => {}
        }
    }

    fn send(&mut self, command: ProviderCommand) {
        let Some(line) = self.current else {
            return self.violation(&format!("{command:?} without a connection"));
        };
        match &command {
            ProviderCommand::Respond if self.responding => {
                self.violation("a response is asked for while one runs");
            }
            ProviderCommand::ToolResult { call_id, .. } => {
                self.open_calls.remove(call_id);
                self.told.insert(call_id.to_string());
            }
            ProviderCommand::Text { text, .. } => {
                if self.style == Style::Resuming && !self.open_calls.is_empty() {
                    self.violation("text while a call waits for its result");
                }
                self.tell(text);
            }
            _ => {}
        }
        let latency = self.rng.ms(10, 60);
        let at = (self.now + latency).max(self.lines[line].up_free);
        self.lines[line].up_free = at;
        self.plan(at, Happening::ToVendor(line, command));
    }

    /// Notes of which calls some words tell the result.
    fn tell(&mut self, text: &str) {
        if let Some((_, rest)) = text.split_once(r#"{"n":"#)
            && let Some((number, _)) = rest.split_once('}')
        {
            self.told.insert(format!("call{number}"));
        }
    }

    fn dial(&mut self, dial: &Dial) {
        use crate::provider::HistoryItem;
        if self.style == Style::Resuming && self.current.is_some() {
            self.violation("dials before it hangs up");
        }
        for item in &dial.setup.history {
            match item {
                HistoryItem::ToolResult { call_id, .. } => {
                    self.told.insert(call_id.to_string());
                }
                HistoryItem::Message { text, .. } => self.tell(text),
                HistoryItem::ToolCall { .. } => {}
            }
        }
        self.dials += 1;
        let trouble = self.dial_troubles.pop();
        let (takes, outcome) = match trouble {
            Some(DialTrouble::Slow(time)) => (time, Ok(dial.clone())),
            Some(DialTrouble::Fails(kind)) => (ms(200), Err(kind)),
            Some(DialTrouble::TokenRefused) if dial.setup.resume.is_some() => {
                (ms(200), Err(ProviderErrorKind::InvalidConfig))
            }
            _ => (self.rng.ms(30, 500), Ok(dial.clone())),
        };
        let at = self.now + takes;
        self.plan(at, Happening::Dialled(self.dials, outcome));
        self.spring(Trap::Dial);
    }

    fn dialled(&mut self, dial: u32, outcome: Result<Dial, ProviderErrorKind>) {
        if dial != self.dials {
            return;
        }
        match outcome {
            Ok(dial) => self.connect(&dial),
            Err(kind) => {
                let error = ProviderError::new(kind, "no");
                self.feed(Input::DialFailed(error));
            }
        }
    }

    fn connect(&mut self, dial: &Dial) {
        let id = self.lines.len();
        let mut vendor = Vendor::new(self.style, id, &dial.setup.history);
        let again = match &self.lines.last() {
            Some(line) if dial.setup.resume.is_some() && self.rng.chance(30) => {
                line.vendor.made.last().cloned()
            }
            _ => None,
        };
        let again = again.map(|call_id| vendor.call_again(&call_id));
        self.lines.push(Line {
            vendor,
            dead: false,
            up_free: self.now,
            down_free: self.now,
        });
        self.current = Some(id);
        self.responding = false;
        self.open_calls.clear();
        self.seen_calls.clear();
        self.note(&format!("{:?}: connection {id}", self.now));
        let info = ConnectionInfo::new(self.style.capabilities());
        self.feed(Input::Connected(info));
        if let Some(event) = again {
            self.vendor_acts(id, Plan::Say(event));
        }
        if id > 0 {
            self.spring(Trap::Connected);
        }
    }

    // ----- notes

    fn note(&mut self, note: &str) {
        self.script.push(note.to_owned());
    }

    pub(super) fn violation(&mut self, what: &str) {
        let at = self.now;
        self.violations.push(format!("{at:?}: {what}"));
    }

    /// The line that is used now, if one is.
    pub(super) fn current_line(&self) -> Option<&Line> {
        self.current
            .map(|line| &self.lines[line])
            .filter(|line| !line.dead)
    }
}
