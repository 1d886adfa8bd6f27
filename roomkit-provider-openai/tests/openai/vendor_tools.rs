//! Tools that the vendor runs itself.

use roomkit_core::{
    provider::{ProviderCommand, ProviderErrorKind, SessionSetup, SessionUpdate, UpdateWay},
    tool::ToolDefinition,
};
use roomkit_provider_openai::{
    Dialect, OpenAIConfig, OpenAISessionConfig, VendorTool, protocol::Encoder,
};
use serde_json::{Value, json};

use crate::support::{map, setup};

fn search() -> Value {
    json!({ "type": "web_search", "allowed_domains": ["example.com"] })
}

fn with(tools: &Value) -> SessionSetup {
    let mut setup = setup();
    setup.tools = [ToolDefinition::new(
        "book",
        "Books",
        json!({"type": "object"}),
    )]
    .into();
    setup.provider_config = map(json!({ "vendor_tools": tools }));
    setup
}

fn refusal(tools: &Value) -> String {
    let settings = map(json!({ "vendor_tools": tools }));
    let refused = OpenAISessionConfig::default().with_overrides(&settings);
    refused.unwrap_err().to_string()
}

#[test]
fn they_are_declared_behind_the_sessions_own() {
    let setup = with(&json!([search(), { "type": "x_search" }]));
    let mut encoder = Encoder::new(Dialect::XAi, &OpenAIConfig::xai().session, &setup).unwrap();
    let frame: Value = serde_json::from_str(&encoder.setup(&setup, None).unwrap()).unwrap();
    let tools = frame["session"]["tools"].as_array().unwrap();
    let kinds: Vec<&Value> = tools.iter().map(|tool| &tool["type"]).collect();
    assert_eq!(kinds, ["function", "web_search", "x_search"]);
}

#[test]
fn k5_other_tools_of_a_live_session_take_them_along() {
    let setup = with(&json!([search()]));
    let mut encoder =
        Encoder::new(Dialect::OpenAI, &OpenAISessionConfig::default(), &setup).unwrap();
    let update = SessionUpdate {
        tools: Some([].into()),
        ..SessionUpdate::default()
    };
    let update = ProviderCommand::Update(update);
    let frame = encoder.encode(&update).unwrap().unwrap();
    let frame: Value = serde_json::from_str(&frame).unwrap();
    assert_eq!(frame["session"]["tools"], json!([search()]));
}

#[test]
fn s5_others_of_a_live_session_take_another_connection() {
    let setup = with(&json!([search()]));
    let mut encoder =
        Encoder::new(Dialect::OpenAI, &OpenAISessionConfig::default(), &setup).unwrap();
    let update = |tools: Value| SessionUpdate {
        provider_config: Some(map(json!({ "vendor_tools": tools }))),
        ..SessionUpdate::default()
    };
    let same = encoder.check_update(&update(json!([search()]))).unwrap();
    assert_eq!(same.provider_config, UpdateWay::Live);
    let none = encoder.check_update(&update(json!([]))).unwrap();
    assert_eq!(none.provider_config, UpdateWay::NewConnection);
    let none = ProviderCommand::Update(update(Value::Null));
    let error = encoder.encode(&none).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Unsupported);
    assert!(error.message().contains("vendor_tools"), "{error}");
}

#[test]
fn x1_what_is_none_is_refused_without_being_shown() {
    for (tools, problem) in [
        (json!("hunter2"), "vendor_tools: must be a list"),
        (json!(["hunter2"]), "vendor_tools: [0] is no object"),
        (
            json!([search(), { "authorization": "hunter2" }]),
            "vendor_tools: [1] has no `type`",
        ),
        (
            json!([{ "type": "function", "name": "hunter2" }]),
            "give the session a tool",
        ),
        (
            json!([{ "type": "mcp", "server_label": "crm", "authorization": "hunter2" }]),
            "`roomkit-mcp`",
        ),
    ] {
        let error = refusal(&tools);
        assert!(error.contains(problem), "no {problem}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = VendorTool::new(json!({ "type": "function" })).unwrap_err();
    assert!(error.to_string().starts_with("vendor_tools: "), "{error}");
}

#[test]
fn x1_debug_shows_their_type_alone() {
    let tool = VendorTool::new(json!({ "type": "web_search", "key": "hunter2" })).unwrap();
    let shown = format!("{tool:?}");
    assert!(
        shown.contains("web_search") && !shown.contains("hunter2"),
        "{shown}"
    );
}
