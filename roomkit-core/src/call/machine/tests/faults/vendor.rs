//! A vendor's end of one connection, as a model: it hears turns in the audio, answers, calls tools,
//! and objects to what real vendors object to.

use std::collections::{HashMap, HashSet};

use super::{Frame, Rng, ms};
use crate::{
    audio as pcm,
    call::io::Moment,
    provider::{
        Continuation, HistoryItem, HistorySupport, ProviderCapabilities, ProviderCommand,
        ProviderEvent, ResponseStatus, ResumeToken, Role,
    },
};

/// Speech is noticed after so many frames, its end after so many.
const NOTICED: u32 = 5;
const SILENCE: u32 = 13;

/// How a vendor works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Ids for everything, asked for responses, told the whole history, may overlap.
    Replaying,
    /// No ids, answers by itself, resumes by token, wants the old connection closed first.
    Resuming,
}

impl Style {
    pub(super) fn capabilities(self) -> ProviderCapabilities {
        let mut capabilities = ProviderCapabilities::new(super::RATE, super::RATE);
        capabilities.interrupts_itself = true;
        capabilities.transcribes_user = true;
        capabilities.pings = true;
        match self {
            Self::Replaying => {
                capabilities.truncates = true;
                capabilities.history = HistorySupport::Full;
                capabilities.overlaps = true;
            }
            Self::Resuming => {
                capabilities.continuation = Continuation::Automatic;
                capabilities.history = HistorySupport::Text;
                capabilities.resumes = true;
                capabilities.text_during_tools = false;
            }
        }
        capabilities
    }
}

/// Something the vendor will do.
#[derive(Debug, Clone)]
pub(super) enum Plan {
    Say(ProviderEvent),
    Respond,
    Audio { response: u32, left: u32 },
}

/// What the vendor does next, and after which delay.
pub(super) type Plans = Vec<(Moment, Plan)>;

#[derive(Debug)]
pub(super) struct Vendor {
    style: Style,
    id: usize,
    pub(super) frames: Vec<u32>,
    pub(super) objections: Vec<String>,
    /// Where a frame follows another that it should not: both numbers.
    pub(super) gaps: Vec<(u32, u32)>,
    loud: u32,
    quiet: u32,
    speaking: Option<u32>,
    turns: u32,
    responses: u32,
    responding: Option<u32>,
    answer_due: bool,
    items: HashSet<String>,
    /// Calls this connection made, or was told of, and whether they were answered.
    pub(super) calls: HashMap<String, bool>,
    pub(super) made: Vec<String>,
    /// Utterances it has written down.
    pub(super) heard: Vec<u32>,
}

