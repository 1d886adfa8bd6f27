//! The configuration file: TOML, named like the command line's flags, unknown fields refused.

mod channel;
mod limits;
mod operations;
mod recording;
mod tool_source;

use std::{fmt, fs, net::SocketAddr, ops::RangeInclusive, path::Path, time::Duration};

use roomkit::{error::ConfigError, http::AdmissionConfig, mcp::McpServer, store::MemoryStore};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::{
    channel::ChannelConfig, limits::LimitsConfig, operations::OperationsConfig,
    recording::RecordingConfig, tool_source::ToolSourceConfig,
};
use crate::error::ServerError;
pub use crate::{
    agents::AgentConfig,
    auth::AuthConfig,
    jwt::{JwtAlgorithm, JwtConfig},
    log::LogFormat,
    otel::OtelConfig,
    tls::TlsConfig,
};

/// All settings of the server.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address to listen on; default `127.0.0.1:8080`. Port 0 takes a free one.
    pub listen: String,
    /// The certificate of a server that ends TLS itself; default none: it speaks http.
    pub tls: Option<TlsConfig>,
    /// A second address for health and metrics, which callers cannot fill; default none.
    pub operations: Option<OperationsConfig>,
    /// The speech AI.
    pub provider: ProviderConfig,
    /// The ways in for callers; default `webrtc` at `/rtc` and `websocket` at `/ws`.
    pub transports: Vec<TransportConfig>,
    /// What calls are like.
    pub channel: ChannelConfig,
    /// Who the AI of a call can be; default nobody in particular.
    pub agents: Vec<AgentConfig>,
    /// The MCP servers whose tools the AI may call; default none.
    pub mcp: Vec<McpServer>,
    /// Further sources of tools; default none.
    pub tool_sources: Vec<ToolSourceConfig>,
    /// Whether calls are recorded; default not.
    pub recording: Option<RecordingConfig>,
    /// Who may connect, and how many.
    pub limits: LimitsConfig,
    /// Who has to show a token.
    pub auth: AuthConfig,
    /// What becomes of rooms.
    pub rooms: RoomsConfig,
    /// What the server tells of its work.
    pub metrics: MetricsConfig,
    /// Where traces are sent; default nowhere.
    pub otel: Option<OtelConfig>,
    /// What to log, as directives of `tracing`; default `info`.
    pub log: String,
    /// What the log looks like, `text` or `json`; default `text`.
    pub log_format: LogFormat,
    /// How long calls may go on after the server was told to stop, in seconds; default 30.
    pub drain_s: u64,
    /// How long the server listens after that at least, in seconds, though it has no calls: long enough
    /// for a load balancer to have asked `/readyz` and sent nobody since. Default 0; at most `drain_s`.
    pub drain_min_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            tls: None,
            operations: None,
            provider: ProviderConfig::default(),
            transports: vec![
                TransportConfig::new("webrtc", "/rtc"),
                TransportConfig::new("websocket", "/ws"),
            ],
            channel: ChannelConfig::default(),
            agents: Vec::new(),
            mcp: Vec::new(),
            tool_sources: Vec::new(),
            recording: None,
            limits: LimitsConfig::default(),
            auth: AuthConfig::default(),
            rooms: RoomsConfig::default(),
            metrics: MetricsConfig::default(),
            otel: None,
            log: "info".into(),
            log_format: LogFormat::Text,
            drain_s: 30,
            drain_min_s: 0,
        }
    }
}

impl Config {
    /// What the door has to know: where the server listens, and whether anybody has to show a token.
    pub(crate) fn admission(
        &self,
        address: SocketAddr,
        authenticates: bool,
    ) -> Result<AdmissionConfig, ConfigError> {
        let is_behind_proxy = self.limits.trusted_proxies > 0;
        Ok(AdmissionConfig {
            https: self.tls.is_some(),
            local: address.ip().is_loopback() && !authenticates && !is_behind_proxy,
            ..self.limits.admission()?
        })
    }

    /// How long it drains at least, and at most.
    pub(crate) fn drain(&self) -> Result<RangeInclusive<Duration>, ConfigError> {
        if self.drain_min_s > self.drain_s {
            let problem = format!(
                "is {}; must be at most `drain_s`, which is {}",
                self.drain_min_s, self.drain_s
            );
            return Err(ConfigError::field("drain_min_s", problem));
        }
        Ok(Duration::from_secs(self.drain_min_s)..=Duration::from_secs(self.drain_s))
    }

