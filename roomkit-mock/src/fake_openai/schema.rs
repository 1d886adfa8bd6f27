//! What a `session.update` may hold, checked key by key. Nothing here changes state.

use serde_json::Value;

use super::fields::{Fields, unsupported_value};
use super::wire::WireError;

/// Voices of the vendor's own schema; a custom voice is `{"id": "voice_..."}`.
const VOICES: &[&str] = &[
    "alloy", "ash", "ballad", "coral", "echo", "sage", "shimmer", "verse", "marin", "cedar",
];

const REALTIME_KEYS: &[&str] = &[
    "type",
    "model",
    "output_modalities",
    "instructions",
    "audio",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "reasoning",
    "max_output_tokens",
    "truncation",
    "prompt",
    "tracing",
    "include",
];

/// Checks the `session` object of a realtime `session.update`.
pub(crate) fn check_realtime(session: &Value, model: &str) -> Result<(), WireError> {
    let fields = Fields::read(session, "session", REALTIME_KEYS)?;
    check_session_type(&fields, "realtime")?;
    if let Some(requested) = fields.string("model")?
        && requested != model
    {
        // Changing the model of a live session is not documented; the strict answer is no.
        return Err(WireError::invalid_value(
            "session.model",
            format!("Cannot change the session's model from '{model}' to '{requested}'."),
        ));
    }
    check_modalities(&fields)?;
    fields.string("instructions")?;
    if let Some(audio) = fields.value("audio") {
        let audio = Fields::read(audio, "session.audio", &["input", "output"])?;
        if let Some(input) = audio.value("input") {
            check_audio_input(input)?;
        }
        if let Some(output) = audio.value("output") {
            check_audio_output(
                output,
                "session.audio.output",
                &["format", "voice", "speed"],
            )?;
        }
    }
    check_tools(&fields)?;
    check_tool_choice(&fields)?;
    for key in ["parallel_tool_calls", "reasoning"] {
        if fields.nullable(key).is_some() && !supports_reasoning(model) {
            return Err(WireError::invalid_value(
                &fields.path_of(key),
                format!("'{key}' is not supported with model '{model}'."),
            ));
        }
    }
    if fields.nullable("parallel_tool_calls").is_some() {
        fields.boolean("parallel_tool_calls")?;
    }
    if let Some(reasoning) = fields.nullable("reasoning") {
        Fields::read(reasoning, "session.reasoning", &["effort"])?.string("effort")?;
    }
    check_max_output_tokens(&fields)?;
    check_truncation(&fields)?;
    if let Some(prompt) = fields.nullable("prompt") {
        Fields::read(prompt, "session.prompt", &["id", "version", "variables"])?
            .required_string("id")?;
    }
    check_tracing(&fields)?;
    check_include(&fields)
}

/// Checks the `session` object of a transcription session's `session.update`.
pub(crate) fn check_transcription(session: &Value) -> Result<(), WireError> {
    let fields = Fields::read(session, "session", &["type", "audio", "include"])?;
    check_session_type(&fields, "transcription")?;
    if let Some(audio) = fields.value("audio") {
        let audio = Fields::read(audio, "session.audio", &["input"])?;
        if let Some(input) = audio.value("input") {
            check_audio_input(input)?;
        }
    }
    check_include(&fields)
}

fn check_session_type(fields: &Fields<'_>, expected: &str) -> Result<(), WireError> {
    let given = fields.required_choice("type", &["realtime", "transcription"])?;
    if given == expected {
        return Ok(());
    }
    Err(WireError::invalid_value(
        "session.type",
        format!("Passing a {given} session update event to a {expected} session is not allowed."),
    ))
}

/// `["audio"]` or `["text"]`, never both.
pub(crate) fn check_modalities(fields: &Fields<'_>) -> Result<(), WireError> {
    let Some(list) = fields.array("output_modalities")? else {
        return Ok(());
    };
    match list.as_slice() {
        [one] if one == "audio" || one == "text" => Ok(()),
        _ => Err(WireError::invalid_value(
            &fields.path_of("output_modalities"),
            format!(
                "Invalid modalities: {}. Supported combinations are: ['text'] and ['audio'].",
                Value::Array(list.clone())
            ),
        )),
    }
}

