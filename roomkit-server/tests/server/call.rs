//! Whole calls over real sockets, with the echo at the other end.

use serde_json::json;

use crate::support::{Socket, TestServer, refusal};

#[tokio::test]
async fn a_call_from_the_first_word_to_the_last() {
    let server = TestServer::start("").await;
    let mut caller = server.call("?audio=binary&participant=ann").await;
    let started = caller.until("session_started").await;
    assert_eq!(started["participant_id"], "ann");
    assert_eq!(started["channel_id"], "voice");
    assert_eq!(started["input_sample_rate"], 24_000);
    let room = started["room_id"].as_str().unwrap();
    let mut dashboard = server.dashboard(room, "?after=-1").await;

    caller.speak().await;
    assert_eq!(
        caller.words("user", "you spoke").await,
        "(you spoke for 0.6 s)"
    );
    caller.words("assistant", "echo of").await;
    assert!(
        caller.audio.iter().any(|byte| *byte != 0),
        "the voice came back"
    );
    let who_spoke = caller
        .passed
        .iter()
        .filter(|message| message["type"] == "speaking");
    let who_spoke: Vec<_> = who_spoke
        .map(|message| message["who"].as_str().unwrap())
        .collect();
    assert!(
        who_spoke.starts_with(&["user", "user", "assistant"]),
        "{who_spoke:?}"
    );

    let said = dashboard.stored("you spoke").await;
    assert_eq!(said["source"]["participant_id"], "ann");
    assert_eq!(said["metadata"]["role"], "user");
    dashboard.stored("echo of").await;
    let page = server.get(&format!("/rooms/{room}/timeline")).await.json();
    let spoken: Vec<_> = page["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["type"] == "message")
        .map(|event| event["metadata"]["role"].as_str().unwrap())
        .collect();
    assert_eq!(spoken, ["user", "assistant"]);

    caller.send(json!({"type": "end"})).await;
    assert_eq!(
        caller.until("session_ended").await["reason"],
        "client_ended"
    );
}

#[tokio::test]
async fn r3_a_whisper_reaches_the_ai_and_the_caller_sees_only_the_answer() {
    let server = TestServer::start("").await;
    let (mut caller, room) = server.session("").await;
    let whisper = json!({"text": "Offer 20% discount", "visibility": "voice"});
    let posted = server
        .post(&format!("/rooms/{room}/messages"), whisper)
        .await;
    assert_eq!(posted.status, 201);
    caller.words("assistant", "Offer 20% discount").await;
    assert!(
        caller
            .passed
            .iter()
            .all(|message| message["role"] != "user")
    );
}

#[tokio::test]
async fn the_demo_tool_tells_the_real_time() {
    let server = TestServer::start("").await;
    let (mut caller, _) = server.session("").await;
    caller
        .send(json!({"type": "text", "text": "what time is it"}))
        .await;
    let tool_call = caller.until("tool_call").await;
    assert_eq!(tool_call["name"], "current_time");
    let year = jiff::Timestamp::now().to_string()[..4].to_owned();
    caller.words("assistant", &year).await;
}

#[tokio::test]
async fn without_demo_tools_there_are_none() {
    let server = TestServer::start("[channel]\ndemo_tools = false").await;
    let (mut caller, _) = server.session("").await;
    caller
        .send(json!({"type": "text", "text": "what time is it"}))
        .await;
    caller.words("assistant", "what time is it").await;
    assert!(
        caller
            .passed
            .iter()
            .all(|message| message["type"] != "tool_call")
    );
}

#[tokio::test]
async fn x5_garbage_ends_nothing() {
    let server = TestServer::start("").await;
    let (mut caller, _) = server.session("").await;
    let (mut bystander, _) = server.session("").await;
    for text in [
        "",
        "{",
        "[]",
        "7",
        "\u{0}",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"dance"}"#,
        r#"{"type":"audio"}"#,
        r#"{"type":"audio","data":"?"}"#,
        r#"{"type":"audio","data":"AAA="}"#,
        r#"{"type":"playback","played_ms":-1}"#,
        r#"{"type":"text"}"#,
        &format!("{}{}", "[".repeat(2000), "]".repeat(2000)),
    ] {
        caller.send_text(text).await;
        caller.ping().await;
    }
    for bytes in [vec![], vec![1], vec![7; 959], vec![0x55; 300_000]] {
        caller.send_bytes(bytes).await;
        caller.ping().await;
    }
    caller.speak().await;
    caller.words("assistant", "echo of").await;
    bystander.ping().await;
}

