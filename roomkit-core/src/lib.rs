//! The call engine, the rooms and the plugin traits of roomkit.

pub mod audio;
mod call;
pub mod channel;
pub mod client_protocol;
pub mod ephemeral;
pub mod error;
pub mod event;
pub mod framework;
mod guard;
pub mod hook;
pub mod id;
pub mod kit;
pub mod provider;
pub mod registry;
pub mod room;
pub mod session;
pub mod store;
pub mod subscriber;
pub mod tool;
pub mod transport;
pub mod voice;

pub use kit::{RoomKit, RoomKitBuilder, WeakRoomKit};
pub use session::{RealtimeSession, RealtimeSessionState};
pub use voice::{RealtimeVoiceChannel, SessionOptions};
