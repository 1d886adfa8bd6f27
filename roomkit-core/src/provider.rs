//! What a speech-to-speech vendor's crate implements.
//!
//! A provider translates, no more: [`ProviderCommand`]s into its vendor's wire and the vendor's
//! frames into [`ProviderEvent`]s. Barge-in, deferred responses, tool contracts, transcript order,
//! pacing, hand-over and reconnecting are decided once, by the call engine, so a provider must
//! *not* do any of them. It says what it can ([`ProviderCapabilities`]) and does as it is told.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use crate::error::{ProviderError, ProviderErrorKind};
use crate::{
    id::{CallId, ItemId, ResponseId, SessionId},
    tool::ToolDefinition,
};

/// A speech-to-speech service. One value serves many sessions.
#[async_trait]
pub trait RealtimeVoiceProvider: Send + Sync + 'static {
    /// The name it is registered by, such as `openai`.
    fn name(&self) -> &str;

    /// The model it talks to, where that is known.
    fn model(&self) -> Option<&str> {
        None
    }

    /// What a connection can do when a session overrides nothing.
    fn capabilities(&self) -> ProviderCapabilities;

    /// Opens one connection and returns when the vendor is ready for audio, not merely when the
    /// socket is open. Dropping the future abandons the attempt and leaves nothing behind.
    async fn connect(&self, setup: SessionSetup) -> Result<ProviderConnection, ProviderError>;
}

/// What one connection is asked to be. Its Debug output leaves out what may be confidential.
#[derive(Clone)]
#[non_exhaustive]
pub struct SessionSetup {
    /// Whose connection it is, for logs.
    pub session_id: SessionId,
    /// Instructions for the model.
    pub system_prompt: Option<String>,
    /// The vendor's name of the voice.
    pub voice: Option<String>,
    /// Sampling temperature, for vendors that take one.
    pub temperature: Option<f32>,
    /// Tools the model may call.
    pub tools: Vec<ToolDefinition>,
    /// The vendor's own settings for this session, checked by the provider.
    pub provider_config: Map<String, Value>,
    /// Take up the conversation this token stands for. Given only to a provider that
    /// [`resumes`](ProviderCapabilities::resumes). When the vendor refuses it, `connect` fails and
    /// the engine tries again without.
    pub resume: Option<ResumeToken>,
    /// What was said before this connection, oldest first: all of it, or with `resume` only what
    /// came after the token. The provider gives it to the model in its vendor's form, as far as
    /// [`history`](ProviderCapabilities::history) says it can, and asks for no response to it.
    pub history: Vec<HistoryItem>,
}

impl SessionSetup {
    /// A setup that leaves everything to the provider's defaults.
    pub fn new(session_id: SessionId) -> Self {
        Self {
            session_id,
            system_prompt: None,
            voice: None,
            temperature: None,
            tools: Vec::new(),
            provider_config: Map::new(),
            resume: None,
            history: Vec::new(),
        }
    }

    /// Makes a change to a live session part of what later connections are asked to be; but for the
    /// vendor's own settings, which only the provider can lay over each other.
    pub(crate) fn update(&mut self, update: &SessionUpdate) {
        if let Some(prompt) = &update.system_prompt {
            self.system_prompt = Some(prompt.clone());
        }
        if let Some(voice) = &update.voice {
            self.voice = Some(voice.clone());
        }
        if let Some(tools) = &update.tools {
            self.tools.clone_from(tools);
        }
        if let Some(temperature) = update.temperature {
            self.temperature = Some(temperature);
        }
    }
}

impl fmt::Debug for SessionSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools: Vec<&str> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
        let settings: Vec<&String> = self.provider_config.keys().collect();
        f.debug_struct("SessionSetup")
            .field("session_id", &self.session_id)
            .field("voice", &self.voice)
            .field("temperature", &self.temperature)
            .field("tools", &tools)
            .field("provider_config", &settings)
            .field("resume", &self.resume)
            .field("history", &self.history.len())
            .finish_non_exhaustive()
    }
}

/// What a vendor gives out so that another connection can take up the conversation. It is as good
/// as a key to it, so `Debug` does not show it (contract X1).
#[derive(Clone, PartialEq, Eq)]
pub struct ResumeToken(Arc<str>);

