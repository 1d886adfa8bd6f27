//! WebRTC clients as a roomkit transport.

mod audio;
mod callers;
mod config;
mod net;
mod peer;
mod protocol;

pub use config::{IceServer, WebRtcTransportConfig};
pub use protocol::WebRtcId;
