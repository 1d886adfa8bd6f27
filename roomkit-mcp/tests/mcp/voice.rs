//! A whole call: the model of a session uses an MCP server's tools through the engine.

use std::{sync::Arc, time::Duration};

use roomkit_core::{
    RealtimeSession, RealtimeVoiceChannel, RoomKit, provider::ProviderCommand, tool::ToolRules,
};
use roomkit_mcp::{McpServer, McpTools};
use roomkit_mock::{
    MockConnection, MockRealtimeProvider, MockRealtimeTransport, provider::MockProviderConnection,
    transport::MockClient,
};
use serde_json::json;

use crate::{
    server::{Http, Server},
    support::{connect, soon, until},
};

struct Call {
    kit: RoomKit,
    voice: RealtimeVoiceChannel,
    session: RealtimeSession,
    ai: MockProviderConnection,
    tools: McpTools,
    _caller: MockClient,
}

impl Call {
    async fn start(http: &Http) -> Self {
        Self::with(McpServer::http(&http.url)).await
    }

    async fn with(server: McpServer) -> Self {
        let tools = connect(server).await;
        let provider = Arc::new(MockRealtimeProvider::new());
        let transport = Arc::new(MockRealtimeTransport::new());
        let voice = RealtimeVoiceChannel::builder("voice", provider.clone(), transport)
            .tool_source(Arc::new(tools.clone()))
            .build()
            .unwrap();
        let kit = RoomKit::new();
        kit.register_channel(voice.clone()).unwrap();
        kit.create_room("room").await.unwrap();
        kit.attach_channel("room", "voice").await.unwrap();
        let connection = MockConnection::new();
        let caller = connection.client();
        let session = voice.start_session("room", "ann", connection);
        let session = soon(session).await.unwrap();
        Self {
            ai: provider.last(),
            kit,
            voice,
            session,
            tools,
            _caller: caller,
        }
    }

    async fn result(&self, place: usize) -> (String, bool) {
        until(async || self.ai.tool_results().len() > place).await;
        let result = self.ai.tool_results().swap_remove(place);
        (result.output, result.is_error)
    }

    async fn end(self) {
        soon(self.kit.close()).await;
        soon(self.tools.close()).await;
    }
}

#[tokio::test]
async fn k2_k5_results_and_errors_reach_the_model() {
    let server = Server::new(&["echo", "structured", "fail"]);
    let http = Http::start(&server).await;
    let call = Call::start(&http).await;
    call.ai.simulate_tool_call("c1", "structured", json!({}));
    assert_eq!(call.result(0).await, (r#"{"celsius":-3}"#.into(), false));
    call.ai.simulate_tool_call("c2", "fail", json!({}));
    let (output, is_error) = call.result(1).await;
    assert!(is_error && output.contains("no such customer"), "{output}");
    // The gate of the engine knows what the server declared.
    call.ai.simulate_tool_call("c3", "fail", json!([]));
    assert!(call.result(2).await.1);
    assert_eq!(server.calls(), 2);
    call.end().await;
}

#[tokio::test]
async fn k6_a_result_that_is_cut_says_how_long_it_was() {
    let http = Http::start(&Server::new(&["huge"])).await;
    let call = Call::start(&http).await;
    call.ai.simulate_tool_call("c1", "huge", json!({}));
    let (output, _) = call.result(0).await;
    let (words, notice) = output.split_once("\n[").unwrap();
    assert_eq!(
        notice,
        "cut: 5000000 characters, the first 16384 are shown]"
    );
    assert_eq!(words.len(), 16_384);
    call.end().await;
}

#[tokio::test]
async fn k4_what_the_provider_cancels_is_cancelled_at_the_server() {
    let server = Server::new(&["sleep"]);
    let http = Http::start(&server).await;
    let call = Call::start(&http).await;
    call.ai.simulate_tool_call("c1", "sleep", json!({}));
    until(async || server.calls() == 1).await;
    call.ai.simulate_tool_calls_cancelled(&["c1"]);
    server.wait_for_cancelled(1).await;
    // And so is what runs when the session ends.
    call.ai.simulate_tool_call("c2", "sleep", json!({}));
    until(async || server.calls() == 2).await;
    soon(call.voice.end_session(&call.session)).await;
    server.wait_for_cancelled(2).await;
    assert!(call.ai.tool_results().is_empty());
    call.end().await;
}

#[tokio::test]
async fn k8_a_live_session_gets_a_tool_that_came_later_and_uses_it() {
    let server = Server::new(&["learn"]);
    let http = Http::start(&server).await;
    let call = Call::start(&http).await;
    call.ai.simulate_tool_call("c1", "learn", json!({}));
    let update = call
        .ai
        .wait_for_command(|command| matches!(command, ProviderCommand::Update(_)));
    let ProviderCommand::Update(update) = soon(update).await else {
        unreachable!()
    };
    let tools = update.tools.unwrap();
    let names = tools.iter().map(|tool| &*tool.name);
    assert_eq!(names.collect::<Vec<_>>(), ["learn", "learned"]);
    call.ai.simulate_tool_call("c2", "learned", json!({}));
    assert_eq!(call.result(1).await, ("used".into(), false));
    call.end().await;
}

#[tokio::test]
async fn k9_what_a_server_says_of_its_progress_is_told_to_the_model_where_the_host_wants_it() {
    let server = Server::new(&["progress"]);
    let http = Http::start(&server).await;
    for tell_progress in [true, false] {
        let call = Call::with(McpServer {
            tell_progress,
            ..McpServer::http(&http.url)
        })
        .await;
        call.ai.simulate_tool_call("c1", "progress", json!({}));
        assert_eq!(call.result(0).await, ("done".into(), false));
        let is_told = |command: &ProviderCommand| match command {
            ProviderCommand::Text { text, respond, .. } => text.contains("step 0") && !respond,
            _ => false,
        };
        assert_eq!(call.ai.commands().iter().any(is_told), tell_progress);
        call.end().await;
    }
}

#[tokio::test]
async fn k3_a_tool_may_have_its_own_time() {
    let server = Server::new(&["sleep"]);
    let http = Http::start(&server).await;
    let rules = ToolRules::new().timeout(Duration::from_millis(300));
    let call = Call::with(McpServer {
        rules: [("sleep".to_owned(), rules)].into(),
        ..McpServer::http(&http.url)
    })
    .await;
    call.ai.simulate_tool_call("c1", "sleep", json!({}));
    let (output, is_error) = call.result(0).await;
    assert!(is_error && output.contains("within 0.3 s"), "{output}");
    server.wait_for_cancelled(1).await;
    call.end().await;
}
