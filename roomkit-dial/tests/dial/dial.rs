//! Every way in which dialling fails, and what the error tells to look at.

use std::time::Duration;

use roomkit_core::provider::{ProviderError, ProviderErrorKind};
use roomkit_dial::{Deadline, DialOptions, Endpoint};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{self, KEY, Server, deadline, dialer};

async fn failed(url: &str) -> ProviderError {
    let dialed = dialer(url, DialOptions::default()).dial(&deadline()).await;
    dialed.map(|_| ()).unwrap_err()
}

/// How dialling fails at a server that answers the request with these bytes.
async fn answered(answer: &str) -> ProviderError {
    let server = Server::bind().await;
    let url = server.url();
    let script = async {
        let (mut stream, _) = server.listener.accept().await.unwrap();
        let mut head = [0; 64];
        stream.read_exact(&mut head).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        // The rest of the request, so that the answer is not lost to a reset.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };
    let (error, ()) = tokio::join!(failed(&url), script);
    assert!(!error.to_string().contains(KEY), "{error}");
    error
}

#[tokio::test]
async fn the_request_has_its_path_query_and_headers() {
    let server = Server::bind().await;
    let endpoint = Endpoint::new("base_url", &format!("{}?model=mine", server.url()))
        .unwrap()
        .with_query("model", "theirs")
        .with_query("alt", "a b")
        .with_header("headers.x-tenant", "x-tenant", "7".into())
        .unwrap();
    let dialer = roomkit_dial::Dialer::new("t", endpoint, support::ERRORS, DialOptions::default());
    let deadline = deadline();
    let dialer = dialer.unwrap();
    let (peer, socket) = tokio::join!(server.accept(), dialer.dial(&deadline));
    socket.unwrap();
    assert_eq!(peer.request.uri(), "/v1?model=mine&alt=a+b");
    assert_eq!(peer.request.headers()["x-tenant"], "7");
}

#[tokio::test]
async fn x1_a_dialer_goes_elsewhere_with_the_secrets_of_there() {
    let server = Server::bind().await;
    let elsewhere = Endpoint::new("base_url", &server.url())
        .unwrap()
        .with_credential("token", "authorization", "Bearer", "token-of-there".into())
        .unwrap()
        .with_secret("handle-of-there".into());
    let dialer = dialer("ws://host.invalid", DialOptions::default()).for_endpoint(elsewhere);
    let deadline = deadline();
    let (peer, socket) = tokio::join!(server.accept(), dialer.dial(&deadline));
    socket.unwrap();
    let headers = peer.request.headers();
    assert_eq!(headers["authorization"], "Bearer token-of-there");
    assert!(!headers.contains_key("x-api-key"));
    let told = dialer.redactor().redact("token-of-there, handle-of-there");
    assert_eq!(told, "[redacted], [redacted]");
}

#[tokio::test]
async fn frames_of_text_go_both_ways_before_the_split() {
    let server = Server::bind().await;
    let (dialer, deadline) = (server.dialer(), deadline());
    let (mut peer, socket) = tokio::join!(server.accept(), dialer.dial(&deadline));
    let mut socket = socket.unwrap();
    socket.send("hello").await.unwrap();
    assert_eq!(peer.next().await, Some(Message::text("hello")));
    peer.send(Message::Ping("p".into())).await;
    peer.send(Message::binary("as bytes")).await;
    peer.send(Message::binary(vec![0xFF])).await;
    peer.send(Message::text("as text")).await;
    assert_eq!(socket.receive().await.unwrap().as_str(), "as bytes");
    let error = socket.receive().await.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Protocol, "{error}");
    assert_eq!(&*socket.receive().await.unwrap(), "as text");
    peer.close(3000, "wrong.bad_key").await;
    let error = socket.receive().await.unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Authentication);
}

#[tokio::test]
async fn h3_a_name_without_address_names_the_dns() {
    let error = failed("ws://name.invalid:1/v1").await;
    assert_eq!(
        (error.kind(), error.code()),
        (ProviderErrorKind::Network, "dns")
    );
    for part in ["`name.invalid`", "`base_url`", "DNS"] {
        assert!(error.message().contains(part), "{error}");
    }
}

#[tokio::test]
async fn h3_nobody_listening_may_change() {
    let server = Server::bind().await;
    let url = server.url();
    drop(server);
    let error = failed(&url).await;
    assert_eq!(
        (error.kind(), error.code()),
        (ProviderErrorKind::Network, "connect")
    );
    for part in ["127.0.0.1:", "nobody listens", "`base_url`"] {
        assert!(error.message().contains(part), "{error}");
    }
}

