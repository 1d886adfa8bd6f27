//! A client's WebSocket on its way into a session.

use std::{fmt, sync::Arc};

use futures_util::{Sink, Stream};
use roomkit_core::transport::Connection;
use serde_json::{Map, Value};

use crate::{
    config::AudioEncoding,
    link::{Link, Shared},
    socket::{Adapter, Fault, Socket, WsMessage},
};

/// An open WebSocket, with what is special about this client. It becomes a [`Connection`] with
/// `into()`.
pub struct WsConnection {
    pub(crate) link: Link,
    pub(crate) input_rate: Option<u32>,
    pub(crate) output_rate: Option<u32>,
    pub(crate) audio: Option<AudioEncoding>,
    pub(crate) identity: Map<String, Value>,
}

impl WsConnection {
    /// Takes any WebSocket that is a stream and a sink of messages. axum's and
    /// tokio-tungstenite's have a `From`, which also tells clients by the right close code what
    /// rule of WebSocket they broke.
    pub fn new<S, M, E>(socket: S) -> Self
    where
        S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Send + Unpin + 'static,
        M: WsMessage,
        E: fmt::Display + 'static,
    {
        let explain = |error: E| Fault::Gone(error.to_string());
        Self::adapted(Adapter::new(socket, explain))
    }

    /// The rate this client sends, in Hz, instead of the transport's.
    #[must_use]
    pub fn input_rate(mut self, rate: u32) -> Self {
        self.input_rate = Some(rate);
        self
    }

    /// The rate this client plays, in Hz, instead of the transport's.
    #[must_use]
    pub fn output_rate(mut self, rate: u32) -> Self {
        self.output_rate = Some(rate);
        self
    }

    /// How audio goes to this client, instead of as the transport is set.
    #[must_use]
    pub fn audio(mut self, encoding: AudioEncoding) -> Self {
        self.audio = Some(encoding);
        self
    }

    /// What authentication said of this client; becomes part of the session's metadata.
    #[must_use]
    pub fn identity(mut self, identity: Map<String, Value>) -> Self {
        self.identity = identity;
        self
    }

    /// Keeps a value until the connection is closed, such as a permit that counts it.
    #[must_use]
    pub fn keep(mut self, value: impl Send + 'static) -> Self {
        self.link.keep(Box::new(value));
        self
    }

    /// A way to tell the client why its session did not start, for use after the connection has
    /// been given away.
    pub fn farewell(&self) -> Farewell {
        let shared = Arc::clone(self.link.shared());
        shared.await_farewell();
        Farewell(shared)
    }

    fn adapted(socket: impl Socket + 'static) -> Self {
        Self {
            link: Link::new(Box::new(socket)),
            input_rate: None,
            output_rate: None,
            audio: None,
            identity: Map::new(),
        }
    }
}

/// Does not show the identity.
impl fmt::Debug for WsConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsConnection")
            .field("input_rate", &self.input_rate)
            .field("output_rate", &self.output_rate)
            .field("audio", &self.audio)
            .finish_non_exhaustive()
    }
}

impl From<WsConnection> for Connection {
    fn from(connection: WsConnection) -> Self {
        Self::new(connection)
    }
}

#[cfg(feature = "tungstenite")]
impl<S> From<tokio_tungstenite::WebSocketStream<S>> for WsConnection
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    fn from(socket: tokio_tungstenite::WebSocketStream<S>) -> Self {
        Self::adapted(Adapter::new(socket, |error| {
            crate::socket::tungstenite::explain(&error)
        }))
    }
}

#[cfg(feature = "axum")]
impl From<axum::extract::ws::WebSocket> for WsConnection {
    fn from(socket: axum::extract::ws::WebSocket) -> Self {
        Self::adapted(Adapter::new(socket, crate::socket::axum::explain))
    }
}

/// The last word to a client whose session did not start. While it is held the socket stays open;
/// drop it when the session has started.
#[derive(Debug)]
pub struct Farewell(Arc<Shared>);

impl Farewell {
    /// Sends an `error` message, unless the client has been told one, and closes with the code.
    /// Returns when the client has answered or after a few seconds.
    pub async fn say(self, error: &str, message: &str, close_code: u16) {
        self.0.refuse(error, message, close_code).await;
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.end_farewell();
    }
}
