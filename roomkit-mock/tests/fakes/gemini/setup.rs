//! Getting in to the fake Gemini server: paths, credentials, `setup`.

use std::time::Duration;

use roomkit_mock::fake_gemini::FakeGemini;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::raw_client::Socket;
use crate::raw_client::gemini::{
    Client, INVALID, KEY, MODEL, VERTEX_MODEL, agent, first, kinds, refused, unknown, verdict, with,
};

const BAD_KEY: &str = "API key not valid. Please pass a valid API key.";

#[tokio::test]
async fn every_path_of_the_vendor_is_served_and_no_other() {
    let server = FakeGemini::start().await.unwrap();
    for url in [server.url(), server.alpha_url()] {
        assert!(verdict(url, agent(MODEL)).await.is_ok());
    }
    let complete = verdict(server.vertex_url(), agent(VERTEX_MODEL))
        .await
        .unwrap();
    assert!(complete["setupComplete"]["sessionId"].is_string());
    let wrong = format!("{}/v1/realtime", server.base_url());
    let Err(Error::Http(response)) = Socket::dial(wrong, &[KEY]).await else {
        panic!("a wrong path was served");
    };
    assert_eq!(response.status(), 404);
    server.refuse_upgrade(503);
    assert!(Socket::dial(server.url(), &[KEY]).await.is_err());
    assert_eq!(server.refused_upgrades(), 1);
}

#[tokio::test]
async fn credentials_are_refused_after_the_upgrade() {
    let server = FakeGemini::builder()
        .api_key("AIza/good")
        .token("auth_tokens/good")
        .start()
        .await
        .unwrap();
    let query = |url: String, pair: &str| format!("{url}?{pair}");
    let bad_key = Some((1007, BAD_KEY));
    let unregistered = Some((1008, "Method doesn't allow unregistered callers"));
    let (url, constrained, vertex) = (server.url(), server.constrained_url(), server.vertex_url());
    for (url, header, refusal) in [
        (url.clone(), ("x-goog-api-key", "AIza/good"), None),
        (query(url.clone(), "key=AIza%2Fgood"), ("x-a", "b"), None),
        (url.clone(), ("x-goog-api-key", "AIza/bad"), bad_key),
        (
            query(url.clone(), "key=auth_tokens/good"),
            ("x-a", "b"),
            bad_key,
        ),
        (url, ("x-a", "b"), unregistered),
        (
            constrained.clone(),
            ("authorization", "Token auth_tokens/good"),
            None,
        ),
        (
            query(constrained.clone(), "access_token=auth_tokens%2Fgood"),
            ("x-a", "b"),
            None,
        ),
        (
            constrained.clone(),
            ("authorization", "Token auth_tokens/bad"),
            unregistered,
        ),
        (constrained, ("x-goog-api-key", "AIza/good"), unregistered),
        (
            vertex.clone(),
            ("authorization", "Bearer auth_tokens/good"),
            None,
        ),
        (
            vertex.clone(),
            ("authorization", "Bearer other"),
            unregistered,
        ),
        (vertex.clone(), ("x-goog-api-key", "AIza/good"), None),
    ] {
        let mut client = Client::dial_at(url.clone(), &[header]).await;
        match refusal {
            None => {
                let model = if url == vertex { VERTEX_MODEL } else { MODEL };
                client.set_up(agent(model)).await;
            }
            Some((code, reason)) => {
                let closed = client.closed().await;
                assert_eq!(closed.0, code, "{url} {header:?}");
                assert!(closed.1.starts_with(reason), "{}", closed.1);
            }
        }
    }
    let refused = server.connections();
    let violation = &refused[2].violations()[0];
    assert_eq!(violation.code.as_deref(), Some("1007"));
    assert_eq!(violation.message, BAD_KEY);
}

#[tokio::test]
async fn setup_comes_first_and_once() {
    let server = FakeGemini::start().await.unwrap();
    let text = json!({"realtimeInput": {"text": "hi"}});
    let early = Client::dial(&server).await.refused(text.clone()).await;
    assert_eq!(early, (1007, INVALID.to_owned()));
    let again = Client::connect(&server)
        .await
        .refused(json!({"setup": agent(MODEL)}))
        .await;
    assert_eq!(again, (1007, INVALID.to_owned()));
    let said = "nothing but setup comes before setupComplete";
    assert!(server.violations()[0].message.contains(said));
    // Who does not wait for `setupComplete` is found out.
    let slow = FakeGemini::builder().setup_delay(Duration::from_secs(60));
    let server = slow.start().await.unwrap();
    let mut hasty = Client::dial(&server).await;
    hasty.send(json!({"setup": agent(MODEL)})).await;
    assert_eq!(hasty.refused(text).await, (1007, INVALID.to_owned()));
    assert!(server.violations()[0].message.contains(said));
}

