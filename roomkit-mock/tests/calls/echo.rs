//! Whole calls with the echo, which answers for itself.

use std::sync::Arc;

use roomkit_core::{
    RealtimeVoiceChannel, RoomKit,
    audio::bytes_for,
    client_protocol::ServerMessage,
    provider::{Role, SessionUpdate},
    registry::Registry,
    room::TimelineQuery,
    tool::{Tool, ToolDefinition},
    transport::ClientEvent,
};
use roomkit_mock::{MockClient, MockConnection, MockRealtimeTransport};
use serde_json::json;

use crate::support::{ROOM, VOICE, lobby, ms, settle, soon};

fn speech(length: u64, amplitude: i16) -> Vec<u8> {
    let samples = bytes_for(ms(length), 16_000) / 2;
    let samples = (0..samples).map(|n| if n % 20 < 10 { amplitude } else { -amplitude });
    samples.flat_map(i16::to_le_bytes).collect()
}

/// Speaks in real time.
async fn speak(client: &MockClient, length: u64, amplitude: i16) {
    for frame in speech(length, amplitude).chunks(640) {
        client.send_audio(frame.to_vec());
        tokio::time::sleep(ms(20)).await;
    }
}

async fn start() -> (
    RoomKit,
    RealtimeVoiceChannel,
    roomkit_core::RealtimeSession,
    MockClient,
) {
    let config = json!({"sample_rate": 16_000, "silence_ms": 300});
    let provider = Registry::linked()
        .unwrap()
        .provider("echo", config)
        .unwrap();
    let clock = Tool::new(
        ToolDefinition::new("get_time", "", json!({"type": "object"})),
        |_, _, _| async { Ok("noon".into()) },
    );
    let voice =
        RealtimeVoiceChannel::builder(VOICE, provider, Arc::new(MockRealtimeTransport::new()))
            .tool(clock)
            .build()
            .unwrap();
    let kit = lobby(&voice).await;
    let connection = MockConnection::new();
    let client = connection.client();
    let session = soon(voice.start_session(ROOM, "ann", connection))
        .await
        .unwrap();
    (kit, voice, session, client)
}

async fn texts(kit: &RoomKit) -> Vec<String> {
    let events = kit.timeline(ROOM, TimelineQuery::latest(50)).await.unwrap();
    let texts = events.iter().filter_map(|event| event.content.as_text());
    texts.map(str::to_owned).collect()
}

async fn said(client: &MockClient, wanted: &str) {
    client
        .wait_for_message(|m| {
            matches!(m, ServerMessage::Transcription { text, is_final: true, .. } if text.contains(wanted))
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_echo_is_linked_and_checks_its_settings() {
    let registry = Registry::linked().unwrap();
    let build = |config| {
        registry
            .provider("echo", config)
            .map(|echo| echo.capabilities())
    };
    assert_eq!(build(json!(null)).unwrap().input_rate, 24_000);
    assert_eq!(
        build(json!({"sample_rate": 8000})).unwrap().output_rate,
        8000
    );
    for wrong in [
        json!({"sample_rate": 1}),
        json!({"speed": "fast"}),
        json!({"pitch": 1}),
    ] {
        assert!(build(wrong.clone()).is_err(), "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn t1_a_spoken_turn_comes_back_with_its_words_in_order() {
    let (kit, voice, _, client) = start().await;
    speak(&client, 500, 0).await;
    speak(&client, 1000, 5000).await;
    speak(&client, 500, 0).await;
    said(&client, "(echo of 1.0 s)").await;
    let heard: Vec<u8> = client.audio().concat();
    let loud = heard
        .chunks_exact(2)
        .filter(|s| i16::from_le_bytes([s[0], s[1]]).abs() > 4000);
    assert_eq!(loud.count(), 16_000, "every sample that was said");
    assert!(voice.wait_idle(ROOM, ms(5000)).await);
    settle().await;
    assert_eq!(
        texts(&kit).await,
        ["(you spoke for 1.0 s)", "(echo of 1.0 s)"]
    );
}

#[tokio::test(start_paused = true)]
async fn a3_t4_speaking_over_the_echo_interrupts_it() {
    let (kit, _, session, client) = start().await;
    let text = "a long story about a dog that went to town and never came back";
    client.send(ClientEvent::Text(text.into()));
    client.wait_for_audio(bytes_for(ms(3000), 16_000)).await;
    speak(&client, 500, 5000).await;
    speak(&client, 400, 0).await;
    said(&client, "(echo of 0.5 s)").await;
    settle().await;
    let texts = texts(&kit).await;
    assert_eq!(texts[0], text);
    assert!(
        texts[1].starts_with("You said: a long story") && texts[1].len() < text.len(),
        "{texts:?}"
    );
    assert_eq!(texts[2..], ["(you spoke for 0.5 s)", "(echo of 0.5 s)"]);
    drop(session);
}

#[tokio::test(start_paused = true)]
async fn k7_a_tool_is_called_and_its_result_said() {
    let (_kit, _, _, client) = start().await;
    client.send(ClientEvent::Text("what time is it?".into()));
    said(&client, "get_time answered: noon").await;
}

#[tokio::test(start_paused = true)]
async fn r3_s5_it_takes_text_images_and_updates() {
    let (_kit, voice, session, client) = start().await;
    voice
        .inject_text(&session, "she is a member", Role::System, true)
        .unwrap();
    let seen = vec![0; 10];
    voice
        .inject_image(&session, "image/png", seen, None, false)
        .unwrap();
    said(&client, "Noted: she is a member (an image of 10 bytes)").await;
    let update = SessionUpdate {
        tools: Some([].into()),
        ..SessionUpdate::default()
    };
    voice.update_session(&session, update).await.unwrap();
    voice
        .inject_text(&session, "what time is it", Role::User, false)
        .unwrap();
    said(&client, "You said: what time is it").await;
}

#[tokio::test(start_paused = true)]
async fn s3_s7_it_goes_when_the_session_goes() {
    let (kit, voice, session, client) = start().await;
    client.send(ClientEvent::Text("hello".into()));
    client.wait_for_audio(100).await;
    soon(voice.end_session(&session)).await;
    assert_eq!(client.close_reasons(), ["host"]);
    soon(kit.close()).await;
    settle().await;
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert_eq!(tasks, 0);
}
