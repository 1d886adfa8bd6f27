//! Where the log goes: standard error, because standard output is for programs.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use roomkit::error::ConfigError;
use serde::Deserialize;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, filter_fn},
    fmt,
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

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

/// A log that was set up. A cheap handle.
#[derive(Debug, Clone)]
pub struct Log(reload::Handle<EnvFilter, Registry>);

/// Sends the log to standard error. `filter` is a level or directives such as
/// `info,roomkit_core=debug`.
///
/// # Errors
///
/// When the filter cannot be read. A log that is set up already stays as it is.
pub fn log_to_stderr(filter: &str, format: LogFormat) -> Result<Log, ConfigError> {
    let (filter, handle) = reload::Layer::new(read(filter)?);
    // Spans are for traces: what a line is about, it says itself.
    let filter = filter.and(filter_fn(|what| !what.is_span()));
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let log = tracing_subscriber::registry().with(lines.with_filter(filter));
    // Fails only when there is a log already.
    let _ = log.try_init();
    Ok(Log(handle))
}

impl Log {
    /// Logs what this filter says from now on.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn set_filter(&self, filter: &str) -> Result<(), ConfigError> {
        let read = read(filter)?;
        // Fails only when the log is gone.
        let _ = self.0.reload(read);
        Ok(())
    }
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
