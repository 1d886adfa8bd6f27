//! What clients may do on the data channel, and what they may not.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use roomkit_core::provider::{ProviderCommand, Role};
use roomkit_mock::MockRealtimeProvider;
use serde_json::json;
use tokio::sync::mpsc;

use crate::support::*;

#[tokio::test]
async fn c3_the_messages_are_those_of_the_websocket() {
    let ai = MockRealtimeProvider::new();
    let server = Server::start(&ai).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    server.voice.on_client_message(move |event| {
        tell.send(event).unwrap();
        std::future::ready(())
    });
    let http = server.http.with_query("room=lobby&participant=bob");
    let mut client = Client::call_as(Kind::default(), &http).await;
    let session = server.voice.sessions().remove(0);
    let started = json!({
        "type": "session_started", "session_id": session.id(), "room_id": "lobby",
        "participant_id": "bob", "channel_id": "voice",
        "input_sample_rate": 24_000, "output_sample_rate": 24_000,
        "input_encoding": "opus", "output_encoding": "opus",
    });
    assert_eq!(client.messages, [started]);
    let ai = ai.wait_for_connect().await;

    client.send(&json!({"type": "ping", "id": 7})).await;
    assert_eq!(client.message("pong").await["id"], 7);
    client.send(&json!({"type": "text", "text": "Hello"})).await;
    ai.wait_for_command(|it| matches!(it, ProviderCommand::Text { text, .. } if text == "Hello"))
        .await;
    ai.simulate_transcription("Hi!", Role::Assistant, true, None);
    let typed = client.message("transcription").await;
    assert_eq!(
        (&typed["text"], &typed["role"]),
        (&json!("Hello"), &json!("user"))
    );
    let said = client.message("transcription").await;
    assert_eq!(
        (&said["text"], &said["is_final"]),
        (&json!("Hi!"), &json!(true))
    );
    client.send(&json!({"type": "mute", "muted": true})).await;
    client.ping().await;
    let before = ai.sent_audio().len();
    client.say(&tone(24_000, 440.0, 200)).await;
    client.send(&json!({"type": "mute", "muted": false})).await;
    client.ping().await;
    client.say(&tone(24_000, 440.0, 20)).await;
    ai.wait_for_commands(before + 1, |it| matches!(it, ProviderCommand::Audio(_)))
        .await;
    client.send(&json!({"type": "recording", "on": true})).await;
    assert_eq!(
        client.message("error").await["code"],
        "recording_unavailable"
    );
    let key = json!({"event": "dtmf", "digit": "5"});
    client.send(&json!({"type": "message", "data": key})).await;
    let pressed = soon(told.recv()).await.unwrap();
    assert_eq!(&json!(pressed.message), &key);
    assert_eq!(pressed.session, session);
    let card = json!({"type": "card", "rows": "x".repeat(60_000)});
    let message = card.as_object().cloned().unwrap();
    server.voice.send_message(&session, message).unwrap();
    assert_eq!(client.message("card").await, card);
    client.send(&json!({"type": "end"})).await;
    assert_eq!(
        client.message("session_ended").await["reason"],
        "client_ended"
    );
}

#[tokio::test]
async fn c5_what_is_beyond_a_limit_is_dropped_and_the_call_lives() {
    let counters = Counters::default();
    let _counting = counters.here();
    let ai = MockRealtimeProvider::new();
    let mut config = config();
    config.max_message_bytes = 1_000;
    config.max_json_depth = 4;
    let server = Server::with(config, open_door(), Arc::new(ai.clone())).await;
    let mut client = Client::new(Kind::default()).await;
    let answer = server.http.offer(&client.fast_rtc()).await.sdp();
    assert!(answer.contains("a=max-message-size:1000\r\n"), "{answer}");
    // A client that does not look at it.
    client
        .take(&answer.replace("size:1000", "size:100000"))
        .await;
    client.message("session_started").await;
    let dropped = || {
        let reasons = ["oversized_message", "undecodable"];
        let counts = reasons.map(|reason| counters.get("roomkit_dropped_total", reason));
        counts.iter().sum::<u64>()
    };
    let deep = format!(
        "{{\"type\":\"ping\",\"id\":{}{}}}",
        "[".repeat(9),
        "]".repeat(9)
    );
    client.send_text(&deep).await;
    let long = json!({"type": "ping", "id": 7, "more": "x".repeat(900)}).to_string();
    client.send_text(&long).await;
    assert_eq!(client.message("pong").await["id"], 7);
    until(|| dropped() == 1).await;
    let over = json!({"type": "ping", "id": 7, "more": "x".repeat(1_000)}).to_string();
    client.send_text(&over).await;
    let told = client.message("error").await;
    assert_eq!(told["code"], "message_too_long", "{told}");
    until(|| dropped() == 2).await;
    client.close().await;
}

#[tokio::test]
async fn x5_garbage_on_the_channel() {
    let counters = Counters::default();
    let _counting = counters.here();
    let ai = MockRealtimeProvider::new();
    let server = Server::start(&ai).await;
    let mut client = Client::call(&server).await;
    let channel = client.channel().await;
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    let garbage: Vec<Vec<u8>> = vec![
        vec![0xff; 100],
        vec![0; 100],
        (0..=255).collect(),
        b"\xf0\x28\x8c\x28".to_vec(),
        b"{\"type\":".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"{\"type\":7}".to_vec(),
        // Audio has a track of its own.
        b"{\"type\":\"audio\",\"data\":\"AAAA\"}".to_vec(),
        deep.into_bytes(),
    ];
    for bytes in &garbage {
        channel.send(BytesMut::from(&bytes[..])).await.unwrap();
        if let Ok(text) = std::str::from_utf8(bytes) {
            channel.send_text(text).await.unwrap();
        }
    }
    channel.send(BytesMut::new()).await.unwrap();
    channel.send_text("").await.unwrap();
    // What is not known is not wrong.
    client.send(&json!({"type": "dance", "how": "well"})).await;
    client.ping().await;
    let dropped = counters.get("roomkit_dropped_total", "undecodable");
    assert!(dropped >= garbage.len() as u64, "{dropped}");
    assert_eq!(server.voice.sessions().len(), 1);
}

#[tokio::test]
async fn x5_garbage_in_the_audio() {
    let counters = Counters::default();
    let _counting = counters.here();
    let ai = MockRealtimeProvider::new();
    let server = Server::start(&ai).await;
    let mut client = Client::call(&server).await;
    let ai = ai.wait_for_connect().await;
    for length in [0_usize, 1, 2, 100, 1_100] {
        for fill in [0x00, 0x03, 0x7f, 0xff] {
            client.send_payload(Bytes::from(vec![fill; length])).await;
        }
    }
    client.ping().await;
    let before = ai.sent_audio().len();
    client.say(&tone(24_000, 440.0, 400)).await;
    ai.wait_for_commands(before + 20, |it| matches!(it, ProviderCommand::Audio(_)))
        .await;
    assert!(counters.get("roomkit_dropped_total", "undecodable") > 0);
    client.ping().await;
}
