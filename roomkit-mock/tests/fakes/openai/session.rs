//! The handshake and the session of the fake `OpenAI` server: what is refused, and how.

use roomkit_mock::fake_openai::FakeOpenAi;
use serde_json::{Value, json};

use crate::raw_client::{Client, KEY, Next, first};

/// Query, headers, the error's code, the close code, and what follows the type in its reason.
type Handshake<'a> = (&'a str, &'a [(&'static str, &'a str)], Value, u16, &'a str);

async fn connected() -> (FakeOpenAi, Client) {
    let server = FakeOpenAi::start().await.unwrap();
    let client = Client::connect(&server).await;
    (server, client)
}

#[tokio::test]
async fn handshake_failures_answer_101_then_an_error_then_a_close() {
    let beta = ("openai-beta", "realtime=v1");
    let wrong = ("authorization", "Bearer sk-wrong-key-000000");
    let cases: [Handshake<'_>; 8] = [
        ("?model=gpt-realtime", &[], Value::Null, 3000, ""),
        (
            "?model=gpt-realtime",
            &[wrong],
            json!("invalid_api_key"),
            3000,
            ".invalid_api_key",
        ),
        ("", &[KEY], json!("missing_model"), 4000, ".missing_model"),
        (
            "?model=gpt-4o",
            &[KEY],
            json!("invalid_model"),
            4000,
            ".invalid_model",
        ),
        (
            "?model=gpt-4o-realtime-preview",
            &[KEY],
            json!("invalid_model"),
            4000,
            ".invalid_model",
        ),
        (
            "?model=gpt-realtime",
            &[KEY, beta],
            json!("beta_api_shape_disabled"),
            4000,
            ".beta_api_shape_disabled",
        ),
        (
            "?intent=chat",
            &[KEY],
            json!("invalid_intent"),
            4000,
            ".invalid_intent",
        ),
        (
            "?intent=transcription&model=whisper-1",
            &[KEY],
            json!("invalid_model"),
            4000,
            ".invalid_model",
        ),
    ];
    let server = FakeOpenAi::builder()
        .api_key("sk-test-0123456789")
        .start()
        .await
        .unwrap();
    for (query, headers, code, close_code, reason) in cases {
        let mut client = Client::dial(&server, query, headers).await.unwrap();
        let error = client.event().await;
        assert_eq!(error["type"], "error", "{query}");
        assert_eq!(error["error"]["code"], code, "{query}");
        let expected = Next::Closed {
            code: close_code,
            reason: format!("invalid_request_error{reason}"),
        };
        assert_eq!(client.next().await, expected, "{query}");
    }
    assert_eq!(server.violations().len(), 8);
    let masked = &server.violations()[1].message;
    assert!(!masked.contains("wrong-key"), "{masked}");
    assert_eq!(
        server.connections()[5].request().header("openai-beta"),
        Some("realtime=v1")
    );
}

#[tokio::test]
async fn a_wrong_path_is_a_404() {
    let server = FakeOpenAi::start().await.unwrap();
    let error = Client::dial(&server, "/sessions?model=gpt-realtime", &[KEY])
        .await
        .err()
        .unwrap();
    assert!(error.to_string().contains("404"), "{error}");
}

#[tokio::test]
async fn unknown_parameters_are_named_with_their_path() {
    let (_server, mut client) = connected().await;
    let function = json!({"type": "function", "name": "f", "strict": true});
    let nested = json!({"type": "function", "function": {"name": "f"}});
    for (session, param) in [
        (json!({"bogus_field": 1}), "session.bogus_field"),
        (json!({"temperature": 0.8}), "session.temperature"),
        (json!({"voice": "marin"}), "session.voice"),
        (json!({"audio": {"both": {}}}), "session.audio.both"),
        (
            json!({"audio": {"input": {"rate": 1}}}),
            "session.audio.input.rate",
        ),
        (
            json!({"audio": {"input": {"turn_detection": {"type": "semantic_vad", "threshold": 1}}}}),
            "session.audio.input.turn_detection.threshold",
        ),
        (
            json!({"audio": {"input": {"format": {"type": "audio/pcmu", "rate": 8000}}}}),
            "session.audio.input.format.rate",
        ),
        (json!({"tools": [function]}), "session.tools[0].strict"),
        (json!({"tools": [nested]}), "session.tools[0].function"),
    ] {
        let mut session = session;
        session["type"] = json!("realtime");
        let error = client.update_refused(session).await;
        assert_eq!(error["code"], "unknown_parameter", "{param}");
        assert_eq!(error["param"], param);
    }
    for (event, param) in [
        (
            json!({"type": "input_audio_buffer.append", "audio": "AAAA", "x": 1}),
            "x",
        ),
        (
            json!({"type": "input_audio_buffer.commit", "final": true}),
            "final",
        ),
        (
            json!({"type": "response.create", "response": {"modalities": []}}),
            "response.modalities",
        ),
        (
            json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
                "content": [{"type": "input_text", "text": "a", "lang": "en"}]}}),
            "item.content[0].lang",
        ),
    ] {
        let error = client.refused(event).await;
        assert_eq!(error["code"], "unknown_parameter", "{param}");
        assert_eq!(error["param"], param);
    }
}

