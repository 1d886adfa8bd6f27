//! Connecting: what goes over the wire, and every way in which it fails.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use roomkit_core::provider::{
    ProviderError, ProviderErrorKind, ProviderEvent, RealtimeVoiceProvider, SessionSetup,
};
use roomkit_provider_openai::{OpenAIConfig, OpenAIRealtimeProvider, Token};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{KEY, Peer, Server, next, setup};

/// How `connect` fails at a server that does this after the upgrade.
async fn refusal<F: Future>(server: impl FnOnce(Peer) -> F) -> ProviderError {
    let listening = Server::bind().await;
    let provider = listening.provider();
    let script = async { server(listening.accept().await).await };
    let (_, connection) = tokio::join!(script, provider.connect(setup()));
    connection.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn s1_ready_means_that_the_vendor_has_taken_the_session() {
    let server = Server::bind().await;
    let mut config = server.config();
    config.headers = [("OpenAI-Project".to_owned(), "proj".into())].into();
    let provider = OpenAIRealtimeProvider::new(config).unwrap();
    let mut setup = setup();
    setup.system_prompt = Some("Be brief.".into());
    setup.temperature = Some(0.7);
    setup.provider_config = serde_json::from_value(json!({ "codec": "pcmu" })).unwrap();
    let script = async {
        let mut peer = server.accept().await;
        // Some servers say more before they begin.
        peer.send(json!({ "type": "conversation.created", "conversation": null }))
            .await;
        let session = peer.greet().await;
        (peer, session)
    };
    let ((peer, session), connection) = tokio::join!(script, provider.connect(setup));
    let info = connection.unwrap().info;
    assert_eq!(info.provider_session_id.as_deref(), Some("sess_1"));
    assert_eq!(info.capabilities.input_rate, 8_000);
    assert_eq!(session["instructions"], "Be brief.");
    assert_eq!(session.get("temperature"), None);
    let headers = peer.request.headers();
    assert_eq!(peer.request.uri(), "/v1/realtime?model=gpt-realtime-2.1");
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(headers["openai-project"], "proj");
    assert!(!headers.contains_key("openai-beta"));
}

#[tokio::test]
async fn a_gateway_has_its_own_header_and_place_for_the_model() {
    let server = Server::bind().await;
    let mut config = server.config();
    config.auth_header = "api-key".into();
    config.model_in_query = false;
    config.model = "deployment".into();
    config.base_url.push_str("?api-version=1");
    let provider = OpenAIRealtimeProvider::new(config).unwrap();
    let script = async {
        let mut peer = server.accept().await;
        let session = peer.greet().await;
        (peer, session)
    };
    let ((peer, session), connection) = tokio::join!(script, provider.connect(setup()));
    connection.map(|_| ()).unwrap();
    assert_eq!(peer.request.headers()["api-key"], KEY);
    assert!(!peer.request.headers().contains_key("authorization"));
    assert_eq!(peer.request.uri(), "/v1/realtime?api-version=1");
    assert_eq!(session["model"], "deployment");
}

#[tokio::test]
async fn each_connection_has_a_key_of_its_own() {
    let server = Server::bind().await;
    let mut config = server.config();
    let asked = Arc::new(AtomicUsize::new(0));
    config.api_key = Some(Token::source(move || {
        let number = asked.fetch_add(1, Ordering::Relaxed);
        async move { Ok(format!("eyJ-token-{number}").into()) }
    }));
    let provider = OpenAIRealtimeProvider::new(config).unwrap();
    assert!(!format!("{provider:?}").contains("eyJ"), "{provider:?}");
    for number in 0..2 {
        let script = async {
            let mut peer = server.accept().await;
            peer.greet().await;
            peer
        };
        let (mut peer, connection) = tokio::join!(script, provider.connect(setup()));
        let mut connection = connection.unwrap();
        let bearer = format!("Bearer eyJ-token-{number}");
        assert_eq!(peer.request.headers()["authorization"], bearer);
        // Should the vendor repeat it.
        let error = json!({ "type": "server_error", "message": format!("no {bearer}!") });
        peer.send(json!({ "type": "error", "error": error })).await;
        let ProviderEvent::Error(error) = next(&mut connection).await else {
            panic!("no error");
        };
        assert!(!error.message().contains("eyJ"), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_had_fails_the_connection_in_its_own_way() {
    let server = Server::bind().await;
    let busy = || async {
        let error = ProviderError::new(ProviderErrorKind::RateLimited, "ask later");
        Err(error)
    };
    let empty = || async { Ok(" ".to_owned().into()) };
    let table = [
        (
            Token::source(busy),
            ProviderErrorKind::RateLimited,
            "ask later",
        ),
        (
            Token::source(empty),
            ProviderErrorKind::Authentication,
            "is empty",
        ),
        (
            Token::source(std::future::pending),
            ProviderErrorKind::Network,
            "`api_key`",
        ),
    ];
    for (key, kind, told) in table {
        let mut config = server.config();
        config.api_key = Some(key);
        config.connect_timeout = Duration::from_millis(50);
        let provider = OpenAIRealtimeProvider::new(config).unwrap();
        let error = provider.connect(setup()).await.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(told), "{error}");
    }
}

#[tokio::test]
async fn x1_h3_a_wrong_key_is_refused_over_the_open_socket() {
    let error = refusal(async |mut peer: Peer| {
        let told = "Incorrect API key provided: sk-test-***6789. You can find your key elsewhere.";
        let error = json!({ "type": "invalid_request_error", "code": "invalid_api_key",
            "message": told, "param": null, "event_id": null });
        peer.send(json!({ "type": "error", "error": error })).await;
        peer.close(3000, "invalid_request_error.invalid_api_key")
            .await;
    })
    .await;
    assert_eq!(error.kind(), ProviderErrorKind::Authentication);
    assert_eq!(error.code(), "invalid_api_key");
    assert!(!error.is_retryable());
    assert!(error.message().contains("[redacted]"), "{error}");
    assert!(!error.message().contains("6789"), "{error}");
}

#[tokio::test]
async fn h3_a_close_alone_is_understood_too() {
    let table = [
        (
            3000,
            "invalid_request_error",
            ProviderErrorKind::Authentication,
        ),
        (
            4000,
            "invalid_request_error.invalid_model",
            ProviderErrorKind::InvalidConfig,
        ),
        (1013, "", ProviderErrorKind::Server),
    ];
    for (code, reason, kind) in table {
        let error = refusal(async |mut peer: Peer| {
            peer.close(code, reason).await;
            peer.next().await;
        })
        .await;
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn h3_a_socket_that_breaks_may_work_the_next_time() {
    let at_once = refusal(async |peer: Peer| drop(peer)).await;
    let midway = refusal(async |mut peer: Peer| {
        peer.send(json!({ "type": "session.created", "session": {} }))
            .await;
        peer.receive().await;
    })
    .await;
    for error in [at_once, midway] {
        assert_eq!(error.kind(), ProviderErrorKind::Network, "{error}");
        assert!(error.is_retryable());
    }
}

#[tokio::test]
async fn a_refused_session_update_names_the_vendors_field() {
    let error = refusal(async |mut peer: Peer| {
        peer.send(json!({ "type": "session.created", "session": { "id": "s" } }))
            .await;
        peer.receive().await;
        let error = json!({ "type": "invalid_request_error", "code": "unknown_parameter",
            "message": "Unknown parameter.", "param": "session.reasoning" });
        peer.send(json!({ "type": "error", "error": error })).await;
        peer.next().await;
    })
    .await;
    assert_eq!(error.kind(), ProviderErrorKind::InvalidConfig);
    assert_eq!(
        error.to_string(),
        "`session.reasoning`: Unknown parameter. (unknown_parameter)"
    );
}

#[tokio::test]
async fn h1_a_session_says_how_long_it_lives() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let table = [
        (json!(now.as_secs() + 3600), Some(3600)),
        (json!(now.as_secs_f64() + 90.5), Some(90)),
        (json!((now.as_secs() + 60).to_string()), Some(60)),
        (Value::Null, None),
        // The clocks disagree, or there is no end.
        (json!(now.as_secs() - 5), None),
        (json!(0), None),
        (json!(-7), None),
        (json!(1e300), None),
        (json!("soon"), None),
        (json!({ "at": 1 }), None),
    ];
    for (expires_at, expected) in table {
        let server = Server::bind().await;
        let provider = server.provider();
        let session = json!({ "id": "s", "expires_at": expires_at });
        let script = async {
            let mut peer = server.accept().await;
            peer.send(json!({ "type": "session.created", "session": session }))
                .await;
            peer.receive().await;
            peer.send(json!({ "type": "session.updated", "session": null }))
                .await;
            peer
        };
        let (_peer, connection) = tokio::join!(script, provider.connect(setup()));
        let left = connection.unwrap().info.expires_in;
        match expected {
            None => assert_eq!(left, None, "{session}"),
            Some(seconds) => {
                let left = left.expect("a life span").as_secs();
                assert!(
                    (seconds - 30..=seconds).contains(&left),
                    "{session}: {left}"
                );
            }
        }
    }
    let server = Server::bind().await;
    let (_peer, connection) = server.connected().await;
    assert_eq!(connection.info.expires_in, None, "absent");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let server = Server::bind().await;
    let mut config = server.config();
    config.connect_timeout = Duration::from_millis(50);
    let provider = OpenAIRealtimeProvider::new(config).unwrap();
    // Without an upgrade.
    let error = provider.connect(setup()).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Network, "{error}");
    assert!(error.message().contains("connect_timeout_ms"), "{error}");
    // Without a word after it. The first attempt still waits in the backlog.
    drop(server.listener.accept().await);
    let script = async { server.accept().await };
    let (_peer, connection) = tokio::join!(script, provider.connect(setup()));
    let error = connection.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Timeout, "{error}");
}

#[tokio::test]
async fn h3_an_http_refusal_is_classified() {
    let server = Server::bind().await;
    let provider = server.provider();
    let script = async {
        let (mut stream, _) = server.listener.accept().await.unwrap();
        let mut head = [0; 64];
        stream.read_exact(&mut head).await.unwrap();
        let answer = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        // The rest of the request, so that the answer is not lost to a reset.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    };
    let (connection, ()) = tokio::join!(provider.connect(setup()), script);
    let error = connection.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Authentication);
    assert_eq!(error.code(), "http_401");
}

#[tokio::test]
async fn h3_nobody_listening_may_change() {
    let server = Server::bind().await;
    let provider = server.provider();
    drop(server);
    let error = provider.connect(setup()).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Network, "{error}");
}

#[tokio::test]
async fn s1_a_wrong_setting_is_found_before_anything_is_dialled() {
    let provider = OpenAIRealtimeProvider::new(OpenAIConfig {
        api_key: Some(KEY.into()),
        base_url: "ws://host.invalid".into(),
        ..OpenAIConfig::default()
    })
    .unwrap();
    let mut setup: SessionSetup = setup();
    setup.provider_config = serde_json::from_value(json!({ "speed": 9 })).unwrap();
    let error = provider.connect(setup).await.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::InvalidConfig);
    assert_eq!(
        error.message(),
        "provider_config.speed: is 9; use 0.25 to 1.5"
    );
}

#[tokio::test]
async fn s1_an_abandoned_attempt_leaves_nothing_behind() {
    let server = Server::bind().await;
    let provider = server.provider();
    let mut connecting = Box::pin(provider.connect(setup()));
    let mut peer = tokio::select! {
        peer = server.accept() => peer,
        _ = &mut connecting => panic!("connected without a session"),
    };
    drop(connecting);
    assert_eq!(peer.next().await, None, "the socket is closed");
}

#[tokio::test]
async fn tls_has_its_crypto_provider_whatever_else_is_linked() {
    let server = Server::bind().await;
    let mut config = server.config();
    config.base_url = config.base_url.replacen("ws://", "wss://", 1);
    let provider = OpenAIRealtimeProvider::new(config).unwrap();
    let script = async {
        let (mut stream, _) = server.listener.accept().await.unwrap();
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        hello
    };
    let (hello, connection) = tokio::join!(script, provider.connect(setup()));
    assert_eq!(hello[..2], [0x16, 0x03], "a TLS handshake record");
    let error = connection.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Network, "{error}");
}
