//! Connecting: what goes over the wire, and every way in which it fails.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use roomkit_core::provider::{
    HistoryItem, ProviderError, ProviderErrorKind, ProviderEvent, RealtimeVoiceProvider,
    ResumeToken, Role, SessionSetup,
};
use roomkit_mock::fake_gemini::{
    Closure, FakeGemini, FakeGeminiBuilder, Fault, FaultAction, FaultPoint, HandleRefusal,
};
use roomkit_provider_gemini::{Auth, GeminiConfig, GeminiLiveProvider, Token};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::support::{
    LIVE_31, LIVE_38, NATIVE_25,
    server::{KEY, config, next, provider, setup},
};

/// How `connect` fails at this server.
async fn refusal(server: FakeGeminiBuilder, model: &str, setup: SessionSetup) -> ProviderError {
    let server = server.api_key(KEY).start().await.unwrap();
    let mut config = config(&server, model);
    config.connect_timeout = Duration::from_secs(5);
    let provider = GeminiLiveProvider::new(config).unwrap();
    provider.connect(setup).await.map(|_| ()).unwrap_err()
}

fn fault(point: FaultPoint, action: FaultAction) -> FakeGeminiBuilder {
    FakeGemini::builder().fault(Fault::new(point, action))
}

#[tokio::test]
async fn s1_ready_means_that_the_vendor_has_taken_the_session() {
    let server = FakeGemini::builder().api_key(KEY).start().await.unwrap();
    let mut config = config(&server, LIVE_38);
    config.headers = [("X-Trace".to_owned(), "abc".into())].into();
    let provider = GeminiLiveProvider::new(config).unwrap();
    let mut setup = setup(json!({ "top_p": 0.5 }));
    setup.system_prompt = Some("Be brief.".into());
    setup.temperature = Some(0.7);
    let connection = provider.connect(setup).await.unwrap();
    assert_eq!(connection.info.provider_session_id, None);
    assert_eq!(connection.info.capabilities.input_rate, 16_000);
    let peer = server.wait_for_connection(0).await.unwrap();
    let session = peer.session();
    assert_eq!(session["model"], "models/gemini-3.8-live");
    assert_eq!(session["generationConfig"]["topP"], 0.5);
    assert_eq!(session["generationConfig"]["temperature"], 0.7);
    let instruction = &session["systemInstruction"]["parts"][0]["text"];
    assert_eq!(instruction, "Be brief.");
    assert_eq!(peer.request().header("x-goog-api-key"), Some(KEY));
    assert_eq!(peer.request().header("x-trace"), Some("abc"));
    assert_eq!(peer.request().query_value("key"), None);
    assert_eq!(peer.violations(), []);
}

#[tokio::test]
async fn the_version_of_the_api_follows_the_session() {
    let server = FakeGemini::builder().api_key(KEY).start().await.unwrap();
    let provider = provider(&server, NATIVE_25);
    for config in [
        json!({}),
        json!({ "enable_affective_dialog": false, "proactive_audio": false }),
        json!({ "enable_affective_dialog": true }),
        json!({ "proactive_audio": true }),
    ] {
        provider.connect(setup(config)).await.map(|_| ()).unwrap();
    }
    let paths = server.connections().into_iter();
    let alpha = paths.map(|peer| peer.request().path.contains("v1alpha"));
    assert_eq!(alpha.collect::<Vec<_>>(), [false, false, true, true]);
    assert_eq!(server.violations(), []);
}

#[tokio::test]
async fn an_ephemeral_token_has_its_own_door() {
    let token = "auth_tokens/abc";
    let server = FakeGemini::builder().token(token).start().await.unwrap();
    let mut config = config(&server, LIVE_38);
    config.api_key = None;
    config.auth = Auth::EphemeralToken {
        token: Token::Fixed(token.into()),
    };
    let provider = GeminiLiveProvider::new(config).unwrap();
    provider
        .connect(setup(json!({})))
        .await
        .map(|_| ())
        .unwrap();
    let request = server.connections()[0].request().clone();
    assert!(
        request
            .path
            .ends_with("v1alpha.GenerativeService.BidiGenerateContentConstrained")
    );
    assert_eq!(
        request.header("authorization"),
        Some("Token auth_tokens/abc")
    );
    assert_eq!(request.query_value("access_token"), None);
}

