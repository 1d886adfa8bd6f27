//! WebRTC clients as a roomkit transport.
//!
//! A client's offer comes over HTTP (FastRTC's or WHIP's signalling, [`WebRtcRealtimeTransport::router`])
//! or any other way ([`WebRtcRealtimeTransport::answer`]); once it is connected, its
//! [`WebRtcId`] is what `start_session` takes for a connection. Audio is Opus on real tracks, and
//! the messages of the client protocol go over a data channel.
//!
//! How the parts fit, in the order of a call:
//!
//! 1. `routes` and `signalling` take offers and candidates, which `protocol` reads.
//! 2. `peer` makes a peer connection of an offer; it is the only part that talks to the WebRTC
//!    library. `net` lends it a share of the one UDP port.
//! 3. `callers` knows everyone by id, and `life` stays with each until the end.
//! 4. `transport` makes a session's link of a caller; `link` carries commands and events, with
//!    `audio` between RTP and PCM16.

mod audio;
mod callers;
mod config;
mod connected;
#[doc(hidden)]
pub mod fuzzing;
mod life;
mod link;
mod net;
mod peer;
mod protocol;
#[cfg(feature = "axum")]
mod routes;
mod signalling;
mod transport;

pub use config::{IceServer, WebRtcTransportConfig};
pub use connected::ClientConnected;
pub use protocol::WebRtcId;
#[cfg(feature = "axum")]
pub use routes::mount_fastrtc_realtime;
pub use signalling::{ClientOffer, SignallingError};
pub use transport::WebRtcRealtimeTransport;

/// The README, so that its example is compiled.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
mod readme {}
