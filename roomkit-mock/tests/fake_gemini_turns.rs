//! The order and fields of what the fake Gemini server answers.
#![cfg(feature = "fake-gemini")]
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod raw_client;

use std::time::Duration;

use raw_client::gemini::{
    Client, MODEL_25, MODEL_31, VERTEX_MODEL, agent, audio_of, contents, first, kinds, shape,
    silence, text_of, tone, with,
};
use roomkit_mock::fake_gemini::{FakeGemini, Reply, Speaker, TranscriptTiming, UserTranscript};
use serde_json::{Value, json};

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
    let end = messages
        .iter()
        .find(|one| kinds(one).contains(&"turnComplete".to_owned()))
        .unwrap();
    assert_eq!(end["serverContent"]["interactionStatus"], "IDLE");
    assert_eq!(end["usageMetadata"]["responseTokenCount"], 35);
    let connection = first(&server).await;
    assert_eq!(connection.violations(), []);
    let turns = connection.conversation();
    assert_eq!(turns.len(), 2);
    assert_eq!((turns[0].speaker, turns[0].audio_ms), (Speaker::User, 1400));
    assert_eq!(turns[1].text, said);
    assert_eq!(connection.sent("turnComplete"), 1);
}
