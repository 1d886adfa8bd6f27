//! The voice of a room: [`RealtimeVoiceChannel`], its settings and its sessions.

mod builder;
mod channel;
mod in_room;
mod observers;
mod options;
mod recording;
mod requests;
mod seed;
mod sources;

pub use builder::RealtimeVoiceChannelBuilder;
pub use channel::RealtimeVoiceChannel;
pub(crate) use observers::Observers;
pub use options::SessionOptions;
pub use seed::HistorySeed;

/// The kind of every voice channel, as events and hooks name it.
pub const REALTIME_VOICE: &str = "realtime_voice";
