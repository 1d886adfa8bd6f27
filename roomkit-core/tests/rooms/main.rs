//! Rooms by the public API.
#![allow(clippy::unwrap_used, clippy::expect_used)] // Also in what the tests share.

mod closing;
mod deletion;
mod delivery;
mod hooks;
mod life;
mod registration;
mod support;
mod timeline;