#[tokio::test]
async fn values_are_checked() {
    let (_server, mut client) = connected().await;
    let input = |value: Value| json!({"audio": {"input": value}});
    let output = |value: Value| json!({"audio": {"output": value}});
    for (session, code, param) in [
        (
            input(json!({"format": {"type": "audio/pcm", "rate": 16000}})),
            "integer_below_min_value",
            "session.audio.input.format.rate",
        ),
        (
            input(json!({"format": {"type": "audio/pcm", "rate": 48000}})),
            "integer_above_max_value",
            "session.audio.input.format.rate",
        ),
        (
            input(json!({"format": {"type": "audio/pcm"}})),
            "missing_required_parameter",
            "session.audio.input.format.rate",
        ),
        (
            input(json!({"format": "pcm16"})),
            "invalid_type",
            "session.audio.input.format",
        ),
        (
            input(json!({"turn_detection": {"type": "server_vad", "threshold": 2}})),
            "decimal_above_max_value",
            "session.audio.input.turn_detection.threshold",
        ),
        (
            input(json!({"transcription": {"model": "gpt-realtime-whisper"}})),
            "invalid_value",
            "session.audio.input.turn_detection",
        ),
        (
            output(json!({"voice": "nobody"})),
            "invalid_value",
            "session.audio.output.voice",
        ),
        (
            output(json!({"speed": 2})),
            "decimal_above_max_value",
            "session.audio.output.speed",
        ),
        (
            json!({"output_modalities": ["audio", "text"]}),
            "invalid_value",
            "session.output_modalities",
        ),
        (
            json!({"instructions": 5}),
            "invalid_type",
            "session.instructions",
        ),
        (
            json!({"max_output_tokens": 5000}),
            "integer_above_max_value",
            "session.max_output_tokens",
        ),
        (
            json!({"tool_choice": "maybe"}),
            "invalid_value",
            "session.tool_choice",
        ),
        (
            json!({"model": "gpt-realtime-mini"}),
            "invalid_value",
            "session.model",
        ),
        (
            json!({"tools": [{"type": "function"}]}),
            "missing_required_parameter",
            "session.tools[0].name",
        ),
        (
            json!({"type": "transcription"}),
            "invalid_value",
            "session.type",
        ),
    ] {
        let mut session = session;
        if session["type"].is_null() {
            session["type"] = json!("realtime");
        }
        let error = client.update_refused(session.clone()).await;
        assert_eq!(error["code"], code, "{session}");
        assert_eq!(error["param"], param, "{session}");
    }
    let error = client.update_refused(json!({"instructions": "x"})).await;
    assert_eq!(error["code"], "missing_required_parameter");
    assert_eq!(error["param"], "session.type");
}

#[tokio::test]
async fn one_bad_field_rejects_the_whole_update() {
    let (server, mut client) = connected().await;
    client
        .update_refused(json!({"type": "realtime", "instructions": "new", "bogus": 1}))
        .await;
    assert_eq!(first(&server).await.session()["instructions"], "");
    client
        .send(json!({"type": "session.update", "session": {"type": "realtime", "instructions": "new"}}))
        .await;
    let updated = client.until("session.updated").await.pop().unwrap();
    assert_eq!(updated["session"]["instructions"], "new");
    assert_eq!(updated["session"]["audio"]["output"]["voice"], "alloy");
}

#[tokio::test]
async fn reasoning_needs_a_model_that_has_it() {
    let server = FakeOpenAi::start().await.unwrap();
    let mut old = Client::dial(&server, "?model=gpt-realtime", &[KEY])
        .await
        .unwrap();
    old.event().await;
    let update = json!({"type": "realtime", "reasoning": {"effort": "low"}});
    let error = old.update_refused(update.clone()).await;
    assert_eq!(error["param"], "session.reasoning");
    let mut new = Client::connect(&server).await;
    new.send(json!({"type": "session.update", "session": update}))
        .await;
    new.until("session.updated").await;
}

#[tokio::test]
async fn the_voice_is_locked_after_assistant_audio() {
    let (_server, mut client) = connected().await;
    let voice = |name: &str| json!({"type": "realtime", "audio": {"output": {"voice": name}}});
    client
        .send(json!({"type": "session.update", "session": voice("marin")}))
        .await;
    client.until("session.updated").await;
    client.send(json!({"type": "response.create"})).await;
    client.until("response.done").await;
    let error = client.update_refused(voice("cedar")).await;
    assert_eq!(error["code"], "cannot_update_voice");
    assert_eq!(error["param"], Value::Null);
    client
        .send(json!({"type": "session.update", "session": voice("marin")}))
        .await;
    client.until("session.updated").await;
}
