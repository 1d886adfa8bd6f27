//! The user's side of the fake `OpenAI` server: turns, formats, transcripts.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roomkit_mock::fake_openai::{FakeOpenAi, TranscriptTiming, UserTranscript};
use serde_json::json;

use crate::raw_client::{self, Client, audio_of, first, kind, kinds, of_kind, text_of, tone};

#[tokio::test]
async fn manual_turns_answer_only_when_asked() {
    let server = FakeOpenAi::start().await.unwrap();
    let mut client = Client::configured(&server, json!({"turn_detection": null})).await;
    client.append(&tone(200), 48).await;
    client
        .send(json!({"type": "input_audio_buffer.commit"}))
        .await;
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    let events = client.until("input_audio_buffer.cleared").await;
    assert_eq!(
        kinds(&events),
        [
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "input_audio_buffer.cleared",
        ]
    );
    client.send(json!({"type": "response.create"})).await;
    let events = client.until("response.done").await;
    assert_eq!(audio_of(&events), tone(200));
}

#[tokio::test]
async fn create_response_off_commits_and_stays_quiet() {
    let server = FakeOpenAi::start().await.unwrap();
    let input = json!({"turn_detection": {"type": "server_vad", "create_response": false}});
    let mut client = Client::configured(&server, input).await;
    client.say(300).await;
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    let events = client.until("input_audio_buffer.cleared").await;
    assert!(kinds(&events).contains(&"input_audio_buffer.committed"));
    assert!(!kinds(&events).contains(&"response.created"));
}

#[tokio::test]
async fn transcripts_come_before_during_or_after_the_response() {
    let transcript = "conversation.item.input_audio_transcription.completed";
    for (timing, earlier, later) in [
        (
            TranscriptTiming::BeforeResponse,
            "conversation.item.done",
            "response.created",
        ),
        (
            TranscriptTiming::DuringResponse,
            "response.output_audio.delta",
            "response.done",
        ),
        (TranscriptTiming::AfterResponse, "response.done", ""),
    ] {
        let server = FakeOpenAi::builder()
            .transcript(UserTranscript::completed("what time is it").at(timing))
            .start()
            .await
            .unwrap();
        let mut client =
            Client::configured(&server, json!({"transcription": {"model": "whisper-1"}})).await;
        client.say(400).await;
        let wanted = if later.is_empty() {
            transcript
        } else {
            "response.done"
        };
        let events = client.until(wanted).await;
        let all = kinds(&events);
        let at = |wanted: &str| all.iter().position(|kind| *kind == wanted);
        assert!(at(earlier) < at(transcript), "{timing:?}: {all:?}");
        assert!(
            later.is_empty() || at(transcript) < at(later),
            "{timing:?}: {all:?}"
        );
        assert_eq!(
            text_of(&events, "conversation.item.input_audio_transcription.delta"),
            "what time is it"
        );
        let said = of_kind(&events, "response.output_audio_transcript.done");
        assert_eq!(said[0]["transcript"], "You said: what time is it");
    }
}

#[tokio::test]
async fn transcripts_can_be_late_fail_or_never_come() {
    let server = FakeOpenAi::builder()
        .transcript(UserTranscript::failed("audio_unintelligible"))
        .transcript(UserTranscript::never().at(TranscriptTiming::BeforeResponse))
        .transcript(
            UserTranscript::completed("late").at(TranscriptTiming::After(Duration::from_millis(1))),
        )
        .start()
        .await
        .unwrap();
    let mut client = Client::configured(
        &server,
        json!({"transcription": {"model": "whisper-1"}, "turn_detection": null}),
    )
    .await;
    for _ in 0..3 {
        client.append(&tone(100), 48).await;
        client
            .send(json!({"type": "input_audio_buffer.commit"}))
            .await;
    }
    let events = client
        .until("conversation.item.input_audio_transcription.completed")
        .await;
    assert_eq!(events.last().unwrap()["transcript"], "late");
    let items = of_kind(&events, "input_audio_buffer.committed");
    assert_eq!(events.last().unwrap()["item_id"], items[2]["item_id"]);
    let failed = client
        .until("conversation.item.input_audio_transcription.failed")
        .await
        .pop()
        .unwrap();
    assert_eq!(failed["error"]["code"], "audio_unintelligible");
    assert_eq!(failed["item_id"], items[0]["item_id"]);
}

