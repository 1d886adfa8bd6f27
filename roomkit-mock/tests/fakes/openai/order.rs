//! The order and fields of what the fake `OpenAI` server answers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use roomkit_mock::fake_openai::{FakeOpenAi, Reply};
use serde_json::{Value, json};

use crate::raw_client::{Client, audio_of, first, kinds, of_kind, text_of, tone};

/// Without repeats of the same type next to each other, and with deltas of text and audio, which
/// interleave freely, as one.
fn shape(events: &[Value]) -> Vec<&str> {
    let mut shape: Vec<&str> = kinds(events)
        .into_iter()
        .map(|kind| match kind {
            "response.output_audio_transcript.delta" => "response.output_audio.delta",
            other => other,
        })
        .collect();
    shape.dedup();
    shape
}

#[tokio::test]
async fn a_spoken_turn_comes_in_the_captured_order() {
    let server = FakeOpenAi::start().await.unwrap();
    let mut client = Client::connect(&server).await;
    client.say(600).await;
    let events = client.until("rate_limits.updated").await;
    assert_eq!(
        shape(&events),
        [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "conversation.item.done",
            "response.created",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
            "rate_limits.updated",
        ]
    );
    // 300 ms of silence before the tone are exactly the prefix; 200 ms of silence end the turn.
    assert_eq!(events[0]["audio_start_ms"], 0);
    assert_eq!(events[1]["audio_end_ms"], 1100);
    let item = &events[0]["item_id"];
    assert_eq!(&events[1]["item_id"], item);
    assert_eq!(&events[2]["item_id"], item);
    assert_eq!(&events[3]["item"]["id"], item);
    assert_eq!(events[3]["item"]["content"][0]["transcript"], Value::Null);
    for event in &events {
        assert!(event["event_id"].is_string(), "{event}");
    }
    assert_eq!(audio_of(&events).len(), 1100 * 48);
    let done = &of_kind(&events, "response.done")[0]["response"];
    assert_eq!(done["status"], "completed");
    assert_eq!(done["usage"]["output_token_details"]["audio_tokens"], 22);
    assert_eq!(done["output"][0]["content"][0]["type"], "output_audio");
    let part = of_kind(&events, "response.content_part.done")[0];
    assert_eq!(part["part"]["type"], "audio");
    assert_eq!(
        text_of(&events, "response.output_audio_transcript.delta"),
        part["part"]["transcript"].as_str().unwrap()
    );
}

