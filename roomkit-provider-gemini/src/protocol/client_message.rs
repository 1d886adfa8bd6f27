//! Client messages as types, except audio, which is written by hand, and the setup.

use std::borrow::Cow;

use roomkit_core::provider::{ProviderError, ProviderErrorKind};
use serde::Serialize;
use serde_json::Value;

/// The vendor takes exactly one of these in a frame.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum ClientMessage<'a> {
    RealtimeInput(RealtimeInput<'a>),
    #[serde(rename_all = "camelCase")]
    ClientContent {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        turns: Vec<Content<'a>>,
        turn_complete: bool,
    },
    #[serde(rename_all = "camelCase")]
    ToolResponse {
        function_responses: [FunctionResponse<'a>; 1],
    },
    #[serde(rename_all = "camelCase")]
    ContextUpdate {
        #[serde(skip_serializing_if = "Option::is_none")]
        system_instruction: Option<Value>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tools: Option<Value>,
    },
}

/// Here too it takes exactly one.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum RealtimeInput<'a> {
    Video(Blob<'a>),
    Text(Cow<'a, str>),
    ActivityStart {},
    ActivityEnd {},
}

/// Part of the conversation.
#[derive(Debug, Serialize)]
pub(super) struct Content<'a> {
    pub(super) role: &'static str,
    pub(super) parts: Vec<Part<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Part<'a> {
    Text(Cow<'a, str>),
    InlineData(Blob<'a>),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob<'a> {
    pub(super) data: String,
    pub(super) mime_type: &'a str,
}

#[derive(Debug, Serialize)]
pub(super) struct FunctionResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<&'a str>,
    pub(super) name: &'a str,
    pub(super) response: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scheduling: Option<&'static str>,
}

/// One turn of the conversation.
pub(super) fn content<'a>(
    role: &'static str,
    parts: Vec<Part<'a>>,
    turn_complete: bool,
) -> ClientMessage<'a> {
    ClientMessage::ClientContent {
        turns: vec![Content { role, parts }],
        turn_complete,
    }
}

/// User's text on the realtime path.
pub(super) fn realtime_text(text: String) -> ClientMessage<'static> {
    ClientMessage::RealtimeInput(RealtimeInput::Text(text.into()))
}

/// An edge of the user's activity.
pub(super) fn activity(starts: bool) -> ClientMessage<'static> {
    ClientMessage::RealtimeInput(if starts {
        RealtimeInput::ActivityStart {}
    } else {
        RealtimeInput::ActivityEnd {}
    })
}

/// A message as one frame.
pub(super) fn to_frame(message: &impl Serialize) -> Result<String, ProviderError> {
    serde_json::to_string(message).map_err(|error| {
        ProviderError::new(
            ProviderErrorKind::InvalidRequest,
            format!("the message cannot be written as JSON: {error}"),
        )
    })
}
