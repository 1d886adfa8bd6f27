//! Sessions start whole or not at all (contracts S1, S2, S4, S5, S6).

use roomkit_core::{
    RealtimeSessionState, RealtimeVoiceChannel, SessionOptions,
    client_protocol::ServerMessage,
    error::{
        ProviderError, ProviderErrorKind, RoomError, SessionError, StartError, TransportError,
    },
    framework::FrameworkEventKind,
    provider::{ProviderCommand, Role, SessionUpdate},
    tool::ToolDefinition,
    transport::{Connection, LinkInfo},
};
use roomkit_mock::{
    Counters, Gate, MockConnection, MockRealtimeProvider, MockRealtimeTransport,
    provider::ConnectOutcome, transport::AcceptOutcome,
};
use serde_json::{Map, json};
use tokio::time::Instant;

use crate::{
    spans::Traces,
    support::{House, ROOM, VOICE, ms, pcm, settle, soon},
};

/// Starts a session that must fail, and checks that nothing of it is left.
async fn failed_start(house: &House, connection: impl Into<Connection>) -> StartError {
    let start = house.voice.start_session(ROOM, "ann", connection);
    let error = soon(start).await.expect_err("the start must fail");
    settle().await;
    house.assert_nothing_left();
    error
}

async fn assert_never_started(house: House) {
    let started = house.close(FrameworkEventKind::SessionStarted).await;
    assert_eq!(started.len(), 0, "a failed start is not announced");
}