#[tokio::test]
async fn vertex_is_given_a_new_token_for_each_connection() {
    let server = FakeGemini::start().await.unwrap();
    let mut config = config(&server, "gemini-live-2.5-flash-native-audio");
    let asked = Arc::new(AtomicUsize::new(0));
    config.auth = Auth::Vertex {
        project: "my-project".into(),
        location: "us-central1".into(),
        token: Token::source(move || {
            let number = asked.fetch_add(1, Ordering::Relaxed);
            async move { Ok(format!("ya29.token-{number}").into()) }
        }),
        user_project: Some("payer".into()),
    };
    let provider = GeminiLiveProvider::new(config).unwrap();
    for number in 0..2 {
        let connection = provider.connect(setup(json!({}))).await.unwrap();
        assert!(connection.info.provider_session_id.is_some());
        let peer = server.wait_for_connection(number).await.unwrap();
        let request = peer.request();
        let path = "/ws/google.cloud.aiplatform.v1beta1.LlmBidiService/BidiGenerateContent";
        assert_eq!(request.path, path);
        let bearer = format!("Bearer ya29.token-{number}");
        assert_eq!(request.header("authorization"), Some(bearer.as_str()));
        assert_eq!(request.header("x-goog-user-project"), Some("payer"));
        assert_eq!(request.header("x-goog-api-key"), None);
    }
    assert_eq!(server.violations(), []);
}

#[tokio::test]
async fn a_token_that_cannot_be_had_fails_the_connection_in_its_own_way() {
    let server = FakeGemini::start().await.unwrap();
    let with_token = |token: Token| {
        let mut config = config(&server, LIVE_38);
        config.auth = Auth::EphemeralToken { token };
        config.connect_timeout = Duration::from_millis(100);
        GeminiLiveProvider::new(config).unwrap()
    };
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
            "connect_timeout_ms",
        ),
        (
            Token::Env("ROOMKIT_TEST_NO_SUCH_VARIABLE".into()),
            ProviderErrorKind::Authentication,
            "set the environment variable `ROOMKIT_TEST_NO_SUCH_VARIABLE`",
        ),
    ];
    for (token, kind, words) in table {
        let attempt = with_token(token).connect(setup(json!({}))).await;
        let error = attempt.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(words), "{error}");
    }
    assert_eq!(server.connections().len(), 0);
}

#[tokio::test]
async fn x1_h3_a_wrong_key_is_refused_over_the_open_socket() {
    let server = FakeGemini::builder()
        .api_key("another")
        .start()
        .await
        .unwrap();
    let attempt = provider(&server, LIVE_38).connect(setup(json!({}))).await;
    let error = attempt.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Authentication);
    assert!(!error.is_retryable());
    assert_eq!(error.code(), "ws_1007");
    assert!(error.message().contains("API key not valid"), "{error}");
    assert!(!format!("{error:?}").contains(KEY), "{error:?}");
}

#[tokio::test]
async fn h3_refusals_of_the_setup_are_classified() {
    use ProviderErrorKind::{
        InvalidConfig, Network, Policy, Quota, Server, SessionExpired, Unsupported,
    };
    let close = |code, reason: &str| FaultAction::Close {
        code,
        reason: reason.into(),
    };
    let table = [
        (FaultAction::invalid_argument(), InvalidConfig),
        (FaultAction::not_implemented(), Unsupported),
        (FaultAction::entity_not_found(), Server),
        (FaultAction::quota_exceeded(), Quota),
        (FaultAction::internal_error(), Server),
        (FaultAction::deadline_expired(), SessionExpired),
        (close(1008, ""), Policy),
        (close(1000, ""), Network),
        (FaultAction::Drop, Network),
        (
            FaultAction::bare_error(400, "User location is not supported", "FAILED_PRECONDITION"),
            Policy,
        ),
    ];
    for (action, kind) in table {
        let server = fault(FaultPoint::AfterSetup, action.clone());
        let error = refusal(server, LIVE_38, setup(json!({}))).await;
        assert_eq!(error.kind(), kind, "{action:?}: {error}");
    }
    let unknown = refusal(FakeGemini::builder(), "gemini-0-live", setup(json!({}))).await;
    assert_eq!(unknown.kind(), InvalidConfig, "{unknown}");
    assert!(
        unknown.message().contains("models/gemini-0-live"),
        "{unknown}"
    );
}

