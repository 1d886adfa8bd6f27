//! A socket whose session is being set up: frames out and in, in turn.

use std::{collections::VecDeque, fmt, ops::Deref};

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
    /// What came while much was sent, until it is asked for.
    backlog: VecDeque<Frame>,
}

/// A frame of text, or a binary one that holds text, as some vendors send.
/// `Debug` shows only its length: what people say is in it (contract X6).
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(Utf8Bytes);

impl Socket {
    pub(crate) fn new(stream: Stream, context: Context) -> Self {
        Self {
            stream,
            context,
            backlog: VecDeque::new(),
        }
    }

    /// Sends one frame of text.
    ///
    /// # Errors
    /// When the socket is gone.
    pub async fn send(&mut self, frame: impl Into<String>) -> Result<(), ProviderError> {
        let frame = Message::text(frame.into());
        self.stream
            .send(frame)
            .await
            .map_err(|error| self.context.broken(&error))
    }

    /// Sends many frames, and takes in meanwhile what the vendor says to them: a vendor that
    /// answers each one would otherwise stop reading once its answers are not read. They are what
    /// [`receive`](Self::receive) gives next, or the events of the connection begin with.
    ///
    /// # Errors
    /// When the socket is gone, or more than 16 MiB come meanwhile.
    pub async fn send_all(
        &mut self,
        frames: impl IntoIterator<Item = String>,
    ) -> Result<(), ProviderError> {
        let Self {
            stream,
            context,
            backlog,
        } = self;
        let (mut write, mut read) = stream.split();
        let sending = async {
            for frame in frames {
                write.feed(Message::text(frame)).await?;
            }
            write.flush().await
        };
        let mut sending = std::pin::pin!(sending);
        let mut held = 0;
        loop {
            tokio::select! {
                biased;
                sent = &mut sending => return sent.map_err(|error| context.broken(&error)),
                item = read.next() => match context.read(item)? {
                    Read::Frame(frame) => {
                        held += frame.len();
                        if held > BACKLOG_LIMIT {
                            return Err(ProviderError::new(
                                ProviderErrorKind::Protocol,
                                "the vendor answers with more than 16 MiB while it is being sent \
                                 to; it has been left",
                            ));
                        }
                        backlog.push_back(frame);
                    }
                    Read::NotText => return Err(context.not_text()),
                    Read::Pong(_) | Read::Nothing => {}
                    Read::Closed(error) => return Err(error),
                },
            }
        }
    }

    /// The next frame. Pings are answered on the way. May be dropped and called again.
    ///
    /// # Errors
    /// When the socket ends or breaks, with what that means, or a binary frame is not UTF-8; the
    /// socket lives on in that last case only.
    pub async fn receive(&mut self) -> Result<Frame, ProviderError> {
        if let Some(frame) = self.backlog.pop_front() {
            return Ok(frame);
        }
        loop {
            match self.context.read(self.stream.next().await)? {
                Read::Frame(frame) => return Ok(frame),
                Read::NotText => return Err(self.context.not_text()),
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

/// What came from a socket.
pub(crate) enum Read {
    Frame(Frame),
    /// A binary frame that holds no text. WebSocket lets the connection go on.
    NotText,
    Pong(bytes::Bytes),
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
            Some(Ok(Message::Text(text))) => Read::Frame(Frame(text)),
            Some(Ok(Message::Binary(bytes))) => match Utf8Bytes::try_from(bytes) {
                Ok(text) => Read::Frame(Frame(text)),
                Err(_) => Read::NotText,
            },
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

    /// Counts a frame that cannot be read, and says so.
    pub(crate) fn not_text(&self) -> ProviderError {
        metrics::counter!("roomkit_provider_malformed_events_total", "provider" => self.provider)
            .increment(1);
        ProviderError::new(
            ProviderErrorKind::Protocol,
            "the vendor sent a binary frame that is not text; it was dropped",
        )
    }

    fn close_frame(&self, frame: Option<&WireCloseFrame>) -> ProviderError {
        match frame {
            Some(frame) => self.closed(Some(frame.code.into()), &frame.reason),
            None => self.closed(Some(1005), ""),
        }
    }
}
