//! The signalling without its wire: offers, candidates and ends, however they come.

use std::{any::Any, fmt, net::IpAddr, sync::Arc};

use futures_util::FutureExt;
use roomkit_core::id::{ParticipantId, RoomId};
use serde_json::{Map, Value};

use crate::{
    callers::{EarlyCandidate, Missing, OfCandidate, Speaker},
    connected::ClientConnected,
    life::{self, OnConnected},
    peer::{CandidateError, Owner, PeerError},
    protocol::{BadOffer, Offer, WebRtcId},
    transport::{WebRtcRealtimeTransport, tell},
};

/// A client's offer.
pub struct ClientOffer {
    client: ClientConnected,
    sdp: String,
    owner: Owner,
    kept: Box<dyn Any + Send>,
}

impl ClientOffer {
    /// The offer, in SDP, of a client by this id.
    pub fn new(id: impl Into<WebRtcId>, sdp: impl Into<String>) -> Self {
        Self {
            client: ClientConnected::new(id.into()),
            sdp: sdp.into(),
            owner: Owner::default(),
            kept: Box::new(()),
        }
    }

    /// What authentication said of this client; becomes part of the session's metadata.
    #[must_use]
    pub fn identity(mut self, identity: Map<String, Value>) -> Self {
        self.owner.metadata.clone_from(&identity);
        self.client.identity = identity;
        self
    }

    /// The room it is to come into, as the observer of
    /// [`on_client_connected`](WebRtcRealtimeTransport::on_client_connected) is told it.
    #[must_use]
    pub fn room(mut self, room: impl Into<RoomId>) -> Self {
        self.client.room = Some(room.into());
        self
    }

    /// Who it is to be there, as that observer is told it.
    #[must_use]
    pub fn participant(mut self, participant: impl Into<ParticipantId>) -> Self {
        self.client.participant = Some(participant.into());
        self
    }

    /// The address by which it is known, as that observer is told it.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.client.address = Some(address);
        self
    }

    /// What the client's credentials are held to, by which it is known again.
    #[cfg(feature = "axum")]
    pub(crate) fn held_to(
        mut self,
        room: Option<RoomId>,
        participant: Option<ParticipantId>,
    ) -> Self {
        self.owner.room = room;
        self.owner.participant = participant;
        self
    }

    /// Keeps a value until the connection has ended, such as a permit that counts it.
    #[must_use]
    pub fn keep(mut self, value: impl Send + 'static) -> Self {
        self.kept = Box::new(value);
        self
    }
}

/// Shows neither the offer, which has addresses and secrets, nor the identity.
impl fmt::Debug for ClientOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOffer").finish_non_exhaustive()
    }
}

/// What is wrong with a client's word.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignallingError {
    /// The offer is larger than `max_sdp_bytes`.
    #[error(
        "sdp: the offer has {bytes} bytes, and at most {limit} (`max_sdp_bytes`) are read; offer fewer codecs or \
         candidates"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The largest size.
        limit: usize,
    },
    /// The offer is none, or has something that cannot be answered.
    #[error("sdp: {0}")]
    InvalidSdp(String),
    /// The offer has no audio.
    #[error(
        "sdp: no audio section; offer one with `addTransceiver(\"audio\")` or a microphone track"
    )]
    NoAudio,
    /// None of the offered codecs is known here, or none is offered by one number for both directions.
    #[error("sdp: no codec in common; offered are {0}, and this server speaks opus, PCMU and PCMA")]
    NoCommonCodec(String),
    /// The id is in use, or was.
    #[error("webrtc_id: has been used before; choose a new one for each connection")]
    AlreadyExists,
    /// Nobody has come by this id.
    #[error("webrtc_id: no client has come by it")]
    Unknown,
    /// The client of this id has left.
    #[error("webrtc_id: its client is gone")]
    Ended,
    /// The client of this id is another than the one that speaks of it. A host's own signalling, which
    /// knows whom it hears, never meets it.
    #[error("webrtc_id: is another client's")]
    Forbidden,
    /// The text is not a candidate.
    #[error(
        "candidate: is not one; send what `icecandidate` events have, or an empty text at the end"
    )]
    InvalidCandidate,
    /// The client has sent `max_candidates`.
    #[error(
        "candidate: this client has sent {limit}, which is all it may (`max_candidates`); gather fewer, those that are \
         known will do"
    )]
    TooManyCandidates {
        /// How many a client may send.
        limit: usize,
    },
    /// The client has sent as many candidates as may come before its offer.
    #[error(
        "candidate: {limit} of them wait for the offer of this client, as many as may; send the offer, and then the \
         others"
    )]
    TooManyEarlyCandidates {
        /// How many of one client may wait.
        limit: usize,
    },
    /// Something is wrong here.
    #[error("the offer could not be answered: {0}")]
    Failed(String),
}

