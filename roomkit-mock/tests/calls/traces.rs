//! What traces show of a call: the spans that `docs/tracing.md` promises.

use std::{collections::BTreeSet, fs, path::Path};

use roomkit_core::{
    RealtimeSession, SessionOptions,
    error::{ProviderError, ProviderErrorKind},
    framework::FrameworkEventKind,
    provider::{ProviderEvent, ResponseStatus, Role, Usage},
    tool::{Tool, ToolDefinition, ToolError},
};
use roomkit_mock::{Gate, provider::ConnectOutcome};
use serde_json::{Map, Value, json};
use tracing::Level;

use crate::{
    spans::{Seen, Traces},
    support::{Call, House, ms, pcm, settle, soon},
};

fn tool(name: &str, answer: Result<&'static str, ToolError>) -> Tool {
    let definition = ToolDefinition::new(name, "", json!({"type": "object"}));
    Tool::new(
        definition,
        move |_: RealtimeSession, _: String, _: Map<String, Value>| {
            let answer = answer.clone();
            async move {
                let _work = tracing::info_span!("work").entered();
                answer.map(Into::into)
            }
        },
    )
}

/// A question and the answer to it, which takes 700 ms to come.
async fn turn(call: &Call, id: &str) {
    let response_id = Some(id.into());
    call.ai.simulate_speech_start(None);
    call.ai.simulate_speech_end(None);
    call.ai
        .simulate_transcription("hunter2?", Role::User, true, None);
    tokio::time::sleep(ms(700)).await;
    call.ai.simulate_response_start(Some(id));
    call.ai.simulate_item_audio("a1", pcm(ms(200)));
    call.ai
        .simulate_transcription("hunter2!", Role::Assistant, true, Some("a1"));
    settle().await;
    call.ai.simulate(ProviderEvent::ResponseEnded {
        response_id,
        status: ResponseStatus::Completed,
        usage: Some(Box::new(Usage {
            input_tokens: 30,
            output_tokens: 12,
            cached_tokens: 20,
            ..Usage::default()
        })),
    });
    call.wait_for_final("hunter2!").await;
}