#[tokio::test]
async fn r6_closing_the_room_ends_the_call() {
    let server = TestServer::start("").await;
    let (mut caller, room) = server.session("").await;
    let (mut bystander, _) = server.session("").await;
    let closed = server.delete(&format!("/rooms/{room}")).await;
    assert_eq!(
        (closed.status, &closed.json()["status"]),
        (200, &json!("closed"))
    );
    assert_eq!(caller.until("session_ended").await["reason"], "room_closed");
    assert_eq!(caller.next().await, None, "and the socket is closed");
    bystander.ping().await;
}

#[tokio::test]
async fn two_callers_meet_in_a_named_room() {
    let server = TestServer::start("").await;
    let (first, second) =
        tokio::join!(server.session("?room=lobby"), server.session("?room=lobby"));
    assert_eq!((first.1.as_str(), second.1.as_str()), ("lobby", "lobby"));
    let described = server.get("/rooms/lobby").await.json();
    let sessions = described["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    for session in sessions {
        let name = session["participant_id"].as_str().unwrap();
        assert!(name.starts_with("caller-") && name.len() == 15, "{name}");
    }
    let bindings = described["bindings"].as_array().unwrap();
    assert_eq!(bindings.len(), 2, "each channel is there once");
    first.0.hang_up().await;
    second.0.hang_up().await;
}

#[tokio::test]
async fn callers_of_several_transports_share_one_voice() {
    let server = TestServer::start(
        "[[transports]]\nname = 'websocket'\npath = '/ws'\n\
         [[transports]]\nname = 'websocket'\npath = '/phone'\nconfig = { output_sample_rate = 8000 }",
    )
    .await;
    let (mut browser, room) = server.session("?room=lobby").await;
    let path = format!("/phone?room={room}");
    let mut phone = Socket::open(server.address, &path, &[]).await.unwrap();
    let started = phone.until("session_started").await;
    assert_eq!(started["output_sample_rate"], 8000);
    let whisper = json!({"text": "say hello to both", "visibility": "voice"});
    server
        .post(&format!("/rooms/{room}/messages"), whisper)
        .await;
    browser.words("assistant", "say hello to both").await;
    phone.words("assistant", "say hello to both").await;
}

#[tokio::test]
async fn a_room_or_name_that_cannot_be_used_is_refused() {
    let server = TestServer::start("").await;
    for (query, named) in [
        ("?room=a%2Fb", "room"),
        (&format!("?room={}", "x".repeat(200)), "room"),
        ("?participant=a%20b", "participant"),
    ] {
        let path = format!("/ws{query}");
        let (status, error, _) = refusal(Socket::open(server.address, &path, &[]).await);
        assert_eq!((status, &error["code"]), (400, &json!("bad_request")));
        let message = error["message"].as_str().unwrap();
        assert!(message.starts_with(named), "{error}");
    }
    let rooms = server.get("/rooms?status=active").await.json();
    assert_eq!(rooms, json!({"rooms": []}));
}

#[tokio::test]
async fn r6_a_closed_room_takes_no_calls() {
    let server = TestServer::start("").await;
    server.session("?room=lobby").await;
    server.delete("/rooms/lobby").await;
    let refused = Socket::open(server.address, "/ws?room=lobby", &[]).await;
    let (status, error, _) = refusal(refused);
    assert_eq!((status, &error["code"]), (409, &json!("room_closed")));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("closed"), "{error}");
}

#[tokio::test]
async fn c5_a_full_server_says_when_to_come_again() {
    let server = TestServer::start("[limits]\nmax_sessions = 1\nretry_after_seconds = 7").await;
    let (caller, room) = server.session("").await;
    let (status, body, retry) = refusal(Socket::open(server.address, "/ws", &[]).await);
    assert_eq!((status, &body["code"]), (503, &json!("full")));
    assert_eq!(retry.as_deref(), Some("7"));
    assert_eq!(
        server.get(&format!("/rooms/{room}")).await.status,
        200,
        "the API goes on"
    );
    caller.hang_up().await;
}

#[tokio::test]
async fn c5_one_address_cannot_take_every_place() {
    let server = TestServer::start("[limits]\nmax_sessions_per_address = 1").await;
    let (_caller, _) = server.session("").await;
    let (status, body, retry) = refusal(Socket::open(server.address, "/ws", &[]).await);
    assert_eq!((status, &body["code"]), (429, &json!("too_many_sessions")));
    assert!(retry.is_some());
}

#[tokio::test]
async fn s6_a_call_ends_when_it_has_lasted_long_enough() {
    let server = TestServer::start("[channel]\nmax_duration_s = 1").await;
    let (mut caller, _) = server.session("").await;
    assert_eq!(
        caller.until("session_ended").await["reason"],
        "max_duration"
    );
}