fn check_audio_input(input: &Value) -> Result<(), WireError> {
    let input = Fields::read(
        input,
        "session.audio.input",
        &[
            "format",
            "noise_reduction",
            "transcription",
            "turn_detection",
        ],
    )?;
    if let Some(format) = input.value("format") {
        check_format(format, "session.audio.input.format")?;
    }
    if let Some(reduction) = input.nullable("noise_reduction") {
        let reduction = Fields::read(
            reduction,
            input.path_of("noise_reduction"),
            &["type", "strength"],
        )?;
        reduction.required_choice("type", &["near_field", "far_field"])?;
        reduction.number("strength", 0.0, 1.0)?;
    }
    if let Some(transcription) = input.nullable("transcription") {
        check_transcription_config(transcription, &input.path_of("transcription"))?;
    }
    if let Some(detection) = input.nullable("turn_detection") {
        check_turn_detection(detection, &input.path_of("turn_detection"))?;
    }
    Ok(())
}

fn check_transcription_config(value: &Value, path: &str) -> Result<(), WireError> {
    let fields = Fields::read(
        value,
        path,
        &[
            "model",
            "language",
            "prompt",
            "languages",
            "keywords",
            "delay",
        ],
    )?;
    let model = fields.string("model")?.unwrap_or_default();
    fields.string("language")?;
    fields.array("languages")?;
    fields.array("keywords")?;
    if fields.string("prompt")?.is_some() && model == "gpt-realtime-whisper" {
        return Err(WireError::invalid_value(
            &fields.path_of("prompt"),
            "'prompt' is not supported with model 'gpt-realtime-whisper'.",
        ));
    }
    fields.choice("delay", &["minimal", "low", "medium", "high", "xhigh"])?;
    Ok(())
}

fn check_turn_detection(value: &Value, path: &str) -> Result<(), WireError> {
    const SERVER_VAD: &[&str] = &[
        "type",
        "threshold",
        "prefix_padding_ms",
        "silence_duration_ms",
        "idle_timeout_ms",
        "create_response",
        "interrupt_response",
    ];
    const SEMANTIC_VAD: &[&str] = &["type", "eagerness", "create_response", "interrupt_response"];

    let semantic = value.get("type").and_then(Value::as_str) == Some("semantic_vad");
    let allowed = if semantic { SEMANTIC_VAD } else { SERVER_VAD };
    let fields = Fields::read(value, path, allowed)?;
    fields.required_choice("type", &["server_vad", "semantic_vad"])?;
    fields.boolean("create_response")?;
    fields.boolean("interrupt_response")?;
    if semantic {
        fields.choice("eagerness", &["low", "medium", "high", "auto"])?;
        return Ok(());
    }
    fields.number("threshold", 0.0, 1.0)?;
    fields.integer("prefix_padding_ms", 0, 60_000)?;
    fields.integer("silence_duration_ms", 0, 60_000)?;
    if fields.nullable("idle_timeout_ms").is_some() {
        fields.integer("idle_timeout_ms", 1, i64::from(u32::MAX))?;
    }
    Ok(())
}

/// `audio/pcm` at 24000 Hz only; G.711 formats take no `rate`.
pub(crate) fn check_format(value: &Value, path: &str) -> Result<(), WireError> {
    let g711 = value
        .get("type")
        .and_then(Value::as_str)
        .is_some_and(|name| name == "audio/pcmu" || name == "audio/pcma");
    let allowed: &[&str] = if g711 { &["type"] } else { &["type", "rate"] };
    let fields = Fields::read(value, path, allowed)?;
    fields.required_choice("type", &["audio/pcm", "audio/pcmu", "audio/pcma"])?;
    if !g711 {
        fields.required("rate")?;
        fields.integer("rate", 24_000, 24_000)?;
    }
    Ok(())
}

/// `audio.output`, of a session or of one response.
pub(crate) fn check_audio_output(
    value: &Value,
    path: &str,
    allowed: &[&str],
) -> Result<(), WireError> {
    let output = Fields::read(value, path, allowed)?;
    if let Some(format) = output.value("format") {
        check_format(format, &output.path_of("format"))?;
    }
    match output.value("voice") {
        None => {}
        Some(Value::String(name)) if VOICES.contains(&name.as_str()) => {}
        Some(Value::String(name)) => {
            return Err(unsupported_value(&output.path_of("voice"), name, VOICES));
        }
        Some(custom) => {
            Fields::read(custom, output.path_of("voice"), &["id"])?.required_string("id")?;
        }
    }
    output.number("speed", 0.25, 1.5)?;
    Ok(())
}

