//! A conversation outlives its provider connection (contracts H1 to H6), through the public API.

use std::time::Duration;

use roomkit_core::{
    SessionOptions,
    client_protocol::ServerMessage,
    error::{ConfigError, ProviderError, ProviderErrorKind},
    event::{HandOverPhase, RealtimeHandOverEvent},
    framework::{FrameworkEvent, FrameworkEventKind},
    provider::{
        Continuation, HistoryItem, HistorySupport, ProviderCapabilities, ProviderCommand,
        ProviderEvent, RealtimeVoiceProvider, ResumeToken, Role, SessionUpdate,
    },
    room::NewEvent,
    tool::{Tool, ToolDefinition},
    voice::HistorySeed,
};
use roomkit_mock::{
    Gate, MockProviderConnection, MockRealtimeProvider, MockRealtimeTransport,
    provider::ConnectOutcome,
};
use serde_json::{Map, json};

use crate::support::{Call, DESK, House, Notes, ROOM, ms, pcm, settle, soon};

fn replaying() -> ProviderCapabilities {
    let mut capabilities = MockRealtimeProvider::new().capabilities();
    capabilities.history = HistorySupport::Full;
    capabilities.overlaps = true;
    capabilities.transcribes_user = true;
    capabilities
}

fn resuming() -> ProviderCapabilities {
    let mut capabilities = MockRealtimeProvider::new().capabilities();
    capabilities.continuation = Continuation::Automatic;
    capabilities.history = HistorySupport::Text;
    capabilities.resumes = true;
    capabilities
}

async fn house(capabilities: ProviderCapabilities) -> House {
    let provider = MockRealtimeProvider::new().with_capabilities(capabilities);
    House::of(provider, MockRealtimeTransport::new(), |voice| voice).await
}

fn network() -> ProviderError {
    ProviderError::new(ProviderErrorKind::Network, "cut").with_code("ws_1006")
}

fn said(role: Role, text: &str) -> HistoryItem {
    HistoryItem::Message {
        role,
        text: text.into(),
    }
}

/// A question and its answer, heard to the end.
async fn turn(call: &Call, ai: &MockProviderConnection, id: &str) {
    ai.simulate_speech_start(Some(&format!("u{id}")));
    ai.simulate_speech_end(Some(&format!("u{id}")));
    let question = format!("question {id}");
    ai.simulate_transcription(question, Role::User, true, Some(&format!("u{id}")));
    ai.simulate_response_start(Some(&format!("r{id}")));
    ai.simulate_item_audio(format!("a{id}").as_str(), pcm(ms(200)));
    let answer = format!("answer {id}");
    ai.simulate_transcription(
        answer.as_str(),
        Role::Assistant,
        true,
        Some(&format!("a{id}")),
    );
    ai.simulate_response_end(Some(&format!("r{id}")));
    call.wait_for_final(&answer).await;
}

async fn reports(house: House) -> Vec<FrameworkEvent> {
    house.close(FrameworkEventKind::HandOverFinished).await
}

#[tokio::test(start_paused = true)]
async fn h2_a_lost_connection_is_replaced_and_the_call_goes_on() {
    let house = house(replaying()).await;
    let call = house.call().await;
    turn(&call, &call.ai, "1").await;
    call.ai.simulate_closed(Some(network()));
    call.client
        .wait_for_message(|m| matches!(m, ServerMessage::Reconnected))
        .await;
    let next = house.provider.session(call.session.id());
    let history = house.provider.connects().pop().unwrap().history;
    assert_eq!(
        history,
        [
            said(Role::User, "question 1"),
            said(Role::Assistant, "answer 1")
        ]
    );
    turn(&call, &next, "2").await;
    assert_eq!(
        house.texts().await,
        ["question 1", "answer 1", "question 2", "answer 2"]
    );
    house.voice.end_session(&call.session).await;
    assert_eq!(next.closes(), 1);
    house.assert_nothing_left();
    let mut reports = house.close_whole().await;
    reports.retain(|event| event.kind.as_str().starts_with("hand_over"));
    let started = reports.remove(0);
    assert_eq!(started.kind, FrameworkEventKind::HandOverStarted);
    assert_eq!(started.data["reason"], "lost");
    assert_eq!(started.data["code"], "ws_1006");
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].kind, FrameworkEventKind::HandOverFinished);
    assert_eq!(reports[0].data["reason"], "lost");
    assert_eq!(reports[0].data["outcome"], "replayed");
    assert_eq!(reports[0].data["attempts"], 1);
    assert_eq!(reports[0].data["provider"], "mock");
}

