//! The echo as a state machine: commands and time go in, events come out. No task and no clock.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use roomkit_core::{
    id::ItemId,
    provider::{
        ProviderCommand, ProviderError, ProviderErrorKind, ProviderEvent, ResponseStatus, Role,
        SessionUpdate, Usage,
    },
};

use super::{
    answer::{Answer, tones},
    config::EchoConfig,
    ears::{Ears, Edge, Utterance},
    memory::{Heard, Memory},
};

/// With so many events unread nobody listens any more, and nothing more is taken in.
const UNREAD: usize = 1024;

/// One conversation. After every [`handle`](Self::handle), and when
/// [`next_wake`](Self::next_wake) says so, [`poll`](Self::poll) until it gives nothing.
#[derive(Debug)]
pub(super) struct Engine {
    config: EchoConfig,
    tools: BTreeSet<String>,
    /// An answer stops when the user speaks.
    interruptions: bool,
    out: VecDeque<ProviderEvent>,
    closed: bool,
    ears: Ears,
    memory: Memory,
    answer: Option<Answer>,
    /// How many items, responses and calls there were; their ids are made of it.
    number: u64,
    /// The utterance that is being heard.
    hearing: ItemId,
}

impl Engine {
    pub(super) fn new(config: EchoConfig, tools: BTreeSet<String>, interruptions: bool) -> Self {
        Self {
            config,
            tools,
            interruptions,
            out: VecDeque::new(),
            closed: false,
            ears: Ears::new(),
            memory: Memory::default(),
            answer: None,
            number: 0,
            hearing: "echo_user_0".into(),
        }
    }

    /// Takes one command at `now`, a time on any clock that does not go back.
    pub(super) fn handle(&mut self, now: Duration, command: ProviderCommand) {
        if self.closed || self.out.len() >= UNREAD {
            return;
        }
        match command {
            ProviderCommand::Audio(pcm) => self.on_audio(now, &pcm),
            ProviderCommand::Text { role, text, .. } => {
                self.memory.hear(Heard::Text { role, text });
            }
            ProviderCommand::Image { data, prompt, .. } => {
                let bytes = data.len();
                self.memory.hear(Heard::Image { bytes, prompt });
            }
            ProviderCommand::ToolResult {
                name,
                output,
                is_error,
                ..
            } => self.memory.hear(Heard::ToolResult {
                name,
                output,
                is_error,
            }),
            ProviderCommand::Respond if self.answer.is_some() => {
                self.out.push_back(ProviderEvent::ResponseRefused);
            }
            ProviderCommand::Respond => self.respond(now),
            ProviderCommand::CancelResponse => self.cancel(),
            ProviderCommand::Truncate { item_id, heard, .. } => {
                if !self.memory.truncate(&item_id, heard) {
                    let problem = format!("there is no {heard:?} of an answer `{item_id}`");
                    self.complain(ProviderErrorKind::InvalidRequest, problem);
                }
            }
            ProviderCommand::ActivityStart => {
                self.name_utterance();
                self.ears.begin();
                self.give_way();
            }
            ProviderCommand::ActivityEnd => {
                if let Some(utterance) = self.ears.finish(&self.config) {
                    self.transcribe(utterance);
                }
            }
            ProviderCommand::Update(update) => self.update(update),
            _ => {
                let problem = "the echo has no messages of its own";
                self.complain(ProviderErrorKind::Unsupported, problem);
            }
        }
    }

