//! How sessions of clients begin and end, and what is left of them: nothing.

use std::{future::poll_fn, sync::Arc, task::Poll, time::Duration};

use roomkit_core::{
    RealtimeVoiceChannel,
    error::{ProviderError, ProviderErrorKind, StartError, TransportError},
    framework::{FrameworkEventKind, FrameworkEvents},
    transport::Connection,
};
use roomkit_mock::{Gate, MockRealtimeProvider, provider::ConnectOutcome};
use roomkit_transport_webrtc::{
    ClientOffer, WebRtcId, WebRtcRealtimeTransport, WebRtcTransportConfig,
};
use serde_json::json;

use crate::support::*;

async fn server(ai: &MockRealtimeProvider) -> Server {
    Server::start(ai).await
}

async fn server_with(config: WebRtcTransportConfig, ai: &MockRealtimeProvider) -> Server {
    Server::with(config, open_door(), Arc::new(ai.clone())).await
}

/// Nothing is left of any client.
async fn is_empty(server: &Server) {
    until(|| server.transport.clients() == 0).await;
    soon(server.admission.wait_idle()).await;
    until(|| server.voice.sessions().is_empty()).await;
}

#[tokio::test]
async fn s1_a_client_is_told_why_there_is_no_session_and_sent_away() {
    let ai = MockRealtimeProvider::new();
    let server = server(&ai).await;
    let key = ProviderError::new(ProviderErrorKind::Authentication, "the key sk-1 is bad");
    ai.next_connect(ConnectOutcome::Fail(key));
    for (room, code) in [
        (LOBBY, "provider"),
        ("missing", "room"),
        ("panic", "failed"),
    ] {
        let http = server.http.with_query(&format!("room={room}"));
        let mut client = Client::connect_as(Kind::default(), &http).await;
        let error = client.message("error").await;
        assert_eq!(error["code"], code, "{error}");
        assert!(!error.to_string().contains("sk-1"), "{error}");
        client.sent_away().await;
        assert_eq!(client.messages.len(), 1, "{:?}", client.messages);
        is_empty(&server).await;
    }
}

#[tokio::test]
async fn s1_a_client_without_a_channel_is_sent_away_as_well() {
    let server = server(&MockRealtimeProvider::new()).await;
    let kind = Kind {
        channel: Channel::Absent,
        ..Kind::default()
    };
    let http = server.http.with_query("room=missing");
    let client = Client::connect_as(kind, &http).await;
    is_empty(&server).await;
    let candidate = server.http.offer(&client.candidate("")).await;
    assert_eq!(candidate.status, 410);
}

#[tokio::test]
async fn s1_an_id_that_makes_no_session_is_a_typed_error() {
    let ai = MockRealtimeProvider::new();
    let server = server(&ai).await;
    let mut client = Client::call(&server).await;
    let start = async |id: &str| {
        let started = server.voice.start_session(LOBBY, "bob", WebRtcId::from(id));
        match started.await {
            Err(StartError::Transport(TransportError::Refused(problem))) => problem,
            other => panic!("{other:?}"),
        }
    };
    assert!(start("nobody").await.contains("no client has come"));
    assert!(start(&client.id).await.contains("has a session already"));
    // It has harmed the one who has the id in no way.
    client.ping().await;
    assert_eq!(server.voice.sessions().len(), 1);
    client.close().await;
    is_empty(&server).await;
    assert!(start(&client.id).await.contains("is gone"));
    let wrong = Connection::new("a text");
    let wrong = server.voice.start_session(LOBBY, "bob", wrong).await;
    assert!(matches!(
        wrong,
        Err(StartError::Transport(
            TransportError::WrongConnection { .. }
        ))
    ));
}

#[tokio::test]
async fn s1_a_client_that_leaves_while_its_session_starts() {
    for how in 0..3 {
        let ai = MockRealtimeProvider::new();
        let server = server(&ai).await;
        let gate = Gate::closed();
        ai.next_connect(ConnectOutcome::Hold(gate.clone()));
        let client = Client::connect_as(Kind::default(), &server.http).await;
        ai.wait_for_attempts(1).await;
        // By its end a client is known to have left; without one it takes `disconnect_timeout_ms`.
        client.channel().await;
        leave(&server, &client, how).await;
        is_empty(&server).await;
        gate.open();
        until(|| ai.pending_connects() == 0).await;
        until(|| ai.open_connections() == 0).await;
    }
}