    /// Whether the AI is given the tools to try tools with.
    pub(crate) fn demo_tools(&self) -> bool {
        let tools = self.channel.demo_tools;
        tools.unwrap_or(self.provider.name == "echo")
    }

    /// How the server's address begins.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is no TOML, or has an unknown or unusable field.
    pub fn read(path: &Path) -> Result<Self, ServerError> {
        let text = fs::read_to_string(path).map_err(|source| ServerError::ConfigFile {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|problem| ServerError::ConfigSyntax {
            path: path.to_owned(),
            problem,
        })
    }

    /// Reads the text of a file; the error says what is wrong, and in which line.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        toml::from_str(text).map_err(|error| {
            let problem = without_value(error.message());
            match error.span() {
                Some(span) => format!("line {}: {problem}", line(text, span.start)),
                None => problem,
            }
        })
    }
}

/// serde's words on a value that has no place there. Where a table, a list or a text belongs they leave out the
/// value, which may be a secret (contract X1), and its kind stays, such as `string`.
fn without_value(message: &str) -> String {
    for problem in ["invalid type: ", "invalid value: "] {
        if let Some((before, rest)) = message.split_once(problem)
            && let Some((value, expected)) = rest.rsplit_once(", expected ")
            && ["struct ", "a map", "a sequence", "a string"]
                .iter()
                .any(|kind| expected.starts_with(kind))
        {
            let kind = value.split(['"', '`', '\'']).next().unwrap_or_default();
            let kind = kind.trim_end();
            return format!("{before}{problem}{kind}, expected {expected}");
        }
    }
    message.to_owned()
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// Which speech AI, and its own settings.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderConfig {
    /// The registered name; default `echo`.
    pub name: String,
    /// The provider's own settings.
    pub config: Value,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self {
            name: "echo".into(),
            config: Value::Object(Map::new()),
        }
    }
}

impl ProviderConfig {
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) {
        // What is no object is the provider's to refuse.
        if let Value::Object(config) = &mut self.config {
            config.insert(key.into(), value.into());
        }
    }
}

impl fmt::Debug for ProviderConfig {
    /// Without its settings, which may hold a key (contract X1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A way in for callers.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransportConfig {
    /// The registered name.
    pub name: String,
    /// Where it is mounted, such as `/ws`.
    pub path: String,
    /// The transport's own settings.
    #[serde(default)]
    pub config: Value,
}

impl TransportConfig {
    fn new(name: &str, path: &str) -> Self {
        Self {
            name: name.into(),
            path: path.into(),
            config: Value::Null,
        }
    }
}

impl fmt::Debug for TransportConfig {
    /// Without its settings, which may hold a relay's password (contract X1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransportConfig")
            .field("name", &self.name)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What the server tells of its work.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Whether metrics are collected and shown at `/metrics`, to those who show a token where one is
    /// needed; default true.
    pub enabled: bool,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// What becomes of rooms.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoomsConfig {
    /// Whether a room that was made for a caller who named none is closed once nobody is in it.
    /// Rooms with a name of their own stay open. Default true.
    pub close_empty: bool,
    /// How long it stays open after the last call, in seconds; default 60.
    pub close_empty_after_s: u64,
    /// How long a closed room can still be read, in seconds; default 3600. Then it is deleted with
    /// its timeline; 0 deletes it at once.
    pub keep_closed_s: u64,
    /// Closed rooms that are kept at most, the latest ones; default 1000.
    pub max_closed: usize,
    /// About how much memory a room's timeline may take, in bytes; then its oldest events are
    /// forgotten. Default 4 MiB.
    pub max_timeline_bytes: usize,
}

impl RoomsConfig {
    pub(crate) fn store(&self) -> Result<MemoryStore, ConfigError> {
        if self.max_timeline_bytes == 0 {
            let problem = "is 0; must be at least 1, and some MiB to be of use";
            return Err(ConfigError::field("rooms.max_timeline_bytes", problem));
        }
        Ok(MemoryStore::new().max_timeline_bytes(self.max_timeline_bytes))
    }
}

impl Default for RoomsConfig {
    fn default() -> Self {
        Self {
            close_empty: true,
            close_empty_after_s: 60,
            keep_closed_s: 3600,
            max_closed: 1000,
            max_timeline_bytes: MemoryStore::DEFAULT_TIMELINE_BYTES,
        }
    }
}

#[cfg(test)]
mod tests;
