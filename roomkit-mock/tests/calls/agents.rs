//! One agent hands the caller to another (contracts S5, S9, K5, K7), through the public API.

use std::sync::Arc;

use async_trait::async_trait;
use roomkit_core::{
    RealtimeSession, RealtimeVoiceChannel, SessionOptions,
    error::{ProviderError, ProviderErrorKind, StartError, UpdateError},
    framework::FrameworkEventKind,
    hook::{Decision, Hook},
    provider::{
        HistoryItem, HistorySupport, ProviderCommand, ProviderEvent, RealtimeVoiceProvider, Role,
        SessionUpdate, UpdateSupport, UpdateWay,
    },
    tool::{Tool, ToolDefinition, ToolError, ToolHandler, ToolInvocation, ToolOutput, ToolSource},
    voice::{Agent, HandOff, RealtimeVoiceChannelBuilder, Updated},
};
use roomkit_mock::{Gate, MockProviderConnection, MockRealtimeProvider, MockRealtimeTransport};
use serde_json::{Map, Value, json};

use crate::support::{Call, House, Notes, settle, soon};

fn invoice() -> Tool {
    let parameters = json!({"type": "object"});
    Tool::new(
        ToolDefinition::new("invoice", "", parameters),
        |_: RealtimeSession, _: String, _: Map<String, Value>| async { Ok("12 euros".into()) },
    )
}

fn triage() -> Agent {
    Agent::new("triage", "find out what they need")
        .greeting("Welcome to Acme.")
        .hands_off_to(["billing"])
}

fn billing() -> Agent {
    Agent::new("billing", "talk about invoices")
        .about("invoices and payments")
        .voice("bass")
        .greeting("This is billing.")
        .tool(invoice())
        .hands_off_to(["triage"])
}

fn two(voice: RealtimeVoiceChannelBuilder) -> RealtimeVoiceChannelBuilder {
    voice
        .voice("alto")
        .agents([triage(), billing()])
        .first_agent("triage")
}

/// A provider that changes nothing on a live connection.
fn rigid() -> MockRealtimeProvider {
    let mut capabilities = MockRealtimeProvider::new().capabilities();
    capabilities.updates = UpdateSupport::all(UpdateWay::NewConnection);
    capabilities.history = HistorySupport::Full;
    MockRealtimeProvider::new().with_capabilities(capabilities)
}

/// The model has been asked for an answer, and gives it.
async fn answers(ai: &MockProviderConnection, responds: usize, text: &str) {
    ai.wait_for_commands(responds, |c| *c == ProviderCommand::Respond)
        .await;
    ai.simulate_response_start(None);
    ai.simulate_transcription(text, Role::Assistant, true, None);
    ai.simulate_response_end(None);
    settle().await;
}

async fn hand_off(ai: &MockProviderConnection, call_id: &str, to: &str) {
    let arguments = json!({"agent": to, "reason": "an invoice"}).to_string();
    ai.simulate_tool_call(call_id, "hand_off", &arguments);
    settle().await;
}

