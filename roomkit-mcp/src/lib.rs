#![doc = include_str!("../README.md")]

mod backoff;
mod call;
mod catalogue;
mod check;
mod child;
mod config;
mod connection;
mod error;
mod events;
mod explain;
mod filter;
#[doc(hidden)]
pub mod fuzzing;
mod http_client;
mod listing;
mod live;
mod outcome;
mod progress;
mod schema;
mod secrets;
mod server;
mod token;
mod tools;

use std::sync::Arc;

use roomkit_core::{
    registry::{ConfigError, ToolSourcePlugin, inventory, read_config},
    tool::ToolSource,
};
use serde::Deserialize;
use serde_json::Value;

pub use config::McpServer;
pub use error::McpError;
pub use progress::McpProgress;
/// What tokens and keys are given in.
pub use secrecy;
pub use token::{TokenError, TokenSource};
pub use tools::{McpServerStatus, McpTools};

inventory::submit! {
    ToolSourcePlugin {
        name: "mcp",
        about: "tools of MCP servers, over streamable HTTP or as child processes",
        build,
    }
}

/// Several servers in one source, so that their names are kept apart.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Servers {
    servers: Vec<McpServer>,
}

/// One server's configuration, or several as `servers`. They are connected to in the background;
/// the first to ask for the list waits.
fn build(config: Value) -> Result<Arc<dyn ToolSource>, ConfigError> {
    let servers = if config.get("servers").is_some() {
        read_config::<Servers>(config)?.servers
    } else {
        vec![read_config::<McpServer>(config)?]
    };
    Ok(Arc::new(McpTools::start(servers)?))
}
