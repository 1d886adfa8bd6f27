//! Where the log goes: standard error, because standard output is for programs.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use roomkit::error::ConfigError;
use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// What the log looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people, in colour on a terminal
    #[default]
    Text,
    /// One JSON object per line: `timestamp`, `level`, `target`, `message` and the event's fields
    Json,
}

/// Sends the log to standard error. `filter` is a level or directives such as
/// `info,roomkit_core=debug`.
///
/// # Errors
///
/// When the filter cannot be read. A log that is set up already stays as it is.
pub fn log_to_stderr(filter: &str, format: LogFormat) -> Result<(), ConfigError> {
    let log = tracing_subscriber::fmt()
        .with_env_filter(read(filter)?)
        .with_writer(io::stderr);
    // Fails only when there is a log already.
    let _ = match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log.json().flatten_event(true).try_init(),
    };
    Ok(())
}

/// Finds out whether a filter can be used.
pub(crate) fn check(filter: &str) -> Result<(), ConfigError> {
    read(filter).map(drop)
}

fn read(filter: &str) -> Result<EnvFilter, ConfigError> {
    // The MCP client beneath writes whole messages to its log, at `info` too, and no conversation
    // goes there unasked (contract X6). What names `rmcp` itself comes later, and counts.
    let directives = format!("rmcp=warn,{filter}");
    EnvFilter::try_new(directives).map_err(|error| {
        let problem = format!("`{filter}` is no filter: {error}; write for example `info`");
        ConfigError::field("log", problem)
    })
}
