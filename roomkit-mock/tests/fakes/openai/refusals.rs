//! Events the fake `OpenAI` server does not accept, and how it says so.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::SinkExt as _;
use roomkit_mock::fake_openai::{FakeOpenAi, Reply};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::raw_client::{Client, first, of_kind, tone};

async fn connected() -> (FakeOpenAi, Client) {
    let server = FakeOpenAi::start().await.unwrap();
    let client = Client::connect(&server).await;
    (server, client)
}

#[tokio::test]
async fn frames_that_are_no_json_text_leave_the_session_open() {
    let (_server, mut client) = connected().await;
    client
        .socket
        .inner
        .send(Message::binary(vec![1, 2]))
        .await
        .unwrap();
    assert_eq!(client.event().await["error"]["code"], "invalid_event");
    client.send_text("{nope").await;
    assert_eq!(client.event().await["error"]["code"], "invalid_json");
    client.send_text("[1]").await;
    assert_eq!(client.event().await["error"]["code"], "invalid_type");
    client.send(json!({"event_id": "e"})).await;
    assert_eq!(client.event().await["error"]["param"], "type");
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    client.until("input_audio_buffer.cleared").await;
}

#[tokio::test]
async fn unknown_types_list_what_is_accepted_and_echo_the_event_id() {
    let (server, mut client) = connected().await;
    for unknown in ["output_audio_buffer.clear", "transcription_session.update"] {
        let error = client
            .refused(json!({"type": unknown, "event_id": "mine"}))
            .await;
        assert_eq!(error["code"], "invalid_value");
        assert_eq!(error["param"], "type");
        assert_eq!(error["event_id"], "mine");
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("'response.create'")
        );
    }
    let violation = first(&server).await.wait_for_violation().await.unwrap();
    assert_eq!(violation.event_id.as_deref(), Some("mine"));
    let long = "x".repeat(513);
    let error = client
        .refused(json!({"type": "input_audio_buffer.clear", "event_id": long}))
        .await;
    assert_eq!(error["param"], "event_id");
}

#[tokio::test]
async fn one_response_at_a_time_and_cancel_needs_one() {
    let server = FakeOpenAi::builder()
        .reply(Reply::speech("hello", 10_000).stalling_after_ms(0))
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    let error = client.refused(json!({"type": "response.cancel"})).await;
    assert_eq!(error["code"], "response_cancel_not_active");
    assert_eq!(
        error["message"],
        "Cancellation failed: no active response found"
    );
    client.send(json!({"type": "response.create"})).await;
    client.until("response.created").await;
    let error = client
        .refused(json!({"type": "response.create", "event_id": "second"}))
        .await;
    assert_eq!(error["code"], "conversation_already_has_active_response");
    assert_eq!(error["event_id"], "second");
    client.send(json!({"type": "response.cancel"})).await;
    client.until("response.done").await;
}

#[tokio::test]
async fn audio_must_be_base64_and_commits_100_ms() {
    let server = FakeOpenAi::start().await.unwrap();
    let mut client = Client::configured(&server, json!({"turn_detection": null})).await;
    let error = client
        .refused(json!({"type": "input_audio_buffer.append", "audio": "!!", "event_id": "bad"}))
        .await;
    assert_eq!(error["code"], "invalid_value");
    assert_eq!(error["param"], "audio");
    assert_eq!(error["event_id"], "bad");
    let error = client
        .refused(json!({"type": "input_audio_buffer.append"}))
        .await;
    assert_eq!(error["code"], "missing_required_parameter");
    client.append(&tone(99), 48).await;
    let error = client
        .refused(json!({"type": "input_audio_buffer.commit"}))
        .await;
    assert_eq!(error["code"], "input_audio_buffer_commit_empty");
    assert!(error["message"].as_str().unwrap().contains("99.00ms"));
    client.append(&tone(1), 48).await;
    client
        .send(json!({"type": "input_audio_buffer.commit"}))
        .await;
    client.until("conversation.item.done").await;
}

#[tokio::test]
async fn with_detection_on_a_commit_finds_nothing() {
    let (_server, mut client) = connected().await;
    client.append(&vec![0; 48 * 500], 48).await;
    let error = client
        .refused(json!({"type": "input_audio_buffer.commit"}))
        .await;
    assert_eq!(error["code"], "input_audio_buffer_commit_empty");
}

