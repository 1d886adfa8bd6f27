//! Server messages to core events.

use std::collections::VecDeque;

use bytes::Bytes;
use roomkit_core::{
    id::CallId,
    provider::{ProviderError, ProviderEvent, ResumeToken, Usage},
};
use roomkit_dial::{Redactor, Text, decode_base64, place_of, text_of};

use super::{
    calls::Calls,
    message::{
        InlineData, ModelTurn, ResumptionUpdate, ServerContent, ServerMessage, ToolCall,
        Transcription, VadSignal, VoiceActivity,
    },
    ours::Ours,
    reason::status,
    turn::Turns,
    usage::Tally,
};
use crate::{
    config::{GeminiSessionConfig, OUTPUT_RATE},
    error,
};

/// Where events are added.
pub(super) type Events = VecDeque<ProviderEvent>;

/// Turns the vendor's server messages into the core's events.
///
/// Several things may stand in one frame; all of them are told, in an order in which nothing
/// overtakes what it depends on. Fields nobody has heard of are counted and passed over.
#[derive(Debug)]
pub struct Decoder {
    turns: Turns,
    tally: Tally,
    calls: Calls,
    /// The model answers with text instead of speech.
    writes_text: bool,
    /// The core was told that the audio is not what it was promised to be.
    told_of_audio: bool,
    redactor: Redactor,
}

/// What a frame says of the setup.
pub(crate) struct Greeting {
    /// The vendor has taken the setup.
    pub(crate) is_complete: bool,
    /// The vendor's name for the session.
    pub(crate) session_id: Option<String>,
    /// The vendor's refusal.
    pub(crate) error: Option<ProviderError>,
}

impl Decoder {
    /// A decoder for a connection with these settings that has no encoder to take notes from, as
    /// in tests; see [`Encoder::decoder`](super::Encoder::decoder).
    pub fn new(session: &GeminiSessionConfig, redactor: Redactor) -> Self {
        Self::beside(Ours::default(), session, session.writes_text(), redactor)
    }

    pub(super) fn beside(
        ours: Ours,
        session: &GeminiSessionConfig,
        writes_text: bool,
        redactor: Redactor,
    ) -> Self {
        let transcribes = session.input_transcription.is_some();
        Self {
            turns: Turns::new(!session.server_vad, transcribes, ours),
            tally: Tally::default(),
            calls: Calls::new(),
            writes_text,
            told_of_audio: false,
            redactor,
        }
    }

    /// Reads one frame, text or binary, and adds what it means to `events`.
    ///
    /// A frame that is no message of this protocol becomes a [`ProviderEvent::Error`] of kind
    /// [`Protocol`](roomkit_core::provider::ProviderErrorKind::Protocol), without its content.
    pub fn decode(&mut self, frame: &[u8], events: &mut VecDeque<ProviderEvent>) {
        self.read(serde_json::from_slice(frame), events);
    }

    fn read(
        &mut self,
        message: serde_json::Result<ServerMessage<'_>>,
        events: &mut VecDeque<ProviderEvent>,
    ) {
        match message {
            Ok(message) => self.dispatch(&message, events),
            Err(error) => events.push_back(malformed("a frame", &place_of(&error))),
        }
    }

    /// No frame comes any more: adds what was held back for the end of the turn, such as words of
    /// the user that came while the model spoke. A sentence that may still go on gets no end.
    pub fn finish(&mut self, events: &mut VecDeque<ProviderEvent>) {
        self.turns.lost(events);
        events.extend(self.tally.take().map(Box::new).map(ProviderEvent::Usage));
    }

