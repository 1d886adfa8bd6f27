//! Contract H1: a new connection is told what was said and done before it.

use roomkit_core::provider::{
    HistoryItem, HistorySupport, ProviderCommand, ProviderErrorKind, ProviderEvent,
    RealtimeVoiceProvider, Role, SessionSetup,
};
use roomkit_mock::fake_openai::{FakeOpenAi, Reply};
use roomkit_provider_openai::{
    OpenAIConfig, OpenAIRealtimeProvider, OpenAISessionConfig, protocol::replay,
};
use serde_json::{Value, json};

use crate::support::{KEY, Server, next, setup};

fn said(role: Role, text: &str) -> HistoryItem {
    HistoryItem::Message {
        role,
        text: text.into(),
    }
}

fn call(id: &str, name: &str, arguments: &str) -> HistoryItem {
    HistoryItem::ToolCall {
        call_id: id.into(),
        name: name.into(),
        arguments: arguments.into(),
    }
}

fn result(id: &str, output: &str) -> HistoryItem {
    HistoryItem::ToolResult {
        call_id: id.into(),
        name: "get_weather".into(),
        output: output.into(),
        is_error: false,
    }
}

fn with_history(history: Vec<HistoryItem>) -> SessionSetup {
    let mut setup = setup();
    setup.history = history;
    setup
}

fn items(history: &[HistoryItem]) -> Vec<Value> {
    let frames = replay(history).unwrap();
    let events = frames.iter().map(|frame| {
        let mut event: Value = serde_json::from_str(frame).unwrap();
        assert_eq!(event["type"], "conversation.item.create");
        event["item"].take()
    });
    events.collect()
}

fn start(server: &FakeOpenAi) -> OpenAIRealtimeProvider {
    OpenAIRealtimeProvider::new(OpenAIConfig {
        api_key: Some(KEY.into()),
        base_url: server.url(),
        ..OpenAIConfig::default()
    })
    .unwrap()
}

#[test]
fn h6_it_says_what_it_can_take_up() {
    let capabilities = OpenAISessionConfig::default().capabilities();
    assert_eq!(capabilities.history, HistorySupport::Full);
    assert!(capabilities.overlaps && capabilities.pings && !capabilities.resumes);
    assert_eq!(capabilities.catch_up, 4);
}

