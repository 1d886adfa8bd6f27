//! What the models and services behind the fake Gemini server can and cannot do.

use std::time::Duration;

use roomkit_mock::fake_gemini::{Closure, FakeGemini};
use serde_json::{Value, json};

use crate::raw_client::gemini::{
    Client, INVALID, MODEL, MODEL_25, MODEL_31, VERTEX_MODEL, agent, first, refused, unknown,
    verdict, with,
};

#[tokio::test]
async fn unknown_and_retired_models_are_1008() {
    let server = FakeGemini::builder()
        .model("gemini-9-live")
        .start()
        .await
        .unwrap();
    for model in [
        "models/gemini-2.0-flash-live-001",
        "gemini-3.8-live",
        VERTEX_MODEL,
    ] {
        let (code, reason) = verdict(server.url(), agent(model)).await.unwrap_err();
        assert_eq!(code, 1008);
        assert!(reason.starts_with(&format!("{model} is not found for API version v1beta")[..40]));
    }
    assert!(verdict(server.vertex_url(), agent(MODEL)).await.is_err());
    assert!(
        verdict(server.url(), agent("models/gemini-9-live"))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn what_a_model_cannot_do_is_refused() {
    let server = FakeGemini::start().await.unwrap();
    let thinking =
        |model: &str, config: Value| with(agent(model), "generationConfig.thinkingConfig", config);
    let budget = json!({"thinkingBudget": 0});
    let level = json!({"thinkingLevel": "LOW"});
    let deep = "models/gemini-3.8-live-extended-thinking";
    let without_blocking = with(agent(deep), "tools", json!([]));
    for setup in [
        thinking(MODEL, level.clone()),
        thinking(MODEL_31, budget.clone()),
        thinking(MODEL_25, level.clone()),
        without_blocking.clone(),
        thinking(deep, level.clone()),
        with(
            agent(MODEL),
            "generationConfig.enableAffectiveDialog",
            json!(true),
        ),
        with(
            agent(MODEL),
            "generationConfig.translationConfig",
            json!({"targetLanguageCode": "fr"}),
        ),
        agent("models/gemini-3.5-live-translate-preview"),
    ] {
        assert_eq!(refused(&server, setup.clone()).await, INVALID, "{setup}");
    }
    let reason = refused(
        &server,
        with(
            agent(MODEL),
            "proactivity",
            json!({"proactiveAudio": false}),
        ),
    )
    .await;
    assert_eq!(reason, unknown("proactivity", "setup"));
    let affective = with(
        agent(MODEL_25),
        "generationConfig.enableAffectiveDialog",
        json!(true),
    );
    assert!(
        refused(&server, affective.clone())
            .await
            .contains("enableAffectiveDialog")
    );
    for (url, setup) in [
        (server.alpha_url(), affective),
        (server.url(), thinking(MODEL_25, budget)),
        (server.url(), thinking(MODEL_31, level.clone())),
        (
            server.url(),
            with(without_blocking, "generationConfig.thinkingConfig", level),
        ),
    ] {
        let verdict = verdict(url, setup.clone()).await;
        assert!(verdict.is_ok(), "{verdict:?} {setup}");
    }
}

#[tokio::test]
async fn vertex_has_fields_of_its_own() {
    let server = FakeGemini::start().await.unwrap();
    let vertex = with(
        agent(VERTEX_MODEL),
        "sessionResumption",
        json!({"transparent": true}),
    );
    let vertex = with(vertex, "explicitVadSignal", json!(true));
    assert!(verdict(server.vertex_url(), vertex).await.is_ok());
    let labels = with(agent(VERTEX_MODEL), "labels", json!({"a": "b"}));
    let (_, reason) = verdict(server.vertex_url(), labels).await.unwrap_err();
    assert_eq!(reason, unknown("labels", "setup"));
}

#[tokio::test]
async fn some_options_are_never_answered() {
    let server = FakeGemini::start().await.unwrap();
    let setup = with(
        agent(MODEL_31),
        "generationConfig.enableAffectiveDialog",
        json!(true),
    );
    let mut client = Client::dial(&server).await;
    client.send(json!({"setup": setup})).await;
    let connection = first(&server).await;
    connection
        .wait_for_event(|event| event.get("setup").is_some())
        .await
        .unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(50), client.next()).await;
    assert!(silence.is_err());
    connection.close(1000, "");
    let closure = connection.wait_for_close().await.unwrap();
    assert!(matches!(closure, Closure::ByServer { code: 1000, .. }));
    assert_eq!(connection.sent("setupComplete"), 0);
}