#[tokio::test]
async fn s1_a_session_that_does_not_start_in_time() {
    let ai = MockRealtimeProvider::new();
    let mut config = config();
    config.session_timeout_ms = 50;
    let transport = WebRtcRealtimeTransport::new(config).unwrap();
    // The provider has more time than the host.
    let channel = Arc::new(transport.clone());
    let voice = RealtimeVoiceChannel::builder("voice", Arc::new(ai.clone()), channel)
        .connect_timeout(Duration::from_millis(500));
    let built = kit_with(voice.build().unwrap()).await;
    let server = Server::with_host(transport, open_door(), built).await;
    let slow = server.http.with_query("room=slow");
    let mut client = Client::connect_as(Kind::default(), &slow).await;
    client.sent_away().await;
    is_empty(&server).await;

    ai.next_connect(ConnectOutcome::Hold(Gate::closed()));
    let mut client = Client::connect_as(Kind::default(), &server.http).await;
    assert_eq!(client.message("error").await["code"], "timeout");
    client.sent_away().await;
    assert_eq!(client.messages.len(), 1, "{:?}", client.messages);
    is_empty(&server).await;
    assert_eq!(ai.pending_connects(), 0);
}

#[tokio::test]
async fn s3_the_host_ends_a_session() {
    let ai = MockRealtimeProvider::new();
    let server = server(&ai).await;
    let mut client = Client::call(&server).await;
    let session = server.voice.sessions().remove(0);
    server.voice.end_session(&session).await;
    assert_eq!(client.message("session_ended").await["reason"], "host");
    client.sent_away().await;
    is_empty(&server).await;
    assert_eq!(ai.last().closes(), 1);
}

#[tokio::test]
async fn s3_the_client_closes_its_data_channel() {
    let ai = MockRealtimeProvider::new();
    let server = server(&ai).await;
    let mut events = server.kit.framework_events();
    let client = Client::call(&server).await;
    client.channel().await.close().await.unwrap();
    assert_eq!(reason(&mut events).await, "client_left");
    is_empty(&server).await;
    assert_eq!(ai.last().closes(), 1);
}

#[tokio::test]
async fn x5_a_second_data_channel_ends_the_call() {
    let ai = MockRealtimeProvider::new();
    let server = server(&ai).await;
    let mut events = server.kit.framework_events();
    let mut client = Client::call(&server).await;
    client.open_channel("more").await;
    assert_eq!(reason(&mut events).await, "client_violation");
    client.sent_away().await;
    is_empty(&server).await;
}

/// A client whose session never begins.
async fn without_a_session() -> (Server, Client) {
    let mut config = config();
    config.session_timeout_ms = 3_600_000;
    let server = server_with(config, &MockRealtimeProvider::new()).await;
    let slow = server.http.with_query("room=slow");
    let client = Client::connect_as(Kind::default(), &slow).await;
    (server, client)
}

#[tokio::test]
async fn x5_a_second_data_channel_before_there_is_a_session() {
    let (server, mut client) = without_a_session().await;
    assert_eq!(client.opened().await, "text");
    client.open_channel("more").await;
    client.sent_away().await;
    is_empty(&server).await;
    let candidate = server.http.offer(&client.candidate("")).await;
    assert_eq!(candidate.status, 410);
}

#[tokio::test]
async fn x5_what_is_said_before_there_is_a_session_is_bounded() {
    let (server, mut client) = without_a_session().await;
    let large = "x".repeat(60_000);
    for _ in 0..5 {
        client.send_text(&large).await;
    }
    client.sent_away().await;
    is_empty(&server).await;
}

#[tokio::test]
async fn c3_what_is_said_before_there_is_a_session_is_heard_in_order() {
    let ai = MockRealtimeProvider::new();
    let server = server(&ai).await;
    let gate = Gate::closed();
    ai.next_connect(ConnectOutcome::Hold(gate.clone()));
    let mut client = Client::connect_as(Kind::default(), &server.http).await;
    for number in 0..5 {
        client.send(&json!({"type": "ping", "id": number})).await;
    }
    ai.wait_for_attempts(1).await;
    gate.open();
    client.message("session_started").await;
    client.send(&json!({"type": "ping", "id": 5})).await;
    for number in 0..6 {
        assert_eq!(client.message("pong").await["id"], number);
    }
}

#[tokio::test]
async fn s3_the_client_closes_its_connection() {
    let ai = MockRealtimeProvider::new();
    let server = server(&ai).await;
    let mut events = server.kit.framework_events();
    let client = Client::call(&server).await;
    client.close().await;
    assert_eq!(reason(&mut events).await, "client_left");
    is_empty(&server).await;
}

#[tokio::test]
async fn s3_a_client_without_a_channel_closes_its_connection() {
    let ai = MockRealtimeProvider::new();
    let mut config = config();
    config.disconnect_timeout_ms = 3_600_000;
    let server = server_with(config, &ai).await;
    let mut events = server.kit.framework_events();
    let kind = Kind {
        channel: Channel::Absent,
        ..Kind::default()
    };
    let mut client = Client::call_as(kind, &server.http).await;
    client.hear(1).await;
    client.close().await;
    assert_eq!(reason(&mut events).await, "client_left");
    is_empty(&server).await;
}

