//! Gemini Live as the AI of the server: whole calls, keys, and connections that end in mid-call.

use std::time::Duration;

use roomkit::mock::fake_gemini::{
    FakeGemini, FakeGeminiBuilder, Fault, FaultAction, FaultPoint, Reply,
};
use serde_json::{Value, json};

use crate::support::{Socket, TestServer};

const KEY: &str = "AIza-test-right";
/// Audio both ways at the rate of the tests' tone; Gemini itself hears 16 kHz.
const QUERY: &str = "?audio=binary&input_rate=24000";

struct House {
    vendor: FakeGemini,
    server: TestServer,
}

impl House {
    /// A server whose AI is this vendor; `key` is what it shows there.
    async fn open(vendor: FakeGeminiBuilder, key: &str) -> Self {
        let vendor = vendor.api_key(KEY).start().await.unwrap();
        let url = vendor.base_url();
        let server = TestServer::start(&format!(
            "[channel]\ndemo_tools = true\nhold_s = 20\nreconnect_attempts = 3\n\
             max_connection_age_s = 3600\nseed_turns = 10\n\
             [provider]\nname = 'gemini'\n\
             config = {{ api_key = '{key}', base_url = '{url}' }}"
        ))
        .await;
        Self { vendor, server }
    }

    async fn call(&self) -> (Socket, String) {
        self.server.session(QUERY).await
    }
}

fn kinds<'a>(caller: &'a Socket, kind: &'a str) -> impl Iterator<Item = &'a Value> {
    let passed = caller.passed.iter();
    passed.filter(move |message| message["type"] == kind)
}

#[tokio::test]
async fn a_call_from_the_first_word_to_the_last() {
    let script = Reply::speech_then_tool("Let me look.", 200, "current_time", json!({}));
    let house = House::open(FakeGemini::builder().reply(script), KEY).await;
    let (mut caller, room) = house.call().await;

    caller.speak().await;
    let question = caller.words("user", "").await;
    assert_eq!(question, "hello from the caller");
    let status = async |caller: &mut Socket| caller.until("tool_call").await["status"].clone();
    assert_eq!(status(&mut caller).await, "started");
    assert_eq!(status(&mut caller).await, "completed");
    let answer = caller.words("assistant", "utc").await;
    assert!(
        caller.audio.iter().any(|byte| *byte != 0),
        "a voice is heard"
    );

    // One turn of the model, before the tool and after it.
    assert!(answer.starts_with("Let me look."), "{answer}");
    let said = [("user".into(), question), ("assistant".into(), answer)];
    assert_eq!(timeline(&house.server, &room).await, said);
    caller.hang_up().await;
    assert_eq!(house.vendor.violations(), []);
}

/// What was said in the room, by whom.
async fn timeline(server: &TestServer, room: &str) -> Vec<(String, String)> {
    let page = server.get(&format!("/rooms/{room}/timeline")).await.json();
    let events = page["events"].as_array().unwrap().iter();
    events
        .filter(|event| event["type"] == "message")
        .map(|event| {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (
                text(&event["metadata"]["role"]),
                text(&event["content"]["body"]),
            )
        })
        .collect()
}

#[tokio::test]
async fn h3_x1_a_wrong_key_ends_the_start_and_the_caller_reads_that_much() {
    let house = House::open(FakeGemini::builder(), "AIza-test-wrong").await;
    let mut caller = house.server.call(QUERY).await;
    let error = caller.until("error").await;
    assert_eq!(error["code"], "ws_1007");
    assert_eq!(error["message"], "the AI service is not available");
    while caller.next().await.is_some() {}
    assert_eq!(caller.close_code, Some(1011));
    let rooms = house.server.get("/rooms?status=active").await.json();
    assert_eq!(rooms, json!({"rooms": []}));
    assert_eq!(
        house.vendor.connections().len(),
        1,
        "a key is not tried again"
    );
}

#[tokio::test]
async fn h2_a_call_whose_connection_is_cut_goes_on_and_says_so() {
    let house = House::open(FakeGemini::builder(), KEY).await;
    let (mut caller, _) = house.call().await;
    caller.speak().await;
    caller.words("assistant", "").await;

    let first = house.vendor.wait_for_connection(0).await.unwrap();
    first.drop_connection();
    caller.until("reconnecting").await;
    // Held, and given to the next connection.
    caller.speak().await;
    caller.until("reconnected").await;
    caller.words("user", "hello from the caller").await;
    caller.words("assistant", "").await;
    assert_eq!(kinds(&caller, "error").next(), None);

    let second = house.vendor.wait_for_connection(1).await.unwrap();
    assert_eq!(second.resumed_from().as_ref(), first.handles().last());
    caller.hang_up().await;
    assert_eq!(house.vendor.violations(), []);
}

#[tokio::test]
async fn h1_a_connection_that_is_taken_back_in_time_is_replaced_unseen() {
    let house = House::open(FakeGemini::builder(), KEY).await;
    let (mut caller, _) = house.call().await;
    caller.speak().await;
    caller.words("assistant", "").await;

    let first = house.vendor.wait_for_connection(0).await.unwrap();
    first.go_away(Duration::from_secs(30));
    let second = house.vendor.wait_for_connection(1).await.unwrap();
    first.wait_for_close().await.unwrap();
    caller.speak().await;
    caller.words("user", "hello from the caller").await;
    caller.words("assistant", "").await;
    assert!(second.audio_bytes() > 0);
    for kind in ["reconnecting", "reconnected", "error"] {
        assert_eq!(kinds(&caller, kind).next(), None);
    }
    caller.hang_up().await;
    assert_eq!(house.vendor.violations(), []);
}

#[tokio::test]
async fn h3_a_quota_that_is_used_up_in_mid_call_ends_it() {
    let point = FaultPoint::AfterSending("turnComplete".into());
    let fault = Fault::new(point, FaultAction::quota_exceeded());
    let house = House::open(FakeGemini::builder().fault(fault), KEY).await;
    let (mut caller, _) = house.call().await;
    caller.speak().await;
    let ended = caller.until("session_ended").await;
    assert_eq!(ended["reason"], "provider_error");
    let error = kinds(&caller, "error").next().unwrap();
    assert_eq!(error["code"], "ws_1011");
    assert!(!error.to_string().contains("billing"), "{error}");
    assert_eq!(kinds(&caller, "reconnecting").next(), None);
}

#[tokio::test]
async fn a_new_call_is_told_what_was_said_in_its_room() {
    let house = House::open(FakeGemini::builder(), KEY).await;
    let (mut caller, room) = house.call().await;
    let text = json!({"type": "text", "text": "my order is 4711"});
    caller.send(text).await;
    caller.words("assistant", "4711").await;
    caller.hang_up().await;
    let query = format!("{QUERY}&room={room}");
    let (caller, _) = house.server.session(&query).await;
    let second = house.vendor.wait_for_connection(1).await.unwrap();
    let tells = |event: &Value| event.to_string().contains("my order is 4711");
    second.wait_for_event(tells).await.unwrap();
    caller.hang_up().await;
    assert_eq!(house.vendor.violations(), []);
}
