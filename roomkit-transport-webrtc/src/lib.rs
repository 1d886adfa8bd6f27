//! WebRTC clients as a roomkit transport.

mod audio;
mod config;
mod net;
mod protocol;

pub use config::{IceServer, WebRtcTransportConfig};
pub use protocol::WebRtcId;
