//! Tools with rules of their own, tools that report, and tools that are searched for.

use std::sync::Arc;

use roomkit_core::{
    RealtimeSession, SessionOptions,
    client_protocol::{ServerMessage, ToolCallStatus},
    error::ConfigError,
    hook::{Decision, Hook},
    provider::{ProviderCommand, RealtimeVoiceProvider, SessionUpdate, UpdateSupport, UpdateWay},
    tool::{
        Tool, ToolDefinition, ToolError, ToolHandler, ToolInvocation, ToolOutput, ToolRules,
        ToolSearch,
    },
    voice::{Agent, RealtimeVoiceChannelBuilder, Updated},
};
use roomkit_mock::{Gate, MockRealtimeProvider, MockRealtimeTransport};
use serde_json::{Map, Value, json};

use crate::support::{Call, House, Notes, ms, settle};

/// A tool that reports, waits at a gate, and answers.
struct Long {
    gate: Gate,
    reports: Vec<&'static str>,
}

#[async_trait::async_trait]
impl ToolHandler for Long {
    async fn call(&self, invocation: ToolInvocation) -> Result<ToolOutput, ToolError> {
        for report in &self.reports {
            invocation.report(report);
        }
        self.gate.wait().await;
        Ok("done".into())
    }
}

fn long(gate: &Gate, reports: &[&'static str], rules: ToolRules) -> Tool {
    let tool = Long {
        gate: gate.clone(),
        reports: reports.to_vec(),
    };
    Tool::new(ToolDefinition::new("long", "", json!({})), tool).rules(rules)
}

fn results(call: &Call) -> usize {
    call.ai.tool_results().len()
}

fn told(call: &Call) -> Vec<String> {
    let commands = call.ai.commands().into_iter();
    commands
        .filter_map(|command| match command {
            ProviderCommand::Text { text, .. } => Some(text),
            _ => None,
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn k3_a_tool_has_its_own_time_and_its_own_limit() {
    let gate = Gate::closed();
    let rules = ToolRules::new().timeout(ms(90_000)).parallel(1);
    let house = House::with(|voice| voice.tool(long(&gate, &[], rules))).await;
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "long", "{}");
    call.ai.simulate_tool_call("c2", "long", "{}");
    tokio::time::sleep(ms(89_000)).await;
    assert_eq!(results(&call), 0);
    tokio::time::sleep(ms(2000)).await;
    let late = &call.ai.tool_results()[0];
    assert!(late.is_error && late.output.contains("90 s"), "{late:?}");
    gate.open();
    settle().await;
    assert_eq!(
        call.ai.tool_results()[1].output,
        "done",
        "the second one had its turn"
    );
}

#[tokio::test(start_paused = true)]
async fn k9_progress_reaches_observers_and_silently_the_model() {
    let (gate, notes) = (Gate::closed(), Notes::default());
    let house =
        House::with(|voice| voice.tool(long(&gate, &["asking", "cooking"], ToolRules::new())))
            .await;
    let observed = notes.clone();
    house.voice.on_tool_progress(move |event| {
        observed.add(format!("{}: {}", event.name, event.progress));
        async {}
    });
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "long", "{}");
    tokio::time::sleep(ms(2100)).await;
    assert_eq!(notes.all(), ["long: asking", "long: cooking"]);
    let told = told(&call);
    assert!(
        told[0].contains("asking") && told[1].contains("cooking"),
        "{told:?}"
    );
    assert_eq!(call.ai.responds(), 0);
    gate.open();
    settle().await;
    assert_eq!((results(&call), call.ai.responds()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn k3_a_tool_that_hangs_is_answered_for_and_the_call_goes_on() {
    let house = House::with(|voice| voice.tool(long(&Gate::closed(), &[], ToolRules::new()))).await;
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "long", "{}");
    tokio::time::sleep(ms(31_000)).await;
    assert!(call.ai.tool_results()[0].is_error);
    call.ai.simulate_response_start(Some("1"));
    call.ai.simulate_response_end(Some("1"));
    call.ai.simulate_tool_call("c2", "long", "{}");
    settle().await;
    let statuses = call
        .client
        .messages()
        .into_iter()
        .filter_map(|message| match message {
            ServerMessage::ToolCall { status, .. } => Some(status),
            _ => None,
        });
    assert_eq!(
        statuses.collect::<Vec<_>>(),
        [
            ToolCallStatus::Started,
            ToolCallStatus::Failed,
            ToolCallStatus::Started
        ]
    );
}

/// Thirty tools that say their name.
fn catalogue() -> Vec<Tool> {
    let named = |name: String, about: &str| {
        let definition = ToolDefinition::new(name, about, json!({"type": "object"}));
        Tool::new(
            definition,
            |_: RealtimeSession, name: String, _: Map<String, Value>| async { Ok(name.into()) },
        )
    };
    let mut tools: Vec<Tool> = (0..28)
        .map(|n| named(format!("report_{n}"), "One of many reports"))
        .collect();
    tools.push(named("cancel_order".into(), "Cancels an order"));
    tools.push(named("hang_up".into(), "Ends the call"));
    tools
}

fn searched(voice: RealtimeVoiceChannelBuilder) -> RealtimeVoiceChannelBuilder {
    voice
        .tools(catalogue())
        .tool_search(ToolSearch::new().keep(["hang_up"]))
}

fn names(tools: &[ToolDefinition]) -> Vec<&str> {
    tools.iter().map(|tool| tool.name.as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_large_catalogue_is_searched_and_what_was_found_is_declared() {
    let house = House::with(searched).await;
    let call = house.call().await;
    assert_eq!(
        names(&house.provider.connects()[0].tools),
        ["find_tools", "hang_up"]
    );
    call.ai
        .simulate_tool_call("c1", "find_tools", r#"{"query":"cancel my order"}"#);
    settle().await;
    let after = call.ai.commands();
    let [
        ..,
        ProviderCommand::ToolResult { output, .. },
        ProviderCommand::Update(update),
        ProviderCommand::Respond,
    ] = after.as_slice()
    else {
        panic!("told, declared, and then asked: {after:?}");
    };
    let declared = update.tools.as_ref().unwrap();
    assert_eq!(names(declared), ["find_tools", "hang_up", "cancel_order"]);
    let output: Value = serde_json::from_str(output).unwrap();
    assert_eq!(
        output,
        json!({"found": [{"name": "cancel_order", "description": "Cancels an order"}]})
    );

    call.ai.simulate_tool_call("c2", "cancel_order", "{}");
    call.ai.simulate_tool_call("c3", "report_7", "{}");
    call.ai
        .simulate_tool_call("c4", "find_tools", r#"{"words":1}"#);
    settle().await;
    let answers = call.ai.tool_results();
    let outputs: Vec<_> = answers[1..]
        .iter()
        .map(|answer| answer.output.as_str())
        .collect();
    assert_eq!(
        outputs[..2],
        ["cancel_order", "report_7"],
        "what was not declared can be called too"
    );
    assert!(answers[3].is_error, "{outputs:?}");
}

#[tokio::test(start_paused = true)]
async fn a_search_that_finds_nothing_changes_nothing_and_says_what_there_is() {
    let house = House::with(searched).await;
    let call = house.call().await;
    call.ai
        .simulate_tool_call("c1", "find_tools", r#"{"query":"zeppelin"}"#);
    settle().await;
    assert!(
        !call
            .ai
            .commands()
            .iter()
            .any(|c| matches!(c, ProviderCommand::Update(_)))
    );
    let answer: Value = serde_json::from_str(&call.ai.tool_results()[0].output).unwrap();
    assert_eq!(
        (&answer["found"], &answer["tools"]),
        (&json!([]), &json!(30))
    );
}

#[tokio::test(start_paused = true)]
async fn few_tools_or_a_provider_that_takes_no_others_declare_all() {
    let few = |voice: RealtimeVoiceChannelBuilder| {
        searched(voice).tool_search(ToolSearch::new().more_than(30))
    };
    let house = House::with(few).await;
    house.call().await;
    assert_eq!(house.provider.connects()[0].tools.len(), 30);

    let mut plain = MockRealtimeProvider::new().capabilities();
    plain.updates = UpdateSupport::all(UpdateWay::NewConnection);
    let provider = MockRealtimeProvider::new().with_capabilities(plain);
    let house = House::of(provider, MockRealtimeTransport::new(), searched).await;
    house.call().await;
    assert_eq!(house.provider.connects()[0].tools.len(), 30);
}

#[tokio::test(start_paused = true)]
async fn k8_a_search_that_ends_after_a_hand_over_leaves_the_next_agent_its_own_tools() {
    let house = House::with(|voice| {
        let triage = Agent::new("triage", "you sort callers").tools(catalogue());
        let triage = triage.hands_off_to(["billing"]);
        let invoice = ToolDefinition::new("invoice", "", json!({"type": "object"}));
        let billing = Agent::new("billing", "you know invoices").tool(invoice);
        let search = ToolSearch::new().keep(["hand_off"]);
        voice.agents([triage, billing]).tool_search(search)
    })
    .await;
    // What was found is looked at by a hook while the other call is done.
    let gate = Gate::closed();
    house.kit.add_hook(Hook::tool_result({
        let gate = gate.clone();
        move |event| {
            let gate = gate.clone();
            async move {
                if event.name == "find_tools" {
                    gate.wait().await;
                }
                Decision::Allow
            }
        }
    }));
    let call = house.call_with(SessionOptions::new().agent("triage")).await;
    call.ai
        .simulate_tool_call("c1", "find_tools", r#"{"query":"cancel my order"}"#);
    call.ai
        .simulate_tool_call("c2", "hand_off", r#"{"agent":"billing"}"#);
    settle().await;
    gate.open();
    settle().await;
    assert_eq!(results(&call), 2);
    let declared = call
        .ai
        .commands()
        .into_iter()
        .filter_map(|command| match command {
            ProviderCommand::Update(update) => update.tools,
            _ => None,
        });
    let declared: Vec<_> = declared.collect();
    assert_eq!(names(declared.last().unwrap()), ["invoice"]);
    call.ai.simulate_tool_call("c3", "cancel_order", "{}");
    settle().await;
    let answer = call.ai.tool_results().pop().unwrap();
    assert!(answer.is_error && answer.output.contains("not declared"));
}

#[tokio::test(start_paused = true)]
async fn s5_a_session_that_is_given_many_tools_searches_them_too() {
    let house = House::with(searched).await;
    let call = house.call().await;
    let given = |names: &[String]| {
        let define = |name: &String| ToolDefinition::new(name, "", json!({"type": "object"}));
        SessionUpdate {
            tools: Some(names.iter().map(define).collect()),
            ..SessionUpdate::default()
        }
    };
    let mut many: Vec<String> = (0..30).map(|n| format!("sheet_{n}")).collect();
    let update = house.voice.update_session(&call.session, given(&many));
    assert_eq!(update.await, Ok(Updated::Live));
    let command = call
        .ai
        .wait_for_command(|command| matches!(command, ProviderCommand::Update(_)))
        .await;
    let ProviderCommand::Update(update) = command else {
        unreachable!()
    };
    assert_eq!(names(&update.tools.unwrap()), ["find_tools"]);
    many.push("find_tools".to_owned());
    let clash = house.voice.update_session(&call.session, given(&many));
    assert!(clash.await.unwrap_err().to_string().contains("find_tools"));
}

#[tokio::test(start_paused = true)]
async fn a6_hooks_that_hang_at_cancelled_calls_do_not_add_up() {
    let tool = long(&Gate::opened(), &[], ToolRules::new());
    let house = House::with(|voice| voice.tool(tool)).await;
    let alive = Arc::new(());
    let held = Arc::clone(&alive);
    house.kit.add_hook(Hook::before_tool_use(move |_| {
        let alive = Arc::clone(&held);
        async move {
            std::future::pending::<()>().await;
            drop(alive);
            Decision::Allow
        }
    }));
    let call = house.call().await;
    for number in 0..200 {
        let id = format!("c{number}");
        call.ai.simulate_tool_call(id.as_str(), "long", "{}");
        settle().await;
        call.ai.simulate_tool_calls_cancelled(&[&id]);
        settle().await;
    }
    assert_eq!(Arc::strong_count(&alive) - 2, 64);
}

fn refusal(
    settings: impl FnOnce(RealtimeVoiceChannelBuilder) -> RealtimeVoiceChannelBuilder,
) -> ConfigError {
    let provider = Arc::new(MockRealtimeProvider::new());
    let transport = Arc::new(MockRealtimeTransport::new());
    let builder = roomkit_core::RealtimeVoiceChannel::builder("voice", provider, transport);
    settings(builder).build().unwrap_err()
}

#[test]
fn settings_of_tools_that_make_no_sense_are_refused_by_name() {
    let gate = Gate::closed();
    let with = |rules| refusal(|voice| voice.tool(long(&gate, &[], rules))).to_string();
    assert!(with(ToolRules::new().parallel(0)).contains("tools.long.parallel"));
    assert!(with(ToolRules::new().timeout(ms(0))).contains("tools.long.timeout_ms"));

    let schema = ToolDefinition::new("f", "", json!({"type": "string"}));
    let refused = refusal(|voice| voice.tool(schema)).to_string();
    assert!(
        refused.contains("tools.f.parameters") && refused.contains("object"),
        "{refused}"
    );

    let none = refusal(|voice| voice.tool_search(ToolSearch::new().results(0))).to_string();
    assert!(none.contains("tool_search.results"), "{none}");
    let clash = || ToolDefinition::new("find_tools", "", json!({}));
    let refused = refusal(|voice| searched(voice).tool(clash())).to_string();
    assert!(refused.contains("find_tools"), "{refused}");
    // A source may have many later.
    let refused = refusal(|voice| voice.tool_search(ToolSearch::new()).tool(clash())).to_string();
    assert!(refused.contains("find_tools"), "{refused}");
}
