//! A socket whose session is being set up: frames out and in, in turn.

use std::{collections::VecDeque, fmt, iter, ops::Deref};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use roomkit_core::provider::{ProviderError, ProviderErrorKind, ProviderEvent, ProviderSink};
use tokio::{io::BufReader, net::TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        self, Message, Utf8Bytes, error::ProtocolError, protocol::CloseFrame as WireCloseFrame,
    },
};

use crate::{Decode, Encode, ErrorTable, Redactor, connection};

/// The most that is kept of what comes while much is sent, in bytes.
const BACKLOG_LIMIT: usize = 16 * 1024 * 1024;

pub(crate) type Stream = WebSocketStream<MaybeTlsStream<BufReader<TcpStream>>>;

/// An open WebSocket to the vendor. Dropping it closes it without ceremony.
pub struct Socket {
    stream: Stream,
    context: Context,
    /// What came while something was sent, until it is asked for.
    backlog: VecDeque<Incoming>,
}

/// A frame of text, or a binary one that holds text, as some vendors send.
/// `Debug` shows only its length: what people say is in it (contract X6).
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(Utf8Bytes);

/// A frame to send. Neither form is copied on its way out.
/// `Debug` shows only its length: what people say is in it (contract X6).
#[derive(Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// Text, which is mostly JSON.
    Text(String),
    /// Bytes, such as audio for vendors that do not take it as text.
    Binary(Bytes),
}

impl Socket {
    pub(crate) fn new(stream: Stream, context: Context) -> Self {
        Self {
            stream,
            context,
            backlog: VecDeque::new(),
        }
    }

    /// Sends one frame. Otherwise like [`send_all`](Self::send_all).
    ///
    /// # Errors
    /// When the socket is gone.
    pub async fn send(&mut self, frame: impl Into<Outgoing>) -> Result<(), ProviderError> {
        self.send_all(iter::once(frame)).await
    }