#[tokio::test]
async fn every_response_event_says_where_it_belongs() {
    let server = FakeOpenAi::builder()
        .reply(Reply::speech_then_tool(
            "One moment.",
            300,
            "look",
            r#"{"at":"it"}"#,
        ))
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    client.send(json!({"type": "response.create"})).await;
    let events = client.until("response.done").await;
    let id = &events[0]["response"]["id"];
    for event in events.iter().filter(|event| event.get("delta").is_some()) {
        assert_eq!(&event["response_id"], id);
        assert!(event["item_id"].is_string());
        assert!(event["output_index"].is_u64());
        assert!(event["obfuscation"].is_string());
    }
    let call = of_kind(&events, "response.function_call_arguments.done")[0];
    assert_eq!(call["output_index"], 1);
    assert_eq!(call["name"], "look");
    assert_eq!(call["arguments"], r#"{"at":"it"}"#);
    assert_eq!(call.get("content_index"), None);
    assert_eq!(
        text_of(&events, "response.function_call_arguments.delta"),
        r#"{"at":"it"}"#
    );
    let output = events.last().unwrap()["response"]["output"]
        .as_array()
        .unwrap();
    assert_eq!(output.len(), 2);
    assert_eq!(output[1]["call_id"], call["call_id"]);
}

#[tokio::test]
async fn tool_results_are_spoken_after_response_create() {
    let server = FakeOpenAi::builder()
        .reply(
            Reply::tool_call("a", "{}")
                .with_call_id("call_a")
                .then_tool_call("b", "{}")
                .with_call_id("call_b"),
        )
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    client.send(json!({"type": "response.create"})).await;
    let events = client.until("response.done").await;
    assert_eq!(
        of_kind(&events, "response.function_call_arguments.done").len(),
        2
    );
    for (call, output) in [("call_a", "7"), ("call_b", "forty-two")] {
        client
            .send(json!({"type": "conversation.item.create", "item": {
                "type": "function_call_output", "call_id": call, "output": output}}))
            .await;
        client.until("conversation.item.done").await;
    }
    client.send(json!({"type": "response.create"})).await;
    let events = client.until("response.done").await;
    let said = of_kind(&events, "response.output_audio_transcript.done")[0]["transcript"]
        .as_str()
        .unwrap();
    assert!(said.contains("forty-two"), "{said}");
    assert!(!audio_of(&events).is_empty());
    assert_eq!(first(&server).await.violations(), []);
}

#[tokio::test]
async fn barge_in_cancels_with_turn_detected() {
    let server = FakeOpenAi::builder()
        .reply(Reply::speech("a very long story", 60_000).stalling_after_ms(500))
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    client.send(json!({"type": "response.create"})).await;
    client.until("response.output_audio.delta").await;
    client.say(300).await;
    let mut events = client.until("response.done").await;
    let cancelled = events.pop().unwrap();
    assert_eq!(cancelled["response"]["status"], "cancelled");
    assert_eq!(
        cancelled["response"]["status_details"]["reason"],
        "turn_detected"
    );
    assert_eq!(cancelled["response"]["output"][0]["status"], "incomplete");
    assert!(kinds(&events).contains(&"input_audio_buffer.speech_started"));
    // The interrupting turn is answered by a response of its own.
    let events = client.until("response.done").await;
    assert_eq!(events.last().unwrap()["response"]["status"], "completed");
}

#[tokio::test]
async fn interrupt_response_off_lets_the_response_run() {
    let server = FakeOpenAi::builder()
        .reply(Reply::speech("a long story", 60_000).stalling_after_ms(500))
        .start()
        .await
        .unwrap();
    let input = json!({"turn_detection": {"type": "server_vad", "interrupt_response": false}});
    let mut client = Client::configured(&server, input).await;
    client.send(json!({"type": "response.create"})).await;
    client.say(300).await;
    let events = client.until("input_audio_buffer.committed").await;
    assert!(!kinds(&events).contains(&"response.done"));
    client.send(json!({"type": "response.cancel"})).await;
    let done = client.until("response.done").await.pop().unwrap();
    assert_eq!(
        done["response"]["status_details"]["reason"],
        "client_cancelled"
    );
}

#[tokio::test]
async fn text_output_has_text_events_only() {
    let server = FakeOpenAi::start().await.unwrap();
    let mut client = Client::connect(&server).await;
    client
        .send(json!({"type": "session.update", "session": {"type": "realtime", "output_modalities": ["text"]}}))
        .await;
    client.until("session.updated").await;
    client
        .send(
            json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
            "content": [{"type": "input_text", "text": "hi there"}]}}),
        )
        .await;
    client.send(json!({"type": "response.create"})).await;
    let events = client.until("response.done").await;
    assert_eq!(
        text_of(&events, "response.output_text.delta"),
        "You wrote: hi there"
    );
    assert!(audio_of(&events).is_empty());
    let part = of_kind(&events, "response.content_part.added")[0];
    assert_eq!(part["part"]["type"], "text");
    let done = events.last().unwrap();
    assert_eq!(
        done["response"]["output"][0]["content"][0]["type"],
        "output_text"
    );
}

#[tokio::test]
async fn out_of_band_responses_run_beside_the_conversation() {
    let server = FakeOpenAi::builder()
        .reply(Reply::speech("busy", 60_000).stalling_after_ms(100))
        .reply(Reply::speech("aside", 100))
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    client.send(json!({"type": "response.create"})).await;
    client.until("response.output_audio.delta").await;
    client
        .send(
            json!({"type": "response.create", "response": {"conversation": "none",
            "output_modalities": ["text"], "metadata": {"topic": "classify"}}}),
        )
        .await;
    let events = client.until("response.done").await;
    let created = &of_kind(&events, "response.created")[0]["response"];
    assert_eq!(created["conversation_id"], Value::Null);
    assert_eq!(created["metadata"]["topic"], "classify");
    let done = &events.last().unwrap()["response"];
    assert_eq!(done["id"], created["id"]);
    assert!(!kinds(&events).contains(&"conversation.item.added"));
    client
        .send(json!({"type": "response.cancel", "response_id": "resp_none"}))
        .await;
    let error = client.until("error").await.pop().unwrap();
    assert_eq!(error["error"]["code"], "response_cancel_not_active");
}

