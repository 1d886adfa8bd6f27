//! The provider: configuration checked once, then one connection after the other.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use roomkit_core::{
    provider::{
        ConnectionInfo, ProviderCapabilities, ProviderConnection, ProviderError, ProviderErrorKind,
        RealtimeVoiceProvider, SessionSetup, SessionUpdate, UpdateSupport,
    },
    registry::{ConfigError, ProviderPlugin, inventory, read_config},
    tool::ToolDefinition,
};
use roomkit_dial::{Deadline, Dialer, Token, check_voice, image_type};

use crate::{
    config::{Auth, GeminiConfig, GeminiSessionConfig, Target},
    connection,
    error::{self, ERRORS},
    protocol::{Encoder, check_tool_name},
};

/// The name the provider is registered by.
const NAME: &str = "gemini";

inventory::submit! {
    ProviderPlugin {
        name: NAME,
        about: "Gemini Live, on the Gemini API or Vertex AI",
        build: |config| Ok(Arc::new(GeminiLiveProvider::new(read_config(config)?)?)),
    }
}

/// Gemini Live over WebSocket.
pub struct GeminiLiveProvider {
    config: GeminiConfig,
    target: Target,
    credential: Token,
    dialer: Dialer,
}

impl GeminiLiveProvider {
    /// A provider with this configuration. Nothing is sent yet, and no token asked for.
    ///
    /// # Errors
    /// When a field holds something it must not or the model does not take, or no key is found; the
    /// error names the field.
    pub fn new(config: GeminiConfig) -> Result<Self, ConfigError> {
        let (endpoint, credential) = config.check()?;
        Ok(Self {
            credential,
            dialer: Dialer::new(NAME, endpoint, ERRORS, config.dial_options()?)?,
            target: config.target(),
            config,
        })
    }

    /// A dialer for one connection: address and credentials depend on its session and the moment.
    async fn dialer(
        &self,
        session: &GeminiSessionConfig,
        setup: &SessionSetup,
        deadline: &Deadline,
    ) -> Result<Dialer, ProviderError> {
        let field = self.config.credential_field();
        let credential = deadline
            .before_words(
                &format!("key or token (`{field}`)"),
                self.credential.get(field),
            )
            .await?;
        let endpoint = self.config.endpoint(session, Some(credential));
        let mut endpoint = endpoint.map_err(refused)?;
        if let Some(handle) = &setup.resume {
            // As good as a key to the conversation, should the vendor repeat it.
            endpoint = endpoint.with_secret(handle.expose().to_owned().into());
        }
        Ok(self.dialer.for_endpoint(endpoint))
    }
}

#[async_trait]
impl RealtimeVoiceProvider for GeminiLiveProvider {
    fn name(&self) -> &str {
        NAME
    }

    fn telemetry_name(&self) -> &str {
        match self.config.auth {
            Auth::Vertex { .. } => "gcp.vertex_ai",
            Auth::ApiKey {} | Auth::EphemeralToken { .. } => "gcp.gemini",
        }
    }

    fn model(&self) -> Option<&str> {
        Some(&self.target.id)
    }

    fn capabilities(&self) -> ProviderCapabilities {
        self.config.session.capabilities(&self.target)
    }

    fn check_update(
        &self,
        setup: &SessionSetup,
        update: &SessionUpdate,
    ) -> Result<UpdateSupport, ConfigError> {
        check_voice(update)?;
        let mut changed = setup.clone();
        changed
            .provider_changes
            .extend(update.provider_config.clone());
        changed.temperature = update.temperature.or(changed.temperature);
        if let Some(tools) = &update.tools {
            changed.tools.clone_from(tools);
        }
        let encoder = Encoder::new(&self.target, &self.config.session, &changed)?;
        encoder.setup(&changed)?;
        Ok(encoder.capabilities().updates)
    }

    fn check_tool(&self, tool: &ToolDefinition) -> Result<(), ConfigError> {
        check_tool_name(&tool.name)
    }

    fn check_image(&self, mime_type: &str, data: &[u8]) -> Result<(), ProviderError> {
        image_type(mime_type, data).map(|_| ())
    }

    async fn connect(&self, setup: SessionSetup) -> Result<ProviderConnection, ProviderError> {
        let encoder = Encoder::new(&self.target, &self.config.session, &setup).map_err(refused)?;
        let frame = encoder.setup(&setup).map_err(refused)?;

        let deadline = Deadline::of(&setup, self.config.connect_timeout, "connect_timeout_ms");
        let dialer = self.dialer(encoder.session(), &setup, &deadline).await?;
        let mut decoder = encoder.decoder(dialer.redactor().clone());
        let dialled = dialer.dial(&deadline).await;
        let mut socket = dialled.map_err(error::before_setup)?;
        let ready = connection::establish(
            &mut socket,
            &deadline,
            &encoder,
            &mut decoder,
            &setup,
            frame,
        )
        .await?;

        let mut info = ConnectionInfo::new(encoder.capabilities());
        info.provider_session_id = ready.session_id;
        let (sink, events) = socket.split(encoder, decoder);
        let events = stream::iter(ready.events).chain(events).boxed();
        Ok(ProviderConnection { info, sink, events })
    }
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` wants it.
fn refused(error: ConfigError) -> ProviderError {
    ProviderError::new(ProviderErrorKind::InvalidConfig, error.to_string())
}

impl fmt::Debug for GeminiLiveProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeminiLiveProvider")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
