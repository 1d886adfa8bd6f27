//! Frames and what they mean; and a server that does exactly what a test tells it, for what a
//! well-behaved one never does.

pub(crate) mod call;

use std::{collections::VecDeque, sync::Mutex, time::Duration};

use futures_util::{SinkExt, StreamExt};
use roomkit_core::provider::{
    ProviderConnection, ProviderEvent, RealtimeVoiceProvider, SessionSetup,
};
use roomkit_provider_openai::{
    AudioCodec, Dialect, OpenAIConfig, OpenAIRealtimeProvider, Redactor, protocol::Decoder,
};
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

pub(crate) const KEY: &str = "sk-test-0123456789";

pub(crate) struct Server {
    pub(crate) listener: TcpListener,
}

impl Server {
    pub(crate) async fn bind() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    pub(crate) fn config(&self) -> OpenAIConfig {
        let address = self.listener.local_addr().unwrap();
        OpenAIConfig {
            api_key: Some(KEY.into()),
            base_url: format!("ws://{address}/v1/realtime"),
            ..OpenAIConfig::default()
        }
    }

    pub(crate) fn provider(&self) -> OpenAIRealtimeProvider {
        OpenAIRealtimeProvider::new(self.config()).unwrap()
    }

    /// Takes one connection up to the upgrade.
    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        // On a paused clock nothing may wait for real time, as Nagle's algorithm does.
        stream.set_nodelay(true).unwrap();
        let upgrade = Mutex::new(None);
        #[allow(clippy::result_large_err)]
        let note = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            *upgrade.lock().unwrap() = Some(request.clone());
            Ok(response)
        };
        let socket = accept_hdr_async(stream, note).await.unwrap();
        let request = upgrade.into_inner().unwrap().unwrap();
        Peer { socket, request }
    }

    /// A connection whose session is set up, from both ends.
    pub(crate) async fn connected(&self) -> (Peer, ProviderConnection) {
        let provider = self.provider();
        let server = async {
            let mut peer = self.accept().await;
            peer.greet().await;
            peer
        };
        let (peer, connection) = tokio::join!(server, provider.connect(setup()));
        (peer, connection.unwrap())
    }
}

pub(crate) struct Peer {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) request: Request,
}

impl Peer {
    pub(crate) async fn send(&mut self, event: Value) {
        self.socket
            .send(Message::text(event.to_string()))
            .await
            .unwrap();
    }

    /// The next client event.
    pub(crate) async fn receive(&mut self) -> Value {
        loop {
            if let Message::Text(text) = self.next().await.expect("a client event") {
                return serde_json::from_str(&text).unwrap();
            }
        }
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

    /// Sets the session up and returns what the client asked for.
    pub(crate) async fn greet(&mut self) -> Value {
        self.send(json!({ "type": "session.created", "session": { "id": "sess_1" } }))
            .await;
        let update = self.receive().await;
        assert_eq!(update["type"], "session.update");
        let nulls = json!({ "type": "session.updated", "session": { "id": "sess_1",
            "tracing": null, "audio": { "input": { "turn_detection": null } } } });
        self.send(nulls).await;
        update["session"].clone()
    }
}

pub(crate) fn setup() -> SessionSetup {
    SessionSetup::new("session".into())
}

/// The next event; fails rather than waiting for ever.
pub(crate) async fn next(connection: &mut ProviderConnection) -> ProviderEvent {
    tokio::time::timeout(Duration::from_secs(600), connection.events.next())
        .await
        .expect("an event")
        .expect("the stream goes on")
}

pub(crate) fn map(value: Value) -> Map<String, Value> {
    serde_json::from_value(value).unwrap()
}

pub(crate) fn decoder() -> Decoder {
    Decoder::new(Dialect::OpenAI, AudioCodec::Pcm, Redactor::default())
}

pub(crate) fn decode_with(decoder: &mut Decoder, frame: &str) -> Vec<ProviderEvent> {
    let mut events = VecDeque::new();
    decoder.decode(frame, &mut events);
    events.into()
}

pub(crate) fn decode(frame: &str) -> Vec<ProviderEvent> {
    decode_with(&mut decoder(), frame)
}
