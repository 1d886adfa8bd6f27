//! What the fake Gemini server's frames look like, and the odd things in them.

use roomkit_mock::fake_gemini::{FakeGemini, FakeGeminiBuilder, Reply};
use serde_json::{Value, json};

use crate::raw_client::Next;
use crate::raw_client::gemini::{
    Client, KEY, MODEL, MODEL_25, agent, audio_of, contents, first, kinds, shape, text_of, tone,
};

async fn quiet(builder: FakeGeminiBuilder) -> FakeGemini {
    builder.noise(false).start().await.unwrap()
}

#[tokio::test]
async fn frames_can_be_text_merged_and_in_fragments() {
    let builder = FakeGemini::builder()
        .text_frames()
        .pretty(false)
        .merge_frames(true)
        .handle_with_setup(true)
        .fragment_frames(11)
        .speed(f64::INFINITY);
    let server = quiet(builder).await;
    let mut client = Client::dial(&server).await;
    client.send(json!({"setup": agent(MODEL)})).await;
    let complete = client.message().await;
    assert_eq!(
        kinds(&complete),
        ["sessionResumptionUpdate", "setupComplete"]
    );
    client.realtime(json!({"text": "hi"})).await;
    let messages = client.until("turnComplete").await;
    assert!(!client.socket.binary);
    let first_frame = kinds(&messages[0]);
    assert!(
        first_frame.contains(&"modelTurn".to_owned()),
        "{first_frame:?}"
    );
    assert!(first_frame.contains(&"outputTranscription".to_owned()));
    let last = kinds(messages.last().unwrap());
    assert!(last.contains(&"generationComplete".to_owned()), "{last:?}");
    assert!(
        last.contains(&"sessionResumptionUpdate".to_owned()),
        "{last:?}"
    );
    let connection = first(&server).await;
    connection
        .wait_for_sent("generationComplete", 1)
        .await
        .unwrap();
}

#[tokio::test]
async fn noise_is_several_parts_bare_types_and_usage_alone() {
    let server = FakeGemini::builder()
        .speed(f64::INFINITY)
        .usage_ticks(true)
        .reply(Reply::speech("hello", 8000))
        .reply(Reply::speech("hello", 8000))
        .start()
        .await
        .unwrap();
    for (model, several) in [(MODEL, true), (MODEL_25, false)] {
        let mut client = Client::configured(&server, agent(model)).await;
        client.realtime(json!({"text": "hi"})).await;
        let messages = client.until("turnComplete").await;
        assert_eq!(audio_of(&messages).len(), 8000 * 48);
        let turns = contents(&messages, "modelTurn");
        let parts = |turn: &&Value| turn["parts"].as_array().unwrap().len();
        assert_eq!(turns.iter().any(|turn| parts(turn) == 2), several);
        let bare = json!("audio/pcm");
        assert!(
            turns
                .iter()
                .any(|turn| turn["parts"][0]["inlineData"]["mimeType"] == bare)
        );
        let empty = |one: &&Value| {
            one["serverContent"]
                .as_object()
                .is_some_and(serde_json::Map::is_empty)
        };
        let ticks = messages.iter().filter(empty).count();
        assert_eq!(ticks, turns.len());
        assert!(
            messages
                .iter()
                .any(|one| one["serverContent"].get("novelty").is_some())
        );
    }
}

#[tokio::test]
async fn relay_sends_the_same_payload_straight_back() {
    let server = quiet(FakeGemini::builder().relay(true).record_audio(false)).await;
    let mut client = Client::connect(&server).await;
    client.audio(&tone(20)).await;
    let back = client.message().await;
    assert_eq!(audio_of(&[back]), tone(20));
    let connection = first(&server).await;
    assert_eq!((connection.appends(), connection.audio().len()), (1, 0));
}

#[tokio::test]
async fn a_transcription_model_answers_in_text() {
    let server = quiet(FakeGemini::builder().reply(Reply::speech("one two", 500))).await;
    let setup = json!({"model": "models/gemini-3.5-transcribe-live"});
    let mut client = Client::dial_at(server.url(), &[KEY]).await;
    client.set_up(setup).await;
    client.say(300).await;
    let messages = client.until("turnComplete").await;
    let turns = contents(&messages, "modelTurn");
    let text: Vec<&str> = turns
        .iter()
        .map(|turn| turn["parts"][0]["text"].as_str().unwrap())
        .collect();
    assert_eq!(text, ["one", " two"]);
    let connection = first(&server).await;
    connection.inject_event(&json!({"error": {"code": 500}}));
    assert!(matches!(client.next().await, Next::Event(event) if event["error"]["code"] == 500));
}

#[tokio::test]
async fn scripted_endings_and_asides() {
    let server = quiet(
        FakeGemini::builder()
            .reply(Reply::silence())
            .reply(Reply::refused("PROHIBITED_INPUT_CONTENT"))
            .reply(Reply::waiting())
            .reply(
                Reply::speech("Let me", 100)
                    .then_thought("secret")
                    .then_message(json!({"serverContent": {"groundingMetadata": {}}}))
                    .with_late_transcript()
                    .without_generation_complete(),
            ),
    )
    .await;
    let mut client = Client::connect(&server).await;
    client.realtime(json!({"text": "one"})).await;
    client.realtime(json!({"text": "two"})).await;
    let messages = client.until("turnComplete").await;
    let end = &messages.last().unwrap()["serverContent"];
    assert_eq!(end["turnCompleteReason"], "PROHIBITED_INPUT_CONTENT");
    assert_eq!(messages.len(), 1);
    client.until("sessionResumptionUpdate").await;
    client.realtime(json!({"text": "three"})).await;
    let messages = client.until("turnComplete").await;
    assert_eq!(shape(&messages), ["waitingForInput", "turnComplete"]);
    client.until("sessionResumptionUpdate").await;
    client.realtime(json!({"text": "four"})).await;
    let messages = client.until("turnComplete").await;
    assert_eq!(text_of(&messages, "outputTranscription"), "Let me");
    let thought = &contents(&messages, "modelTurn")[1]["parts"][0];
    assert_eq!(
        (&thought["text"], &thought["thought"]),
        (&json!("secret"), &json!(true))
    );
    assert!(contents(&messages, "generationComplete").is_empty());
}
