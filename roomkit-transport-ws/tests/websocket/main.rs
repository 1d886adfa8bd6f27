//! The transport by its public API, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Also in what the tests share.

#[cfg(feature = "tungstenite")]
mod conformance;
#[cfg(feature = "tungstenite")]
mod connection;
#[cfg(feature = "tungstenite")]
mod early;
#[cfg(feature = "axum")]
mod layers;
mod protocol;
#[cfg(feature = "axum")]
mod routes;
#[cfg(any(feature = "axum", feature = "tungstenite"))]
mod support;
