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

mod engine;
mod list;
mod registration;
#[cfg(test)]
mod tests;
mod trigger;

pub use engine::Hooks;
pub use registration::{Decision, Hook, IntoDecision};
pub use trigger::{HookScope, Notice, Trigger, Verdict};