#[tokio::test(start_paused = true)]
async fn h1_the_host_hands_over_and_nobody_hears_it() {
    let house = house(replaying()).await;
    let seen: Notes = Notes::default();
    let notes = seen.clone();
    house
        .voice
        .on_hand_over(move |event: RealtimeHandOverEvent| {
            notes.add(match event.phase {
                HandOverPhase::Started { reason } => format!("started: {reason:?}"),
                HandOverPhase::Finished {
                    outcome, attempts, ..
                } => format!("finished: {outcome:?} after {attempts}"),
                other => format!("{other:?}"),
            });
            async {}
        });
    let call = house.call().await;
    let first = call.ai.clone();
    house.voice.hand_over(&call.session).unwrap();
    house.provider.wait_for_attempts(2).await;
    first.wait_for_close().await;
    let next = house.provider.session(call.session.id());
    call.client.send_audio(pcm(ms(20)));
    next.wait_for_command(|c| matches!(c, ProviderCommand::Audio(_)))
        .await;
    assert_eq!(first.closes(), 1, "it is told goodbye");
    assert_eq!(seen.all(), ["started: Host", "finished: Replayed after 1"]);
    let told = call.client.messages();
    assert!(
        matches!(told[..], [ServerMessage::SessionStarted { .. }]),
        "{told:?}"
    );
    house.voice.end_session(&call.session).await;
    house.assert_nothing_left();
}

#[tokio::test(start_paused = true)]
async fn h1_the_old_connection_is_closed_first_where_two_may_not_overlap() {
    let house = house(resuming()).await;
    let call = house.call().await;
    call.ai
        .simulate(ProviderEvent::Resumable(ResumeToken::new("handle")));
    let gate = Gate::closed();
    house
        .provider
        .next_connect(ConnectOutcome::Hold(gate.clone()));
    call.ai.simulate(ProviderEvent::GoAway {
        time_left: Some(Duration::from_secs(50)),
    });
    house.provider.wait_for_attempts(2).await;
    assert_eq!(call.ai.closes(), 1);
    assert_eq!(house.provider.open_connections(), 0);
    let setup = house.provider.connects().pop().unwrap();
    assert_eq!(setup.resume.unwrap().expose(), "handle");
    for number in 0..25_u8 {
        call.client.send_audio(vec![number; 960]);
    }
    settle().await;
    gate.open();
    call.client.send_audio(vec![25; 960]);
    let next = house.provider.wait_for_connect().await;
    let next = if next.is_open() {
        next
    } else {
        house.provider.wait_for_connect().await
    };
    next.wait_for_commands(26, |c| matches!(c, ProviderCommand::Audio(_)))
        .await;
    let order: Vec<u8> = next.sent_audio().iter().map(|pcm| pcm[0]).collect();
    assert_eq!(order, (0..=25).collect::<Vec<u8>>(), "held, in order");
    house.voice.end_session(&call.session).await;
    house.assert_nothing_left();
}

#[tokio::test(start_paused = true)]
async fn x5_a_notice_that_no_clock_reaches_the_end_of_is_none() {
    let house = house(resuming()).await;
    let call = house.call().await;
    // As long as somebody speaks there is no quiet moment, and nothing else to wake for.
    call.ai
        .simulate(ProviderEvent::SpeechStarted { item_id: None });
    call.ai.simulate(ProviderEvent::GoAway {
        time_left: Some(Duration::MAX),
    });
    settle().await;
    call.client.send_audio(pcm(ms(20)));
    call.ai
        .wait_for_command(|c| matches!(c, ProviderCommand::Audio(_)))
        .await;
    assert_eq!(house.provider.connections().len(), 1);
    house.voice.end_session(&call.session).await;
    house.assert_nothing_left();
}

#[tokio::test(start_paused = true)]
async fn h1_a_connection_is_replaced_before_it_expires_or_grows_old() {
    let provider = MockRealtimeProvider::new()
        .with_capabilities(replaying())
        .with_expiry(Duration::from_secs(3600));
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| {
        voice.max_connection_age(Duration::from_secs(1200))
    })
    .await;
    let call = house.call().await;
    tokio::time::sleep(Duration::from_secs(3 * 3600)).await;
    let connections = house.provider.connections().len();
    assert_eq!(connections, 10, "every 19 minutes");
    assert_eq!(house.provider.open_connections(), 1);
    house.voice.end_session(&call.session).await;
    let reports = reports(house).await;
    assert!(reports.iter().all(|r| r.data["reason"] == "max_age"));
    assert_eq!(reports.len(), 9);
}

