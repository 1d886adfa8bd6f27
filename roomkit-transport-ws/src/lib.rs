//! WebSocket clients as a roomkit transport.
//!
//! Clients speak the protocol of `docs/client-protocol.md`: JSON text frames, and audio either as
//! base64 within them or as binary frames of PCM16. The transport takes any WebSocket:
//! [`WsConnection`] has a `From` for axum's and for tokio-tungstenite's, and
//! [`WsConnection::new`] takes any other whose messages implement [`WsMessage`].
//!
//! ```
//! # #[cfg(feature = "tungstenite")]
//! # async fn example(tcp: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
//! use roomkit_transport_ws::{AudioEncoding, WebSocketTransportConfig, WsConnection};
//! use roomkit_core::transport::Connection;
//!
//! // A program that serves its WebSockets itself:
//! let config = WebSocketTransportConfig::default();
//! let socket =
//!     tokio_tungstenite::accept_async_with_config(tcp, Some(config.socket_config())).await?;
//! let connection = WsConnection::from(socket)
//!     .input_rate(16_000)
//!     .audio(AudioEncoding::Binary);
//! let connection = Connection::from(connection);
//! // channel.start_session("room", "participant", connection).await?;
//! # drop(connection);
//! # Ok(())
//! # }
//! ```
//!
//! With axum, [`WebSocketRealtimeTransport::routes`] does all of that, authentication and limits
//! included; by name it is `roomkit_http::routes("websocket")`.

mod config;
mod connection;
mod halves;
mod link;
pub mod protocol;
#[cfg(feature = "axum")]
mod routes;
mod socket;
mod transport;

pub use config::{AudioEncoding, WebSocketTransportConfig};
pub use connection::{Farewell, WsConnection};
pub use socket::{IncomingFrame, OutgoingFrame, WsMessage};
pub use transport::WebSocketRealtimeTransport;

/// The README, so that its examples are compiled.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
mod readme {}
