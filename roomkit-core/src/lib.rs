//! The call engine, the rooms and the plugin traits of roomkit.

pub mod audio;
mod call;
pub mod channel;
pub mod client_protocol;
pub mod error;
pub mod event;
pub mod id;
pub mod kit;
pub mod provider;
pub mod registry;
pub mod room;
pub mod session;
pub mod tool;
pub mod transport;

pub use kit::RoomKit;
pub use session::{RealtimeSession, RealtimeSessionState};