impl ResumeToken {
    /// A token as the vendor wrote it.
    pub fn new(token: impl Into<Arc<str>>) -> Self {
        Self(token.into())
    }

    /// The token as the vendor wrote it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeToken([redacted])")
    }
}

/// One thing that was said or done before a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryItem {
    /// Words. An answer that was interrupted holds what was heard of it.
    Message {
        /// Who said them.
        role: Role,
        /// The words.
        text: String,
    },
    /// The model asked for a tool ([`HistorySupport::Full`] only). Its result follows, unless the
    /// tool still runs: then it comes as a [`ProviderCommand::ToolResult`].
    ToolCall {
        /// The vendor's id of the call, on the connection that made it.
        call_id: CallId,
        /// The tool.
        name: String,
        /// The arguments as the vendor wrote them.
        arguments: String,
    },
    /// What a tool answered ([`HistorySupport::Full`] only).
    ToolResult {
        /// The call.
        call_id: CallId,
        /// The tool.
        name: String,
        /// JSON or plain text.
        output: String,
        /// The output says that the call failed or was refused.
        is_error: bool,
    },
}

/// What a connection takes, gives and can do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProviderCapabilities {
    /// Rate of the audio it takes, in Hz.
    pub input_rate: u32,
    /// Rate of the audio it gives, in Hz.
    pub output_rate: u32,
    /// How a response is asked for.
    pub continuation: Continuation,
    /// It stops a running response by itself when the user starts to speak. Otherwise the engine
    /// sends [`ProviderCommand::CancelResponse`].
    pub interrupts_itself: bool,
    /// It can forget the part of an answer that nobody heard ([`ProviderCommand::Truncate`]).
    pub truncates: bool,
    /// A final transcript (or [`ProviderEvent::TranscriptFailed`]) follows each user utterance, so
    /// the engine may wait a moment for it before it publishes the answer (contract T1).
    pub transcribes_user: bool,
    /// It takes [`ProviderCommand::Update`] on a live connection.
    pub updates: bool,
    /// It takes [`ProviderCommand::Image`].
    pub images: bool,
    /// It takes text and images while a tool call waits for its result. Otherwise the engine keeps
    /// them until the last result of the turn was sent.
    pub text_during_tools: bool,
    /// It takes text and images while a response runs, and the response goes on. Otherwise, as they
    /// would cut it short, the engine keeps them until it has ended.
    pub text_during_responses: bool,
    /// It gives out [`ProviderEvent::Resumable`] tokens and takes them in
    /// [`SessionSetup::resume`].
    pub resumes: bool,
    /// What it can make of [`SessionSetup::history`].
    pub history: HistorySupport,
    /// A conversation may have a second connection while the first is still open, so that a
    /// hand-over can dial before it hangs up. Otherwise the old one is closed first.
    pub overlaps: bool,
    /// It takes [`ProviderCommand::Ping`] and answers each with [`ProviderEvent::Pong`].
    pub pings: bool,
    /// How many times faster than real time it takes audio: what was held back while there was no
    /// connection is sent at this pace. At least 2; more than 4 makes it a guess where in the audio
    /// the provider notices speech, should the connection break again just then.
    pub catch_up: u32,
}

impl ProviderCapabilities {
    /// The least a connection can do, with its rates in Hz: explicit responses and nothing else.
    pub fn new(input_rate: u32, output_rate: u32) -> Self {
        Self {
            input_rate,
            output_rate,
            continuation: Continuation::Explicit,
            interrupts_itself: false,
            truncates: false,
            transcribes_user: false,
            updates: false,
            images: false,
            text_during_tools: true,
            text_during_responses: true,
            resumes: false,
            history: HistorySupport::None,
            overlaps: false,
            pings: false,
            catch_up: 4,
        }
    }
}

/// How much of an earlier conversation a provider can give to a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistorySupport {
    /// Nothing: a new connection knows only the system prompt.
    None,
    /// Words. Tool calls and their results are told to it in words by the engine.
    Text,
    /// Words, tool calls and their results; a result may also answer a call from the history.
    Full,
}

