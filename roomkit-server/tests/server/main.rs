//! The server by its public API and as a program, with clients over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Also in what the tests share.

mod agents;
mod call;
mod dashboard;
mod gemini;
#[cfg(feature = "jwt")]
mod jwt;
#[cfg(unix)]
mod operate;
#[cfg(all(unix, feature = "otel"))]
mod otel;
mod plugins;
#[cfg(unix)]
mod program;
mod provider;
mod recording;
#[cfg(unix)]
mod reload;
mod retention;
mod room_list;
mod rooms;
mod support;
#[cfg(unix)]
mod tls;
mod tokens;
mod trust;
mod webrtc;
