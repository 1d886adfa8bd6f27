//! The `session` object of `session.update`.

use roomkit_core::tool::ToolDefinition;
use serde_json::{Map, Value, json};

use crate::config::OpenAISessionConfig;

/// Where each of our settings has its place in the vendor's session.
const PLACES: [(&str, &[&str]); 16] = [
    ("voice", &["audio", "output", "voice"]),
    ("speed", &["audio", "output", "speed"]),
    ("turn_detection", &["audio", "input", "turn_detection"]),
    ("transcription", &["audio", "input", "transcription"]),
    ("noise_reduction", &["audio", "input", "noise_reduction"]),
    ("tool_choice", &["tool_choice"]),
    ("parallel_tool_calls", &["parallel_tool_calls"]),
    ("max_output_tokens", &["max_output_tokens"]),
    ("truncation", &["truncation"]),
    ("prompt", &["prompt"]),
    ("tracing", &["tracing"]),
    ("reasoning_effort", &["reasoning"]),
    ("output_modalities", &["output_modalities"]),
    ("input_codec", &["audio", "input", "format"]),
    ("output_codec", &["audio", "output", "format"]),
    ("include", &["include"]),
];

/// Settings whose absence must be said: left out, the vendor's own default is on.
const EXPLICIT: [&str; 3] = ["turn_detection", "transcription", "noise_reduction"];

/// The parts of a session that the core names itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Common<'a> {
    pub(super) model: Option<&'a str>,
    pub(super) instructions: Option<&'a str>,
    pub(super) tools: Option<&'a [ToolDefinition]>,
}

/// The session in full. What is not set stays out, so that the vendor's default holds.
pub(super) fn full(config: &OpenAISessionConfig, common: Common<'_>) -> Value {
    build(config, common, |name, value| {
        !value.is_null() || EXPLICIT.contains(&name)
    })
}

/// Only the settings named, the rest stays as it is. A setting that was taken back is sent as null.
pub(super) fn partial(config: &OpenAISessionConfig, names: &[String], common: Common<'_>) -> Value {
    build(config, common, |name, _| {
        names.iter().any(|named| named == name)
    })
}

fn build(
    config: &OpenAISessionConfig,
    common: Common<'_>,
    is_sent: impl Fn(&str, &Value) -> bool,
) -> Value {
    // The type is required in every update, however small.
    let mut session = Map::from_iter([("type".to_owned(), "realtime".into())]);
    if let Some(model) = common.model {
        session.insert("model".into(), model.into());
    }
    if let Some(instructions) = common.instructions {
        session.insert("instructions".into(), instructions.into());
    }
    if let Some(tools) = common.tools {
        session.insert("tools".into(), tools.iter().map(function).collect());
    }
    let mut settings = config.to_map();
    for (name, place) in PLACES {
        let value = settings.remove(name).unwrap_or_default();
        if is_sent(name, &value) {
            put(&mut session, place, on_the_wire(name, value));
        }
    }
    Value::Object(session)
}

/// The vendor refuses any further key in a function tool.
fn function(tool: &ToolDefinition) -> Value {
    json!({
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    })
}

/// Most settings are written as the vendor writes them; these are not.
fn on_the_wire(name: &str, value: Value) -> Value {
    match name {
        "turn_detection" if value["type"] == "none" => Value::Null,
        "noise_reduction" if !value.is_null() => json!({ "type": value }),
        "reasoning_effort" if !value.is_null() => json!({ "effort": value }),
        "input_codec" | "output_codec" => match value.as_str() {
            Some("pcmu") => json!({ "type": "audio/pcmu" }),
            Some("pcma") => json!({ "type": "audio/pcma" }),
            _ => json!({ "type": "audio/pcm", "rate": 24_000 }),
        },
        _ => value,
    }
}

fn put(object: &mut Map<String, Value>, place: &[&str], value: Value) {
    match place {
        [] => {}
        [name] => {
            object.insert((*name).to_owned(), value);
        }
        [name, rest @ ..] => {
            let inner = object
                .entry(*name)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}
