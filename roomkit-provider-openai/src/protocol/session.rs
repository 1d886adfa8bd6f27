//! The `session` object of `session.update`.

use roomkit_core::tool::ToolDefinition;
use serde_json::{Map, Value, json};

use crate::config::{AudioCodec, Dialect, OpenAISessionConfig, VendorTool};

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

/// Where xAI has its places for those of them that lie elsewhere.
const XAI_PLACES: [(&str, &[&str]); 2] = [
    ("voice", &["voice"]),
    ("turn_detection", &["turn_detection"]),
];

/// Settings whose absence must be said: left out, the vendor's own default is on. xAI does not know
/// the last one.
const EXPLICIT: [&str; 3] = ["turn_detection", "transcription", "noise_reduction"];

/// The parts of a session that the core names itself.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Common<'a> {
    pub(super) model: Option<&'a str>,
    pub(super) instructions: Option<&'a str>,
    pub(super) tools: Option<&'a [ToolDefinition]>,
}

/// The session in full. What is not set stays out, so that the vendor's default holds.
pub(super) fn full(dialect: Dialect, config: &OpenAISessionConfig, common: Common<'_>) -> Value {
    let explicit = match dialect {
        Dialect::OpenAI => &EXPLICIT[..],
        Dialect::XAi => &EXPLICIT[..2],
    };
    build(dialect, config, common, |name, value| {
        !value.is_null() || explicit.contains(&name)
    })
}

/// Only the settings named, the rest stays as it is. A setting that was taken back is sent as null.
pub(super) fn partial(
    dialect: Dialect,
    config: &OpenAISessionConfig,
    names: &[String],
    common: Common<'_>,
) -> Value {
    build(dialect, config, common, |name, _| {
        names.iter().any(|named| named == name)
    })
}

fn build(
    dialect: Dialect,
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
        let vendors = config.vendor_tools.iter().map(VendorTool::to_value);
        let tools = tools.iter().map(function).chain(vendors).collect();
        session.insert("tools".into(), tools);
    }
    let mut settings = config.to_map();
    let rates = config.capabilities();
    for (name, place) in PLACES {
        let value = settings.remove(name).unwrap_or_default();
        if !is_sent(name, &value) {
            continue;
        }
        let value = match name {
            "input_codec" => format(config.input_codec, rates.input_rate),
            "output_codec" => format(config.output_codec, rates.output_rate),
            _ => on_the_wire(dialect, name, value),
        };
        let elsewhere = XAI_PLACES.iter().find(|(named, _)| *named == name);
        let place = match (dialect, elsewhere) {
            (Dialect::XAi, Some((_, place))) => place,
            _ => place,
        };
        put(&mut session, place, value);
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
fn on_the_wire(dialect: Dialect, name: &str, value: Value) -> Value {
    match (name, dialect) {
        ("turn_detection", _) if value["type"] == "none" => Value::Null,
        ("noise_reduction", _) if !value.is_null() => json!({ "type": value }),
        ("reasoning_effort", _) if !value.is_null() => json!({ "effort": value }),
        // xAI's custom voices are names like all others.
        ("voice", Dialect::XAi) if value.is_object() => value["id"].clone(),
        _ => value,
    }
}

fn format(codec: AudioCodec, rate: u32) -> Value {
    match codec {
        AudioCodec::Pcm => json!({ "type": "audio/pcm", "rate": rate }),
        AudioCodec::Pcmu => json!({ "type": "audio/pcmu" }),
        AudioCodec::Pcma => json!({ "type": "audio/pcma" }),
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
