//! The transport as an axum route and on a raw TCP listener, with real clients.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::Router;
use futures_util::{SinkExt, StreamExt};
use roomkit_core::{
    RealtimeSession,
    client_protocol::ServerMessage,
    error::{ProviderError, ProviderErrorKind, RoomError, StartError},
    transport::{ClientCommand, ClientEvent, ClientLink, RealtimeAudioTransport},
};
use roomkit_http::{
    Admission, AdmissionConfig, AuthRequest, Identity, MountContext, Purpose, Refusal, SessionHost,
    StartRequest, routes,
};
use roomkit_transport_ws::{WebSocketTransportConfig, WsConnection};
use serde_json::{Map, Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest, handshake::client::Response},
};

use crate::support::*;

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Serves sessions that echo audio, told by room name what to do instead.
async fn host(
    transport: Arc<dyn RealtimeAudioTransport>,
    request: StartRequest,
) -> Result<RealtimeSession, StartError> {
    let room = request
        .room
        .map_or_else(|| "lobby".into(), |room| room.to_string());
    let provider = ProviderError::new(ProviderErrorKind::Authentication, "a bad key");
    match room.as_str() {
        "missing" => return Err(RoomError::NotFound("missing".into()).into()),
        "full" => return Err(StartError::TooManySessions(1)),
        "panic" => panic!("host code"),
        _ => {}
    }
    let participant = request
        .participant
        .map_or_else(|| "nobody".into(), |it| it.to_string());
    let session = RealtimeSession::new(room.as_str(), participant.as_str(), "voice", Map::new());
    let mut link = transport
        .accept(&session, request.connection, OFFER)
        .await?;
    match room.as_str() {
        "no-provider" => return Err(provider.into()),
        "told-and-closed" => {
            let error = ServerMessage::Error {
                code: "provider".into(),
                message: "told by the core".into(),
            };
            link.sink.send(ClientCommand::Message(error)).await?;
            link.sink.close("not started").await;
            return Err(provider.into());
        }
        _ => {}
    }
    assert_eq!(link.info.metadata, request.identity.metadata);
    assert!(request.address.is_some_and(|address| address.is_loopback()));
    link.sink
        .send(started(&link))
        .await
        .map_err(StartError::Announce)?;
    tokio::spawn(echo(link));
    Ok(session)
}

async fn echo(mut link: ClientLink) {
    while let Some(event) = link.events.next().await {
        let command = match event {
            ClientEvent::Audio(pcm) => ClientCommand::Audio(pcm),
            ClientEvent::Ping(id) => ClientCommand::Message(ServerMessage::Pong { id }),
            ClientEvent::End => {
                link.sink.close("client_ended").await;
                return;
            }
            ClientEvent::Violation(reason) => {
                link.sink.close(&reason).await;
                return;
            }
            _ => continue,
        };
        if link.sink.send(command).await.is_err() {
            return;
        }
    }
}

pub(crate) async fn serve(admission: Admission) -> SocketAddr {
    serve_app(app(admission)).await
}

pub(crate) fn app(admission: Admission) -> Router {
    let mountable = (routes("websocket").unwrap().build)(Value::Null).unwrap();
    let transport = mountable.transport();
    let host: Arc<dyn SessionHost> = Arc::new(move |request| host(Arc::clone(&transport), request));
    mountable.mount(MountContext::new("/ws", admission, host).unwrap())
}

pub(crate) async fn serve_app(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async { axum::serve(listener, app).await });
    address
}

fn open() -> Admission {
    Admission::new(&AdmissionConfig::default()).unwrap()
}

