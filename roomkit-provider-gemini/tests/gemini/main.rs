//! The provider by its public API: frames, and connections to servers of our own.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Also in what the tests share.

mod calls;
mod config;
mod conformance;
mod connect;
mod decode;
mod encode;
mod fake_gemini;
mod hostile;
mod models;
mod schema;
mod setup;
mod support;
mod turns;
mod words;
