//! Tools that the vendor runs itself.

use std::fmt;

use roomkit_core::registry::ConfigError;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Map, Value};

/// A tool that the vendor runs itself, in the vendor's words, such as xAI's `{"type": "web_search"}`.
///
/// `Debug` shows its type alone: what a vendor lets a host say there may be a secret (contract X1).
/// Serialised it is whole.
#[derive(Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct VendorTool(Map<String, Value>);

impl VendorTool {
    /// A tool as it is to stand among the `tools` of the vendor's session.
    ///
    /// # Errors
    /// When it is no object with a `type`, is a `function`, which is for the session's own tools, or is an
    /// MCP server (`mcp`): the vendor does not go on by itself after it has called one, and asks for
    /// approvals that nobody gives. The value is not repeated.
    pub fn new(tool: Value) -> Result<Self, ConfigError> {
        checked(tool).map_err(|problem| ConfigError::field("vendor_tools", problem))
    }

    /// As it is told to the vendor.
    pub(crate) fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    fn kind(&self) -> &str {
        self.0
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

fn checked(tool: Value) -> Result<VendorTool, &'static str> {
    let Value::Object(tool) = tool else {
        return Err(
            "is no object; write the tool as the vendor does, such as {\"type\": \"web_search\"}",
        );
    };
    let tool = VendorTool(tool);
    match tool.kind() {
        "" => Err("has no `type`; the vendor tells its tools apart by that, such as `web_search`"),
        "function" => {
            Err("is of type `function`, which the vendor does not run; give the session a tool")
        }
        "mcp" => Err(
            "is an MCP server for the vendor to call, after which it says nothing until it is asked to; give \
             the session the tools of the server (`roomkit-mcp`)",
        ),
        _ => Ok(tool),
    }
}

/// A list of them; null is an empty one. It is read as a value first, because serde's complaints would
/// repeat what it found.
pub(super) fn list<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<VendorTool>, D::Error> {
    let tools = match Value::deserialize(from)? {
        Value::Null => Vec::new(),
        Value::Array(tools) => tools,
        _ => {
            return Err(D::Error::custom(
                "must be a list of tools in the vendor's words",
            ));
        }
    };
    let tools = tools.into_iter().enumerate();
    tools
        .map(|(at, tool)| {
            checked(tool).map_err(|problem| D::Error::custom(format!("[{at}] {problem}")))
        })
        .collect()
}

impl fmt::Debug for VendorTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VendorTool")
            .field("type", &self.kind())
            .finish_non_exhaustive()
    }
}
