//! The rules of `docs/write-a-plugin.md` that no compiler sees, checked on a plugin from outside.
//!
//! A plugin's own tests know its vendor; these know what the engine relies on. They build the plugin
//! from its descriptor, talk to it as the engine would, and tell each rule that it breaks with the
//! section of the guide that has it.
//!
//! ```no_run
//! use roomkit_core::registry::ProviderPlugin;
//! use roomkit_mock::conformance::ProviderChecks;
//! use serde_json::json;
//!
//! # async fn example(plugin: ProviderPlugin, fake: std::net::SocketAddr) {
//! // In a `#[tokio::test]`, with a fake vendor of the author's at `fake`:
//! ProviderChecks::with_vendor(plugin, fake, |address| {
//!     json!({ "address": address.to_string(), "api_key": "sk-1", "connect_timeout_ms": 500 })
//! })
//! .secret("sk-1")
//! .assert_kept()
//! .await;
//! # }
//! ```
//!
//! A rule counts as broken when what it asks for does not come within the [patience] of the checks;
//! nothing else depends on a clock.
//!
//! [patience]: ProviderChecks::patience

mod listening;
mod provider;
mod transport;

use std::{fmt, time::Duration};

use roomkit_core::error::ConfigError;
use serde_json::{Value, json};

pub use provider::ProviderChecks;
pub use transport::{Client, TransportChecks};

/// How long something may take that has to come, unless said otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// A setting that no plugin has.
const UNKNOWN: &str = "no_such_setting";

/// A rule of `docs/write-a-plugin.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rule {
    /// A setting that is not known is refused, and the error names it.
    Config,
    /// A plugin has the name it is registered by.
    Name,
    /// Rates are from 8000 to 48 000 Hz and multiples of 25, and a link takes those it is offered.
    Rates,
    /// `check_update` refuses the vendor's settings that it does not know.
    Settings,
    /// `connect` returns when the vendor is ready, neither earlier nor never.
    Ready,
    /// `connect` fails by itself at a vendor that says nothing.
    GivesUp,
    /// What was dropped, was closed or has failed leaves no socket open.
    LeavesNothing,
    /// A stream wakes the waker of its last `Pending` when there is something.
    Wakers,
    /// A provider's stream ends, with `Closed` as its last event; a link's ends when its client is gone.
    Closed,
    /// `Closed` says why where the vendor hung up.
    Why,
    /// One `Pong` for each `Ping`.
    Pongs,
    /// One `Updated` or `UpdateRefused` for each `Update`.
    Updates,
    /// A command that cannot be sent is refused, and the connection goes on.
    Refusals,
    /// No error shows a secret, or what was said.
    Quiet,
    /// A connection of another type is refused as such.
    Connection,
    /// A frame with half a sample spoils no other, and the session goes on (contract A1).
    HalfSamples,
    /// More audio than real time allows is dropped (contract C5).
    TooFast,
}

impl Rule {
    /// Its name, in one word or two.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Name => "name",
            Self::Rates => "rates",
            Self::Settings => "settings",
            Self::Ready => "ready",
            Self::GivesUp => "gives up",
            Self::LeavesNothing => "leaves nothing",
            Self::Wakers => "wakers",
            Self::Closed => "closed",
            Self::Why => "why",
            Self::Pongs => "pongs",
            Self::Updates => "updates",
            Self::Refusals => "refusals",
            Self::Quiet => "quiet",
            Self::Connection => "connection",
            Self::HalfSamples => "half samples",
            Self::TooFast => "too fast",
        }
    }

    /// The section of `docs/write-a-plugin.md` that has it for providers.
    fn section(self) -> &'static str {
        match self {
            Self::Config | Self::Name | Self::Ready => "A provider",
            Self::Rates
            | Self::Settings
            | Self::GivesUp
            | Self::LeavesNothing
            | Self::Wakers
            | Self::Closed
            | Self::Why
            | Self::Refusals
            | Self::Quiet => "Rules",
            Self::Pongs | Self::Updates => "So that calls outlive your connections",
            Self::Connection | Self::HalfSamples | Self::TooFast => "A transport",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A rule that a plugin breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Broken {
    /// The rule.
    pub rule: Rule,
    /// The section of `docs/write-a-plugin.md` that has it.
    pub section: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rule,
            section,
            what,
        } = self;
        write!(f, "{rule}: {what} (docs/write-a-plugin.md, \"{section}\")")
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Findings {
    broken: Vec<Broken>,
    /// All rules of a transport stand in one section.
    of_transport: bool,
}

impl Findings {
    fn broke(&mut self, rule: Rule, what: impl Into<String>) {
        let broken = Broken {
            rule,
            section: if self.of_transport {
                "A transport"
            } else {
                rule.section()
            },
            what: what.into(),
        };
        if !self.broken.contains(&broken) {
            self.broken.push(broken);
        }
    }

    /// A plugin that is built with a setting it cannot know.
    fn config<T>(&mut self, config: Value, build: impl Fn(Value) -> Result<T, ConfigError>) {
        let Value::Object(mut config) = config else {
            return self.broke(
                Rule::Config,
                "the configuration given to the checks is no table",
            );
        };
        config.insert(UNKNOWN.into(), json!(true));
        match build(config.into()) {
            Ok(_) => self.broke(Rule::Config, format!("takes the setting `{UNKNOWN}`")),
            Err(error) if !error.to_string().contains(UNKNOWN) => {
                let what = format!("refuses the setting `{UNKNOWN}` without naming it: {error}");
                self.broke(Rule::Config, what);
            }
            Err(_) => {}
        }
    }

    fn name(&mut self, registered: &str, own: &str) {
        if registered != own {
            let what = format!("is registered as `{registered}` and calls itself `{own}`");
            self.broke(Rule::Name, what);
        }
    }
}

/// # Panics
/// If there is any.
fn assert_none(plugin: &str, broken: &[Broken]) {
    let all: Vec<String> = broken
        .iter()
        .map(|broken| format!("\n- {broken}"))
        .collect();
    assert!(all.is_empty(), "`{plugin}` breaks rules:{}", all.concat());
}
