//! The sending half.

use std::sync::Arc;

use async_trait::async_trait;
use roomkit_core::{
    client_protocol::ServerMessage,
    transport::{ClientCommand, ClientSink, TransportError},
};

use super::Link;

/// What the engine says to a caller. Dropping it ends the connection.
pub(crate) struct Commands(Arc<Link>);

impl Commands {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self(link)
    }
}

#[async_trait]
impl ClientSink for Commands {
    async fn send(&mut self, command: ClientCommand) -> Result<(), TransportError> {
        let Self(link) = self;
        let sent = match command {
            ClientCommand::Audio(pcm) => {
                link.speak(|outbound, now| outbound.push(&pcm, now)).await;
                Ok(())
            }
            ClientCommand::EndOfResponse => {
                link.speak(|outbound, _| outbound.flush()).await;
                Ok(())
            }
            ClientCommand::Clear => {
                link.speak(|outbound, _| outbound.clear()).await;
                link.messages
                    .send(ServerMessage::ClearAudio.to_json())
                    .await
            }
            ClientCommand::Message(message) => link.messages.send(message.to_json()).await,
            _ => Ok(()),
        };
        link.reschedule();
        sent
    }

    async fn close(&mut self, _reason: &str) {
        let Self(link) = self;
        if link.messages.flush(&link.peer).await {
            link.peer.has_farewell();
        }
        link.peer.release().await;
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        self.0.peer.release_soon();
    }
}
