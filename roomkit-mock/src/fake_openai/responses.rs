//! Asking for a response, cancelling it, and choosing what it says.

use std::collections::VecDeque;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::engine::{Engine, event_fields};
use super::fields::Fields;
use super::items::read_item;
use super::plan::{Delivery, Step, plan};
use super::schema;
use super::script::{Ending, Reply};
use super::session::audio_format;
use super::stream::OpenItem;
use super::vendor::Vendor;
use super::wire::WireError;
use crate::fake::audio::AudioFormat;
use crate::fake::speech::{Pace, spoken_ms};

/// A response that is being sent.
#[derive(Debug)]
pub(crate) struct Response {
    pub(super) id: String,
    pub(super) vendor: Vendor,
    /// `conversation: "none"` responses leave the conversation alone and may run in parallel.
    pub(super) in_conversation: bool,
    pub(super) text_only: bool,
    pub(super) settings: Value,
    pub(super) steps: VecDeque<Step>,
    pub(super) due: Instant,
    pub(super) stalled: bool,
    pub(super) output: Vec<Value>,
    pub(super) open: Option<OpenItem>,
    pub(super) format: AudioFormat,
    pub(super) audio_bytes: usize,
    pub(super) text_chars: usize,
    pub(super) started: Instant,
}

impl Response {
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.stalled).then_some(self.due)
    }

    /// The `response` object; what does not change over its life is in `settings`.
    pub(super) fn json(&self, status: &str, details: &Value, usage: &Value) -> Value {
        let mut json = self.settings.clone();
        json["status"] = Value::from(status);
        json["status_details"] = self.vendor.status_details(details.clone());
        json["output"] = Value::from(self.output.clone());
        json["usage"] = usage.clone();
        json
    }
}

/// What `response.create` asked for; the default is what voice activity asks for.
#[derive(Debug, Default)]
pub(crate) struct ResponseRequest {
    out_of_band: bool,
    output_modalities: Option<Value>,
    max_output_tokens: Option<Value>,
    output: Value,
    metadata: Value,
    /// The last item of an `input` of its own.
    last_input: Option<Value>,
}

const RESPONSE_KEYS: &[&str] = &[
    "conversation",
    "input",
    "instructions",
    "max_output_tokens",
    "metadata",
    "output_modalities",
    "audio",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "prompt",
];

impl Engine {
    pub(super) fn response_create(&mut self, event: &Value) -> Result<(), WireError> {
        let fields = event_fields(event, &["response"])?;
        if self.settings.is_transcription() {
            return Err(WireError::invalid_value(
                "type",
                "'response.create' is not supported in transcription sessions.",
            ));
        }
        let request = match fields.nullable("response") {
            None => ResponseRequest::default(),
            Some(response) => self.read_request(response)?,
        };
        if !request.out_of_band
            && let Some(active) = self.active_response()
        {
            return Err(WireError::new(
                "conversation_already_has_active_response",
                format!(
                    "Conversation already has an active response in progress: {}. Wait until the response is finished before creating a new one.",
                    active.id
                ),
            ));
        }
        self.start_response(request);
        Ok(())
    }

    pub(super) fn response_cancel(&mut self, event: &Value) -> Result<(), WireError> {
        let fields = event_fields(event, &["response_id"])?;
        let found = match fields.string("response_id")? {
            None => self.responses.iter().position(|one| one.in_conversation),
            Some(id) => self.responses.iter().position(|one| one.id == id),
        };
        let Some(index) = found else {
            return Err(WireError::new(
                "response_cancel_not_active",
                "Cancellation failed: no active response found",
            ));
        };
        let response = self.responses.remove(index);
        self.finish_cancelled(response, "client_cancelled");
        Ok(())
    }

    /// The response that writes to the conversation.
    pub(super) fn active_response(&self) -> Option<&Response> {
        self.responses.iter().find(|one| one.in_conversation)
    }

    /// Cancels the response that writes to the conversation, if there is one.
    pub(super) fn cancel_active(&mut self, reason: &str) {
        let active = self.responses.iter().position(|one| one.in_conversation);
        if let Some(index) = active {
            let response = self.responses.remove(index);
            self.finish_cancelled(response, reason);
        }
    }

