//! The configuration file: TOML, named like the command line's flags, unknown fields refused.

mod limits;
mod operations;
mod recording;
mod tool_source;

use std::{fmt, fs, net::SocketAddr, ops::RangeInclusive, path::Path, time::Duration};

use roomkit::{
    error::ConfigError, http::AdmissionConfig, mcp::McpServer, store::MemoryStore,
    tool::ToolSearch, voice::HistorySeed,
};
use serde::Deserialize;
use serde_json::{Map, Value};

pub use self::{
    limits::LimitsConfig, operations::OperationsConfig, recording::RecordingConfig,
    tool_source::ToolSourceConfig,
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

/// What calls are like; all optional.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChannelConfig {
    /// Instructions for the AI.
    pub system_prompt: Option<String>,
    /// The AI's voice, by the vendor's name.
    pub voice: Option<String>,
    /// Sampling temperature, for vendors that take one.
    pub temperature: Option<f32>,
    /// The provider's settings for each session, where it has some besides its own.
    pub provider_config: Map<String, Value>,
    /// What the AI says first; default nothing.
    pub greeting: Option<String>,
    /// Who the AI is at first, by the name of one of `agents`; default what this table says.
    pub first_agent: Option<String>,
    /// Ends a call in which nobody has spoken for so many seconds; default never.
    pub idle_timeout_s: Option<u64>,
    /// Ends a call that has lasted so many seconds; default never.
    pub max_duration_s: Option<u64>,
    /// How long the provider may take to get ready, in seconds; default 30.
    pub connect_timeout_s: Option<u64>,
    /// How much of a caller's audio is held while the connection to the AI is renewed, in seconds;
    /// default 30.
    pub hold_s: Option<u64>,
    /// How many new connections to the AI are tried in a row before a call ends; default 5.
    pub reconnect_attempts: Option<u32>,
    /// A connection to the AI is replaced, in a quiet moment, before it is so many seconds old;
    /// default when the vendor ends it.
    pub max_connection_age_s: Option<u64>,
    /// How many of a room's last messages a new call is told; default none.
    pub seed_turns: Option<usize>,
    /// About how many tokens of a room's last messages a new call is told; default none. Not
    /// together with `seed_turns`.
    pub seed_tokens: Option<usize>,
    /// How long a tool may take, in seconds; default 30.
    pub tool_timeout_s: Option<u64>,
    /// Lets the AI look for tools where there are too many to tell it of all; default it is told of
    /// all.
    pub tool_search: Option<ToolSearch>,
    /// How far ahead of real time audio is sent, in ms; default what the transport chooses.
    pub playout_lead_ms: Option<u64>,
    /// Whether callers can interrupt the AI by speaking; default true.
    pub interruptions: Option<bool>,
    /// Whether they can interrupt the greeting so; default true.
    pub greeting_interruptions: Option<bool>,
    /// Whether words are shown while they are being spoken; default true.
    pub emit_partials: Option<bool>,
    /// Whether callers are told what their call has come to: turns and their latency, tokens. The page
    /// shows it. Default true.
    pub client_stats: Option<bool>,
    /// Whether the AI is given the tool `current_time`; default true with the provider `echo`, and
    /// false with any other.
    pub demo_tools: Option<bool>,
}

impl ChannelConfig {
    /// What a new call is told of its room's past.
    pub(crate) fn seed(&self) -> Option<HistorySeed> {
        let turns = self.seed_turns.map(HistorySeed::Turns);
        turns.or(self.seed_tokens.map(HistorySeed::Tokens))
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.seed_turns.is_some() && self.seed_tokens.is_some() {
            let problem = "is given together with `seed_turns`; leave one of the two out";
            return Err(ConfigError::field("channel.seed_tokens", problem));
        }
        if self.seed_turns == Some(0) || self.seed_tokens == Some(0) {
            let problem = "is zero; give it more, or leave it out";
            return Err(ConfigError::field(self.seed_field(), problem));
        }
        Ok(())
    }

    fn seed_field(&self) -> &'static str {
        match self.seed_turns {
            Some(_) => "channel.seed_turns",
            None => "channel.seed_tokens",
        }
    }

    /// A setting of the library under the name it has in this file, which says its unit.
    pub(crate) fn name_in_file(&self, field: &str) -> String {
        match field {
            field if field.starts_with("agents") => field.into(),
            "seed_history" => self.seed_field().into(),
            "playout_lead" => "channel.playout_lead_ms".into(),
            "idle_timeout" | "max_duration" | "connect_timeout" | "hold" | "max_connection_age"
            | "tool_timeout" => format!("channel.{field}_s"),
            _ => format!("channel.{field}"),
        }
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
