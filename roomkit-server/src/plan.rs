//! What a configuration comes to, for whoever is about to start a server with it.

use std::{
    fmt::{self, Write},
    net::SocketAddr,
};

use roomkit::recording::Consent;

use crate::config::{Config, LogFormat, RecordingConfig};

/// What a server with a configuration would serve. Shown as lines of a key and a value; never with
/// a secret (contract X1).
#[derive(Debug, Clone)]
pub struct Plan {
    lines: Vec<(&'static str, String)>,
}

impl Plan {
    /// Of a configuration that has been found good; `mcp` are the names of its servers.
    pub(crate) fn new(
        config: &Config,
        address: SocketAddr,
        mcp: Vec<String>,
        authenticates: bool,
    ) -> Self {
        let transports = config.transports.iter();
        let limits = &config.limits;
        let auth = if authenticates {
            "on: calls and rooms need a token"
        } else {
            "off: everybody is let in"
        };
        let metrics = if config.metrics.enabled {
            "at /metrics"
        } else {
            "off"
        };
        let format = match config.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "JSON",
        };
        let lines = vec![
            ("listen", format!("{}://{address}", config.scheme())),
            (
                "operations",
                match &config.operations {
                    Some(operations) => format!("http://{}", operations.listen),
                    None => "none".into(),
                },
            ),
            ("provider", provider(config)),
            (
                "transports",
                list(transports.map(|way| format!("{} at {}", way.name, way.path))),
            ),
            ("agents", agents(config)),
            ("mcp", servers(config, mcp)),
            (
                "tool_sources",
                list(config.tool_sources.iter().map(|source| source.name.clone())),
            ),
            ("recording", recording(config.recording.as_ref())),
            ("auth", auth.into()),
            (
                "limits",
                format!("{} calls, {} rooms", limits.max_sessions, limits.max_rooms),
            ),
            ("metrics", metrics.into()),
            ("traces", traces(config)),
            ("log", format!("{}, as {format}", config.log)),
        ];
        Self { lines }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in &self.lines {
            writeln!(f, "{key:<12} {value}")?;
        }
        Ok(())
    }
}

fn provider(config: &Config) -> String {
    // Of its settings only this is shown: others may be keys.
    match config
        .provider
        .config
        .get("model")
        .and_then(|it| it.as_str())
    {
        Some(model) => format!("{}, model {model}", config.provider.name),
        None => config.provider.name.clone(),
    }
}

fn agents(config: &Config) -> String {
    let mut shown = list(config.agents.iter().map(|agent| agent.name.clone()));
    if let Some(first) = &config.channel.first_agent {
        // Writing to a string does not fail.
        let _ = write!(shown, "; calls begin with {first}");
    }
    shown
}

fn servers(config: &Config, names: Vec<String>) -> String {
    let servers = names.into_iter().zip(&config.mcp);
    list(servers.map(|(name, server)| {
        if server.required {
            format!("{name} (required)")
        } else {
            name
        }
    }))
}

fn recording(config: Option<&RecordingConfig>) -> String {
    match config {
        Some(RecordingConfig { sink, consent, .. }) => match consent {
            Consent::Ask => format!("{sink}, of callers who consent"),
            Consent::Given => format!("{sink}, of every call"),
        },
        None => "none".into(),
    }
}

fn traces(config: &Config) -> String {
    match &config.otel {
        Some(otel) => format!("to {} as {}", otel.place(), otel.service_name),
        None => "off".into(),
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() {
        "none".into()
    } else {
        items.join(", ")
    }
}