#[tokio::test(start_paused = true)]
async fn s1_a_start_tells_both_ends_and_the_kit() {
    let house = House::new().await;
    let call = house.call().await;
    assert_eq!(call.session.state(), RealtimeSessionState::Active);
    let ServerMessage::SessionStarted {
        session_id,
        room_id,
        input_sample_rate,
        output_sample_rate,
        ..
    } = call.client.messages().swap_remove(0)
    else {
        panic!("{:?}", call.client);
    };
    assert_eq!(session_id, *call.session.id());
    assert_eq!(room_id, ROOM);
    assert_eq!((input_sample_rate, output_sample_rate), (24_000, 24_000));
    let id = call.session.provider_session_id();
    assert_eq!(id, Some(format!("mock-{}", call.session.id())));
    let started = house.close(FrameworkEventKind::SessionStarted).await;
    assert_eq!(started.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn s1_a_missing_room_refuses() {
    let house = House::new().await;
    let start = house
        .voice
        .start_session("attic", "ann", MockConnection::new());
    let error = soon(start).await.unwrap_err();
    assert!(
        matches!(error, StartError::Room(RoomError::NotFound(_))),
        "{error}"
    );
    assert_eq!(error.code(), "room_not_found");
    house.assert_nothing_left();
    assert_never_started(house).await;
}

#[tokio::test(start_paused = true)]
async fn s1_a_closed_room_refuses() {
    let house = House::new().await;
    house.kit.close_room(ROOM).await.unwrap();
    let error = failed_start(&house, MockConnection::new()).await;
    assert!(
        matches!(error, StartError::Room(RoomError::Closed(_))),
        "{error}"
    );
    assert_never_started(house).await;
}

#[tokio::test(start_paused = true)]
async fn s1_a_channel_that_is_not_attached_refuses() {
    let house = House::new().await;
    house.kit.detach_channel(ROOM, VOICE).await.unwrap();
    let error = failed_start(&house, MockConnection::new()).await;
    let StartError::Room(RoomError::NotAttached { .. }) = error else {
        panic!("{error}");
    };
    assert_never_started(house).await;
}

#[tokio::test(start_paused = true)]
async fn s1_a_channel_that_is_not_registered_refuses() {
    let provider = std::sync::Arc::new(MockRealtimeProvider::new());
    let transport = std::sync::Arc::new(MockRealtimeTransport::new());
    let voice = RealtimeVoiceChannel::builder("loose", provider, transport)
        .build()
        .unwrap();
    let error = voice
        .start_session(ROOM, "ann", MockConnection::new())
        .await
        .unwrap_err();
    let StartError::Room(RoomError::ChannelNotRegistered(_)) = error else {
        panic!("{error}");
    };
}

#[tokio::test(start_paused = true)]
async fn s1_a_transport_that_refuses_undoes_the_start() {
    let house = House::new().await;
    let refused = TransportError::Refused("full".into());
    house
        .transport
        .next_accept(AcceptOutcome::Fail(refused.clone()));
    let error = failed_start(&house, MockConnection::new()).await;
    assert!(
        matches!(&error, StartError::Transport(e) if *e == refused),
        "{error}"
    );
    assert_eq!(house.provider.connects().len(), 0, "it was never asked");
    assert_never_started(house).await;
}

#[tokio::test(start_paused = true)]
async fn s1_a_connection_of_another_transport_is_refused() {
    let house = House::new().await;
    let error = failed_start(&house, Connection::new("a telephone")).await;
    let StartError::Transport(TransportError::WrongConnection { given, .. }) = error else {
        panic!("{error}");
    };
    assert_eq!(given, "&str");
}

#[tokio::test(start_paused = true)]
async fn s1_a_provider_that_refuses_undoes_the_start() {
    let counters = Counters::default();
    let _counting = counters.here();
    let house = House::new().await;
    let refused = ProviderError::new(ProviderErrorKind::Quota, "no money");
    house
        .provider
        .next_connect(ConnectOutcome::Fail(refused.clone()));
    let connection = MockConnection::new();
    let client = connection.client();
    let error = failed_start(&house, connection).await;
    assert!(
        matches!(&error, StartError::Provider(e) if *e == refused),
        "{error}"
    );
    assert_eq!(error.code(), "quota", "the step and its reason");
    assert_eq!(client.close_reasons().len(), 1);
    let [ServerMessage::Error { code, .. }] = &client.messages()[..] else {
        panic!("{client:?}");
    };
    assert_eq!(code, "quota");
    let errors = counters.all("roomkit_provider_errors_total");
    assert_eq!(
        errors,
        [("mock".to_owned(), 1)].into(),
        "an operator sees it"
    );
    assert_never_started(house).await;
}

#[tokio::test(start_paused = true)]
async fn s1_s2_a_provider_that_is_never_ready_times_out_and_the_session_ended() {
    let house = House::with(|voice| voice.connect_timeout(ms(5000))).await;
    house
        .provider
        .next_connect(ConnectOutcome::Hold(Gate::closed()));
    let voice = house.voice.clone();
    let start = tokio::spawn(async move {
        voice
            .start_session(ROOM, "ann", MockConnection::new())
            .await
    });
    house.provider.wait_for_attempts(1).await;
    let session = house.voice.sessions().swap_remove(0);
    assert_eq!(session.state(), RealtimeSessionState::Connecting);
    let error = soon(start).await.unwrap().unwrap_err();
    assert_eq!(error.code(), "timeout");
    settle().await;
    assert_eq!(session.state(), RealtimeSessionState::Ended);
    house.assert_nothing_left();
    assert_never_started(house).await;
}

#[tokio::test(start_paused = true)]
async fn s1_a_client_that_cannot_be_told_undoes_the_start() {
    let house = House::new().await;
    let connection = MockConnection::new();
    connection
        .client()
        .fail_sends(TransportError::Disconnected("gone".into()));
    let error = failed_start(&house, connection).await;
    assert!(matches!(error, StartError::Announce(_)), "{error}");
    assert_eq!(
        house.provider.last().closes(),
        1,
        "the provider is told goodbye"
    );
    assert_never_started(house).await;
}

#[tokio::test(start_paused = true)]
async fn s1_a_client_that_reads_nothing_undoes_the_start() {
    let house = House::new().await;
    let connection = MockConnection::new();
    connection.client().stall();
    let error = failed_start(&house, connection).await;
    assert!(matches!(error, StartError::Announce(_)), "{error}");
    assert_never_started(house).await;
}

#[tokio::test(start_paused = true)]
async fn s1_a_client_that_leaves_during_the_start_undoes_it() {
    let house = House::new().await;
    house
        .provider
        .next_connect(ConnectOutcome::Hold(Gate::closed()));
    let connection = MockConnection::new();
    let client = connection.client();
    let voice = house.voice.clone();
    let start = tokio::spawn(async move { voice.start_session(ROOM, "ann", connection).await });
    house.provider.wait_for_attempts(1).await;
    client.disconnect();
    let error = soon(start).await.unwrap().unwrap_err();
    assert!(matches!(error, StartError::Ended(_)), "{error}");
    settle().await;
    house.assert_nothing_left();
    assert_never_started(house).await;
}

#[tokio::test(start_paused = true)]
async fn s1_bad_tools_of_a_session_are_refused_before_anything_begins() {
    let house = House::new().await;
    let broken = ToolDefinition::new("weather", "", json!({"type": 7}));
    let options = SessionOptions::new().tools([broken]);
    let start = house
        .voice
        .start_session_with(ROOM, "ann", MockConnection::new(), options);
    let error = soon(start).await.unwrap_err();
    assert_eq!(error.code(), "invalid_config");
    assert!(error.to_string().contains("weather"), "{error}");
    house.assert_nothing_left();
    assert!(house.transport.clients().is_empty());
}

#[tokio::test(start_paused = true)]
async fn s1_a_start_cancelled_while_the_transport_accepts_leaves_nothing() {
    let house = House::new().await;
    house
        .transport
        .next_accept(AcceptOutcome::Hold(Gate::closed()));
    let voice = house.voice.clone();
    let start = tokio::spawn(async move {
        let _ = voice
            .start_session(ROOM, "ann", MockConnection::new())
            .await;
    });
    house.transport.wait_for_attempts(1).await;
    let session = house.voice.sessions().swap_remove(0);
    start.abort();
    let _ = start.await;
    settle().await;
    assert_eq!(session.state(), RealtimeSessionState::Ended);
    house.assert_nothing_left();
    assert_never_started(house).await;
}

#[tokio::test(start_paused = true)]
async fn s1_a_start_cancelled_while_the_provider_connects_leaves_nothing() {
    let house = House::new().await;
    house
        .provider
        .next_connect(ConnectOutcome::Hold(Gate::closed()));
    let voice = house.voice.clone();
    let start = tokio::spawn(async move {
        let _ = voice
            .start_session(ROOM, "ann", MockConnection::new())
            .await;
    });
    house.provider.wait_for_attempts(1).await;
    let session = house.voice.sessions().swap_remove(0);
    start.abort();
    house.transport.last().wait_for_close().await;
    settle().await;
    assert_eq!(session.state(), RealtimeSessionState::Ended);
    house.assert_nothing_left();
    assert_never_started(house).await;
}

#[tokio::test(start_paused = true)]
async fn s1_a_start_that_is_dropped_before_it_hears_that_the_session_is_active_ends_it() {
    let house = House::new().await;
    let ready = Gate::closed();
    house
        .provider
        .next_connect(ConnectOutcome::Hold(ready.clone()));
    let mut start = Box::pin(
        house
            .voice
            .start_session(ROOM, "ann", MockConnection::new()),
    );
    tokio::select! {
        _ = &mut start => panic!("the provider is not ready"),
        () = house.provider.wait_for_attempts(1) => {}
    }
    let session = house.voice.sessions().swap_remove(0);
    ready.open();
    settle().await;
    assert_eq!(session.state(), RealtimeSessionState::Active, "it was told");
    drop(start);
    assert_eq!(house.transport.last().wait_for_close().await, "host");
    settle().await;
    assert_eq!(session.state(), RealtimeSessionState::Ended);
    house.assert_nothing_left();
}

#[tokio::test(start_paused = true)]
async fn s1_a_room_closed_while_the_session_starts_ends_the_start() {
    let house = House::new().await;
    house
        .provider
        .next_connect(ConnectOutcome::Hold(Gate::closed()));
    let voice = house.voice.clone();
    let start = tokio::spawn(async move {
        voice
            .start_session(ROOM, "ann", MockConnection::new())
            .await
    });
    house.provider.wait_for_attempts(1).await;
    soon(house.kit.close_room(ROOM)).await.unwrap();
    let error = soon(start).await.unwrap().unwrap_err();
    assert!(matches!(error, StartError::Ended(_)), "{error}");
    house.assert_nothing_left();
    assert_never_started(house).await;
}

#[tokio::test(start_paused = true)]
async fn s2_nothing_revives_an_ended_session() {
    let house = House::new().await;
    let call = house.call().await;
    house.voice.end_session(&call.session).await;
    let before = (call.client.commands(), call.ai.commands());

    call.ai.simulate_response_start(None);
    call.ai.simulate_audio(pcm(ms(100)));
    call.ai
        .simulate_transcription("late", Role::Assistant, true, None);
    call.client.send_audio(pcm(ms(20)));
    let said = house
        .voice
        .inject_text(&call.session, "hello", Role::User, false);
    assert_eq!(said, Err(SessionError::Ended(call.session.id().clone())));
    settle().await;

    assert_eq!(call.session.state(), RealtimeSessionState::Ended);
    assert_eq!((call.client.commands(), call.ai.commands()), before);
    assert!(house.texts().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn s4_what_the_user_says_before_the_provider_is_ready_goes_first_and_in_order() {
    let house = House::new().await;
    let gate = Gate::closed();
    house
        .provider
        .next_connect(ConnectOutcome::Hold(gate.clone()));
    let connection = MockConnection::new();
    let client = connection.client();
    let voice = house.voice.clone();
    let start = tokio::spawn(async move { voice.start_session(ROOM, "ann", connection).await });
    house.provider.wait_for_attempts(1).await;
    for number in 0..10_u8 {
        client.send_audio(vec![number; 960]);
    }
    settle().await;
    gate.open();
    soon(start).await.unwrap().unwrap();
    client.send_audio(vec![10; 960]);
    let ai = house.provider.last();
    ai.wait_for_commands(11, |c| matches!(c, ProviderCommand::Audio(_)))
        .await;
    let order: Vec<u8> = ai.sent_audio().iter().map(|frame| frame[0]).collect();
    assert_eq!(order, (0..=10).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn s4_early_audio_is_kept_up_to_a_mebibyte_and_then_the_newest_is_dropped() {
    let (traces, _listening) = Traces::listen();
    let house = House::new().await;
    let gate = Gate::closed();
    house
        .provider
        .next_connect(ConnectOutcome::Hold(gate.clone()));
    let connection = MockConnection::new();
    let client = connection.client();
    let voice = house.voice.clone();
    let start = tokio::spawn(async move { voice.start_session(ROOM, "ann", connection).await });
    house.provider.wait_for_attempts(1).await;
    for number in 0..20_u8 {
        client.send_audio(vec![number; 1 << 16]);
    }
    settle().await;
    gate.open();
    soon(start).await.unwrap().unwrap();
    // Sent faster than real time, but not all at once.
    tokio::time::sleep(ms(20_000)).await;
    let sent = house.provider.last().sent_audio();
    let order: Vec<u8> = sent.iter().map(|frame| frame[0]).collect();
    assert_eq!(order, (0..16).collect::<Vec<_>>());
    assert_eq!(
        traces.warnings(),
        ["the client sends more audio than is kept while the provider connects"],
        "once, however much is dropped"
    );
}

#[tokio::test(start_paused = true)]
async fn s5_a_session_differs_from_its_channel_where_it_says_so() {
    let tool = |name: &str| ToolDefinition::new(name, "", json!({"type": "object"}));
    let link = {
        let mut link = LinkInfo::new(24_000, 24_000);
        link.metadata = Map::from_iter([
            ("user".into(), json!("ann")),
            ("ticket".into(), json!("the client's word")),
        ]);
        link
    };
    let config = Map::from_iter([("a".into(), json!(1)), ("b".into(), json!(2))]);
    let house = House::of(
        MockRealtimeProvider::new(),
        MockRealtimeTransport::new().with_link(link),
        |voice| {
            voice
                .system_prompt("be brief")
                .voice("alto")
                .temperature(0.5)
                .provider_config(config)
                .tool(tool("weather"))
        },
    )
    .await;
    house.call().await;
    let options = SessionOptions::new()
        .system_prompt("be kind")
        .voice("bass")
        .temperature(0.9)
        .provider_config("b", 3)
        .tools([tool("clock")])
        .metadata("ticket", 7);
    let other = house.call_with(options).await;

    let setups = house.provider.connects();
    let names = |setup: &roomkit_core::provider::SessionSetup| {
        let tools = setup.tools.iter().map(|tool| tool.name.clone());
        tools.collect::<Vec<_>>()
    };
    let first = &setups[0];
    assert_eq!(first.system_prompt.as_deref(), Some("be brief"));
    assert_eq!(first.voice.as_deref(), Some("alto"));
    assert_eq!(first.temperature, Some(0.5));
    assert_eq!(json!(first.provider_config), json!({"a": 1, "b": 2}));
    assert_eq!(names(first), ["weather"]);
    let second = &setups[1];
    assert_eq!(second.system_prompt.as_deref(), Some("be kind"));
    assert_eq!(second.voice.as_deref(), Some("bass"));
    assert_eq!(second.temperature, Some(0.9));
    let layers: Vec<_> = second.provider_layers().map(|layer| json!(layer)).collect();
    assert_eq!(layers, [json!({"a": 1, "b": 2}), json!({"b": 3})]);
    assert_eq!(names(second), ["clock"]);
    assert_eq!(
        json!(other.session.metadata()),
        json!({"ticket": 7, "user": "ann"})
    );
}

#[tokio::test(start_paused = true)]
async fn s5_changing_a_live_session_changes_that_one_only() {
    let house = House::new().await;
    let (ann, bob) = (house.call().await, house.call().await);
    let update = SessionUpdate {
        voice: Some("bass".into()),
        ..SessionUpdate::default()
    };
    house
        .voice
        .update_session(&ann.session, update.clone())
        .await
        .unwrap();
    let sent = ann
        .ai
        .wait_for_command(|command| matches!(command, ProviderCommand::Update(_)))
        .await;
    assert_eq!(sent, ProviderCommand::Update(update));
    settle().await;
    assert_eq!(bob.ai.commands(), []);
}

#[tokio::test(start_paused = true)]
async fn s6_a_channel_that_is_full_refuses_until_one_ends() {
    let house = House::with(|voice| voice.max_sessions(1)).await;
    let call = house.call().await;
    let start = house
        .voice
        .start_session(ROOM, "bob", MockConnection::new());
    let error = soon(start).await.unwrap_err();
    assert!(matches!(error, StartError::TooManySessions(1)), "{error}");
    house.voice.end_session(&call.session).await;
    house.call().await;
}

#[tokio::test(start_paused = true)]
async fn s6_silence_and_duration_have_their_limits() {
    let house = House::with(|voice| voice.idle_timeout(ms(20_000)).max_duration(ms(50_000))).await;
    let call = house.call().await;
    assert_eq!(call.client.wait_for_close().await, "idle_timeout");

    let call = house.call().await;
    let talk = async {
        loop {
            tokio::time::sleep(ms(10_000)).await;
            call.ai.simulate_speech_start(None);
            call.ai.simulate_speech_end(None);
        }
    };
    tokio::select! {
        () = talk => unreachable!(),
        reason = call.client.wait_for_close() => assert_eq!(reason, "max_duration"),
    }
}

#[tokio::test(start_paused = true)]
async fn s1_a_closed_kit_starts_nothing() {
    let house = House::new().await;
    house.kit.close().await;
    let start = house
        .voice
        .start_session(ROOM, "ann", MockConnection::new());
    let error = soon(start).await.unwrap_err();
    assert!(
        matches!(error, StartError::Closed | StartError::Room(_)),
        "{error}"
    );
    house.assert_nothing_left();
}

#[tokio::test(start_paused = true)]
async fn s3_r6_a_room_that_closes_while_a_transport_accepts_waits_for_no_client() {
    let house = House::new().await;
    house
        .transport
        .next_accept(AcceptOutcome::Hold(Gate::closed()));
    let voice = house.voice.clone();
    let start = tokio::spawn(async move {
        voice
            .start_session(ROOM, "ann", MockConnection::new())
            .await
    });
    house.transport.wait_for_attempts(1).await;
    let began = Instant::now();
    house.kit.close_room(ROOM).await.unwrap();
    assert!(began.elapsed() < ms(1000), "{:?}", began.elapsed());
    let error = start.await.unwrap().unwrap_err();
    assert!(matches!(error, StartError::Ended(_)), "{error}");
    house.assert_nothing_left();
}

#[tokio::test(start_paused = true)]
async fn s1_a_transport_that_never_accepts_times_out() {
    let house = House::new().await;
    house
        .transport
        .next_accept(AcceptOutcome::Hold(Gate::closed()));
    let started = house
        .voice
        .start_session(ROOM, "ann", MockConnection::new());
    let refused = started.await.unwrap_err();
    assert!(matches!(refused, StartError::Transport(_)), "{refused}");
    house.assert_nothing_left();
}
