//! What calls are like, as the configuration file says it.

use std::{fmt, time::Duration};

use roomkit::{error::ConfigError, tool::ToolSearch, voice::HistorySeed};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What calls are like; all optional.
#[derive(Clone, Default, PartialEq, Deserialize)]
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
    /// How long each step of a start may take, in seconds: listing tools, the transport's accepting, the
    /// provider's getting ready; default 30.
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

    /// How long a tool may take that has no limit of its own.
    pub(crate) fn tool_timeout(&self) -> Duration {
        Duration::from_secs(self.tool_timeout_s.unwrap_or(30))
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

impl fmt::Debug for ChannelConfig {
    /// Without the provider's settings, which may hold a key (contract X1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Each setting has its name here, so that a new one is shown or left out on purpose.
        let Self {
            system_prompt,
            voice,
            temperature,
            provider_config: _,
            greeting,
            first_agent,
            idle_timeout_s,
            max_duration_s,
            connect_timeout_s,
            hold_s,
            reconnect_attempts,
            max_connection_age_s,
            seed_turns,
            seed_tokens,
            tool_timeout_s,
            tool_search,
            playout_lead_ms,
            interruptions,
            greeting_interruptions,
            emit_partials,
            client_stats,
            demo_tools,
        } = self;
        f.debug_struct("ChannelConfig")
            .field("system_prompt", system_prompt)
            .field("voice", voice)
            .field("temperature", temperature)
            .field("greeting", greeting)
            .field("first_agent", first_agent)
            .field("idle_timeout_s", idle_timeout_s)
            .field("max_duration_s", max_duration_s)
            .field("connect_timeout_s", connect_timeout_s)
            .field("hold_s", hold_s)
            .field("reconnect_attempts", reconnect_attempts)
            .field("max_connection_age_s", max_connection_age_s)
            .field("seed_turns", seed_turns)
            .field("seed_tokens", seed_tokens)
            .field("tool_timeout_s", tool_timeout_s)
            .field("tool_search", tool_search)
            .field("playout_lead_ms", playout_lead_ms)
            .field("interruptions", interruptions)
            .field("greeting_interruptions", greeting_interruptions)
            .field("emit_partials", emit_partials)
            .field("client_stats", client_stats)
            .field("demo_tools", demo_tools)
            .finish_non_exhaustive()
    }
}
