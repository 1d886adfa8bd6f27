//! Tools that the vendor runs itself.

use roomkit_core::{
    provider::{
        ProviderCommand, ProviderErrorKind, RealtimeVoiceProvider, SessionSetup, SessionUpdate,
        UpdateWay,
    },
    tool::ToolDefinition,
};
use roomkit_mock::fake_openai::FakeOpenAi;
use roomkit_provider_openai::{
    Dialect, OpenAIConfig, OpenAIRealtimeProvider, OpenAISessionConfig, VendorTool,
    protocol::Encoder,
};
use serde_json::{Value, json};

use crate::support::{Server, call::Call, map, setup};

fn crm() -> Value {
    json!({ "type": "mcp", "server_label": "crm", "server_url": "https://mcp.example.com",
        "authorization": "Bearer hunter2-key", "headers": { "x-tenant": "hunter2-tenant" },
        "allowed_tools": ["lookup"], "require_approval": "never" })
}

fn with(tools: &Value) -> SessionSetup {
    let mut setup = setup();
    setup.tools = vec![ToolDefinition::new(
        "book",
        "Books",
        json!({"type": "object"}),
    )];
    setup.provider_config = map(json!({ "vendor_tools": tools }));
    setup
}

fn refusal(tools: &Value) -> String {
    let settings = map(json!({ "vendor_tools": tools }));
    let refused = OpenAISessionConfig::default().with_overrides(&settings);
    refused.unwrap_err().to_string()
}

#[tokio::test]
async fn they_are_declared_behind_the_sessions_own() {
    let mut setup = with(&json!([crm()]));
    setup.provider_config.insert(
        "tool_choice".into(),
        json!({ "type": "mcp", "server_label": "crm" }),
    );
    let call = Call::start(FakeOpenAi::builder(), setup).await;
    call.end().await;

    let search = with(&json!([{ "type": "web_search" }, { "type": "x_search" }]));
    let mut encoder = Encoder::new(Dialect::XAi, &OpenAIConfig::xai().session, &search).unwrap();
    let frame: Value = serde_json::from_str(&encoder.setup(&search, None).unwrap()).unwrap();
    let tools = frame["session"]["tools"].as_array().unwrap();
    let kinds: Vec<&Value> = tools.iter().map(|tool| &tool["type"]).collect();
    assert_eq!(kinds, ["function", "web_search", "x_search"]);
}

#[test]
fn k5_other_tools_of_a_live_session_take_them_along() {
    let setup = with(&json!([crm()]));
    let mut encoder =
        Encoder::new(Dialect::OpenAI, &OpenAISessionConfig::default(), &setup).unwrap();
    let update = SessionUpdate {
        tools: Some(Vec::new()),
        ..SessionUpdate::default()
    };
    let update = ProviderCommand::Update(update);
    let frame = encoder.encode(&update).unwrap().unwrap();
    let frame: Value = serde_json::from_str(&frame).unwrap();
    assert_eq!(frame["session"]["tools"], json!([crm()]));
}

#[test]
fn s5_others_of_a_live_session_take_another_connection() {
    let setup = with(&json!([crm()]));
    let mut encoder =
        Encoder::new(Dialect::OpenAI, &OpenAISessionConfig::default(), &setup).unwrap();
    let update = |tools: Value| SessionUpdate {
        provider_config: Some(map(json!({ "vendor_tools": tools }))),
        ..SessionUpdate::default()
    };
    let same = encoder.check_update(&update(json!([crm()]))).unwrap();
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
            json!([crm(), { "authorization": "hunter2" }]),
            "vendor_tools: [1] has no `type`",
        ),
        (
            json!([{ "type": "function", "name": "hunter2" }]),
            "give the session a tool",
        ),
        (
            json!([{ "type": "mcp", "server_label": "crm", "authorization": "hunter2" }]),
            "`require_approval` to `never`",
        ),
    ] {
        let error = refusal(&tools);
        assert!(error.contains(problem), "no {problem}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
    let error = VendorTool::new(json!({ "type": "function" })).unwrap_err();
    assert!(error.to_string().starts_with("vendor_tools: "), "{error}");
}

#[tokio::test]
async fn x1_their_secrets_are_neither_in_debug_nor_in_what_the_vendor_repeats() {
    let server = Server::bind().await;
    let mut config = server.config();
    config.session.vendor_tools = vec![VendorTool::new(crm()).unwrap()];
    let shown = format!("{config:?}");
    assert!(
        shown.contains("mcp") && !shown.contains("hunter2"),
        "{shown}"
    );

    let provider = OpenAIRealtimeProvider::new(config).unwrap();
    let script = async {
        let mut peer = server.accept().await;
        peer.send(json!({ "type": "session.created", "session": {} }))
            .await;
        peer.receive().await;
        let message = "crm refused hunter2-key of hunter2-tenant";
        peer.send(json!({ "type": "error",
            "error": { "type": "invalid_request_error", "message": message } }))
            .await;
        peer
    };
    let (_peer, refused) = tokio::join!(script, provider.connect(setup()));
    let error = refused.map(|_| ()).unwrap_err();
    assert!(error.message().contains("crm refused"), "{error}");
    assert!(!error.message().contains("hunter2"), "{error}");
}
