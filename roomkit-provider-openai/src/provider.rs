//! The provider: configuration checked once, then one connection after the other.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use roomkit_core::{
    provider::{
        ConnectionInfo, ProviderCapabilities, ProviderConnection, ProviderError, ProviderErrorKind,
        RealtimeVoiceProvider, SessionSetup,
    },
    registry::{ConfigError, ProviderPlugin, inventory, read_config},
};
use tokio::time::{Instant, timeout_at};

use crate::{
    config::{Endpoint, OpenAIConfig},
    connection,
    error::Redactor,
    protocol::{Decoder, Encoder},
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
    endpoint: Endpoint,
    redactor: Redactor,
    tls: Arc<rustls::ClientConfig>,
    warned_of_temperature: AtomicBool,
}

impl OpenAIRealtimeProvider {
    /// A provider with this configuration. Nothing is sent yet.
    ///
    /// # Errors
    /// When a field holds something it must not, or no key is found; the error names the field.
    pub fn new(config: OpenAIConfig) -> Result<Self, ConfigError> {
        let endpoint = config.endpoint()?;
        let tls = connection::tls()
            .map_err(|error| ConfigError::field("tls", format!("is not available: {error}")))?;
        Ok(Self {
            redactor: Redactor::new(endpoint.secrets.clone()),
            config,
            endpoint,
            tls,
            warned_of_temperature: AtomicBool::new(false),
        })
    }

    fn warn_of_temperature(&self, setup: &SessionSetup) {
        let is_first = || !self.warned_of_temperature.swap(true, Ordering::Relaxed);
        if setup.temperature.is_some() && is_first() {
            tracing::warn!("OpenAI Realtime takes no temperature; the setting is ignored");
        }
    }

    async fn within<T>(
        &self,
        deadline: Instant,
        awaited: &str,
        step: impl Future<Output = Result<T, ProviderError>> + Send,
    ) -> Result<T, ProviderError> {
        timeout_at(deadline, step).await.unwrap_or_else(|_| {
            Err(ProviderError::new(
                ProviderErrorKind::Timeout,
                format!(
                    "no {awaited} within {} ms (`connect_timeout_ms`)",
                    self.config.connect_timeout.as_millis()
                ),
            ))
        })
    }
}

#[async_trait]
impl RealtimeVoiceProvider for OpenAIRealtimeProvider {
    fn name(&self) -> &str {
        NAME
    }

    fn model(&self) -> Option<&str> {
        Some(&self.config.model)
    }

    fn capabilities(&self) -> ProviderCapabilities {
        self.config.session.capabilities()
    }

    async fn connect(&self, setup: SessionSetup) -> Result<ProviderConnection, ProviderError> {
        self.warn_of_temperature(&setup);
        let mut encoder = Encoder::new(&self.config.session, &setup).map_err(|error| {
            ProviderError::new(ProviderErrorKind::InvalidConfig, error.to_string())
        })?;
        let model = (!self.config.model_in_query).then_some(self.config.model.as_str());
        let update = encoder.setup(&setup, model)?;

        let deadline = Instant::now() + self.config.connect_timeout;
        let redactor = &self.redactor;
        let dial = connection::dial(
            &self.endpoint,
            Arc::clone(&self.tls),
            self.config.max_message_bytes,
            redactor,
        );
        // Boxed: the TLS handshake makes a future of 20 kB.
        let mut socket = self.within(deadline, "connection", Box::pin(dial)).await?;
        // Accepted is only who has a session: the refusal of a key comes over the open socket.
        let created = connection::await_session(&mut socket, "session.created", redactor);
        let session_id = self.within(deadline, "`session.created`", created).await?;
        let sent = connection::send(&mut socket, update, redactor);
        self.within(deadline, "room to send `session.update`", sent)
            .await?;
        let updated = connection::await_session(&mut socket, "session.updated", redactor);
        self.within(deadline, "`session.updated`", updated).await?;

        let mut info = ConnectionInfo::new(encoder.session().capabilities());
        info.provider_session_id = session_id;
        let decoder = Decoder::new(encoder.session().output_codec, redactor.clone());
        let (sink, events) = connection::split(socket, encoder, decoder, redactor.clone());
        Ok(ProviderConnection { info, sink, events })
    }
}

impl fmt::Debug for OpenAIRealtimeProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAIRealtimeProvider")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
