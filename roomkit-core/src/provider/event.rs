//! What a provider reports.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

#[cfg(doc)]
use super::{ProviderCapabilities, ProviderCommand};
use super::{ResumeToken, Role};
use crate::{
    error::ProviderError,
    id::{CallId, ItemId, ResponseId},
    quiet::{bytes, characters, debug_quietly},
    stats::milliseconds,
};

/// What a provider reports, in the order of its wire. Its Debug output leaves out what was said.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum ProviderEvent {
    /// The user began to speak.
    SpeechStarted {
        /// The item the utterance will become, if the vendor names it already.
        item_id: Option<ItemId>,
    },
    /// The user stopped speaking.
    SpeechStopped {
        /// As in [`SpeechStarted`](Self::SpeechStarted).
        item_id: Option<ItemId>,
    },
    /// The model began a response.
    ResponseStarted {
        /// The vendor's id of it.
        response_id: Option<ResponseId>,
    },
    /// A piece of the answer's audio: PCM16 mono at [`ProviderCapabilities::output_rate`].
    Audio {
        /// The response it belongs to; `None` means the running one.
        response_id: Option<ResponseId>,
        /// The item it belongs to.
        item_id: Option<ItemId>,
        /// The content part of the item.
        content_index: u32,
        /// The samples; any length.
        pcm: Bytes,
    },
    /// Words, of either side.
    Transcript {
        /// Who says them.
        role: Role,
        /// The item they belong to.
        item_id: Option<ItemId>,
        /// For a partial only what is new; for a final the whole text.
        text: String,
        /// Nothing more comes for this item.
        is_final: bool,
    },
    /// No final transcript will come for this item.
    TranscriptFailed {
        /// The item.
        item_id: Option<ItemId>,
        /// Why.
        message: String,
    },
    /// The model wants a tool to run.
    ToolCall {
        /// The vendor's id of the call.
        call_id: CallId,
        /// The tool.
        name: String,
        /// The arguments as the vendor wrote them; ought to be a JSON object.
        arguments: String,
    },
    /// The model no longer wants the results of these calls.
    ToolCallsCancelled {
        /// The calls.
        call_ids: Vec<CallId>,
    },
    /// A response is over.
    ResponseEnded {
        /// The vendor's id of it.
        response_id: Option<ResponseId>,
        /// How it went.
        status: ResponseStatus,
        /// What it cost. In a box, for audio is an event, too, and each is moved about.
        usage: Option<Box<Usage>>,
    },
    /// A [`ProviderCommand::Respond`] was turned down because a response was running already. Not a
    /// request that the host wrote itself: that is [`RawRefused`](Self::RawRefused).
    ResponseRefused,
    /// A turn is over in which the model said nothing: no response comes to what it was told before.
    /// For providers that [go on by themselves](super::Continuation::Automatic), so that a model that
    /// keeps silent is not taken for one that is stuck (contract H5). Another provider's model does
    /// not respond to what it was asked before this, so it is not asked again.
    TurnPassed,
    /// The model is not done with what it was told last: another response follows by itself, or
    /// [`TurnPassed`](Self::TurnPassed). From vendors that say so, right before the
    /// [`ResponseEnded`](Self::ResponseEnded) after which the model goes on, if it is said with one: that
    /// is not taken for the end of the answer then. A call whose result the model waits for need not be
    /// announced.
    MoreToCome,
    /// Tokens that the model spent outside the responses that are told, such as on one aside.
    Usage(Box<Usage>),
    /// What the transcription of the user's words cost. It is another model's, with prices of its own.
    TranscriptionUsage(TranscriptionUsage),
    /// The oldest [`ProviderCommand::Update`] that was not answered took effect.
    Updated,
    /// The oldest [`ProviderCommand::Update`] that was not answered was refused, all of it; the
    /// session is as it was before. Of a provider that does not
    /// [confirm](super::ProviderCapabilities::confirms_updates) each, it is the last that it was sent.
    UpdateRefused(ProviderError),
    /// A [`ProviderCommand::Raw`] was refused. It says nothing of what the engine asked for; a provider
    /// that cannot tell says [`Error`](Self::Error).
    RawRefused(ProviderError),
    /// The connection will be closed by the vendor, after this time if it says so.
    GoAway {
        /// How long the connection has left.
        time_left: Option<Duration>,
    },
    /// A later connection can take up the conversation, as it is at this point of the wire, with
    /// this token. It takes the place of the one before.
    Resumable(ResumeToken),
    /// A [`ProviderCommand::Ping`] has come back: the vendor's end has taken all that was sent
    /// before it.
    Pong,
    /// Something went wrong; the connection goes on.
    Error(ProviderError),
    /// The connection is over. `None`: it was closed as asked.
    Closed(Option<ProviderError>),
}

