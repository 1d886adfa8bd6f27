//! The transport on sockets in memory, and on any library's.

use std::pin::pin;
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use roomkit_core::{
    client_protocol::ServerMessage,
    error::TransportError,
    registry::Registry,
    transport::{ClientCommand, ClientEvent, Connection, DropReason, RealtimeAudioTransport},
};
use roomkit_transport_ws::{
    AudioEncoding, IncomingFrame, OutgoingFrame, WebSocketRealtimeTransport,
    WebSocketTransportConfig, WsConnection, WsMessage,
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, sync::mpsc};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use crate::support::*;

#[tokio::test]
async fn c1_audio_comes_in_as_base64_and_as_binary() {
    let (mut link, mut client) = call().await;
    let pcm = pcm(20, 16_000);
    say(&mut client, Message::binary(pcm.clone())).await;
    assert_eq!(next(&mut link).await, Some(ClientEvent::Audio(pcm.clone())));
    let message = json!({"type": "audio", "data": STANDARD.encode(&pcm)});
    say(&mut client, message.to_string()).await;
    assert_eq!(next(&mut link).await, Some(ClientEvent::Audio(pcm)));
}

#[tokio::test]
async fn c2_audio_goes_out_as_the_client_wants_it() {
    let pcm = pcm(20, 24_000);
    let (mut link, mut client) = call().await;
    assert_eq!(link.info.output_encoding, "base64");
    link.sink
        .send(ClientCommand::Audio(pcm.clone()))
        .await
        .unwrap();
    link.sink.send(ClientCommand::EndOfResponse).await.unwrap();
    link.sink.send(ClientCommand::Clear).await.unwrap();
    let message = json(&mut client).await;
    assert_eq!(message["data"], json!(STANDARD.encode(&pcm)));
    assert_eq!(json(&mut client).await, json!({"type": "clear_audio"}));

    let (server, mut client) = pair(64 * 1024).await;
    let mut link = accept(server.audio(AudioEncoding::Binary)).await.unwrap();
    assert_eq!(link.info.output_encoding, "binary");
    link.sink
        .send(ClientCommand::Audio(pcm.clone()))
        .await
        .unwrap();
    assert_eq!(receive(&mut client).await, Message::binary(pcm));
}

#[tokio::test]
async fn c1_a_message_of_the_hosts_goes_out_as_it_is() {
    let (mut link, mut client) = call().await;
    let card = json!({"type": "card", "title": "Oslo", "rows": [1, {"a": null}]});
    let message = ServerMessage::Custom(card.as_object().cloned().unwrap());
    link.sink
        .send(ClientCommand::Message(message))
        .await
        .unwrap();
    assert_eq!(json(&mut client).await, card);
}

