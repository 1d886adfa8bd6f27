//! The order and fields of what the fake Gemini server answers.

use std::time::{Duration, Instant};

use roomkit_mock::fake_gemini::{
    FakeGemini, FakeGeminiBuilder, Reply, Speaker, TranscriptTiming, UserTranscript,
};
use serde_json::{Value, json};

use crate::raw_client;
use crate::raw_client::gemini::{
    Client, MODEL, MODEL_31, VERTEX_MODEL, agent, audio_of, contents, first, kinds, shape, silence,
    text_of, tone, with,
};

async fn quiet(builder: FakeGeminiBuilder) -> FakeGemini {
    builder.noise(false).start().await.unwrap()
}

fn manual() -> Value {
    json!({"automaticActivityDetection": {"disabled": true}})
}

fn place(messages: &[Value], kind: &str) -> Option<usize> {
    messages
        .iter()
        .position(|one| kinds(one).iter().any(|name| name == kind))
}

#[tokio::test]
async fn a_spoken_turn_comes_in_the_documented_order() {
    let server = FakeGemini::start().await.unwrap();
    let mut client = Client::connect(&server).await;
    client.say(600).await;
    let messages = client.until("sessionResumptionUpdate").await;
    assert_eq!(
        shape(&messages),
        [
            "inputTranscription",
            "modelTurn",
            "generationComplete",
            "turnComplete",
            "sessionResumptionUpdate",
        ]
    );
    assert!(client.socket.binary);
    assert_eq!(
        text_of(&messages, "inputTranscription"),
        "hello from the caller"
    );
    let said = text_of(&messages, "outputTranscription");
    assert_eq!(said, "You said: hello from the caller");
    // 300 ms before the tone, the tone, 500 ms of silence, at 24 kHz.
    assert_eq!(audio_of(&messages).len(), 1400 * 48);
    let end = &messages[place(&messages, "turnComplete").unwrap()];
    assert_eq!(end["serverContent"]["interactionStatus"], "IDLE");
    assert_eq!(end["usageMetadata"]["responseTokenCount"], 35);
    let connection = first(&server).await;
    assert_eq!(connection.violations(), []);
    let turns = connection.conversation();
    assert_eq!(turns.len(), 2);
    assert_eq!((turns[0].speaker, turns[0].audio_ms), (Speaker::User, 1400));
    assert_eq!(
        (turns[1].speaker, turns[1].text.as_str()),
        (Speaker::Model, said.as_str())
    );
    assert_eq!(connection.sent("turnComplete"), 1);
}

#[tokio::test]
async fn turns_depend_on_audio_time_and_rates_are_taken_from_the_mime_type() {
    let server = FakeGemini::start().await.unwrap();
    let mut client = Client::connect(&server).await;
    let audio: Vec<u8> = raw_client::wave(24, 400);
    let whole = [vec![0; 48 * 300], audio, vec![0; 48 * 600]].concat();
    for chunk in whole.chunks(4800) {
        use base64::Engine as _;
        let data = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(chunk);
        client
            .realtime(json!({"audio": {"data": data, "mime_type": "audio/pcm;rate=24000"}}))
            .await;
    }
    let messages = client.until("turnComplete").await;
    assert_eq!(audio_of(&messages).len(), 1200 * 48);
    let connection = first(&server).await;
    assert_eq!(connection.audio(), whole);
    assert_eq!(connection.received_audio().chunks[0].rate, 24_000);
}

#[tokio::test]
async fn transcripts_come_only_when_asked_for() {
    let server = quiet(FakeGemini::builder()).await;
    let bare = json!({"model": MODEL});
    let mut client = Client::configured(&server, bare).await;
    client.say(300).await;
    let messages = client.until("turnComplete").await;
    assert_eq!(
        shape(&messages),
        ["modelTurn", "generationComplete", "turnComplete"]
    );
    assert!(contents(&messages, "outputTranscription").is_empty());
}

#[tokio::test]
async fn transcripts_come_before_during_or_after_the_answer() {
    for (timing, earlier, later) in [
        (TranscriptTiming::BeforeResponse, None, Some("modelTurn")),
        (
            TranscriptTiming::DuringResponse,
            Some("modelTurn"),
            Some("turnComplete"),
        ),
        (TranscriptTiming::AfterResponse, Some("turnComplete"), None),
    ] {
        let transcript = UserTranscript::completed("what time is it")
            .at(timing)
            .finished();
        let server = quiet(FakeGemini::builder().transcript(transcript)).await;
        let mut client = Client::connect(&server).await;
        client.say(400).await;
        let messages = client.until("sessionResumptionUpdate").await;
        let at = place(&messages, "inputTranscription");
        assert!(
            earlier.is_none_or(|kind| place(&messages, kind) < at),
            "{timing:?}"
        );
        assert!(
            later.is_none_or(|kind| at < place(&messages, kind)),
            "{timing:?}"
        );
        assert_eq!(text_of(&messages, "inputTranscription"), "what time is it");
        let deltas = contents(&messages, "inputTranscription");
        assert_eq!(deltas[1]["text"], " time");
        assert_eq!(deltas.last().unwrap()["finished"], true);
    }
}

