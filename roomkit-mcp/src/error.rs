//! Why there are no tools.

use roomkit_core::registry::ConfigError;

/// Why MCP servers cannot be used: which, and what would do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum McpError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A required server did not get ready.
    #[error(
        "the MCP server `{server}` cannot be used: {problem}; start it, correct its settings, or \
         set `required = false` to go on without its tools until it is there"
    )]
    Unreachable {
        /// The server's name.
        server: String,
        /// What went wrong, without secrets.
        problem: String,
    },
    /// Two servers offer tools of one name.
    #[error(
        "the MCP servers `{first}` and `{second}` both offer a tool `{tool}`; give one of them a \
         `prefix`, or rename the tool with `renames`"
    )]
    Clash {
        /// The name, after prefix and renames.
        tool: String,
        /// The server that comes first in the list.
        first: String,
        /// The other one.
        second: String,
    },
}