#[tokio::test(start_paused = true)]
async fn h2_when_no_connection_can_be_had_the_session_ends_with_the_reason() {
    let house = house(resuming()).await;
    let call = house.call().await;
    for _ in 0..5 {
        let refused = ProviderError::new(ProviderErrorKind::Server, "down").with_code("http_503");
        house.provider.next_connect(ConnectOutcome::Fail(refused));
    }
    call.ai.simulate_closed(Some(network()));
    assert_eq!(call.client.wait_for_close().await, "provider_error");
    let told = call.client.messages();
    let codes = told.iter().filter_map(|message| match message {
        ServerMessage::Reconnecting => Some("reconnecting"),
        ServerMessage::Reconnected => Some("reconnected"),
        ServerMessage::Error { code, .. } => Some(code.as_str()),
        ServerMessage::SessionEnded { reason } => Some(reason.as_str()),
        _ => None,
    });
    assert_eq!(
        codes.collect::<Vec<_>>(),
        ["reconnecting", "http_503", "provider_error"]
    );
    assert_eq!(house.provider.connects().len(), 6);
    house.assert_nothing_left();
    let reports = reports(house).await;
    assert_eq!(reports[0].data["outcome"], "failed");
}

#[tokio::test(start_paused = true)]
async fn h2_a_connect_that_never_ends_is_given_up_and_tried_again() {
    let house = house(resuming()).await;
    let call = house.call().await;
    house
        .provider
        .next_connect(ConnectOutcome::Hold(Gate::closed()));
    call.ai.simulate_closed(Some(network()));
    call.client
        .wait_for_message(|m| matches!(m, ServerMessage::Reconnected))
        .await;
    assert_eq!(house.provider.connects().len(), 3);
    assert_eq!(house.provider.pending_connects(), 0, "it was abandoned");
}

#[tokio::test(start_paused = true)]
async fn s7_a_session_that_ends_while_it_reconnects_leaves_nothing() {
    let house = house(resuming()).await;
    let call = house.call().await;
    house
        .provider
        .next_connect(ConnectOutcome::Hold(Gate::closed()));
    call.ai.simulate_closed(Some(network()));
    house.provider.wait_for_attempts(2).await;
    soon(house.voice.end_session(&call.session)).await;
    settle().await;
    house.assert_nothing_left();
    let reports = reports(house).await;
    assert_eq!(reports[0].data["outcome"], "failed", "it has its end");
}

#[tokio::test(start_paused = true)]
async fn h5_a_connection_that_takes_nothing_is_replaced_and_hears_what_it_missed() {
    let house = house(replaying()).await;
    let call = house.call().await;
    call.ai.stall();
    for number in 0..10_u8 {
        call.client.send_audio(vec![number; 960]);
        tokio::time::sleep(ms(20)).await;
    }
    let first = house.provider.wait_for_connect().await;
    let next = house.provider.wait_for_connect().await;
    assert!(!first.is_open());
    next.wait_for_commands(10, |c| matches!(c, ProviderCommand::Audio(_)))
        .await;
    let order: Vec<u8> = next.sent_audio().iter().map(|pcm| pcm[0]).collect();
    assert_eq!(order, (0..10).collect::<Vec<u8>>());
}

#[tokio::test(start_paused = true)]
async fn k1_k2_a_tool_that_runs_through_a_loss_is_answered_once_on_the_next_connection() {
    let notes = Notes::default();
    let (log, gate) = (notes.clone(), Gate::closed());
    let answers = gate.clone();
    let provider = MockRealtimeProvider::new().with_capabilities(replaying());
    let house = House::of(provider, MockRealtimeTransport::new(), move |voice| {
        let definition = ToolDefinition::new("book", "", json!({"type": "object"}));
        voice.tool(Tool::new(definition, move |_, _, _| {
            log.add("booked");
            let gate = answers.clone();
            async move {
                gate.wait().await;
                Ok("table 4".into())
            }
        }))
    })
    .await;
    let call = house.call().await;
    call.ai.simulate_tool_call("c1", "book", "{}");
    call.client
        .wait_for_message(|m| matches!(m, ServerMessage::ToolCall { .. }))
        .await;
    call.ai.simulate_closed(Some(network()));
    call.client
        .wait_for_message(|m| matches!(m, ServerMessage::Reconnected))
        .await;
    let next = house.provider.session(call.session.id());
    next.simulate_tool_call("c1", "book", "{}");
    settle().await;
    gate.open();
    next.wait_for_command(|c| matches!(c, ProviderCommand::ToolResult { .. }))
        .await;
    settle().await;
    assert_eq!(next.tool_results().len(), 1);
    assert_eq!(next.tool_results()[0].output, "table 4");
    assert_eq!(next.responds(), 1);
    assert!(call.ai.tool_results().is_empty());
    assert_eq!(notes.all(), ["booked"], "the handler ran once");
}

