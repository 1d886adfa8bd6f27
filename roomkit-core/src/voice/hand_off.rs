//! The tool by which a model hands the caller to another agent.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::tool::{Tool, ToolDefinition, ToolError, ToolHandler, ToolInvocation, ToolOutput};

/// A tool that hands the caller to one of some agents of the channel. Agents get theirs with
/// [`Agent::hands_off_to`](super::Agent::hands_off_to); this one is for a channel that begins
/// without an agent, or for another name.
///
/// ```
/// use roomkit_core::{tool::Tool, voice::HandOff};
///
/// let tool: Tool = HandOff::new()
///     .agent("billing", "invoices and payments")
///     .agent("sales", "new contracts")
///     .into();
/// assert_eq!(tool.definition.name, "hand_off");
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct HandOff {
    name: String,
    agents: Vec<(String, String)>,
}

impl HandOff {
    /// A tool called `hand_off`, without agents yet.
    pub fn new() -> Self {
        Self {
            name: "hand_off".into(),
            agents: Vec::new(),
        }
    }

    /// A tool called `hand_off` for these agents.
    pub fn to<N: Into<String>>(agents: impl IntoIterator<Item = N>) -> Self {
        agents
            .into_iter()
            .fold(Self::new(), |tool, name| tool.agent(name, ""))
    }

    /// Calls the tool otherwise.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Adds an agent, and what it is for.
    pub fn agent(mut self, name: impl Into<String>, about: impl Into<String>) -> Self {
        self.agents.push((name.into(), about.into()));
        self
    }

    fn definition(&self) -> ToolDefinition {
        let names: Vec<&str> = self.agents.iter().map(|(name, _)| name.as_str()).collect();
        let agents: Vec<String> = self
            .agents
            .iter()
            .map(|(name, about)| match about.as_str() {
                "" => name.clone(),
                about => format!("{name} ({about})"),
            })
            .collect();
        let description = format!(
            "Hands the caller to another agent, who then speaks with them. The agents: {}.",
            agents.join("; ")
        );
        let parameters = json!({
            "type": "object",
            "properties": {
                "agent": {
                    "type": "string", "enum": names, "description": "Who is to go on."
                },
                "reason": {
                    "type": "string",
                    "description": "Why, and what the next agent must know, in a sentence or two."
                }
            },
            "required": ["agent"]
        });
        ToolDefinition::new(self.name.clone(), description, parameters)
    }
}

impl Default for HandOff {
    fn default() -> Self {
        Self::new()
    }
}

impl From<HandOff> for Tool {
    fn from(tool: HandOff) -> Self {
        let definition = tool.definition();
        Tool::new(definition, tool)
    }
}

#[async_trait]
impl ToolHandler for HandOff {
    async fn call(&self, call: ToolInvocation) -> Result<ToolOutput, ToolError> {
        // The gate has checked that it is one of those declared.
        let agent = call.arguments.get("agent").and_then(Value::as_str);
        let agent = agent.ok_or_else(|| ToolError::new("name the agent"))?;
        let mut answer = json!({ "you_are_now": agent });
        if let Some(reason) = call.arguments.get("reason") {
            answer["reason"] = reason.clone();
        }
        Ok(ToolOutput::from(answer).hand_off(agent))
    }
}
