//! Where the log goes: standard error, because standard output is for programs. And traces.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use roomkit::error::ConfigError;
use serde::Deserialize;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt, LevelFilter, filter_fn},
    fmt,
    layer::SubscriberExt,
    reload,
    util::SubscriberInitExt,
};

use crate::config::Config;
#[cfg(feature = "otel")]
use crate::otel::Traces;

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

/// A log that was set up, with traces where the configuration wants some. A cheap handle.
#[derive(Debug, Clone)]
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    #[cfg(feature = "otel")]
    traces: Option<Traces>,
}

/// Sends the log to standard error, and traces to where the configuration says. Needs a runtime.
///
/// # Errors
///
/// When the filter cannot be read, or traces cannot be sent there. A log that is set up already stays
/// as it is.
pub fn observe(config: &Config) -> Result<Log, ConfigError> {
    if let Some(otel) = &config.otel {
        otel.check()?;
    }
    let (filter, handle) = reload::Layer::new(read(&config.log)?);
    // Spans are for traces: what a line is about, it says itself. Without a hint of its own this would
    // take the other filter's, and with it the cheapest way to skip what is not logged.
    let no_spans = filter_fn(|what| !what.is_span()).with_max_level_hint(LevelFilter::TRACE);
    let filter = filter.and(no_spans);
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match config.log_format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let log = tracing_subscriber::registry().with(lines.with_filter(filter));
    #[cfg(feature = "otel")]
    let traces = config.otel.as_ref().map(Traces::start).transpose()?;
    #[cfg(feature = "otel")]
    let log = log.with(traces.as_ref().map(Traces::layer));
    // Fails only when there is a log already.
    let _ = log.try_init();
    Ok(Log {
        filter: handle,
        #[cfg(feature = "otel")]
        traces,
    })
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
        let _ = self.filter.reload(read);
        Ok(())
    }

    /// Sends the last traces, for 5 s at most. Nothing is traced from then on.
    #[cfg_attr(
        not(feature = "otel"),
        expect(clippy::unused_async, reason = "there are no traces")
    )]
    pub async fn finish(self) {
        #[cfg(feature = "otel")]
        if let Some(traces) = self.traces {
            traces.finish().await;
        }
    }
}

/// Finds out whether a filter can be used.
pub(crate) fn check(filter: &str) -> Result<(), ConfigError> {
    read(filter).map(drop)
}

fn read(filter: &str) -> Result<EnvFilter, ConfigError> {
    let refused = |problem: String| {
        let remedy = "write for example `info`, or `info,TARGET=debug`";
        ConfigError::field(
            "log",
            format!("`{filter}` is no filter: {problem}; {remedy}"),
        )
    };
    // The MCP client beneath writes whole messages to its log, at `info` too, and no conversation
    // goes there unasked (contract X6); the exporter of traces writes its whole address at `debug`,
    // which may hold a key (X1). What names them itself comes later, and counts.
    let mut directives = vec!["rmcp=warn", "opentelemetry_otlp=info"];
    let ours = directives.len();
    directives.extend(filter.split(',').map(str::trim).filter(|it| !it.is_empty()));
    let theirs = &directives[ours..];
    if theirs.is_empty() {
        return Err(refused("it is empty".into()));
    }
    // What stands alone and is no level would be a target, and a mistyped level would silence all else.
    let is_level = |it: &str| it.contains('=') || it.parse::<LevelFilter>().is_ok();
    if let Some(wrong) = theirs.iter().find(|it| !is_level(it)) {
        return Err(refused(format!("`{wrong}` is no level")));
    }
    // What is asked of a vendor, its key and all, is written at `trace` where a program of one's own
    // brings the records of `log` here. This comes last: nothing overrides it.
    directives.push("tungstenite::handshake::client=debug");
    EnvFilter::try_new(directives.join(",")).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use tracing::{Level, subscriber::with_default};

    use super::*;

    #[test]
    fn x1_the_vendors_key_is_in_no_filters_reach() {
        for filter in [
            "trace",
            "info,tungstenite=trace",
            "tungstenite::handshake::client=trace,tungstenite=trace",
        ] {
            let log = tracing_subscriber::registry().with(read(filter).unwrap());
            with_default(log, || {
                let shown =
                    tracing::enabled!(target: "tungstenite::handshake::client", Level::TRACE);
                assert!(!shown, "{filter}");
                assert!(tracing::enabled!(target: "tungstenite::protocol", Level::TRACE));
            });
        }
    }
}
