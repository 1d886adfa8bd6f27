//! A tool whose schema has been read: once, however many sessions have it.

use std::{fmt, sync::Arc};

use serde_json::{Map, Value};

use crate::{
    error::ConfigError,
    tool::{Tool, ToolDefinition, ToolHandler},
};

/// A tool that can be called.
pub(crate) struct Entry {
    tool: Tool,
    schema: jsonschema::Validator,
}

impl Entry {
    /// Reads a tool's schema, which costs time. One that is none or not of an object, and rules that
    /// allow no call are refused.
    pub(crate) fn new(tool: Tool) -> Result<Self, ConfigError> {
        let ToolDefinition {
            name,
            parameters,
            rules,
            ..
        } = &tool.definition;
        if name.is_empty() {
            let problem = "is empty; give every tool a name";
            return Err(ConfigError::field("tools.name", problem));
        }
        let wrong = |problem| ConfigError::field(format!("tools.{name}.parameters"), problem);
        let schema = jsonschema::validator_for(parameters)
            .map_err(|error| wrong(format!("is no JSON Schema: {error}")))?;
        if let Some(kind) = parameters.get("type")
            && kind != "object"
        {
            let problem = format!("is a schema of {kind}; arguments are an object");
            return Err(wrong(problem));
        }
        rules.check(&format!("tools.{name}"))?;
        Ok(Self { tool, schema })
    }

    /// The same for all of these.
    pub(crate) fn all(tools: Vec<Tool>) -> Result<Vec<Arc<Self>>, ConfigError> {
        let read = |tool| Self::new(tool).map(Arc::new);
        tools.into_iter().map(read).collect()
    }

    pub(crate) fn definition(&self) -> &ToolDefinition {
        &self.tool.definition
    }

    pub(crate) fn name(&self) -> &str {
        &self.tool.definition.name
    }

    /// Who answers, if it is not left to the channel's handler.
    pub(crate) fn handler(&self) -> Option<&Arc<dyn ToolHandler>> {
        self.tool.handler.as_ref()
    }

    /// Whether this one answers.
    pub(crate) fn is_answered_by(&self, handler: &Arc<dyn ToolHandler>) -> bool {
        let own = self.handler();
        own.is_some_and(|own| std::ptr::addr_eq(Arc::as_ptr(own), Arc::as_ptr(handler)))
    }

    /// The arguments, if they are an object and satisfy the schema; otherwise what is wrong with them.
    pub(super) fn check(&self, arguments: Value) -> Result<Map<String, Value>, String> {
        let problems: Vec<String> = self
            .schema
            .iter_errors(&arguments)
            .take(5)
            .map(|problem| match problem.instance_path().as_str() {
                "" => problem.to_string(),
                path => format!("{path}: {problem}"),
            })
            .collect();
        match arguments {
            Value::Object(arguments) if problems.is_empty() => Ok(arguments),
            Value::Object(_) => Err(format!("are wrong: {}", problems.join("; "))),
            _ => Err("are not an object".to_owned()),
        }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(&self.name()).finish()
    }
}