#[tokio::test]
async fn a_setup_that_is_never_answered_is_given_up() {
    let server = fault(FaultPoint::AfterSetup, FaultAction::Stall);
    let server = server.start().await.unwrap();
    let mut config = config(&server, LIVE_38);
    config.connect_timeout = Duration::from_millis(200);
    let provider = GeminiLiveProvider::new(config).unwrap();
    let error = provider
        .connect(setup(json!({})))
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Timeout, "{error}");
    for word in ["setupComplete", "connect_timeout_ms", "200"] {
        assert!(error.message().contains(word), "{error}");
    }
}

#[tokio::test]
async fn h3_an_http_refusal_is_classified() {
    let server = FakeGemini::start().await.unwrap();
    let provider = provider(&server, LIVE_38);
    for (status, kind) in [
        (401, ProviderErrorKind::Authentication),
        (403, ProviderErrorKind::Authentication),
        (404, ProviderErrorKind::InvalidConfig),
        (429, ProviderErrorKind::RateLimited),
        (503, ProviderErrorKind::Server),
    ] {
        server.refuse_upgrade(status);
        let error = provider
            .connect(setup(json!({})))
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

#[tokio::test]
async fn h3_an_http_refusal_says_more_than_its_status() {
    use ProviderErrorKind::{Authentication, InvalidConfig};
    for (message, kind) in [
        ("API key not valid.", Authentication),
        ("Request contains an invalid argument.", InvalidConfig),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let error = json!({ "code": 400, "status": "INVALID_ARGUMENT", "message": message });
        let body = json!({ "error": error }).to_string();
        let length = body.len();
        let answer = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {length}\r\n\r\n{body}");
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 4096];
            assert_ne!(stream.read(&mut head).await.unwrap(), 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream
        };
        let config = GeminiConfig {
            api_key: Some(KEY.into()),
            base_url: Some(format!("ws://{address}")),
            ..GeminiConfig::default()
        };
        let provider = GeminiLiveProvider::new(config).unwrap();
        let (_stream, attempt) = tokio::join!(serve, provider.connect(setup(json!({}))));
        let error = attempt.map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.code(), "INVALID_ARGUMENT");
    }
}

#[tokio::test]
async fn h3_nobody_listening_may_change() {
    let server = FakeGemini::start().await.unwrap();
    let provider = provider(&server, LIVE_38);
    server.shutdown().await;
    let error = provider
        .connect(setup(json!({})))
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Network, "{error}");
    assert!(error.is_retryable());
}

#[tokio::test]
async fn s1_a_wrong_setting_is_found_before_anything_is_dialled() {
    let server = FakeGemini::start().await.unwrap();
    let provider = provider(&server, LIVE_38);
    let error = provider
        .connect(setup(json!({ "thinking_budget": 5 })))
        .await;
    let error = error.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::InvalidConfig);
    assert!(
        error
            .message()
            .starts_with("provider_config.thinking_budget: is 5"),
        "{error}"
    );
    assert_eq!(server.connections().len(), 0);
}