#[tokio::test]
async fn truncate_takes_assistant_audio_within_its_length_only() {
    let server = FakeOpenAi::builder()
        .reply(Reply::speech("one two three", 1000))
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    client.send(json!({"type": "response.create"})).await;
    let events = client.until("response.done").await;
    let item = of_kind(&events, "response.output_item.done")[0]["item"]["id"].clone();
    let truncate = |item: &Value, end: Value| json!({"type": "conversation.item.truncate", "item_id": item, "content_index": 0, "audio_end_ms": end});
    let error = client.refused(truncate(&item, json!(1001))).await;
    assert_eq!(error["code"], "invalid_value");
    assert_eq!(error["param"], "audio_end_ms");
    assert_eq!(
        error["message"],
        "Audio content of 1000ms is already shorter than 1001ms"
    );
    let error = client.refused(truncate(&item, json!(10.5))).await;
    assert_eq!(error["code"], "invalid_type");
    let error = client.refused(truncate(&item, json!(-1))).await;
    assert_eq!(error["code"], "integer_below_min_value");
    let error = client
        .refused(truncate(&json!("item_none"), json!(1)))
        .await;
    assert_eq!(error["code"], "item_truncate_invalid_item_id");
    client.send(truncate(&item, json!(400))).await;
    let truncated = client
        .until("conversation.item.truncated")
        .await
        .pop()
        .unwrap();
    assert_eq!(truncated["audio_end_ms"], 400);
    // What was cut off is gone.
    let error = client.refused(truncate(&item, json!(500))).await;
    assert_eq!(error["code"], "invalid_value");
    client
        .send(
            json!({"type": "conversation.item.create", "item": {"id": "text", "type": "message",
            "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}}),
        )
        .await;
    client.until("conversation.item.done").await;
    let error = client.refused(truncate(&json!("text"), json!(0))).await;
    assert_eq!(error["code"], Value::Null);
    assert_eq!(
        error["message"],
        "Only model output audio messages can be truncated"
    );
}

#[tokio::test]
async fn items_are_checked() {
    let (_server, mut client) = connected().await;
    let message =
        |role: &str, content: Value| json!({"type": "message", "role": role, "content": [content]});
    let text = json!({"type": "input_text", "text": "x"});
    for (item, code, param) in [
        (
            json!({"type": "poem"}),
            json!("invalid_value"),
            json!("item.type"),
        ),
        (
            json!({"role": "user"}),
            json!("missing_required_parameter"),
            json!("item.type"),
        ),
        (
            message("assistant", text.clone()),
            json!("invalid_value"),
            json!("item.content[0].type"),
        ),
        (
            message(
                "assistant",
                json!({"type": "output_audio", "audio": "AAAA"}),
            ),
            json!("invalid_value"),
            json!("item.content[0].type"),
        ),
        (
            message("user", json!({"type": "input_audio", "audio": "%"})),
            json!("invalid_value"),
            json!("item.content[0].audio"),
        ),
        (
            json!({"type": "function_call_output", "call_id": "call_none", "output": "x"}),
            json!("invalid_tool_call_id"),
            Value::Null,
        ),
        (
            json!({"type": "function_call_output", "call_id": "c", "output": {"a": 1}}),
            json!("invalid_type"),
            json!("item.output"),
        ),
    ] {
        let error = client
            .refused(json!({"type": "conversation.item.create", "item": item}))
            .await;
        assert_eq!(error["code"], code, "{item}");
        assert_eq!(error["param"], param, "{item}");
    }
    let mut twice = message("user", text);
    twice["id"] = json!("same");
    let create = json!({"type": "conversation.item.create", "item": twice});
    client.send(create.clone()).await;
    client.until("conversation.item.done").await;
    assert_eq!(client.refused(create.clone()).await["param"], "item.id");
    let mut elsewhere = create;
    elsewhere["item"]["id"] = json!("other");
    elsewhere["previous_item_id"] = json!("nowhere");
    assert_eq!(client.refused(elsewhere).await["param"], "previous_item_id");
    for (kind, code) in [
        (
            "conversation.item.retrieve",
            "item_retrieve_invalid_item_id",
        ),
        ("conversation.item.delete", "item_delete_invalid_item_id"),
    ] {
        let error = client
            .refused(json!({"type": kind, "item_id": "item_none"}))
            .await;
        assert_eq!(error["code"], code);
    }
}

#[tokio::test]
async fn response_requests_are_checked() {
    let (_server, mut client) = connected().await;
    for (response, param) in [
        (json!({"conversation": "new"}), "response.conversation"),
        (json!({"metadata": {"k": 1}}), "response.metadata.k"),
        (
            json!({"metadata": {"k": "v".repeat(513)}}),
            "response.metadata.k",
        ),
        (
            json!({"input": [{"type": "item_reference", "id": "item_none"}]}),
            "response.input[0].id",
        ),
        (
            json!({"audio": {"output": {"voice": "nobody"}}}),
            "response.audio.output.voice",
        ),
        (
            json!({"output_modalities": []}),
            "response.output_modalities",
        ),
    ] {
        let error = client
            .refused(json!({"type": "response.create", "response": response}))
            .await;
        assert_eq!(error["param"], param, "{response}");
    }
}

#[tokio::test]
async fn appends_with_escapes_take_the_slow_way_to_the_same_end() {
    let (server, mut client) = connected().await;
    let encoded = STANDARD.encode([0xff_u8; 480]).replace('/', "\\/");
    client
        .send_text(format!(
            r#"{{"event_id":"a\u0031","audio":"{encoded}","type":"input_audio_buffer.append"}}"#
        ))
        .await;
    let connection = first(&server).await;
    connection.wait_for_audio(480).await.unwrap();
    assert_eq!(connection.audio(), [0xff; 480]);
    assert_eq!(connection.violations(), []);
}
