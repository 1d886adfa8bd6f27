//! All mounted transports as one, so that a room has one voice however its callers come in.

use std::sync::Arc;

use async_trait::async_trait;
use roomkit::{
    RealtimeSession,
    transport::{AudioOffer, ClientLink, Connection, RealtimeAudioTransport, TransportError},
};

/// Hands each connection to the transport that brought it.
pub(crate) struct AnyTransport {
    name: String,
    transports: Vec<Arc<dyn RealtimeAudioTransport>>,
}

/// A connection, and the place of its transport in the list.
struct Routed {
    transport: usize,
    connection: Connection,
}

/// Marks a connection as one of the transport at this place.
pub(crate) fn routed(transport: usize, connection: Connection) -> Connection {
    Connection::new(Routed {
        transport,
        connection,
    })
}

impl AnyTransport {
    pub(crate) fn new(transports: Vec<Arc<dyn RealtimeAudioTransport>>) -> Self {
        let names: Vec<&str> = transports
            .iter()
            .map(|transport| transport.name())
            .collect();
        Self {
            name: names.join("+"),
            transports,
        }
    }
}

#[async_trait]
impl RealtimeAudioTransport for AnyTransport {
    fn name(&self) -> &str {
        &self.name
    }

    async fn accept(
        &self,
        session: &RealtimeSession,
        connection: Connection,
        offer: AudioOffer,
    ) -> Result<ClientLink, TransportError> {
        let Routed {
            transport,
            connection,
        } = connection.downcast()?;
        let transport = self
            .transports
            .get(transport)
            .ok_or_else(|| TransportError::Refused("its transport is not mounted here".into()))?;
        let mut link = transport.accept(session, connection, offer).await?;
        link.info.transport = Some(transport.name().to_owned());
        Ok(link)
    }
}
