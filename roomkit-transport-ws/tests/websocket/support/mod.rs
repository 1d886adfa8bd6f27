//! Clients and servers for the socket tests.

use std::{future::Future, time::Duration};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use roomkit_core::{
    RealtimeSession,
    client_protocol::ServerMessage,
    error::TransportError,
    id::SessionId,
    transport::{
        AudioOffer, ClientCommand, ClientEvent, ClientLink, Connection, RealtimeAudioTransport,
    },
};
use roomkit_transport_ws::{WebSocketRealtimeTransport, WebSocketTransportConfig, WsConnection};
use serde_json::{Map, Value};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

pub(crate) const OFFER: AudioOffer = AudioOffer {
    input_rate: 16_000,
    output_rate: 24_000,
};

/// Fails a test that waits for what never comes.
pub(crate) async fn soon<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(300), wait)
        .await
        .expect("it happens")
}

pub(crate) fn session() -> RealtimeSession {
    RealtimeSession::new("room", "ann", "voice", Map::new())
}

pub(crate) fn started(link: &ClientLink) -> ClientCommand {
    ClientCommand::Message(ServerMessage::SessionStarted {
        session_id: SessionId::new("session"),
        room_id: "room".into(),
        participant_id: "ann".into(),
        channel_id: "voice".into(),
        input_sample_rate: link.info.input_rate,
        output_sample_rate: link.info.output_rate,
        input_encoding: link.info.input_encoding.clone(),
        output_encoding: link.info.output_encoding.clone(),
    })
}

/// A server's and a client's end of a WebSocket in memory.
pub(crate) async fn pair(buffer: usize) -> (WsConnection, WebSocketStream<DuplexStream>) {
    let (server, client) = raw_pair(buffer).await;
    let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    (server, client)
}

/// The same with a client that writes its own bytes.
pub(crate) async fn raw_pair(buffer: usize) -> (WsConnection, DuplexStream) {
    let (server, client) = duplex(buffer);
    let config = WebSocketTransportConfig::default().socket_config();
    let server = WebSocketStream::from_raw_socket(server, Role::Server, Some(config)).await;
    (WsConnection::from(server), client)
}

pub(crate) async fn accept(
    connection: impl Into<Connection>,
) -> Result<ClientLink, TransportError> {
    WebSocketRealtimeTransport::default()
        .accept(&session(), connection.into(), OFFER)
        .await
}

/// A link whose session has started, and its client, which has been told.
pub(crate) async fn call() -> (ClientLink, WebSocketStream<DuplexStream>) {
    let (server, mut client) = pair(64 * 1024).await;
    let mut link = accept(server).await.unwrap();
    link.sink.send(started(&link)).await.unwrap();
    assert_eq!(json(&mut client).await["type"], "session_started");
    (link, client)
}

pub(crate) async fn next(link: &mut ClientLink) -> Option<ClientEvent> {
    soon(link.events.next()).await
}

pub(crate) async fn receive<S>(client: &mut WebSocketStream<S>) -> Message
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match soon(client.next()).await.expect("open").expect("sound") {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

pub(crate) async fn json<S>(client: &mut WebSocketStream<S>) -> Value
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match receive(client).await {
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("text is expected, {other:?} came"),
    }
}

/// The close frame that comes next, as code and reason.
pub(crate) async fn closed<S>(client: &mut WebSocketStream<S>) -> (u16, String)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match receive(client).await {
        Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
        other => panic!("a close frame is expected, {other:?} came"),
    }
}

pub(crate) async fn say<S>(client: &mut WebSocketStream<S>, message: impl Into<Message>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    soon(client.send(message.into())).await.unwrap();
}

/// `milliseconds` of audio at `rate` Hz.
pub(crate) fn pcm(milliseconds: usize, rate: usize) -> Bytes {
    let samples = milliseconds * rate / 1000;
    (0..samples * 2).map(|i| i as u8).collect()
}

/// A masked client frame of these bytes, sound or not.
pub(crate) fn raw_frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match payload.len() {
        length @ ..126 => frame.push(0x80 | length as u8),
        length @ ..65_536 => {
            frame.push(0x80 | 0x7e);
            frame.extend((length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 0x7f);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    // A mask of zeros leaves the payload as it is.
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
