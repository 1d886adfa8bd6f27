//! One connection's server: client events in, frames out. It owns no socket; [`super::connection`]
//! feeds it, asks when it wants to be woken, and sends what lies in its outbox.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Hub;
use super::conversation::Conversation;
use super::fields::{Fields, unsupported_value};
use super::input::{PendingTranscript, UserTurn};
use super::responses::Response;
use super::session::{SessionKind, Settings};
use super::vendor::Vendor;
use super::wire::{DeltaTarget, EventWriter, WireError};
use crate::fake::audio::AudioFormat;
use crate::fake::record::{Record, Violation};
use crate::fake::serve::Frame;
use crate::fake::vad::InputBuffer;

/// What the live service lists when it refuses an unknown `type`.
const CLIENT_EVENTS: &[&str] = &[
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.retrieve",
    "conversation.item.truncate",
    "conversation.item.delete",
    "response.create",
    "response.cancel",
];

/// 15 MiB of audio in one append, the documented limit.
const MAX_APPEND_BYTES: usize = 15 * 1024 * 1024;

/// The one event that comes fifty times a second, read without building a JSON tree. Anything
/// that does not fit exactly goes the slow way, which finds out what is wrong with it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Append<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    audio: Cow<'a, str>,
    #[serde(default, borrow)]
    event_id: Option<Cow<'a, str>>,
}

#[derive(Debug)]
pub(crate) struct Engine {
    pub(super) hub: Arc<Hub>,
    pub(super) writer: EventWriter,
    pub(super) settings: Settings,
    pub(super) input: InputBuffer,
    pub(super) conversation: Conversation,
    pub(super) responses: Vec<Response>,
    pub(super) transcripts: Vec<PendingTranscript>,
    pub(super) last_turn: UserTurn,
    /// The id announced by `speech_started` for the item the turn will become.
    pub(super) speech_item: Option<String>,
    pub(super) idle_due: Option<Instant>,
    pub(super) now: Instant,
    record: Arc<Record>,
    outbox: Vec<Frame>,
    decoded: Vec<u8>,
    relay: Option<(String, String)>,
    ignore_session_updates: bool,
}

impl Engine {
    pub(crate) fn new(
        hub: Arc<Hub>,
        record: Arc<Record>,
        connection: usize,
        kind: SessionKind,
    ) -> Self {
        let options = &hub.options;
        let mut writer = EventWriter::new(connection, options.common.noise);
        let id = writer.id("sess");
        let settings = Settings::new(&id, kind, options.vendor, options.announced_lifetime);
        let input = InputBuffer::new(
            settings.input_format(),
            settings.detection(),
            options.common.speech_level,
        );
        let conversation = Conversation::new(writer.id("conv"), options.common.record_audio);
        Self {
            writer,
            settings,
            input,
            conversation,
            responses: Vec::new(),
            transcripts: Vec::new(),
            last_turn: UserTurn::default(),
            speech_item: None,
            idle_due: None,
            now: Instant::now(),
            record,
            outbox: Vec::new(),
            decoded: Vec::new(),
            relay: None,
            ignore_session_updates: false,
            hub,
        }
    }

    /// Sends `session.created`.
    pub(crate) fn open(&mut self) {
        if self.hub.options.vendor == Vendor::XAi {
            let id = self.conversation.id().to_owned();
            self.emit("conversation.created", &json!({"conversation": {"id": id}}));
        }
        self.emit_session("session.created");
    }

