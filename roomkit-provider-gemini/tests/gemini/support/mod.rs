//! Scripts of frames and what they mean.

pub(crate) mod server;

use std::collections::VecDeque;

use roomkit_core::provider::{ProviderEvent, ResponseStatus, Role, SessionSetup};
use roomkit_provider_gemini::{
    GeminiConfig, GeminiLiveProvider, GeminiSessionConfig, Redactor, Target,
    protocol::{Decoder, Encoder},
};
use serde_json::{Map, Value, json};

pub(crate) const NATIVE_25: &str = "gemini-2.5-flash-native-audio-preview-12-2025";
pub(crate) const LIVE_31: &str = "gemini-3.1-flash-live-preview";
pub(crate) const LIVE_38: &str = "gemini-3.8-live";
pub(crate) const TRANSLATE: &str = "gemini-3.5-live-translate-preview";
pub(crate) const TRANSCRIBE: &str = "gemini-3.5-transcribe-live";

pub(crate) fn map(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

pub(crate) fn build(config: Value) -> Result<GeminiLiveProvider, String> {
    let config: GeminiConfig = serde_json::from_value(config).map_err(|error| error.to_string())?;
    GeminiLiveProvider::new(config).map_err(|error| error.to_string())
}

pub(crate) fn setup(config: Value) -> SessionSetup {
    let mut setup = SessionSetup::new("session".into());
    setup.provider_config = serde_json::from_value(config).unwrap();
    setup
}

pub(crate) fn encoder(model: &str, config: Value) -> Encoder {
    let defaults = GeminiSessionConfig::default();
    Encoder::new(&Target::gemini_api(model), &defaults, &setup(config)).unwrap()
}

pub(crate) fn decoder(session: Value) -> Decoder {
    let overrides = serde_json::from_value(session).unwrap();
    let session = GeminiSessionConfig::default()
        .with_overrides(&overrides)
        .unwrap();
    Decoder::new(&session, Redactor::default())
}

pub(crate) fn decode(decoder: &mut Decoder, frame: &Value) -> Vec<ProviderEvent> {
    let mut events = VecDeque::new();
    decoder.decode(frame.to_string().as_bytes(), &mut events);
    events.into()
}

/// What all the frames mean, one word or two for each event.
pub(crate) fn play(decoder: &mut Decoder, frames: &[Value]) -> Vec<String> {
    let events = frames.iter().flat_map(|frame| decode(decoder, frame));
    events.map(|event| told(&event)).collect()
}

pub(crate) fn told(event: &ProviderEvent) -> String {
    match event {
        ProviderEvent::SpeechStarted { .. } => "speech".into(),
        ProviderEvent::SpeechStopped { .. } => "silence".into(),
        ProviderEvent::ResponseStarted { .. } => "response".into(),
        ProviderEvent::Audio { pcm, .. } => format!("audio {}", pcm.len()),
        ProviderEvent::Transcript {
            role,
            text,
            is_final,
            ..
        } => {
            let who = if *role == Role::User { "user" } else { "model" };
            let how = if *is_final { "said" } else { "says" };
            format!("{who} {how} {text:?}")
        }
        ProviderEvent::TranscriptFailed { .. } => "wordless".into(),
        ProviderEvent::ToolCall { name, .. } => format!("call {name}"),
        ProviderEvent::ToolCallsCancelled { call_ids } => format!("cancelled {}", call_ids.len()),
        ProviderEvent::ResponseEnded { status, usage, .. } => {
            let status = match status {
                ResponseStatus::Completed => "completed".to_owned(),
                ResponseStatus::Cancelled => "cancelled".to_owned(),
                ResponseStatus::Incomplete(reason) => format!("incomplete {reason}"),
                ResponseStatus::Failed(error) => format!("failed {}", error.code()),
                other => format!("{other:?}"),
            };
            let usage = usage
                .as_ref()
                .map(|usage| format!(" for {}+{}", usage.input_tokens, usage.output_tokens));
            format!("{status}{}", usage.unwrap_or_default())
        }
        ProviderEvent::TurnPassed => "passed".into(),
        ProviderEvent::MoreToCome => "more".into(),
        ProviderEvent::Usage(usage) => {
            format!("usage {}+{}", usage.input_tokens, usage.output_tokens)
        }
        ProviderEvent::GoAway { time_left } => format!("go away {time_left:?}"),
        ProviderEvent::Resumable(token) => format!("resumable {}", token.expose()),
        ProviderEvent::Error(error) => format!("error {}", error.code()),
        other => format!("{other:?}"),
    }
}

pub(crate) fn hears(text: &str) -> Value {
    json!({ "serverContent": { "inputTranscription": { "text": text } } })
}

pub(crate) fn hears_all() -> Value {
    json!({ "serverContent": { "inputTranscription": { "text": "", "finished": true } } })
}

pub(crate) fn says(text: &str) -> Value {
    json!({ "serverContent": { "outputTranscription": { "text": text } } })
}

/// Four samples.
pub(crate) fn audio() -> Value {
    audio_as("audio/pcm;rate=24000", "AAABAAIAAwA=")
}

pub(crate) fn audio_as(mime_type: &str, data: &str) -> Value {
    let data = json!({ "inlineData": { "mimeType": mime_type, "data": data } });
    json!({ "serverContent": { "modelTurn": { "parts": [data] } } })
}

pub(crate) fn interrupted() -> Value {
    json!({ "serverContent": { "interrupted": true } })
}

pub(crate) fn complete() -> Value {
    json!({ "serverContent": { "turnComplete": true } })
}

pub(crate) fn calls(name: &str) -> Value {
    json!({ "toolCall": { "functionCalls": [{ "id": format!("id-{name}"), "name": name }] } })
}

pub(crate) fn activity(starts: bool) -> Value {
    let kind = if starts {
        "ACTIVITY_START"
    } else {
        "ACTIVITY_END"
    };
    json!({ "voiceActivity": { "voiceActivityType": kind } })
}

pub(crate) fn usage(read: u64, written: u64) -> Value {
    json!({ "usageMetadata": { "promptTokenCount": read, "responseTokenCount": written } })
}

/// One frame out of several.
pub(crate) fn together(frames: &[Value]) -> Value {
    let mut whole = json!({});
    for frame in frames {
        merge(&mut whole, frame);
    }
    whole
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