    /// Sends many frames, and takes in meanwhile what the vendor says to them: a vendor that
    /// answers each one would otherwise stop reading once its answers are not read. They are what
    /// [`receive`](Self::receive) gives next, or the events of the connection begin with.
    ///
    /// # Errors
    /// When the socket is gone, or more than 16 MiB come meanwhile. What the vendor said before the
    /// end may say more: see [`explain`](Self::explain).
    pub async fn send_all(
        &mut self,
        frames: impl IntoIterator<Item = impl Into<Outgoing>>,
    ) -> Result<(), ProviderError> {
        let Self {
            stream,
            context,
            backlog,
        } = self;
        let (mut write, mut read) = stream.split();
        let sending = async {
            for frame in frames {
                let frame: Outgoing = frame.into();
                write.feed(frame.into()).await?;
            }
            write.flush().await
        };
        let mut sending = std::pin::pin!(sending);
        let mut held = 0;
        // Why nothing can be sent any more. What the vendor said before it can still be read.
        let mut failure = None;
        loop {
            tokio::select! {
                biased;
                sent = &mut sending, if failure.is_none() => match sent {
                    Ok(()) => return Ok(()),
                    Err(error) => failure = Some(context.broken(&error)),
                },
                item = read.next() => {
                    let item = context.read(item);
                    match item.map_err(|error| failure.take().unwrap_or(error))? {
                        Read::Frame(frame) => {
                            held += frame.len();
                            if held > BACKLOG_LIMIT {
                                return Err(ProviderError::new(
                                    ProviderErrorKind::Protocol,
                                    "the vendor answers with more than 16 MiB while it is being \
                                     sent to; it has been left",
                                ));
                            }
                            backlog.push_back(frame);
                        }
                        Read::Pong(_) | Read::Nothing => {}
                        Read::Closed(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Why sending failed with `error`: where that only says that the socket is gone, it is the error
    /// that the vendor sent right before, as `decoder` reads it. What came meanwhile is used up by that.
    #[must_use]
    pub fn explain(&mut self, error: ProviderError, decoder: &mut impl Decode) -> ProviderError {
        let mut events = VecDeque::new();
        let mut last = None;
        for frame in self.backlog.drain(..) {
            connection::decode(decoder, frame, &self.context, &mut events);
            last = events.drain(..).next_back().or(last);
        }
        match last {
            Some(ProviderEvent::Error(last)) => connection::reason(Some(last), error),
            _ => error,
        }
    }

    /// The next frame, which must hold text. Pings are answered on the way. May be dropped and called
    /// again.
    ///
    /// # Errors
    /// When the socket ends or breaks, with what that means, or a binary frame is not UTF-8; the
    /// socket lives on in that last case only.
    pub async fn receive(&mut self) -> Result<Frame, ProviderError> {
        if let Some(frame) = self.backlog.pop_front() {
            return self.context.text(frame);
        }
        loop {
            match self.context.read(self.stream.next().await)? {
                Read::Frame(frame) => return self.context.text(frame),
                Read::Pong(_) | Read::Nothing => {}
                Read::Closed(error) => return Err(error),
            }
        }
    }

    /// Makes the two halves of a connection, once the session is ready.
    ///
    /// The stream ends with [`ProviderEvent::Closed`]: with what the vendor's close means, with the
    /// error it sent right before where the close itself says nothing, and with `None` after
    /// [`ProviderSink::close`] and when the sink was dropped.
    pub fn split(
        self,
        encoder: impl Encode,
        decoder: impl Decode,
    ) -> (
        Box<dyn ProviderSink>,
        futures_util::stream::BoxStream<'static, ProviderEvent>,
    ) {
        connection::split(self.stream, encoder, decoder, self.context, self.backlog)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("provider", &self.context.provider)
            .finish_non_exhaustive()
    }
}

impl Frame {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes)", self.0.len())
    }
}

impl Deref for Frame {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Outgoing {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

impl From<String> for Outgoing {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Outgoing {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Bytes> for Outgoing {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Outgoing> for Message {
    fn from(frame: Outgoing) -> Self {
        match frame {
            Outgoing::Text(text) => Self::text(text),
            Outgoing::Binary(bytes) => Self::Binary(bytes),
        }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outgoing({} bytes)", self.len())
    }
}

/// A frame as it came.
pub(crate) enum Incoming {
    Text(Frame),
    Binary(Bytes),
}

impl Incoming {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

/// What came from a socket.
pub(crate) enum Read {
    Frame(Incoming),
    Pong(Bytes),
    /// A ping. The pong is on its way: reading on flushes it.
    Nothing,
    /// The vendor closes.
    Closed(ProviderError),
}

/// What reading and failing needs to know of the vendor.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) provider: &'static str,
    pub(crate) errors: ErrorTable,
    pub(crate) redactor: Redactor,
}

impl Context {
    /// What an item of the socket's stream is; an error means that the socket is gone.
    pub(crate) fn read(
        &self,
        item: Option<Result<Message, tungstenite::Error>>,
    ) -> Result<Read, ProviderError> {
        Ok(match item {
            None => return Err(self.closed(None, "")),
            Some(Err(error)) => return Err(self.broken(&error)),
            Some(Ok(Message::Text(text))) => Read::Frame(Incoming::Text(Frame(text))),
            Some(Ok(Message::Binary(bytes))) => Read::Frame(Incoming::Binary(bytes)),
            Some(Ok(Message::Pong(payload))) => Read::Pong(payload),
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => Read::Nothing,
            Some(Ok(Message::Close(frame))) => Read::Closed(self.close_frame(frame.as_ref())),
        })
    }

    /// What a failure of an open socket means.
    pub(crate) fn broken(&self, error: &tungstenite::Error) -> ProviderError {
        use tungstenite::Error as E;
        match error {
            E::ConnectionClosed
            | E::AlreadyClosed
            | E::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
            ) => self.closed(None, ""),
            E::Io(_) | E::Tls(_) => self.closed(None, &error.to_string()),
            E::Capacity(error) => ProviderError::new(
                ProviderErrorKind::Protocol,
                format!("a message is larger than `max_message_bytes` allows: {error}"),
            )
            .with_code("message_too_large"),
            E::Utf8(_) => ProviderError::new(
                ProviderErrorKind::Protocol,
                "the vendor sent a text frame that is not UTF-8, which ends a WebSocket",
            ),
            _ => ProviderError::new(
                ProviderErrorKind::Protocol,
                format!(
                    "what came is not WebSocket: {}",
                    self.redactor.redact(&error.to_string())
                ),
            ),
        }
    }

    pub(crate) fn closed(&self, code: Option<u16>, reason: &str) -> ProviderError {
        self.errors.closed(code, reason, &self.redactor)
    }

    /// The text of a frame. WebSocket lets the connection go on after one that holds none: it is
    /// counted and said.
    pub(crate) fn text(&self, frame: Incoming) -> Result<Frame, ProviderError> {
        let bytes = match frame {
            Incoming::Text(text) => return Ok(text),
            Incoming::Binary(bytes) => bytes,
        };
        Utf8Bytes::try_from(bytes).map(Frame).map_err(|_| {
            metrics::counter!("roomkit_provider_malformed_events_total", "provider" => self.provider)
                .increment(1);
            ProviderError::new(
                ProviderErrorKind::Protocol,
                "the vendor sent a binary frame that is not text; it was dropped",
            )
        })
    }

    fn close_frame(&self, frame: Option<&WireCloseFrame>) -> ProviderError {
        match frame {
            Some(frame) => self.closed(Some(frame.code.into()), &frame.reason),
            None => self.closed(Some(1005), ""),
        }
    }
}