    /// Says goodbye; whatever is unread can still be read.
    pub(super) fn close(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            self.answer = None;
            self.out.push_back(ProviderEvent::Closed(None));
        }
    }

    /// The next event that is due.
    pub(super) fn poll(&mut self, now: Duration) -> Option<ProviderEvent> {
        if let Some(event) = self.out.pop_front() {
            return Some(event);
        }
        let answer = self.answer.as_mut().filter(|a| a.next_wake() <= now)?;
        if let Some(event) = answer.next() {
            return Some(event);
        }
        let answer = self.answer.take()?;
        self.out.push_back(answer.ended(ResponseStatus::Completed));
        Some(answer.final_words())
    }

    /// When to poll again if no command comes.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.answer.as_ref().map(Answer::next_wake)
    }

    /// Nothing more will come.
    pub(super) fn is_over(&self) -> bool {
        self.closed && self.out.is_empty()
    }

    // ----- the user speaks

    fn on_audio(&mut self, now: Duration, pcm: &Bytes) {
        let mut rest = &pcm[..pcm.len() & !1];
        while !rest.is_empty() && self.out.len() < UNREAD {
            match self.ears.hear(&self.config, &mut rest) {
                None => {}
                Some(Edge::Started) => {
                    self.name_utterance();
                    let item_id = Some(self.hearing.clone());
                    self.out.push_back(ProviderEvent::SpeechStarted { item_id });
                    self.give_way();
                }
                Some(Edge::Stopped(utterance)) => {
                    let item_id = Some(self.hearing.clone());
                    self.out.push_back(ProviderEvent::SpeechStopped { item_id });
                    self.transcribe(utterance);
                    self.give_way();
                    // What was said into an answer that goes on is part of the next one.
                    if self.answer.is_none() {
                        self.respond(now);
                    }
                }
            }
        }
    }

    fn name_utterance(&mut self) {
        self.number += 1;
        self.hearing = format!("echo_user_{}", self.number).into();
    }

    fn transcribe(&mut self, utterance: Utterance) {
        self.out.push_back(ProviderEvent::Transcript {
            role: Role::User,
            item_id: Some(self.hearing.clone()),
            text: format!("(you spoke for {:.1} s)", utterance.spoken.as_secs_f32()),
            is_final: true,
        });
        self.memory.hear(Heard::Speech(utterance));
    }

    // ----- answers

    fn respond(&mut self, now: Duration) {
        let mut heard = self.memory.take();
        if let Some(Heard::Text { text, .. }) = heard.back()
            && let Some((name, arguments)) = self.tool_wanted_by(text)
        {
            heard.pop_back();
            for item in heard {
                self.memory.hear(item);
            }
            return self.call_tool(name, arguments);
        }
        let mut input = Usage::default();
        let (mut words, mut other_words) = (Vec::new(), String::new());
        let mut pcm = BytesMut::new();
        for item in heard {
            let (said, length) = self.describe(&item);
            match item {
                Heard::Speech(utterance) => {
                    input.input_audio_tokens += utterance.spoken.as_millis() as u64 / 100;
                    pcm.extend_from_slice(&utterance.pcm);
                }
                Heard::Image { .. } => {
                    input.input_image_tokens += 85;
                    other_words.push_str(&said);
                }
                Heard::Text { .. } | Heard::ToolResult { .. } => {
                    input.input_text_tokens += length.div_ceil(4) as u64;
                    other_words.push_str(&said);
                }
            }
            words.push(said);
        }
        if words.is_empty() {
            words.push("(there is nothing to answer)".to_owned());
        }
        let text = words.join(" ");
        if pcm.is_empty() || !other_words.is_empty() {
            let melody = if other_words.is_empty() {
                &text
            } else {
                &other_words
            };
            pcm.extend_from_slice(&tones(melody, self.config.sample_rate));
        }
        input.input_tokens =
            input.input_audio_tokens + input.input_image_tokens + input.input_text_tokens;
        self.say(now, text, pcm.freeze(), input);
    }

    fn say(&mut self, now: Duration, text: String, pcm: Bytes, input: Usage) {
        self.number += 1;
        let begins = now.saturating_add(self.config.answer_delay());
        let EchoConfig {
            sample_rate, speed, ..
        } = self.config;
        let answer = Answer::new(self.number, text, pcm, sample_rate, begins, speed, input);
        let text = answer.text().to_owned();
        self.memory
            .say(answer.item_id.clone(), text, answer.length());
        self.out.push_back(ProviderEvent::ResponseStarted {
            response_id: Some(answer.response_id.clone()),
        });
        self.answer = Some(answer);
    }

    /// The user speaks.
    fn give_way(&mut self) {
        if self.interruptions {
            self.cancel();
        }
    }

    fn cancel(&mut self) {
        if let Some(answer) = self.answer.take() {
            // What was truncated already stays as it is.
            self.memory.truncate(&answer.item_id, answer.sent());
            self.out.push_back(answer.ended(ResponseStatus::Cancelled));
        }
    }

    /// What is said of something heard, and how long that was in bytes.
    fn describe(&self, heard: &Heard) -> (String, usize) {
        match heard {
            Heard::Text { text, .. } if text.to_lowercase().contains("what did you say") => {
                let said = self.memory.last_said().unwrap_or_default();
                (format!("I said: {said}"), text.len())
            }
            Heard::Text { role, text } => {
                let who = match role {
                    Role::User => "You said",
                    Role::System => "Noted",
                    Role::Assistant => "I said",
                };
                (format!("{who}: {text}"), text.len())
            }
            Heard::Image { bytes, prompt } => {
                let question = prompt
                    .as_ref()
                    .map_or_else(String::new, |prompt| format!(" You asked: {prompt}"));
                (format!("(an image of {bytes} bytes){question}"), 0)
            }
            Heard::ToolResult {
                name,
                output,
                is_error,
            } => {
                let how = if *is_error { "failed" } else { "answered" };
                (format!("{name} {how}: {output}"), output.len())
            }
            Heard::Speech(utterance) => {
                let length = utterance.spoken.as_secs_f32();
                (format!("(echo of {length:.1} s)"), 0)
            }
        }
    }

    // ----- tools and settings

    /// The tool that a text asks for, if it is declared, and its arguments.
    fn tool_wanted_by(&self, text: &str) -> Option<(String, String)> {
        let text = text.trim();
        if text.to_lowercase().contains("what time is it") {
            let clock = self.tools.iter().find(|name| name.contains("time"))?;
            return Some((clock.clone(), "{}".into()));
        }
        let verb = text.get(..4)?;
        if !verb.eq_ignore_ascii_case("use ") {
            return None;
        }
        let wish = text[4..].trim();
        let (name, arguments) = wish.split_once(char::is_whitespace).unwrap_or((wish, "{}"));
        self.tools
            .contains(name)
            .then(|| (name.to_owned(), arguments.trim().to_owned()))
    }

    fn call_tool(&mut self, name: String, arguments: String) {
        self.number += 1;
        let response_id = Some(format!("echo_resp_{}", self.number).into());
        self.out.extend([
            ProviderEvent::ResponseStarted {
                response_id: response_id.clone(),
            },
            ProviderEvent::ToolCall {
                call_id: format!("echo_call_{}", self.number).into(),
                name,
                arguments,
            },
            ProviderEvent::ResponseEnded {
                response_id,
                status: ResponseStatus::Completed,
                usage: Some(Box::default()),
            },
        ]);
    }

    fn update(&mut self, update: SessionUpdate) {
        if let Some(changes) = update.provider_config {
            match self.config.with(changes) {
                Ok(config) if config.sample_rate != self.config.sample_rate => {
                    let problem = "sample_rate: cannot be changed in a live session";
                    return self.refuse(problem);
                }
                Ok(config) => self.config = config,
                Err(error) => return self.refuse(error.to_string()),
            }
        }
        if let Some(tools) = update.tools {
            self.tools = tools.iter().map(|tool| tool.name.clone()).collect();
        }
        self.out.push_back(ProviderEvent::Updated);
    }

    fn refuse(&mut self, problem: impl Into<String>) {
        let error = ProviderError::new(ProviderErrorKind::InvalidRequest, problem);
        self.out.push_back(ProviderEvent::UpdateRefused(error));
    }

    fn complain(&mut self, kind: ProviderErrorKind, problem: impl Into<String>) {
        let error = ProviderError::new(kind, problem);
        self.out.push_back(ProviderEvent::Error(error));
    }
}

#[cfg(test)]
mod tests;
