//! What servers answer as functions of bytes, for the project's own fuzzing. No part of the API.

use std::collections::BTreeMap;

use rmcp::model::{CallToolResult, ListToolsResult, ServerJsonRpcMessage};

use crate::{catalogue::Catalogue, filter::Filter, outcome};

/// Messages, results of tools and lists of tools.
pub fn messages(input: &[u8]) {
    let _ = serde_json::from_slice::<ServerJsonRpcMessage>(input);
    if let Ok(result) = serde_json::from_slice::<CallToolResult>(input) {
        let _ = outcome::of(result);
    }
    if let Ok(listed) = serde_json::from_slice::<ListToolsResult>(input) {
        let filter = Filter {
            prefix: "p_".into(),
            ..Filter::default()
        };
        Catalogue::new("fuzzed", &filter, &BTreeMap::new(), 4, &listed.tools);
    }
}
