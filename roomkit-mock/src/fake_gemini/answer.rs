//! Generations: what the model says, step by step, and how it is cut off.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::engine::Engine;
use super::memory::{Speaker, Turn};
use super::plan::{Delivery, Step, plan};
use super::script::{Ending, Reply};
use crate::fake::audio::AudioFormat;
use crate::fake::speech::spoken_ms;

/// What the model answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The user's last spoken turn.
    Speech,
    Text(String),
    /// Results of tools, as text.
    Results(Vec<String>),
}

/// The user's last spoken turn, for the echo.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) audio: Vec<u8>,
    pub(crate) format: Option<AudioFormat>,
    pub(crate) text: Option<String>,
}

/// An answer that is being sent.
#[derive(Debug)]
pub(crate) struct Generation {
    steps: VecDeque<Step>,
    due: Instant,
    started: Instant,
    stalled: bool,
    /// Holds until blocking calls have their results.
    pub(super) awaiting: bool,
    audio_ms: u64,
    /// What was said and is not remembered yet.
    untold: Turn,
}

impl Generation {
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.stalled && !self.awaiting).then_some(self.due)
    }

    /// Goes on now that the results are there.
    pub(super) fn resume(&mut self, now: Instant) {
        self.awaiting = false;
        self.due = now;
    }
}

/// What follows a step.
enum Next {
    Step,
    Pause,
    /// The answer is over; `true` if the next one belongs to the same turn.
    Over(bool),
}

impl Engine {
    /// Answers `cause` with the next scripted reply or the default one, now or after what is
    /// being said.
    pub(super) fn begin(&mut self, cause: Cause) {
        if self.generation.is_some() {
            self.queued.push_back(cause);
            return;
        }
        let Some(setup) = &self.setup else { return };
        let reply = self.hub.next_reply();
        let reply = reply.unwrap_or_else(|| self.default_reply(&cause));
        if reply.ending == Ending::Unanswered {
            self.begin_queued();
            return;
        }
        let user = self
            .heard
            .format
            .map(|format| (format, self.heard.audio.as_slice()));
        let blocks = |name: &str| setup.blocks(name);
        let delivery = Delivery {
            text_only: setup.text_only,
            speed: self.hub.options.common.speed,
            user,
            blocks: &blocks,
        };
        let steps = plan(reply, &delivery, self.writer.random());
        self.generation = Some(Generation {
            steps,
            due: self.now,
            started: self.now,
            stalled: false,
            awaiting: false,
            audio_ms: 0,
            untold: Turn::new(Speaker::Model, ""),
        });
        self.announce_unresumable();
    }

    /// Runs every step that is due.
    pub(super) fn run_generation(&mut self) {
        while let Some(mut generation) = self.generation.take() {
            let mut next = Next::Step;
            while matches!(next, Next::Step) {
                next = match generation.due() {
                    Some(due) if due <= self.now => self.run_step(&mut generation),
                    _ => Next::Pause,
                };
            }
            match next {
                Next::Over(true) => {
                    self.remember_answer(&mut generation, false);
                    let results = self.calls.take_results();
                    self.begin(Cause::Results(results));
                }
                Next::Over(false) => {
                    self.remember_answer(&mut generation, false);
                    self.turn_over();
                }
                Next::Step | Next::Pause => {
                    self.generation = Some(generation);
                    return;
                }
            }
        }
    }

    /// Cuts off what the model says or waits for. True if there was something.
    pub(super) fn interrupt(&mut self) -> bool {
        let cancelled = self.calls.cancel_blocking();
        if !cancelled.is_empty() && !self.hub.options.omit_call_ids {
            self.writer
                .message(json!({"toolCallCancellation": {"ids": cancelled}}));
        }
        let Some(mut generation) = self.generation.take() else {
            return !cancelled.is_empty();
        };
        self.writer.content(json!({"interrupted": true}));
        let mut late = self.hub.options.late_chunks;
        while late > 0
            && let Some(step) = generation.steps.pop_front()
        {
            if let Step::Audio(audio) = step {
                self.send_audio(&mut generation, &audio);
                late -= 1;
            }
        }
        self.remember_answer(&mut generation, true);
        self.complete_turn(&generation, None);
        self.response_ended();
        self.issue_handle();
        true
    }

    /// Begins the next answer that waits, or gives out a handle.
    fn turn_over(&mut self) {
        self.response_ended();
        if !self.begin_queued() {
            self.issue_handle();
        }
    }

    /// Begins what has waited longest. False if nothing waits.
    pub(super) fn begin_queued(&mut self) -> bool {
        let Some(cause) = self.queued.pop_front() else {
            return false;
        };
        self.begin(cause);
        true
    }

