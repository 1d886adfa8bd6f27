//! The user's side of a turn: commits, speech edges, and what the transcription model says later.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::conversation::Item;
use super::engine::Engine;
use super::responses::ResponseRequest;
use super::script::{TranscriptOutcome, TranscriptTiming, UserTranscript};
use super::vendor::Vendor;
use super::wire::WireError;
use crate::fake::audio::AudioFormat;
use crate::fake::vad::Edge;

/// Shortest audio that can be committed, in milliseconds.
const MIN_COMMIT_MS: f64 = 100.0;

/// What the user said last, for the echo.
#[derive(Debug, Default)]
pub(crate) struct UserTurn {
    pub(crate) audio: Vec<u8>,
    pub(crate) format: Option<AudioFormat>,
    /// What the transcription model will make of it.
    pub(crate) text: Option<String>,
}

impl UserTurn {
    /// The audio and its format, if there was a spoken turn.
    pub(crate) fn heard(&self) -> Option<(AudioFormat, &[u8])> {
        Some((self.format?, self.audio.as_slice()))
    }
}

/// A transcript that has not been sent yet.
#[derive(Debug)]
pub(crate) struct PendingTranscript {
    item_id: String,
    outcome: TranscriptOutcome,
    audio_ms: u64,
    trigger: Trigger,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trigger {
    At(Instant),
    FirstDelta,
    ResponseDone,
}

impl PendingTranscript {
    pub(crate) fn due(&self) -> Option<Instant> {
        match self.trigger {
            Trigger::At(due) => Some(due),
            Trigger::FirstDelta | Trigger::ResponseDone => None,
        }
    }
}

impl Engine {
    /// Runs appended audio through the detector.
    pub(super) fn listen(&mut self, audio: &[u8]) {
        let mut rest = audio;
        while !rest.is_empty() {
            match self.input.feed(&mut rest) {
                Some(Edge::Started { audio_start_ms }) => self.speech_started(audio_start_ms),
                Some(Edge::Stopped { audio_end_ms }) => self.speech_stopped(audio_end_ms),
                None => {}
            }
        }
    }

    /// `input_audio_buffer.commit`; it never creates a response.
    pub(super) fn commit(&mut self) -> Result<(), WireError> {
        let held = self.input.uncommitted_ms();
        if held < MIN_COMMIT_MS {
            return Err(WireError::new(
                "input_audio_buffer_commit_empty",
                format!(
                    "Error committing input audio buffer: buffer too small. Expected at least 100ms of audio, but buffer only has {held:.2}ms of audio."
                ),
            ));
        }
        let item_id = self
            .speech_item
            .take()
            .unwrap_or_else(|| self.writer.id("item"));
        self.commit_as(item_id);
        Ok(())
    }

    /// `input_audio_buffer.clear`.
    pub(super) fn clear(&mut self) {
        self.input.take();
        self.speech_item = None;
        self.emit("input_audio_buffer.cleared", &json!({}));
    }

    /// Sends transcripts whose time has come.
    pub(super) fn send_due_transcripts(&mut self) {
        let now = self.now;
        self.send_transcripts(|trigger| matches!(trigger, Trigger::At(due) if due <= now));
    }

    /// Sends transcripts that waited for a response to speak.
    pub(super) fn response_spoke(&mut self) {
        self.send_transcripts(|trigger| trigger == Trigger::FirstDelta);
    }

    /// Sends transcripts that waited for a response to end, and those it never spoke for.
    pub(super) fn response_ended(&mut self) {
        self.send_transcripts(|trigger| !matches!(trigger, Trigger::At(_)));
    }

    /// The user said nothing for `idle_timeout_ms`: the server takes the turn by itself.
    pub(super) fn idle_timeout(&mut self) {
        self.idle_due = None;
        let item_id = self.writer.id("item");
        let end = self.input.position_ms();
        let idle = self
            .settings
            .turn_detection()
            .and_then(|detection| detection.idle_timeout_ms)
            .unwrap_or_default();
        self.emit(
            "input_audio_buffer.timeout_triggered",
            &json!({"audio_start_ms": end.saturating_sub(idle), "audio_end_ms": end, "item_id": item_id}),
        );
        self.commit_as(item_id);
        self.respond_to_turn();
    }

    fn speech_started(&mut self, audio_start_ms: u64) {
        self.idle_due = None;
        let item_id = self.writer.id("item");
        self.emit(
            "input_audio_buffer.speech_started",
            &json!({"audio_start_ms": audio_start_ms, "item_id": item_id}),
        );
        self.speech_item = Some(item_id);
        let interrupts = self
            .settings
            .turn_detection()
            .is_some_and(|detection| detection.interrupt_response);
        if interrupts {
            self.cancel_active("turn_detected");
        }
    }

    fn speech_stopped(&mut self, audio_end_ms: u64) {
        let item_id = self
            .speech_item
            .take()
            .unwrap_or_else(|| self.writer.id("item"));
        self.emit(
            "input_audio_buffer.speech_stopped",
            &json!({"audio_end_ms": audio_end_ms, "item_id": item_id}),
        );
        self.commit_as(item_id);
        let responds = self
            .settings
            .turn_detection()
            .is_some_and(|detection| detection.create_response);
        if responds {
            self.respond_to_turn();
        }
    }