#[tokio::test]
async fn s1_an_abandoned_attempt_leaves_nothing_behind() {
    let server = FakeGemini::builder().setup_delay(Duration::from_secs(60));
    let server = server.start().await.unwrap();
    let provider = provider(&server, LIVE_38);
    let mut connecting = Box::pin(provider.connect(setup(json!({}))));
    let peer = tokio::select! {
        peer = async {
            let peer = server.wait_for_connection(0).await.unwrap();
            peer.wait_for_event(|event| event.get("setup").is_some()).await.unwrap();
            peer
        } => peer,
        _ = &mut connecting => panic!("connected without a session"),
    };
    drop(connecting);
    let closure = peer.wait_for_close().await.unwrap();
    assert!(
        !matches!(closure, Closure::ByClient(Some(_))),
        "{closure:?}"
    );
}

#[tokio::test]
async fn h1_history_follows_the_acceptance_and_is_not_answered() {
    for (model, config) in [
        (LIVE_38, json!({})),
        (LIVE_31, json!({})),
        (NATIVE_25, json!({})),
    ] {
        let server = FakeGemini::builder().setup_delay(Duration::from_millis(50));
        let server = server.start().await.unwrap();
        let mut setup = setup(config);
        let said = |role, text: &str| HistoryItem::Message {
            role,
            text: text.into(),
        };
        setup.history = vec![
            said(Role::User, "My name is Ann."),
            said(Role::Assistant, "Hi Ann."),
        ];
        let _connection = provider(&server, model).connect(setup).await.unwrap();
        let peer = server.wait_for_connection(0).await.unwrap();
        let texts = |turns: &[roomkit_mock::fake_gemini::Turn]| {
            let texts: Vec<String> = turns.iter().map(|turn| turn.text.clone()).collect();
            (texts.len() == 2).then_some(texts)
        };
        let known = peer.wait_for_conversation(texts).await.unwrap();
        assert_eq!(known, ["My name is Ann.", "Hi Ann."], "{model}");
        assert_eq!(peer.violations(), []);
        assert_eq!(peer.sent("modelTurn"), 0, "{model}");
    }
}

#[tokio::test]
async fn x1_h1_a_handle_that_is_refused_fails_the_attempt() {
    let table = [
        (
            HandleRefusal::InvalidArgument,
            ProviderErrorKind::InvalidConfig,
        ),
        (HandleRefusal::NotFound, ProviderErrorKind::Server),
    ];
    for (how, kind) in table {
        let mut setup = setup(json!({}));
        setup.resume = Some(ResumeToken::new("stale-handle"));
        let server = FakeGemini::builder().handle_refusal(how);
        let error = refusal(server, LIVE_38, setup).await;
        assert_eq!(error.kind(), kind, "{how:?}: {error}");
        assert!(!error.message().contains("stale-handle"), "{error}");
    }
    let repeating = FaultAction::Close {
        code: 1007,
        reason: "stale-handle is not a handle".into(),
    };
    let mut setup = setup(json!({}));
    setup.resume = Some(ResumeToken::new("stale-handle"));
    let error = refusal(fault(FaultPoint::AfterSetup, repeating), LIVE_38, setup).await;
    assert!(
        error.message().contains("[redacted] is not a handle"),
        "{error}"
    );
}

#[tokio::test]
async fn what_comes_with_the_acceptance_is_not_lost() {
    let server = FakeGemini::builder()
        .handle_with_setup(true)
        .start()
        .await
        .unwrap();
    let mut connection = provider(&server, LIVE_38)
        .connect(setup(json!({})))
        .await
        .unwrap();
    assert!(matches!(
        next(&mut connection).await,
        ProviderEvent::Resumable(_)
    ));
}

#[tokio::test]
async fn tls_has_its_crypto_provider_whatever_else_is_linked() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let provider = GeminiLiveProvider::new(GeminiConfig {
        api_key: Some(KEY.into()),
        base_url: Some(format!("wss://{}", listener.local_addr().unwrap())),
        ..GeminiConfig::default()
    })
    .unwrap();
    let script = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = [0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        hello
    };
    let (hello, connection) = tokio::join!(script, provider.connect(setup(json!({}))));
    assert_eq!(hello[..2], [0x16, 0x03], "a TLS handshake record");
    let error = connection.map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ProviderErrorKind::Network, "{error}");
}