    fn run_step(&mut self, generation: &mut Generation) -> Next {
        let Some(step) = generation.steps.pop_front() else {
            return Next::Over(false);
        };
        match step {
            Step::Words(words) => self.send_words(generation, &words),
            Step::Audio(audio) => self.send_audio(generation, &audio),
            Step::Thought(text) => {
                let parts = json!([{"text": text, "thought": true}]);
                self.writer
                    .content(json!({"modelTurn": {"role": "model", "parts": parts}}));
            }
            Step::Calls(calls) => {
                self.remember_answer(generation, false);
                self.send_calls(calls);
            }
            Step::AwaitResults | Step::Continue if self.calls.any_blocking() => {
                generation.awaiting = true;
                generation.steps.push_front(step);
                return Next::Pause;
            }
            Step::AwaitResults => drop(self.calls.take_results()),
            Step::Continue => return Next::Over(true),
            Step::Message(message) => self.writer.message(message),
            Step::Wait(time) => generation.due += time,
            Step::Stall => generation.stalled = true,
            Step::GenerationComplete => {
                self.writer.content(json!({"generationComplete": true}));
                if self.hub.options.real_time_turns {
                    let played = Duration::from_millis(generation.audio_ms);
                    generation.due = generation.due.max(generation.started + played);
                }
            }
            Step::Finish(reason) => {
                self.complete_turn(generation, reason);
                return Next::Over(false);
            }
        }
        Next::Step
    }

    fn send_words(&mut self, generation: &mut Generation, words: &str) {
        generation.untold.text.push_str(words);
        let Some(setup) = &self.setup else { return };
        if setup.text_only {
            let parts = json!([{"text": words}]);
            self.writer
                .content(json!({"modelTurn": {"role": "model", "parts": parts}}));
        } else if setup.transcribes_output() {
            self.writer
                .content(json!({"outputTranscription": {"text": words}}));
        }
    }

    fn send_audio(&mut self, generation: &mut Generation, audio: &[u8]) {
        let Some(setup) = &self.setup else { return };
        let first = generation.audio_ms == 0;
        self.writer.audio(audio, setup.family);
        let audio_ms = AudioFormat::PCM_24K.duration_ms(audio.len());
        generation.audio_ms += audio_ms;
        generation.untold.audio_ms += audio_ms;
        if self.hub.options.usage_ticks || first && self.writer.noise() {
            let tokens = audio.len() / 1920;
            self.writer
                .message(json!({"serverContent": {}, "usageMetadata": {
                "promptTokenCount": 0, "responseTokenCount": tokens, "totalTokenCount": tokens}}));
        }
        if first {
            self.response_spoke();
        }
    }

    fn complete_turn(&mut self, generation: &Generation, reason: Option<String>) {
        let mut fields = json!({"turnComplete": true});
        if self
            .setup
            .as_ref()
            .is_some_and(|setup| setup.family.is_38())
        {
            let idle = self.calls.is_empty() && self.queued.is_empty();
            fields["interactionStatus"] = Value::from(if idle { "IDLE" } else { "IN_PROGRESS" });
        }
        if let Some(reason) = reason {
            fields["turnCompleteReason"] = Value::from(reason);
        }
        let usage = self.usage(generation);
        self.writer
            .message(json!({"serverContent": fields, "usageMetadata": usage}));
    }

    /// Token counts of the right shape: 32 a second heard, 25 a second spoken.
    fn usage(&self, generation: &Generation) -> Value {
        let heard = self.input.position_ms() * 32 / 1000;
        let (text, spoken) = (119, generation.audio_ms * 25 / 1000);
        let prompt = json!([{"modality": "AUDIO", "tokenCount": heard},
            {"modality": "TEXT", "tokenCount": text}]);
        let response = json!([{"modality": "AUDIO", "tokenCount": spoken}]);
        let name = if self.service.is_vertex() {
            "candidates"
        } else {
            "response"
        };
        json!({
            "promptTokenCount": heard + text,
            format!("{name}TokenCount"): spoken,
            "totalTokenCount": heard + text + spoken,
            "promptTokensDetails": prompt,
            format!("{name}TokensDetails"): response,
        })
    }

    fn remember_answer(&mut self, generation: &mut Generation, interrupted: bool) {
        let fresh = Turn::new(Speaker::Model, "");
        let told = std::mem::replace(&mut generation.untold, fresh);
        if !told.text.is_empty() || told.audio_ms > 0 {
            self.remember(Turn {
                interrupted,
                ..told
            });
        }
    }

    /// The user's audio back, or a tone that stands for an answer to text and tool results.
    fn default_reply(&self, cause: &Cause) -> Reply {
        let text = match cause {
            Cause::Speech => {
                return match &self.heard.text {
                    Some(text) => Reply::echo(format!("You said: {text}")),
                    None => Reply::echo("You said this."),
                };
            }
            Cause::Text(text) => format!("You wrote: {text}"),
            Cause::Results(results) => format!("The tool said: {}", results.join(", ")),
        };
        let duration_ms = spoken_ms(&text);
        Reply::speech(text, duration_ms)
    }
}
