//! Host code that looks at, changes or refuses what is about to happen (contract R5).
//!
//! *Deciding* hooks run one after the other, lowest [priority](Hook::priority) first; each sees
//! what the one before it left, and the first to block ends the run. *Notifying* hooks run in the
//! same order after the fact. A hook has 30 s unless it [says otherwise](Hook::timeout), and a
//! panic in it ends that one call only (contract S8).
//!
//! When a deciding hook errs, takes too long or panics, it depends on what is at stake:
//!
//! | hook | its failure |
//! |---|---|
//! | [`transcription`](Hook::transcription), [`before_tool_use`](Hook::before_tool_use) | blocks (contract T5) |
//! | [`before_broadcast`](Hook::before_broadcast), [`tool_result`](Hook::tool_result) | is reported and ignored |
//!
//! Hooks are kept by the kit: one that captures a [`RoomKit`](crate::RoomKit) keeps the kit alive
//! until it is closed. Capture a [`WeakRoomKit`](crate::WeakRoomKit) instead.
//!
//! ```
//! use std::time::Duration;
//! use roomkit_core::{RoomKit, hook::{Decision, Hook}};
//!
//! let kit = RoomKit::new();
//! kit.add_hook(
//!     Hook::before_broadcast(|event| async move {
//!         match event.content.as_text() {
//!             Some(text) if text.contains("card number") => Decision::block("payment data"),
//!             _ => Decision::Allow,
//!         }
//!     })
//!     .name("payment-filter")
//!     .priority(-10)
//!     .timeout(Duration::from_secs(2)),
//! );
//! ```
//!
//! A hook is a function of an event, and is tested as one: the events of [`event`](crate::event) and
//! [`RoomEvent`](crate::room::RoomEvent) have a `new`. What the engine makes of it,
//! [`RoomKit::hooks`](crate::RoomKit::hooks) says.
//!
//! ```
//! use roomkit_core::{
//!     RealtimeSession, RoomKit,
//!     event::RealtimeTranscriptionEvent,
//!     hook::{Decision, Hook, Verdict},
//!     provider::Role,
//! };
//!
//! async fn redact(
//!     mut event: RealtimeTranscriptionEvent,
//! ) -> Decision<RealtimeTranscriptionEvent> {
//!     event.text = event.text.replace("4111 1111 1111 1111", "****");
//!     Decision::Replace(event)
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let session = RealtimeSession::new("lobby", "ann", "voice", Default::default());
//! let said = RealtimeTranscriptionEvent::new(session, Role::User, "it is 4111 1111 1111 1111");
//! let Decision::Replace(shown) = redact(said.clone()).await else {
//!     panic!("it was let through");
//! };
//! assert_eq!(shown.text, "it is ****");
//!
//! // With its filters, its time and the hooks beside it:
//! let kit = RoomKit::new();
//! kit.add_hook(Hook::transcription(redact).channel("voice"));
//! let scope = kit.hooks().scope("lobby", "voice", "realtime_voice");
//! let verdict = kit.hooks().transcription(&scope, said).await;
//! assert_eq!(verdict, Verdict::Allowed(shown));
//! # }
//! ```

mod engine;
mod list;
mod registration;
#[cfg(test)]
mod tests;
mod trigger;

pub use engine::Hooks;
pub use registration::{Decision, Hook, IntoDecision};
pub use trigger::{HookScope, Notice, Trigger, Verdict};
