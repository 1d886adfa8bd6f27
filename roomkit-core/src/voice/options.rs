//! What one session has different from its channel.

use serde_json::{Map, Value};

use super::agent::AgentRef;
use crate::{provider::SessionSetup, tool::Tool};

/// Overrides of the channel's settings for one session (contract S5). What is not set stays as the
/// channel has it.
#[derive(Clone, Default)]
pub struct SessionOptions {
    pub(super) system_prompt: Option<String>,
    pub(super) voice: Option<String>,
    pub(super) temperature: Option<f32>,
    pub(super) interruptions: Option<bool>,
    pub(super) tools: Option<Vec<Tool>>,
    pub(super) provider_config: Map<String, Value>,
    pub(super) metadata: Map<String, Value>,
    pub(super) record: Option<bool>,
    pub(super) greeting: Option<String>,
    pub(super) agent: Option<AgentRef>,
}

impl SessionOptions {
    /// No overrides.
    pub fn new() -> Self {
        Self::default()
    }

    /// Other instructions for the model.
    #[must_use]
    pub fn system_prompt(mut self, prompt: impl Into<String>) -> Self {
        self.system_prompt = Some(prompt.into());
        self
    }

    /// Another voice, by the vendor's name.
    #[must_use]
    pub fn voice(mut self, voice: impl Into<String>) -> Self {
        self.voice = Some(voice.into());
        self
    }

    /// Another sampling temperature.
    #[must_use]
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Whether the user can interrupt the AI by speaking, as
    /// [`interruptions`](super::RealtimeVoiceChannelBuilder::interruptions) of the channel says for
    /// all. What the provider cannot be told is refused when the session starts.
    #[must_use]
    pub fn interruptions(mut self, allowed: bool) -> Self {
        self.interruptions = Some(allowed);
        self
    }

    /// Other tools, instead of the channel's.
    #[must_use]
    pub fn tools<T: Into<Tool>>(mut self, tools: impl IntoIterator<Item = T>) -> Self {
        self.tools = Some(tools.into_iter().map(Into::into).collect());
        self
    }

    /// One of the provider's own settings. The provider lays it over those of the channel and the
    /// agent, as it does with a change of a live session.
    #[must_use]
    pub fn provider_config(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.provider_config.insert(key.into(), value.into());
        self
    }

    /// What the AI says first, instead of the channel's or the agent's greeting.
    #[must_use]
    pub fn greeting(mut self, greeting: impl Into<String>) -> Self {
        self.greeting = Some(greeting.into());
        self
    }

    /// Who the AI is at first: an agent of the channel by its name, or any by value. What else is
    /// set here wins over what the agent has.
    #[must_use]
    pub fn agent(mut self, agent: impl Into<AgentRef>) -> Self {
        self.agent = Some(agent.into());
        self
    }

    /// Something to remember with the session.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Whether this session is recorded: with true its people have consented, and recording begins
    /// with it; with false it never does. Unless set the channel's recording says when.
    #[must_use]
    pub fn record(mut self, record: bool) -> Self {
        self.record = Some(record);
        self
    }

    /// Replaces what these options set in `setup`.
    pub(super) fn apply(&self, setup: &mut SessionSetup) {
        if let Some(prompt) = &self.system_prompt {
            setup.system_prompt = Some(prompt.clone());
        }
        if let Some(voice) = &self.voice {
            setup.voice = Some(voice.clone());
        }
        if let Some(temperature) = self.temperature {
            setup.temperature = Some(temperature);
        }
        if let Some(allowed) = self.interruptions {
            setup.interruptions = allowed;
        }
        if !self.provider_config.is_empty() {
            setup.provider_changes.push(self.provider_config.clone());
        }
    }
}

impl std::fmt::Debug for SessionOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionOptions")
            .field("voice", &self.voice)
            .field("temperature", &self.temperature)
            .finish_non_exhaustive()
    }
}