#[tokio::test]
async fn g711_is_heard_and_spoken() {
    let server = FakeOpenAi::start().await.unwrap();
    let mut client = Client::connect(&server).await;
    let mulaw = json!({"format": {"type": "audio/pcmu"}});
    client
        .send(
            json!({"type": "session.update", "session": {"type": "realtime",
            "audio": {"input": mulaw, "output": mulaw}}}),
        )
        .await;
    client.until("session.updated").await;
    let loud: Vec<u8> = (0..8 * 500)
        .map(|i| if i / 16 % 2 == 0 { 0x90 } else { 0x10 })
        .collect();
    let audio = [vec![0xff; 8 * 300], loud, vec![0xff; 8 * 400]].concat();
    client.append(&audio, 8).await;
    let events = client.until("response.done").await;
    assert_eq!(audio_of(&events), audio[..8 * 1000]);
}

#[tokio::test]
async fn transcription_sessions_transcribe_and_never_answer() {
    let server = FakeOpenAi::start().await.unwrap();
    let mut client = Client::dial(&server, "?intent=transcription", &[raw_client::KEY])
        .await
        .unwrap();
    let created = client.event().await;
    assert_eq!(
        created["session"]["object"],
        "realtime.transcription_session"
    );
    client
        .send(json!({"type": "session.update", "session": {"type": "transcription",
            "audio": {"input": {"transcription": {"model": "gpt-live-transcribe", "delay": "low"}}}}}))
        .await;
    let updated = client.until("session.updated").await.pop().unwrap();
    assert_eq!(
        updated["session"]["audio"]["input"]["transcription"],
        json!({"model": "gpt-live-transcribe"})
    );
    client.say(300).await;
    let events = client
        .until("conversation.item.input_audio_transcription.completed")
        .await;
    assert!(!kinds(&events).contains(&"response.created"));
    client.send(json!({"type": "response.create"})).await;
    assert_eq!(kind(&client.until("error").await.pop().unwrap()), "error");
}

#[tokio::test]
async fn an_idle_user_is_addressed_after_the_timeout() {
    let server = FakeOpenAi::builder()
        .speed(f64::INFINITY)
        .start()
        .await
        .unwrap();
    let input = json!({"turn_detection": {"type": "server_vad", "idle_timeout_ms": 5}});
    let mut client = Client::configured(&server, input).await;
    client.send(json!({"type": "response.create"})).await;
    client.until("response.done").await;
    let events = client.until("response.created").await;
    let after_limits: Vec<&str> = kinds(&events).into_iter().skip(1).collect();
    assert_eq!(
        after_limits,
        [
            "input_audio_buffer.timeout_triggered",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
        ]
    );
}

#[tokio::test]
async fn relay_sends_the_same_payload_straight_back() {
    let server = FakeOpenAi::builder()
        .relay(true)
        .noise(false)
        .record_audio(false)
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    for number in 0..3_u8 {
        let payload = STANDARD.encode([number; 960]);
        client
            .send(json!({"type": "input_audio_buffer.append", "audio": payload}))
            .await;
        let events = client.until("response.output_audio.delta").await;
        assert_eq!(events.last().unwrap()["delta"], payload);
        let opening = if number == 0 { 3 } else { 1 };
        assert_eq!(events.len(), opening);
    }
    let connection = first(&server).await;
    assert_eq!(connection.appends(), 3);
    assert_eq!(connection.audio_bytes(), 3 * 960);
    assert!(connection.audio().is_empty());
}

#[tokio::test]
async fn the_users_audio_is_there_with_its_arrival_times() {
    let server = FakeOpenAi::start().await.unwrap();
    let mut client = Client::connect(&server).await;
    client.append(&tone(100), 48).await;
    let connection = first(&server).await;
    connection.wait_for_audio(100 * 48).await.unwrap();
    let audio = connection.received_audio();
    assert_eq!(audio.pcm, tone(100));
    assert_eq!(audio.chunks.len(), 5);
    assert_eq!(audio.bytes_of(&audio.chunks[4]), &tone(100)[4 * 960..]);
    assert!(audio.chunks.iter().all(|chunk| chunk.rate == 24_000));
    assert!(audio.chunks.is_sorted_by_key(|chunk| chunk.at));
}