impl SignallingError {
    /// For programs; FastRTC's word where it has one.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "sdp_too_large",
            Self::InvalidSdp(_) => "invalid_sdp",
            Self::NoAudio => "no_audio",
            Self::NoCommonCodec(_) => "no_common_codec",
            Self::AlreadyExists => "connection_already_exists",
            Self::Unknown => "unknown_connection",
            Self::Ended => "connection_closed",
            Self::InvalidCandidate => "invalid_candidate_format",
            Self::Forbidden => "forbidden",
            Self::TooManyCandidates { .. } | Self::TooManyEarlyCandidates { .. } => {
                "too_many_candidates"
            }
            Self::Failed(_) => "failed",
        }
    }
}

impl From<BadOffer> for SignallingError {
    fn from(bad: BadOffer) -> Self {
        match bad {
            BadOffer::TooLarge { bytes, limit } => Self::TooLarge { bytes, limit },
            BadOffer::Invalid(problem) => Self::InvalidSdp(problem),
            BadOffer::NoAudio => Self::NoAudio,
            BadOffer::NoCommonCodec(offered) => Self::NoCommonCodec(offered),
        }
    }
}

impl From<PeerError> for SignallingError {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Offer(problem) => Self::InvalidSdp(problem),
            PeerError::Here(problem) => Self::Failed(problem),
        }
    }
}

impl From<Missing> for SignallingError {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Unknown => Self::Unknown,
            Missing::Ended => Self::Ended,
            Missing::Foreign => Self::Forbidden,
        }
    }
}

/// For a host that has a signalling of its own. One that serves HTTP by axum mounts the routes,
/// which do this, with admission before it.
impl WebRtcRealtimeTransport {
    /// Answers a client's offer, in SDP. The client is looked after from now on: if it does not
    /// connect in time it is forgotten. A session may be started for it at once, and begins when it is
    /// connected, for which it needs this answer.
    pub async fn answer(&self, client: ClientOffer) -> Result<String, SignallingError> {
        let offer = self.read(&client.client.id, &client.sdp)?;
        let on_connected = self.observing(client.client.clone());
        self.answer_and_then(client, offer, on_connected).await
    }

    /// Reads a new client's offer, and refuses what can be refused before it is the client's turn.
    pub(crate) fn read(&self, id: &WebRtcId, sdp: &str) -> Result<Offer, SignallingError> {
        let offer = Offer::read(sdp, self.shared.offer_limits())?;
        match self.shared.callers.get(id, &Speaker::default()) {
            Err(Missing::Unknown) => Ok(offer),
            Ok(_) | Err(Missing::Ended | Missing::Foreign) => Err(SignallingError::AlreadyExists),
        }
    }

