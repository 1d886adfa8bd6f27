//! The dashboard socket: what it shows, from where, and how it ends.

use roomkit::mock::Counters;
use serde_json::json;

use crate::support::{Socket, TestServer, refusal, soon};

#[tokio::test]
async fn t2_events_and_words_being_spoken() {
    let server = TestServer::start("").await;
    let (mut caller, room) = server.session("").await;
    let mut dashboard = server.dashboard(&room, "").await;
    caller.speak().await;
    let partial = dashboard.until("ephemeral").await;
    assert_eq!(partial["event"]["room_id"], room.as_str());
    let words = dashboard
        .find(|message| {
            message["type"] == "ephemeral" && message["event"]["kind"] == "transcription"
        })
        .await;
    assert_eq!(words["event"]["data"]["role"], "assistant");
    assert!(words["event"]["data"]["text"].is_string());
    dashboard.stored("echo of").await;

    let whisper = json!({"text": "be brief", "visibility": "voice", "silent": true});
    server
        .post(&format!("/rooms/{room}/messages"), whisper)
        .await;
    let seen = dashboard.stored("be brief").await;
    assert_eq!(
        seen["visibility"], "voice",
        "the dashboard sees whispers too"
    );
}

#[tokio::test]
async fn r1_a_replay_joins_the_present_without_a_gap() {
    let server = TestServer::start("").await;
    let (_caller, _) = server.session("?room=lobby").await;
    let note = |number: u64| json!({"text": format!("note {number}"), "visibility": "none"});
    for number in 0..250 {
        server.post("/rooms/lobby/messages", note(number)).await;
    }
    let mut from_start = server.dashboard("lobby", "?after=-1").await;
    let mut from_middle = server.dashboard("lobby", "?after=100").await;
    let mut from_beyond = server.dashboard("lobby", "?after=254").await;
    for number in 250..260 {
        server.post("/rooms/lobby/messages", note(number)).await;
    }
    for (dashboard, mut expected) in [
        (&mut from_start, 0),
        (&mut from_middle, 101),
        (&mut from_beyond, 255),
    ] {
        loop {
            let message = dashboard.until("event").await;
            assert_eq!(message["event"]["index"], expected);
            expected += 1;
            if message["event"]["content"]["body"] == "note 259" {
                break;
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_repeated_unless_asked_for() {
    let server = TestServer::start("").await;
    let (_caller, _) = server.session("?room=lobby").await;
    server
        .post(
            "/rooms/lobby/messages",
            json!({"text": "before", "visibility": "none"}),
        )
        .await;
    let mut dashboard = server.dashboard("lobby", "").await;
    // A message of the dashboard is not read, and tells that it has been subscribed by now.
    dashboard.send_text("hello?").await;
    let mut next = 0;
    let first = loop {
        let after = json!({"text": format!("after {next}"), "visibility": "none"});
        server.post("/rooms/lobby/messages", after).await;
        next += 1;
        let message = dashboard.next().await.unwrap();
        if message["type"] == "event" {
            break message;
        }
    };
    let body = first["event"]["content"]["body"].as_str().unwrap();
    assert!(body.starts_with("after"), "{body}");
}

#[tokio::test]
async fn a_dashboard_knows_that_the_server_is_there_though_nothing_happens() {
    let server = TestServer::start("").await;
    let (_caller, _) = server.session("?room=lobby").await;
    let mut dashboard = server.dashboard("lobby", "").await;
    assert_eq!(dashboard.until("alive").await, json!({"type": "alive"}));
}

#[tokio::test]
async fn r7_rooms_are_kept_apart() {
    let server = TestServer::start("").await;
    let (_one, _) = server.session("?room=one").await;
    let (_two, _) = server.session("?room=two").await;
    let mut dashboard = server.dashboard("one", "?after=-1").await;
    for (room, text) in [("two", "for two"), ("one", "for one")] {
        let message = json!({"text": text, "visibility": "none"});
        server
            .post(&format!("/rooms/{room}/messages"), message)
            .await;
    }
    dashboard.stored("for one").await;
    assert!(
        dashboard
            .passed
            .iter()
            .all(|message| !message.to_string().contains("for two"))
    );
}

#[tokio::test]
async fn r6_the_end_of_the_room_is_told() {
    let server = TestServer::start("").await;
    let (_caller, _) = server.session("?room=lobby").await;
    let mut dashboard = server.dashboard("lobby", "?after=-1").await;
    server.delete("/rooms/lobby").await;
    assert_eq!(
        dashboard.until("closed").await,
        json!({"type": "closed", "reason": "room_closed"})
    );
    assert_eq!(dashboard.next().await, None);

    let mut late = server.dashboard("lobby", "?after=-1").await;
    assert_eq!(late.until("closed").await["reason"], "room_closed");
    assert!(
        !late.passed.is_empty(),
        "the past of a closed room can be read"
    );
}

#[tokio::test]
async fn x7_a_dashboard_whose_token_is_taken_away_is_closed_and_the_others_go_on() {
    let settings = |tokens: &str| format!("[auth]\ntokens = ['caller', {tokens}]");
    let server = TestServer::start(&settings("'gone', 'kept', 'less'")).await;
    let _caller = server.session("?room=lobby&token=caller").await;
    let minted = server
        .post("/tokens?token=caller", json!({"scopes": ["watch"]}))
        .await;
    let minted = minted.json()["token"].as_str().unwrap().to_owned();
    let watch = async |token: &str| {
        let query = format!("?after=-1&token={token}");
        server.dashboard("lobby", &query).await
    };
    let mut stay = [watch("kept").await, watch(&minted).await];
    let mut go = [watch("gone").await, watch("less").await];

    let counters = Counters::default();
    let counting = counters.here();
    let fewer = "'kept', { token = 'less', scopes = ['call'] }";
    server.reload(&settings(fewer)).await;
    for dashboard in &mut go {
        assert_eq!(
            dashboard.until("closed").await,
            json!({"type": "closed", "reason": "token_revoked"})
        );
        assert_eq!(dashboard.next().await, None);
        assert_eq!(dashboard.close_code, Some(1008));
    }
    drop(counting);
    let counted = counters.all("roomkit_server_dashboards_revoked_total");
    assert_eq!(counted.into_values().collect::<Vec<_>>(), [2]);
    assert!(counters.all("roomkit_admission_refused_total").is_empty());
    let note = json!({"text": "still here?", "visibility": "none"});
    server
        .post("/rooms/lobby/messages?token=caller", note)
        .await;
    for dashboard in &mut stay {
        dashboard.stored("still here?").await;
    }
}

#[tokio::test]
async fn r7_a_dashboard_that_stops_reading_is_cut_off_and_delays_nobody() {
    const MESSAGES: usize = 1500;
    let server = TestServer::start("").await;
    let (mut caller, _) = server.session("?room=lobby").await;
    let mut slow = server.dashboard("lobby", "?after=-1").await;
    let mut quick = server.dashboard("lobby", "?after=-1").await;
    let text = "x".repeat(16_000);
    for number in 0..MESSAGES {
        let message = json!({"text": format!("{number} {text}"), "visibility": "none"});
        assert_eq!(
            server.post("/rooms/lobby/messages", message).await.status,
            201
        );
        quick.stored(&format!("{number} ")).await;
    }
    caller.ping().await;
    let mut events = 0;
    let mut reason = None;
    while let Some(message) = slow.next().await {
        match message["type"].as_str() {
            Some("event") => events += 1,
            Some("closed") => reason = Some(message["reason"].clone()),
            _ => {}
        }
    }
    assert!(events < MESSAGES, "it was cut off");
    // Whether it hears the reason depends on how much of it was in the network.
    assert!(reason.is_none_or(|reason| reason == "too_slow"));
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused_before_the_upgrade() {
    let server = TestServer::start("").await;
    let (_caller, _) = server.session("?room=lobby").await;
    for (path, status, code) in [
        ("/rooms/nowhere/events", 404, "room_not_found"),
        ("/rooms/a%20b/events", 400, "bad_request"),
        ("/rooms/lobby/events?after=x", 400, "bad_request"),
        ("/rooms/lobby/events?since=1", 400, "bad_request"),
    ] {
        let (refused, body, _) = refusal(Socket::open(server.address, path, &[]).await);
        assert_eq!((refused, &body["code"]), (status, &json!(code)), "{path}");
    }
    let plain = server.get("/rooms/lobby/events").await;
    assert!((400..500).contains(&plain.status));
    assert_eq!(plain.json()["code"], "not_a_websocket");
}

#[tokio::test]
async fn x5_a_dashboard_that_says_too_much_is_let_go() {
    let server = TestServer::start("").await;
    let (_caller, _) = server.session("?room=lobby").await;
    let mut dashboard = server.dashboard("lobby", "").await;
    dashboard.send_text(&"x".repeat(100_000)).await;
    dashboard.until("closed").await;
    assert_eq!(dashboard.next().await, None);
    assert_eq!(dashboard.close_code, Some(1009));
    assert_eq!(server.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_dashboard_that_is_left_is_answered() {
    let server = TestServer::start("").await;
    let (_caller, _) = server.session("?room=lobby").await;
    let mut dashboard = server.dashboard("lobby", "").await;
    dashboard.close().await;
    assert!(dashboard.ends_cleanly().await);
}

#[tokio::test]
async fn c5_one_address_cannot_take_every_dashboards_place() {
    const WATCH: &str = "/rooms/lobby/events";
    let limits = "[limits]\nmax_dashboards_per_address = 1\nretry_after_seconds = 7\n";
    let server = TestServer::start(limits).await;
    let (_caller, _) = server.session("?room=lobby").await;
    let mut first = server.dashboard("lobby", "").await;
    let (status, body, retry) = refusal(Socket::open(server.address, WATCH, &[]).await);
    assert_eq!(
        (status, &body["code"]),
        (429, &json!("too_many_dashboards_of_address"))
    );
    assert_eq!(retry.as_deref(), Some("7"));
    let message = body["message"].as_str().unwrap();
    for part in [
        "`limits.max_dashboards_per_address`",
        "1 dashboards",
        "close one",
        "again in 7 s",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let (_other_caller, _) = server.session("?room=lobby").await;
    first.close().await;
    // Its place is free when the server has seen it go.
    soon(async {
        while Socket::open(server.address, WATCH, &[]).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;

    // Behind a proxy a client is who the proxy says; of the proxy there may be any number.
    let server = TestServer::start(&format!("{limits}trusted_proxies = 1")).await;
    let (_caller, _) = server.session("?room=lobby").await;
    let watch = async |client: &str| {
        Socket::open(server.address, WATCH, &[("x-forwarded-for", client)]).await
    };
    let _first = watch("192.0.2.1").await.unwrap();
    assert_eq!(refusal(watch("192.0.2.1").await).0, 429);
    let _of_another = watch("192.0.2.2").await.unwrap();
    let _of_a_network = watch("2001:db8::1").await.unwrap();
    assert_eq!(refusal(watch("2001:db8::2").await).0, 429);
    let _unnamed = server.dashboard("lobby", "").await;
    let _unnamed_too = server.dashboard("lobby", "").await;
}
