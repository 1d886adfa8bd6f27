//! Gemini Live, on the Gemini API or Vertex AI, as a provider of `roomkit`.
//!
//! ```
//! use roomkit_provider_gemini::{GeminiConfig, GeminiLiveProvider};
//!
//! # fn main() -> Result<(), roomkit_core::registry::ConfigError> {
//! let provider = GeminiLiveProvider::new(GeminiConfig {
//!     api_key: Some("...".into()),
//!     ..GeminiConfig::default()
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! Linked into a program, it is also found by the name `gemini`
//! ([`Registry`](roomkit_core::registry::Registry)), with [`GeminiConfig`] as JSON.
//!
//! The crate translates and decides nothing: commands of the call engine become the vendor's client
//! messages ([`protocol::Encoder`]), the vendor's server messages become
//! [`ProviderEvent`](roomkit_core::provider::ProviderEvent)s ([`protocol::Decoder`]), and one
//! WebSocket lies between. What differs from model to model stands in one table
//! ([`ModelFamily`]), so that a setting a model does not take is an error with a name instead of a
//! connection that the vendor closes without one.

mod config;
mod connection;
mod error;
pub mod protocol;
mod provider;

pub use config::*;
pub use provider::GeminiLiveProvider;
pub use roomkit_dial::Redactor;

/// The README, so that its examples are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
