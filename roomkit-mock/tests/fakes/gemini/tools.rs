//! Function calls of the fake Gemini server.

use roomkit_mock::fake_gemini::{FakeGemini, Reply, Speaker};
use serde_json::{Value, json};

use crate::raw_client::gemini::{
    Client, MODEL_25, VERTEX_MODEL, agent, call_ids, first, response, shape, text_of, tool_response,
};

async fn with(replies: Vec<Reply>) -> FakeGemini {
    let mut builder = FakeGemini::builder().noise(false);
    for reply in replies {
        builder = builder.reply(reply);
    }
    builder.start().await.unwrap()
}

fn look() -> Reply {
    Reply::tool_call("look", json!({"city": "Oslo"}))
}

fn search() -> Reply {
    Reply::tool_call("search", json!({"for": "cats"}))
}

async fn ask(client: &mut Client) {
    client.realtime(json!({"text": "go"})).await;
}

#[tokio::test]
async fn a_blocking_call_holds_the_turn_until_its_result() {
    let server = with(vec![Reply::speech_then_tool(
        "One moment.",
        200,
        "look",
        json!({}),
    )])
    .await;
    let mut client = Client::connect(&server).await;
    ask(&mut client).await;
    let messages = client.until("toolCall").await;
    assert_eq!(shape(&messages), ["modelTurn", "toolCall"]);
    let id = call_ids(&messages).pop().unwrap();
    client
        .send(tool_response(&[response(&id, "look", "3 degrees")]))
        .await;
    let messages = client.until("sessionResumptionUpdate").await;
    assert_eq!(
        shape(&messages),
        [
            "modelTurn",
            "generationComplete",
            "turnComplete",
            "sessionResumptionUpdate"
        ]
    );
    assert_eq!(
        text_of(&messages, "outputTranscription"),
        "The tool said: 3 degrees"
    );
    let connection = first(&server).await;
    assert_eq!(connection.violations(), []);
    let speakers: Vec<Speaker> = connection
        .conversation()
        .iter()
        .map(|turn| turn.speaker)
        .collect();
    assert_eq!(
        speakers,
        [Speaker::User, Speaker::Model, Speaker::Tool, Speaker::Model]
    );
}

#[tokio::test]
async fn several_calls_want_all_their_results_in_any_order_and_frame() {
    let reply = look()
        .with_call_id("a")
        .and_tool_call("look", json!({"city": "Rome"}))
        .with_call_id("b")
        .then_tool_call("look", json!({"city": "Bern"}))
        .with_call_id("c");
    let server = with(vec![reply]).await;
    let mut client = Client::connect(&server).await;
    ask(&mut client).await;
    let mut messages = client.until("toolCall").await;
    assert_eq!(call_ids(&messages), ["a", "b"]);
    messages = client.until("toolCall").await;
    assert_eq!(
        messages[0]["toolCall"]["functionCalls"][0]["args"]["city"],
        "Bern"
    );
    client
        .send(tool_response(&[response("c", "look", "third")]))
        .await;
    let both = [response("b", "look", "second"), response("a", "", "first")];
    client.send(tool_response(&both)).await;
    let messages = client.until("turnComplete").await;
    let said = text_of(&messages, "outputTranscription");
    assert_eq!(said, "The tool said: third, second, first");
}

#[tokio::test]
async fn repeated_calls_have_ids_of_their_own() {
    let server = with(vec![look().repeating_calls()]).await;
    let mut client = Client::connect(&server).await;
    ask(&mut client).await;
    let mut messages = client.until("toolCall").await;
    messages.extend(client.until("toolCall").await);
    let ids = call_ids(&messages);
    assert_ne!(ids[0], ids[1]);
    let call = |index: usize| messages[index]["toolCall"]["functionCalls"][0]["args"].clone();
    assert_eq!(call(0), call(1));
    for id in &ids {
        client
            .send(tool_response(&[response(id, "look", "x")]))
            .await;
    }
    client.until("turnComplete").await;
}

