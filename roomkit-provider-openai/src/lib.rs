//! OpenAI Realtime, and servers that speak its protocol, as a provider of `roomkit`.
//!
//! ```
//! use roomkit_provider_openai::{OpenAIConfig, OpenAIRealtimeProvider};
//!
//! # fn main() -> Result<(), roomkit_core::registry::ConfigError> {
//! let provider = OpenAIRealtimeProvider::new(OpenAIConfig {
//!     api_key: Some("sk-...".into()),
//!     ..OpenAIConfig::default()
//! })?;
//! # Ok(())
//! # }
//! ```
//!
//! Linked into a program, it is also found by the name `openai`
//! ([`Registry`](roomkit_core::registry::Registry)), with [`OpenAIConfig`] as JSON.
//!
//! Azure OpenAI and xAI are a constructor away ([`OpenAIConfig::azure`], [`OpenAIConfig::xai`]), or a
//! `preset` in JSON.
//!
//! The crate translates and decides nothing: commands of the call engine become the vendor's client
//! events ([`protocol::Encoder`]), the vendor's server events become
//! [`ProviderEvent`](roomkit_core::provider::ProviderEvent)s ([`protocol::Decoder`]), and one
//! WebSocket lies between ([`roomkit_dial`]). What was said before a connection becomes items of its
//! conversation ([`protocol::replay`]). It speaks the general availability form of the protocol and
//! understands the names of the beta, which compatible servers still use.

// The vendor's name is no code, whatever its capitals.
#![allow(clippy::doc_markdown)]

mod config;
mod connection;
mod error;
pub mod protocol;
mod provider;

pub use config::*;
pub use provider::OpenAIRealtimeProvider;
pub use roomkit_dial::Redactor;

/// The README, so that its examples are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
