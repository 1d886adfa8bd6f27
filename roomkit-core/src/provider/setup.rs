//! What a connection is asked to be, and the conversation it takes up.

use std::{fmt, sync::Arc, time::Duration};

use serde_json::{Map, Value};

#[cfg(doc)]
use super::{HistorySupport, ProviderCapabilities, ProviderCommand};
use super::{Role, SessionUpdate};
use crate::{
    id::{CallId, SessionId},
    tool::ToolDefinition,
};

/// What one connection is asked to be. Its Debug output leaves out what may be confidential.
#[derive(Clone, PartialEq)]
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
    /// Whether the user interrupts the model by speaking. Where it is false a provider that
    /// [heeds it](ProviderCapabilities::heeds_interruptions) tells its vendor so, and refuses settings
    /// of its own that say the opposite.
    pub interruptions: bool,
    /// Tools the model may call; all sessions that have the same ones share them.
    pub tools: Arc<[ToolDefinition]>,
    /// The vendor's own settings of the channel, checked by the provider.
    pub provider_config: Map<String, Value>,
    /// What the session has besides: its first agent's settings, its own, and what was changed since it
    /// began, in this order. How settings go together only the provider knows, so it lays them over
    /// each other; [`provider_layers`](Self::provider_layers) gives all.
    pub provider_changes: Vec<Map<String, Value>>,
    /// Take up the conversation this token stands for. Given only to a provider that
    /// [`resumes`](ProviderCapabilities::resumes). When the vendor refuses it, `connect` fails and
    /// the engine tries again without.
    pub resume: Option<ResumeToken>,
    /// What was said before this connection, oldest first: all of it, or with `resume` only what
    /// came after the token. The provider gives it to the model in its vendor's form, as far as
    /// [`history`](ProviderCapabilities::history) says it can, and asks for no response to it.
    pub history: Vec<HistoryItem>,
    /// How long the engine waits for `connect`, from its call on; `None` is as long as the provider does. One
    /// that gives up a little earlier by itself can say what it waited for.
    pub connect_within: Option<Duration>,
}

impl SessionSetup {
    /// A setup that leaves everything to the provider's defaults.
    pub fn new(session_id: SessionId) -> Self {
        Self {
            session_id,
            system_prompt: None,
            voice: None,
            temperature: None,
            interruptions: true,
            tools: Arc::default(),
            provider_config: Map::new(),
            provider_changes: Vec::new(),
            resume: None,
            history: Vec::new(),
            connect_within: None,
        }
    }

    /// The vendor's own settings of the channel and the session, each a layer over the one before.
    pub fn provider_layers(&self) -> impl Iterator<Item = &Map<String, Value>> {
        std::iter::once(&self.provider_config).chain(&self.provider_changes)
    }

    /// Makes a change to a live session part of what later connections are asked to be; but for the
    /// vendor's own settings.
    pub(crate) fn update(&mut self, update: &SessionUpdate) {
        if let Some(prompt) = &update.system_prompt {
            self.system_prompt = Some(prompt.clone());
        }
        if let Some(voice) = &update.voice {
            self.voice = Some(voice.clone());
        }
        if let Some(tools) = &update.tools {
            self.tools = Arc::clone(tools);
        }
        if let Some(temperature) = update.temperature {
            self.temperature = Some(temperature);
        }
    }
}

impl fmt::Debug for SessionSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools: Vec<&str> = self.tools.iter().map(|tool| tool.name.as_str()).collect();
        let settings: Vec<&String> = self.provider_layers().flat_map(Map::keys).collect();
        f.debug_struct("SessionSetup")
            .field("session_id", &self.session_id)
            .field("voice", &self.voice)
            .field("temperature", &self.temperature)
            .field("interruptions", &self.interruptions)
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
