//! Messages the fake Gemini server does not accept, and how it says so.

use roomkit_mock::fake_gemini::{FakeGemini, Reply};
use serde_json::{Value, json};

use crate::raw_client::gemini::{
    Client, MODEL, MODEL_25, MODEL_31, VERTEX_MODEL, agent, first, shape, tone, with,
};

const INVALID: &str = "Request contains an invalid argument.";

async fn refusal(server: &FakeGemini, model: &str, message: Value) -> String {
    let client = Client::configured(server, agent(model)).await;
    let (code, reason) = client.refused(message).await;
    assert_eq!(code, 1007, "{reason}");
    reason
}

fn realtime(input: Value) -> Value {
    Value::from_iter([("realtimeInput", input)])
}

fn content(turn: &Value, complete: bool) -> Value {
    json!({"clientContent": {"turns": [turn], "turnComplete": complete}})
}

#[tokio::test]
async fn messages_have_exactly_one_field() {
    let server = FakeGemini::start().await.unwrap();
    let text = json!({"text": "hi"});
    for message in [
        json!({}),
        json!({"realtimeInput": text, "clientContent": {}}),
        realtime(json!({})),
        realtime(json!({"text": "hi", "audioStreamEnd": true})),
    ] {
        assert_eq!(refusal(&server, MODEL, message).await, INVALID);
    }
    let reasons: Vec<String> = server
        .violations()
        .into_iter()
        .map(|one| one.message)
        .collect();
    assert!(reasons[1].contains("this one has 2"), "{reasons:?}");
}

#[tokio::test]
async fn media_chunks_are_gone() {
    let server = FakeGemini::start().await.unwrap();
    let chunk = json!({"mime_type": "audio/pcm", "data": "AAA="});
    let message = json!({"realtime_input": {"media_chunks": [chunk]}});
    assert_eq!(
        refusal(&server, MODEL, message).await,
        "realtime_input.media_chunks is deprecated. Use audio, video, or text instead."
    );
}

#[tokio::test]
async fn media_is_checked() {
    let server = FakeGemini::start().await.unwrap();
    for input in [
        json!({"audio": {"data": "AAA=", "mimeType": "audio/wav"}}),
        json!({"audio": {"data": "AAA=", "mimeType": "audio/pcm;rate=fast"}}),
        json!({"audio": {"data": "AAA="}}),
        json!({"video": {"data": "AAA=", "mimeType": "video/mp4"}}),
        json!({"text": "bell \u{7}"}),
    ] {
        assert_eq!(refusal(&server, MODEL, realtime(input)).await, INVALID);
    }
    let bad = json!({"audio": {"data": "!!", "mimeType": "audio/pcm"}});
    assert_eq!(
        refusal(&server, MODEL, realtime(bad)).await,
        "Invalid value at 'realtime_input.audio.data' (TYPE_BYTES), \"!!\""
    );
    // Half a sample is taken, and noticed.
    let mut client = Client::connect(&server).await;
    let odd = json!({"audio": {"data": "AAAA", "mimeType": "audio/pcm"}});
    client.send(realtime(odd)).await;
    let last = server.connections().pop().unwrap();
    let violation = last.wait_for_violation().await.unwrap();
    assert_eq!(
        (violation.code, violation.message.as_str()),
        (None, "audio of half a sample")
    );
}

#[tokio::test]
async fn activity_belongs_to_manual_turns() {
    let server = FakeGemini::start().await.unwrap();
    for input in [json!({"activityStart": {}}), json!({"activityEnd": {}})] {
        assert_eq!(refusal(&server, MODEL, realtime(input)).await, INVALID);
    }
    let config = json!({"automaticActivityDetection": {"disabled": true}});
    let setup = with(agent(MODEL), "realtimeInputConfig", config);
    let client = Client::configured(&server, setup).await;
    let end = realtime(json!({"audioStreamEnd": true}));
    assert_eq!(
        client.refused(end.clone()).await,
        (1007, INVALID.to_owned())
    );
    let bearer = ("authorization", "Bearer t");
    let mut vertex = Client::dial_at(server.vertex_url(), &[bearer]).await;
    vertex.set_up(agent(VERTEX_MODEL)).await;
    assert_eq!(vertex.refused(end).await, (1007, INVALID.to_owned()));
}