#[tokio::test]
async fn s3_the_client_hangs_up_over_http() {
    let ai = MockRealtimeProvider::new();
    let server = server(&ai).await;
    let mut client = Client::call(&server).await;
    let path = format!("/webrtc/offer/{}", client.id);
    let answer = server.http.send("DELETE", &path, "", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    let ended = client.message("session_ended").await;
    assert_eq!(ended["reason"], "client_left");
    client.sent_away().await;
    is_empty(&server).await;
    let again = server.http.send("DELETE", &path, "", "").await;
    assert_eq!(again.refusal(), (410, "connection_closed".into()));
}

#[tokio::test]
async fn s3_the_client_vanishes() {
    let ai = MockRealtimeProvider::new();
    let mut config = config();
    config.disconnect_timeout_ms = 5_000;
    let server = server_with(config, &ai).await;
    let mut events = server.kit.framework_events();
    // A machine of its own, which is switched off: no socket, no last word.
    let machine = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let http = server.http.clone();
    let call = machine.spawn(async move { Client::call_as(Kind::default(), &http).await });
    let client = call.await.unwrap();
    machine.shutdown_background();
    assert_eq!(reason(&mut events).await, "client_left");
    is_empty(&server).await;
    let candidate = server.http.offer(&client.candidate("")).await;
    assert_eq!(candidate.status, 410);
}

#[tokio::test]
async fn s7_a_client_that_never_connects_is_forgotten() {
    let mut config = config();
    config.connect_timeout_ms = 200;
    let ai = MockRealtimeProvider::new();
    let server = server_with(config, &ai).await;
    let client = Client::new(Kind::default()).await;
    server.http.offer(&client.fast_rtc()).await.sdp();
    assert_eq!(server.transport.clients(), 1);
    is_empty(&server).await;
    assert!(ai.connects().is_empty());
}

#[tokio::test]
async fn s7_the_transport_and_the_kit_are_closed() {
    let ai = MockRealtimeProvider::new();
    let server = server(&ai).await;
    let mut one = Client::call(&server).await;
    server.transport.close().await;
    assert_eq!(server.transport.clients(), 0);
    one.sent_away().await;
    is_empty(&server).await;
    let mut two = Client::call(&server).await;
    server.kit.close().await;
    assert_eq!(two.message("session_ended").await["reason"], "shutdown");
    two.sent_away().await;
    is_empty(&server).await;
}

#[tokio::test]
async fn s7_many_calls_leave_no_task() {
    let ai = MockRealtimeProvider::new();
    let server = server(&ai).await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    for how in 0..4 {
        call_and_leave(&server, how).await;
    }
    is_empty(&server).await;
    let before = tasks();
    for turn in 0..24 {
        call_and_leave(&server, turn).await;
    }
    is_empty(&server).await;
    until(|| tasks() <= before).await;
}

#[tokio::test]
async fn s7_an_offer_whose_answer_nobody_waits_for_leaves_no_task() {
    let transport = WebRtcRealtimeTransport::new(config()).unwrap();
    let client = Client::new(Kind::default()).await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let answer = async |id: &str| {
        let offer = ClientOffer::new(id, client.offer.clone());
        transport.answer(offer).await
    };
    // One that is answered has opened the sockets, which have tasks of their own.
    answer("first").await.unwrap();
    transport.close().await;
    until(|| transport.clients() == 0).await;
    let before = tasks();
    for polls in 1..8 {
        let id = format!("after {polls}");
        let mut answered = Box::pin(answer(&id));
        for _ in 0..polls {
            let polled = poll_fn(|cx| Poll::Ready(answered.as_mut().poll(cx))).await;
            if polled.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(answered);
    }
    transport.close().await;
    until(|| transport.clients() == 0).await;
    until(|| tasks() <= before).await;
}

async fn call_and_leave(server: &Server, turn: usize) {
    let mut client = Client::call(server).await;
    leave(server, &client, turn % 4).await;
    if turn % 4 >= 2 {
        client.message("session_ended").await;
    }
    client.close().await;
}

async fn leave(server: &Server, client: &Client, how: usize) {
    match how {
        0 => client.close().await,
        1 => client.channel().await.close().await.unwrap(),
        2 => {
            let path = format!("/webrtc/offer/{}", client.id);
            let answer = server.http.send("DELETE", &path, "", "").await;
            assert_eq!(answer.status, 204);
        }
        _ => client.send(&json!({"type": "end"})).await,
    }
}

/// Why the next session ends.
async fn reason(events: &mut FrameworkEvents) -> String {
    loop {
        let event = soon(events.recv()).await.expect("a kit");
        if event.kind == FrameworkEventKind::SessionEnded {
            return event.data["reason"].as_str().unwrap().to_owned();
        }
    }
}
