//! The call engine, the rooms and the plugin traits of roomkit.
//!
//! A speech-to-speech AI takes part in a [room]: a caller's audio flows through a
//! [transport] to a [provider] and back, what is said becomes events of the room, and what others
//! write in the room becomes words for the AI. Programs use the facade `roomkit-rs`; the crates of
//! plugins depend on this one alone.
//!
//! - [`RoomKit`] is where rooms and channels live.
//! - [`RealtimeVoiceChannel`] starts sessions and decides all that is to be decided in a call.
//! - [`provider`], [`transport`], [`tool`], [`recording`] and [`channel`] are what others implement.
//! - [`registry`] finds plugins by name.
//!
//! ```
//! use std::sync::Arc;
//! use roomkit_core::{
//!     RealtimeVoiceChannel, RoomKit,
//!     provider::RealtimeVoiceProvider,
//!     transport::{Connection, RealtimeAudioTransport},
//! };
//!
//! # async fn example(
//! #     provider: Arc<dyn RealtimeVoiceProvider>,
//! #     transport: Arc<dyn RealtimeAudioTransport>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! // Once. Keep both as long as there are calls: when the last handle of either is dropped, its
//! // sessions end.
//! let kit = RoomKit::new();
//! let voice = RealtimeVoiceChannel::builder("voice", provider, transport)
//!     .system_prompt("You are a helpful voice assistant.")
//!     .build()?;
//! kit.register_channel(voice.clone())?;
//! kit.create_room("lobby").await?;
//! kit.attach_channel("lobby", "voice").await?;
//!
//! // For each caller.
//! async fn answer(
//!     voice: &RealtimeVoiceChannel,
//!     caller: Connection,
//! ) -> Result<(), Box<dyn std::error::Error>> {
//!     let session = voice.start_session("lobby", "ann", caller).await?;
//!     println!("{} has begun", session.id());
//!     Ok(())
//! }
//! # Ok(())
//! # }
//! ```

pub mod audio;
mod call;
pub mod channel;
pub mod client_protocol;
pub mod ephemeral;
pub mod error;
pub mod event;
pub mod framework;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
pub mod hook;
pub mod id;
pub mod kit;
pub mod provider;
mod quiet;
pub mod recording;
pub mod registry;
pub mod room;
pub mod session;
pub mod stats;
pub mod store;
pub mod subscriber;
pub mod tool;
pub mod transport;
pub mod voice;

/// The times in events and sessions are of this crate.
pub use jiff;
/// How a tool learns that nobody waits for it any more.
pub use tokio_util::sync::CancellationToken;

/// For `#[schemars(crate = "...")]` on the arguments of typed tools.
#[cfg(feature = "typed-tools")]
pub use schemars;

pub use kit::{RoomKit, RoomKitBuilder, WeakRoomKit};
pub use session::{RealtimeSession, RealtimeSessionState};
pub use voice::{RealtimeVoiceChannel, SessionOptions, WeakRealtimeVoiceChannel};

/// The guide for plugins, so that its example is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/write-a-plugin.md")]
mod write_a_plugin {}
