//! One caller: its peer connection, what is negotiated on it, and how it ends.

mod early;
mod engine;
mod events;
mod exchange;
#[cfg(feature = "axum")]
mod farewell;
mod microphone;
mod reports;
mod tap;

use std::{
    any::Any,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[cfg(feature = "axum")]
use roomkit_core::id::{ParticipantId, RoomId};
use rtc::peer_connection::transport::RTCDtlsTransportState;
use serde_json::{Map, Value};
use tokio::{
    runtime::Handle,
    sync::{Mutex as AsyncMutex, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use webrtc::{
    data_channel::DataChannel,
    media_stream::{
        track_local::{TrackLocal as _, static_rtp::TrackLocalStaticRTP},
        track_remote::TrackRemote,
    },
    peer_connection::PeerConnection,
};

use self::{early::Early, events::Watched, exchange::Ice, reports::LatestReport};
pub(crate) use self::{
    engine::{DISCONNECTED_AFTER, Engine, PeerError, random},
    events::filled,
    exchange::CandidateError,
    reports::fuzz as fuzz_reports,
};
use crate::{
    audio::{Codec, Reception},
    net::PeerNetwork,
    protocol::{AudioSections, WebRtcId},
};

/// How long the last words to a caller may take to be acknowledged.
const FAREWELL_TIME: Duration = Duration::from_millis(500);

/// Where a caller's connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Offered and answered.
    Connecting,
    /// Media flows.
    Connected,
    /// Nothing is heard of the caller, which may come back.
    Interrupted,
    /// The caller has hung up; its session may say a last word.
    Leaving,
    /// The caller has broken a rule: its connection ends without a last word.
    Expelled,
    /// Over.
    Closed,
}

/// What came of the negotiation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Negotiated {
    pub(crate) codec: Codec,
    pub(crate) payload_type: u8,
    /// Of the AI's voice.
    pub(crate) ssrc: u32,
    /// Whether the caller wants to hear it.
    pub(crate) hears: bool,
    pub(crate) has_data_channel: bool,
}

/// Whose a connection is: who shows the same again may speak of it. Equal ones are the same client, as
/// `Identity::is_same_client` has it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Owner {
    /// What authentication said; becomes part of the session's metadata.
    pub(crate) metadata: Map<String, Value>,
    /// What its credentials are held to.
    #[cfg(feature = "axum")]
    pub(crate) room: Option<RoomId>,
    #[cfg(feature = "axum")]
    pub(crate) participant: Option<ParticipantId>,
}

/// A caller.
pub(crate) struct Peer {
    pub(crate) id: WebRtcId,
    pub(crate) negotiated: Negotiated,
    pub(crate) owner: Arc<Owner>,
    connection: Arc<dyn PeerConnection>,
    network: Arc<PeerNetwork>,
    voice: Arc<TrackLocalStaticRTP>,
    /// Of the voice.
    report: LatestReport,
    watched: Watched,
    early: Early,
    /// Those of the first offer.
    audio: AudioSections,
    /// The caller's certificate, by which it is known again.
    fingerprint: String,
    ice: Mutex<Ice>,
    negotiating: Arc<AsyncMutex<()>>,
    claimed: AtomicBool,
    /// The end waits until it is clear whether there is something to be said before it.
    farewell_due: AtomicBool,
    /// The session has said its last word.
    has_farewell: AtomicBool,
    /// The session is done with the caller.
    released: AtomicBool,
    /// Dropped with the connection, such as the permit that counts it.
    kept: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Peer {
    pub(crate) fn state(&self) -> State {
        *self.watched.state.borrow()
    }

    pub(crate) fn states(&self) -> watch::Receiver<State> {
        self.watched.state.subscribe()
    }

    /// Waits until media flows. False: it never will.
    pub(crate) async fn is_there(&self) -> bool {
        let mut states = self.states();
        let is_decided = |state: &State| !matches!(state, State::Connecting | State::Interrupted);
        let decided = states.wait_for(is_decided).await;
        decided.is_ok_and(|state| *state == State::Connected)
    }

    /// The caller's microphone, once something came of it.
    pub(crate) fn tracks(&self) -> watch::Receiver<Option<Arc<dyn TrackRemote>>> {
        self.watched.track.subscribe()
    }

    /// The rule that the caller has broken, which ends the call.
    pub(crate) fn violation(&self) -> Option<&'static str> {
        self.watched.violation()
    }

