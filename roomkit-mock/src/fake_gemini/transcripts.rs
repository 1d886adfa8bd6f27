//! What the transcription says of the user's speech, and when.

use serde_json::json;
use tokio::time::Instant;

use super::engine::Engine;
use super::plan::words;
use super::script::{TranscriptTiming, UserTranscript};

/// A transcript that has not been sent yet.
#[derive(Debug)]
pub(crate) struct PendingTranscript {
    interim: Option<String>,
    deltas: Vec<String>,
    finished: bool,
    trigger: Trigger,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    At(Instant),
    FirstAudio,
    TurnComplete,
}

impl PendingTranscript {
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.trigger {
            Trigger::At(due) => Some(due),
            Trigger::FirstAudio | Trigger::TurnComplete => None,
        }
    }
}

impl Engine {
    /// Takes the transcript of the turn that begins, and sends what comes during it.
    pub(super) fn transcribe_start(&mut self) {
        let script = self.hub.next_transcript();
        if script.timing == TranscriptTiming::DuringSpeech {
            let (first, _) = halves(&script);
            let interim = script.interim.then(|| first.concat());
            self.schedule(TranscriptTiming::BeforeResponse, interim, first, false);
        }
        self.speech = Some(script);
    }

    /// The turn is over: the rest of its transcript, now or later. Returns its text.
    pub(super) fn transcribe_end(&mut self) -> Option<String> {
        let script = self.speech.take();
        let during = script.is_some();
        let script = script.unwrap_or_else(|| self.hub.next_transcript());
        let text = script.text.clone()?;
        let (deltas, interim) = if during && script.timing == TranscriptTiming::DuringSpeech {
            (halves(&script).1, None)
        } else {
            let deltas = words(&text).map(str::to_owned).collect();
            (deltas, script.interim.then(|| text.clone()))
        };
        self.schedule(script.timing, interim, deltas, script.finished);
        if let Some(timing) = script.again {
            self.schedule(timing, None, vec![text.clone()], false);
        }
        Some(text)
    }

    /// Sends transcripts whose time has come.
    pub(super) fn send_due_transcripts(&mut self) {
        let now = self.now;
        self.send_transcripts(|trigger| matches!(trigger, Trigger::At(due) if due <= now));
    }

    /// Sends transcripts that waited for the answer to speak.
    pub(super) fn response_spoke(&mut self) {
        self.send_transcripts(|trigger| trigger == Trigger::FirstAudio);
    }

    /// Sends transcripts that waited for the turn to end, and those it never spoke for.
    pub(super) fn response_ended(&mut self) {
        self.send_transcripts(|trigger| !matches!(trigger, Trigger::At(_)));
    }

    fn schedule(
        &mut self,
        timing: TranscriptTiming,
        interim: Option<String>,
        deltas: Vec<String>,
        finished: bool,
    ) {
        let wanted = self.setup.as_ref();
        if !wanted.is_some_and(super::setup::Setup::transcribes_input) {
            return;
        }
        let trigger = match timing {
            TranscriptTiming::DuringSpeech | TranscriptTiming::BeforeResponse => {
                Trigger::At(self.now)
            }
            TranscriptTiming::DuringResponse => Trigger::FirstAudio,
            TranscriptTiming::AfterResponse => Trigger::TurnComplete,
            TranscriptTiming::After(delay) => Trigger::At(self.now + delay),
        };
        self.transcripts.push(PendingTranscript {
            interim,
            deltas,
            finished,
            trigger,
        });
        self.send_due_transcripts();
    }

    fn send_transcripts(&mut self, due: impl Fn(Trigger) -> bool) {
        let ready: Vec<_> = self
            .transcripts
            .extract_if(.., |pending| due(pending.trigger))
            .collect();
        for pending in ready {
            if let Some(text) = pending.interim {
                self.writer
                    .content(json!({"interimInputTranscription": {"text": text}}));
            }
            for text in pending.deltas {
                self.writer
                    .content(json!({"inputTranscription": {"text": text}}));
            }
            if pending.finished {
                self.writer
                    .content(json!({"inputTranscription": {"text": "", "finished": true}}));
            }
        }
    }
}

/// The words of a transcript in two halves, the first the longer one.
fn halves(script: &UserTranscript) -> (Vec<String>, Vec<String>) {
    let text = script.text.as_deref().unwrap_or_default();
    let mut first: Vec<String> = words(text).map(str::to_owned).collect();
    let second = first.split_off(first.len().div_ceil(2));
    (first, second)
}
