//! Agents in the configuration file.

use roomkit::voice::Agent;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Somebody the AI can be. What is left out is as `[channel]` has it, but for `provider_config`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// By which others name it.
    pub name: String,
    /// Its instructions.
    pub system_prompt: String,
    /// What it is for, in a few words for the models of others; default empty.
    #[serde(default)]
    pub about: String,
    /// Its voice, by the vendor's name.
    pub voice: Option<String>,
    /// Its sampling temperature, for vendors that take one.
    pub temperature: Option<f32>,
    /// What it says when a caller comes to it; default nothing.
    pub greeting: Option<String>,
    /// Whether it may call the tools of MCP servers, of other sources and of `[channel]`; default true.
    #[serde(default = "yes")]
    pub tools: bool,
    /// The agents it may hand callers to; default none.
    #[serde(default)]
    pub hands_off_to: Vec<String>,
    /// The provider's settings that it changes; default none. They stay until another agent sets them.
    #[serde(default)]
    pub provider_config: Map<String, Value>,
}

fn yes() -> bool {
    true
}

impl AgentConfig {
    pub(crate) fn agent(&self) -> Agent {
        let mut agent = Agent::new(&self.name, &self.system_prompt)
            .about(&self.about)
            .channel_tools(self.tools)
            .hands_off_to(&self.hands_off_to);
        if let Some(voice) = &self.voice {
            agent = agent.voice(voice);
        }
        if let Some(temperature) = self.temperature {
            agent = agent.temperature(temperature);
        }
        if let Some(greeting) = &self.greeting {
            agent = agent.greeting(greeting);
        }
        for (key, value) in &self.provider_config {
            agent = agent.provider_config(key, value.clone());
        }
        agent
    }
}