#[tokio::test]
async fn speech_cancels_a_blocking_call() {
    let server = with(vec![look().with_call_id("gone")]).await;
    let mut client = Client::configured(&server, agent(MODEL_25)).await;
    ask(&mut client).await;
    client.until("toolCall").await;
    client.say(300).await;
    let messages = client.until("turnComplete").await;
    assert_eq!(
        messages[0],
        json!({"toolCallCancellation": {"ids": ["gone"]}})
    );
    assert_eq!(shape(&messages)[1..], ["interrupted", "turnComplete"]);
    client
        .send(tool_response(&[response("gone", "look", "late")]))
        .await;
    let connection = first(&server).await;
    let violation = connection.wait_for_violation().await.unwrap();
    assert_eq!(
        violation.message,
        "response to call 'gone', which was cancelled"
    );
    assert_eq!(violation.code, None);
    let messages = client.until("turnComplete").await;
    let said = text_of(&messages, "outputTranscription");
    assert_eq!(said, "You said: hello from the caller");
}

#[tokio::test]
async fn responses_to_nothing_are_noticed() {
    let server = with(vec![look().with_call_id("one")]).await;
    let mut client = Client::connect(&server).await;
    ask(&mut client).await;
    client.until("toolCall").await;
    client
        .send(tool_response(&[response("other", "look", "x")]))
        .await;
    client
        .send(tool_response(&[response("one", "peek", "x")]))
        .await;
    client.until("turnComplete").await;
    client
        .send(tool_response(&[response("one", "look", "x")]))
        .await;
    ask(&mut client).await;
    client.until("turnComplete").await;
    let violations = first(&server).await.violations();
    let messages: Vec<&str> = violations.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "response to call 'other', which is unknown",
            "response named 'peek' to a call of 'look'",
            "response to call 'one', which was answered already",
        ]
    );
    for bad in [
        json!({"name": "look", "response": {}}),
        json!({"id": "one", "name": "look"}),
        json!({"id": "one", "response": {}, "scheduling": "SOON"}),
    ] {
        let client = Client::connect(&server).await;
        assert_eq!(client.refused(tool_response(&[bad])).await.0, 1007);
    }
    let client = Client::connect(&server).await;
    let text = json!({"id": "one", "response": "3 degrees"});
    let (_, reason) = client.refused(tool_response(&[text])).await;
    assert!(reason.starts_with("Invalid value at 'tool_response.function_responses[0].response'"));
}

#[tokio::test]
async fn a_call_that_does_not_block_lets_the_model_go_on() {
    let reply = search().with_call_id("s").then_speech("Meanwhile", 200);
    let server = with(vec![reply]).await;
    let mut client = Client::connect(&server).await;
    ask(&mut client).await;
    let messages = client.until("turnComplete").await;
    assert_eq!(
        shape(&messages),
        [
            "toolCall",
            "modelTurn",
            "generationComplete",
            "turnComplete"
        ]
    );
    let status = &messages.last().unwrap()["serverContent"]["interactionStatus"];
    assert_eq!(status, "IN_PROGRESS");
    // In a tool call there is nothing to resume.
    assert!(first(&server).await.handles().is_empty());
    client
        .send(tool_response(&[response("s", "search", "cats")]))
        .await;
    let messages = client.until("turnComplete").await;
    assert_eq!(
        text_of(&messages, "outputTranscription"),
        "The tool said: cats"
    );
    assert_eq!(
        messages.last().unwrap()["serverContent"]["interactionStatus"],
        "IDLE"
    );
}

