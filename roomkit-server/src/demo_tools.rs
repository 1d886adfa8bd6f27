//! A tool to try tools with.

use async_trait::async_trait;
use jiff::{Timestamp, Unit};
use roomkit::tool::{Tool, ToolDefinition, ToolError, ToolHandler, ToolInvocation, ToolOutput};
use serde_json::json;

/// Tells the model what time it is. The echo calls it when it is asked "what time is it".
pub(crate) fn current_time() -> Tool {
    let definition = ToolDefinition::new(
        "current_time",
        "The current date and time in UTC, as RFC 3339.",
        json!({"type": "object", "properties": {}}),
    );
    Tool::new(definition, Clock)
}

struct Clock;

#[async_trait]
impl ToolHandler for Clock {
    async fn call(&self, _invocation: ToolInvocation) -> Result<ToolOutput, ToolError> {
        let now = Timestamp::now().round(Unit::Second);
        let now = now.map_err(|error| ToolError::new(error.to_string()))?;
        Ok(json!({"utc": now.to_string()}).into())
    }
}