#[tokio::test]
async fn transcripts_can_begin_early_come_again_and_stay_away() {
    let early = UserTranscript::completed("one two three")
        .at(TranscriptTiming::DuringSpeech)
        .with_interim()
        .again_at(TranscriptTiming::AfterResponse);
    let late =
        UserTranscript::completed("late").at(TranscriptTiming::After(Duration::from_millis(1)));
    let server = quiet(FakeGemini::builder().transcript(early).transcript(late)).await;
    server.queue_transcript(UserTranscript::never());
    let mut client = Client::connect(&server).await;
    client.audio(&[silence(300), tone(300)].concat()).await;
    let during = client.until("inputTranscription").await;
    assert_eq!(contents(&during, "interimInputTranscription").len(), 1);
    client.audio(&silence(600)).await;
    let mut messages = [during, client.until("turnComplete").await].concat();
    assert_eq!(text_of(&messages, "inputTranscription"), "one two three");
    messages = client.until("sessionResumptionUpdate").await;
    assert_eq!(text_of(&messages, "inputTranscription"), "one two three");
    assert_eq!(messages.len(), 2);
    client.say(300).await;
    let messages = client.until("sessionResumptionUpdate").await;
    assert_eq!(text_of(&messages, "inputTranscription"), "late");
    client.say(300).await;
    let messages = client.until("sessionResumptionUpdate").await;
    assert_eq!(text_of(&messages, "inputTranscription"), "");
    assert_eq!(text_of(&messages, "outputTranscription"), "You said this.");
}

#[tokio::test]
async fn text_is_answered_on_the_realtime_path() {
    let server = quiet(FakeGemini::builder()).await;
    let mut client = Client::connect(&server).await;
    client.realtime(json!({"text": "What time is it?"})).await;
    let messages = client.until("turnComplete").await;
    assert_eq!(
        text_of(&messages, "outputTranscription"),
        "You wrote: What time is it?"
    );
    client
        .realtime(json!({"video": {"data": "/9j/4AAQSkY=", "mimeType": "image/jpeg"}}))
        .await;
    let connection = first(&server).await;
    let video = connection
        .wait_for_event(|event| event["realtimeInput"].get("video").is_some())
        .await
        .unwrap();
    assert_eq!(video.kind(), "realtimeInput.video");
    assert_eq!(connection.violations(), []);
}

#[tokio::test]
async fn barge_in_interrupts_then_completes_then_answers() {
    let builder = FakeGemini::builder()
        .late_chunks(1)
        .reply(Reply::speech("a very long story", 60_000).stalling_after_ms(400));
    let server = quiet(builder).await;
    let mut client = Client::connect(&server).await;
    client.realtime(json!({"text": "tell me"})).await;
    client.until("modelTurn").await;
    client.say(300).await;
    let messages = client.until("turnComplete").await;
    let from = place(&messages, "interrupted").unwrap();
    assert!(contents(&messages, "generationComplete").is_empty());
    assert_eq!(kinds(messages.last().unwrap()).len(), 3);
    assert!(from < messages.len() - 1);
    let messages = client.until("turnComplete").await;
    assert_eq!(
        text_of(&messages, "outputTranscription"),
        "You said: hello from the caller"
    );
    let turns = first(&server).await.conversation();
    assert!(turns[1].interrupted);
    assert_eq!(turns.len(), 4);
}

#[tokio::test]
async fn late_chunks_follow_an_interruption() {
    let builder = FakeGemini::builder()
        .late_chunks(2)
        .reply(Reply::speech("a very long story", 60_000));
    let server = quiet(builder).await;
    let mut client = Client::connect(&server).await;
    client.realtime(json!({"text": "tell me"})).await;
    client.until("modelTurn").await;
    client
        .send(json!({"clientContent": {"turnComplete": false}}))
        .await;
    let messages = client.until("turnComplete").await;
    let late = &messages[place(&messages, "interrupted").unwrap()..];
    assert_eq!(shape(late), ["interrupted", "modelTurn", "turnComplete"]);
    assert_eq!(contents(late, "modelTurn").len(), 2);
}

