//! Connections to vendors, over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Also in what the tests share.

mod connection;
mod dial;
mod frames;
mod proxy;
mod support;
mod tls;
mod token;