/// How a provider is brought to answer injected text and tool results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Continuation {
    /// It waits for [`ProviderCommand::Respond`]. The engine sends that once per turn and never
    /// while a response runs (contract K7).
    Explicit,
    /// It goes on by itself after a tool result, and after text with `respond` set. The engine
    /// sends [`ProviderCommand::Respond`] only when a new connection owes an answer to something
    /// in its history.
    Automatic,
}

/// An open connection to the vendor.
pub struct ProviderConnection {
    /// What this connection really is, after the session's overrides.
    pub info: ConnectionInfo,
    /// Where commands go.
    pub sink: Box<dyn ProviderSink>,
    /// What the vendor says. Ends with the connection; its last item is [`ProviderEvent::Closed`].
    pub events: BoxStream<'static, ProviderEvent>,
}

/// Facts of one open connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// The vendor's name for the session.
    pub provider_session_id: Option<String>,
    /// What this connection takes, gives and can do.
    pub capabilities: ProviderCapabilities,
    /// How long the vendor will let it live, if that is known. The engine hands the conversation
    /// over to another connection before that.
    pub expires_in: Option<Duration>,
}

impl ConnectionInfo {
    /// A connection with the given capabilities and no vendor's session name.
    pub fn new(capabilities: ProviderCapabilities) -> Self {
        Self {
            provider_session_id: None,
            capabilities,
            expires_in: None,
        }
    }
}

/// The sending half of a connection. Dropping it closes the connection without ceremony.
#[async_trait]
pub trait ProviderSink: Send + 'static {
    /// Sends one command. Waiting here is back-pressure: the engine queues, bounded, behind it.
    ///
    /// The future may be dropped before it is done only together with the sink.
    async fn send(&mut self, command: ProviderCommand) -> Result<(), ProviderError>;

    /// Says goodbye and closes. Called once, last; the engine bounds the time it may take.
    async fn close(&mut self) {}
}

/// What the engine asks of a provider.
#[derive(Debug, Clone, PartialEq)]
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
    /// Forgets the tail of an answer that the user did not hear.
    Truncate {
        /// The item that was playing.
        item_id: ItemId,
        /// Its content part.
        content_index: u32,
        /// What the user heard of it; never more than the provider sent of it.
        heard: Duration,
    },
    /// The user starts to speak (only with manual turns).
    ActivityStart,
    /// The user has finished (only with manual turns).
    ActivityEnd,
    /// Changes the live session; `None` keeps what is.
    Update(SessionUpdate),
    /// One message in the vendor's own form, sent as it is.
    Raw(Value),
    /// Asks the vendor's end of the connection for a sign of life
    /// ([`pings`](ProviderCapabilities::pings)). It stays in order with everything else.
    Ping,
}

/// A change to a live session. Fields that are `None` stay as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionUpdate {
    /// New instructions.
    pub system_prompt: Option<String>,
    /// Another voice.
    pub voice: Option<String>,
    /// The whole new list of tools.
    pub tools: Option<Vec<ToolDefinition>>,
    /// Another temperature.
    pub temperature: Option<f32>,
    /// The vendor's own settings to change.
    pub provider_config: Option<Map<String, Value>>,
}

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

/// What a provider reports, in the order of its wire.
#[derive(Debug, Clone, PartialEq)]
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
        /// What it cost.
        usage: Option<Usage>,
    },
    /// A [`ProviderCommand::Respond`] was turned down because a response was running already.
    ResponseRefused,
    /// Tokens spent outside a response, such as on transcription.
    Usage(Usage),
    /// A [`ProviderCommand::Update`] took effect.
    Updated,
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

/// Tokens of one response.
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
    /// Of those written, text.
    pub output_text_tokens: u64,
    /// Of those written, audio.
    pub output_audio_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.input_text_tokens = self
            .input_text_tokens
            .saturating_add(other.input_text_tokens);
        self.input_audio_tokens = self
            .input_audio_tokens
            .saturating_add(other.input_audio_tokens);
        self.input_image_tokens = self
            .input_image_tokens
            .saturating_add(other.input_image_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(other.cached_tokens);
        self.output_text_tokens = self
            .output_text_tokens
            .saturating_add(other.output_text_tokens);
        self.output_audio_tokens = self
            .output_audio_tokens
            .saturating_add(other.output_audio_tokens);
    }
}