#[tokio::test]
async fn scripted_endings_reach_response_done() {
    let server = FakeOpenAi::builder()
        .reply(Reply::silence())
        .reply(Reply::failed("insufficient_quota"))
        .reply(Reply::incomplete("cut", 200, "max_output_tokens"))
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    client.send(json!({"type": "response.create"})).await;
    client.send(json!({"type": "response.create"})).await;
    let events = client.until("response.done").await;
    assert_eq!(kinds(&events), ["response.created", "response.done"]);
    let failed = &events[1]["response"];
    assert_eq!(failed["status"], "failed");
    assert_eq!(
        failed["status_details"]["error"]["code"],
        "insufficient_quota"
    );
    client.send(json!({"type": "response.create"})).await;
    let done = client.until("response.done").await.pop().unwrap();
    assert_eq!(done["response"]["status"], "incomplete");
    assert_eq!(
        done["response"]["status_details"]["reason"],
        "max_output_tokens"
    );
    assert_eq!(done["response"]["output"][0]["status"], "incomplete");
}

#[tokio::test]
async fn items_go_where_they_are_put_and_come_back_with_audio() {
    let server = FakeOpenAi::start().await.unwrap();
    let mut client = Client::configured(&server, json!({"turn_detection": null})).await;
    let message = |id: &str, text: &str| {
        json!({"id": id, "type": "message", "role": "user",
            "content": [{"type": "input_text", "text": text}]})
    };
    client
        .send(json!({"type": "conversation.item.create", "item": message("m2", "second")}))
        .await;
    client.until("conversation.item.done").await;
    client
        .send(
            json!({"type": "conversation.item.create", "previous_item_id": "root",
            "item": message("m1", "first")}),
        )
        .await;
    let done = client.until("conversation.item.done").await.pop().unwrap();
    assert_eq!(done["previous_item_id"], Value::Null);
    client
        .send(
            json!({"type": "conversation.item.create", "previous_item_id": "m2",
            "item": message("m3", "third")}),
        )
        .await;
    let done = client.until("conversation.item.done").await.pop().unwrap();
    assert_eq!(done["previous_item_id"], "m2");
    client.append(&tone(100), 48).await;
    client
        .send(json!({"type": "input_audio_buffer.commit"}))
        .await;
    let committed = client.until("conversation.item.done").await;
    assert_eq!(committed[0]["previous_item_id"], "m3");
    client
        .send(json!({"type": "conversation.item.retrieve", "item_id": committed[0]["item_id"]}))
        .await;
    let item = client
        .until("conversation.item.retrieved")
        .await
        .pop()
        .unwrap();
    assert_eq!(
        item["item"]["content"][0]["audio"],
        STANDARD.encode(tone(100))
    );
    client
        .send(json!({"type": "conversation.item.delete", "item_id": "m1"}))
        .await;
    let deleted = client
        .until("conversation.item.deleted")
        .await
        .pop()
        .unwrap();
    assert_eq!(deleted["item_id"], "m1");
}

#[tokio::test]
async fn a_response_that_still_runs_can_be_cancelled_and_truncated() {
    let server = FakeOpenAi::builder()
        .reply(Reply::speech("one two three", 5000).stalling_after_ms(400))
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    client.send(json!({"type": "response.create"})).await;
    let events = client.until("response.output_audio.delta").await;
    let item = events.last().unwrap()["item_id"].clone();
    let truncate = json!({"type": "conversation.item.truncate", "item_id": item,
        "content_index": 0, "audio_end_ms": 80});
    client.send(truncate.clone()).await;
    client.until("conversation.item.truncated").await;
    client.send(json!({"type": "response.cancel"})).await;
    let done = client.until("response.done").await;
    let closing = of_kind(&done, "conversation.item.done")[0];
    assert_eq!(closing["item"]["status"], "incomplete");
    client.send(truncate).await;
    client.until("conversation.item.truncated").await;
    client
        .send(json!({"type": "conversation.item.retrieve", "item_id": item}))
        .await;
    let kept = client
        .until("conversation.item.retrieved")
        .await
        .pop()
        .unwrap();
    assert_eq!(kept["item"]["content"][0]["transcript"], Value::Null);
    let audio = kept["item"]["content"][0]["audio"].as_str().unwrap();
    assert_eq!(STANDARD.decode(audio).unwrap().len(), 80 * 48);
}
