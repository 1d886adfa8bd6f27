//! Who may come in: tokens and origins, on every door.

mod support;

use serde_json::json;
use support::{Socket, TestServer, refusal, request};

const TOKENS: &str = "[auth]\ntokens = ['first-token', 'second-token']";

#[tokio::test]
async fn x2_without_a_token_nothing_of_a_room_is_seen() {
    let server = TestServer::start(TOKENS).await;
    for (method, path) in [
        ("GET", "/rooms"),
        ("GET", "/rooms/lobby"),
        ("GET", "/rooms/lobby/timeline"),
        ("POST", "/rooms/lobby/messages"),
        ("POST", "/rooms/lobby/deliveries"),
        ("DELETE", "/rooms/lobby"),
        ("GET", "/rooms/lobby/events"),
        ("GET", "/metrics"),
        ("POST", "/tokens"),
        ("GET", "/ws"),
    ] {
        let refused = request(server.address, method, path, &[], "").await;
        refused.is_error(401, "unauthorized");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
        let wrong = [("authorization", "Bearer third-token")];
        let refused = request(server.address, method, path, &wrong, "").await;
        let message = refused.is_error(401, "unauthorized");
        assert!(!message.contains("third-token"), "X1");
    }
    for path in [
        "/",
        "/page/app.js",
        "/page/config.json",
        "/healthz",
        "/readyz",
    ] {
        assert_eq!(
            server.get(path).await.status,
            200,
            "{path} is for everybody"
        );
    }
}

#[tokio::test]
async fn x2_each_token_opens_every_door_in_each_of_three_ways() {
    let server = TestServer::start(TOKENS).await;
    let bearer = ("authorization", "Bearer second-token");
    let protocol = ("sec-websocket-protocol", "roomkit, token.first-token");
    let mut caller = Socket::open(server.address, "/ws?room=lobby", &[protocol])
        .await
        .unwrap();
    caller.until("session_started").await;
    assert_eq!(
        request(server.address, "GET", "/rooms", &[bearer], "")
            .await
            .status,
        200
    );
    for query in ["/rooms", "/rooms/lobby", "/rooms/lobby/timeline"] {
        assert_eq!(
            server
                .get(&format!("{query}?token=first-token"))
                .await
                .status,
            200
        );
    }
    let path = "/rooms/lobby/events";
    Socket::open(server.address, path, &[protocol])
        .await
        .unwrap();
    Socket::open(server.address, path, &[bearer]).await.unwrap();
    let with_query = format!("{path}?after=-1&token=first-token");
    Socket::open(server.address, &with_query, &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn x3_pages_of_other_origins_are_refused_at_every_door() {
    let server = TestServer::start("").await;
    let (_caller, _) = server.session("?room=lobby").await;
    let evil = ("origin", "https://evil.example");
    let json = ("content-type", "application/json");
    let hello = json!({"text": "hello"}).to_string();
    for (method, path) in [
        ("GET", "/rooms"),
        ("POST", "/rooms/lobby/messages"),
        ("DELETE", "/rooms/lobby"),
        ("GET", "/metrics"),
        ("POST", "/tokens"),
    ] {
        let refused = request(server.address, method, path, &[evil, json], &hello).await;
        refused.is_error(403, "origin");
    }
    for path in ["/ws", "/rooms/lobby/events"] {
        let (status, body, _) = refusal(Socket::open(server.address, path, &[evil]).await);
        assert_eq!((status, &body["code"]), (403, &json!("origin")), "{path}");
    }

    let own = format!("http://{}", server.address);
    let own = ("origin", own.as_str());
    let posted = request(
        server.address,
        "POST",
        "/rooms/lobby/messages",
        &[own, json],
        &hello,
    )
    .await;
    assert_eq!(posted.status, 201);
    Socket::open(server.address, "/rooms/lobby/events", &[own])
        .await
        .unwrap();
}

#[tokio::test]
async fn x3_listed_origins_are_let_in() {
    let server = TestServer::start("[limits]\nallowed_origins = ['https://app.example']").await;
    let app = ("origin", "https://app.example");
    Socket::open(server.address, "/ws?room=lobby", &[app])
        .await
        .unwrap();
    let own = format!("http://{}", server.address);
    let own = Socket::open(server.address, "/ws", &[("origin", own.as_str())]).await;
    assert_eq!(refusal(own).0, 403, "a list replaces the default");
}
