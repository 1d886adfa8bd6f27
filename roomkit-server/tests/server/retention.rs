//! What is left of calls and rooms: nothing, after a while (contract S7).

use roomkit::mock::Counters;
use serde_json::json;

use crate::support::{self, Socket, TestServer, refusal, soon};

const REFUSED: &str = "roomkit_admission_refused_total";

/// Waits until the server knows so many rooms.
async fn until_rooms(server: &TestServer, count: usize) -> Vec<String> {
    support::soon(async {
        loop {
            let listed = server.get("/rooms?limit=1000").await.json();
            let rooms = listed["rooms"].as_array().unwrap();
            if rooms.len() == count {
                let ids = rooms.iter().map(|room| room["id"].as_str().unwrap());
                return ids.map(str::to_owned).collect();
            }
        }
    })
    .await
}

#[tokio::test]
async fn s7_calls_in_fresh_rooms_leave_no_timelines() {
    let server = TestServer::start("[rooms]\nclose_empty_after_s = 0\nkeep_closed_s = 0").await;
    for _ in 0..20 {
        let calls = (0..10).map(async |_| {
            let (mut caller, _) = server.session("").await;
            caller.send(json!({"type": "text", "text": "hello"})).await;
            caller.ping().await;
            caller.hang_up().await;
        });
        futures_util::future::join_all(calls).await;
    }
    until_rooms(&server, 0).await;
    support::soon(async { while server.get("/readyz").await.json()["sessions"] != 0 {} }).await;
}

#[tokio::test]
async fn s7_the_latest_closed_rooms_are_kept() {
    let server = TestServer::start("[rooms]\nmax_closed = 2").await;
    for room in ["one", "two", "three", "four"] {
        server
            .session(&format!("?room={room}"))
            .await
            .0
            .hang_up()
            .await;
        server.delete(&format!("/rooms/{room}")).await;
    }
    assert_eq!(until_rooms(&server, 2).await, ["four", "three"]);
    server
        .get("/rooms/one/timeline")
        .await
        .is_error(404, "room_not_found");
    let (_caller, room) = server.session("?room=one").await;
    assert_eq!(room, "one", "the name is free again");
}

