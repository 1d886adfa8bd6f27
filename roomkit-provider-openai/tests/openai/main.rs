//! The provider by its public API: frames, and connections to servers of our own.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Also in what the tests share.

mod config;
mod conformance;
mod connect;
mod decode;
mod encode;
mod failures;
mod fake_openai;
mod history;
mod hostile;
mod live;
mod nulls;
mod presets;
mod raw;
mod support;
mod tls;
mod vendor_tools;
mod xai;