#[tokio::test]
async fn both_spellings_are_read_and_recorded_as_one() {
    let server = FakeGemini::start().await.unwrap();
    let setup = json!({
        "model": MODEL,
        "generation_config": {"speech_config": {"voice_config": {"prebuilt_voice_config": {
            "voice_name": "Puck"}}}, "topK": 40.5, "seed": "7", "maxOutputTokens": null},
        "contextWindowCompression": {"trigger_tokens": 25600, "slidingWindow": {}}});
    let mut client = Client::dial(&server).await;
    let message = Message::binary(json!({"setup": setup}).to_string().into_bytes());
    client.socket.send(message).await;
    let complete = client.message().await;
    assert_eq!(kinds(&complete), ["setupComplete"]);
    let connection = first(&server).await;
    assert_eq!(
        connection.session(),
        json!({
            "model": MODEL,
            "generationConfig": {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {
                "voiceName": "Puck"}}}, "topK": 40.5, "seed": 7},
            "contextWindowCompression": {"triggerTokens": 25600, "slidingWindow": {}}})
    );
    let setup = connection
        .wait_for_event(|event| event.get("setup").is_some())
        .await;
    assert_eq!(setup.unwrap().kind(), "setup");
}

#[tokio::test]
async fn unknown_fields_and_wrong_types_are_named() {
    let server = FakeGemini::start().await.unwrap();
    let reason = refused(
        &server,
        with(agent(MODEL), "generationConfig.warmth", json!(1)),
    )
    .await;
    // A close frame holds 123 bytes of it.
    assert!(unknown("warmth", "setup.generation_config").starts_with(&reason));
    let violation = server.violations().pop().unwrap();
    assert_eq!(violation.param.as_deref(), Some("setup.generation_config"));
    let reason = refused(&server, with(agent(MODEL), "instructions", json!("x"))).await;
    assert_eq!(reason, unknown("instructions", "setup"));
    for (field, value, expected) in [
        (
            "model",
            json!(5),
            "Invalid value at 'setup.model' (TYPE_STRING), 5",
        ),
        (
            "systemInstruction",
            json!("be kind"),
            "Invalid value at 'setup.system_instruction' (a message), \"be kind\"",
        ),
        (
            "tools",
            json!({}),
            "Invalid value at 'setup.tools' (a list), {}",
        ),
        (
            "generationConfig.temperature",
            json!("warm"),
            "Invalid value at 'setup.generation_config.temperature' (TYPE_FLOAT), \"warm\"",
        ),
        (
            "generationConfig.seed",
            json!(1.5),
            "Invalid value at 'setup.generation_config.seed' (TYPE_INT32), 1.5",
        ),
        (
            "explicitVadSignal",
            json!(1),
            "Invalid value at 'setup.explicit_vad_signal' (TYPE_BOOL), 1",
        ),
    ] {
        assert_eq!(
            refused(&server, with(agent(MODEL), field, value)).await,
            expected
        );
    }
    let wrong = Client::dial(&server)
        .await
        .refused(json!({"config": {}}))
        .await;
    assert!(
        wrong
            .1
            .contains("Unknown name \"config\": Cannot find field.")
    );
    let mut broken = Client::dial(&server).await;
    broken.send_text("{nope").await;
    assert_eq!(broken.closed().await.0, 1007);
}

#[tokio::test]
async fn enums_voices_and_names_are_checked() {
    let server = FakeGemini::start().await.unwrap();
    let function = |function: Value| json!([{"functionDeclarations": [function]}]);
    for (field, value) in [
        (
            "generationConfig.responseModalities",
            json!(["AUDIO", "TEXT"]),
        ),
        ("generationConfig.responseModalities", json!(["TEXT"])),
        ("generationConfig.responseModalities", json!(["audio"])),
        ("generationConfig.mediaResolution", json!("LOW")),
        (
            "generationConfig.speechConfig.voiceConfig.prebuiltVoiceConfig.voiceName",
            json!("alloy"),
        ),
        ("realtimeInputConfig", json!({"activityHandling": "NEVER"})),
        (
            "realtimeInputConfig",
            json!({"automaticActivityDetection": {
            "startOfSpeechSensitivity": "LOW"}}),
        ),
        (
            "systemInstruction",
            json!({"parts": [{"text": "bell \u{7}"}]}),
        ),
        ("tools", function(json!({"name": "1st"}))),
        (
            "tools",
            function(json!({"name": "f", "behavior": "BLOCKS"})),
        ),
        (
            "tools",
            function(json!({"name": "f", "parameters": {"type": "text"}})),
        ),
        ("explicitVadSignal", json!(true)),
        ("sessionResumption", json!({"transparent": true})),
        ("sessionResumption", json!({"handle": "unheard of"})),
    ] {
        let reason = refused(&server, with(agent(MODEL), field, value.clone())).await;
        assert_eq!(reason, INVALID, "{field} {value}");
    }
    let schema =
        json!({"name": "f", "parameters": {"type": "object", "additionalProperties": false}});
    let reason = refused(&server, with(agent(MODEL), "tools", function(schema))).await;
    assert!(
        reason.contains("Unknown name \"additionalProperties\""),
        "{reason}"
    );
    // Taken, and of no use.
    let untyped = json!({"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {}}}});
    let setup = with(agent(MODEL), "tools", function(untyped));
    assert!(verdict(server.url(), setup).await.is_ok());
    let last = server.violations().pop().unwrap();
    assert_eq!(last.message, "property 'a' of tool 'f' has no type");
    assert_eq!(last.code, None);
}