#[tokio::test]
async fn s1_a_call_that_cannot_start_leaves_no_open_room() {
    // Nothing listens there, so no connection to the provider can be made.
    let server = TestServer::start(
        "[provider]\nname = 'openai'\n\
         config = { api_key = 'sk-test', base_url = 'ws://127.0.0.1:9/v1/realtime' }",
    )
    .await;
    let mut caller = server.call("").await;
    let error = caller.until("error").await;
    assert!(!error.to_string().contains("sk-test"), "X1: {error}");
    while caller.next().await.is_some() {}
    let rooms = server.get("/rooms?status=active").await.json();
    assert_eq!(rooms, json!({"rooms": []}));
}

#[tokio::test]
async fn an_unnamed_room_is_closed_when_it_has_been_empty() {
    let server = TestServer::start("[rooms]\nclose_empty_after_s = 0").await;
    let (caller, room) = server.session("").await;
    let (named_caller, _) = server.session("?room=lobby").await;
    let mut dashboard = server.dashboard(&room, "").await;
    named_caller.hang_up().await;
    caller.hang_up().await;
    assert_eq!(dashboard.until("closed").await["reason"], "room_closed");
    assert_eq!(server.get("/rooms/lobby").await.json()["status"], "active");
}

#[tokio::test]
async fn x4_a_draining_server_refuses_new_calls_and_lets_the_old_ones_finish() {
    let mut server = TestServer::start("").await;
    let (mut caller, room) = server.session("").await;
    let mut dashboard = server.dashboard(&room, "").await;
    server.stop();
    // Whoever sees 503 here knows that the server has heard it.
    while server.get("/readyz").await.status == 200 {}
    server.get("/readyz").await.is_error(503, "draining");
    assert_eq!(server.get("/healthz").await.status, 200);
    let (status, body, retry) = refusal(Socket::open(server.address, "/ws", &[]).await);
    assert_eq!((status, &body["code"]), (503, &json!("draining")));
    assert!(retry.is_some());

    caller.speak().await;
    caller.words("assistant", "echo of").await;
    caller.hang_up().await;
    assert_eq!(dashboard.until("closed").await["reason"], "shutdown");
    server.stopped().await;
}

#[tokio::test]
async fn x4_calls_that_do_not_finish_in_time_are_ended_with_a_reason() {
    let mut server = TestServer::start("drain_s = 0").await;
    let (mut caller, _) = server.session("").await;
    server.stop();
    assert_eq!(caller.until("session_ended").await["reason"], "shutdown");
    server.stopped().await;
}

#[tokio::test]
async fn c5_a_frame_beyond_all_limits_ends_that_call_only() {
    let server = TestServer::start("").await;
    let (mut caller, _) = server.session("").await;
    let (mut bystander, _) = server.session("").await;
    caller.overdo(vec![0; 2 * 1024 * 1024]).await;
    while caller.next().await.is_some() {}
    bystander.ping().await;
    bystander.speak().await;
    bystander.words("assistant", "echo of").await;
}

#[tokio::test]
async fn c5_who_sends_too_long_a_text_is_told_and_may_send_it_in_parts() {
    let server = TestServer::start("").await;
    let (mut caller, _) = server.session("").await;
    let text = "x".repeat(70 * 1024);
    caller.send(json!({"type": "text", "text": &text})).await;
    let error = caller.until("error").await;
    assert_eq!(error["code"], "message_too_long");
    assert!(
        error["message"].as_str().unwrap().contains("65536 bytes"),
        "{error}"
    );
    for part in [&text[..35 * 1024], &text[35 * 1024..]] {
        caller.send(json!({"type": "text", "text": part})).await;
        caller.words("assistant", "xxx").await;
    }
}

pub(crate) const AGENTS: &str = r#"
[channel]
first_agent = "triage"

[[agents]]
name = "triage"
system_prompt = "Find out what they need."
greeting = "Welcome to Acme."
hands_off_to = ["billing"]

[[agents]]
name = "billing"
system_prompt = "Talk about invoices."
greeting = "Billing here."
hands_off_to = ["triage"]
"#;

#[tokio::test]
async fn k7_s9_an_agent_greets_the_caller_and_hands_them_on() {
    let server = TestServer::start(AGENTS).await;
    let (mut caller, _) = server.session("?room=lobby").await;
    caller.words("assistant", "Welcome to Acme.").await;
    let who = async || {
        let room = server.get("/rooms/lobby").await.json();
        room["sessions"][0]["agent"].clone()
    };
    assert_eq!(who().await, "triage");
    let words = r#"use hand_off {"agent": "billing"}"#;
    caller.send(json!({"type": "text", "text": words})).await;
    caller.words("assistant", "Billing here.").await;
    assert_eq!(who().await, "billing");
}

#[tokio::test]
async fn s9_a_greeting_needs_no_agent() {
    let server = TestServer::start("[channel]\ngreeting = 'Good morning.'").await;
    let (mut caller, _) = server.session("").await;
    caller.words("assistant", "Good morning.").await;
}
