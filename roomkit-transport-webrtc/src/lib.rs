//! WebRTC clients as a roomkit transport.

mod audio;
mod callers;
mod config;
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
pub use protocol::WebRtcId;
#[cfg(feature = "axum")]
pub use routes::mount_fastrtc_realtime;
pub use signalling::{ClientOffer, SignallingError};
pub use transport::WebRtcRealtimeTransport;