#[test]
fn h1_history_becomes_items_in_its_order() {
    let history = [
        said(Role::System, "The caller is a VIP."),
        said(Role::User, "Weather in \"Oslo\"?"),
        call("c1", "get_weather", r#"{"city":"Oslo"}"#),
        result("c1", r#"{"temp_c":3}"#),
        said(Role::Assistant, "Three degrees."),
        call("c2", "book", "{}"),
    ];
    let expected = [
        json!({ "type": "message", "role": "system",
            "content": [{ "type": "input_text", "text": "The caller is a VIP." }] }),
        json!({ "type": "message", "role": "user",
            "content": [{ "type": "input_text", "text": "Weather in \"Oslo\"?" }] }),
        json!({ "type": "function_call", "call_id": "c1", "name": "get_weather",
            "arguments": "{\"city\":\"Oslo\"}" }),
        json!({ "type": "function_call_output", "call_id": "c1", "output": "{\"temp_c\":3}" }),
        json!({ "type": "message", "role": "assistant",
            "content": [{ "type": "output_text", "text": "Three degrees." }] }),
        json!({ "type": "function_call", "call_id": "c2", "name": "book", "arguments": "{}" }),
    ];
    assert_eq!(items(&history), expected);
}

#[test]
fn h1_what_the_vendor_would_refuse_is_left_out_or_mended() {
    let long = "é".repeat(20_000);
    let history = [
        said(Role::User, "  \n"),
        said(Role::User, &long),
        result("c1", "too early"),
        call("", "get_weather", "{}"),
        call("c0", "", "{}"),
        result("c0", "{}"),
        call("c1", "get_weather", ""),
        call("c1", "get_weather", "{}"),
        result("c1", ""),
        result("c1", "again"),
        call("c1", "get_weather", "{}"),
        call("c2", "get_weather", &format!("{{\"a\":\"{long}\"}}")),
        result("c2", &long),
    ];
    let items = items(&history);
    let kinds: Vec<_> = items.iter().map(|item| &item["type"]).collect();
    assert_eq!(
        kinds,
        [
            "message",
            "function_call",
            "function_call_output",
            "function_call",
            "function_call_output"
        ]
    );
    for text in [&items[0]["content"][0]["text"], &items[4]["output"]] {
        assert_eq!(text, &long, "how much is told is the engine's to say");
    }
    assert_eq!(items[1]["arguments"], "{}");
    assert_eq!(items[2]["output"], "{}");
    assert_eq!(items[3]["arguments"], format!("{{\"a\":\"{long}\"}}"));
}

#[tokio::test]
async fn h1_k2_a_conversation_goes_on_and_a_late_result_finds_its_call() {
    let server = FakeOpenAi::builder()
        .api_key(KEY)
        .reply(Reply::speech("Booked.", 100))
        .start()
        .await
        .unwrap();
    let provider = start(&server);
    let history = vec![
        said(Role::User, "Book it."),
        call("c1", "get_weather", "{}"),
        result("c1", "fine"),
        call("c2", "book", "{}"),
    ];
    let mut connection = provider.connect(with_history(history)).await.unwrap();
    let peer = server.wait_for_connection(0).await.unwrap();
    peer.wait_for_sent("conversation.item.done", 4)
        .await
        .unwrap();
    assert_eq!(peer.sent("response.created"), 0, "nothing was asked for");
    let result = ProviderCommand::ToolResult {
        call_id: "c2".into(),
        name: "book".into(),
        output: "done".into(),
        is_error: false,
    };
    connection.sink.send(result).await.unwrap();
    connection
        .sink
        .send(ProviderCommand::Respond)
        .await
        .unwrap();
    loop {
        match next(&mut connection).await {
            ProviderEvent::ResponseEnded { .. } => break,
            ProviderEvent::Error(error) => panic!("{error}"),
            ProviderEvent::ToolCall { .. } => panic!("a call of the history is not made again"),
            _ => {}
        }
    }
    assert_eq!(peer.violations(), []);
}

#[tokio::test]
async fn h1_a_long_history_does_not_block_the_line() {
    let server = FakeOpenAi::builder().api_key(KEY).start().await.unwrap();
    let provider = start(&server);
    let history = (0..1_000)
        .map(|_| said(Role::User, &"word ".repeat(200)))
        .collect();
    let connection = provider.connect(with_history(history)).await.unwrap();
    let peer = server.wait_for_connection(0).await.unwrap();
    let mut connection = connection;
    connection.sink.send(ProviderCommand::Ping).await.unwrap();
    assert_eq!(next(&mut connection).await, ProviderEvent::Pong);
    assert_eq!(peer.sent("conversation.item.done"), 1_000);
    assert_eq!(peer.violations(), []);
}

#[tokio::test]
async fn h1_an_item_that_is_refused_is_told_and_the_connection_lives() {
    let server = Server::bind().await;
    let provider = server.provider();
    let history = vec![said(Role::User, "one"), said(Role::User, "two")];
    let script = async {
        let mut peer = server.accept().await;
        peer.greet().await;
        let first = peer.receive().await;
        let error = json!({ "type": "invalid_request_error", "code": "invalid_value",
            "message": "No.", "param": "item", "event_id": first["event_id"] });
        peer.send(json!({ "type": "error", "error": error })).await;
        assert_eq!(peer.receive().await["item"]["content"][0]["text"], "two");
        peer.send(json!({ "type": "response.created", "response": { "id": "r" } }))
            .await;
        peer
    };
    let (_peer, connection) = tokio::join!(script, provider.connect(with_history(history)));
    let mut connection = connection.unwrap();
    let ProviderEvent::Error(error) = next(&mut connection).await else {
        panic!("not told");
    };
    assert_eq!(error.kind(), ProviderErrorKind::InvalidRequest);
    assert!(matches!(
        next(&mut connection).await,
        ProviderEvent::ResponseStarted { .. }
    ));
}

#[tokio::test]
async fn h3_a_vendor_that_has_enough_of_the_history_is_believed_why() {
    let server = Server::bind().await;
    let provider = server.provider();
    let script = async {
        let mut peer = server.accept().await;
        peer.greet().await;
        // The history is left unread.
        let error = json!({ "type": "insufficient_quota", "code": "insufficient_quota",
            "message": "You exceeded your current quota." });
        peer.send(json!({ "type": "error", "error": error })).await;
        peer.close(1000, "").await;
        peer
    };
    // More than the system's buffers hold.
    let long = "A".repeat(100_000);
    let history = vec![said(Role::User, &long); 200];
    let (_peer, connection) = tokio::join!(script, provider.connect(with_history(history)));
    let error = connection.map(|_| ()).unwrap_err();
    let of = (error.kind(), error.code());
    assert_eq!(
        of,
        (ProviderErrorKind::Quota, "insufficient_quota"),
        "{error}"
    );
}
