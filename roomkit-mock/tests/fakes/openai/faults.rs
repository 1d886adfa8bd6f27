//! What the fake `OpenAI` server can be told to break, and what it records.

use futures_util::SinkExt as _;
use roomkit_mock::fake_openai::{
    Closure, FakeOpenAi, Fault, FaultAction, FaultPoint, Reply, WaitError,
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::raw_client::{Client, KEY, Next, first, is_done, kind, tone};

async fn with(point: FaultPoint, action: FaultAction) -> FakeOpenAi {
    FakeOpenAi::builder()
        .noise(false)
        .fault(Fault::new(point, action))
        .start()
        .await
        .unwrap()
}

fn close(code: u16, reason: &str) -> FaultAction {
    FaultAction::Close {
        code,
        reason: reason.to_owned(),
    }
}

/// The types of the events before the end, and the end.
async fn to_the_end(client: &mut Client) -> (Vec<String>, Next) {
    let mut seen = Vec::new();
    loop {
        match client.next().await {
            Next::Event(event) => seen.push(kind(&event).to_owned()),
            end => return (seen, end),
        }
    }
}

#[tokio::test]
async fn closes_before_session_created_and_the_next_connection_is_healthy() {
    let server = with(
        FaultPoint::BeforeSessionCreated,
        close(1013, "try again later"),
    )
    .await;
    let mut client = Client::dial(&server, "?model=gpt-realtime", &[KEY])
        .await
        .unwrap();
    let (seen, end) = to_the_end(&mut client).await;
    assert!(seen.is_empty());
    let reason = "try again later".to_owned();
    assert_eq!(
        end,
        Next::Closed {
            code: 1013,
            reason: reason.clone()
        }
    );
    assert_eq!(
        first(&server).await.wait_for_close().await,
        Ok(Closure::ByServer { code: 1013, reason })
    );
    Client::connect(&server).await;
}

#[tokio::test]
async fn faults_can_strike_another_connection_or_all() {
    let server = FakeOpenAi::builder()
        .fault(Fault::new(FaultPoint::BeforeSessionCreated, FaultAction::Drop).on_connection(1))
        .fault(Fault::new(FaultPoint::AfterClientEvents(1), close(1011, "")).on_every_connection())
        .start()
        .await
        .unwrap();
    let mut one = Client::connect(&server).await;
    let mut two = Client::dial(&server, "?model=gpt-realtime", &[KEY])
        .await
        .unwrap();
    assert_eq!(two.next().await, Next::Dropped);
    let mut three = Client::connect(&server).await;
    for client in [&mut one, &mut three] {
        client
            .send(json!({"type": "input_audio_buffer.clear"}))
            .await;
        client.until("input_audio_buffer.cleared").await;
        assert!(matches!(
            client.next().await,
            Next::Closed { code: 1011, .. }
        ));
    }
}

#[tokio::test]
async fn closes_after_a_number_of_server_events() {
    let server = with(FaultPoint::AfterServerEvents(3), close(1012, "restart")).await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"type": "response.create"})).await;
    let (seen, end) = to_the_end(&mut client).await;
    assert_eq!(seen, ["response.created", "response.output_item.added"]);
    assert!(matches!(end, Next::Closed { code: 1012, .. }));
}

#[tokio::test]
async fn drops_in_the_middle_of_a_response() {
    let server = with(FaultPoint::AfterAudioDeltas(2), FaultAction::Drop).await;
    server.queue_reply(Reply::speech("a long answer", 3000));
    let mut client = Client::connect(&server).await;
    client.send(json!({"type": "response.create"})).await;
    let (seen, end) = to_the_end(&mut client).await;
    let deltas = seen
        .iter()
        .filter(|kind| *kind == "response.output_audio.delta");
    assert_eq!(deltas.count(), 2);
    assert!(!seen.iter().any(|kind| kind == "response.done"));
    assert_eq!(end, Next::Dropped);
    assert_eq!(
        first(&server).await.wait_for_close().await,
        Ok(Closure::Dropped)
    );
}

#[tokio::test]
async fn drops_after_an_amount_of_audio() {
    let server = with(FaultPoint::AfterAudioMs(200), FaultAction::Drop).await;
    let mut client = Client::connect(&server).await;
    client.append(&vec![0; 200 * 48], 48).await;
    assert_eq!(client.next().await, Next::Dropped);
    assert_eq!(first(&server).await.audio_bytes(), 200 * 48);
}

#[tokio::test]
async fn expires_the_session_like_after_60_minutes() {
    let point = FaultPoint::AfterSending("response.done".to_owned());
    let server = with(point, FaultAction::ExpireSession).await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"type": "response.create"})).await;
    while !is_done(&client.event().await) {}
    let error = client.event().await;
    assert_eq!(error["error"]["code"], "session_expired");
    let reason = error["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(client.next().await, Next::Closed { code: 1001, reason });
    // The client did nothing wrong.
    assert_eq!(first(&server).await.violations(), []);
}

#[tokio::test]
async fn never_answers_session_update() {
    let server = with(
        FaultPoint::BeforeSessionCreated,
        FaultAction::IgnoreSessionUpdates,
    )
    .await;
    let mut client = Client::connect(&server).await;
    client
        .send(json!({"type": "session.update", "session": {"type": "realtime"}}))
        .await;
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    assert_eq!(kind(&client.event().await), "input_audio_buffer.cleared");
}

#[tokio::test]
async fn sends_malformed_json_and_foreign_events() {
    let server = FakeOpenAi::builder()
        .fault(Fault::new(
            FaultPoint::AfterSending("session.created".to_owned()),
            FaultAction::malformed_json(),
        ))
        .fault(Fault::new(
            FaultPoint::AfterSending("session.created".to_owned()),
            FaultAction::SendEvent(json!({"type": "conversation.created"})),
        ))
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    assert!(matches!(client.next().await, Next::NotJson(_)));
    assert_eq!(
        client.event().await,
        json!({"type": "conversation.created"})
    );
}

