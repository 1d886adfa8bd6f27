//! What the fake Gemini server can be told to break.

use std::time::{Duration, Instant};

use roomkit_mock::fake_gemini::{
    Closure, FakeGemini, Fault, FaultAction, FaultPoint, Reply, WaitError,
};
use serde_json::{Value, json};

use crate::raw_client::Next;
use crate::raw_client::gemini::{
    Client, MODEL, agent, audio_of, call_ids, contents, first, kinds, response, silence,
    tool_response,
};

async fn with(point: FaultPoint, action: FaultAction) -> FakeGemini {
    FakeGemini::builder()
        .noise(false)
        .fault(Fault::new(point, action))
        .start()
        .await
        .unwrap()
}

/// The kinds of the messages before the end, and the end.
async fn to_the_end(client: &mut Client) -> (Vec<String>, Next) {
    let mut seen = Vec::new();
    loop {
        match client.next().await {
            Next::Event(message) => seen.extend(kinds(&message)),
            end => return (seen, end),
        }
    }
}

fn text() -> Value {
    json!({"realtimeInput": {"text": "tell me"}})
}

#[tokio::test]
async fn strikes_before_and_after_setup_and_leaves_the_next_connection_alone() {
    for (point, answered) in [
        (FaultPoint::BeforeSetup, false),
        (FaultPoint::AfterSetup, false),
        (FaultPoint::AfterSending("setupComplete".to_owned()), true),
    ] {
        let server = with(point.clone(), FaultAction::internal_error()).await;
        let mut client = Client::dial(&server).await;
        client.send(json!({"setup": agent(MODEL)})).await;
        let (seen, end) = to_the_end(&mut client).await;
        assert_eq!(
            seen.contains(&"setupComplete".to_owned()),
            answered,
            "{point:?}"
        );
        let reason = "Internal error encountered.".to_owned();
        assert_eq!(
            end,
            Next::Closed {
                code: 1011,
                reason: reason.clone()
            }
        );
        let closure = first(&server).await.wait_for_close().await;
        assert_eq!(closure, Ok(Closure::ByServer { code: 1011, reason }));
        Client::connect(&server).await;
    }
}

#[tokio::test]
async fn faults_can_strike_another_connection_or_all() {
    let server = FakeGemini::builder()
        .fault(Fault::new(FaultPoint::BeforeSetup, FaultAction::Drop).on_connection(1))
        .fault(
            Fault::new(
                FaultPoint::AfterClientEvents(2),
                FaultAction::deadline_expired(),
            )
            .on_every_connection(),
        )
        .start()
        .await
        .unwrap();
    let one = Client::connect(&server).await;
    let mut two = Client::dial(&server).await;
    assert_eq!(two.next().await, Next::Dropped);
    let three = Client::connect(&server).await;
    for client in [one, three] {
        let closed = client.refused(text()).await;
        let reason = "Deadline expired before operation could complete.";
        assert_eq!(closed, (1011, reason.to_owned()));
    }
}

#[tokio::test]
async fn the_closes_of_the_vendor_have_their_reasons() {
    for (action, code, start) in [
        (
            FaultAction::quota_exceeded(),
            1011,
            "You exceeded your current quota",
        ),
        (
            FaultAction::invalid_argument(),
            1007,
            "Request contains an invalid argument.",
        ),
        (
            FaultAction::entity_not_found(),
            1008,
            "Requested entity was not found.",
        ),
        (
            FaultAction::not_implemented(),
            1008,
            "Operation is not implemented",
        ),
        (FaultAction::key_expired(), 1007, "API key expired."),
        (
            FaultAction::location_not_supported(),
            1007,
            "User location is not supported",
        ),
    ] {
        let server = with(FaultPoint::BeforeSetup, action).await;
        let closed = Client::dial(&server).await.closed().await;
        assert_eq!(closed.0, code);
        assert!(closed.1.starts_with(start), "{}", closed.1);
    }
}

#[tokio::test]
async fn drops_in_the_middle_of_an_answer() {
    for point in [
        FaultPoint::AfterAudioChunks(2),
        FaultPoint::AfterAudioBytes(20_000),
    ] {
        // At once: what follows is ready to be sent when the fault strikes.
        let server = FakeGemini::builder()
            .speed(f64::INFINITY)
            .fault(Fault::new(point.clone(), FaultAction::Drop))
            .reply(Reply::speech("a long answer", 3000))
            .start()
            .await
            .unwrap();
        let mut client = Client::connect(&server).await;
        client.send(text()).await;
        let (mut bytes, mut chunks) = (0, 0);
        while let Next::Event(message) = client.next().await {
            chunks += contents(std::slice::from_ref(&message), "modelTurn").len();
            bytes += audio_of(&[message]).len();
        }
        match point {
            FaultPoint::AfterAudioChunks(count) => assert_eq!(chunks, count),
            _ => assert!((20_000..20_000 + 400 * 48).contains(&bytes)),
        }
        let connection = first(&server).await;
        assert_eq!(connection.wait_for_close().await, Ok(Closure::Dropped));
        assert_eq!(connection.sent("turnComplete"), 0);
    }
}

#[tokio::test]
async fn drops_between_a_call_and_its_result_and_after_it() {
    for (point, sent) in [("toolCall", false), ("toolResponse", true)] {
        let point = if sent {
            FaultPoint::AfterReceiving(point.to_owned())
        } else {
            FaultPoint::AfterSending(point.to_owned())
        };
        let server = with(point, FaultAction::Drop).await;
        server.queue_reply(Reply::tool_call("look", json!({})));
        let mut client = Client::connect(&server).await;
        client.send(text()).await;
        let messages = client.until("toolCall").await;
        if sent {
            let id = call_ids(&messages).pop().unwrap();
            client
                .send(tool_response(&[response(&id, "look", "x")]))
                .await;
        }
        let (seen, end) = to_the_end(&mut client).await;
        assert_eq!((seen, end), (vec![], Next::Dropped));
    }
}

