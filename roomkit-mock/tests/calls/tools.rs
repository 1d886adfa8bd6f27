//! Tool calls from the model's wish to its one answer (contracts K1–K8).

use std::{future::pending, sync::Arc};

use async_trait::async_trait;
use roomkit_core::{
    RealtimeSession, RealtimeSessionState, SessionOptions,
    client_protocol::{ServerMessage, ToolCallStatus},
    error::SessionError,
    framework::FrameworkEventKind,
    hook::{Decision, Hook},
    provider::{Continuation, ProviderCommand, RealtimeVoiceProvider, SessionUpdate},
    tool::{Tool, ToolDefinition, ToolError, ToolHandler, ToolInvocation, ToolOutput, ToolSource},
};
use roomkit_mock::{Gate, MockRealtimeProvider, MockRealtimeTransport, provider::ToolResult};
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

use crate::support::{Call, House, Notes, ms, settle, soon};

fn definition(name: &str) -> ToolDefinition {
    let city = json!({
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "additionalProperties": false,
    });
    ToolDefinition::new(name, "", city)
}

/// A tool `weather` that notes its calls and says it rains.
fn weather(notes: &Notes) -> Tool {
    let notes = notes.clone();
    Tool::new(
        definition("weather"),
        move |_: RealtimeSession, name: String, arguments: Map<String, Value>| {
            notes.add(format!("{name} {}", Value::Object(arguments)));
            async { Ok(json!({"sky": "rain"}).into()) }
        },
    )
}

/// A tool that waits at a gate.
fn slow(name: &str, gate: &Gate, notes: &Notes) -> Tool {
    let (gate, notes) = (gate.clone(), notes.clone());
    Tool::new(
        definition(name),
        move |_: RealtimeSession, name: String, _: Map<String, Value>| {
            let (gate, notes) = (gate.clone(), notes.clone());
            async move {
                notes.add(format!("{name} began"));
                gate.wait().await;
                notes.add(format!("{name} ended"));
                Ok(name.into())
            }
        },
    )
}

async fn result(call: &Call) -> ToolResult {
    call.ai
        .wait_for_command(|c| matches!(c, ProviderCommand::ToolResult { .. }))
        .await;
    let mut results = call.ai.tool_results();
    assert_eq!(results.len(), 1);
    results.swap_remove(0)
}

fn statuses(call: &Call) -> Vec<ToolCallStatus> {
    let messages = call.client.messages().into_iter();
    messages
        .filter_map(|message| match message {
            ServerMessage::ToolCall { status, .. } => Some(status),
            _ => None,
        })
        .collect()
}

/// What the host is told of each call that is over.
async fn reports(house: House) -> Vec<Value> {
    let reports = house.close(FrameworkEventKind::ToolCall).await;
    let reports = reports.into_iter();
    reports
        .map(|report| serde_json::to_value(report.data).unwrap())
        .collect()
}

fn report(call_id: &str, name: &str, outcome: &str) -> Value {
    json!({"tool_call_id": call_id, "tool_name": name, "outcome": outcome})
}