fn order(ai: &MockProviderConnection) -> Vec<&'static str> {
    ai.commands()
        .iter()
        .filter_map(|command| match command {
            ProviderCommand::ToolResult { .. } => Some("result"),
            ProviderCommand::Update(_) => Some("update"),
            ProviderCommand::Respond => Some("respond"),
            ProviderCommand::Text { .. } => Some("text"),
            _ => None,
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn s9_a_session_begins_as_its_first_agent_who_speaks_first() {
    let house = House::with(two).await;
    let call = house.call().await;
    assert_eq!(call.session.agent().as_deref(), Some("triage"));
    let setup = house.provider.connects().pop().unwrap();
    assert_eq!(
        setup.system_prompt.as_deref(),
        Some("find out what they need")
    );
    assert_eq!(setup.voice.as_deref(), Some("alto"), "the channel's");
    assert_eq!(setup.tools[0].name, "hand_off");
    let agents = &setup.tools[0].parameters["properties"]["agent"]["enum"];
    assert_eq!(*agents, json!(["billing"]));
    assert!(setup.tools[0].description.contains("invoices and payments"));
    settle().await;
    assert_eq!(order(&call.ai), ["text", "respond"]);
    assert!(
        call.ai.injected_texts()[0]
            .text
            .contains("Welcome to Acme.")
    );
}

#[tokio::test(start_paused = true)]
async fn k7_the_model_hands_the_caller_on_and_back() {
    let house = House::with(two).await;
    let notes = Notes::default();
    let told = notes.clone();
    house.voice.on_agent_change(move |event| {
        told.add(format!(
            "{} to {}",
            event.from.unwrap_or_default(),
            event.to.unwrap_or_default()
        ));
        async {}
    });
    let call = house.call().await;
    answers(&call.ai, 1, "Welcome to Acme.").await;
    hand_off(&call.ai, "c1", "billing").await;
    assert_eq!(
        order(&call.ai),
        ["text", "respond", "result", "update", "respond"]
    );
    let result = call.ai.tool_results().remove(0);
    let read: Value = serde_json::from_str(&result.output).unwrap();
    assert_eq!(read["you_are_now"], "billing");
    assert_eq!(read["reason"], "an invoice");
    assert!(read["next"].as_str().unwrap().contains("This is billing."));
    assert_eq!(call.session.agent().as_deref(), Some("billing"));
    answers(&call.ai, 2, "This is billing.").await;

    // The gate goes with the agent (K5).
    call.ai.simulate_tool_call("c2", "invoice", "{}");
    settle().await;
    assert_eq!(call.ai.tool_results()[1].output, "12 euros");
    answers(&call.ai, 3, "12 euros.").await;
    hand_off(&call.ai, "c3", "triage").await;
    answers(&call.ai, 4, "Welcome to Acme.").await;
    call.ai.simulate_tool_call("c4", "invoice", "{}");
    settle().await;
    assert!(call.ai.tool_results()[3].is_error);
    assert_eq!(notes.all(), ["triage to billing", "billing to triage"]);
    assert_eq!(call.session.stats().agent_changes, 2);
    let updates: Vec<_> = call
        .ai
        .commands()
        .into_iter()
        .filter_map(|command| match command {
            ProviderCommand::Update(update) => update.voice,
            _ => None,
        })
        .collect();
    assert_eq!(updates, ["bass", "alto"], "the channel's voice comes back");
    let reports = house.close(FrameworkEventKind::AgentChanged).await;
    assert_eq!(reports.len(), 2);
    assert_eq!(reports[0].data["to"], "billing");
}

#[tokio::test(start_paused = true)]
async fn k7_h1_where_it_takes_another_connection_the_next_agent_answers_there() {
    let house = House::of(rigid(), MockRealtimeTransport::new(), two).await;
    let call = house.call().await;
    answers(&call.ai, 1, "Welcome to Acme.").await;
    call.ai.simulate_response_start(None);
    hand_off(&call.ai, "c1", "billing").await;
    call.ai.simulate_response_end(None);
    house.provider.wait_for_attempts(2).await;
    settle().await;
    assert_eq!(
        order(&call.ai),
        ["text", "respond"],
        "the old agent is done"
    );
    let setup = house.provider.connects().pop().unwrap();
    assert_eq!(setup.voice.as_deref(), Some("bass"));
    assert_eq!(setup.tools[0].name, "invoice");
    assert!(
        matches!(setup.history.last(), Some(HistoryItem::ToolResult { output, .. }) if output.contains("This is billing.")),
        "{:?}",
        setup.history
    );
    let next = house.provider.session(call.session.id());
    assert_eq!(order(&next), ["respond"]);
    assert_eq!(call.session.agent().as_deref(), Some("billing"));
}

/// A provider that changes everything live, and can be told what was said.
fn flexible() -> MockRealtimeProvider {
    let mut capabilities = MockRealtimeProvider::new().capabilities();
    capabilities.history = HistorySupport::Full;
    MockRealtimeProvider::new().with_capabilities(capabilities)
}

#[tokio::test(start_paused = true)]
async fn s10_what_neither_agent_nor_channel_sets_is_the_providers_again() {
    let house = House::of(flexible(), MockRealtimeTransport::new(), |voice| {
        voice
            .agents([triage(), billing().temperature(0.4)])
            .first_agent("triage")
    })
    .await;
    let call = house.call().await;
    let hand_off = async |to: &str| soon(house.voice.hand_off(&call.session, to)).await;
    assert_eq!(hand_off("billing").await, Ok(Updated::Live));
    assert_eq!(hand_off("triage").await, Ok(Updated::OnHandOver));
    house.provider.wait_for_attempts(2).await;
    settle().await;
    let setup = house.provider.connects().pop().unwrap();
    assert_eq!((setup.voice, setup.temperature), (None, None));
    assert_eq!(call.session.agent().as_deref(), Some("triage"));
    let guest = Agent::new("guest", "you are a guest");
    let guest = house.voice.hand_off(&call.session, &guest);
    assert_eq!(soon(guest).await, Ok(Updated::Live), "it has none to lose");
}

#[tokio::test(start_paused = true)]
async fn s5_an_agents_temperature_that_its_provider_would_never_take_is_refused() {
    let mut capabilities = MockRealtimeProvider::new().capabilities();
    capabilities.updates.temperature = UpdateWay::Never;
    let provider = MockRealtimeProvider::new().with_capabilities(capabilities);
    let builder = || {
        let transport = std::sync::Arc::new(MockRealtimeTransport::new());
        RealtimeVoiceChannel::builder("v", std::sync::Arc::new(provider.clone()), transport)
    };
    let warm = Agent::new("warm", "be warm").temperature(0.4);
    let refused = builder().agents([warm.clone()]).build().unwrap_err();
    let told = refused.to_string();
    let start = "agents.warm: temperature: is 0.4, and the provider `mock`";
    assert!(told.starts_with(start), "{told}");
    // The channel's own is no change.
    builder().temperature(0.4).agents([warm]).build().unwrap();
}

#[tokio::test(start_paused = true)]
async fn s5_the_host_hands_the_caller_on_and_no_other_session_notices() {
    let house = House::with(|voice| two(voice).greeting("never said")).await;
    let (ann, bob) = (house.call().await, house.call().await);
    answers(&ann.ai, 1, "Welcome to Acme.").await;
    let done = soon(house.voice.hand_off(&ann.session, "billing")).await;
    assert_eq!(done, Ok(Updated::Live));
    settle().await;
    assert_eq!(
        order(&ann.ai),
        ["text", "respond", "update", "text", "respond"]
    );
    assert!(ann.ai.injected_texts()[1].text.contains("This is billing."));
    assert_eq!(order(&bob.ai), ["text", "respond"]);
    assert_eq!(bob.session.agent().as_deref(), Some("triage"));
    // And none that comes later: the channel is as it was.
    let eve = house.call().await;
    assert_eq!(eve.session.agent().as_deref(), Some("triage"));

    // An agent need not be the channel's.
    let guest = Agent::new("guest", "you are a guest").hands_off_to(["billing"]);
    soon(house.voice.hand_off(&ann.session, &guest))
        .await
        .unwrap();
    settle().await;
    assert_eq!(ann.session.agent().as_deref(), Some("guest"));
}

#[tokio::test(start_paused = true)]
async fn agents_that_are_not_there_are_named() {
    let house = House::with(two).await;
    let call = house.call().await;
    let unknown = UpdateError::UnknownAgent {
        name: "sales".into(),
        known: "billing, triage".into(),
    };
    let refused = soon(house.voice.hand_off(&call.session, "sales")).await;
    assert_eq!(refused, Err(unknown.clone()));
    let lost = Agent::new("lost", "").hands_off_to(["sales"]);
    let refused = soon(house.voice.hand_off(&call.session, lost)).await;
    assert_eq!(refused, Err(unknown));
    let start = house.voice.start_session_with(
        crate::support::ROOM,
        "ann",
        roomkit_mock::MockConnection::new(),
        SessionOptions::new().agent("sales"),
    );
    let error = soon(start).await.unwrap_err();
    assert!(matches!(&error, StartError::Config(_)), "{error}");

    let builder = || {
        let (provider, transport) = (MockRealtimeProvider::new(), MockRealtimeTransport::new());
        RealtimeVoiceChannel::builder(
            "v",
            std::sync::Arc::new(provider),
            std::sync::Arc::new(transport),
        )
    };
    for (builder, problem) in [
        (
            builder().agents([triage()]),
            "agents.triage.hands_off_to: names `billing`",
        ),
        (
            builder().agents([billing(), billing(), triage()]),
            "two agents",
        ),
        (builder().first_agent("sales"), "first_agent"),
        (
            builder().agents([Agent::new("hot", "").temperature(7.0)]),
            "agents.hot",
        ),
        (builder().agents([Agent::new(" ", "")]), "agents.name"),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn k5_a_hook_keeps_a_caller_from_being_handed_on() {
    let house = House::with(two).await;
    let hook = Hook::tool_result(|event| async move {
        if event.name == "hand_off" {
            Decision::block("not now")
        } else {
            Decision::Allow
        }
    });
    house.kit.add_hook(hook);
    let call = house.call().await;
    answers(&call.ai, 1, "Welcome to Acme.").await;
    hand_off(&call.ai, "c1", "billing").await;
    assert!(call.ai.tool_results()[0].is_error);
    assert_eq!(call.session.agent().as_deref(), Some("triage"));
}

#[tokio::test(start_paused = true)]
async fn any_tool_can_hand_the_caller_on() {
    let escalate = Tool::new(
        ToolDefinition::new("escalate", "", json!({"type": "object"})),
        |_: RealtimeSession, _: String, arguments: Map<String, Value>| async move {
            let to = arguments
                .get("to")
                .and_then(Value::as_str)
                .unwrap_or("billing");
            Ok(ToolOutput::from("done").hand_off(to))
        },
    );
    let house = House::with(|voice| {
        voice
            .agents([triage(), billing()])
            .tool(escalate)
            .tool(HandOff::to(["billing"]).name("transfer"))
    })
    .await;
    let call = house.call().await;
    assert_eq!(call.session.agent(), None);
    call.ai
        .simulate_tool_call("c1", "escalate", r#"{"to":"nobody"}"#);
    settle().await;
    let result = call.ai.tool_results().remove(0);
    assert!(result.is_error && result.output.contains("no agent `nobody`"));
    call.ai
        .simulate_tool_call("c2", "transfer", r#"{"agent":"nobody"}"#);
    settle().await;
    assert!(call.ai.tool_results()[1].is_error, "the schema names them");
    call.ai.simulate_tool_call("c3", "escalate", "{}");
    settle().await;
    assert_eq!(call.session.agent().as_deref(), Some("billing"));
}

#[tokio::test(start_paused = true)]
async fn k5_a_call_of_the_agent_before_is_still_answered() {
    let gate = Gate::closed();
    let (at, notes) = (gate.clone(), Notes::default());
    let log = notes.clone();
    let search = Tool::new(
        ToolDefinition::new("search", "", json!({"type": "object"})),
        move |_: RealtimeSession, _: String, _: Map<String, Value>| {
            let (at, log) = (at.clone(), log.clone());
            async move {
                at.wait().await;
                log.add("found");
                Ok("found".into())
            }
        },
    );
    let house = House::with(|voice| voice.agents([billing(), triage()]).tool(search)).await;
    let call: Call = house.call().await;
    call.ai.simulate_tool_call("c1", "search", "{}");
    settle().await;
    soon(house.voice.hand_off(&call.session, "billing"))
        .await
        .unwrap();
    gate.open();
    settle().await;
    assert_eq!(call.ai.tool_results()[0].output, "found");
    assert_eq!(notes.all(), ["found"]);
}

#[tokio::test(start_paused = true)]
async fn s5_an_agent_that_the_vendor_refuses_leaves_the_one_before() {
    let house = House::with(two).await;
    let call = house.call().await;
    answers(&call.ai, 1, "Welcome to Acme.").await;
    soon(house.voice.hand_off(&call.session, "billing"))
        .await
        .unwrap();
    settle().await;
    assert_eq!(call.session.agent().as_deref(), Some("billing"));
    let error = ProviderError::new(ProviderErrorKind::InvalidRequest, "no such voice");
    call.ai.simulate(ProviderEvent::UpdateRefused(error));
    settle().await;
    assert_eq!(call.session.agent().as_deref(), Some("triage"));
    // So later changes begin from there.
    let update = SessionUpdate {
        voice: Some("bass".into()),
        ..SessionUpdate::default()
    };
    soon(house.voice.update_session(&call.session, update))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn s10_a_host_is_not_told_of_an_agent_that_the_vendor_refuses() {
    let mut capabilities = MockRealtimeProvider::new().capabilities();
    capabilities.confirms_updates = true;
    let provider = MockRealtimeProvider::new().with_capabilities(capabilities);
    let house = House::of(provider, MockRealtimeTransport::new(), two).await;
    let call = house.call().await;
    answers(&call.ai, 1, "Welcome to Acme.").await;
    for is_taken in [false, true] {
        soon(house.voice.hand_off(&call.session, "billing"))
            .await
            .unwrap();
        settle().await;
        assert_eq!(call.session.agent().as_deref(), Some("triage"));
        let answer = if is_taken {
            ProviderEvent::Updated
        } else {
            ProviderEvent::UpdateRefused(ProviderError::new(
                ProviderErrorKind::InvalidRequest,
                "no such voice",
            ))
        };
        call.ai.simulate(answer);
        settle().await;
    }
    assert_eq!(call.session.agent().as_deref(), Some("billing"));
    let reports = house.close(FrameworkEventKind::AgentChanged).await;
    assert_eq!(reports.len(), 1, "{reports:?}");
}

/// A tool that says its own name.
fn named(name: &str) -> Tool {
    let definition = ToolDefinition::new(name, "", json!({"type": "object"}));
    Tool::new(
        definition,
        |_: RealtimeSession, name: String, _: Map<String, Value>| async { Ok(name.into()) },
    )
}

/// A source with one tool.
struct Library;

#[async_trait]
impl ToolHandler for Library {
    async fn call(&self, call: ToolInvocation) -> Result<ToolOutput, ToolError> {
        Ok(format!("library: {}", call.name).into())
    }
}

#[async_trait]
impl ToolSource for Library {
    async fn tools(&self) -> Result<Vec<ToolDefinition>, ToolError> {
        Ok(vec![named("find_book").definition])
    }
}

#[tokio::test(start_paused = true)]
async fn k8_an_agent_may_have_the_channels_tools_and_those_of_sources_too() {
    let house = House::with(|voice| {
        let clerk = billing().channel_tools(true).tool(named("clock"));
        voice
            .tools([named("clock"), named("hang_up")])
            .tool_source(Arc::new(Library))
            .agents([triage(), clerk])
            .first_agent("triage")
    })
    .await;
    let call = house.call().await;
    let names = |tools: &[ToolDefinition]| -> Vec<String> {
        tools.iter().map(|tool| tool.name.clone()).collect()
    };
    let setup = house.provider.connects().pop().unwrap();
    assert_eq!(
        names(&setup.tools),
        ["hand_off"],
        "triage has its own alone"
    );
    hand_off(&call.ai, "c1", "billing").await;
    let commands = call.ai.commands();
    let update = commands.iter().rev().find_map(|command| match command {
        ProviderCommand::Update(update) => update.tools.clone(),
        _ => None,
    });
    let declared = ["invoice", "clock", "hand_off", "hang_up", "find_book"];
    assert_eq!(names(&update.unwrap()), declared, "each name once");
    for name in ["clock", "find_book"] {
        call.ai.simulate_tool_call(name, name, "{}");
        settle().await;
    }
    let outputs: Vec<_> = call.ai.tool_results()[1..]
        .iter()
        .map(|r| r.output.clone())
        .collect();
    assert_eq!(outputs, ["clock", "library: find_book"]);

    let options = SessionOptions::new().agent("billing");
    house.call_with(options).await;
    let setup = house.provider.connects().pop().unwrap();
    assert_eq!(names(&setup.tools), declared, "also from the beginning");
}

#[tokio::test(start_paused = true)]
async fn s5_the_tools_of_a_session_come_before_those_of_its_agent() {
    let house = House::with(two).await;
    let options = SessionOptions::new()
        .agent("billing")
        .tools([named("clock")]);
    let call = house.call_with(options).await;
    let setup = house.provider.connects().pop().unwrap();
    assert_eq!(setup.tools.len(), 1, "{:?}", setup.tools);
    call.ai.simulate_tool_call("c1", "clock", "{}");
    settle().await;
    assert_eq!(call.ai.tool_results()[0].output, "clock");
}
