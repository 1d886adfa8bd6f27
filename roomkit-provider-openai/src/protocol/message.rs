//! The messages as types. What comes in borrows from its frame and takes every field as optional:
//! compatible servers leave out, null and add fields freely.

use std::{borrow::Cow, time::Duration};

use roomkit_core::provider::{TranscriptionUsage, Usage};
use roomkit_dial::{Text, text_of};
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};
use serde_json::{Value, value::RawValue};

use crate::{config::ImageDetail, error::VendorError};

/// What is sent, except audio (written by hand) and raw events.
#[derive(Debug, Serialize)]
#[serde(tag = "type")]
pub(crate) enum ClientEvent<'a> {
    #[serde(rename = "session.update")]
    SessionUpdate { event_id: String, session: Value },
    #[serde(rename = "input_audio_buffer.commit")]
    Commit,
    #[serde(rename = "input_audio_buffer.clear")]
    Clear,
    #[serde(rename = "conversation.item.create")]
    ItemCreate {
        #[serde(skip_serializing_if = "Option::is_none")]
        event_id: Option<String>,
        item: Item<'a>,
    },
    #[serde(rename = "conversation.item.truncate")]
    ItemTruncate {
        item_id: &'a str,
        content_index: u32,
        audio_end_ms: u64,
    },
    #[serde(rename = "conversation.item.delete")]
    ItemDelete { item_id: &'a str },
    #[serde(rename = "response.create")]
    ResponseCreate { event_id: String },
    #[serde(rename = "response.cancel")]
    ResponseCancel,
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Item<'a> {
    Message {
        role: &'static str,
        content: Vec<Content<'a>>,
    },
    FunctionCall {
        call_id: &'a str,
        name: &'a str,
        arguments: &'a str,
    },
    FunctionCallOutput {
        call_id: &'a str,
        output: &'a str,
    },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Content<'a> {
    InputText {
        text: &'a str,
    },
    OutputText {
        text: &'a str,
    },
    InputImage {
        image_url: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<ImageDetail>,
    },
}

/// The `type` of a frame. It nearly always comes first, so that nothing needs to be parsed for it.
pub(crate) fn kind_of(frame: &str) -> Result<Cow<'_, str>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow, rename = "type", default)]
        kind: Option<Text<'a>>,
    }

    if let Some(rest) = frame.strip_prefix("{\"type\":\"")
        && let Some((kind, _)) = rest.split_once('"')
        && !kind.contains('\\')
    {
        return Ok(Cow::Borrowed(kind));
    }
    let envelope: Envelope<'_> = serde_json::from_str(frame)?;
    Ok(envelope.kind.unwrap_or_default().0)
}

/// The flat fields of all events about speech, words, audio and calls.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Flat<'a> {
    #[serde(borrow)]
    pub(crate) response_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) item_id: Option<Text<'a>>,
    #[serde(deserialize_with = "count")]
    pub(crate) content_index: Option<u64>,
    #[serde(borrow)]
    pub(crate) delta: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) text: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) transcript: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) call_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) arguments: Option<Text<'a>>,
    #[serde(deserialize_with = "object")]
    pub(crate) usage: Option<WireUsage>,
    #[serde(borrow, deserialize_with = "error_body")]
    pub(crate) error: Option<ErrorBody<'a>>,
}

/// The fields of audio: it comes often enough for a type of its own, a fifth of [`Flat`] in size.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct AudioDelta<'a> {
    #[serde(borrow)]
    pub(crate) response_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) item_id: Option<Text<'a>>,
    #[serde(deserialize_with = "count")]
    pub(crate) content_index: Option<u64>,
    #[serde(borrow)]
    pub(crate) delta: Option<Text<'a>>,
}

/// `response.output_item.added` and `.done`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct OutputItem<'a> {
    #[serde(borrow)]
    pub(crate) response_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) item: Option<ItemBody<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ItemBody<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) role: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) content: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(crate) status: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) call_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) name: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) arguments: Option<Text<'a>>,
}