/// A tool call, answered.
async fn tool_call(call: &Call, id: &str, name: &str) {
    call.ai
        .simulate_tool_call(id, name, r#"{"secret": "hunter2"}"#);
    while call
        .ai
        .tool_results()
        .iter()
        .all(|it| it.call_id.as_str() != id)
    {
        settle().await;
    }
}

/// A call in which everything happens that has a span.
async fn eventful(house: &House) {
    let call = house.call().await;
    turn(&call, "r1").await;
    tool_call(&call, "c1", "weather").await;
    tool_call(&call, "c2", "broken").await;
    tool_call(&call, "c3", "hunter2").await;
    call.ai.simulate_response_start(Some("r2"));
    call.ai.simulate_item_audio("a2", pcm(ms(500)));
    tokio::time::sleep(ms(100)).await;
    call.ai.simulate_speech_start(None);
    call.ai.simulate_response_end(Some("r2"));
    call.ai.simulate_speech_end(None);
    call.ai.simulate_response_start(Some("r3"));
    let cut = ProviderError::new(ProviderErrorKind::Network, "hunter2").with_code("ws_1006");
    settle().await;
    call.ai.simulate_closed(Some(cut));
    while house.provider.connects().len() < 2 {
        settle().await;
    }
    tokio::time::sleep(ms(100)).await;
    house.voice.end_session(&call.session).await;
}

async fn with_tools() -> House {
    House::with(|voice| {
        voice
            .tool(tool("weather", Ok("rain, hunter2")))
            .tool(tool("broken", Err(ToolError::new("hunter2"))))
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_calls_spans_say_what_happened_and_how_it_ended() {
    let (traces, _listening) = Traces::listen();
    let house = with_tools().await;
    eventful(&house).await;
    house.close(FrameworkEventKind::SessionEnded).await;

    let seen = traces.roomkit();
    let names: Vec<&str> = seen.iter().map(|span| span.name).collect();
    let (whole, connect, answer) = ("roomkit.session", "roomkit.connect", "roomkit.response");
    let (tool, hand_over) = ("roomkit.tool", "roomkit.hand_over");
    // However many frames there were.
    assert_eq!(
        names,
        [
            whole, connect, answer, tool, tool, tool, answer, answer, hand_over, connect
        ]
    );
    let session = &seen[0];
    assert_eq!(session.parent, None);
    let id = session.value("gen_ai.conversation.id");
    for span in &seen {
        assert!(span.is_closed, "{span:?}");
        assert_eq!(span.value("gen_ai.conversation.id"), id, "{span:?}");
    }
    let has = |span: &Seen, values: &[(&str, &str)]| {
        for (field, value) in values {
            assert_eq!(span.value(field), Some(*value), "{field}: {span:?}");
        }
    };
    has(
        session,
        &[
            ("gen_ai.provider.name", "mock"),
            ("roomkit.room.id", "lobby"),
            ("roomkit.channel.id", "voice"),
            ("roomkit.transport", "mock"),
            ("roomkit.session.end_reason", "host"),
            ("roomkit.session.turns", "1"),
            ("roomkit.session.interruptions", "1"),
        ],
    );
    assert_eq!(session.value("otel.status_code"), None);
    has(
        &seen[2],
        &[
            ("gen_ai.operation.name", "chat"),
            ("otel.name", "chat"),
            ("otel.kind", "client"),
            ("gen_ai.response.id", "r1"),
            ("gen_ai.usage.input_tokens", "30"),
            ("gen_ai.usage.output_tokens", "12"),
            ("gen_ai.usage.cache_read.input_tokens", "20"),
            ("roomkit.turn.first_audio_ms", "700"),
            ("roomkit.turn.sent_ms", "700"),
            ("roomkit.response.status", "completed"),
        ],
    );
    let tools: Vec<_> = seen[3..6]
        .iter()
        .map(|span| {
            let outcome = span.value("roomkit.tool.outcome");
            let names = ["gen_ai.tool.name", "otel.name"].map(|name| span.value(name));
            (names, outcome)
        })
        .collect();
    assert_eq!(
        tools,
        [
            (
                [Some("weather"), Some("execute_tool weather")],
                Some("completed")
            ),
            (
                [Some("broken"), Some("execute_tool broken")],
                Some("failed")
            ),
            ([None, Some("execute_tool")], Some("failed")),
        ]
    );
    assert_eq!(seen[3].value("gen_ai.tool.call.id"), Some("c1"));
    has(&seen[6], &[("roomkit.response.status", "interrupted")]);
    has(
        &seen[7],
        &[
            ("roomkit.response.status", "lost"),
            ("error.type", "lost"),
            ("otel.status_code", "ERROR"),
        ],
    );
    has(
        &seen[8],
        &[
            ("roomkit.hand_over.reason", "lost"),
            ("error.type", "ws_1006"),
            ("roomkit.hand_over.outcome", "fresh"),
            ("roomkit.hand_over.attempts", "1"),
        ],
    );
    for span in &seen[1..9] {
        assert_eq!(span.parent, Some(0), "{span:?}");
    }
    assert_eq!(seen[9].parent, Some(8), "the hand-over's connection");
}

#[tokio::test(start_paused = true)]
async fn x1_x6_no_span_holds_a_word_that_was_said() {
    let (traces, _listening) = Traces::listen();
    let house = with_tools().await;
    eventful(&house).await;
    house.close(FrameworkEventKind::SessionEnded).await;
    for span in traces.all() {
        let said = span.values.values().find(|text| text.contains("hunter2"));
        assert_eq!(said, None, "{span:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_fails_says_so() {
    let (traces, _listening) = Traces::listen();
    let house = House::new().await;
    let refused = ProviderError::new(ProviderErrorKind::Authentication, "hunter2");
    house.provider.next_connect(ConnectOutcome::Fail(refused));
    let connection = roomkit_mock::MockConnection::new();
    let start = house.voice.start_session("lobby", "ann", connection);
    soon(start).await.unwrap_err();
    house.close(FrameworkEventKind::SessionEnded).await;
    let seen = traces.roomkit();
    let names: Vec<&str> = seen.iter().map(|span| span.name).collect();
    assert_eq!(names, ["roomkit.session", "roomkit.connect"]);
    for span in &seen {
        assert_eq!(span.value("error.type"), Some("authentication"), "{span:?}");
        assert_eq!(span.value("otel.status_code"), Some("ERROR"));
    }
    assert_eq!(seen[1].value("otel.kind"), Some("client"));
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_is_taken_back_has_been_cancelled() {
    let (traces, _listening) = Traces::listen();
    let gate = Gate::closed();
    let waiting = gate.clone();
    let slow = Tool::new(
        ToolDefinition::new("slow", "", json!({"type": "object"})),
        move |_: RealtimeSession, _: String, _: Map<String, Value>| {
            let gate = waiting.clone();
            async move {
                gate.wait().await;
                Ok("late".into())
            }
        },
    );
    let house = House::with(|voice| voice.tool(slow)).await;
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "slow", "{}");
    call.ai.simulate_tool_call("c2", "slow", "{}");
    settle().await;
    call.ai.simulate(ProviderEvent::ToolCallsCancelled {
        call_ids: vec!["c1".into()],
    });
    settle().await;
    house.voice.end_session(&call.session).await;
    house.close(FrameworkEventKind::SessionEnded).await;
    let seen = traces.roomkit();
    let tools: Vec<_> = seen.iter().filter(|it| it.name == "roomkit.tool").collect();
    assert_eq!(tools.len(), 2);
    for tool in tools {
        assert_eq!(tool.value("roomkit.tool.outcome"), Some("cancelled"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_that_takes_too_long_has_failed() {
    let (traces, _listening) = Traces::listen();
    let endless = Tool::new(
        ToolDefinition::new("endless", "", json!({"type": "object"})),
        |_: RealtimeSession, _: String, _: Map<String, Value>| std::future::pending(),
    );
    let house = House::with(|voice| voice.tool(endless).tool_timeout(ms(2000))).await;
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "endless", "{}");
    tokio::time::sleep(ms(2001)).await;
    settle().await;
    house.voice.end_session(&call.session).await;
    house.close(FrameworkEventKind::SessionEnded).await;
    let seen = traces.roomkit();
    let tool = seen.iter().find(|it| it.name == "roomkit.tool").unwrap();
    assert_eq!(tool.value("roomkit.tool.outcome"), Some("failed"));
    assert_eq!(tool.value("error.type"), Some("timeout"));
}

#[tokio::test(start_paused = true)]
async fn what_the_host_does_in_a_call_is_within_its_spans() {
    let (traces, _listening) = Traces::listen();
    let house = with_tools().await;
    house.voice.on_response_start(|_| async {
        let _hook = tracing::info_span!("observer").entered();
    });
    house.voice.on_audio(|_, _| async {
        let _tap = tracing::info_span!("tap").entered();
    });
    let outer = tracing::info_span!("request");
    let starting = house.call_with(SessionOptions::new());
    let call = tracing::Instrument::instrument(starting, outer).await;
    call.ai.simulate_response_start(None);
    call.ai.simulate_audio(pcm(ms(20)));
    settle().await;
    tool_call(&call, "c1", "weather").await;
    house.voice.end_session(&call.session).await;
    house.close(FrameworkEventKind::SessionEnded).await;
    let seen = traces.all();
    let parent_of = |name: &str| {
        let span = seen.iter().find(|span| span.name == name).unwrap();
        span.parent.map(|parent| seen[parent].name)
    };
    assert_eq!(parent_of("roomkit.session"), Some("request"));
    assert_eq!(parent_of("work"), Some("roomkit.tool"));
    assert_eq!(parent_of("observer"), Some("roomkit.session"));
    assert_eq!(parent_of("tap"), Some("roomkit.session"));
}

#[tokio::test(start_paused = true)]
async fn without_their_level_there_are_none() {
    let (traces, _listening) = Traces::listen_from(Level::WARN);
    let house = with_tools().await;
    eventful(&house).await;
    house.close(FrameworkEventKind::SessionEnded).await;
    assert!(traces.all().is_empty());
}

// ----- the page

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The words in code style.
fn quoted(text: &str) -> BTreeSet<String> {
    let parts = text.split('`').skip(1).step_by(2);
    parts.map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn the_page_on_tracing_lists_each_span_with_its_level_and_fields_and_no_other() {
    let (traces, _listening) = Traces::listen();
    let house = with_tools().await;
    eventful(&house).await;
    house.close(FrameworkEventKind::SessionEnded).await;
    let made: BTreeSet<(String, String, BTreeSet<String>)> = traces
        .roomkit()
        .into_iter()
        .map(|span| {
            let level = span.level.as_str().to_lowercase();
            (span.name.to_owned(), level, span.fields)
        })
        .collect();

    let page = fs::read_to_string(workspace().join("docs/tracing.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let (mut listed, mut fields, mut explained) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        if let [name, level, _, of_span] = cells[..] {
            let of_span = quoted(of_span);
            fields.extend(of_span.clone());
            listed.insert((name.trim_matches('`').to_owned(), level.to_owned(), of_span));
        } else {
            explained.extend(quoted(cells[0]));
        }
    }
    assert_eq!(listed, made);
    assert_eq!(explained, fields);
}

#[test]
fn every_span_of_the_sources_is_in_one_place() {
    let mut places = Vec::new();
    let mut folders = vec![workspace().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let skipped = ["target", "tests", "examples", "node_modules"];
            if path.is_dir() && !skipped.iter().any(|name| path.ends_with(name)) {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let spans = fs::read_to_string(&path).unwrap().matches("span!(").count();
                if spans > 0 {
                    places.push((path.file_name().unwrap().to_owned(), spans));
                }
            }
        }
    }
    assert_eq!(places, [("spans.rs".into(), 5)]);
}