pub(crate) async fn connect(
    server: SocketAddr,
    query: &str,
    headers: &[(&'static str, &str)],
) -> (Client, Response) {
    let mut request = format!("ws://{server}/ws{query}")
        .into_client_request()
        .unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    soon(Box::pin(connect_async(request))).await.unwrap()
}

/// Asks for an upgrade and is refused: status, `Retry-After` and the JSON that explains it.
pub(crate) async fn refused(
    server: SocketAddr,
    query: &str,
    headers: &[(&str, &str)],
) -> (u16, Option<String>, Value) {
    let headers: Vec<String> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request = format!(
        "GET /ws{query} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{}\r\n",
        headers.concat()
    );
    plain(server, &request).await
}

async fn plain(server: SocketAddr, request: &str) -> (u16, Option<String>, Value) {
    let mut tcp = TcpStream::connect(server).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let field = |name: &str| {
                let line = head
                    .lines()
                    .find(|line| line.to_ascii_lowercase().starts_with(name));
                line.and_then(|line| line.split_once(": "))
                    .map(|(_, value)| value.to_owned())
            };
            let length: usize = field("content-length").expect("a body").parse().unwrap();
            if body.len() >= length {
                let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                return (
                    status,
                    field("retry-after"),
                    serde_json::from_str(body).unwrap(),
                );
            }
        }
        let read = soon(tcp.read_buf(&mut answer)).await.unwrap();
        assert_ne!(read, 0, "the answer is whole: {text}");
    }
}