#[tokio::test]
async fn stops_reading_while_it_goes_on_sending() {
    let server = with(FaultPoint::AfterClientEvents(1), FaultAction::StopReading).await;
    server.queue_reply(Reply::speech("still talking", 500));
    let mut client = Client::connect(&server).await;
    client.send(json!({"type": "response.create"})).await;
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    client.until("response.done").await;
    let connection = first(&server).await;
    assert_eq!(connection.events().len(), 1);
    assert_eq!(connection.sent("input_audio_buffer.cleared"), 0);
    connection.drop_connection();
    assert_eq!(connection.wait_for_close().await, Ok(Closure::Dropped));
}

#[tokio::test]
async fn a_connection_stuck_in_a_write_can_still_be_dropped() {
    let server = FakeOpenAi::start().await.unwrap();
    let _client = Client::connect(&server).await;
    let connection = first(&server).await;
    // More than the socket buffers of both ends hold, and nobody reads.
    for _ in 0..32 {
        connection.inject_text("x".repeat(1 << 20));
    }
    connection.drop_connection();
    assert_eq!(connection.wait_for_close().await, Ok(Closure::Dropped));
}

#[tokio::test]
async fn fragments_every_message() {
    let server = FakeOpenAi::builder()
        .fragment_frames(5)
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    client.send(json!({"type": "response.create"})).await;
    client.until("response.done").await;
}

#[tokio::test]
async fn refuses_upgrades_with_a_status() {
    let server = FakeOpenAi::builder()
        .refuse_upgrade(503)
        .start()
        .await
        .unwrap();
    server.refuse_upgrade(401);
    for status in [503, 401] {
        match Client::dial(&server, "?model=gpt-realtime", &[KEY]).await {
            Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), status),
            other => panic!("expected {status}, got {:?}", other.err()),
        }
    }
    assert_eq!(server.refused_upgrades(), 2);
    assert!(server.connections().is_empty());
    Client::connect(&server).await;
}

#[tokio::test]
async fn handles_inject_close_and_see_the_client_leave() {
    let server = FakeOpenAi::start().await.unwrap();
    let mut client = Client::connect(&server).await;
    let connection = first(&server).await;
    connection.inject_event(&json!({"type": "response.done", "response": {"status_details": "x"}}));
    assert_eq!(client.event().await["response"]["status_details"], "x");
    connection.close(4004, "invalid_request_error.model_not_found");
    assert!(matches!(
        client.next().await,
        Next::Closed { code: 4004, .. }
    ));

    let mut leaving = Client::connect(&server).await;
    let goodbye = CloseFrame {
        code: 1000.into(),
        reason: "".into(),
    };
    leaving
        .socket
        .inner
        .send(Message::Close(Some(goodbye)))
        .await
        .unwrap();
    assert!(matches!(
        leaving.next().await,
        Next::Closed { code: 1000, .. }
    ));
    let connection = server.wait_for_connection(1).await.unwrap();
    assert_eq!(
        connection.wait_for_close().await,
        Ok(Closure::ByClient(Some(1000)))
    );
}

#[tokio::test]
async fn records_events_audio_and_where_they_lie() {
    let server = FakeOpenAi::start().await.unwrap();
    let mut client = Client::configured(&server, json!({"turn_detection": null})).await;
    client.append(&tone(60), 48).await;
    client.append(&tone(60), 48).await;
    client
        .send(json!({"type": "input_audio_buffer.commit", "event_id": "c1"}))
        .await;
    let connection = first(&server).await;
    let commit = connection
        .wait_for_event(|event| event["event_id"] == "c1")
        .await
        .unwrap();
    assert_eq!(commit.kind(), "input_audio_buffer.commit");
    assert_eq!(commit.audio_bytes_before, 120 * 48);
    assert_eq!(connection.audio(), [tone(60), tone(60)].concat());
    assert_eq!(connection.appends(), 6);
    connection
        .wait_for_sent("input_audio_buffer.committed", 1)
        .await
        .unwrap();
    assert_eq!(
        connection.request().query_value("model"),
        Some("gpt-realtime-2.1")
    );
    assert_eq!(
        connection.session()["audio"]["input"]["turn_detection"],
        Value::Null
    );
    drop(client);
    let never = connection
        .wait_for_event(|event| event["type"] == "never")
        .await;
    assert_eq!(never, Err(WaitError::Closed(Closure::Dropped)));
}

#[tokio::test]
async fn a_dropped_server_takes_its_connections_with_it() {
    let server = FakeOpenAi::start().await.unwrap();
    let mut one = Client::connect(&server).await;
    drop(server);
    assert_eq!(one.next().await, Next::Dropped);

    let server = FakeOpenAi::start().await.unwrap();
    let mut two = Client::connect(&server).await;
    let connection = server.wait_for_connection(0).await.unwrap();
    server.shutdown().await;
    assert_eq!(connection.closure(), Some(Closure::Dropped));
    assert_eq!(two.next().await, Next::Dropped);
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert_eq!(tasks, 0);
}

#[tokio::test]
async fn servers_that_record_nothing_forget_ended_connections() {
    let server = FakeOpenAi::builder()
        .record_events(false)
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    client.until("input_audio_buffer.cleared").await;
    let connection = first(&server).await;
    assert!(connection.events().is_empty());
    connection.close(1000, "");
    connection.wait_for_close().await.unwrap();
    Client::connect(&server).await;
    assert_eq!(server.wait_for_connection(1).await.unwrap().index(), 1);
}
