//! The fake vendors and the proxy, by clients that know nothing but the wire.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Also in what the tests share.

#[cfg(feature = "fault-proxy")]
mod fault_proxy;
#[cfg(feature = "fake-gemini")]
mod gemini;
#[cfg(feature = "fake-openai")]
mod openai;
#[cfg(any(feature = "fake-gemini", feature = "fake-openai"))]
mod raw_client;
