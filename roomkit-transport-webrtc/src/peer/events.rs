//! What the library says of a peer connection. It says so on the task that drives the connection,
//! so nothing here waits.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::watch;
use webrtc::{
    data_channel::DataChannel,
    media_stream::track_remote::TrackRemote,
    peer_connection::{PeerConnectionEventHandler, RTCIceGatheringState, RTCPeerConnectionState},
};

use super::State;

/// What is told of a caller that has opened more.
const ONE_CHANNEL: &str = "a call has one data channel; the client opened a second";

/// What is known of a peer connection.
#[derive(Clone)]
pub(super) struct Watched {
    pub(super) state: watch::Sender<State>,
    pub(super) track: watch::Sender<Option<Arc<dyn TrackRemote>>>,
    pub(super) channel: watch::Sender<Option<Arc<dyn DataChannel>>>,
    pub(super) gathered: watch::Sender<bool>,
    /// Whether the caller has opened a channel.
    has_channel: Arc<AtomicBool>,
    /// The rule that the caller has broken.
    violation: Arc<OnceLock<&'static str>>,
}

impl Watched {
    pub(super) fn new() -> Self {
        Self {
            state: watch::Sender::new(State::Connecting),
            track: watch::Sender::new(None),
            channel: watch::Sender::new(None),
            gathered: watch::Sender::new(false),
            has_channel: Arc::default(),
            violation: Arc::default(),
        }
    }

    /// From now on it is over. False: it has been.
    pub(super) fn close(&self) -> bool {
        self.move_to(State::Closed)
    }

    /// From now on its end is awaited.
    pub(super) fn leave(&self) {
        self.move_to(State::Leaving);
    }

    /// The caller has broken a rule: from now on its end is awaited, and nothing it says counts.
    pub(super) fn expel(&self, violation: &'static str) {
        let _ = self.violation.set(violation);
        self.move_to(State::Expelled);
    }

    pub(super) fn violation(&self) -> Option<&'static str> {
        self.violation.get().copied()
    }

    /// Lets go of the library's objects, of which some own the connection that owns this.
    pub(super) fn forget(&self) {
        self.track.send_replace(None);
        self.channel.send_replace(None);
    }

    /// A channel of ours is the one for messages until the caller opens one. False: it has.
    pub(super) fn set_our_channel(&self, channel: Arc<dyn DataChannel>) -> bool {
        set_first(&self.channel, channel)
    }

    fn move_to(&self, state: State) -> bool {
        self.state.send_if_modified(|now| {
            let moves = match *now {
                State::Closed => false,
                State::Expelled => state == State::Closed,
                State::Leaving => matches!(state, State::Expelled | State::Closed),
                _ => *now != state,
            };
            if moves {
                *now = state;
            }
            moves
        })
    }
}

/// What a slot holds, once it holds something; none when it never will.
pub(crate) async fn filled<T: Clone>(slot: &mut watch::Receiver<Option<T>>) -> Option<T> {
    let filled = slot.wait_for(Option::is_some).await.ok()?;
    filled.clone()
}

/// False: there is one.
fn set_first<T>(slot: &watch::Sender<Option<T>>, value: T) -> bool {
    slot.send_if_modified(|slot| {
        let empty = slot.is_none();
        if empty {
            *slot = Some(value);
        }
        empty
    })
}

#[async_trait::async_trait]
impl PeerConnectionEventHandler for Watched {
    async fn on_ice_gathering_state_change(&self, state: RTCIceGatheringState) {
        self.gathered
            .send_replace(state == RTCIceGatheringState::Complete);
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Connected => self.move_to(State::Connected),
            RTCPeerConnectionState::Disconnected | RTCPeerConnectionState::Failed => {
                self.move_to(State::Interrupted)
            }
            // Of a connection that was there: it looks for a new way, which it may never find.
            RTCPeerConnectionState::New | RTCPeerConnectionState::Connecting => {
                self.state.send_if_modified(|state| {
                    let was_there = *state == State::Connected;
                    if was_there {
                        *state = State::Interrupted;
                    }
                    was_there
                })
            }
            // Only we close it, and then know it.
            _ => false,
        };
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        // The library keeps what comes on a channel that nobody reads, and whoever may open many
        // could fill the memory with that (contract X5). One is all that our clients have.
        if self.has_channel.swap(true, Ordering::SeqCst) {
            self.expel(ONE_CHANNEL);
        } else {
            self.channel.send_replace(Some(channel));
        }
    }

    async fn on_track(&self, track: Arc<dyn TrackRemote>) {
        set_first(&self.track, track);
    }
}
