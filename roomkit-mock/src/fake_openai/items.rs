//! Which conversation items a client may create.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::conversation::Conversation;
use super::fields::Fields;
use super::wire::WireError;

/// A valid item of the client's making: `json` without its audio.
#[derive(Debug)]
pub(crate) struct NewItem {
    pub(crate) id: Option<String>,
    pub(crate) json: Value,
    pub(crate) audio: Vec<u8>,
}

const ITEM_TYPES: &[&str] = &[
    "message",
    "function_call",
    "function_call_output",
    "mcp_approval_response",
];

/// Reads and checks an item; `path` is where it sits in the client event.
pub(crate) fn read_item(
    value: &Value,
    path: &str,
    conversation: &Conversation,
) -> Result<NewItem, WireError> {
    let kind = value
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let own: &[&str] = match kind {
        "message" => &["role", "content"],
        "function_call" => &["call_id", "name", "arguments"],
        "function_call_output" => &["call_id", "output"],
        "mcp_approval_response" => &["approval_request_id", "approve", "reason"],
        // An unknown type is the complaint, not the keys that come with it.
        _ if value.is_object() => {
            let keys: Vec<&str> = value
                .as_object()
                .into_iter()
                .flat_map(Map::keys)
                .map(String::as_str)
                .collect();
            Fields::read(value, path, &keys)?.required_choice("type", ITEM_TYPES)?;
            &[]
        }
        _ => &[],
    };
    let allowed: Vec<&str> = ["id", "type", "object", "status"]
        .iter()
        .chain(own)
        .copied()
        .collect();
    let fields = Fields::read(value, path, &allowed)?;
    fields.required_choice("type", ITEM_TYPES)?;
    fields.choice("status", &["completed", "incomplete", "in_progress"])?;
    let mut json = value.clone();
    json["status"] = Value::from("completed");
    let mut audio = Vec::new();
    match kind {
        "message" => audio = check_message(&fields, &mut json)?,
        "function_call" => {
            fields.required_string("name")?;
            fields.required_string("arguments")?;
            if let Some(call_id) = fields.string("call_id")?
                && conversation.has_call(call_id)
            {
                return Err(duplicate(call_id, "is already in the conversation"));
            }
        }
        "function_call_output" => {
            let call_id = fields.required_string("call_id")?;
            fields.required_string("output")?;
            if !conversation.has_call(call_id) {
                // Not in the captures; from reports of the live service's answer.
                return Err(WireError::new(
                    "invalid_tool_call_id",
                    format!("Tool call ID '{call_id}' not found in conversation."),
                ));
            }
            if conversation.has_output(call_id) {
                return Err(duplicate(call_id, "has its output already"));
            }
        }
        _ => {
            fields.required_string("approval_request_id")?;
            fields.required("approve")?;
            fields.boolean("approve")?;
        }
    }
    let id = match fields.nullable("id") {
        None => None,
        Some(_) => fields.string("id")?.map(str::to_owned),
    };
    Ok(NewItem { id, json, audio })
}

/// The strict answer: no capture shows what the live service says.
fn duplicate(call_id: &str, problem: &str) -> WireError {
    WireError::new(
        "invalid_tool_call_id",
        format!("Tool call ID '{call_id}' {problem}."),
    )
}

/// Checks the content of a message and moves its audio out of `json`.
fn check_message(fields: &Fields<'_>, json: &mut Value) -> Result<Vec<u8>, WireError> {
    let role = fields.required_choice("role", &["system", "user", "assistant"])?;
    fields.required("content")?;
    let accepted: &[&str] = match role {
        "system" => &["input_text"],
        "user" => &["input_text", "input_audio", "input_image"],
        _ => &["output_text"],
    };
    let mut audio = Vec::new();
    for (index, part) in fields.array("content")?.into_iter().flatten().enumerate() {
        let path = format!("{}[{index}]", fields.path_of("content"));
        let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
        let keys: &[&str] = match kind {
            "input_audio" => &["type", "audio", "transcript"],
            "input_image" => &["type", "image_url", "detail"],
            "input_text" | "output_text" => &["type", "text"],
            _ => &["type", "text", "audio", "transcript", "image_url", "detail"],
        };
        let part = Fields::read(part, path, keys)?;
        match part.required_choice("type", accepted)? {
            "input_audio" => {
                audio = STANDARD
                    .decode(part.required_string("audio")?)
                    .map_err(|error| {
                        WireError::invalid_value(
                            &part.path_of("audio"),
                            format!("Expected base64-encoded audio bytes: {error}."),
                        )
                    })?;
                if part.nullable("transcript").is_some() {
                    part.string("transcript")?;
                }
                if let Some(slot) = json["content"][index].as_object_mut() {
                    slot.remove("audio");
                }
            }
            "input_image" => {
                part.required_string("image_url")?;
                part.choice("detail", &["auto", "low", "high"])?;
            }
            _ => {
                part.required_string("text")?;
            }
        }
    }
    Ok(audio)
}
