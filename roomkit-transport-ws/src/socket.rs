//! One kind of socket out of every library's.
//!
//! No library's message type is in the public API: axum and tokio-tungstenite rarely build on the
//! same version of tungstenite, and a third one should do as well.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Sink, Stream};

/// A WebSocket library's message type, for [`WsConnection::new`](crate::WsConnection::new).
///
/// The library answers pings and closes by itself, as all do, and hands pongs out: a client of
/// which nothing at all is heard for 60 s is taken for gone.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not known as a WebSocket message",
    note = "implement `WsMessage` for it (in a newtype, where it is foreign), or convert the socket by one of the `From` impls of `WsConnection`"
)]
pub trait WsMessage: Sized + Send + 'static {
    /// A message that came, as a frame.
    fn into_incoming(self) -> IncomingFrame;

    /// A frame to be sent, as a message.
    fn from_outgoing(frame: OutgoingFrame) -> Self;
}

/// A message from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncomingFrame {
    /// Text; what is not UTF-8 ends the connection.
    Text(Bytes),
    /// Data.
    Binary(Bytes),
    /// A ping or a pong.
    Control,
    /// The client closes.
    Close,
}

/// A message to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutgoingFrame {
    /// Text.
    Text(String),
    /// Data.
    Binary(Bytes),
    /// An empty ping.
    Ping,
    /// A close.
    Close {
        /// The close code.
        code: u16,
        /// The reason, at most 123 bytes.
        reason: String,
    },
}

/// What is left of a library's socket once its types are gone.
pub(crate) trait Socket: Send {
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<IncomingFrame, Fault>>>;
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>>;
    fn start_send(&mut self, frame: OutgoingFrame) -> Result<(), Fault>;
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>>;
}

/// Why a socket failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The client is gone.
    Gone(String),
    /// The client broke the rules of WebSocket and is to be told by this close code.
    #[cfg_attr(
        not(feature = "tungstenite"),
        expect(dead_code, reason = "only errors of a known library can be told apart")
    )]
    Broken(u16, String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Gone(message) | Self::Broken(_, message)) = self;
        f.write_str(message)
    }
}

/// A library's socket as a [`Socket`].
pub(crate) struct Adapter<S, M, E> {
    socket: S,
    explain: fn(E) -> Fault,
    message: PhantomData<fn() -> M>,
}

impl<S, M, E> Adapter<S, M, E> {
    pub(crate) fn new(socket: S, explain: fn(E) -> Fault) -> Self {
        Self {
            socket,
            explain,
            message: PhantomData,
        }
    }
}

impl<S, M, E> Socket for Adapter<S, M, E>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E> + Send + Unpin,
    M: WsMessage,
{
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<IncomingFrame, Fault>>> {
        let read = Pin::new(&mut self.socket).poll_next(cx);
        read.map(|end| end.map(|read| read.map(M::into_incoming).map_err(self.explain)))
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let ready = Pin::new(&mut self.socket).poll_ready(cx);
        ready.map_err(self.explain)
    }

    fn start_send(&mut self, frame: OutgoingFrame) -> Result<(), Fault> {
        let sent = Pin::new(&mut self.socket).start_send(M::from_outgoing(frame));
        sent.map_err(self.explain)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        flushed.map_err(self.explain)
    }
}

#[cfg(feature = "tungstenite")]
pub(crate) mod tungstenite {
    use bytes::Bytes;
    use tokio_tungstenite::tungstenite::{
        Error, Message,
        error::ProtocolError,
        protocol::{CloseFrame, frame::coding::CloseCode},
    };

    use super::{Fault, IncomingFrame, OutgoingFrame, WsMessage};
    use crate::protocol::close_code;

    impl WsMessage for Message {
        fn into_incoming(self) -> IncomingFrame {
            match self {
                Self::Text(text) => IncomingFrame::Text(text.into()),
                Self::Binary(bytes) => IncomingFrame::Binary(bytes),
                Self::Close(_) => IncomingFrame::Close,
                Self::Ping(_) | Self::Pong(_) | Self::Frame(_) => IncomingFrame::Control,
            }
        }

        fn from_outgoing(frame: OutgoingFrame) -> Self {
            match frame {
                OutgoingFrame::Text(text) => Self::Text(text.into()),
                OutgoingFrame::Binary(bytes) => Self::Binary(bytes),
                OutgoingFrame::Ping => Self::Ping(Bytes::new()),
                OutgoingFrame::Close { code, reason } => Self::Close(Some(CloseFrame {
                    code: CloseCode::from(code),
                    reason: reason.into(),
                })),
            }
        }
    }

    pub(crate) fn explain(error: &Error) -> Fault {
        let message = error.to_string();
        match error {
            Error::Capacity(_) => Fault::Broken(close_code::TOO_BIG, message),
            Error::Utf8(_) => Fault::Broken(close_code::NOT_UTF8, message),
            Error::AttackAttempt => Fault::Broken(close_code::POLICY, message),
            Error::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
            ) => Fault::Gone(message),
            Error::Protocol(_) => Fault::Broken(close_code::PROTOCOL, message),
            _ => Fault::Gone(message),
        }
    }
}

#[cfg(feature = "axum")]
pub(crate) mod axum {
    use axum::{
        Error,
        extract::ws::{CloseFrame, Message},
    };
    use bytes::Bytes;

    use super::{Fault, IncomingFrame, OutgoingFrame, WsMessage, tungstenite};

    impl WsMessage for Message {
        fn into_incoming(self) -> IncomingFrame {
            match self {
                Self::Text(text) => IncomingFrame::Text(text.into()),
                Self::Binary(bytes) => IncomingFrame::Binary(bytes),
                Self::Close(_) => IncomingFrame::Close,
                Self::Ping(_) | Self::Pong(_) => IncomingFrame::Control,
            }
        }

        fn from_outgoing(frame: OutgoingFrame) -> Self {
            match frame {
                OutgoingFrame::Text(text) => Self::Text(text.into()),
                OutgoingFrame::Binary(bytes) => Self::Binary(bytes),
                OutgoingFrame::Ping => Self::Ping(Bytes::new()),
                OutgoingFrame::Close { code, reason } => Self::Close(Some(CloseFrame {
                    code,
                    reason: reason.into(),
                })),
            }
        }
    }

    pub(crate) fn explain(error: Error) -> Fault {
        match error.into_inner().downcast() {
            Ok(error) => tungstenite::explain(&error),
            Err(error) => Fault::Gone(error.to_string()),
        }
    }
}