    /// With `interrupt_response` off a response may still be running; the vendor's documentation
    /// says that no other is made then.
    fn respond_to_turn(&mut self) {
        if !self.settings.is_transcription() && self.active_response().is_none() {
            self.start_response(ResponseRequest::default());
        }
    }

    fn commit_as(&mut self, item_id: String) {
        let audio = self.input.take();
        let format = self.settings.input_format();
        let audio_ms = format.duration_ms(audio.len());
        let item = json!({
            "id": item_id, "type": "message", "status": "completed", "role": "user",
            "content": [{"type": "input_audio", "transcript": null}],
        });
        let previous = self.conversation.last_id().map(str::to_owned);
        self.emit(
            "input_audio_buffer.committed",
            &json!({"previous_item_id": previous, "item_id": item_id}),
        );
        let mut entry = Item::new(item_id.clone(), item.clone(), format);
        entry.push_audio(&audio, self.hub.options.common.record_audio);
        self.conversation.append(entry);
        let fields = json!({"previous_item_id": previous, "item": item});
        self.emit("conversation.item.added", &fields);
        self.emit("conversation.item.done", &fields);
        self.last_turn = UserTurn {
            audio,
            format: Some(format),
            text: None,
        };
        if self.settings.transcribes_input() {
            let script = self.hub.next_transcript();
            self.schedule_transcript(item_id, script, audio_ms);
        }
    }

    fn schedule_transcript(&mut self, item_id: String, script: UserTranscript, audio_ms: u64) {
        if let TranscriptOutcome::Completed(text) = &script.outcome {
            self.last_turn.text = Some(text.clone());
        }
        let trigger = match script.timing {
            TranscriptTiming::BeforeResponse => Trigger::At(self.now),
            TranscriptTiming::DuringResponse => Trigger::FirstDelta,
            TranscriptTiming::AfterResponse => Trigger::ResponseDone,
            TranscriptTiming::After(delay) => Trigger::At(self.now + delay),
        };
        self.transcripts.push(PendingTranscript {
            item_id,
            outcome: script.outcome,
            audio_ms,
            trigger,
        });
        if script.timing == TranscriptTiming::BeforeResponse {
            self.send_due_transcripts();
        }
    }

    fn send_transcripts(&mut self, due: impl Fn(Trigger) -> bool) {
        let ready: Vec<_> = self
            .transcripts
            .extract_if(.., |pending| due(pending.trigger))
            .collect();
        for pending in ready {
            self.send_transcript(pending);
        }
    }

    fn send_transcript(&mut self, pending: PendingTranscript) {
        let PendingTranscript {
            item_id,
            outcome,
            audio_ms,
            ..
        } = pending;
        match outcome {
            TranscriptOutcome::Never => {}
            TranscriptOutcome::Failed { code } => self.emit(
                "conversation.item.input_audio_transcription.failed",
                &json!({"item_id": item_id, "content_index": 0, "error": {
                    "type": "transcription_error", "code": code,
                    "message": "The audio could not be transcribed.", "param": null,
                }}),
            ),
            TranscriptOutcome::Completed(text) => {
                if self.hub.options.vendor == Vendor::XAi {
                    self.send_growing(&item_id, &text);
                } else {
                    for word in text.split_inclusive(' ') {
                        self.emit_delta(
                            "conversation.item.input_audio_transcription.delta",
                            &json!({"item_id": item_id, "content_index": 0, "delta": word}),
                        );
                    }
                }
                let item = self.conversation.get_mut(&item_id);
                if let Some(transcript) =
                    item.and_then(|item| item.json.pointer_mut("/content/0/transcript"))
                {
                    *transcript = Value::String(text.clone());
                }
                let usage = if self.settings.transcribes_by_tokens() {
                    let (read, written) = (audio_ms / 100, text.chars().count() as u64 / 4);
                    json!({"type": "tokens", "total_tokens": read + written,
                        "input_tokens": read, "output_tokens": written,
                        "input_token_details": {"text_tokens": 0, "audio_tokens": read}})
                } else {
                    json!({"type": "duration", "seconds": audio_ms.div_ceil(1000)})
                };
                self.emit(
                    "conversation.item.input_audio_transcription.completed",
                    &json!({"item_id": item_id, "content_index": 0, "transcript": text,
                        "usage": usage}),
                );
            }
        }
    }

    /// All but the last of the transcripts of one item, each a word longer than the one before,
    /// under both of xAI's names.
    fn send_growing(&mut self, item_id: &str, text: &str) {
        let ends = text.match_indices(' ').map(|(end, _)| end);
        for (index, end) in ends.enumerate() {
            let kind = if index % 2 == 0 {
                "conversation.item.input_audio_transcription.updated"
            } else {
                "conversation.item.input_audio_transcription.completed"
            };
            let part = &text[..end];
            self.emit(
                kind,
                &json!({"item_id": item_id, "content_index": 0, "transcript": part}),
            );
        }
    }
}
