//! What the fake vendor servers have in common: sockets, records, handles, faults, ears, voices.
//!
//! A vendor's module brings an [`serve::Engine`]: client frames in, server frames out, no socket.
//! Everything around it is here.

// A build with one vendor leaves some of it unused.
#![cfg_attr(
    not(all(feature = "fake-openai", feature = "fake-gemini")),
    allow(dead_code, unused_imports)
)]

pub(crate) mod audio;
pub(crate) mod fault;
pub(crate) mod handle;
mod line;
pub(crate) mod options;
pub(crate) mod random;
pub(crate) mod record;
pub(crate) mod serve;
pub(crate) mod server;
pub(crate) mod speech;
pub(crate) mod vad;