#[tokio::test]
async fn scheduling_says_when_the_model_speaks_of_a_result() {
    let scheduled = |how: &str| {
        let mut one = response("s", "search", "cats");
        one["scheduling"] = Value::from(how);
        tool_response(&[one])
    };
    let long = || search().with_call_id("s").then_speech("a long story", 1600);
    let stalled = || long().stalling_after_ms(400);
    let server = with(vec![stalled()]).await;
    let mut client = Client::connect(&server).await;
    ask(&mut client).await;
    client.until("modelTurn").await;
    client.send(scheduled("INTERRUPT")).await;
    let messages = client.until("turnComplete").await;
    assert!(shape(&messages).contains(&"interrupted".to_owned()));
    let messages = client.until("turnComplete").await;
    assert_eq!(
        text_of(&messages, "outputTranscription"),
        "The tool said: cats"
    );

    server.queue_reply(long());
    let mut client = Client::connect(&server).await;
    ask(&mut client).await;
    client.until("modelTurn").await;
    client.send(scheduled("WHEN_IDLE")).await;
    let messages = client.until("turnComplete").await;
    assert!(!shape(&messages).contains(&"interrupted".to_owned()));
    let messages = client.until("turnComplete").await;
    assert_eq!(
        text_of(&messages, "outputTranscription"),
        "The tool said: cats"
    );

    server.queue_reply(search().with_call_id("s"));
    let mut client = Client::connect(&server).await;
    ask(&mut client).await;
    client.until("turnComplete").await;
    client.send(scheduled("SILENT")).await;
    assert_eq!(client.until("sessionResumptionUpdate").await.len(), 1);
    ask(&mut client).await;
    let messages = client.until("turnComplete").await;
    assert_eq!(text_of(&messages, "outputTranscription"), "You wrote: go");
    let last = server.wait_for_connection(2).await.unwrap();
    let turns = last.conversation();
    assert!(turns.iter().any(|turn| turn.speaker == Speaker::Tool));
}

#[tokio::test]
async fn results_may_come_in_parts() {
    let server = with(vec![search().with_call_id("s")]).await;
    let mut client = Client::connect(&server).await;
    ask(&mut client).await;
    client.until("turnComplete").await;
    for (part, more) in [("one", true), ("two", false)] {
        let mut response = response("s", "search", part);
        response["willContinue"] = Value::from(more);
        client.send(tool_response(&[response])).await;
        let messages = client.until("turnComplete").await;
        let said = text_of(&messages, "outputTranscription");
        assert_eq!(said, format!("The tool said: {part}"));
    }
    assert_eq!(first(&server).await.violations(), []);
}

#[tokio::test]
async fn a_turn_may_complete_before_the_result() {
    let server = with(vec![look().with_call_id("l").completing_before_result()]).await;
    let mut client = Client::connect(&server).await;
    ask(&mut client).await;
    let messages = client.until("turnComplete").await;
    assert_eq!(messages[0]["toolCall"]["functionCalls"][0]["id"], "l");
    client
        .send(tool_response(&[response("l", "look", "3 degrees")]))
        .await;
    let messages = client.until("turnComplete").await;
    assert_eq!(
        text_of(&messages, "outputTranscription"),
        "The tool said: 3 degrees"
    );
}

#[tokio::test]
async fn speech_after_a_blocking_call_waits_for_it() {
    let reply = look().with_call_id("l").then_speech("It is cold.", 200);
    let server = with(vec![reply]).await;
    let mut client = Client::connect(&server).await;
    ask(&mut client).await;
    assert_eq!(client.until("toolCall").await.len(), 1);
    client
        .send(tool_response(&[response("l", "look", "3 degrees")]))
        .await;
    let messages = client.until("turnComplete").await;
    assert_eq!(text_of(&messages, "outputTranscription"), "It is cold.");
}

#[tokio::test]
async fn without_ids_responses_go_by_name() {
    let server = FakeGemini::builder()
        .omit_call_ids(true)
        .reply(look())
        .start()
        .await
        .unwrap();
    let bearer = ("authorization", "Bearer t");
    let mut client = Client::dial_at(server.vertex_url(), &[bearer]).await;
    client.set_up(agent(VERTEX_MODEL)).await;
    ask(&mut client).await;
    let messages = client.until("toolCall").await;
    let call = &messages.last().unwrap()["toolCall"]["functionCalls"][0];
    assert_eq!(call.get("id"), None);
    let response = json!({"name": "look", "response": {"output": "fine"}});
    client.send(tool_response(&[response])).await;
    let messages = client.until("turnComplete").await;
    assert_eq!(
        text_of(&messages, "outputTranscription"),
        "The tool said: fine"
    );
    assert_eq!(first(&server).await.violations(), []);
}