    /// The channel for messages, once there is one: the caller's, or ours until the caller's comes.
    pub(crate) fn channels(&self) -> watch::Receiver<Option<Arc<dyn DataChannel>>> {
        self.watched.channel.subscribe()
    }

    /// Makes the caller a session's. False: it is one already.
    pub(crate) fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Acquire)
    }

    /// Sends a packet of the AI's voice.
    pub(crate) async fn send_voice(&self, packet: rtc::rtp::Packet) {
        // It fails only before the negotiation and after the end, and both are known otherwise.
        let _ = self.voice.write_rtp(packet).await;
    }

    /// Opens a channel to a caller that has agreed to have one and made none.
    pub(crate) async fn open_channel(&self) {
        let opened = self.connection.create_data_channel(CHANNEL_LABEL, None);
        if let Ok(channel) = opened.await
            && !self.watched.set_our_channel(Arc::clone(&channel))
        {
            // The caller's came meanwhile.
            let _ = channel.close().await;
        }
    }

    /// What the caller says came of the AI's voice; none if it has said nothing since this was last
    /// asked.
    pub(crate) fn reception(&self) -> Option<Reception> {
        self.report.take()
    }

    /// The session has told the caller of its end: there is nothing to add.
    pub(crate) fn has_farewell(&self) {
        self.has_farewell.store(true, Ordering::SeqCst);
    }

    /// The session is done with the caller.
    pub(crate) async fn release(self: &Arc<Self>) {
        self.released.store(true, Ordering::SeqCst);
        if !self.farewell_due.load(Ordering::SeqCst) {
            self.close().await;
        }
    }

    /// The same from where nothing can be awaited.
    pub(crate) fn release_soon(self: &Arc<Self>) {
        self.released.store(true, Ordering::SeqCst);
        if !self.farewell_due.load(Ordering::SeqCst) {
            self.close_soon();
        }
    }

    /// Waits, not for long, until the caller has all messages.
    pub(crate) async fn flush(&self, channel: &Arc<dyn DataChannel>) {
        let acknowledged = async {
            while !matches!(self.state(), State::Expelled | State::Closed)
                && channel
                    .outstanding_bytes()
                    .await
                    .is_ok_and(|bytes| bytes > 0)
            {
                sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = timeout(FAREWELL_TIME, acknowledged).await;
    }

    /// Whether the caller has closed its connection, by DTLS's word for it.
    pub(crate) async fn has_hung_up(&self) -> bool {
        for sender in self.connection.get_senders().await {
            if let Ok(Some(transport)) = sender.transport().await
                && let Ok(RTCDtlsTransportState::Closed) = transport.state().await
            {
                return true;
            }
        }
        false
    }

    /// The caller wants to leave: its session ends, and the connection after it.
    pub(crate) async fn hang_up(self: &Arc<Self>) {
        if self.is_claimed() {
            self.watched.leave();
        } else {
            self.close().await;
        }
    }

    /// Ends the connection; again does nothing. Not to be called from the library's callbacks.
    pub(crate) async fn close(self: &Arc<Self>) {
        if let Some(closing) = self.close_soon() {
            let _ = closing.await;
        }
    }

    /// The same from where nothing can be awaited. On a task of its own, which nobody cuts short:
    /// many wait for a close only until the state changes, which is the first thing it does.
    fn close_soon(self: &Arc<Self>) -> Option<JoinHandle<()>> {
        if !self.watched.close() {
            return None;
        }
        self.network.leave();
        let peer = Arc::clone(self);
        let closing = async move {
            if let Err(error) = peer.connection.close().await {
                tracing::debug!(%error, "a peer connection did not close cleanly");
            }
            peer.watched.forget();
            let kept = peer
                .kept
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            drop(kept);
        };
        // Without a runtime there is no driver that would have to be stopped.
        let runtime = Handle::try_current().ok()?;
        Some(runtime.spawn(closing))
    }
}

/// The label of a channel of ours.
const CHANNEL_LABEL: &str = "roomkit";

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("negotiated", &self.negotiated)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests;
