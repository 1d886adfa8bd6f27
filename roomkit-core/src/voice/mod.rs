//! The voice of a room: [`RealtimeVoiceChannel`], its settings and its sessions.

mod builder;
mod channel;
mod in_room;
mod observers;
mod options;

pub use builder::RealtimeVoiceChannelBuilder;
pub use channel::RealtimeVoiceChannel;
pub(crate) use observers::Observers;
pub use options::SessionOptions;

/// The kind of every voice channel, as events and hooks name it.
pub const REALTIME_VOICE: &str = "realtime_voice";
