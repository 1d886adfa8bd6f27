//! A provider that needs no vendor: it says back what it heard.
//!
//! Good for a first call, for demos without a key and for load tests. What it does:
//!
//! | it is told | it answers |
//! |---|---|
//! | speech, found by its energy | `(you spoke for 2.1 s)` as the user's words, then the same audio as `(echo of 2.1 s)` |
//! | text, then a request to respond | tones about as long as the text would take, as `You said: …` or `Noted: …` |
//! | text without such a request | nothing; the next answer mentions it |
//! | `use NAME {"json": 1}`, if `NAME` is a declared tool | calls it, and says its result |
//! | `what time is it`, if a declared tool has `time` in its name | calls it, and says its result |
//! | `what did you say` | the words of its answer before, as far as they were heard |
//! | an image | `(an image of N bytes)` |
//!
//! It can be interrupted (unless the channel allows none of that), truncated and updated. All times of the detector are audio time: the same
//! audio gives the same turns, however fast it comes.

mod answer;
mod config;
mod ears;
mod engine;
mod memory;
mod shell;

use std::sync::Arc;

use async_trait::async_trait;
use roomkit_core::{
    provider::{
        ConnectionInfo, Continuation, ProviderCapabilities, ProviderConnection, ProviderError,
        ProviderErrorKind, RealtimeVoiceProvider, SessionSetup, SessionUpdate, UpdateSupport,
        UpdateWay,
    },
    registry::{ConfigError, ProviderPlugin, inventory, read_config},
};
use serde_json::{Map, Value};

pub use config::EchoConfig;

use engine::Engine;

inventory::submit! {
    ProviderPlugin {
        name: "echo",
        about: "Says back what it hears; needs no key and no network.",
        build: |config| Ok(Arc::new(EchoProvider::new(read_config(config)?)?)),
    }
}

/// The echo provider; see the [module](self) for what it does.
///
/// A session's `provider_config` may hold the same fields as [`EchoConfig`], for that session.
#[derive(Debug, Clone, Default)]
pub struct EchoProvider {
    config: EchoConfig,
}

impl EchoProvider {
    /// An echo with these settings; an error names the field that is out of range.
    pub fn new(config: EchoConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config })
    }
}

impl EchoProvider {
    fn config_of(&self, setup: &SessionSetup) -> Result<EchoConfig, ConfigError> {
        let mut layers = setup.provider_layers().cloned();
        layers.try_fold(self.config.clone(), with)
    }
}

#[async_trait]
impl RealtimeVoiceProvider for EchoProvider {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn model(&self) -> Option<&str> {
        Some("echo")
    }

    fn capabilities(&self) -> ProviderCapabilities {
        capabilities(&self.config)
    }

    fn check_update(
        &self,
        setup: &SessionSetup,
        update: &SessionUpdate,
    ) -> Result<UpdateSupport, ConfigError> {
        let now = self.config_of(setup)?;
        let changed = with(
            now.clone(),
            update.provider_config.clone().unwrap_or_default(),
        )?;
        let mut support = capabilities(&changed).updates;
        if changed.sample_rate != now.sample_rate {
            support.provider_config = UpdateWay::Never;
        }
        Ok(support)
    }

    async fn connect(&self, setup: SessionSetup) -> Result<ProviderConnection, ProviderError> {
        let config = self.config_of(&setup).map_err(|error| {
            ProviderError::new(ProviderErrorKind::InvalidConfig, error.to_string())
        })?;
        let mut info = ConnectionInfo::new(capabilities(&config));
        info.provider_session_id = Some(format!("echo-{}", setup.session_id));
        let tools = setup.tools.iter().map(|tool| tool.name.clone()).collect();
        let (sink, events) = shell::open(Engine::new(config, tools, setup.interruptions));
        Ok(ProviderConnection { info, sink, events })
    }
}

#[allow(clippy::needless_pass_by_value)] // As `try_fold` wants it.
fn with(config: EchoConfig, layer: Map<String, Value>) -> Result<EchoConfig, ConfigError> {
    let changed = config.with(layer);
    changed.map_err(|error| error.in_section("provider_config"))
}

fn capabilities(config: &EchoConfig) -> ProviderCapabilities {
    let mut capabilities = ProviderCapabilities::new(config.sample_rate, config.sample_rate);
    capabilities.continuation = Continuation::Explicit;
    capabilities.interrupts_itself = true;
    capabilities.heeds_interruptions = true;
    capabilities.truncates = true;
    capabilities.manual_turns = true;
    capabilities.transcribes_user = true;
    capabilities.updates = UpdateSupport::all(UpdateWay::Live);
    capabilities.confirms_updates = true;
    capabilities.images = true;
    capabilities
}
