#![doc = include_str!("../README.md")]

pub use roomkit_core::*;

// A plugin whose crate no line of source names is not linked, and its registration does not exist:
// these re-exports are what makes a feature work.

#[cfg(feature = "http")]
pub use roomkit_http as http;
#[cfg(feature = "mcp")]
pub use roomkit_mcp as mcp;
#[cfg(feature = "mock")]
pub use roomkit_mock as mock;
#[cfg(feature = "gemini")]
pub use roomkit_provider_gemini as gemini;
#[cfg(feature = "openai")]
pub use roomkit_provider_openai as openai;
#[cfg(feature = "recording")]
pub use roomkit_recording as recording_files;
#[cfg(feature = "webrtc")]
pub use roomkit_transport_webrtc as webrtc;
#[cfg(feature = "websocket")]
pub use roomkit_transport_ws as websocket;

/// The README of the repository, so that its example is compiled.
#[cfg(all(doctest, feature = "mock", feature = "websocket"))]
#[doc = include_str!("../../README.md")]
mod readme {}