impl ItemBody<'_> {
    /// Somebody said it aloud, rather than a program adding text.
    pub(crate) fn is_spoken(&self) -> bool {
        let is_audio = |content: &RawValue| content.get().contains("\"input_audio\"");
        text_of(self.role.as_ref()) == "assistant" || self.content.is_some_and(is_audio)
    }
}

/// `response.created` and `.done`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ResponseEvent<'a> {
    #[serde(borrow)]
    pub(crate) response: Option<ResponseBody<'a>>,
    /// Where xAI may put it, rather than into the response.
    #[serde(deserialize_with = "object")]
    pub(crate) usage: Option<WireUsage>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ResponseBody<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) status: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) status_details: Option<&'a RawValue>,
    /// Its `conversation_id` is null, rather than left out: that of a response which answers a question
    /// of its own and is not part of the conversation.
    #[serde(rename = "conversation_id", deserialize_with = "is_null")]
    pub(crate) has_no_conversation: bool,
    #[serde(deserialize_with = "object")]
    pub(crate) usage: Option<WireUsage>,
}

/// The details of a status: an object with OpenAI, a mere string with some servers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StatusDetails<'a> {
    #[serde(borrow)]
    pub(crate) reason: Option<Text<'a>>,
    #[serde(borrow, deserialize_with = "error_body")]
    pub(crate) error: Option<ErrorBody<'a>>,
}

impl<'a> StatusDetails<'a> {
    pub(crate) fn read(raw: Option<&'a RawValue>) -> Self {
        let Some(raw) = raw else {
            return Self::default();
        };
        if raw.get().starts_with('{') {
            serde_json::from_str(raw.get()).unwrap_or_default()
        } else {
            Self {
                reason: serde_json::from_str(raw.get()).ok(),
                error: None,
            }
        }
    }
}

/// `error`, and the `error` of other events.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorEvent<'a> {
    #[serde(borrow, deserialize_with = "error_body")]
    pub(crate) error: Option<ErrorBody<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ErrorBody<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) code: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) message: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) param: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) event_id: Option<Text<'a>>,
}

impl ErrorBody<'_> {
    pub(crate) fn as_vendor_error(&self) -> VendorError<'_> {
        VendorError {
            kind: self.kind.as_ref().map(Text::as_str),
            code: self.code.as_ref().map(Text::as_str),
            message: self.message.as_ref().map(Text::as_str),
            param: self.param.as_ref().map(Text::as_str),
        }
    }
}

/// What matters of the events before the session is ready.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Handshake<'a> {
    #[serde(borrow)]
    pub(crate) session: Option<SessionBody<'a>>,
    #[serde(borrow, deserialize_with = "error_body")]
    pub(crate) error: Option<ErrorBody<'a>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SessionBody<'a> {
    #[serde(borrow)]
    pub(crate) id: Option<Text<'a>>,
    /// A number; as text, so that anything else does not fail the whole event.
    #[serde(borrow)]
    pub(crate) expires_at: Option<Text<'a>>,
}

