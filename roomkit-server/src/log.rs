//! Where the log goes: standard error, because standard output is for programs.

use std::io::{self, IsTerminal};

use roomkit::error::ConfigError;
use tracing_subscriber::EnvFilter;

/// Sends the log to standard error. `filter` is a level or directives such as
/// `info,roomkit_core=debug`.
///
/// # Errors
///
/// When the filter cannot be read. A log that is set up already stays as it is.
pub fn log_to_stderr(filter: &str) -> Result<(), ConfigError> {
    // The MCP client beneath writes whole messages to its log, at `info` too, and no conversation
    // goes there unasked (contract X6). What names `rmcp` itself comes later, and counts.
    let directives = format!("rmcp=warn,{filter}");
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        let problem = format!("`{filter}` is no filter: {error}; write for example `info`");
        ConfigError::field("log", problem)
    })?;
    // Fails only when there is a log already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
    Ok(())
}
