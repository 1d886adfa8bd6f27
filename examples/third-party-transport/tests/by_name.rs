//! The crate as an app meets it: linked, found by its name, driven through a whole call.
#![allow(clippy::unwrap_used)] // Also in what the tests share.

use std::sync::Arc;

use roomkit_core::{RealtimeVoiceChannel, RoomKit, registry::Registry};
use roomkit_mock::{Counters, MockRealtimeProvider};
use serde_json::{Value, json};
use third_party_transport::{NAME, Pipe};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

async fn frame(client: &mut DuplexStream) -> Option<(u8, Vec<u8>)> {
    let kind = client.read_u8().await.ok()?;
    let length = client.read_u32().await.ok()?;
    let mut content = vec![0; length as usize];
    client.read_exact(&mut content).await.ok()?;
    Some((kind, content))
}

/// The next message of this type.
async fn message(client: &mut DuplexStream, wanted: &str) -> Value {
    loop {
        let (kind, content) = frame(client).await.unwrap();
        if kind == b'm' {
            let message: Value = serde_json::from_slice(&content).unwrap();
            if message["type"] == wanted {
                return message;
            }
        }
    }
}

async fn say(client: &mut DuplexStream, kind: u8, content: &[u8]) {
    client.write_u8(kind).await.unwrap();
    client
        .write_u32(u32::try_from(content.len()).unwrap())
        .await
        .unwrap();
    client.write_all(content).await.unwrap();
}

#[tokio::test]
async fn a_call_by_name() {
    let transport = Registry::linked()
        .unwrap()
        .transport(NAME, json!({}))
        .unwrap();
    let provider = MockRealtimeProvider::new();
    let voice = RealtimeVoiceChannel::builder("voice", Arc::new(provider.clone()), transport)
        .build()
        .unwrap();
    let kit = RoomKit::new();
    kit.register_channel(voice.clone()).unwrap();
    kit.create_room("lobby").await.unwrap();
    kit.attach_channel("lobby", "voice").await.unwrap();

    let (ours, mut client) = tokio::io::duplex(64 * 1024);
    let (read, write) = tokio::io::split(ours);
    let session = voice.start_session("lobby", "ann", Pipe::new(read, write));
    let session = session.await.unwrap();
    let started = message(&mut client, "session_started").await;
    assert_eq!(started["input_sample_rate"], 24_000);

    say(&mut client, b'a', &[7; 960]).await;
    let ai = provider.session(session.id());
    ai.wait_for_command(|_| true).await;
    assert_eq!(ai.sent_audio().concat(), [7; 960]);
    ai.simulate_response_start(None);
    ai.simulate_audio(vec![9; 960]);
    let heard = loop {
        if let (b'a', pcm) = frame(&mut client).await.unwrap() {
            break pcm;
        }
    };
    assert_eq!(heard, [9; 960]);
    ai.simulate_speech_start(None);
    message(&mut client, "clear_audio").await;
    say(&mut client, b'e', &[]).await;
    let ended = message(&mut client, "session_ended").await;
    assert_eq!(ended["reason"], "client_ended");
}

#[tokio::test]
async fn c5_what_a_client_writes_is_read_within_the_limits_of_every_wire() {
    let counters = Counters::default();
    let _counting = counters.here();
    let transport = Registry::linked().unwrap();
    let transport = transport.transport(NAME, json!({"max_frame_bytes": 1 << 20}));
    let provider = MockRealtimeProvider::new();
    let ai = Arc::new(provider.clone());
    let voice = RealtimeVoiceChannel::builder("voice", ai, transport.unwrap());
    let voice = voice.build().unwrap();
    let kit = RoomKit::new();
    kit.register_channel(voice.clone()).unwrap();
    kit.create_room("lobby").await.unwrap();
    kit.attach_channel("lobby", "voice").await.unwrap();
    let (ours, mut client) = tokio::io::duplex(64 * 1024);
    let (read, write) = tokio::io::split(ours);
    let session = voice.start_session("lobby", "ann", Pipe::new(read, write));
    let session = session.await.unwrap();
    let text = |words: &str| json!({"type": "text", "text": words}).to_string();
    for content in [
        text(&"x".repeat(70_000)).as_bytes(),
        br#"{"type":"audio","data":"AAAA"}"#,
        br#"{"type":"from the future"}"#,
        b"\xff",
        "[".repeat(33).as_bytes(),
        text("hello").as_bytes(),
        br#"{"type":"ping","id":7}"#,
    ] {
        say(&mut client, b'm', content).await;
    }
    assert_eq!(message(&mut client, "pong").await["id"], 7);
    let ai = provider.session(session.id());
    ai.wait_for_command(|_| true).await;
    let texts = ai.injected_texts();
    assert_eq!(texts[0].text, "hello");
    assert_eq!(texts.len(), 1, "{texts:?}");
    let dropped = |reason| counters.get("roomkit_dropped_total", reason);
    assert_eq!(dropped("oversized_message"), 1);
    assert_eq!(dropped("undecodable"), 3);
}

#[tokio::test]
async fn an_oversized_frame_ends_the_call_with_a_reason() {
    let transport = Registry::linked().unwrap();
    let transport = transport.transport(NAME, json!({"max_frame_bytes": 1024}));
    let provider = Arc::new(MockRealtimeProvider::new());
    let voice = RealtimeVoiceChannel::builder("voice", provider, transport.unwrap());
    let voice = voice.build().unwrap();
    let kit = RoomKit::new();
    kit.register_channel(voice.clone()).unwrap();
    kit.create_room("lobby").await.unwrap();
    kit.attach_channel("lobby", "voice").await.unwrap();
    let (ours, mut client) = tokio::io::duplex(64 * 1024);
    let (read, write) = tokio::io::split(ours);
    let pipe = Pipe::new(read, write);
    voice.start_session("lobby", "ann", pipe).await.unwrap();
    client.write_u8(b'a').await.unwrap();
    client.write_u32(1025).await.unwrap();
    let ended = message(&mut client, "session_ended").await;
    assert_eq!(ended["reason"], "client_violation");
}

#[tokio::test(start_paused = true)]
async fn c5_a_client_that_floods_is_heard_no_faster_than_it_may_speak() {
    let counters = Counters::default();
    let _counting = counters.here();
    let transport = Registry::linked().unwrap().transport(NAME, json!({}));
    let provider = MockRealtimeProvider::new();
    let ai = Arc::new(provider.clone());
    let voice = RealtimeVoiceChannel::builder("voice", ai, transport.unwrap());
    let voice = voice.build().unwrap();
    let kit = RoomKit::new();
    kit.register_channel(voice.clone()).unwrap();
    kit.create_room("lobby").await.unwrap();
    kit.attach_channel("lobby", "voice").await.unwrap();
    let (ours, mut client) = tokio::io::duplex(64 * 1024);
    let (read, write) = tokio::io::split(ours);
    let session = voice.start_session("lobby", "ann", Pipe::new(read, write));
    let session = session.await.unwrap();
    // Seven seconds at once, of which four may come.
    let second = vec![7; 48_000];
    for _ in 0..7 {
        say(&mut client, b'a', &second).await;
    }
    say(&mut client, b'e', &[]).await;
    message(&mut client, "session_ended").await;
    assert_eq!(counters.get("roomkit_dropped_total", "too_fast"), 3);
    let heard = provider.session(session.id()).sent_audio().concat();
    assert!(heard.len() <= 4 * second.len(), "{} bytes", heard.len());
}