#[tokio::test(start_paused = true)]
async fn k1_k2_a_call_runs_once_and_is_answered_once() {
    let notes = Notes::default();
    let house = House::with(|voice| voice.tool(weather(&notes))).await;
    let call = house.call().await;
    for _ in 0..3 {
        call.ai
            .simulate_tool_call("c1", "weather", json!({"city": "Oslo"}));
    }
    let answer = result(&call).await;
    call.ai
        .simulate_tool_call("c1", "weather", json!({"city": "Oslo"}));
    settle().await;
    assert_eq!(notes.all(), [r#"weather {"city":"Oslo"}"#]);
    assert_eq!(call.ai.tool_results().len(), 1);
    assert_eq!(
        (answer.call_id.as_str(), answer.name.as_str()),
        ("c1", "weather")
    );
    assert_eq!(
        (answer.output.as_str(), answer.is_error),
        (r#"{"sky":"rain"}"#, false)
    );
    assert_eq!(
        statuses(&call),
        [ToolCallStatus::Started, ToolCallStatus::Completed]
    );
    assert_eq!(reports(house).await, [report("c1", "weather", "completed")]);
}

#[tokio::test(start_paused = true)]
async fn k3_calls_run_side_by_side_up_to_the_limit() {
    let (gate, notes) = (Gate::closed(), Notes::default());
    let names = ["a", "b", "c"];
    let house = House::with(|voice| {
        let tools = names.map(|name| slow(name, &gate, &notes));
        voice.tools(tools).parallel_tools(2)
    })
    .await;
    let call = house.call().await;
    for name in names {
        call.ai.simulate_tool_call(name, name, "{}");
    }
    settle().await;
    assert_eq!(notes.all(), ["a began", "b began"]);
    gate.open();
    call.ai
        .wait_for_commands(3, |c| matches!(c, ProviderCommand::ToolResult { .. }))
        .await;
}

#[tokio::test(start_paused = true)]
async fn k3_a_tool_that_takes_too_long_is_answered_for_and_its_late_result_dropped() {
    let (gate, notes) = (Gate::closed(), Notes::default());
    let house =
        House::with(|voice| voice.tool(slow("a", &gate, &notes)).tool_timeout(ms(2000))).await;
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "a", "{}");
    let answer = result(&call).await;
    assert!(
        answer.is_error && answer.output.contains("2 s"),
        "{answer:?}"
    );
    gate.open();
    tokio::time::sleep(ms(5000)).await;
    assert_eq!(call.ai.tool_results().len(), 1);
    assert_eq!(notes.all(), ["a began"], "the handler's future is dropped");
    assert_eq!(
        statuses(&call),
        [ToolCallStatus::Started, ToolCallStatus::Failed]
    );
    assert_eq!(reports(house).await, [report("c1", "a", "failed")]);
}

#[tokio::test(start_paused = true)]
async fn k3_k4_every_call_is_reported_once_with_what_became_of_it() {
    let undo = Tool::new(definition("book"), Undo(Notes::default()));
    let house = House::with(|voice| voice.tool(undo)).await;
    let call = house.call().await;
    for n in 0..73 {
        call.ai.simulate_tool_call(format!("c{n}"), "book", "{}");
    }
    call.ai
        .wait_for_command(|c| matches!(c, ProviderCommand::ToolResult { .. }))
        .await;
    call.ai.simulate_tool_calls_cancelled(&["c0"]);
    settle().await;
    let told = reports(house).await;
    assert_eq!(told[0], report("c72", "book", "failed"), "beyond the limit");
    assert_eq!(told[1], report("c0", "book", "cancelled"));
    let cancelled = |told: &&Value| told["outcome"] == "cancelled";
    assert_eq!(told.iter().filter(cancelled).count(), 72);
    assert_eq!(told.len(), 73);
}

/// Waits for ever, and notes when it is taken back.
struct Undo(Notes);

#[async_trait]
impl ToolHandler for Undo {
    async fn call(&self, invocation: ToolInvocation) -> Result<ToolOutput, ToolError> {
        let (notes, cancelled) = (self.0.clone(), invocation.cancelled.clone());
        notes.add("began");
        tokio::spawn(async move {
            cancelled.cancelled().await;
            notes.add("undone");
        });
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn k4_a_call_the_model_takes_back_is_undone_and_not_answered() {
    let notes = Notes::default();
    let undo = Tool::new(definition("book"), Undo(notes.clone()));
    let house = House::with(|voice| voice.tool(undo)).await;
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "book", "{}");
    settle().await;
    call.ai.simulate_tool_calls_cancelled(&["c1"]);
    tokio::time::sleep(ms(60_000)).await;
    assert_eq!(notes.all(), ["began", "undone"]);
    assert_eq!((call.ai.tool_results().len(), call.ai.responds()), (0, 0));
    assert_eq!(
        statuses(&call),
        [ToolCallStatus::Started, ToolCallStatus::Cancelled]
    );
    assert_eq!(reports(house).await, [report("c1", "book", "cancelled")]);
}

#[tokio::test(start_paused = true)]
async fn k4_the_end_of_the_session_undoes_open_calls() {
    let notes = Notes::default();
    let undo = Tool::new(definition("book"), Undo(notes.clone()));
    let house = House::with(|voice| voice.tool(undo)).await;
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "book", "{}");
    settle().await;
    soon(house.voice.end_session(&call.session)).await;
    settle().await;
    assert_eq!(notes.all(), ["began", "undone"]);
    assert_eq!(
        statuses(&call),
        [ToolCallStatus::Started, ToolCallStatus::Cancelled]
    );
    assert_eq!(reports(house).await, [report("c1", "book", "cancelled")]);
}

/// The model's arguments meet the gate; what it reads, and what the handler saw.
async fn gate(name: &str, arguments: &str, hook: Option<Hook>) -> (ToolResult, Vec<String>) {
    let notes = Notes::default();
    let house = House::with(|voice| voice.tool(weather(&notes)).tool(definition("idle"))).await;
    if let Some(hook) = hook {
        house.kit.add_hook(hook);
    }
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", name, arguments);
    let answer = result(&call).await;
    (answer, notes.all())
}

#[tokio::test(start_paused = true)]
async fn k5_every_refusal_is_an_answer_and_no_handler_runs() {
    for (name, arguments, expected) in [
        ("magic", "{}", "not declared"),
        ("idle", "{}", "no handler"),
        ("weather", "{oops", "not JSON"),
        ("weather", "[1]", "wrong"),
        ("weather", r#"{"city": 7}"#, "city"),
        ("weather", r#"{"town": "Oslo"}"#, "town"),
    ] {
        let (answer, ran) = gate(name, arguments, None).await;
        assert!(answer.is_error, "{answer:?}");
        if arguments != "[1]" {
            assert!(answer.output.contains(expected), "{}", answer.output);
        }
        assert!(ran.is_empty(), "{ran:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn k5_what_the_gate_says_of_a_call_is_one_framework_event() {
    let house = House::with(|voice| voice.tool(weather(&Notes::default()))).await;
    house.kit.add_hook(Hook::before_tool_use(|mut event| {
        // For one city no city, which the second look finds.
        if event.arguments["city"] == "Rome" {
            event.arguments.insert("city".into(), json!(7));
        }
        async { Decision::Replace(event) }
    }));
    let call = house.call().await;
    let calls = [
        ("nothing", "{}"),
        ("weather", "{oops"),
        ("weather", r#"{"city": 7}"#),
        ("weather", r#"{"city": "Rome"}"#),
        ("weather", r#"{"city": "Oslo"}"#),
    ];
    for (number, (name, arguments)) in calls.into_iter().enumerate() {
        let id = format!("c{number}");
        call.ai.simulate_tool_call(id, name, arguments);
    }
    settle().await;
    let answers = call.ai.tool_results();
    let told = house.close(FrameworkEventKind::BeforeToolUse).await;
    assert_eq!(told.len(), calls.len());
    for event in told {
        let id = event.data["tool_call_id"].as_str().unwrap();
        let answer = answers.iter().find(|it| it.call_id.as_str() == id).unwrap();
        assert_eq!(event.data["allowed"], json!(!answer.is_error), "{event:?}");
        let reason = event.data["reason"].as_str().unwrap_or_default();
        assert_eq!(reason.is_empty(), !answer.is_error, "{event:?}");
        assert_eq!(id == "c4", !answer.is_error, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn k5_x6_what_a_model_puts_into_a_call_is_in_no_framework_event() {
    let house = House::with(|voice| voice.tool(weather(&Notes::default()))).await;
    let call = house.call().await;
    let calls = [
        ("weather", r#"{"city": {"of": "Ann Miller"}}"#, "arguments"),
        ("weather", r#"{"Ann Miller": 1}"#, "arguments"),
        ("weather", r#""Ann Miller""#, "arguments"),
        ("call Ann Miller", "{}", "not_declared"),
    ];
    for (number, (name, arguments, _)) in calls.into_iter().enumerate() {
        let id = format!("c{number}");
        call.ai.simulate_tool_call(id, name, arguments);
    }
    settle().await;
    let answers = call.ai.tool_results();
    assert_eq!(answers.len(), calls.len());
    assert!(
        answers[0].output.contains("Ann Miller"),
        "for the model: {}",
        answers[0].output
    );
    let told = house.close_whole().await;
    for event in &told {
        let data = serde_json::to_string(&event.data).unwrap();
        assert!(!data.contains("Ann Miller"), "{:?}: {data}", event.kind);
    }
    let of_kind = |kind| told.iter().filter(move |event| event.kind == kind);
    let mut reasons: Vec<_> = of_kind(FrameworkEventKind::BeforeToolUse)
        .map(|event| (event.data["tool_call_id"].as_str(), &event.data["reason"]))
        .collect();
    reasons.sort_by_key(|(id, _)| *id);
    let reasons: Vec<_> = reasons.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, calls.map(|(_, _, reason)| reason));
    assert_eq!(of_kind(FrameworkEventKind::ToolCall).count(), calls.len());
}

#[tokio::test(start_paused = true)]
async fn k5_no_arguments_are_empty_ones() {
    let (answer, ran) = gate("weather", "", None).await;
    assert!(!answer.is_error);
    assert_eq!(ran, ["weather {}"]);
}

#[tokio::test(start_paused = true)]
async fn k5_the_hook_decides_and_its_arguments_are_checked_too() {
    let block = Hook::before_tool_use(|_| async { Decision::block("not today") });
    let (answer, ran) = gate("weather", "{}", Some(block)).await;
    assert!(
        answer.is_error && answer.output.contains("not today"),
        "{answer:?}"
    );
    assert!(ran.is_empty());

    let replace = |city: Value| {
        Hook::before_tool_use(move |mut event| {
            event.arguments.insert("city".into(), city.clone());
            async { Decision::Replace(event) }
        })
    };
    let (answer, ran) = gate("weather", "{}", Some(replace(json!("Rome")))).await;
    assert!(!answer.is_error);
    assert_eq!(ran, [r#"weather {"city":"Rome"}"#]);
    let (answer, ran) = gate("weather", "{}", Some(replace(json!(7)))).await;
    assert!(answer.is_error && ran.is_empty(), "{answer:?}");

    let broken = Hook::before_tool_use(|_| async { panic!("a defect") as Decision<_> });
    let (answer, ran) = gate("weather", "{}", Some(broken)).await;
    assert!(answer.is_error && ran.is_empty(), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn k5_a_hook_answers_for_a_tool_without_a_handler_and_for_no_call_that_was_refused() {
    let serve = || {
        Hook::tool_result(|mut event| async move {
            let Some(arguments) = &event.arguments else {
                return Decision::Allow;
            };
            event.result = format!("{} of {}", event.name, arguments["city"]);
            event.is_error = false;
            Decision::Replace(event)
        })
    };
    let oslo = r#"{"city":"Oslo"}"#;
    let (answer, _) = gate("idle", oslo, Some(serve())).await;
    assert_eq!(
        (answer.output.as_str(), answer.is_error),
        (r#"idle of "Oslo""#, false)
    );
    let (answer, _) = gate("idle", r#"{"city":7}"#, Some(serve())).await;
    assert!(answer.is_error, "{answer:?}");

    let house = House::with(|voice| voice.tool(definition("idle"))).await;
    house.kit.add_hook(serve());
    house.kit.add_hook(Hook::before_tool_use(|_| async {
        Decision::block("not today")
    }));
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "idle", oslo);
    let answer = result(&call).await;
    assert!(answer.output.contains("not today"), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn k5_s8_a_panicking_handler_is_a_failure_the_model_can_read() {
    let tool = Tool::new(
        definition("bomb"),
        |_: RealtimeSession, _: String, _: Map<String, Value>| async {
            panic!("a defect of the host") as Result<ToolOutput, ToolError>
        },
    );
    let house = House::with(|voice| voice.tool(tool)).await;
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "bomb", "{}");
    let answer = result(&call).await;
    assert!(
        answer.is_error && answer.output.contains("bomb"),
        "{answer:?}"
    );
    assert!(!answer.output.contains("defect"), "details stay in the log");
}

#[tokio::test(start_paused = true)]
async fn k6_a_long_result_is_cut_at_a_character() {
    let tool = Tool::new(
        definition("book"),
        |_: RealtimeSession, _: String, _: Map<String, Value>| async {
            Ok("ä".repeat(500).into())
        },
    );
    let house = House::with(|voice| voice.tool(tool).tool_result_max_length(100)).await;
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "book", "{}");
    let answer = result(&call).await;
    assert!(answer.output.starts_with(&"ä".repeat(100)));
    assert!(!answer.output.contains(&"ä".repeat(101)));
    assert!(answer.output.contains("500"), "{}", answer.output);
}

#[tokio::test(start_paused = true)]
async fn k6_a_hook_can_rewrite_the_result() {
    let notes = Notes::default();
    let house = House::with(|voice| voice.tool(weather(&notes))).await;
    house.kit.add_hook(Hook::tool_result(|mut event| {
        event.result = "sunny".into();
        async { Decision::Replace(event) }
    }));
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "weather", "{}");
    assert_eq!(result(&call).await.output, "sunny");
}

#[tokio::test(start_paused = true)]
async fn k7_the_model_goes_on_once_after_the_last_result_and_not_while_it_speaks() {
    let (gate_a, gate_b, notes) = (Gate::closed(), Gate::closed(), Notes::default());
    let house =
        House::with(|voice| voice.tools([slow("a", &gate_a, &notes), slow("b", &gate_b, &notes)]))
            .await;
    let call = house.call().await;
    call.ai.simulate_response_start(Some("1"));
    call.ai.simulate_tool_call("a", "a", "{}");
    call.ai.simulate_tool_call("b", "b", "{}");
    settle().await;
    gate_a.open();
    result(&call).await;
    settle().await;
    assert_eq!(call.ai.responds(), 0, "one result is missing");
    gate_b.open();
    settle().await;
    assert_eq!(
        (call.ai.tool_results().len(), call.ai.responds()),
        (2, 0),
        "a response runs"
    );
    call.ai.simulate_response_end(Some("1"));
    settle().await;
    assert_eq!(call.ai.responds(), 1);
    call.ai.simulate_response_start(Some("2"));
    call.ai.simulate_response_end(Some("2"));
    tokio::time::sleep(ms(30_000)).await;
    assert_eq!(call.ai.responds(), 1);
    assert_eq!(
        call.ai.commands().last(),
        Some(&ProviderCommand::Respond),
        "after the results"
    );
}

#[tokio::test(start_paused = true)]
async fn k7_a_provider_that_goes_on_by_itself_is_not_asked() {
    let mut capabilities = MockRealtimeProvider::new().capabilities();
    capabilities.continuation = Continuation::Automatic;
    let provider = MockRealtimeProvider::new().with_capabilities(capabilities);
    let notes = Notes::default();
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| {
        voice.tool(weather(&notes))
    })
    .await;
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "weather", "{}");
    result(&call).await;
    tokio::time::sleep(ms(30_000)).await;
    assert_eq!(call.ai.responds(), 0);
}

/// A source with one tool.
struct Library(Notes);

#[async_trait]
impl ToolHandler for Library {
    async fn call(&self, invocation: ToolInvocation) -> Result<ToolOutput, ToolError> {
        self.0.add(format!("library: {}", invocation.name));
        Err(ToolError::new("the book is lent"))
    }
}

#[async_trait]
impl ToolSource for Library {
    async fn tools(&self) -> Result<Vec<ToolDefinition>, ToolError> {
        Ok(vec![definition("find_book")])
    }
}

#[tokio::test(start_paused = true)]
async fn k8_tools_with_handlers_the_channels_handler_and_sources_work_together() {
    let notes = Notes::default();
    let log = notes.clone();
    let house = House::with(|voice| {
        voice
            .tool(weather(&notes))
            .tool(definition("clock"))
            .tool_source(Arc::new(Library(notes.clone())))
            .tool_handler(
                move |session: RealtimeSession, name: String, _: Map<String, Value>| {
                    log.add(format!("fallback: {name} for {}", session.participant_id()));
                    async { Ok("noon".into()) }
                },
            )
    })
    .await;
    let call = house.call().await;
    let names: Vec<_> = house.provider.connects()[0]
        .tools
        .iter()
        .map(|tool| tool.name.clone())
        .collect();
    assert_eq!(names, ["weather", "clock", "find_book"]);
    for (number, name) in names.iter().enumerate() {
        call.ai.simulate_tool_call(format!("c{number}"), name, "{}");
        call.ai
            .wait_for_commands(number + 1, |c| {
                matches!(c, ProviderCommand::ToolResult { .. })
            })
            .await;
    }
    assert_eq!(
        notes.all(),
        [
            "weather {}",
            "fallback: clock for ann",
            "library: find_book"
        ]
    );
    let lent = &call.ai.tool_results()[2];
    assert!(
        lent.is_error && lent.output.contains("the book is lent"),
        "{lent:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn k8_s5_a_session_with_its_own_tools_has_no_others() {
    let notes = Notes::default();
    let house = House::with(|voice| voice.tool(weather(&notes))).await;
    let clock = Tool::new(
        definition("clock"),
        |_: RealtimeSession, _: String, _: Map<String, Value>| async { Ok("noon".into()) },
    );
    let call = house.call_with(SessionOptions::new().tools([clock])).await;
    call.ai.simulate_tool_call("c1", "weather", "{}");
    assert!(result(&call).await.is_error);
    assert!(notes.all().is_empty());
}

#[tokio::test(start_paused = true)]
async fn s5_k5_changed_tools_of_a_live_session_pass_the_gate() {
    let notes = Notes::default();
    let house = House::with(|voice| voice.tool(weather(&notes))).await;
    let call = house.call().await;
    let update = SessionUpdate {
        tools: Some([definition("weather"), definition("orphan")].into()),
        ..SessionUpdate::default()
    };
    house
        .voice
        .update_session(&call.session, update)
        .await
        .unwrap();
    call.ai
        .wait_for_command(|command| matches!(command, ProviderCommand::Update(_)))
        .await;
    call.ai
        .simulate_tool_call("c1", "weather", r#"{"city":"Oslo"}"#);
    let answer = result(&call).await;
    assert!(
        !answer.is_error,
        "a known name keeps its handler: {answer:?}"
    );
    assert_eq!(notes.all(), [r#"weather {"city":"Oslo"}"#]);

    let broken = ToolDefinition::new("broken", "", json!({"type": 7}));
    let update = SessionUpdate {
        tools: Some([broken].into()),
        ..SessionUpdate::default()
    };
    let refused = house
        .voice
        .update_session(&call.session, update)
        .await
        .unwrap_err();
    assert!(
        refused.to_string().contains("tools.broken.parameters"),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn images_that_the_provider_does_not_take_are_refused_at_once() {
    let mut plain = MockRealtimeProvider::new().capabilities();
    plain.images = false;
    let provider = MockRealtimeProvider::new().with_capabilities(plain);
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| voice).await;
    let call = house.call().await;
    let image = house
        .voice
        .inject_image(&call.session, "image/png", vec![1], None, false);
    assert!(matches!(image, Err(SessionError::Provider(_))), "{image:?}");
}

#[tokio::test(start_paused = true)]
async fn s7_a_tool_that_runs_does_not_keep_a_kit_alive_that_everybody_dropped() {
    let never = |_: RealtimeSession, _: String, _: Map<String, Value>| pending();
    let house = House::with(|voice| voice.tool(Tool::new(definition("f"), never))).await;
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "f", "{}");
    settle().await;
    drop(house);
    settle().await;
    assert_eq!(call.session.state(), RealtimeSessionState::Ended);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}
