//! What is exchanged with a caller: offers, answers, and candidates.

use std::{
    mem,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::timeout;
use webrtc::peer_connection::{RTCIceCandidateInit, RTCSessionDescription};

use super::{Peer, PeerError};
use crate::protocol::{Candidate, Candidates, Offer, Unusable, credentials};

/// How long our own addresses may take to be found out; those that are found by then are told.
const GATHERING_TIME: Duration = Duration::from_secs(3);

/// What belongs to a caller's ICE until it restarts.
pub(super) struct Ice {
    /// The names of the credentials, the caller's and ours.
    pub(super) theirs: String,
    ours: String,
    candidates: Candidates,
    /// Candidates that have overtaken the offer of the next restart, with no more of them than there
    /// may be candidates.
    early: Vec<Candidate>,
}

impl Ice {
    pub(super) fn new(theirs: String, max_candidates: usize) -> Self {
        Self {
            theirs,
            ours: String::new(),
            candidates: Candidates::new(max_candidates),
            early: Vec::new(),
        }
    }

    /// The library has taken an offer with these credentials of the caller's. Gives the candidates
    /// that came before it.
    fn begin(&mut self, theirs: String) -> Vec<Candidate> {
        self.theirs = theirs;
        let mut early = mem::take(&mut self.early);
        early.retain(|candidate| candidate.ufrag() == Some(&self.theirs));
        early
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> impl Iterator<Item = &str> {
        self.early.iter().filter_map(Candidate::ufrag)
    }
}

/// Why a candidate was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CandidateError {
    Malformed,
    TooMany,
}

impl Peer {
    /// A candidate of the caller's; the empty one says that there are no more.
    pub(crate) async fn add_candidate(&self, candidate: &str) -> Result<(), CandidateError> {
        if candidate.is_empty() {
            return Ok(());
        }
        match Candidate::read(candidate) {
            Ok(candidate) => self.add(candidate).await,
            Err(_) if !self.ice().candidates.take() => Err(CandidateError::TooMany),
            Err(Unusable::Elsewhere) => Ok(()),
            Err(Unusable::Malformed) => Err(CandidateError::Malformed),
        }
    }

    /// The same of one that was read.
    pub(crate) async fn add(&self, candidate: Candidate) -> Result<(), CandidateError> {
        {
            let mut ice = self.ice();
            if !ice.candidates.take() {
                return Err(CandidateError::TooMany);
            }
            // It has overtaken the offer of a restart. To the library it would be one of before.
            if candidate.ufrag().is_some_and(|ufrag| ufrag != ice.theirs) {
                ice.early.push(candidate);
                return Ok(());
            }
        }
        let init = RTCIceCandidateInit {
            candidate: candidate.as_str().into(),
            ..RTCIceCandidateInit::default()
        };
        if let Err(error) = self.connection.add_ice_candidate(init).await {
            tracing::debug!(%error, "a candidate was not taken");
        }
        Ok(())
    }

    /// Whether this is the name of the caller's ICE credentials.
    #[cfg(feature = "axum")]
    pub(crate) fn has_ufrag(&self, ufrag: &str) -> bool {
        self.ice().theirs == ufrag
    }

    /// What an offer would change about the call, if anything. The library would say yes to it, and
    /// the voice, the microphone or the messages would be lost for good.
    pub(super) fn media_change(&self, offer: &Offer) -> Option<&'static str> {
        let negotiated = &self.negotiated;
        if (offer.codec, offer.payload_type) != (negotiated.codec, negotiated.payload_type) {
            return Some("the codec or its payload type is not that of the first offer");
        }
        if !self.audio.admit(&offer.audio) {
            return Some("the audio sections or their directions are not those of the first offer");
        }
        (offer.has_data_channel != negotiated.has_data_channel)
            .then_some("the first offer had a data channel and this one has none, or the reverse")
    }

    pub(super) fn ice(&self) -> MutexGuard<'_, Ice> {
        self.ice.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the library answer an offer. After one that it does not take it is where it was before.
pub(super) async fn negotiate(
    peer: &Peer,
    sdp: String,
    ufrag: String,
) -> Result<String, PeerError> {
    let answer = answered(peer, sdp, ufrag).await;
    if answer.is_err()
        && let Ok(rollback) = RTCSessionDescription::rollback(None)
    {
        // It fails where nothing was begun, or all is over.
        let _ = peer.connection.set_remote_description(rollback).await;
    }
    answer
}

async fn answered(peer: &Peer, sdp: String, ufrag: String) -> Result<String, PeerError> {
    let not_taken = |error: webrtc::error::Error| PeerError::Offer(error.to_string());
    let connection = &peer.connection;
    let offer = RTCSessionDescription::offer(sdp).map_err(not_taken)?;
    connection
        .set_remote_description(offer)
        .await
        .map_err(not_taken)?;
    let waiting = peer.ice().begin(ufrag);
    let answer = connection.create_answer(None).await.map_err(not_taken)?;
    let (ours, _) = our_credentials(&answer.sdp)?;
    {
        // A restart: only the library says so for sure, by new credentials of its own.
        let mut ice = peer.ice();
        if ice.ours != ours {
            ice.ours = ours;
            ice.candidates.renew();
        }
    }
    let mut gathered = peer.watched.gathered.subscribe();
    connection
        .set_local_description(answer)
        .await
        .map_err(not_taken)?;
    for candidate in waiting {
        // What is wrong with it was said when it came.
        let _ = peer.add(candidate).await;
    }
    let complete = gathered.wait_for(|complete| *complete);
    if timeout(GATHERING_TIME, complete).await.is_err() {
        tracing::warn!("not all of our addresses were found in time; see `ice_servers`");
    }
    let answer = connection.local_description().await;
    let answer = answer.ok_or_else(|| PeerError::Here("there is no answer".into()))?;
    let (name, password) = our_credentials(&answer.sdp)?;
    peer.network.add_credentials(name, password);
    Ok(answer.sdp)
}

fn our_credentials(answer: &str) -> Result<(String, String), PeerError> {
    credentials(answer).ok_or_else(|| PeerError::Here("the answer has no credentials".into()))
}
