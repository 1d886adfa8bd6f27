//! Agents in the configuration file.

use std::fmt;

use roomkit::voice::Agent;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Somebody the AI can be. What is left out is as `[channel]` has it, but for `provider_config`.
#[derive(Clone, PartialEq, Deserialize)]
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
    /// Which tools of MCP servers, of other sources and of `[channel]` it may call: their names, in which
    /// `*` stands for any text. In the file also `true`, all of them, which is the default, and `false`, none.
    #[serde(default = "all_tools", deserialize_with = "names_of_tools")]
    pub tools: Vec<String>,
    /// The agents it may hand callers to; default none.
    #[serde(default)]
    pub hands_off_to: Vec<String>,
    /// The provider's settings that it changes; default none. They stay until another agent sets them.
    #[serde(default)]
    pub provider_config: Map<String, Value>,
}

fn all_tools() -> Vec<String> {
    vec!["*".into()]
}

/// Takes any value first: serde's own words on what fits neither form name neither.
fn names_of_tools<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let names = match Value::deserialize(deserializer)? {
        Value::Bool(true) => Some(all_tools()),
        Value::Bool(false) => Some(Vec::new()),
        Value::Array(names) => names
            .into_iter()
            .map(|name| name.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    };
    names.ok_or_else(|| {
        let problem =
            "`tools` of an agent must be true, false, or a list of names, such as [\"billing_*\"]";
        serde::de::Error::custom(problem)
    })
}

impl AgentConfig {
    pub(crate) fn agent(&self) -> Agent {
        let mut agent = Agent::new(&self.name, &self.system_prompt)
            .about(&self.about)
            .channel_tools_named(&self.tools)
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

impl fmt::Debug for AgentConfig {
    /// Without the provider's settings, which may hold a key (contract X1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentConfig")
            .field("name", &self.name)
            .field("system_prompt", &self.system_prompt)
            .field("about", &self.about)
            .field("voice", &self.voice)
            .field("temperature", &self.temperature)
            .field("greeting", &self.greeting)
            .field("tools", &self.tools)
            .field("hands_off_to", &self.hands_off_to)
            .finish_non_exhaustive()
    }
}
