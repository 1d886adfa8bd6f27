//! Tools that the vendor runs itself.

use std::fmt;

use roomkit_core::registry::ConfigError;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use serde_json::{Map, Value};

/// A tool that the vendor runs itself, in the vendor's words: an MCP server that it calls, or xAI's
/// `{"type": "web_search"}`.
///
/// `Debug` shows its type alone, for an MCP server's `authorization` and `headers` are secrets (contract
/// X1). Serialised it is whole.
#[derive(Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct VendorTool(Map<String, Value>);

impl VendorTool {
    /// A tool as it is to stand among the `tools` of the vendor's session.
    ///
    /// # Errors
    /// When it is no object with a `type`, is a `function`, which is for the session's own tools, or is an
    /// MCP server whose calls would wait for an approval; the value is not repeated.
    pub fn new(tool: Value) -> Result<Self, ConfigError> {
        checked(tool).map_err(|problem| ConfigError::field("vendor_tools", problem))
    }

    /// As it is told to the vendor.
    pub(crate) fn to_value(&self) -> Value {
        Value::Object(self.0.clone())
    }

    /// What is to be in no text that people see: the vendor may repeat it in an error.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = SecretString> {
        let headers = self.0.get("headers").and_then(Value::as_object);
        let values = headers.into_iter().flat_map(Map::values);
        let all = self.0.get("authorization").into_iter().chain(values);
        all.filter_map(Value::as_str).flat_map(|secret| {
            let key = secret.split_once(' ').map(|(_, key)| key.into());
            [Some(secret.into()), key].into_iter().flatten()
        })
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
        "" => Err("has no `type`; the vendor tells its tools apart by that, such as `mcp`"),
        "function" => {
            Err("is of type `function`, which the vendor does not run; give the session a tool")
        }
        "mcp" if asks(tool.0.get("require_approval")) => Err(
            "asks for approvals, which nobody gives in a call; set its `require_approval` to `never`, and \
             name what may be called in `allowed_tools`",
        ),
        _ => Ok(tool),
    }
}

/// Left out it is the vendor's `always`.
fn asks(approval: Option<&Value>) -> bool {
    approval.is_none_or(|approval| approval.is_null() || *approval == "always")
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
