//! A server that does exactly what a test tells it, and a wire of plain words.

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use futures_util::{SinkExt, StreamExt, stream::BoxStream};
use roomkit_core::provider::{
    ProviderCommand, ProviderError, ProviderErrorKind, ProviderEvent, ProviderSink,
};
use roomkit_dial::{Deadline, Decode, DialOptions, Dialer, Encode, Endpoint, ErrorTable};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

pub(crate) const KEY: &str = "secret-0123456789";

pub(crate) const ERRORS: ErrorTable = ErrorTable::new()
    .codes(&[
        ("bad_key", ProviderErrorKind::Authentication),
        ("no_money", ProviderErrorKind::Quota),
    ])
    .wording(&[("maximum duration", ProviderErrorKind::SessionExpired)]);

pub(crate) struct Server {
    pub(crate) listener: TcpListener,
}

impl Server {
    pub(crate) async fn bind() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/v1", self.listener.local_addr().unwrap())
    }

    pub(crate) fn dialer(&self) -> Dialer {
        dialer(&self.url(), DialOptions::default())
    }

    /// Takes one connection up to the upgrade.
    pub(crate) async fn accept(&self) -> Peer<TcpStream> {
        let (stream, _) = self.listener.accept().await.unwrap();
        Peer::upgrade(stream).await
    }

    /// A connection from both ends.
    pub(crate) async fn connected(&self) -> (Peer<TcpStream>, Connection) {
        let dialer = self.dialer();
        let deadline = deadline();
        let (peer, socket) = tokio::join!(self.accept(), dialer.dial(&deadline));
        let (sink, events) = socket.unwrap().split(Words, Words);
        (peer, Connection { sink, events })
    }
}

pub(crate) fn dialer(url: &str, options: DialOptions) -> Dialer {
    let endpoint = Endpoint::new("base_url", url)
        .unwrap()
        .with_credential("api_key", "Authorization", "Bearer", KEY.into())
        .unwrap();
    Dialer::new("words", endpoint, ERRORS, options).unwrap()
}

pub(crate) fn deadline() -> Deadline {
    Deadline::after(Duration::from_secs(60), "connect_timeout_ms")
}

pub(crate) struct Peer<S> {
    pub(crate) socket: WebSocketStream<S>,
    pub(crate) request: Request,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(crate) async fn upgrade(stream: S) -> Self {
        let upgrade = Mutex::new(None);
        #[allow(clippy::result_large_err)]
        let note = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            *upgrade.lock().unwrap() = Some(request.clone());
            Ok(response)
        };
        let socket = accept_hdr_async(stream, note).await.unwrap();
        let request = upgrade.into_inner().unwrap().unwrap();
        Self { socket, request }
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next message of any kind; none when the socket is gone.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        self.socket.next().await.and_then(Result::ok)
    }

    pub(crate) async fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.into(),
        };
        let _ = self.socket.send(Message::Close(Some(frame))).await;
    }
}

pub(crate) struct Connection {
    pub(crate) sink: Box<dyn ProviderSink>,
    pub(crate) events: BoxStream<'static, ProviderEvent>,
}

impl Connection {
    pub(crate) async fn send(&mut self, command: ProviderCommand) {
        self.sink.send(command).await.unwrap();
    }

    pub(crate) async fn next(&mut self) -> ProviderEvent {
        self.events.next().await.expect("the stream goes on")
    }

    /// What the connection ended with; nothing may come after it.
    pub(crate) async fn closed(mut self) -> Option<ProviderError> {
        loop {
            if let ProviderEvent::Closed(error) = self.next().await {
                assert_eq!(self.events.next().await, None, "closed is the last");
                return error;
            }
        }
    }
}

/// A frame for each word of a text; a frame `updated` is one event, `error X` another.
pub(crate) struct Words;

impl Encode for Words {
    type Frame = String;

    fn encode(
        &mut self,
        command: &ProviderCommand,
        frames: &mut VecDeque<String>,
    ) -> Result<(), ProviderError> {
        let ProviderCommand::Text { text, .. } = command else {
            frames.push_back("lost".to_owned());
            return Err(ProviderError::new(
                ProviderErrorKind::Unsupported,
                "words only",
            ));
        };
        frames.extend(text.split_whitespace().map(str::to_owned));
        Ok(())
    }
}

impl Decode for Words {
    fn decode(&mut self, frame: &str, events: &mut VecDeque<ProviderEvent>) {
        events.extend(match frame.split_once(' ') {
            None if frame == "updated" => Some(ProviderEvent::Updated),
            Some(("error", code)) => {
                let kind = ERRORS
                    .by_code(code)
                    .unwrap_or(ProviderErrorKind::InvalidRequest);
                Some(ProviderEvent::Error(
                    ProviderError::new(kind, "announced").with_code(code),
                ))
            }
            _ => None,
        });
    }
}

pub(crate) fn text(text: &str) -> ProviderCommand {
    ProviderCommand::Text {
        role: roomkit_core::provider::Role::User,
        text: text.into(),
        respond: false,
    }
}
