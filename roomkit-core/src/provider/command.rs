//! What the engine asks of a provider.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SessionUpdate;
#[cfg(doc)]
use super::{Continuation, ProviderCapabilities, ProviderEvent};
use crate::{
    id::{CallId, ItemId},
    quiet::{bytes, characters, debug_quietly},
};

/// What the engine asks of a provider. Its Debug output leaves out what was said, shown and set.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum ProviderCommand {
    /// The user's microphone: PCM16 mono at [`ProviderCapabilities::input_rate`].
    Audio(Bytes),
    /// Adds text to the conversation.
    Text {
        /// Who said it.
        role: Role,
        /// The text.
        text: String,
        /// The model should answer now. Set only for [`Continuation::Automatic`]; for
        /// [`Continuation::Explicit`] a [`Respond`](Self::Respond) follows when it is allowed.
        respond: bool,
    },
    /// Shows the model an image.
    Image {
        /// Such as `image/png`.
        mime_type: String,
        /// The encoded image.
        data: Bytes,
        /// A question to go with it.
        prompt: Option<String>,
        /// As in [`Text`](Self::Text).
        respond: bool,
    },
    /// Answers a tool call.
    ToolResult {
        /// The call.
        call_id: CallId,
        /// The tool's name, for vendors that match by it.
        name: String,
        /// JSON or plain text, already cut to the cap (contract K6).
        output: String,
        /// The output says that the call failed or was refused.
        is_error: bool,
    },
    /// Asks for a response; see [`Continuation`].
    Respond,
    /// Stops the running response.
    CancelResponse,
    /// Forgets the tail of an answer that the user did not hear: of each content part of an item that
    /// was not heard whole, in their order. The parts before it were.
    Truncate {
        /// The item that was playing.
        item_id: ItemId,
        /// Its content part.
        content_index: u32,
        /// What the user heard of it; never more than the provider sent of it.
        heard: Duration,
    },
    /// The user starts to speak (only with
    /// [`manual_turns`](ProviderCapabilities::manual_turns)).
    ActivityStart,
    /// The user has finished (only with
    /// [`manual_turns`](ProviderCapabilities::manual_turns)).
    ActivityEnd,
    /// Changes the live session; `None` keeps what is. Only what
    /// [`updates`](ProviderCapabilities::updates) allows. A provider that can tell
    /// ([`confirms_updates`](ProviderCapabilities::confirms_updates)) says [`ProviderEvent::Updated`]
    /// or [`ProviderEvent::UpdateRefused`] to each, in their order.
    Update(SessionUpdate),
    /// One message in the vendor's own form, sent as it is, but for an id by which a refusal is known
    /// ([`ProviderEvent::RawRefused`]).
    Raw(Value),
    /// Asks the vendor's end of the connection for a sign of life
    /// ([`pings`](ProviderCapabilities::pings)). It stays in order with everything else.
    Ping,
}

debug_quietly!(ProviderCommand {
    Audio(pcm = bytes(pcm)),
    Text { role, text = characters(text), respond },
    Image {
        mime_type,
        data = bytes(data),
        prompt = prompt.as_deref().map(characters),
        respond,
    },
    ToolResult { call_id, name, output, is_error },
    Respond,
    CancelResponse,
    Truncate { item_id, content_index, heard },
    ActivityStart,
    ActivityEnd,
    Update(update),
    Raw(message = bytes(message.to_string().as_bytes())),
    Ping,
});

/// Who said something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The caller.
    User,
    /// The AI.
    Assistant,
    /// Neither: an instruction or a note to the AI.
    System,
}

impl Role {
    /// The role as it appears in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
        }
    }
}