    /// Like [`decode`](Self::decode), for the frames before the setup is taken: those may say more
    /// than that.
    pub(crate) fn greet(&mut self, frame: &[u8], events: &mut Events) -> Greeting {
        let nothing = Greeting {
            is_complete: false,
            session_id: None,
            error: None,
        };
        let Ok(message) = serde_json::from_slice::<ServerMessage<'_>>(frame) else {
            self.decode(frame, events);
            return nothing;
        };
        if let Some(error) = &message.error {
            let error = error::reported(error_parts(error), &self.redactor);
            return Greeting {
                error: Some(error),
                ..nothing
            };
        }
        self.dispatch(&message, events);
        let complete = message.setup_complete.as_ref();
        let session_id = complete.map(|complete| text_of(complete.session_id.as_ref()));
        Greeting {
            is_complete: complete.is_some(),
            session_id: session_id.filter(|id| !id.is_empty()).map(str::to_owned),
            error: None,
        }
    }

    fn dispatch(&mut self, message: &ServerMessage<'_>, events: &mut Events) {
        if let Some(update) = &message.resumption {
            self.resumption(update, events);
        }
        self.speech(
            message.voice_activity.as_deref(),
            message.vad_signal.as_deref(),
            events,
        );
        let mut usage = message
            .usage
            .as_ref()
            .and_then(|usage| self.tally.add(usage));
        let content = message.content.as_ref();
        if let Some(content) = content {
            usage = self.content(content, usage, events);
        }
        if let Some(call) = &message.tool_call {
            let ends = content.is_some_and(|content| is_true(content.turn_complete.as_ref()));
            self.tool_calls(call, ends, events);
        }
        if let Some(cancellation) = &message.cancellation {
            let ids = cancellation.ids.as_deref().unwrap_or_default();
            let call_ids: Vec<CallId> = ids.iter().map(|id| CallId::from(id.as_str())).collect();
            if !call_ids.is_empty() {
                events.push_back(ProviderEvent::ToolCallsCancelled { call_ids });
            }
            self.turns.calls_cancelled(events);
        }
        events.extend(usage.map(Box::new).map(ProviderEvent::Usage));
        if !self.turns.is_answering() {
            // No end of a response will take them along.
            events.extend(self.tally.take().map(Box::new).map(ProviderEvent::Usage));
        }
        if let Some(error) = &message.error {
            let error = error::reported(error_parts(error), &self.redactor);
            events.push_back(ProviderEvent::Error(error));
        }
        if let Some(go_away) = &message.go_away {
            let time_left = go_away.time_left.as_ref().and_then(Text::duration);
            events.push_back(ProviderEvent::GoAway { time_left });
        }
        for unknown in message.unknown() {
            metrics::counter!("roomkit_provider_unknown_events_total", "provider" => "gemini")
                .increment(unknown.count);
            let field = &unknown.first;
            tracing::debug!(field, "passed over an unknown field of the vendor's");
        }
    }

    fn resumption(&mut self, update: &ResumptionUpdate<'_>, events: &mut Events) {
        if !is_true(update.resumable.as_ref()) {
            return;
        }
        // A conversation cannot be taken up while the model speaks: whatever it said is over.
        self.turns.forget_interrupted();
        let handle = text_of(update.new_handle.as_ref());
        if !handle.is_empty() {
            events.push_back(ProviderEvent::Resumable(ResumeToken::new(handle)));
        }
    }

    fn speech(
        &mut self,
        activity: Option<&VoiceActivity<'_>>,
        signal: Option<&VadSignal<'_>>,
        events: &mut Events,
    ) {
        let activity = activity.map(|activity| text_of(activity.kind.as_ref()));
        let signal = signal.map(|signal| text_of(signal.kind.as_ref()));
        match activity.or(signal) {
            Some("ACTIVITY_START" | "VAD_SIGNAL_TYPE_SOS") => self.turns.activity_started(events),
            Some("ACTIVITY_END" | "VAD_SIGNAL_TYPE_EOS") => self.turns.activity_ended(events),
            _ => {}
        }
    }

    /// Gives back the usage that no response took.
    fn content(
        &mut self,
        content: &ServerContent<'_>,
        mut usage: Option<Usage>,
        events: &mut Events,
    ) -> Option<Usage> {
        if let Some(guess) = &content.interim_transcription {
            self.turns.guessed(text_of(guess.text.as_ref()), events);
        }
        if let Some(piece) = &content.input_transcription {
            self.turns.heard(text_of(piece.text.as_ref()), events);
            if is_true(piece.finished.as_ref()) {
                self.turns.heard_all(events);
            }
        }
        if is_true(content.interrupted.as_ref()) {
            usage = usage.or_else(|| self.tally.take());
            usage = self.turns.interrupted(usage, events);
        }
        if !self.turns.is_stale() {
            self.answer(
                content.output_transcription.as_deref(),
                content.model_turn.as_ref(),
                events,
            );
        }
        let ends = is_true(content.turn_complete.as_ref());
        if ends {
            let reason = text_of(content.reason.as_ref());
            let status = status(reason, |reason| self.redactor.redact(reason));
            usage = usage.or_else(|| self.tally.take());
            let goes_on = text_of(content.status.as_ref()) == "IN_PROGRESS";
            usage = self.turns.completed(status, usage, goes_on, events);
        } else if text_of(content.status.as_ref()) == "IDLE" {
            self.turns.is_idle(events);
        }
        // Beside the end of a turn it means that end: a second one would be taken for the answer to what
        // the core has given since the first.
        if is_true(content.waiting_for_input.as_ref()) && !ends {
            self.turns.pass(events);
        }
        usage
    }

    fn answer(
        &mut self,
        words: Option<&Transcription<'_>>,
        turn: Option<&ModelTurn<'_>>,
        events: &mut Events,
    ) {
        let parts = turn
            .and_then(|turn| turn.parts.as_deref())
            .unwrap_or_default();
        let words = words
            .map(|words| text_of(words.text.as_ref()))
            .unwrap_or_default();
        if !parts.is_empty() {
            self.turns.answers(events);
        }
        self.turns.says(words, events);
        if self.turns.take_began() {
            self.tally.new_turn();
        }
        for part in parts {
            // Thoughts are nobody's to hear or to read.
            if is_true(part.thought.as_ref()) {
                continue;
            }
            if let Some(data) = &part.data {
                self.audio(data, events);
            }
            if self.writes_text {
                self.turns.says(text_of(part.text.as_ref()), events);
            }
        }
    }

    fn audio(&mut self, data: &InlineData<'_>, events: &mut Events) {
        let mime_type = text_of(data.mime_type.as_ref());
        if !is_ours(mime_type) {
            self.unfit_audio(mime_type, events);
            return;
        }
        let mut pcm = match decode_base64(text_of(data.data.as_ref())) {
            Ok(pcm) => pcm,
            Err(error) => return events.push_back(malformed("audio", &error)),
        };
        pcm.truncate(pcm.len() & !1);
        if !pcm.is_empty() {
            events.push_back(ProviderEvent::Audio {
                response_id: None,
                item_id: None,
                content_index: 0,
                pcm: Bytes::from(pcm),
            });
        }
    }

    /// Audio that would be played wrongly is not played; the core is told once.
    fn unfit_audio(&mut self, mime_type: &str, events: &mut Events) {
        let mime_type = self.redactor.redact(mime_type);
        let what = format!("`{mime_type}` instead of PCM at {OUTPUT_RATE} Hz; it is dropped");
        let event = roomkit_dial::malformed("gemini", &what);
        if !std::mem::replace(&mut self.told_of_audio, true) {
            events.push_back(event);
        }
    }

    fn tool_calls(&mut self, call: &ToolCall<'_>, ends: bool, events: &mut Events) {
        let calls = call.calls.as_deref().unwrap_or_default();
        if calls.is_empty() {
            return;
        }
        self.turns.calls(ends, events);
        if self.turns.take_began() {
            self.tally.new_turn();
        }
        events.extend(calls.iter().map(|call| self.calls.event(call)));
    }
}

