//! The API over rooms: each route, and each way to use it wrongly.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{TestServer, raw_request, request, soon};

#[tokio::test]
async fn health() {
    let server = TestServer::start("").await;
    assert_eq!(server.get("/healthz").await.json(), json!({"status": "ok"}));
    assert_eq!(
        server.get("/readyz").await.json(),
        json!({"status": "ready", "sessions": 0})
    );
}

#[tokio::test]
async fn the_page_and_its_files() {
    let server = TestServer::start("").await;
    let page = server.get("/").await;
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    assert!(page.body.contains("page/app.js"));
    for (file, content_type) in [
        ("app.js", "text/javascript; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("icon.svg", "image/svg+xml"),
    ] {
        let file = server.get(&format!("/page/{file}")).await;
        assert_eq!(
            (file.status, file.header("content-type")),
            (200, Some(content_type))
        );
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
    }
    server
        .get("/page/secret.txt")
        .await
        .is_error(404, "not_found");
    server
        .get("/page/..%2Fsrc%2Fmain.rs")
        .await
        .is_error(404, "not_found");
}

#[tokio::test]
async fn the_page_learns_the_ways_in() {
    let server = TestServer::start(
        "[[transports]]\nname = 'websocket'\npath = '/calls'\nconfig = { lead_ms = 100 }\n\
         [[transports]]\nname = 'websocket'\npath = '/ws'",
    )
    .await;
    let config = server.get("/page/config.json").await;
    assert_eq!(config.status, 200);
    assert_eq!(config.header("content-type"), Some("application/json"));
    assert_eq!(config.header("cache-control"), Some("no-cache"));
    assert_eq!(
        config.json(),
        json!({"transports": [
            {"name": "websocket", "path": "/calls"},
            {"name": "websocket", "path": "/ws"},
        ]}),
        "in the order of the file, and nothing of their settings"
    );
}

#[tokio::test]
async fn a_room_described() {
    let server = TestServer::start("").await;
    let (caller, _) = server.session("?room=lobby&participant=ann").await;
    let room = server.get("/rooms/lobby").await.json();
    assert_eq!(
        (&room["id"], &room["status"]),
        (&json!("lobby"), &json!("active"))
    );
    assert!(room["created_at"].as_str().unwrap().ends_with('Z'));
    let mut bindings = room["bindings"].as_array().unwrap().clone();
    bindings.sort_by_key(|binding| binding["channel_id"].to_string());
    assert_eq!(
        bindings[1],
        json!({
            "channel_id": "voice",
            "channel_type": "realtime_voice",
            "access": "read_write",
            "muted": false,
            "output_muted": false,
            "visibility": "all",
        })
    );
    assert_eq!(bindings[0]["channel_id"], "supervisor");
    let session = &room["sessions"][0];
    assert_eq!(
        (&session["participant_id"], &session["state"]),
        (&json!("ann"), &json!("active"))
    );
    assert!(session["id"].is_string() && session["created_at"].is_string());

    caller.hang_up().await;
    let closed = server.delete("/rooms/lobby").await;
    assert_eq!(closed.status, 200);
    let again = server.delete("/rooms/lobby").await;
    assert_eq!(
        (again.status, again.json()),
        (200, closed.json()),
        "closing twice changes nothing"
    );
    assert_eq!(closed.json()["sessions"], json!([]));
    assert!(closed.json()["closed_at"].is_string());
}

#[tokio::test]
async fn r8_the_timeline_pages_both_ways() {
    let server = TestServer::start("").await;
    server.session("?room=lobby").await.0.hang_up().await;
    for number in 0..12 {
        let message = json!({"text": format!("note {number}"), "visibility": "none"});
        assert_eq!(
            server.post("/rooms/lobby/messages", message).await.status,
            201
        );
    }
    let indices = async |query: &str| -> Vec<u64> {
        let page = server.get(&format!("/rooms/lobby/timeline{query}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let events = page.json()["events"].as_array().unwrap().clone();
        events
            .iter()
            .map(|event| event["index"].as_u64().unwrap())
            .collect()
    };
    let all = indices("").await;
    let last = *all.last().unwrap();
    assert_eq!(all, (0..=last).collect::<Vec<_>>(), "R1: no gap");
    assert!(last >= 11);
    assert_eq!(
        indices("?limit=2").await,
        [last - 1, last],
        "the latest, when no place is named"
    );
    assert_eq!(indices("?after=2&limit=3").await, [3, 4, 5]);
    assert_eq!(
        indices("?after=-1&limit=3").await,
        [0, 1, 2],
        "from the first"
    );
    assert_eq!(indices("?before=5&limit=3").await, [2, 3, 4]);
    assert_eq!(indices("?after=2&before=5").await, [3, 4]);
    assert_eq!(indices(&format!("?after={last}")).await, [0_u64; 0]);
    server.delete("/rooms/lobby").await;
    assert!(
        !indices("").await.is_empty(),
        "R6: a closed room stays readable"
    );

    for (query, named) in [
        ("after=x", "after"),
        ("before=-1", "before"),
        ("before=x", "before"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("until=3", "until"),
    ] {
        let answer = server.get(&format!("/rooms/lobby/timeline?{query}")).await;
        let message = answer.is_error(400, "bad_request");
        assert!(message.contains(named), "{message}");
    }
}

#[tokio::test]
async fn x5_a_page_is_bounded_in_bytes_and_the_next_begins_where_it_ends() {
    const LARGEST: usize = 1024 * 1024;
    let server = TestServer::start("").await;
    server.session("?room=lobby").await.0.hang_up().await;
    // Nearly the largest texts there are: 64 kB each, of which a page has room for no more than 16.
    let text = "\u{1f40c}".repeat(16_000);
    for number in 0..40 {
        let message = json!({"text": format!("{number:>4}{text}"), "visibility": "none"});
        let path = "/rooms/lobby/messages";
        assert_eq!(server.post(path, message).await.status, 201);
    }
    let page = async |query: String| -> Vec<u64> {
        let path = format!("/rooms/lobby/timeline?limit=1000{query}");
        let answer = server.get(&path).await;
        assert!(answer.body.len() < LARGEST + 100, "{}", answer.body.len());
        let events = answer.json()["events"].as_array().unwrap().clone();
        let indices = events.iter().map(|event| event["index"].as_u64().unwrap());
        indices.collect()
    };
    let latest = page(String::new()).await;
    assert_eq!(latest.len(), 16, "as many as there is room for");
    let length = latest.last().unwrap() + 1;

    let (mut backwards, mut forwards) = (latest.clone(), page("&after=-1".into()).await);
    loop {
        let earlier = page(format!("&before={}", backwards[0])).await;
        if earlier.is_empty() {
            break;
        }
        backwards.splice(0..0, earlier);
    }
    loop {
        let later = page(format!("&after={}", forwards.last().unwrap())).await;
        if later.is_empty() {
            break;
        }
        forwards.extend(later);
    }
    let all: Vec<u64> = (0..length).collect();
    assert_eq!(
        (&backwards, &forwards),
        (&all, &all),
        "R8: each of them once"
    );
    let some = page(format!("&after=3&before={}", latest[0])).await;
    assert_eq!((some[0], some.is_sorted()), (4, true));

    // Pages that are read in several steps, because it is the number that bounds them.
    let server = TestServer::start("").await;
    server.session("?room=lobby").await.0.hang_up().await;
    for number in 0..200 {
        let message = json!({"text": format!("note {number}"), "visibility": "none"});
        server.post("/rooms/lobby/messages", message).await;
    }
    for (query, expected) in [
        ("after=9&limit=150", 10..160),
        ("before=180&limit=150", 30..180),
        ("after=9&before=180&limit=1000", 10..180),
    ] {
        let page = server.get(&format!("/rooms/lobby/timeline?{query}")).await;
        let events = page.json()["events"].as_array().unwrap().clone();
        let indices = events.iter().map(|event| event["index"].as_u64().unwrap());
        assert_eq!(indices.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_message_becomes_an_event() {
    let server = TestServer::start("").await;
    let (_caller, _) = server.session("?room=lobby").await;
    let message = json!({
        "text": "the caller is a regular",
        "visibility": "voice",
        "silent": true,
        "role": "user",
        "idempotency_key": "k-1",
    });
    let posted = server.post("/rooms/lobby/messages", message.clone()).await;
    assert_eq!(posted.status, 201);
    let event = posted.json();
    assert_eq!(
        event["content"],
        json!({"type": "text", "body": "the caller is a regular"})
    );
    assert_eq!(event["source"]["channel_id"], "supervisor");
    assert_eq!(event["visibility"], "voice");
    assert_eq!(event["status"], "delivered");
    assert_eq!(event["metadata"]["silent"], true);
    assert_eq!(event["metadata"]["inject_role"], "user");

    let again = server.post("/rooms/lobby/messages", message).await;
    assert_eq!(
        (again.status, again.json()),
        (201, event),
        "R8: one key, one event"
    );
}

#[tokio::test]
async fn r11_a_delivery_is_brought_up_with_the_caller() {
    let server = TestServer::start("").await;
    let (mut caller, _) = server.session("?room=lobby").await;
    let delivery = json!({"text": "your taxi is here"});
    let accepted = server.post("/rooms/lobby/deliveries", delivery).await;
    assert_eq!(
        (accepted.status, accepted.json()),
        (202, json!({"sessions": 1}))
    );
    caller.words("assistant", "your taxi is here").await;
    for (body, field) in [
        (json!({"text": " "}), "text"),
        (json!({"text": "x", "strategy": "later"}), "strategy"),
        (
            json!({"text": "x", "strategy": "queued", "wait_ms": 5}),
            "wait_ms",
        ),
        (json!({"text": "x", "wait_ms": 600_001}), "wait_ms"),
    ] {
        let answer = server.post("/rooms/lobby/deliveries", body).await;
        let problem = answer.is_error(400, "bad_request");
        assert!(problem.contains(field), "{problem}");
    }
    caller.hang_up().await;
    server
        .post("/rooms/nowhere/deliveries", json!({"text": "x"}))
        .await
        .is_error(404, "room_not_found");
}

#[tokio::test]
async fn a_message_that_cannot_be_used_names_its_field() {
    let server = TestServer::start("").await;
    let (_caller, _) = server.session("?room=lobby").await;
    for (body, named) in [
        (json!({}), "text"),
        (json!({"text": 7}), "text"),
        (json!({"text": ""}), "text"),
        (json!({"text": "  "}), "text"),
        (json!({"text": "x".repeat(16_385)}), "text"),
        (json!({"text": "a", "txet": "b"}), "txet"),
        (json!({"text": "a", "silent": "yes"}), "silent"),
        (json!({"text": "a", "role": "boss"}), "role"),
        (
            json!({"text": "a", "visibility": "voice,nobody"}),
            "visibility",
        ),
        (json!({"text": "a", "visibility": 7}), "visibility"),
        (
            json!({"text": "a", "idempotency_key": ""}),
            "idempotency_key",
        ),
        (
            json!({"text": "a", "idempotency_key": "k".repeat(129)}),
            "idempotency_key",
        ),
        (json!([]), "body"),
    ] {
        let answer = server.post("/rooms/lobby/messages", body).await;
        let message = answer.is_error(400, "bad_request");
        assert!(message.contains(named), "{named}: {message}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_body() {
    let server = TestServer::start("").await;
    let (_caller, _) = server.session("?room=lobby").await;
    let json = ("content-type", "application/json");
    let post = async |headers: &[(&str, &str)], body: &str| {
        request(
            server.address,
            "POST",
            "/rooms/lobby/messages",
            headers,
            body,
        )
        .await
    };
    post(&[json], "{").await.is_error(400, "bad_request");
    post(&[json], "").await.is_error(400, "bad_request");
    post(&[json], &"[".repeat(60_000))
        .await
        .is_error(400, "bad_request");
    post(&[], r#"{"text":"a"}"#).await.is_error(415, "not_json");
    post(&[("content-type", "text/plain")], r#"{"text":"a"}"#)
        .await
        .is_error(415, "not_json");
    let large = json!({"text": "a", "x": "y".repeat(70_000)}).to_string();
    post(&[json], &large).await.is_error(413, "too_large");
}

#[tokio::test]
async fn rooms_that_are_not_there_or_not_open() {
    let server = TestServer::start("").await;
    let (_caller, _) = server.session("?room=closed").await;
    server.delete("/rooms/closed").await;
    for path in ["/rooms/nowhere", "/rooms/nowhere/timeline"] {
        let message = server.get(path).await.is_error(404, "room_not_found");
        assert!(message.contains("nowhere"), "{message}");
    }
    let hello = json!({"text": "hello"});
    server
        .delete("/rooms/nowhere")
        .await
        .is_error(404, "room_not_found");
    server
        .post("/rooms/nowhere/messages", hello.clone())
        .await
        .is_error(404, "room_not_found");
    server
        .post("/rooms/closed/messages", hello)
        .await
        .is_error(409, "room_closed");
    let whisper = json!({"text": "hello", "visibility": "voice"});
    server
        .post("/rooms/closed/messages", whisper)
        .await
        .is_error(409, "room_closed");
    for id in ["a%20b", "%2e%2e", "%ff", &"x".repeat(129)] {
        server
            .get(&format!("/rooms/{id}"))
            .await
            .is_error(400, "bad_request");
    }
}

#[tokio::test]
async fn paths_and_methods_that_are_not_there() {
    let server = TestServer::start("").await;
    server.get("/nowhere").await.is_error(404, "not_found");
    server
        .get("/rooms/lobby/secrets")
        .await
        .is_error(404, "not_found");
    let refused = server.delete("/rooms").await;
    refused.is_error(405, "method_not_allowed");
    assert!(refused.header("allow").unwrap().contains("GET"));
    server
        .post("/rooms/lobby", json!({}))
        .await
        .is_error(405, "method_not_allowed");
    server
        .get("/rooms/lobby/messages")
        .await
        .is_error(405, "method_not_allowed");
    let plain = server.get("/ws").await;
    assert!((400..500).contains(&plain.status) && plain.json()["code"].is_string());
}

#[tokio::test]
async fn x5_bytes_that_are_no_http_end_one_connection_only() {
    let server = TestServer::start("").await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
    ] {
        let answer = raw_request(server.address, &[bytes, b"\r\n\r\n"].concat()).await;
        assert_eq!(answer.status, 400);
    }
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn c5_the_head_of_a_request_has_a_limit_which_is_not_that_of_its_body() {
    let server = TestServer::start("").await;
    for (kib, status) in [(24, 200), (32, 431), (1024, 431)] {
        let long = "y".repeat(kib * 1024);
        let head = format!(
            "GET /healthz HTTP/1.1\r\nconnection: close\r\nhost: localhost\r\nx: {long}\r\n\r\n"
        );
        let answer = raw_request(server.address, head.as_bytes()).await;
        assert_eq!(answer.status, status, "{kib} KiB");
    }
    let (_caller, _) = server.session("?room=lobby").await;
    let long = json!({"text": "€".repeat(16_000)});
    let answer = server.post("/rooms/lobby/messages", long).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
}

#[tokio::test]
async fn c5_a_client_that_does_not_finish_its_request_is_cut_off() {
    let server = TestServer::start("[limits]\nhandshake_ms = 100").await;
    for start in ["", "GET /rooms HTTP/1.1\r\nhost: a\r\n"] {
        let mut socket = TcpStream::connect(server.address).await.unwrap();
        socket.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // Ends, with or without an answer; without the limit it would not.
        let _ = soon(socket.read_to_end(&mut rest)).await;
    }
    assert_eq!(server.get("/healthz").await.status, 200);
}
