//! What a host is told of a client that is connected.

use std::{fmt, net::IpAddr};

use roomkit_core::id::{ParticipantId, RoomId};
use serde_json::{Map, Value};

use crate::protocol::WebRtcId;

/// A client that is connected, and waits for its session. Its `Debug` form leaves out the identity
/// (contract X1).
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct ClientConnected {
    /// What `start_session` takes for its connection.
    pub id: WebRtcId,
    /// What authentication said; becomes part of its session's metadata.
    pub identity: Map<String, Value>,
    /// The room that its credentials hold it to, or else the one it asks for, which is its word only. Where
    /// its session begins is for the host to see to: in another room what held it is void (contract X2).
    pub room: Option<RoomId>,
    /// Who it is by its credentials, or else who it says it is.
    pub participant: Option<ParticipantId>,
    /// The address by which it is known, if it is.
    pub address: Option<IpAddr>,
}

impl ClientConnected {
    pub(crate) fn new(id: WebRtcId) -> Self {
        Self {
            id,
            identity: Map::new(),
            room: None,
            participant: None,
            address: None,
        }
    }
}

impl fmt::Debug for ClientConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConnected")
            .field("id", &self.id)
            .field("room", &self.room)
            .field("participant", &self.participant)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