#[tokio::test]
async fn strikes_after_an_amount_of_the_users_audio() {
    let server = with(FaultPoint::AfterAudioMs(200), FaultAction::Drop).await;
    let mut client = Client::connect(&server).await;
    client.audio(&silence(200)).await;
    assert_eq!(client.next().await, Next::Dropped);
    assert_eq!(first(&server).await.audio_bytes(), 200 * 32);
}

#[tokio::test]
async fn a_stalled_connection_takes_everything_and_says_nothing() {
    let server = with(FaultPoint::AfterServerEvents(1), FaultAction::Stall).await;
    let mut client = Client::connect(&server).await;
    client.send(text()).await;
    client.audio(&silence(2000)).await;
    let connection = first(&server).await;
    connection.wait_for_audio(2000 * 32).await.unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(50), client.next()).await;
    assert!(silence.is_err());
    assert_eq!(connection.closure(), None);
}

#[tokio::test]
async fn a_stall_before_the_answer_to_setup_is_a_handshake_that_never_ends() {
    let server = with(FaultPoint::AfterSetup, FaultAction::Stall).await;
    let mut client = Client::dial(&server).await;
    client.send(json!({"setup": agent(MODEL)})).await;
    let silence = tokio::time::timeout(Duration::from_millis(50), client.next()).await;
    assert!(silence.is_err());
}

#[tokio::test]
async fn a_delay_holds_back_and_then_delivers() {
    let delay = FaultAction::Delay(Duration::from_millis(60));
    let server = with(FaultPoint::AfterServerEvents(1), delay).await;
    let mut client = Client::connect(&server).await;
    let begun = Instant::now();
    client.send(text()).await;
    let messages = client.until("turnComplete").await;
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert!(!audio_of(&messages).is_empty());
}

#[tokio::test]
async fn garbage_errors_and_oversized_frames_are_sent_as_they_are() {
    let point = |count| FaultPoint::AfterServerEvents(count);
    let unavailable = FaultAction::bare_error(503, "try later", "UNAVAILABLE");
    let server = FakeGemini::builder()
        .noise(false)
        .fault(Fault::new(point(1), FaultAction::garbage()))
        .fault(Fault::new(point(1), FaultAction::malformed_json()))
        .fault(Fault::new(point(1), unavailable))
        .fault(Fault::new(point(1), FaultAction::oversized(3 << 20)))
        .fault(Fault::new(
            point(1),
            FaultAction::GoAway(Duration::from_millis(5)),
        ))
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    assert!(matches!(client.next().await, Next::NotJson(bytes) if bytes[0] == 0xff));
    assert!(matches!(client.next().await, Next::NotJson(_)));
    assert_eq!(client.message().await["error"]["status"], "UNAVAILABLE");
    assert_eq!(audio_of(&[client.message().await]).len(), 3 << 20);
    assert_eq!(client.message().await["goAway"]["timeLeft"], "0.005s");
    assert_eq!(client.closed().await.0, 1001);
}

#[tokio::test]
async fn a_go_away_comes_at_once() {
    let notice = FaultAction::GoAway(Duration::from_secs(600));
    let server = with(FaultPoint::AfterServerEvents(1), notice).await;
    let mut client = Client::connect(&server).await;
    assert_eq!(client.message().await["goAway"]["timeLeft"], "600s");
}

#[tokio::test]
async fn an_end_that_is_announced_before_the_setup_is_complete_comes() {
    let notice = FaultAction::GoAway(Duration::from_millis(50));
    let server = with(FaultPoint::AfterSetup, notice).await;
    let mut client = Client::dial(&server).await;
    client.send(json!({"setup": agent(MODEL)})).await;
    let (seen, end) = to_the_end(&mut client).await;
    assert_eq!(seen, ["goAway", "setupComplete"]);
    assert!(matches!(end, Next::Closed { code: 1001, .. }));
}

#[tokio::test]
async fn a_connection_that_reads_nothing_backs_up() {
    let server = with(FaultPoint::AfterServerEvents(1), FaultAction::StopReading).await;
    let mut client = Client::connect(&server).await;
    client.audio(&silence(20)).await;
    let connection = first(&server).await;
    connection.inject_text("still sending");
    assert!(matches!(client.next().await, Next::NotJson(_)));
    assert_eq!(connection.audio_bytes(), 0);
    connection.drop_connection();
    assert_eq!(client.next().await, Next::Dropped);
    let vain = connection
        .wait_for_event(|event| event.get("toolResponse").is_some())
        .await;
    assert_eq!(vain, Err(WaitError::Closed(Closure::Dropped)));
}

#[tokio::test]
async fn the_clients_close_is_recorded_and_ended_servers_forget() {
    let server = FakeGemini::builder()
        .record_events(false)
        .start()
        .await
        .unwrap();
    let mut client = Client::connect(&server).await;
    let connection = first(&server).await;
    client.close().await;
    assert_eq!(
        connection.wait_for_close().await,
        Ok(Closure::ByClient(Some(1000)))
    );
    assert!(connection.events().is_empty());
    Client::connect(&server).await;
    assert_eq!(server.wait_for_connection(1).await.unwrap().index(), 1);
    server.shutdown().await;
}