#[tokio::test]
async fn c1_a_client_talks_in_both_encodings() {
    let server = serve(open()).await;
    let pcm = pcm(20, 16_000);

    let (mut client, _) = connect(server, "?room=r1&participant=ann", &[]).await;
    let hello = json(&mut client).await;
    assert_eq!(hello["type"], "session_started");
    assert_eq!(hello["input_sample_rate"], 16_000);
    assert_eq!(hello["output_sample_rate"], 24_000);
    assert_eq!(hello["input_encoding"], "pcm16");
    assert_eq!(hello["output_encoding"], "base64");
    say(&mut client, Message::binary(pcm.clone())).await;
    assert_eq!(json(&mut client).await["type"], "audio");

    let query = "?audio=binary&input_rate=8000&output_rate=48000";
    let (mut client, _) = connect(server, query, &[]).await;
    let hello = json(&mut client).await;
    assert_eq!(hello["input_sample_rate"], 8_000);
    assert_eq!(hello["output_sample_rate"], 48_000);
    assert_eq!(hello["output_encoding"], "binary");
    say(&mut client, r#"{"type":"audio","data":"AQI="}"#).await;
    assert_eq!(receive(&mut client).await, Message::binary(vec![1, 2]));
    say(&mut client, r#"{"type":"ping","id":"x"}"#).await;
    assert_eq!(json(&mut client).await, json!({"type": "pong", "id": "x"}));
    say(&mut client, r#"{"type":"end"}"#).await;
    assert_eq!(closed(&mut client).await, (1000, "client_ended".into()));
}

#[tokio::test]
async fn x2_refusals_are_answered_before_the_upgrade() {
    let hook = async |request: AuthRequest| match request.bearer_token() {
        Some("good") => Ok(Identity::new([("user", "ann")])),
        Some(_) => Err(Refusal::Forbidden("not you".into())),
        None => Err(Refusal::Unauthorized("who are you?".into())),
    };
    let admission = Admission::with_authentication(&AdmissionConfig::default(), hook).unwrap();
    let server = serve(admission).await;

    let (status, _, body) = refused(server, "", &[]).await;
    assert_eq!(status, 401);
    assert_eq!(
        body,
        json!({"code": "unauthorized", "message": "who are you?"})
    );
    let (status, _, body) = refused(server, "?token=bad", &[]).await;
    assert_eq!(status, 403);
    assert_eq!(body, json!({"code": "forbidden", "message": "not you"}));

    let subprotocols = [("sec-websocket-protocol", "roomkit, token.good")];
    for (query, headers) in [
        ("?token=good", &[][..]),
        ("", &[("authorization", "Bearer good")]),
        ("", &subprotocols),
    ] {
        let (mut client, response) = connect(server, query, headers).await;
        assert_eq!(json(&mut client).await["type"], "session_started");
        let answered = response.headers().get("sec-websocket-protocol");
        let offered = headers == subprotocols;
        assert_eq!(
            answered.map(|it| it.to_str().unwrap()),
            offered.then_some("roomkit")
        );
    }
}

#[tokio::test]
async fn x2_only_who_begins_a_session_uses_a_credential_up() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let hook = {
        let asked = Arc::clone(&asked);
        move |request: AuthRequest| {
            asked.lock().unwrap().push(request.purpose);
            async { Ok(Identity::default()) }
        }
    };
    let config = AdmissionConfig {
        max_sessions: 1,
        ..AdmissionConfig::default()
    };
    let admission = Admission::with_authentication(&config, hook).unwrap();
    let server = serve(admission.clone()).await;
    let asked = || std::mem::take(&mut *asked.lock().unwrap());

    assert_eq!(refused(server, "?audio=mp3", &[]).await.0, 400);
    assert_eq!(asked(), [Purpose::Other]);
    let request = format!("GET /ws HTTP/1.1\r\nHost: {server}\r\n\r\n");
    assert!((400..500).contains(&plain(server, &request).await.0));
    assert_eq!(asked(), [Purpose::Other]);
    let (mut client, _) = connect(server, "", &[]).await;
    assert_eq!(json(&mut client).await["type"], "session_started");
    assert_eq!(asked(), [Purpose::Other, Purpose::Session]);
    assert_eq!(refused(server, "", &[]).await.2["code"], "full");
    admission.drain();
    assert_eq!(refused(server, "", &[]).await.2["code"], "draining");
    assert_eq!(asked(), [], "nobody is asked who cannot come in");
}

#[tokio::test]
async fn x2_the_identity_a_session_begins_with_is_the_one_it_is_held_to() {
    let hook = async |request: AuthRequest| {
        let anybody = Identity::default();
        Ok(match request.purpose {
            Purpose::Session => anybody.room("full").participant("ann"),
            _ => anybody,
        })
    };
    let admission = Admission::with_authentication(&AdmissionConfig::default(), hook).unwrap();
    let server = serve(admission).await;
    for query in ["?room=lobby", "?participant=bob"] {
        let (status, _, body) = refused(server, query, &[]).await;
        assert_eq!((status, &body["code"]), (403, &json!("forbidden")));
    }
    // Which room it came into shows in how the host refuses that one.
    let (mut client, _) = connect(server, "", &[]).await;
    assert_eq!(json(&mut client).await["code"], "too_many_sessions");
}

#[tokio::test]
async fn x3_foreign_pages_are_refused() {
    let server = serve(open()).await;
    let (status, _, body) = refused(server, "", &[("origin", "https://evil.example")]).await;
    assert_eq!((status, &body["code"]), (403, &json!("origin")));
    let own = format!("http://{server}");
    let (mut client, _) = connect(server, "", &[("origin", &own)]).await;
    assert_eq!(json(&mut client).await["type"], "session_started");
}

#[tokio::test]
async fn c5_a_place_is_taken_for_as_long_as_the_session_lives() {
    let config = AdmissionConfig {
        max_sessions_per_address: 1,
        ..AdmissionConfig::default()
    };
    let admission = Admission::new(&config).unwrap();
    let server = serve(admission.clone()).await;
    let (mut client, _) = connect(server, "", &[]).await;
    assert_eq!(json(&mut client).await["type"], "session_started");
    assert_eq!(admission.sessions(), 1);
    let (status, retry_after, body) = refused(server, "", &[]).await;
    assert_eq!((status, &body["code"]), (429, &json!("too_many_sessions")));
    assert!(retry_after.is_some());

    drop(client);
    soon(admission.wait_idle()).await;
    let (mut client, _) = connect(server, "?room=missing", &[]).await;
    assert_eq!(json(&mut client).await["code"], "room");
    soon(admission.wait_idle()).await;
}

#[tokio::test]
async fn x4_a_draining_server_sends_new_clients_away_and_keeps_the_old() {
    let admission = open();
    let server = serve(admission.clone()).await;
    let (mut client, _) = connect(server, "", &[]).await;
    assert_eq!(json(&mut client).await["type"], "session_started");
    admission.drain();
    let (status, retry_after, body) = refused(server, "", &[]).await;
    assert_eq!((status, &body["code"]), (503, &json!("draining")));
    assert_eq!(retry_after.as_deref(), Some("10"));
    say(&mut client, Message::binary(vec![1, 2])).await;
    assert_eq!(json(&mut client).await["type"], "audio");
}

#[tokio::test]
async fn bad_queries_are_400_and_name_the_field() {
    let server = serve(open()).await;
    let long = format!("?participant={}", "x".repeat(257));
    for (query, field) in [
        ("?audio=mp3", "audio: "),
        ("?input_rate=fast", "input_rate: "),
        ("?input_rate=-1", "input_rate: "),
        ("?output_rate=96000", "output_rate: 96000 Hz"),
        ("?input_rate=47999", "input_rate: 47999 Hz"),
        ("?room=", "room: "),
        ("?room=a%0Ab", "room: "),
        (long.as_str(), "participant: "),
    ] {
        let (status, _, body) = refused(server, query, &[]).await;
        assert_eq!(
            (status, &body["code"]),
            (400, &json!("bad_request")),
            "{query}"
        );
        let message = body["message"].as_str().unwrap();
        assert!(message.starts_with(field), "{message}");
    }
}

#[tokio::test]
async fn what_is_no_websocket_is_told_so_in_json() {
    let server = serve(open()).await;
    for method in ["GET", "DELETE"] {
        let request = format!("{method} /ws HTTP/1.1\r\nHost: {server}\r\n\r\n");
        let (status, _, body) = plain(server, &request).await;
        assert!((400..500).contains(&status));
        assert_eq!(body["code"], "not_a_websocket");
    }
}

#[tokio::test]
async fn s1_a_client_is_always_told_why_there_is_no_session() {
    let server = serve(open()).await;
    for (room, code, close_code) in [
        ("missing", "room", 1008),
        ("full", "too_many_sessions", 1013),
        ("no-provider", "provider", 1011),
        ("told-and-closed", "provider", 1011),
        ("panic", "failed", 1011),
    ] {
        let (mut client, _) = connect(server, &format!("?room={room}"), &[]).await;
        let error = json(&mut client).await;
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("error"), &json!(code)),
            "{room}"
        );
        assert!(
            !error["message"].as_str().unwrap().contains("key"),
            "{error}"
        );
        assert_eq!(closed(&mut client).await.0, close_code, "{room}");
    }
}