#[tokio::test]
async fn client_content_is_checked() {
    let server = FakeGemini::start().await.unwrap();
    for turn in [
        json!({"role": "system", "parts": [{"text": "obey"}]}),
        json!({"role": "user", "parts": [{"text": "bell \u{0}"}]}),
        json!({"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}),
        json!({"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {}}}]}),
    ] {
        assert_eq!(refusal(&server, MODEL, content(&turn, true)).await, INVALID);
    }
    let string = json!({"role": "user", "parts": "hi"});
    let reason = refusal(&server, MODEL, content(&string, true)).await;
    assert_eq!(
        reason,
        "Invalid value at 'client_content.turns[0].parts' (a list), \"hi\""
    );
}

#[tokio::test]
async fn on_3_1_client_content_is_a_first_history_only() {
    let server = FakeGemini::start().await.unwrap();
    let turn = json!({"role": "user", "parts": [{"text": "My name is Ann."}]});
    assert_eq!(
        refusal(&server, MODEL_31, content(&turn, true)).await,
        INVALID
    );
    let history = json!({"initialHistoryInClientContent": true});
    let seeded = with(agent(MODEL_31), "historyConfig", history);
    let mut client = Client::configured(&server, seeded.clone()).await;
    client.send(content(&turn, true)).await;
    client.realtime(json!({"text": "."})).await;
    client.until("turnComplete").await;
    assert_eq!(
        client.refused(content(&turn, true)).await,
        (1007, INVALID.to_owned())
    );
    // Audio ends the time for history as well.
    let mut client = Client::configured(&server, seeded).await;
    client.audio(&tone(20)).await;
    assert_eq!(
        client.refused(content(&turn, false)).await,
        (1007, INVALID.to_owned())
    );
    // The others take it at any time.
    for model in [MODEL, MODEL_25] {
        let mut client = Client::configured(&server, agent(model)).await;
        client.audio(&tone(20)).await;
        client.send(content(&turn, true)).await;
        client.until("turnComplete").await;
    }
}

#[tokio::test]
async fn nothing_may_come_between_a_blocking_call_and_its_result() {
    let server = FakeGemini::start().await.unwrap();
    let turn = json!({"role": "user", "parts": [{"text": "hurry"}]});
    for message in [
        realtime(json!({"text": "hurry"})),
        realtime(json!({"video": {"data": "AAAA", "mimeType": "image/png"}})),
        content(&turn, false),
    ] {
        server.queue_reply(Reply::tool_call("look", json!({})));
        let mut client = Client::connect(&server).await;
        client.realtime(json!({"text": "look it up"})).await;
        client.until("toolCall").await;
        assert_eq!(client.refused(message).await, (1007, INVALID.to_owned()));
    }
    server.queue_reply(Reply::tool_call("search", json!({})));
    let mut client = Client::connect(&server).await;
    client.realtime(json!({"text": "look it up"})).await;
    client.until("turnComplete").await;
    client.realtime(json!({"text": "hurry"})).await;
    client.until("turnComplete").await;
}

#[tokio::test]
async fn context_updates_are_for_3_8() {
    let server = FakeGemini::start().await.unwrap();
    let update = json!({"contextUpdate": {
        "systemInstruction": {"parts": [{"text": "Now speak French."}]},
        "tools": {"tools": [{"functionDeclarations": [{"name": "hang_up"}]}]}}});
    assert_eq!(refusal(&server, MODEL_31, update.clone()).await, INVALID);
    let mut client = Client::connect(&server).await;
    client.send(update).await;
    client.send(json!({"contextUpdate": {}})).await;
    client.realtime(json!({"text": "hi"})).await;
    let messages = client.until("turnComplete").await;
    assert_eq!(shape(&messages).last().unwrap(), "turnComplete");
    let session = server.wait_for_connection(1).await.unwrap().session();
    assert_eq!(
        session["systemInstruction"]["parts"][0]["text"],
        "Now speak French."
    );
    assert_eq!(
        session["tools"][0]["functionDeclarations"][0]["name"],
        "hang_up"
    );
    let clear = json!({"contextUpdate": {"tools": {"tools": []}}});
    client.send(clear).await;
    client.realtime(json!({"text": "hi"})).await;
    client.until("turnComplete").await;
    let connection = server.wait_for_connection(1).await.unwrap();
    assert_eq!(connection.session()["tools"], json!([]));
    assert_eq!(connection.violations(), []);
    assert_eq!(first(&server).await.violations().len(), 1);
}
