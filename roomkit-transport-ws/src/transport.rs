//! The transport: a client's WebSocket becomes a session's link.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use roomkit_core::{
    RealtimeSession,
    audio::check_rate,
    error::ConfigError,
    registry::{self, TransportPlugin, inventory},
    transport::{
        AudioOffer, ClientLink, Connection, LinkInfo, RealtimeAudioTransport, TransportError,
    },
};
use tokio::time::Instant;

use crate::{
    config::{AudioEncoding, WebSocketTransportConfig},
    connection::WsConnection,
    halves::{Commands, Events},
    protocol::{Decoder, close_code},
};

/// The name it is registered by.
pub(crate) const NAME: &str = "websocket";

/// What it is, in one line.
pub(crate) const ABOUT: &str = "JSON and PCM16 over WebSocket, for browsers and programs";

/// Clients over WebSocket. Takes connections of type [`WsConnection`].
#[derive(Debug, Clone, Default)]
pub struct WebSocketRealtimeTransport {
    pub(crate) config: WebSocketTransportConfig,
}

impl WebSocketRealtimeTransport {
    /// A transport with these settings.
    pub fn new(config: WebSocketTransportConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { config })
    }

    fn info(&self, connection: &WsConnection, offer: AudioOffer) -> Result<LinkInfo, ConfigError> {
        let input_rate = wanted(
            ("input_rate", connection.input_rate),
            ("input_sample_rate", self.config.input_sample_rate),
            ("the provider's input rate", offer.input_rate),
        )?;
        let output_rate = wanted(
            ("output_rate", connection.output_rate),
            ("output_sample_rate", self.config.output_sample_rate),
            ("the provider's output rate", offer.output_rate),
        )?;
        let mut info = LinkInfo::new(input_rate, output_rate);
        info.output_encoding = self.audio(connection).as_str().into();
        info.lead = self.config.lead();
        info.metadata.clone_from(&connection.identity);
        Ok(info)
    }

    fn audio(&self, connection: &WsConnection) -> AudioEncoding {
        connection.audio.unwrap_or(self.config.audio)
    }
}

#[async_trait]
impl RealtimeAudioTransport for WebSocketRealtimeTransport {
    fn name(&self) -> &str {
        NAME
    }

    async fn accept(
        &self,
        _session: &RealtimeSession,
        connection: Connection,
        offer: AudioOffer,
    ) -> Result<ClientLink, TransportError> {
        let connection = connection.downcast::<WsConnection>()?;
        let info = match self.info(&connection, offer) {
            Ok(info) => info,
            Err(error) => {
                // The connection ends here, so this is the one place that can tell the client.
                let shared = connection.link.shared();
                let message = error.to_string();
                shared.refuse("config", &message, close_code::POLICY).await;
                return Err(error.into());
            }
        };
        let now = Instant::now();
        let waited = now.saturating_duration_since(connection.link.made_at);
        let decoder = Decoder::new(&self.config, info.input_rate, now).waited(waited);
        let events = Events::new(Arc::clone(connection.link.shared()), decoder);
        let audio = self.audio(&connection);
        Ok(ClientLink {
            info,
            sink: Box::new(Commands::new(connection.link, audio)),
            events: events.boxed(),
        })
    }
}

fn wanted(
    (by_client, client): (&str, Option<u32>),
    (by_config, config): (&str, Option<u32>),
    (by_provider, provider): (&str, u32),
) -> Result<u32, ConfigError> {
    match (client, config) {
        (Some(rate), _) => check_rate(by_client, rate),
        (None, Some(rate)) => check_rate(by_config, rate),
        (None, None) => check_rate(by_provider, provider),
    }
}

inventory::submit! {
    TransportPlugin {
        name: NAME,
        about: ABOUT,
        build: |config| {
            let config = registry::read_config(config)?;
            Ok(Arc::new(WebSocketRealtimeTransport::new(config)?))
        },
    }
}