#[tokio::test]
async fn x5_a_caller_who_comes_back_and_types_fills_no_room() {
    let server = TestServer::start("[rooms]\nmax_timeline_bytes = 100_000").await;
    let long = "x".repeat(20_000);
    for call in 0..10 {
        let (mut caller, _) = server.session("?room=lobby").await;
        let text = format!("{call} {long}");
        caller.send(json!({"type": "text", "text": text})).await;
        caller.words("user", &format!("{call} ")).await;
        caller.hang_up().await;
    }
    let timeline = soon(async {
        loop {
            let timeline = server.get("/rooms/lobby/timeline?after=0&limit=1000").await;
            if timeline.body.contains("9 xxx") {
                return timeline;
            }
        }
    })
    .await;
    let page = timeline.json();
    let events = page["events"].as_array().unwrap();
    let indices = events.iter().map(|it| it["index"].as_u64().unwrap());
    let indices = indices.collect::<Vec<_>>();
    assert!(indices[0] > 1, "the oldest are forgotten: {indices:?}");
    assert!(indices.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    assert!(timeline.body.len() < 100_000, "{}", timeline.body.len());
}

#[tokio::test]
async fn a_named_room_is_kept_however_long_it_is_empty() {
    let server = TestServer::start("[rooms]\nclose_empty_after_s = 0\nkeep_closed_s = 0").await;
    server.session("?room=lobby").await.0.hang_up().await;
    server.session("").await.0.hang_up().await;
    assert_eq!(until_rooms(&server, 1).await, ["lobby"]);
}

#[tokio::test]
async fn s6_when_no_more_rooms_may_be_open_callers_are_told_when_to_come_again() {
    let counters = Counters::default();
    let _counting = counters.here();
    let server = TestServer::start("[limits]\nmax_rooms = 1\nretry_after_seconds = 7").await;
    let (caller, _) = server.session("?room=lobby").await;
    for path in ["/ws", "/ws?room=other"] {
        let (status, body, retry) = refusal(Socket::open(server.address, path, &[]).await);
        assert_eq!((status, &body["code"]), (503, &json!("too_many_rooms")));
        let message = body["message"].as_str().unwrap();
        for part in [
            "`limits.max_rooms`",
            "all 1 rooms",
            "as `room`",
            "again in 7 s",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(retry.as_deref(), Some("7"));
    }
    assert_eq!(
        counters.all(REFUSED),
        [("too_many_rooms".to_owned(), 2)].into()
    );
    let (second, _) = server.session("?room=lobby").await;
    second.hang_up().await;
    caller.hang_up().await;
    server.delete("/rooms/lobby").await;
    server.session("").await.0.hang_up().await;
}

#[tokio::test]
async fn c5_an_empty_room_of_who_has_most_makes_way() {
    let server = TestServer::start("[limits]\nmax_rooms = 3\ntrusted_proxies = 1").await;
    let call = async |room: &str, client: &str| {
        let path = format!("/ws?room={room}");
        let from = [("x-forwarded-for", client)];
        let mut caller = Socket::open(server.address, &path, &from).await?;
        caller.until("session_started").await;
        Ok(caller)
    };
    let gone = async |room: &str| {
        // The room is empty when the server has noted that the call is over.
        let path = format!("/rooms/{room}");
        soon(async { while server.get(&path).await.json()["sessions"] != json!([]) {} }).await;
    };
    let [greedy, modest, other] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"];
    for (room, client) in [("one", modest), ("two", greedy), ("three", greedy)] {
        call(room, client).await.unwrap().hang_up().await;
        gone(room).await;
    }
    let fourth = call("four", other).await.unwrap();
    let status = async |room: &str| {
        let room = server.get(&format!("/rooms/{room}")).await.json();
        room["status"].as_str().unwrap().to_owned()
    };
    for (room, expected) in [
        ("one", "active"),
        ("two", "closed"),
        ("three", "active"),
        ("four", "active"),
    ] {
        assert_eq!(status(room).await, expected, "{room}");
    }
    let _in_three = call("three", greedy).await.unwrap();
    assert_eq!(refusal(call("five", other).await).0, 503);
    fourth.hang_up().await;
    gone("four").await;
    call("five", other).await.unwrap();
    assert_eq!(status("four").await, "closed");
    assert_eq!(status("one").await, "active");
}

#[tokio::test]
async fn c5_one_address_cannot_use_up_the_rooms_there_may_be() {
    let counters = Counters::default();
    let counting = counters.here();
    let limits = "[limits]\nmax_rooms_per_address = 2\nretry_after_seconds = 7\n";
    let server = TestServer::start(limits).await;
    server.session("?room=lobby").await.0.hang_up().await;
    let (unnamed, _) = server.session("").await;
    for path in ["/ws?room=cellar", "/ws"] {
        let (status, body, retry) = refusal(Socket::open(server.address, path, &[]).await);
        assert_eq!(
            (status, &body["code"]),
            (429, &json!("too_many_rooms_of_address"))
        );
        assert_eq!(retry.as_deref(), Some("7"));
        let message = body["message"].as_str().unwrap();
        for part in [
            "`limits.max_rooms_per_address`",
            "2 open rooms",
            "name one that is open as `room`",
            "again in 7 s",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }
    drop(counting);
    let expected = [("too_many_rooms_of_address".to_owned(), 2)];
    assert_eq!(counters.all(REFUSED), expected.into());
    let (again, _) = server.session("?room=lobby").await;
    again.hang_up().await;
    unnamed.hang_up().await;
    server.delete("/rooms/lobby").await;
    // It counts no more when the server has noted that it is closed.
    let cellar = soon(async {
        loop {
            if let Ok(caller) = Socket::open(server.address, "/ws?room=cellar", &[]).await {
                return caller;
            }
        }
    });
    cellar.await.hang_up().await;

    // Behind a proxy it is the client that the proxy names.
    let server = TestServer::start(&format!("{limits}trusted_proxies = 1")).await;
    let call = async |room: &str, client: &str| {
        let path = format!("/ws?room={room}");
        let mut caller =
            Socket::open(server.address, &path, &[("x-forwarded-for", client)]).await?;
        caller.until("session_started").await;
        Ok(caller)
    };
    for room in ["one", "two"] {
        call(room, "192.0.2.1").await.unwrap().hang_up().await;
    }
    assert_eq!(refusal(call("three", "192.0.2.1").await).0, 429);
    call("three", "192.0.2.2").await.unwrap().hang_up().await;
    for room in ["four", "five", "six"] {
        server
            .session(&format!("?room={room}"))
            .await
            .0
            .hang_up()
            .await;
    }
}