#[tokio::test]
async fn c5_a_message_beyond_all_limits_closes_with_1009() {
    let server = serve(open()).await;
    let (mut client, _) = connect(server, "", &[]).await;
    assert_eq!(json(&mut client).await["type"], "session_started");
    // The server stops reading in the middle of it, so sending may fail and need not end first.
    let (mut sending, mut hearing) = client.split();
    let flood = sending.send(Message::binary(vec![0; 4_000_000]));
    let heard = async {
        loop {
            let message = hearing.next().await.expect("a close frame");
            if let Message::Close(Some(frame)) = message.expect("no reset") {
                return u16::from(frame.code);
            }
        }
    };
    let code = soon(async {
        tokio::select! {
            biased;
            code = heard => code,
            Err(_) = flood => panic!("reset before the close frame was read"),
        }
    });
    assert_eq!(code.await, 1009);
}

#[tokio::test]
async fn a_server_of_its_own_needs_no_axum() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let config = WebSocketTransportConfig::default().socket_config();
        while let Ok((tcp, _)) = listener.accept().await {
            let socket = tokio_tungstenite::accept_async_with_config(tcp, Some(config)).await;
            let mut link = accept(WsConnection::from(socket?)).await?;
            link.sink.send(started(&link)).await?;
            tokio::spawn(echo(link));
        }
        Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    });
    let (mut client, _) = soon(Box::pin(connect_async(format!("ws://{address}/"))))
        .await
        .unwrap();
    assert_eq!(json(&mut client).await["type"], "session_started");
    say(&mut client, Message::binary(vec![1, 2])).await;
    assert_eq!(
        json(&mut client).await,
        json!({"type": "audio", "data": "AQI="})
    );
    client.close(None).await.unwrap();
    assert!(!matches!(soon(client.next()).await, Some(Err(_))));
}