debug_quietly!(ProviderEvent {
    SpeechStarted { item_id },
    SpeechStopped { item_id },
    ResponseStarted { response_id },
    Audio { response_id, item_id, content_index, pcm = bytes(pcm) },
    Transcript { role, item_id, text = characters(text), is_final },
    TranscriptFailed { item_id, message },
    ToolCall { call_id, name, arguments },
    ToolCallsCancelled { call_ids },
    ResponseEnded { response_id, status, usage },
    ResponseRefused,
    TurnPassed,
    MoreToCome,
    Usage(usage),
    TranscriptionUsage(usage),
    Updated,
    UpdateRefused(error),
    RawRefused(error),
    GoAway { time_left },
    Resumable(token),
    Pong,
    Error(error),
    Closed(error),
});

/// How a response ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseStatus {
    /// Said in full.
    Completed,
    /// Stopped by the user's speech or on request.
    Cancelled,
    /// Cut short by the vendor, with its reason, such as `max_output_tokens`.
    Incomplete(String),
    /// Failed.
    Failed(ProviderError),
}

/// Tokens of one response, or of several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// All tokens read.
    pub input_tokens: u64,
    /// All tokens written.
    pub output_tokens: u64,
    /// Of those read, text.
    pub input_text_tokens: u64,
    /// Of those read, audio.
    pub input_audio_tokens: u64,
    /// Of those read, images.
    pub input_image_tokens: u64,
    /// Of those read, from the vendor's cache.
    pub cached_tokens: u64,
    /// Of those from the cache, text. Not every vendor says what they are.
    pub cached_text_tokens: u64,
    /// Of those from the cache, audio.
    pub cached_audio_tokens: u64,
    /// Of those from the cache, images.
    pub cached_image_tokens: u64,
    /// Of those written, text.
    pub output_text_tokens: u64,
    /// Of those written, audio.
    pub output_audio_tokens: u64,
    /// Of those written, thoughts that nobody is told.
    pub output_thinking_tokens: u64,
}

impl Usage {
    /// What `by` makes of each count and the other's.
    #[must_use]
    pub fn combine(self, other: Self, by: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            input_tokens: by(self.input_tokens, other.input_tokens),
            output_tokens: by(self.output_tokens, other.output_tokens),
            input_text_tokens: by(self.input_text_tokens, other.input_text_tokens),
            input_audio_tokens: by(self.input_audio_tokens, other.input_audio_tokens),
            input_image_tokens: by(self.input_image_tokens, other.input_image_tokens),
            cached_tokens: by(self.cached_tokens, other.cached_tokens),
            cached_text_tokens: by(self.cached_text_tokens, other.cached_text_tokens),
            cached_audio_tokens: by(self.cached_audio_tokens, other.cached_audio_tokens),
            cached_image_tokens: by(self.cached_image_tokens, other.cached_image_tokens),
            output_text_tokens: by(self.output_text_tokens, other.output_text_tokens),
            output_audio_tokens: by(self.output_audio_tokens, other.output_audio_tokens),
            output_thinking_tokens: by(self.output_thinking_tokens, other.output_thinking_tokens),
        }
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = self.combine(other, u64::saturating_add);
    }
}

/// What it cost to write down what the user said: tokens or time, as the vendor charges it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TranscriptionUsage {
    /// All tokens read.
    pub input_tokens: u64,
    /// All tokens written, which are text.
    pub output_tokens: u64,
    /// Of those read, text.
    pub input_text_tokens: u64,
    /// Of those read, audio.
    pub input_audio_tokens: u64,
    /// The speech that is charged by its length.
    #[serde(rename = "audio_ms", serialize_with = "milliseconds")]
    pub audio: Duration,
}

impl std::ops::AddAssign for TranscriptionUsage {
    fn add_assign(&mut self, other: Self) {
        let sum = u64::saturating_add;
        *self = Self {
            input_tokens: sum(self.input_tokens, other.input_tokens),
            output_tokens: sum(self.output_tokens, other.output_tokens),
            input_text_tokens: sum(self.input_text_tokens, other.input_text_tokens),
            input_audio_tokens: sum(self.input_audio_tokens, other.input_audio_tokens),
            audio: self.audio.saturating_add(other.audio),
        };
    }
}