#[tokio::test]
async fn h3_an_http_refusal_is_classified() {
    let table = [
        ("401 Unauthorized", "", ProviderErrorKind::Authentication),
        (
            "400 Bad Request",
            r#"{"error":{"code":"OpperationNotSupported","message":"not here"}}"#,
            ProviderErrorKind::InvalidConfig,
        ),
        ("404 Not Found", "", ProviderErrorKind::InvalidConfig),
        ("429 Too Many Requests", "", ProviderErrorKind::RateLimited),
        (
            "429 Too Many Requests",
            r#"{"error":{"code":"no_money"}}"#,
            ProviderErrorKind::Quota,
        ),
        ("503 Service Unavailable", "", ProviderErrorKind::Server),
    ];
    for (status, body, kind) in table {
        let length = body.len();
        let error = answered(&format!(
            "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
        assert_eq!(error.kind(), kind, "{status}: {error}");
        assert!(error.message().contains(&status[..3]), "{error}");
    }
}

#[tokio::test]
async fn h3_what_is_no_websocket_server_is_told() {
    let error = answered("HTTP/1.1 101 Switching Protocols\r\n\r\n").await;
    assert_eq!(error.kind(), ProviderErrorKind::Protocol, "{error}");
    assert!(error.message().contains("`base_url`"), "{error}");
    let error = answered("220 mail.example.com ESMTP\r\n\r\n").await;
    assert_eq!(error.kind(), ProviderErrorKind::Protocol, "{error}");
    let error = answered("").await;
    assert_eq!(error.kind(), ProviderErrorKind::Network, "{error}");
}

#[tokio::test]
async fn h3_a_server_that_never_answers_is_given_up() {
    let server = Server::bind().await;
    let dialer = server.dialer();
    let deadline = Deadline::after(Duration::from_millis(50), "connect_timeout_ms");
    let error = dialer.dial(&deadline).await.map(|_| ()).unwrap_err();
    // Nothing was refused yet, a resume token among it.
    let of = (error.kind(), error.code());
    assert_eq!(of, (ProviderErrorKind::Network, "connect"));
    for part in ["127.0.0.1:", "50 ms", "`connect_timeout_ms`"] {
        assert!(error.message().contains(part), "{error}");
    }
}

#[tokio::test]
async fn s1_an_abandoned_attempt_leaves_nothing_behind() {
    let server = Server::bind().await;
    let (dialer, deadline) = (server.dialer(), deadline());
    let mut dialing = Box::pin(dialer.dial(&deadline));
    let (mut stream, _) = tokio::select! {
        accepted = server.listener.accept() => accepted.unwrap(),
        _ = &mut dialing => panic!("connected without an upgrade"),
    };
    drop(dialing);
    // Whatever of the request was sent, then the end.
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn a_limit_beyond_all_clocks_is_no_panic() {
    let deadline = Deadline::after(Duration::MAX, "connect_timeout_ms");
    let step = deadline.within("step", async { Ok(7) }).await;
    assert_eq!(step, Ok(7));
}

#[test]
fn x1_an_endpoint_is_checked_and_shows_no_secret() {
    let table = [
        ("host", "is not a URL"),
        ("https://host", "has the scheme `https`"),
        ("wss://me:secret@host", "holds a user or password"),
    ];
    for (url, problem) in table {
        let error = Endpoint::new("base_url", url).unwrap_err().to_string();
        assert!(error.starts_with("base_url: "), "{error}");
        assert!(error.contains(problem), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
    let endpoint = Endpoint::new("base_url", "wss://host/path?k=secret-1").unwrap();
    for (name, value) in [("a b", "v"), ("x", "a\nb"), ("x", "é")] {
        let refused = endpoint
            .clone()
            .with_header("headers.x", name, value.into());
        let error = refused.unwrap_err().to_string();
        assert!(error.starts_with("headers.x: is not a valid HTTP header"));
        assert!(!error.contains(value) || value == "v", "{error}");
    }
    let refused = endpoint
        .clone()
        .with_header("headers.x", "Upgrade", "h2c".into());
    let error = refused.unwrap_err().to_string();
    assert_eq!(
        error,
        "headers.x: `upgrade` belongs to the WebSocket handshake; leave it out"
    );
    let endpoint = endpoint
        .with_secret_query("key", "secret-2".into())
        .with_header("headers.x", "x", "secret-3".into())
        .unwrap();
    let shown = format!("{endpoint:?}");
    assert!(
        shown.contains("/path") && !shown.contains("secret"),
        "{shown}"
    );
    let told = endpoint.redactor().redact("GET secret-2 secret-3");
    assert_eq!(told, "GET [redacted] [redacted]");
}
