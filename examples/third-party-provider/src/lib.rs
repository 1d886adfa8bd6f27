//! A provider crate as a third party would publish it. It depends on `roomkit-core` and on nothing
//! else of roomkit.
//!
//! Its vendor is made up: *Tin Can* answers over TCP, one JSON object a line, and says back what it
//! hears. It can resume a conversation with a token, so that calls outlive their connections; all
//! this crate does for that is to pass the token on.
//!
//! The files stand in the order of a call: [`TinCanConfig`], the protocol (pure, tested without a
//! socket), the connection (thin), and here the provider and its registration.

mod config;
mod connection;
mod protocol;

use std::sync::Arc;

use async_trait::async_trait;
use roomkit_core::{
    provider::{
        ConnectionInfo, Continuation, HistorySupport, ProviderCapabilities, ProviderConnection,
        ProviderError, ProviderErrorKind, RealtimeVoiceProvider, SessionSetup, SessionUpdate,
        UpdateSupport, UpdateWay,
    },
    registry::{ConfigError, ProviderPlugin, inventory, read_config},
};

pub use config::TinCanConfig;
pub use protocol::{FromVendor, ToVendor, Tool};

/// The name hosts ask for.
pub const NAME: &str = "tin_can";

inventory::submit! { PLUGIN }

/// The descriptor, for programs that register plugins by hand.
pub const PLUGIN: ProviderPlugin = ProviderPlugin {
    name: NAME,
    about: "an example: says back what it hears, over TCP",
    build: |config| Ok(Arc::new(TinCanProvider::new(read_config(config)?)?)),
};

/// The provider.
#[derive(Debug)]
pub struct TinCanProvider {
    config: TinCanConfig,
}

impl TinCanProvider {
    /// A provider with this configuration. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When a field holds something it must not; the error names the field and what would do.
    pub fn new(config: TinCanConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config })
    }
}

#[async_trait]
impl RealtimeVoiceProvider for TinCanProvider {
    fn name(&self) -> &str {
        NAME
    }

    fn capabilities(&self) -> ProviderCapabilities {
        let mut capabilities =
            ProviderCapabilities::new(self.config.sample_rate, self.config.sample_rate);
        // What is so, and nothing else: the engine goes by it.
        capabilities.continuation = Continuation::Automatic;
        capabilities.interrupts_itself = true;
        capabilities.transcribes_user = true;
        capabilities.resumes = true;
        capabilities.history = HistorySupport::Text;
        capabilities.pings = true;
        // Prompt, voice and tools stand in the first line of a connection, so that each change of
        // them makes another one. The vendor has no temperature, and no settings of its own.
        capabilities.updates = UpdateSupport::all(UpdateWay::NewConnection);
        capabilities.updates.temperature = UpdateWay::Never;
        capabilities.updates.provider_config = UpdateWay::Never;
        capabilities
    }

    /// Asked when a channel is built, before a session's client is accepted and for each change, so
    /// that nobody is called who cannot be served.
    fn check_update(
        &self,
        setup: &SessionSetup,
        update: &SessionUpdate,
    ) -> Result<UpdateSupport, ConfigError> {
        let layers = setup.provider_layers().chain(&update.provider_config);
        if let Some(key) = layers.flat_map(serde_json::Map::keys).next() {
            let problem = "is not known: Tin Can has no settings for a session; leave it out";
            return Err(ConfigError::field(
                format!("provider_config.{key}"),
                problem,
            ));
        }
        if let Some(temperature) = update.temperature.or(setup.temperature) {
            let problem = format!("is {temperature}, and Tin Can has none; leave it out");
            return Err(ConfigError::field("temperature", problem));
        }
        Ok(self.capabilities().updates)
    }

    async fn connect(&self, setup: SessionSetup) -> Result<ProviderConnection, ProviderError> {
        // Whoever connects without a channel has not asked.
        self.check_update(&setup, &SessionUpdate::default())
            .map_err(|error| {
                ProviderError::new(ProviderErrorKind::InvalidConfig, error.to_string())
            })?;
        let (sink, events) = connection::open(&self.config, &setup).await?;
        Ok(ProviderConnection {
            info: ConnectionInfo::new(self.capabilities()),
            sink,
            events,
        })
    }
}