impl Vendor {
    pub(super) fn new(style: Style, id: usize, history: &[HistoryItem]) -> Self {
        let mut calls = HashMap::new();
        for item in history {
            match item {
                HistoryItem::ToolCall { call_id, .. } => {
                    calls.insert(call_id.to_string(), false);
                }
                HistoryItem::ToolResult { call_id, .. } => {
                    calls.insert(call_id.to_string(), true);
                }
                HistoryItem::Message { .. } => {}
            }
        }
        Self {
            style,
            id,
            frames: Vec::new(),
            objections: Vec::new(),
            gaps: Vec::new(),
            loud: 0,
            quiet: 0,
            speaking: None,
            turns: 0,
            responses: 0,
            responding: None,
            answer_due: false,
            items: HashSet::new(),
            calls,
            made: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// Takes a command and says what comes of it.
    pub(super) fn take(&mut self, command: ProviderCommand, rng: &mut Rng) -> Plans {
        match command {
            ProviderCommand::Audio(pcm) => self.hear(Frame::read(&pcm), rng),
            ProviderCommand::Ping => {
                let slow = self.style == Style::Resuming && rng.chance(10);
                let delay = if slow { rng.ms(8_000, 20_000) } else { ms(0) };
                vec![(delay, Plan::Say(ProviderEvent::Pong))]
            }
            ProviderCommand::Respond => {
                if self.responding.is_some() && self.style == Style::Replaying {
                    return vec![(ms(0), Plan::Say(ProviderEvent::ResponseRefused))];
                }
                vec![(rng.ms(50, 400), Plan::Respond)]
            }
            ProviderCommand::Text { respond, .. } => {
                if respond {
                    return vec![(rng.ms(50, 400), Plan::Respond)];
                }
                Vec::new()
            }
            ProviderCommand::ToolResult { call_id, .. } => self.result(call_id.as_str(), rng),
            ProviderCommand::CancelResponse => self.interrupt(),
            ProviderCommand::Truncate { item_id, .. } => {
                if !self.items.contains(item_id.as_str()) {
                    self.object(&format!("truncates `{item_id}`, which is not here"));
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Does what was planned.
    pub(super) fn act(&mut self, plan: &Plan, rng: &mut Rng, calls: &mut u32) -> Plans {
        match plan {
            Plan::Say(_) => Vec::new(),
            Plan::Respond => self.respond(rng, calls),
            Plan::Audio { response, left } => self.speak(*response, *left),
        }
    }

    fn hear(&mut self, frame: Option<Frame>, rng: &mut Rng) -> Plans {
        let Some(frame) = frame else {
            return self.hear_silence(rng);
        };
        if let Some(last) = self.frames.last()
            && *last + 1 != frame.number
        {
            self.gaps.push((*last, frame.number));
        }
        self.frames.push(frame.number);
        if frame.utterance == 0 {
            return self.hear_silence(rng);
        }
        self.quiet = 0;
        self.loud += 1;
        if self.speaking.is_some() {
            self.speaking = Some(frame.utterance);
            return Vec::new();
        }
        if self.loud < NOTICED {
            return Vec::new();
        }
        self.speaking = Some(frame.utterance);
        self.turns += 1;
        let item_id = self.id_of("u", self.turns).map(Into::into);
        let mut plans = vec![(ms(0), Plan::Say(ProviderEvent::SpeechStarted { item_id }))];
        plans.extend(self.interrupt());
        plans
    }

    fn hear_silence(&mut self, rng: &mut Rng) -> Plans {
        self.loud = 0;
        self.quiet += 1;
        if self.quiet == SILENCE
            && let Some(utterance) = self.speaking.take()
        {
            return self.turn_ends(utterance, rng);
        }
        Vec::new()
    }

    fn turn_ends(&mut self, utterance: u32, rng: &mut Rng) -> Plans {
        self.heard.push(utterance);
        let item_id = || self.id_of("u", self.turns).map(Into::into);
        let stopped = ProviderEvent::SpeechStopped { item_id: item_id() };
        let words = ProviderEvent::Transcript {
            role: Role::User,
            item_id: item_id(),
            text: format!("utterance {utterance}"),
            is_final: true,
        };
        let mut plans = vec![(ms(0), Plan::Say(stopped))];
        let (written, answered) = match self.style {
            // The transcript is another model's work and comes when it comes.
            Style::Replaying => (rng.ms(0, 1200), rng.ms(100, 500)),
            Style::Resuming => (ms(0), rng.ms(100, 500)),
        };
        plans.push((written, Plan::Say(words.clone())));
        if rng.chance(15) {
            plans.push((written + ms(5), Plan::Say(words)));
        }
        plans.push((answered, Plan::Respond));
        plans
    }

    fn respond(&mut self, rng: &mut Rng, calls: &mut u32) -> Plans {
        if self.responding.is_some() || self.speaking.is_some() {
            self.answer_due = self.speaking.is_none();
            return Vec::new();
        }
        if self.style == Style::Resuming && self.has_open_call() {
            return Vec::new();
        }
        self.responses += 1;
        let response = self.responses;
        let mut plans = Plans::new();
        let response_id = || self.id_of("r", response).map(Into::into);
        let started = ProviderEvent::ResponseStarted {
            response_id: response_id(),
        };
        let ended = ProviderEvent::ResponseEnded {
            response_id: response_id(),
            status: ResponseStatus::Completed,
            usage: None,
        };
        if rng.chance(30) {
            // Tools first.
            if self.style == Style::Replaying {
                plans.push((ms(0), Plan::Say(started)));
            }
            for _ in 0..=rng.below(3) {
                *calls += 1;
                let call_id = format!("call{calls}");
                self.calls.insert(call_id.clone(), false);
                self.made.push(call_id.clone());
                let call = ProviderEvent::ToolCall {
                    call_id: call_id.as_str().into(),
                    name: "f".into(),
                    arguments: format!(r#"{{"n":{calls}}}"#),
                };
                plans.push((ms(0), Plan::Say(call.clone())));
                if rng.chance(20) {
                    plans.push((ms(0), Plan::Say(call)));
                }
            }
            if self.style == Style::Replaying {
                plans.push((ms(1), Plan::Say(ended)));
            }
            return plans;
        }
        self.responding = Some(response);
        plans.push((ms(0), Plan::Say(started)));
        let left = 1 + rng.below(20);
        plans.push((ms(5), Plan::Audio { response, left }));
        plans
    }

    fn speak(&mut self, response: u32, left: u32) -> Plans {
        if self.responding != Some(response) {
            return Vec::new();
        }
        let item_id = self.id_of("a", response);
        self.items.extend(item_id.clone());
        let response_id = self.id_of("r", response).map(Into::into);
        let words = |text: String, is_final| {
            Plan::Say(ProviderEvent::Transcript {
                role: Role::Assistant,
                item_id: item_id.clone().map(Into::into),
                text,
                is_final,
            })
        };
        if left > 0 {
            let audio = ProviderEvent::Audio {
                response_id,
                item_id: item_id.clone().map(Into::into),
                content_index: 0,
                pcm: vec![1; pcm::bytes_for(ms(100), super::RATE)].into(),
            };
            let left = left - 1;
            return vec![
                (ms(0), Plan::Say(audio)),
                (ms(0), words(format!("word{left} "), false)),
                (ms(30), Plan::Audio { response, left }),
            ];
        }
        self.responding = None;
        let ended = ProviderEvent::ResponseEnded {
            response_id,
            status: ResponseStatus::Completed,
            usage: None,
        };
        let text = format!("answer {response} of connection {}", self.id);
        let mut plans = vec![(ms(0), words(text, true)), (ms(0), Plan::Say(ended))];
        if self.style == Style::Resuming {
            let token = ResumeToken::new(format!("token {} {response}", self.id));
            plans.push((ms(1), Plan::Say(ProviderEvent::Resumable(token))));
        }
        if std::mem::take(&mut self.answer_due) {
            plans.push((ms(50), Plan::Respond));
        }
        plans
    }

    fn interrupt(&mut self) -> Plans {
        let Some(response) = self.responding.take() else {
            return Vec::new();
        };
        let ended = ProviderEvent::ResponseEnded {
            response_id: self.id_of("r", response).map(Into::into),
            status: ResponseStatus::Cancelled,
            usage: None,
        };
        vec![(ms(0), Plan::Say(ended))]
    }

    fn result(&mut self, call_id: &str, rng: &mut Rng) -> Plans {
        match self.calls.get_mut(call_id) {
            None => self.object(&format!(
                "a result for `{call_id}`, which is not known here"
            )),
            Some(true) => self.object(&format!("a second result for `{call_id}`")),
            Some(answered) => *answered = true,
        }
        if self.style == Style::Resuming && !self.has_open_call() {
            return vec![(rng.ms(50, 300), Plan::Respond)];
        }
        Vec::new()
    }

    /// Makes a call of an earlier connection once more, as a resumed conversation may.
    pub(super) fn call_again(&mut self, call_id: &str) -> ProviderEvent {
        self.calls.insert(call_id.to_owned(), false);
        let number = call_id.trim_start_matches("call");
        ProviderEvent::ToolCall {
            call_id: call_id.into(),
            name: "f".into(),
            arguments: format!(r#"{{"n":{number}}}"#),
        }
    }

    fn has_open_call(&self) -> bool {
        self.calls.values().any(|answered| !answered)
    }

    fn id_of(&self, kind: &str, number: u32) -> Option<String> {
        (self.style == Style::Replaying).then(|| format!("{kind}{number}c{}", self.id))
    }

    fn object(&mut self, objection: &str) {
        let id = self.id;
        self.objections
            .push(format!("connection {id}: {objection}"));
    }
}