#[tokio::test]
async fn a1_the_session_outlives_what_is_dropped() {
    let (mut link, mut client) = call().await;
    let config = WebSocketTransportConfig::default();
    for (frame, reason) in [
        (
            Message::binary(vec![0; config.max_audio_frame_bytes + 2]),
            DropReason::OversizedFrame,
        ),
        (Message::text("}{"), DropReason::Undecodable),
        (
            Message::text("x".repeat(100_000)),
            DropReason::OversizedMessage {
                limit: config.max_message_bytes,
            },
        ),
        (Message::binary(pcm(5_000, 16_000)), DropReason::TooFast),
    ] {
        let ((), event) = tokio::join!(say(&mut client, frame), next(&mut link));
        assert_eq!(event, Some(ClientEvent::Dropped(reason)));
    }
    say(&mut client, r#"{"type":"no such thing"}"#).await;
    say(&mut client, Message::Pong(Bytes::new())).await;
    say(&mut client, r#"{"type":"end"}"#).await;
    assert_eq!(next(&mut link).await, Some(ClientEvent::End));
}

#[tokio::test(start_paused = true)]
async fn c5_the_speed_limit_goes_by_the_clock() {
    let (mut link, mut client) = call().await;
    let second = pcm(1_000, 16_000);
    for i in 0..5 {
        say(&mut client, Message::binary(second.clone())).await;
        let event = next(&mut link).await.unwrap();
        assert_eq!(
            event == ClientEvent::Dropped(DropReason::TooFast),
            i == 4,
            "{i}"
        );
    }
    tokio::time::advance(Duration::from_secs(2)).await;
    say(&mut client, Message::binary(second.clone())).await;
    assert_eq!(next(&mut link).await, Some(ClientEvent::Audio(second)));
}

#[tokio::test]
async fn s3_a_client_that_leaves_ends_the_events() {
    let (mut link, mut client) = call().await;
    client.close(None).await.unwrap();
    assert_eq!(next(&mut link).await, None);
    assert_eq!(next(&mut link).await, None, "and they stay ended");
    let sent = link.sink.send(ClientCommand::Clear).await;
    assert!(matches!(sent, Err(TransportError::Disconnected(_))));
    soon(link.sink.close("client_left")).await;

    let (mut link, client) = call().await;
    drop(client);
    assert_eq!(next(&mut link).await, None);
}

#[tokio::test(start_paused = true)]
async fn s3_closing_tells_the_reason_even_to_a_client_that_talks_on() {
    let (mut link, mut client) = call().await;
    let talking = async {
        while client.send(Message::binary(pcm(20, 16_000))).await.is_ok() {
            match client.next().now_or_never() {
                Some(Some(Ok(Message::Close(Some(frame))))) => return Some(frame),
                _ => tokio::task::yield_now().await,
            }
        }
        None
    };
    let ((), frame) = soon(async { tokio::join!(link.sink.close("idle"), talking) }).await;
    let frame = frame.expect("the close frame arrives");
    assert_eq!(
        (u16::from(frame.code), frame.reason.as_str()),
        (1000, "idle")
    );
}

#[tokio::test(start_paused = true)]
async fn s1_a_session_that_never_started_closes_with_1011() {
    let (server, mut client) = pair(64 * 1024).await;
    let mut link = accept(server).await.unwrap();
    let ((), closed) = tokio::join!(link.sink.close("no provider"), closed(&mut client));
    assert_eq!(closed, (1011, "no provider".into()));
}

#[tokio::test(start_paused = true)]
async fn s3_a_client_that_does_not_answer_is_not_waited_for() {
    let (mut link, client) = call().await;
    soon(link.sink.close("idle")).await;
    drop(client);
}

#[tokio::test]
async fn dropping_the_sink_closes_the_link() {
    let (link, mut client) = call().await;
    let mut events = link.events;
    drop(link.sink);
    assert_eq!(soon(events.next()).await, None);
    assert!(!matches!(soon(client.next()).await, Some(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn x5_breaking_websocket_itself_is_answered_with_the_code_that_says_how() {
    for (first_byte, payload, code) in [
        (0x81, vec![0xff, 0xfe], 1007),
        (0x82, vec![0; 600 * 1024], 1009),
        (0xc1, b"reserved bit".to_vec(), 1002),
        (0x83, b"reserved opcode".to_vec(), 1002),
    ] {
        let (server, mut client) = raw_pair(2 * 1024 * 1024).await;
        let mut link = accept(server).await.unwrap();
        link.sink.send(started(&link)).await.unwrap();
        client
            .write_all(&raw_frame(first_byte, &payload))
            .await
            .unwrap();
        let violation = next(&mut link).await;
        assert!(
            matches!(violation, Some(ClientEvent::Violation(_))),
            "{violation:?}"
        );
        assert_eq!(next(&mut link).await, None);
        link.sink.close("violation").await;
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        assert_eq!(json(&mut client).await["type"], "session_started");
        assert_eq!(closed(&mut client).await.0, code);
    }
}

#[tokio::test]
async fn a6_a_client_that_stops_reading_holds_up_the_sender_only() {
    let (server, mut client) = pair(4 * 1024).await;
    let mut link = accept(server).await.unwrap();
    let frame = ClientCommand::Audio(pcm(20, 24_000));
    let mut sent = 0;
    while link.sink.send(frame.clone()).now_or_never().is_some() {
        sent += 1;
        assert!(
            sent < 10,
            "the socket holds 4 KiB: what was sent must be piling up"
        );
    }
    for _ in 0..100 {
        assert!(
            link.sink.send(frame.clone()).now_or_never().is_none(),
            "nothing piles up"
        );
    }
    say(&mut client, r#"{"type":"interrupt"}"#).await;
    assert_eq!(
        next(&mut link).await,
        Some(ClientEvent::Interrupt),
        "the other way is free"
    );

    // The blocked command goes on when the client reads, and nothing is torn or lost.
    let sending = async { link.sink.send(ClientCommand::Clear).await.unwrap() };
    let reading = async {
        let mut audio = 0;
        loop {
            match json(&mut client).await["type"].as_str() {
                Some("audio") => audio += 1,
                Some("clear_audio") => return audio,
                other => panic!("{other:?}"),
            }
        }
    };
    let ((), audio) = soon(async { tokio::join!(sending, reading) }).await;
    assert_eq!(audio, sent + 1);
}

#[tokio::test(start_paused = true)]
async fn c1_a_client_that_answers_pings_is_alive_and_one_that_does_not_is_gone() {
    let (mut link, mut client) = call().await;
    let watched = tokio::spawn(async move { (link.events.next().await, link) });
    // Ten minutes of pings, each of which tungstenite answers when it is read.
    for _ in 0..30 {
        let ping = soon(client.next()).await.unwrap().unwrap();
        assert!(matches!(ping, Message::Ping(_)), "{ping:?}");
        client.flush().await.unwrap();
    }
    assert!(!watched.is_finished());
    // From here on nobody reads.
    let (event, mut link) = soon(watched).await.unwrap();
    assert_eq!(event, None);
    soon(link.sink.close("client_left")).await;
    drop(client);
}

#[tokio::test]
async fn a2_rates_are_the_clients_then_the_configs_then_the_providers() {
    let config = WebSocketTransportConfig {
        input_sample_rate: Some(8_000),
        lead_ms: 300,
        ..WebSocketTransportConfig::default()
    };
    let transport = WebSocketRealtimeTransport::new(config).unwrap();
    let (server, _client) = pair(1024).await;
    let identity = json!({"user": "ann"}).as_object().unwrap().clone();
    let server = server.output_rate(48_000).identity(identity.clone());
    let link = transport
        .accept(&session(), server.into(), OFFER)
        .await
        .unwrap();
    assert_eq!(
        (link.info.input_rate, link.info.output_rate),
        (8_000, 48_000)
    );
    assert_eq!(link.info.input_encoding, "pcm16");
    assert_eq!(link.info.lead, Duration::from_millis(300));
    assert_eq!(link.info.metadata, identity);

    let (server, _client) = pair(1024).await;
    let link = accept(server).await.unwrap();
    assert_eq!(
        (link.info.input_rate, link.info.output_rate),
        (16_000, 24_000)
    );
}

#[tokio::test(start_paused = true)]
async fn a2_a_rate_that_nobody_can_mean_is_told_to_host_and_client() {
    let (server, mut client) = pair(4096).await;
    let (refused, error) = tokio::join!(accept(server.input_rate(44)), json(&mut client));
    let refused = refused.err().expect("a refusal").to_string();
    assert!(refused.starts_with("input_rate: 44 Hz"), "{refused}");
    assert_eq!(
        error,
        json!({"type": "error", "code": "config", "message": refused})
    );
    assert_eq!(closed(&mut client).await.0, 1008);
}

#[tokio::test]
async fn a_connection_of_another_transport_is_an_error_that_names_both() {
    let error = accept(Connection::new("a string"))
        .await
        .err()
        .expect("an error");
    let TransportError::WrongConnection { expected, given } = &error else {
        panic!("{error}");
    };
    assert!(
        expected.ends_with("WsConnection") && given.ends_with("str"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn s1_a_farewell_reaches_the_client_whatever_became_of_the_connection() {
    enum Fate {
        Dropped,
        AcceptedAndDropped,
        ToldAndDropped,
    }
    for fate in [
        Fate::Dropped,
        Fate::AcceptedAndDropped,
        Fate::ToldAndDropped,
    ] {
        let (server, mut client) = pair(4096).await;
        let farewell = server.farewell();
        match fate {
            Fate::Dropped => drop(server),
            Fate::AcceptedAndDropped => drop(accept(server).await.unwrap()),
            Fate::ToldAndDropped => {
                let mut link = accept(server).await.unwrap();
                let error = ServerMessage::Error {
                    code: "room".into(),
                    message: "closed".into(),
                };
                link.sink.send(ClientCommand::Message(error)).await.unwrap();
            }
        }
        let hearing = async {
            let error = json(&mut client).await;
            (error, closed(&mut client).await)
        };
        let ((), (error, closed)) = tokio::join!(farewell.say("room", "closed", 1008), hearing);
        assert_eq!(
            error,
            json!({"type": "error", "code": "room", "message": "closed"})
        );
        assert_eq!(closed, (1008, "closed".into()), "and no second error");
    }
}

#[tokio::test]
async fn a_farewell_that_is_not_needed_leaves_the_session_alone() {
    let (server, mut client) = pair(4096).await;
    let farewell = server.farewell();
    let mut link = accept(server).await.unwrap();
    drop(farewell);
    link.sink.send(ClientCommand::Clear).await.unwrap();
    assert_eq!(json(&mut client).await["type"], "clear_audio");
}

#[tokio::test]
async fn c5_what_is_kept_is_let_go_with_the_socket() {
    let (server, _client) = pair(4096).await;
    let (kept, mut gone) = mpsc::channel::<()>(1);
    let link = accept(server.keep(kept)).await.unwrap();
    assert!(gone.recv().now_or_never().is_none());
    drop(link);
    assert_eq!(soon(gone.recv()).await, None);

    let (server, client) = pair(4096).await;
    let (kept, mut gone) = mpsc::channel::<()>(1);
    let server = server.keep(kept);
    let farewell = server.farewell();
    drop(server);
    let mut saying = pin!(farewell.say("room", "closed", 1008));
    assert!(saying.as_mut().now_or_never().is_none());
    assert!(gone.recv().now_or_never().is_none(), "it still listens");
    drop(client);
    saying.await;
    assert_eq!(soon(gone.recv()).await, None);
}

#[test]
fn the_registry_builds_it_by_name() {
    let registry = Registry::linked().unwrap();
    let transport = registry.transport("websocket", Value::Null).unwrap();
    assert_eq!(transport.name(), "websocket");
    for (config, field) in [
        (json!({"input_sample_rate": 1}), "input_sample_rate"),
        (json!({"input_rate": 16_000}), "input_rate"),
    ] {
        let error = registry.transport("websocket", config).err().unwrap();
        assert!(error.to_string().contains(field), "{error}");
    }
}

/// A library nobody has heard of.
struct OwnSocket {
    incoming: mpsc::UnboundedReceiver<OwnMessage>,
    outgoing: mpsc::UnboundedSender<OwnMessage>,
}

#[derive(Debug, PartialEq)]
struct OwnMessage(Result<String, Vec<u8>>);

impl WsMessage for OwnMessage {
    fn into_incoming(self) -> IncomingFrame {
        match self.0 {
            Ok(text) => IncomingFrame::Text(text.into()),
            Err(bytes) => IncomingFrame::Binary(bytes.into()),
        }
    }

    fn from_outgoing(frame: OutgoingFrame) -> Self {
        match frame {
            OutgoingFrame::Text(text) => Self(Ok(text)),
            OutgoingFrame::Binary(bytes) => Self(Err(bytes.into())),
            OutgoingFrame::Ping => Self(Ok("ping".into())),
            OutgoingFrame::Close { code, reason } => Self(Ok(format!("close {code} {reason}"))),
        }
    }
}

impl Stream for OwnSocket {
    type Item = Result<OwnMessage, String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.incoming.poll_recv(cx).map(|message| message.map(Ok))
    }
}

impl Sink<OwnMessage> for OwnSocket {
    type Error = String;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: OwnMessage) -> Result<(), String> {
        self.outgoing.send(message).map_err(|_| "gone".into())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), String>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn any_librarys_socket_will_do() {
    let (client_says, incoming) = mpsc::unbounded_channel();
    let (outgoing, mut client_hears) = mpsc::unbounded_channel();
    let mut link = accept(WsConnection::new(OwnSocket { incoming, outgoing }))
        .await
        .unwrap();
    client_says.send(OwnMessage(Err(vec![1, 2]))).unwrap();
    assert_eq!(
        next(&mut link).await,
        Some(ClientEvent::Audio(Bytes::from_static(&[1, 2])))
    );
    link.sink.send(ClientCommand::Clear).await.unwrap();
    let heard = client_hears.recv().await.unwrap();
    assert_eq!(heard, OwnMessage(Ok(r#"{"type":"clear_audio"}"#.into())));
    drop(client_says);
    assert_eq!(next(&mut link).await, None);
}
