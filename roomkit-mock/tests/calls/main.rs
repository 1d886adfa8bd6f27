//! Whole calls through the public API: a kit, a voice channel, and mocks on both ends.
#![cfg(feature = "mock")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // Also in what the tests share.

mod agents;
mod audio;
mod brittle;
mod changes;
mod consent;
mod deliveries;
mod dropped;
mod echo;
mod ends;
mod floods;
mod goodbye;
mod handover;
mod isolation;
mod last_hooks;
mod left_out;
mod muted;
mod observers;
mod rates;
mod recording;
mod rooms;
mod settings;
mod spans;
mod starts;
mod stats;
mod stores;
mod support;
mod tool_rules;
mod tool_sources;
mod tools;
mod traces;
mod wakeups;
mod words;
