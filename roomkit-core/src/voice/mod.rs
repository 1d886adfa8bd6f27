//! The voice of a room: [`RealtimeVoiceChannel`], its settings and its sessions.

mod agent;
mod agents;
mod builder;
mod channel;
mod deliver;
mod hand_off;
mod in_room;
mod observers;
mod options;
mod recording;
mod requests;
mod seed;
mod sources;
mod start;
mod update;

pub use agent::{Agent, AgentRef};
pub(crate) use agents::Agents;
pub use builder::RealtimeVoiceChannelBuilder;
pub use channel::{RealtimeVoiceChannel, WeakRealtimeVoiceChannel};
pub use deliver::{Delivered, DeliveryStrategy};
pub use hand_off::HandOff;
pub(crate) use observers::Observers;
pub use options::SessionOptions;
pub use seed::HistorySeed;
pub use update::Updated;

/// The kind of every voice channel, as events and hooks name it.
pub const REALTIME_VOICE: &str = "realtime_voice";