impl roomkit_dial::Decode for Decoder {
    fn decode(&mut self, frame: &str, events: &mut VecDeque<ProviderEvent>) {
        // Whether it is UTF-8 has been looked at.
        self.read(serde_json::from_str(frame), events);
    }

    fn finish(&mut self, events: &mut VecDeque<ProviderEvent>) {
        Self::finish(self, events);
    }
}

/// Whether the audio is PCM at the one rate there is; where no rate is named, it is.
fn is_ours(mime_type: &str) -> bool {
    let mut parts = mime_type.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let rate = parts.find_map(|part| part.strip_prefix("rate="));
    ["", "audio/pcm", "audio/l16"]
        .iter()
        .any(|ours| kind.eq_ignore_ascii_case(ours))
        && rate.is_none_or(|rate| rate.parse() == Ok(OUTPUT_RATE))
}

fn is_true(text: Option<&Text<'_>>) -> bool {
    text.is_some_and(Text::is_true)
}

fn error_parts<'a>(error: &'a super::message::VendorError<'_>) -> error::Reported<'a> {
    error::Reported {
        code: text_of(error.code.as_ref()),
        status: text_of(error.status.as_ref()),
        message: text_of(error.message.as_ref()),
    }
}

fn malformed(what: &str, problem: &dyn std::fmt::Display) -> ProviderEvent {
    roomkit_dial::malformed("gemini", &format!("{what} that cannot be read: {problem}"))
}
