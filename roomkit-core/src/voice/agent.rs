//! Agents: who the AI of a session is, and how one hands the caller to another.

use std::fmt;

use serde_json::{Map, Value};

use super::hand_off::HandOff;
use crate::tool::Tool;

/// Who the AI is: a name, instructions, a voice, tools, and what it says first.
///
/// A channel is given its agents with
/// [`RealtimeVoiceChannelBuilder::agents`](super::RealtimeVoiceChannelBuilder::agents); a session
/// begins as one with [`SessionOptions::agent`](super::SessionOptions::agent) and becomes another
/// with [`RealtimeVoiceChannel::hand_off`](super::RealtimeVoiceChannel::hand_off), or when the
/// model itself hands the caller over ([`hands_off_to`](Self::hands_off_to)).
///
/// What an agent does not set is as the channel has it, and where that sets none either, voice and
/// temperature are the provider's own, for which the conversation moves to another connection if the
/// agent before had others. [Other settings](Self::provider_config) of the agent before stay. And its
/// tools are its own and no others, unless it has the [channel's tools](Self::channel_tools) too, or
/// [some of them](Self::channel_tools_named), such as those of one MCP server.
///
/// ```
/// use roomkit_core::voice::Agent;
///
/// let triage = Agent::new("triage", "Find out what the caller needs.")
///     .about("finds out what a caller needs")
///     .greeting("Welcome to Acme. What can I do for you?")
///     .hands_off_to(["billing"]);
/// let billing = Agent::new("billing", "You answer questions about invoices.")
///     .about("invoices and payments")
///     .voice("marin")
///     .hands_off_to(["triage"]);
/// # let _ = (triage, billing);
/// ```
///
/// All agents of a channel speak through its provider.
#[derive(Clone)]
#[must_use]
pub struct Agent {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) system_prompt: String,
    pub(super) voice: Option<String>,
    pub(super) temperature: Option<f32>,
    pub(super) tools: Vec<Tool>,
    /// Which of the channel's, as globs.
    pub(super) channel_tools: Vec<String>,
    pub(super) provider_config: Map<String, Value>,
    pub(super) greeting: Option<String>,
    pub(super) successors: Vec<String>,
}

impl Agent {
    /// An agent with these instructions. Others name it by its name.
    pub fn new(name: impl Into<String>, system_prompt: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            about: String::new(),
            system_prompt: system_prompt.into(),
            voice: None,
            temperature: None,
            tools: Vec::new(),
            channel_tools: Vec::new(),
            provider_config: Map::new(),
            greeting: None,
            successors: Vec::new(),
        }
    }

    /// What it is for, in a few words: by this the models of others decide to hand a caller to it.
    pub fn about(mut self, about: impl Into<String>) -> Self {
        self.about = about.into();
        self
    }

    /// Its voice, by the vendor's name.
    pub fn voice(mut self, voice: impl Into<String>) -> Self {
        self.voice = Some(voice.into());
        self
    }

    /// Its sampling temperature. Where the provider changes none in a session, one that is not the
    /// channel's is refused.
    pub fn temperature(mut self, temperature: f32) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Adds one tool.
    pub fn tool(mut self, tool: impl Into<Tool>) -> Self {
        self.tools.push(tool.into());
        self
    }

    /// Adds tools.
    pub fn tools<T: Into<Tool>>(mut self, tools: impl IntoIterator<Item = T>) -> Self {
        self.tools.extend(tools.into_iter().map(Into::into));
        self
    }

    /// Whether it has the tools of its channel too, and those of the channel's sources such as MCP
    /// servers, which change with them. Of two tools of one name its own counts.
    pub fn channel_tools(mut self, has: bool) -> Self {
        self.channel_tools = if has {
            vec!["*".to_owned()]
        } else {
            Vec::new()
        };
        self
    }

    /// Adds some of the channel's tools and of its sources', by their names, in which `*` stands for any
    /// text; otherwise as [`channel_tools`](Self::channel_tools). Where an MCP server has a prefix, that is
    /// how an agent gets the tools of this server and no others:
    ///
    /// ```
    /// # use roomkit_core::voice::Agent;
    /// let billing = Agent::new("billing", "You answer questions about invoices.")
    ///     .channel_tools_named(["billing_*", "hang_up"]);
    /// # let _ = billing;
    /// ```
    ///
    /// A name that no tool has is no error: one may come.
    pub fn channel_tools_named<N: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = N>,
    ) -> Self {
        self.channel_tools.extend(names.into_iter().map(Into::into));
        self
    }

    /// One of the provider's own settings. Those of the agent before with other keys stay: what differs
    /// between agents is best set in each.
    pub fn provider_config(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.provider_config.insert(key.into(), value.into());
        self
    }

    /// What it says when the caller comes to it; without this it goes on with the conversation.
    pub fn greeting(mut self, greeting: impl Into<String>) -> Self {
        self.greeting = Some(greeting.into());
        self
    }

    /// Lets its model hand the caller to these agents of the channel, by a tool `hand_off`. Agents
    /// may name each other.
    pub fn hands_off_to<N: Into<String>>(mut self, agents: impl IntoIterator<Item = N>) -> Self {
        self.successors.extend(agents.into_iter().map(Into::into));
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its own tools, and the one by which it hands the caller over; `about` tells of agents.
    pub(super) fn all_tools(&self, about: impl Fn(&str) -> String) -> Vec<Tool> {
        let mut tools = self.tools.clone();
        if !self.successors.is_empty() {
            let hand_off = self.successors.iter().fold(HandOff::new(), |tool, name| {
                tool.agent(name.as_str(), about(name))
            });
            tools.push(hand_off.into());
        }
        tools
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tools = self.tools.iter().map(|tool| tool.definition.name.as_str());
        f.debug_struct("Agent")
            .field("name", &self.name)
            .field("voice", &self.voice)
            .field("tools", &tools.collect::<Vec<_>>())
            .field("hands_off_to", &self.successors)
            .finish_non_exhaustive()
    }
}

/// An agent, by value or by its name among those of the channel.
#[derive(Debug, Clone)]
pub struct AgentRef(pub(super) Which);

#[derive(Debug, Clone)]
pub(super) enum Which {
    Named(String),
    Given(Box<Agent>),
}

impl From<&str> for AgentRef {
    fn from(name: &str) -> Self {
        Self(Which::Named(name.to_owned()))
    }
}

impl From<String> for AgentRef {
    fn from(name: String) -> Self {
        Self(Which::Named(name))
    }
}

impl From<Agent> for AgentRef {
    fn from(agent: Agent) -> Self {
        Self(Which::Given(Box::new(agent)))
    }
}

impl From<&Agent> for AgentRef {
    fn from(agent: &Agent) -> Self {
        agent.clone().into()
    }
}
