//! The relatives of `OpenAI` that the fake can play, and how long its sessions live.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use roomkit_mock::fake_openai::{
    FakeOpenAi, FakeOpenAiBuilder, Fault, FaultAction, FaultPoint, Reply, TranscriptTiming,
    UserTranscript,
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::raw_client::{self, Client, KEY, Next, kind, of_kind};

async fn created(server: FakeOpenAiBuilder) -> Value {
    let server = server.start().await.unwrap();
    let mut client = Client::dial(&server, "?model=gpt-realtime", &[KEY])
        .await
        .unwrap();
    client.event().await["session"].take()
}

fn item(item: &Value) -> Value {
    json!({"type": "conversation.item.create", "item": item})
}

#[tokio::test]
async fn a_session_says_when_it_ends_as_it_is_told_to() {
    let announced = |lifetime| FakeOpenAi::builder().announced_lifetime(lifetime);
    let session = created(announced(Some(Duration::from_secs(90)))).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let left = session["expires_at"].as_u64().unwrap() - now.as_secs();
    assert!((60..=90).contains(&left), "{left}");
    assert_eq!(created(announced(None)).await["expires_at"], Value::Null);
}

#[tokio::test]
async fn a_session_ends_by_time_with_the_vendors_words_or_without_any() {
    let server = FakeOpenAi::builder()
        .fault(Fault::new(
            FaultPoint::AfterMs(30),
            FaultAction::ExpireSession,
        ))
        .fault(Fault::new(FaultPoint::AfterMs(30), FaultAction::Drop).on_connection(1))
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    let error = client.until("error").await.pop().unwrap();
    assert_eq!(error["error"]["code"], "session_expired");
    let expected = "Your session hit the maximum duration of 60 minutes.";
    assert_eq!(error["error"]["message"], expected);
    let end = client.next().await;
    assert_eq!(
        end,
        Next::Closed {
            code: 1001,
            reason: expected.to_owned()
        }
    );
    let mut client = Client::connect(&server).await;
    assert_eq!(client.next().await, Next::Dropped);
}

#[tokio::test]
async fn a_call_has_one_place_and_one_output_in_the_conversation() {
    let server = FakeOpenAi::start().await.unwrap();
    let mut client = Client::connect(&server).await;
    let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
    let output = json!({"type": "function_call_output", "call_id": "c", "output": "{}"});
    let error = client.refused(item(&output)).await;
    assert_eq!(error["code"], "invalid_tool_call_id", "before its call");
    for once in [&call, &output] {
        client.send(item(once)).await;
        client.until("conversation.item.done").await;
        let error = client.refused(item(once)).await;
        assert_eq!(error["code"], "invalid_tool_call_id", "{once}");
    }
}

#[tokio::test]
async fn azure_refuses_before_the_upgrade() {
    let server = FakeOpenAi::builder()
        .azure()
        .api_key("right")
        .model("mine")
        .start()
        .await
        .unwrap();
    let status =
        async |query: &str, key: (&'static str, &str)| match Client::dial(&server, query, &[key])
            .await
        {
            Err(Error::Http(response)) => response.status().as_u16(),
            Err(other) => panic!("{other}"),
            Ok(mut client) => {
                assert_eq!(client.event().await["type"], "session.created");
                101
            }
        };
    assert!(server.url().ends_with("/openai/v1/realtime"));
    assert_eq!(status("?model=mine", ("api-key", "right")).await, 101);
    let bearer = ("authorization", "Bearer right");
    assert_eq!(status("?model=mine", bearer).await, 101);
    assert_eq!(status("?model=mine", ("api-key", "wrong")).await, 401);
    assert_eq!(
        status("?model=gpt-realtime", ("api-key", "right")).await,
        404
    );
}

#[tokio::test]
async fn xai_has_a_session_of_its_own_and_transcripts_that_grow() {
    let server = FakeOpenAi::builder()
        .xai()
        .noise(false)
        .reply(Reply::failed("server_error"))
        .default_transcript(
            UserTranscript::completed("how are you").at(TranscriptTiming::BeforeResponse),
        )
        .start()
        .await
        .unwrap();
    let mut client = Client::dial(&server, "?model=grok-voice-latest", &[KEY])
        .await
        .unwrap();
    assert_eq!(kind(&client.event().await), "conversation.created");
    assert_eq!(kind(&client.event().await), "session.created");
    for (place, session) in [
        (
            "session.audio.output.voice",
            json!({"audio": {"output": {"voice": "eve"}}}),
        ),
        (
            "session.audio.input.turn_detection",
            json!({"audio": {"input": {"turn_detection": null}}}),
        ),
        (
            "session.audio.input.format.rate",
            json!({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 96_000}}}}),
        ),
    ] {
        let error = client.update_refused(session).await;
        assert_eq!(error["param"], place);
    }
    let session = json!({"type": "realtime", "voice": "my-own", "turn_detection": {
        "type": "server_vad"}, "audio": {
        "input": {"format": {"type": "audio/pcm", "rate": 16_000},
            "transcription": {"model": "grok-transcribe"}},
        "output": {"format": {"type": "audio/pcm", "rate": 48_000}}}});
    client
        .send(json!({"type": "session.update", "session": session}))
        .await;
    let updated = client.until("session.updated").await.pop().unwrap();
    let audio = &updated["session"]["audio"];
    assert_eq!(audio["input"]["format"]["rate"], 16_000);
    assert_eq!(audio["output"]["format"]["rate"], 48_000);
    assert_eq!(audio["output"]["voice"], "my-own");

    let heard: Vec<u8> = raw_client::utterance(400)
        .chunks_exact(6)
        .flat_map(|three| [three[0], three[1], three[2], three[3]])
        .collect();
    client.append(&heard, 32).await;
    let events = client.until("response.done").await;
    let transcripts: Vec<&Value> = events
        .iter()
        .filter(|event| kind(event).contains("input_audio_transcription"))
        .map(|event| &event["transcript"])
        .collect();
    assert_eq!(transcripts, ["how", "how are", "how are you"]);
    let done = of_kind(&events, "response.done")[0];
    assert!(done["response"]["status_details"].is_string(), "{done}");
}
