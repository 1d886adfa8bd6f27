//! Who may come in: tokens and origins, on every door.

use serde_json::json;

use crate::support::{Socket, TestServer, raw_request, refusal, request, request_text};

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
        ("POST", "/rooms/lobby/recording"),
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

/// Of a server with these settings: the status of requests that ask by this name, over HTTP and for a
/// call, as a page of that name would send them.
async fn asked_by(server: &TestServer, name: &str) -> [u16; 2] {
    let text = request_text(name, "GET", "/rooms", "", "");
    let rooms = raw_request(server.address, text.as_bytes()).await;
    let origin = format!("http://{name}");
    let headers = [("host", name), ("origin", origin.as_str())];
    let called = Socket::open(server.address, "/ws", &headers).await;
    [
        rooms.status,
        called.map_or_else(|error| refusal(Err(error)).0, |_| 101),
    ]
}

#[tokio::test]
async fn x3_a_name_that_leads_to_this_machine_makes_no_page_its_own() {
    let server = TestServer::start("").await;
    let port = server.address.port();
    for name in ["localhost", "127.0.0.1", "[::1]"] {
        let name = format!("{name}:{port}");
        assert_eq!(asked_by(&server, &name).await, [200, 101], "{name}");
    }
    let evil = format!("evil.example:{port}");
    assert_eq!(asked_by(&server, &evil).await, [403, 403]);
    let text = request_text(&evil, "GET", "/rooms", "", "");
    let refused = raw_request(server.address, text.as_bytes()).await;
    let message = refused.is_error(403, "host");
    assert!(message.contains("`allowed_hosts`"), "{message}");
    // An old client names nobody, and is no browser.
    let old = raw_request(server.address, b"GET /rooms HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.status, 200);

    let evil = evil.as_str();
    let listed = "[limits]\nallowed_hosts = ['calls.example']";
    for (settings, name, expected) in [
        (listed, "calls.example", [200, 101]),
        (listed, evil, [403, 403]),
        // Behind a proxy everybody's name may be this server's, and with tokens nobody's page has one.
        ("[limits]\ntrusted_proxies = 1", evil, [200, 101]),
        ("[auth]\ntokens = ['a']", evil, [401, 401]),
    ] {
        let server = TestServer::start(settings).await;
        assert_eq!(asked_by(&server, name).await, expected, "{settings} {name}");
    }
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