    /// Starts the next scripted reply, or the default one.
    pub(super) fn start_response(&mut self, request: ResponseRequest) {
        let reply = self
            .hub
            .next_reply()
            .unwrap_or_else(|| self.default_reply(&request));
        if reply.ending == Ending::Unanswered {
            return;
        }
        self.idle_due = None;
        let session = self.settings.json();
        let modalities = request
            .output_modalities
            .unwrap_or_else(|| session["output_modalities"].clone());
        let output_format = match &request.output["format"] {
            Value::Null => self.settings.output_format().clone(),
            format => format.clone(),
        };
        let voice = match &request.output["voice"] {
            Value::Null => self.settings.voice().clone(),
            voice => voice.clone(),
        };
        let max_output_tokens = request
            .max_output_tokens
            .unwrap_or_else(|| session["max_output_tokens"].clone());
        let conversation_id = (!request.out_of_band).then(|| self.conversation.id().to_owned());
        let delivery = Delivery {
            text_only: modalities[0] == "text",
            pace: Pace {
                format: audio_format(&output_format),
                speed: self.hub.options.common.speed,
            },
            user: &self.last_turn,
        };
        let (text_only, format) = (delivery.text_only, delivery.pace.format);
        let steps = plan(reply, &delivery, self.writer.random());
        let id = self.writer.id("resp");
        let response = Response {
            settings: json!({
                "object": "realtime.response", "id": id, "conversation_id": conversation_id,
                "output_modalities": modalities, "max_output_tokens": max_output_tokens,
                "audio": {"output": {"format": output_format, "voice": voice}},
                "metadata": request.metadata,
            }),
            id,
            vendor: self.hub.options.vendor,
            in_conversation: !request.out_of_band,
            text_only,
            steps,
            due: self.now,
            stalled: false,
            output: Vec::new(),
            open: None,
            format,
            audio_bytes: 0,
            text_chars: 0,
            started: self.now,
        };
        let created = response.json("in_progress", &Value::Null, &Value::Null);
        self.emit("response.created", &json!({"response": created}));
        self.responses.push(response);
    }

    fn read_request(&self, response: &Value) -> Result<ResponseRequest, WireError> {
        let fields = Fields::read(response, "response", RESPONSE_KEYS)?;
        let out_of_band = match fields.choice("conversation", &["auto", "none"])? {
            Some(choice) => choice == "none",
            None => false,
        };
        fields.string("instructions")?;
        schema::check_modalities(&fields)?;
        schema::check_tools(&fields)?;
        schema::check_tool_choice(&fields)?;
        schema::check_max_output_tokens(&fields)?;
        if let Some(audio) = fields.value("audio") {
            let audio = Fields::read(audio, "response.audio", &["output"])?;
            if let Some(output) = audio.value("output") {
                schema::check_audio_output(output, "response.audio.output", &["format", "voice"])?;
                if let Some(voice) = output.get("voice") {
                    let locked = !out_of_band && self.conversation.has_assistant_audio();
                    self.settings.check_voice(voice, locked)?;
                }
            }
        }
        check_metadata(&fields)?;
        for (index, item) in fields.array("input")?.into_iter().flatten().enumerate() {
            self.check_input_item(item, &format!("response.input[{index}]"))?;
        }
        Ok(ResponseRequest {
            out_of_band,
            output_modalities: response.get("output_modalities").cloned(),
            max_output_tokens: response.get("max_output_tokens").cloned(),
            output: response["audio"]["output"].clone(),
            metadata: response["metadata"].clone(),
            last_input: response["input"]
                .as_array()
                .and_then(|list| list.last())
                .cloned(),
        })
    }

    fn check_input_item(&self, item: &Value, path: &str) -> Result<(), WireError> {
        if item["type"] != "item_reference" {
            return read_item(item, path, &self.conversation).map(|_| ());
        }
        let reference = Fields::read(item, path, &["type", "id"])?;
        let id = reference.required_string("id")?;
        if self.conversation.get(id).is_some() {
            return Ok(());
        }
        Err(WireError::invalid_value(
            &reference.path_of("id"),
            format!("Item with id '{id}' not found in conversation."),
        ))
    }

    /// The user's audio back, or a tone that stands for an answer to text and tool results.
    fn default_reply(&self, request: &ResponseRequest) -> Reply {
        let last = request
            .last_input
            .as_ref()
            .or_else(|| self.conversation.last().map(|item| &item.json));
        let Some(item) = last else {
            return spoken("Hello.");
        };
        let part = &item["content"][0];
        if let Some(output) = item["output"].as_str() {
            spoken(&format!("The tool said: {output}"))
        } else if item["role"] == "user" && part["type"] == "input_audio" {
            match &self.last_turn.text {
                Some(text) => Reply::echo(format!("You said: {text}")),
                None => Reply::echo("You said this."),
            }
        } else if let Some(text) = part["text"].as_str() {
            spoken(&format!("You wrote: {text}"))
        } else {
            spoken("Hello.")
        }
    }
}

fn spoken(text: &str) -> Reply {
    Reply::speech(text, spoken_ms(text))
}

/// At most 16 pairs, keys of 64 characters, values of 512.
fn check_metadata(fields: &Fields<'_>) -> Result<(), WireError> {
    let Some(metadata) = fields.nullable("metadata") else {
        return Ok(());
    };
    let path = fields.path_of("metadata");
    let map = metadata
        .as_object()
        .ok_or_else(|| WireError::invalid_type(&path, "an object", metadata))?;
    if map.len() > 16 {
        let message = format!("Invalid '{path}': at most 16 pairs are allowed.");
        return Err(WireError::new("object_above_max_properties", message).param(path));
    }
    for (key, value) in map {
        let path = format!("{path}.{key}");
        let text = value
            .as_str()
            .ok_or_else(|| WireError::invalid_type(&path, "a string", value))?;
        if key.chars().count() > 64 || text.chars().count() > 512 {
            let message = format!("Invalid '{path}': keys hold 64 characters at most, values 512.");
            return Err(WireError::new("string_above_max_length", message).param(path));
        }
    }
    Ok(())
}
