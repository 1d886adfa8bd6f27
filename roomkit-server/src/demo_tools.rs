//! A tool to try tools with.

use jiff::Timestamp;
use roomkit::tool::{Tool, ToolDefinition, ToolInvocation};
use serde_json::json;

/// Tells the model what time it is.
pub(crate) fn current_time() -> Tool {
    let definition = ToolDefinition::new(
        "current_time",
        "The current date and time in UTC, as RFC 3339.",
        json!({"type": "object", "properties": {}}),
    );
    Tool::new(definition, Clock)
}

struct Clock;

#[async_trait::async_trait]
impl roomkit::tool::ToolHandler for Clock {
    async fn call(
        &self,
        _invocation: ToolInvocation,
    ) -> Result<roomkit::tool::ToolOutput, roomkit::tool::ToolError> {
        let now = Timestamp::now().round(jiff::Unit::Second);
        let now = now.map_err(|error| roomkit::tool::ToolError::new(error.to_string()))?;
        Ok(json!({"utc": now.to_string()}).into())
    }
}