#[tokio::test(start_paused = true)]
async fn s5_a_change_of_a_live_session_outlives_the_connection() {
    let of_channel = Map::from_iter([("codec".to_owned(), json!("pcmu"))]);
    let house = House::of(
        MockRealtimeProvider::new().with_capabilities(replaying()),
        MockRealtimeTransport::new(),
        |voice| voice.provider_config(of_channel),
    )
    .await;
    let options = SessionOptions::new()
        .system_prompt("be brief")
        .provider_config("speed", 1.0);
    let call = house.call_with(options).await;
    let update = SessionUpdate {
        system_prompt: Some("be kind".into()),
        provider_config: Some([("speed".to_owned(), json!(1.2))].into_iter().collect()),
        ..SessionUpdate::default()
    };
    // What was changed again since is not told any more.
    let earlier = SessionUpdate {
        provider_config: Some([("speed".to_owned(), json!(1.1))].into_iter().collect()),
        ..SessionUpdate::default()
    };
    for update in [earlier, update] {
        house
            .voice
            .update_session(&call.session, update)
            .await
            .unwrap();
    }
    call.ai
        .wait_for_command(
            |c| matches!(c, ProviderCommand::Update(update) if update.system_prompt.is_some()),
        )
        .await;
    call.ai.simulate_closed(Some(network()));
    house.provider.wait_for_attempts(2).await;
    let setup = house.provider.connects().pop().unwrap();
    assert_eq!(setup.system_prompt.as_deref(), Some("be kind"));
    // How the vendor's own settings go together only the provider knows: it is told of each.
    let layers: Vec<_> = setup.provider_layers().map(|layer| json!(layer)).collect();
    assert_eq!(layers, [json!({"codec": "pcmu"}), json!({"speed": 1.2})]);
}

#[tokio::test(start_paused = true)]
async fn a_session_in_a_room_with_a_past_can_be_told_of_it() {
    let seeded = |seed| {
        House::of(
            MockRealtimeProvider::new().with_capabilities(replaying()),
            MockRealtimeTransport::new(),
            move |voice| voice.seed_history(seed),
        )
    };
    let house = seeded(HistorySeed::Turns(4)).await;
    let call = house.call().await;
    turn(&call, &call.ai, "1").await;
    turn(&call, &call.ai, "2").await;
    house.voice.end_session(&call.session).await;
    let note = NewEvent::text("VIP customer");
    house.kit.send_event(ROOM, DESK, note).await.unwrap();
    let secret = NewEvent::text("not for the AI").visibility("elsewhere".parse().unwrap());
    house.kit.send_event(ROOM, DESK, secret).await.unwrap();
    let again = house.call().await;
    let setup = house.provider.connects().pop().unwrap();
    let told = [
        said(Role::Assistant, "answer 1"),
        said(Role::User, "question 2"),
        said(Role::Assistant, "answer 2"),
        said(Role::System, "VIP customer"),
    ];
    assert_eq!(setup.history, told, "the last four, oldest first");
    // And a hand-over tells it again, with what came after.
    turn(&again, &again.ai, "3").await;
    again.ai.simulate_closed(Some(network()));
    house.provider.wait_for_attempts(3).await;
    let setup = house.provider.connects().pop().unwrap();
    assert_eq!(setup.history[..4], told);
    assert_eq!(setup.history.len(), 6);

    let house = seeded(HistorySeed::Tokens(5)).await;
    for text in [
        "too long to be told at all, this one",
        "twelve chars",
        "eight ch",
    ] {
        let event = NewEvent::text(text);
        house.kit.send_event(ROOM, DESK, event).await.unwrap();
    }
    house.call().await;
    let setup = house.provider.connects().pop().unwrap();
    assert_eq!(
        setup.history,
        [
            said(Role::System, "twelve chars"),
            said(Role::System, "eight ch")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_cannot_be_told_of_a_past_refuses_the_seed() {
    let (provider, transport) = (MockRealtimeProvider::new(), MockRealtimeTransport::new());
    let built = roomkit_core::RealtimeVoiceChannel::builder(
        "voice",
        std::sync::Arc::new(provider),
        std::sync::Arc::new(transport),
    )
    .seed_history(HistorySeed::Turns(3))
    .build();
    let Err(ConfigError::Field { field, problem }) = built else {
        panic!("{built:?}")
    };
    assert_eq!(field, "seed_history");
    assert!(problem.contains("mock"), "{problem}");
}

#[tokio::test(start_paused = true)]
async fn h3_a_quota_that_ends_ends_the_call() {
    let house = house(replaying()).await;
    let call = house.call().await;
    let spent = ProviderError::new(ProviderErrorKind::Quota, "spent").with_code("quota");
    call.ai.simulate_closed(Some(spent));
    assert_eq!(call.client.wait_for_close().await, "provider_error");
    assert_eq!(house.provider.connects().len(), 1);
}
