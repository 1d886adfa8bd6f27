//! The transport by its public API: a client with a microphone, over real sockets.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used, clippy::expect_used)] // Also in what the tests share.

mod call;
mod channel;
mod host;
mod life;
mod network;
mod recording;
mod reports;
mod restart;
mod signalling;
mod support;
mod trust;