/// Function tools take exactly `type`, `name`, `description` and `parameters`.
pub(crate) fn check_tools(fields: &Fields<'_>) -> Result<(), WireError> {
    const MCP: &[&str] = &[
        "type",
        "server_label",
        "server_url",
        "connector_id",
        "tunnel_id",
        "authorization",
        "headers",
        "allowed_tools",
        "allowed_callers",
        "defer_loading",
        "require_approval",
        "server_description",
    ];
    const FUNCTION: &[&str] = &["type", "name", "description", "parameters"];

    for (index, tool) in fields.array("tools")?.into_iter().flatten().enumerate() {
        let path = format!("{}[{index}]", fields.path_of("tools"));
        let mcp = tool.get("type").and_then(Value::as_str) == Some("mcp");
        let tool = Fields::read(tool, path, if mcp { MCP } else { FUNCTION })?;
        tool.required_choice("type", &["function", "mcp"])?;
        if mcp {
            tool.required_string("server_label")?;
            continue;
        }
        let name = tool.required_string("name")?;
        let legal = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
        if name.is_empty() || name.len() > 64 || !name.chars().all(legal) {
            return Err(WireError::invalid_value(
                &tool.path_of("name"),
                format!(
                    "Invalid '{}': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]{{1,64}}$'.",
                    tool.path_of("name")
                ),
            ));
        }
        tool.string("description")?;
        if let Some(parameters) = tool.value("parameters")
            && !parameters.is_object()
        {
            return Err(WireError::invalid_type(
                &tool.path_of("parameters"),
                "an object",
                parameters,
            ));
        }
    }
    Ok(())
}

pub(crate) fn check_tool_choice(fields: &Fields<'_>) -> Result<(), WireError> {
    let Some(choice) = fields.value("tool_choice") else {
        return Ok(());
    };
    if choice.is_string() {
        fields.choice("tool_choice", &["auto", "none", "required"])?;
        return Ok(());
    }
    let choice = Fields::read(
        choice,
        fields.path_of("tool_choice"),
        &["type", "name", "server_label"],
    )?;
    match choice.required_choice("type", &["function", "mcp"])? {
        "function" => choice.required_string("name"),
        _ => choice.required_string("server_label"),
    }?;
    Ok(())
}

pub(crate) fn check_max_output_tokens(fields: &Fields<'_>) -> Result<(), WireError> {
    match fields.value("max_output_tokens") {
        None => Ok(()),
        Some(Value::String(text)) if text == "inf" => Ok(()),
        Some(_) => fields.integer("max_output_tokens", 1, 4096).map(|_| ()),
    }
}

fn check_truncation(fields: &Fields<'_>) -> Result<(), WireError> {
    let Some(truncation) = fields.value("truncation") else {
        return Ok(());
    };
    if truncation.is_string() {
        fields.choice("truncation", &["auto", "disabled"])?;
        return Ok(());
    }
    let truncation = Fields::read(
        truncation,
        fields.path_of("truncation"),
        &["type", "retention_ratio", "token_limits"],
    )?;
    truncation.required_choice("type", &["retention_ratio"])?;
    truncation.required("retention_ratio")?;
    truncation.number("retention_ratio", 0.0, 1.0)?;
    Ok(())
}

fn check_tracing(fields: &Fields<'_>) -> Result<(), WireError> {
    let Some(tracing) = fields.nullable("tracing") else {
        return Ok(());
    };
    if tracing.is_string() {
        fields.choice("tracing", &["auto"])?;
        return Ok(());
    }
    let keys = &["workflow_name", "group_id", "metadata"];
    Fields::read(tracing, fields.path_of("tracing"), keys).map(|_| ())
}

fn check_include(fields: &Fields<'_>) -> Result<(), WireError> {
    const INCLUDE: &[&str] = &["item.input_audio_transcription.logprobs"];
    if fields.nullable("include").is_none() {
        return Ok(());
    }
    for (index, entry) in fields.array("include")?.into_iter().flatten().enumerate() {
        let path = format!("{}[{index}]", fields.path_of("include"));
        let name = entry
            .as_str()
            .ok_or_else(|| WireError::invalid_type(&path, "a string", entry))?;
        if !INCLUDE.contains(&name) {
            return Err(unsupported_value(&path, name, INCLUDE));
        }
    }
    Ok(())
}

/// `reasoning` and `parallel_tool_calls` exist from `gpt-realtime-2` on.
fn supports_reasoning(model: &str) -> bool {
    model == "gpt-realtime-2" || model.starts_with("gpt-realtime-2.")
}
