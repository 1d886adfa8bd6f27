//! The provider: configuration checked once, then one connection after the other.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use roomkit_core::{
    provider::{
        ConnectionInfo, ProviderCapabilities, ProviderConnection, ProviderError, ProviderErrorKind,
        RealtimeVoiceProvider, SessionSetup, SessionUpdate, UpdateSupport,
    },
    registry::{ConfigError, ProviderPlugin, inventory, read_config},
};
use roomkit_dial::{Deadline, Dialer, Token, image_type};

use crate::{
    config::OpenAIConfig,
    connection::{Accepted, await_session},
    error::ERRORS,
    protocol::{Encoder, replay},
};

/// The name the provider is registered by.
const NAME: &str = "openai";

inventory::submit! {
    ProviderPlugin {
        name: NAME,
        about: "OpenAI Realtime, and servers that speak its protocol",
        build: |config| Ok(Arc::new(OpenAIRealtimeProvider::new(read_config(config)?)?)),
    }
}

/// OpenAI Realtime over WebSocket.
pub struct OpenAIRealtimeProvider {
    config: OpenAIConfig,
    /// None where no key is wanted.
    key: Option<Token>,
    dialer: Dialer,
    telemetry_name: &'static str,
    warned_of_temperature: AtomicBool,
}

impl OpenAIRealtimeProvider {
    /// A provider with this configuration. Nothing is sent yet, and no token asked for.
    ///
    /// # Errors
    /// When a field holds something it must not, or no key is found; the error names the field.
    pub fn new(config: OpenAIConfig) -> Result<Self, ConfigError> {
        let (endpoint, key) = config.check()?;
        Ok(Self {
            key,
            telemetry_name: config.service(&endpoint),
            dialer: Dialer::new(NAME, endpoint, ERRORS, config.dial_options()?)?,
            config,
            warned_of_temperature: AtomicBool::new(false),
        })
    }

    /// A dialer for one connection: a key may be good for less long than the provider lives.
    async fn dialer(&self, deadline: &Deadline) -> Result<Dialer, ProviderError> {
        let key = match &self.key {
            Some(key) => {
                let got = key.get("api_key");
                Some(
                    deadline
                        .before_words("key or token (`api_key`)", got)
                        .await?,
                )
            }
            None => None,
        };
        let endpoint = self.config.endpoint(key).map_err(refused)?;
        Ok(self.dialer.for_endpoint(endpoint))
    }

    fn warn_of_temperature(&self, setup: &SessionSetup) {
        let is_first = || !self.warned_of_temperature.swap(true, Ordering::Relaxed);
        if setup.temperature.is_some() && is_first() {
            tracing::warn!("OpenAI Realtime takes no temperature; the setting is ignored");
        }
    }
}

#[async_trait]
impl RealtimeVoiceProvider for OpenAIRealtimeProvider {
    fn name(&self) -> &str {
        NAME
    }

    fn telemetry_name(&self) -> &str {
        self.telemetry_name
    }

    fn model(&self) -> Option<&str> {
        Some(&self.config.model)
    }

    fn capabilities(&self) -> ProviderCapabilities {
        self.config.session.capabilities()
    }

    fn check_update(
        &self,
        setup: &SessionSetup,
        update: &SessionUpdate,
    ) -> Result<UpdateSupport, ConfigError> {
        Encoder::new(self.config.dialect, &self.config.session, setup)?.check_update(update)
    }

    fn check_image(&self, mime_type: &str, data: &[u8]) -> Result<(), ProviderError> {
        image_type(mime_type, data).map(|_| ())
    }

    async fn connect(&self, setup: SessionSetup) -> Result<ProviderConnection, ProviderError> {
        self.warn_of_temperature(&setup);
        let config = &self.config;
        let mut encoder = Encoder::new(config.dialect, &config.session, &setup).map_err(refused)?;
        let model = (!config.model_in_query).then_some(config.model.as_str());
        let update = encoder.setup(&setup, model)?;
        let history = replay(&setup.history)?;

        let deadline = Deadline::of(&setup, config.connect_timeout, "connect_timeout_ms");
        let dialer = self.dialer(&deadline).await?;
        let redactor = dialer.redactor();
        let mut decoder = encoder.decoder(redactor.clone());
        let mut socket = dialer.dial(&deadline).await?;
        // Accepted is only who has a session: the refusal of a key comes over the open socket.
        let created = await_session(&mut socket, "session.created", redactor);
        let Accepted { id, expires_at } = deadline.within("`session.created`", created).await?;
        deadline
            .within("room to send `session.update`", socket.send(update))
            .await
            .map_err(|error| socket.explain(error, &mut decoder))?;
        let updated = await_session(&mut socket, "session.updated", redactor);
        deadline.within("`session.updated`", updated).await?;
        // An item the vendor refuses is told as an error later; the others stand.
        deadline
            .within("room to send the history", socket.send_all(history))
            .await
            .map_err(|error| socket.explain(error, &mut decoder))?;

        let mut info = ConnectionInfo::new(encoder.session().capabilities());
        info.provider_session_id = id;
        info.expires_in = expires_at.and_then(|at| time_left(at, SystemTime::now()));
        let (sink, events) = socket.split(encoder, decoder);
        Ok(ProviderConnection { info, sink, events })
    }
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` wants it.
fn refused(error: ConfigError) -> ProviderError {
    ProviderError::new(ProviderErrorKind::InvalidConfig, error.to_string())
}

/// How long a session lasts that ends at `expires_at`, in Unix seconds. A time that is past already
/// says that the clocks disagree, and would have every connection handed over as soon as it is
/// made: then nothing is known.
fn time_left(expires_at: f64, now: SystemTime) -> Option<Duration> {
    let now = now.duration_since(UNIX_EPOCH).ok()?;
    let at = Duration::try_from_secs_f64(expires_at).ok()?;
    let left = at.checked_sub(now).filter(|left| !left.is_zero());
    if left.is_none() && expires_at > 0.0 {
        tracing::warn!("the vendor says that the session has expired already; is the clock right?");
    }
    left
}

impl fmt::Debug for OpenAIRealtimeProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAIRealtimeProvider")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