    /// Answers an offer that was read, with something else to be done when the client is connected
    /// than telling [`on_client_connected`](Self::on_client_connected).
    pub(crate) async fn answer_and_then(
        &self,
        client: ClientOffer,
        offer: Offer,
        on_connected: OnConnected,
    ) -> Result<String, SignallingError> {
        let shared = &self.shared;
        let id = client.client.id;
        let owner = Arc::new(client.owner);
        let opening = shared.callers.open(&id, Arc::clone(&owner));
        let opening = opening.ok_or(SignallingError::AlreadyExists)?;
        let engine = &shared.engine;
        let answered = engine.answer(id, offer, owner, client.kept).await;
        let (peer, answer) = answered.inspect_err(|error| {
            if let PeerError::Here(problem) = error {
                tracing::error!(problem, "an offer could not be answered");
            }
        })?;
        let Some(early) = opening.done(&peer) else {
            peer.close().await;
            return Err(SignallingError::Ended);
        };
        tokio::spawn(life::accompany(
            Arc::clone(&peer),
            Arc::clone(&shared.callers),
            shared.patience(),
            on_connected,
        ));
        for candidate in early {
            // What is wrong with it was said when it came.
            let _ = peer.add(candidate).await;
        }
        Ok(answer)
    }

    /// Answers another offer of a client that is there, with new ICE credentials: it looks for a
    /// new way after its network has changed.
    pub async fn restart(&self, id: &WebRtcId, sdp: &str) -> Result<String, SignallingError> {
        self.restart_by(&Speaker::default(), id, sdp).await
    }

    /// The same by somebody.
    pub(crate) async fn restart_by(
        &self,
        by: &Speaker,
        id: &WebRtcId,
        sdp: &str,
    ) -> Result<String, SignallingError> {
        let peer = self.shared.callers.get(id, by)?;
        let offer = Offer::read(sdp, self.shared.offer_limits())?;
        Ok(self.shared.engine.restart(&peer, offer).await?)
    }

    /// Takes a candidate of a client as its `icecandidate` events have it. It may overtake the
    /// client's offer, and then waits for it, ten seconds, unless candidates of a thousand others do.
    /// True: the client is there.
    pub async fn add_candidate(
        &self,
        id: &WebRtcId,
        candidate: &str,
    ) -> Result<bool, SignallingError> {
        self.add_candidate_by(&Speaker::default(), id, candidate)
            .await
    }

    /// The same by somebody.
    pub(crate) async fn add_candidate_by(
        &self,
        by: &Speaker,
        id: &WebRtcId,
        candidate: &str,
    ) -> Result<bool, SignallingError> {
        match self.shared.callers.get_or_keep(id, by, candidate)? {
            OfCandidate::Caller(peer) => match peer.add_candidate(candidate).await {
                Ok(()) => Ok(true),
                Err(CandidateError::Malformed) => Err(SignallingError::InvalidCandidate),
                Err(CandidateError::TooMany) => Err(SignallingError::TooManyCandidates {
                    limit: self.shared.config.max_candidates,
                }),
            },
            OfCandidate::Nobody(early) => match early {
                EarlyCandidate::Kept => Ok(false),
                EarlyCandidate::Malformed => Err(SignallingError::InvalidCandidate),
                EarlyCandidate::TooMany { limit } => {
                    Err(SignallingError::TooManyEarlyCandidates { limit })
                }
            },
        }
    }

    /// Ends a client's connection, and its session with it. An offer of its that is being answered
    /// is refused as [`Ended`](SignallingError::Ended) then.
    pub async fn hang_up(&self, id: &WebRtcId) -> Result<(), SignallingError> {
        self.hang_up_by(&Speaker::default(), id).await
    }

    /// The same by somebody.
    pub(crate) async fn hang_up_by(
        &self,
        by: &Speaker,
        id: &WebRtcId,
    ) -> Result<(), SignallingError> {
        if let Some(peer) = self.shared.callers.hang_up(id, by)? {
            peer.hang_up().await;
        }
        Ok(())
    }

    pub(crate) fn observing(&self, client: ClientConnected) -> OnConnected {
        let transport = self.clone();
        Box::new(move |_peer| {
            async move {
                if let Some(observer) = transport.current_observer() {
                    tell(observer, client).await;
                }
            }
            .boxed()
        })
    }
}