#[tokio::test]
async fn without_interruption_the_turn_waits() {
    let server = quiet(FakeGemini::builder().reply(Reply::speech("a long story", 1500))).await;
    let config = json!({"activityHandling": "NO_INTERRUPTION"});
    let setup = with(agent(MODEL), "realtimeInputConfig", config);
    let mut client = Client::configured(&server, setup).await;
    client.realtime(json!({"text": "tell me"})).await;
    client.until("modelTurn").await;
    client.say(300).await;
    let first_answer = client.until("turnComplete").await;
    assert!(contents(&first_answer, "interrupted").is_empty());
    let end = first_answer.last().unwrap();
    assert_eq!(end["serverContent"]["interactionStatus"], "IN_PROGRESS");
    let second = client.until("turnComplete").await;
    assert_eq!(
        text_of(&second, "outputTranscription"),
        "You said: hello from the caller"
    );
}

#[tokio::test]
async fn real_time_turns_complete_when_they_were_heard() {
    let builder = FakeGemini::builder()
        .real_time_turns(true)
        .speed(f64::INFINITY)
        .reply(Reply::speech("hello there", 300));
    let server = quiet(builder).await;
    let mut client = Client::connect(&server).await;
    let begun = Instant::now();
    client.realtime(json!({"text": "hi"})).await;
    client.until("turnComplete").await;
    assert!(begun.elapsed() >= Duration::from_millis(290));
}

#[tokio::test]
async fn manual_turns_go_by_the_client() {
    let server = quiet(FakeGemini::builder()).await;
    let setup = with(agent(MODEL), "realtimeInputConfig", manual());
    let mut client = Client::configured(&server, setup).await;
    client.audio(&tone(200)).await;
    client.realtime(json!({"activityStart": {}})).await;
    client.audio(&tone(400)).await;
    client.realtime(json!({"activityEnd": {}})).await;
    let messages = client.until("turnComplete").await;
    // What came before the activity does not belong to it.
    assert_eq!(audio_of(&messages).len(), 400 * 48);
    server.queue_reply(Reply::speech("a long story", 60_000).stalling_after_ms(200));
    client.realtime(json!({"text": "tell me"})).await;
    client.until("modelTurn").await;
    client.realtime(json!({"activityStart": {}})).await;
    client.until("interrupted").await;
    client.realtime(json!({"activityEnd": {}})).await;
    client.realtime(json!({"activityEnd": {}})).await;
    let violation = first(&server).await.wait_for_violation().await.unwrap();
    assert_eq!(violation.message, "activityEnd without activityStart");
}

#[tokio::test]
async fn the_default_coverage_of_3_1_is_deaf_to_manual_turns() {
    let server = quiet(FakeGemini::builder()).await;
    for (coverage, heard) in [(None, false), (Some("TURN_INCLUDES_ALL_INPUT"), true)] {
        let mut config = manual();
        if let Some(coverage) = coverage {
            config["turnCoverage"] = json!(coverage);
        }
        let setup = with(agent(MODEL_31), "realtimeInputConfig", config);
        let mut client = Client::configured(&server, setup).await;
        client.realtime(json!({"activityStart": {}})).await;
        client.audio(&tone(400)).await;
        client.realtime(json!({"activityEnd": {}})).await;
        client.realtime(json!({"text": "and?"})).await;
        let messages = client.until("turnComplete").await;
        assert_eq!(text_of(&messages, "inputTranscription").is_empty(), !heard);
    }
}

#[tokio::test]
async fn the_end_of_the_stream_ends_the_turn() {
    let server = quiet(FakeGemini::builder()).await;
    let mut client = Client::connect(&server).await;
    client.audio(&[silence(300), tone(300)].concat()).await;
    client.realtime(json!({"audioStreamEnd": true})).await;
    let messages = client.until("turnComplete").await;
    assert_eq!(audio_of(&messages).len(), 600 * 48);
}

#[tokio::test]
async fn vertex_signals_activity_and_names_its_tokens() {
    let server = quiet(FakeGemini::builder()).await;
    let setup = with(agent(VERTEX_MODEL), "explicitVadSignal", json!(true));
    let setup = with(setup, "sessionResumption", json!({"transparent": true}));
    let mut client = Client::dial_at(server.vertex_url(), &[("authorization", "Bearer t")]).await;
    client.set_up(setup).await;
    client.say(300).await;
    let messages = client.until("sessionResumptionUpdate").await;
    let signals: Vec<&Value> = messages
        .iter()
        .filter_map(|one| one.get("voiceActivity"))
        .collect();
    assert_eq!(signals[0]["voiceActivityType"], "ACTIVITY_START");
    assert_eq!(signals[0]["audioOffset"], "0.330s");
    assert_eq!(signals[1]["voiceActivityType"], "ACTIVITY_END");
    let end = &messages[place(&messages, "turnComplete").unwrap()];
    assert!(end["usageMetadata"]["candidatesTokenCount"].is_u64());
    let update = &messages.last().unwrap()["sessionResumptionUpdate"];
    assert!(update["lastConsumedClientMessageIndex"].is_string());
}
