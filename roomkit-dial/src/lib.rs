//! What a provider needs of a WebSocket client, once: where to dial and with which headers, TLS,
//! limits, what failures mean, and the two halves of a [`ProviderConnection`] with no task behind
//! them.
//!
//! A provider's crate brings three things: an [`ErrorTable`] of its vendor's words, an [`Encode`]
//! for commands and a [`Decode`] for frames. Its `connect` is then a few lines:
//!
//! ```
//! use std::{collections::VecDeque, time::Duration};
//!
//! use roomkit_core::{
//!     provider::{
//!         ConnectionInfo, ProviderCapabilities, ProviderCommand, ProviderConnection,
//!         ProviderError, ProviderErrorKind, ProviderEvent, SessionSetup,
//!     },
//!     registry::ConfigError,
//! };
//! use roomkit_dial::{Deadline, Decode, DialOptions, Dialer, Encode, Endpoint, ErrorTable};
//!
//! const ERRORS: ErrorTable =
//!     ErrorTable::new().codes(&[("bad_key", ProviderErrorKind::Authentication)]);
//!
//! struct Wire;
//!
//! impl Encode for Wire {
//!     type Frame = String;
//!
//!     fn encode(
//!         &mut self,
//!         command: &ProviderCommand,
//!         frames: &mut VecDeque<String>,
//!     ) -> Result<(), ProviderError> {
//!         if let ProviderCommand::Text { text, .. } = command {
//!             frames.push_back(text.clone());
//!         }
//!         Ok(())
//!     }
//! }
//!
//! impl Decode for Wire {
//!     fn decode(&mut self, frame: &str, events: &mut VecDeque<ProviderEvent>) {
//!         if frame == "stop" {
//!             events.push_back(ProviderEvent::ToolCallsCancelled { call_ids: vec![] });
//!         }
//!     }
//! }
//!
//! fn dialer(key: String) -> Result<Dialer, ConfigError> {
//!     let endpoint = Endpoint::new("base_url", "wss://voice.example.com/v1")?
//!         .with_header("api_key", "x-api-key", key.into())?;
//!     Dialer::new("example", endpoint, ERRORS, DialOptions::default())
//! }
//!
//! async fn connect(dialer: &Dialer, setup: SessionSetup) -> Result<ProviderConnection, ProviderError> {
//!     let deadline = Deadline::of(&setup, Duration::from_secs(30), "connect_timeout_ms");
//!     let mut socket = dialer.dial(&deadline).await?;
//!     // Accepted is only who was told so.
//!     let ready = deadline.within("word that the session is ready", socket.receive());
//!     assert_eq!(ready.await?.as_str(), "ready");
//!     let (sink, events) = socket.split(Wire, Wire);
//!     let info = ConnectionInfo::new(ProviderCapabilities::new(24_000, 24_000));
//!     Ok(ProviderConnection { info, sink, events })
//! }
//! ```
//!
//! A vendor that takes audio in binary frames has [`Outgoing`] for its [`Encode::Frame`], and reads
//! them in [`Decode::decode_binary`].
//!
//! The halves answer [`ProviderCommand::Ping`] with [`ProviderEvent::Pong`] by themselves, so such
//! a provider has the capability [`pings`]. They decide nothing else: how long a silence may last is
//! the engine's rule.
//!
//! [`ProviderConnection`]: roomkit_core::provider::ProviderConnection
//! [`ProviderCommand::Ping`]: roomkit_core::provider::ProviderCommand::Ping
//! [`ProviderEvent::Pong`]: roomkit_core::provider::ProviderEvent::Pong
//! [`pings`]: roomkit_core::provider::ProviderCapabilities::pings

mod connection;
mod deadline;
mod dialer;
mod endpoint;
mod error_table;
mod proxy;
mod redactor;
mod roots;
mod secret;
mod settings;
mod socket;
mod tcp;
mod token;
mod wire;

pub use connection::{Decode, Encode};
pub use deadline::Deadline;
pub use dialer::{DialOptions, Dialer};
pub use endpoint::{Endpoint, shown_url};
pub use error_table::ErrorTable;
pub use proxy::Proxy;
pub use redactor::Redactor;
pub use roots::Roots;
pub use secret::{secret, secret_from_env, secrets};
pub use settings::{api_key, check_connection, check_voice, image_type};
pub use socket::{Frame, Outgoing, Socket};
pub use token::{Token, TokenSource};
pub use wire::{Text, decode_base64, malformed, place_of, text_of};