/// `usage` of a response or a transcription. Transcriptions charged by duration name that and no tokens.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WireUsage {
    #[serde(deserialize_with = "count")]
    input_tokens: Option<u64>,
    #[serde(deserialize_with = "count")]
    output_tokens: Option<u64>,
    #[serde(deserialize_with = "object")]
    input_token_details: Option<TokenDetails>,
    #[serde(deserialize_with = "object")]
    output_token_details: Option<TokenDetails>,
    #[serde(deserialize_with = "number")]
    seconds: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TokenDetails {
    #[serde(rename = "text_tokens", deserialize_with = "count")]
    text: Option<u64>,
    #[serde(rename = "audio_tokens", deserialize_with = "count")]
    audio: Option<u64>,
    #[serde(rename = "image_tokens", deserialize_with = "count")]
    image: Option<u64>,
    #[serde(rename = "cached_tokens", deserialize_with = "count")]
    cached: Option<u64>,
    #[serde(rename = "cached_tokens_details", deserialize_with = "object")]
    cached_as: Option<Modalities>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Modalities {
    #[serde(rename = "text_tokens", deserialize_with = "count")]
    text: Option<u64>,
    #[serde(rename = "audio_tokens", deserialize_with = "count")]
    audio: Option<u64>,
    #[serde(rename = "image_tokens", deserialize_with = "count")]
    image: Option<u64>,
}

impl WireUsage {
    /// The tokens, unless there are none.
    pub(crate) fn tokens(&self) -> Option<Usage> {
        if self.input_tokens.is_none() && self.output_tokens.is_none() {
            return None;
        }
        let none = TokenDetails::default();
        let input = self.input_token_details.as_ref().unwrap_or(&none);
        let output = self.output_token_details.as_ref().unwrap_or(&none);
        let unnamed = Modalities::default();
        let cached = input.cached_as.as_ref().unwrap_or(&unnamed);
        Some(Usage {
            input_tokens: self.input_tokens.unwrap_or_default(),
            output_tokens: self.output_tokens.unwrap_or_default(),
            input_text_tokens: input.text.unwrap_or_default(),
            input_audio_tokens: input.audio.unwrap_or_default(),
            input_image_tokens: input.image.unwrap_or_default(),
            cached_tokens: input.cached.unwrap_or_default(),
            cached_text_tokens: cached.text.unwrap_or_default(),
            cached_audio_tokens: cached.audio.unwrap_or_default(),
            cached_image_tokens: cached.image.unwrap_or_default(),
            output_text_tokens: output.text.unwrap_or_default(),
            output_audio_tokens: output.audio.unwrap_or_default(),
            ..Usage::default()
        })
    }

    /// What a transcription cost, unless it says nothing of that.
    pub(crate) fn of_transcription(&self) -> Option<TranscriptionUsage> {
        let seconds = self.seconds.map(Duration::try_from_secs_f64);
        let audio = seconds.and_then(Result::ok);
        let tokens = self.tokens();
        if audio.is_none() && tokens.is_none() {
            return None;
        }
        let tokens = tokens.unwrap_or_default();
        Some(TranscriptionUsage {
            input_tokens: tokens.input_tokens,
            output_tokens: tokens.output_tokens,
            input_text_tokens: tokens.input_text_tokens,
            input_audio_tokens: tokens.input_audio_tokens,
            audio: audio.unwrap_or_default(),
        })
    }
}

fn is_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Option::<IgnoredAny>::deserialize(deserializer).map(|value| value.is_none())
}

/// A count, in whatever way it is written. What is none does not fail the whole event.
fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let raw = Option::<&RawValue>::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| {
        let number = raw.get().trim_matches('"').trim();
        let rounded = || Some(number.parse::<f64>().ok()? as u64);
        number.parse().ok().or_else(rounded)
    }))
}

/// A number, likewise.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let raw = Option::<&RawValue>::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| raw.get().trim_matches('"').trim().parse().ok()))
}

/// An object; none where it is something else, rather than failing the whole event.
fn object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let raw = Option::<&RawValue>::deserialize(deserializer)?;
    Ok(raw.and_then(|raw| serde_json::from_str(raw.get()).ok()))
}

/// An error: an object with OpenAI, a mere string with some servers.
fn error_body<'de: 'a, 'a, D>(deserializer: D) -> Result<Option<ErrorBody<'a>>, D::Error>
where
    D: Deserializer<'de>,
{
    let raw = Option::<&'de RawValue>::deserialize(deserializer)?;
    Ok(raw.map(|raw| {
        let message = || ErrorBody {
            message: serde_json::from_str(raw.get()).ok(),
            ..ErrorBody::default()
        };
        serde_json::from_str(raw.get()).unwrap_or_else(|_| message())
    }))
}