    /// Frames to be sent, in order.
    pub(crate) fn take_outbox(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.outbox)
    }

    /// Audio appended so far, in milliseconds.
    pub(crate) fn audio_ms(&self) -> u64 {
        self.input.position_ms()
    }

    /// From here on `session.update` is taken in and not answered.
    pub(crate) fn ignore_session_updates(&mut self) {
        self.ignore_session_updates = true;
    }

    /// Takes one text frame of the client.
    pub(crate) fn handle_text(&mut self, text: &str, now: Instant) {
        self.now = now;
        match serde_json::from_str::<Append<'_>>(text) {
            Ok(append) if append.kind == "input_audio_buffer.append" => {
                let event_id = append.event_id.as_deref();
                if let Err(error) = self.append(&append.audio) {
                    self.refuse(&error, event_id);
                }
            }
            _ => self.handle_other(text),
        }
        self.advance(now);
    }

    /// Takes one binary frame, which the API does not have.
    pub(crate) fn handle_binary(&mut self) {
        let message =
            "Expected a text WebSocket message; binary frames are not supported.".to_owned();
        self.refuse(&WireError::new("invalid_event", message), None);
    }

    /// When [`Self::advance`] has something to do.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let responses = self.responses.iter().filter_map(Response::due);
        let transcripts = self.transcripts.iter().filter_map(PendingTranscript::due);
        responses.chain(transcripts).chain(self.idle_due).min()
    }

    /// Does everything that is due.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.now = now;
        self.send_due_transcripts();
        self.run_responses();
        if self.idle_due.is_some_and(|due| due <= now) {
            self.idle_timeout();
            self.run_responses();
        }
    }

    /// Ends the session the way the vendor does after 60 minutes; the close comes from outside.
    pub(crate) fn announce_expiry(&mut self, message: &str) {
        let error = WireError::new("session_expired", message);
        self.emit("error", &json!({"error": error.to_json(None)}));
    }

    pub(super) fn emit(&mut self, kind: &'static str, fields: &Value) {
        let frame = self.writer.event(kind, fields);
        self.outbox.push(frame);
    }

    pub(super) fn emit_delta(&mut self, kind: &'static str, fields: &Value) {
        let frame = self.writer.delta(kind, fields);
        self.outbox.push(frame);
    }

    pub(super) fn emit_audio(&mut self, target: &DeltaTarget<'_>, audio: &[u8]) {
        let frame = self.writer.audio_delta(target, audio);
        self.outbox.push(frame);
    }

    fn emit_session(&mut self, kind: &'static str) {
        let session = self.settings.json().clone();
        self.emit(kind, &json!({"session": session}));
        self.record.change(|state| state.session = session);
    }

    fn refuse(&mut self, error: &WireError, client_event_id: Option<&str>) {
        let client_event_id = client_event_id.filter(|_| !self.hub.options.anonymous_errors);
        self.emit("error", &json!({"error": error.to_json(client_event_id)}));
        self.record
            .change(|state| state.violations.push(violation(error, client_event_id)));
    }

    fn handle_other(&mut self, text: &str) {
        let event: Value = match serde_json::from_str(text) {
            Ok(event) => event,
            Err(error) => {
                let message = format!("Could not parse your message as JSON: {error}.");
                self.refuse(&WireError::new("invalid_json", message), None);
                return;
            }
        };
        let event_id = event["event_id"].as_str().map(str::to_owned);
        let outcome = self.dispatch(&event);
        if self.hub.options.common.record_events {
            let kind = event["type"].as_str().unwrap_or_default().to_owned();
            self.record.change(|state| state.event(kind, event));
        }
        if let Err(error) = outcome {
            self.refuse(&error, event_id.as_deref());
        }
    }

    fn dispatch(&mut self, event: &Value) -> Result<(), WireError> {
        let Some(map) = event.as_object() else {
            return Err(WireError::invalid_type("event", "an object", event));
        };
        let kind = match map.get("type") {
            None => return Err(WireError::missing("type")),
            Some(Value::String(kind)) => kind.as_str(),
            Some(other) => return Err(WireError::invalid_type("type", "a string", other)),
        };
        match kind {
            "session.update" => self.session_update(event),
            "input_audio_buffer.append" => {
                let fields = event_fields(event, &["audio"])?;
                let audio = fields.required_string("audio")?;
                self.append(audio)
            }
            "input_audio_buffer.commit" => {
                event_fields(event, &[])?;
                self.commit()
            }
            "input_audio_buffer.clear" => {
                event_fields(event, &[])?;
                self.clear();
                Ok(())
            }
            "conversation.item.create" => self.item_create(event),
            "conversation.item.retrieve" => self.item_retrieve(event),
            "conversation.item.truncate" => self.item_truncate(event),
            "conversation.item.delete" => self.item_delete(event),
            "response.create" => self.response_create(event),
            "response.cancel" => self.response_cancel(event),
            unknown => Err(unsupported_value("type", unknown, CLIENT_EVENTS)),
        }
    }

    fn session_update(&mut self, event: &Value) -> Result<(), WireError> {
        let session = event_fields(event, &["session"])?.required("session")?;
        if self.ignore_session_updates {
            return Ok(());
        }
        self.check_transcription_model(session)?;
        self.check_speed(session)?;
        let locked = self.conversation.has_assistant_audio();
        self.settings.update(session, locked)?;
        self.input
            .configure(self.settings.input_format(), self.settings.detection());
        if self.settings.turn_detection().is_none() {
            self.idle_due = None;
        }
        self.emit_session("session.updated");
        if self.writer.noise() {
            self.emit("session.novelty.noticed", &json!({"novelty": 1}));
        }
        Ok(())
    }

    /// On Azure it is a deployment of the customer's, as the model itself is.
    fn check_transcription_model(&self, session: &Value) -> Result<(), WireError> {
        let options = &self.hub.options;
        let model = session["audio"]["input"]["transcription"]["model"].as_str();
        match model {
            Some(model) if options.vendor == Vendor::Azure && !options.knows(model) => {
                Err(WireError::invalid_value(
                    "session.audio.input.transcription.model",
                    format!("The deployment '{model}' does not exist."),
                ))
            }
            _ => Ok(()),
        }
    }

    /// "This value can only be changed in between model turns, not while a response is in progress", says
    /// the vendor's documentation, and not how it is refused.
    fn check_speed(&self, session: &Value) -> Result<(), WireError> {
        let speed = &session["audio"]["output"]["speed"];
        let now = &self.settings.json()["audio"]["output"]["speed"];
        if speed.is_null() || speed.as_f64() == now.as_f64() || self.active_response().is_none() {
            return Ok(());
        }
        Err(WireError::invalid_value(
            "session.audio.output.speed",
            "Cannot update the speed while a response is in progress.",
        ))
    }

    fn append(&mut self, audio: &str) -> Result<(), WireError> {
        if self.hub.options.common.relay {
            self.relay(audio);
            return Ok(());
        }
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        let outcome = STANDARD
            .decode_vec(audio, &mut decoded)
            .map_err(|error| {
                WireError::invalid_value(
                    "audio",
                    format!("Invalid 'audio'. Expected base64-encoded audio bytes: {error}."),
                )
            })
            .and_then(|()| {
                if decoded.len() <= MAX_APPEND_BYTES {
                    return Ok(());
                }
                Err(WireError::new(
                    "string_above_max_length",
                    "Invalid 'audio': at most 15 MiB of audio can be appended at once.",
                )
                .param("audio"))
            });
        if outcome.is_ok() {
            let rate = match self.settings.input_format() {
                AudioFormat::Pcm(rate) => rate,
                AudioFormat::Mulaw | AudioFormat::Alaw => 8_000,
            };
            let keep = self.hub.options.common.record_audio;
            self.record
                .change(|state| state.heard(&decoded, rate, keep));
            self.listen(&decoded);
        }
        self.decoded = decoded;
        outcome
    }

    /// Sends the payload straight back: the shortest way through a Realtime server, for measuring
    /// the rest of a round trip.
    fn relay(&mut self, audio: &str) {
        let (response_id, item_id) = self.relay.take().unwrap_or_else(|| self.open_relay());
        let target = DeltaTarget {
            response_id: &response_id,
            item_id: &item_id,
            output_index: 0,
            content_index: 0,
        };
        let frame = self.writer.audio_delta_encoded(&target, audio);
        self.outbox.push(frame);
        self.relay = Some((response_id, item_id));
        self.record.change(|state| {
            state.appends += 1;
            state.audio_bytes += (audio.len() / 4 * 3) as u64;
        });
    }

    fn open_relay(&mut self) -> (String, String) {
        let (response_id, item_id) = (self.writer.id("resp"), self.writer.id("item"));
        self.emit(
            "response.created",
            &json!({"response": {
                "object": "realtime.response", "id": response_id, "status": "in_progress",
                "status_details": null, "output": [], "conversation_id": self.conversation.id(),
                "output_modalities": ["audio"], "usage": null, "metadata": null,
            }}),
        );
        self.emit(
            "response.output_item.added",
            &json!({"response_id": response_id, "output_index": 0, "item": {
                "id": item_id, "type": "message", "status": "in_progress",
                "role": "assistant", "content": [],
            }}),
        );
        (response_id, item_id)
    }
}

/// The top level of a client event: `type`, `event_id` and the keys of its own.
pub(super) fn event_fields<'v>(event: &'v Value, own: &[&str]) -> Result<Fields<'v>, WireError> {
    let allowed: Vec<&str> = ["type", "event_id"].iter().chain(own).copied().collect();
    let fields = Fields::read(event, "", &allowed)?;
    if let Some(id) = fields.string("event_id")?
        && id.chars().count() > 512
    {
        return Err(WireError::new(
            "string_above_max_length",
            "Invalid 'event_id': string too long. Expected a string with maximum length 512.",
        )
        .param("event_id"));
    }
    Ok(fields)
}

/// An error as the record keeps it.
pub(crate) fn violation(error: &WireError, client_event_id: Option<&str>) -> Violation {
    Violation {
        code: error.code.as_deref().map(str::to_owned),
        message: error.message.clone(),
        param: error.param.clone(),
        event_id: client_event_id.map(str::to_owned),
    }
}
