//! The door, as a transport uses it.

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    response::{IntoResponse, Response},
    routing::post,
};
use http::{Request, StatusCode, request::Parts};
use roomkit_core::{
    error::StartError,
    registry::{TransportPlugin, inventory},
};
use roomkit_http::{
    Admission, AdmissionConfig, Admitted, AuthRequest, Identity, MountContext, Purpose, Refusal,
    Rejection, Scope, StartRequest, all_routes, routes,
};
use serde_json::{Value, json};

fn head(uri: &str) -> Parts {
    let request = Request::get(uri).header("host", "a.example");
    request.body(()).unwrap().into_parts().0
}

async fn admit_from(admission: &Admission, address: &str) -> Result<Admitted, Rejection> {
    let peer = SocketAddr::new(address.parse().unwrap(), 5555);
    admission.admit(&head("/ws"), Some(peer)).await
}

async fn told(rejection: Rejection) -> (StatusCode, Option<String>, Value) {
    let response = rejection.into_response();
    let status = response.status();
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after.map(|value| value.to_str().unwrap().to_owned());
    let body = to_bytes(response.into_body(), 4096).await.unwrap();
    (status, retry_after, serde_json::from_slice(&body).unwrap())
}

/// Of what a refusal is to say, nothing is missing.
#[track_caller]
fn says(body: &Value, parts: &[&str]) {
    let message = body["message"].as_str().unwrap();
    for part in parts {
        assert!(message.contains(part), "no {part:?}: {message}");
    }
}

#[tokio::test]
async fn x2_the_hook_decides() {
    let admission = Admission::with_authentication(
        &AdmissionConfig::default(),
        async |request: AuthRequest| match request.bearer_token() {
            Some("good") => Ok(Identity::new([("user", "ann")])),
            Some("panic") => panic!("host code"),
            Some(_) => Err(Refusal::Forbidden("not you".into())),
            None => Err(Refusal::Unauthorized("who are you?".into())),
        },
    )
    .unwrap();

    let admitted = admission
        .admit(&head("/ws?token=good"), None)
        .await
        .unwrap();
    assert_eq!(admitted.identity.metadata["user"], "ann");
    assert_eq!(admission.sessions(), 1);

    for (uri, status, code) in [
        ("/ws", 401, "unauthorized"),
        ("/ws?token=bad", 403, "forbidden"),
        ("/ws?token=panic", 500, "authentication_failed"),
    ] {
        let rejection = admission.admit(&head(uri), None).await.unwrap_err();
        assert!(!rejection.to_string().contains("bad"), "x1: {rejection}");
        let (told_status, retry_after, body) = told(rejection).await;
        assert_eq!(
            (told_status.as_u16(), &body["code"]),
            (status, &json!(code))
        );
        assert_eq!(retry_after, None);
    }
    drop(admitted);
    assert_eq!(admission.sessions(), 0, "refusals hold no place");
}

#[tokio::test]
async fn x2_a_401_says_how_to_authenticate() {
    let refuse = async |_: AuthRequest| Err(Refusal::Unauthorized("no".into()));
    let admission = Admission::with_authentication(&AdmissionConfig::default(), refuse).unwrap();
    let rejection = admission.admit(&head("/ws"), None).await.unwrap_err();
    let response = rejection.into_response();
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
}

#[tokio::test(start_paused = true)]
async fn c5_authentication_has_its_time() {
    let config = AdmissionConfig {
        handshake_ms: 1_500,
        ..AdmissionConfig::default()
    };
    let never = async |_: AuthRequest| pending().await;
    let admission = Admission::with_authentication(&config, never).unwrap();
    let rejection = admission.admit(&head("/ws"), None).await.unwrap_err();
    assert_eq!(rejection.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rejection.code(), "authentication_timeout");
    for part in ["`handshake_ms`", "1500 ms", "again in 10 s"] {
        assert!(rejection.message().contains(part), "{rejection}");
    }
    assert_eq!(admission.sessions(), 0);
}

#[tokio::test]
async fn c5_other_limits_are_for_those_who_come_then() {
    let config = AdmissionConfig {
        max_sessions: 2,
        ..AdmissionConfig::default()
    };
    let admission = Admission::new(&config).unwrap();
    // As a transport has it.
    let door = admission.clone();
    let first = admit_from(&door, "1.1.1.1").await.unwrap();
    let second = admit_from(&door, "1.1.1.1").await.unwrap();

    let fewer = AdmissionConfig {
        max_sessions: 1,
        retry_after_seconds: 7,
        handshake_ms: 5,
        allowed_origins: vec!["https://app.example".into()],
        ..config.clone()
    };
    admission.reconfigure(&fewer).unwrap();
    assert_eq!((door.sessions(), door.max_sessions()), (2, 1), "both go on");
    assert_eq!(door.handshake_time(), Duration::from_millis(5));
    assert_eq!(door.ready().unwrap_err().code(), "full");
    drop(first);
    let refused = admit_from(&door, "2.2.2.2").await.unwrap_err();
    assert_eq!(told(refused).await.1.as_deref(), Some("7"));
    let mut page = head("/ws");
    page.headers
        .insert("origin", "https://a.example".parse().unwrap());
    let refused = door.check(&page, None, Scope::Call).await.unwrap_err();
    assert_eq!(refused.code(), "origin");

    let per_address = AdmissionConfig {
        max_sessions: 3,
        max_sessions_per_address: 1,
        ..config
    };
    admission.reconfigure(&per_address).unwrap();
    let refused = admit_from(&door, "1.1.1.1").await.unwrap_err();
    assert_eq!(refused.code(), "too_many_sessions");
    let third = admit_from(&door, "3.3.3.3").await.unwrap();
    drop((second, third));
    assert_eq!(door.sessions(), 0);
}

#[tokio::test]
async fn settings_that_cannot_be_used_change_nothing() {
    let admission = Admission::new(&AdmissionConfig::default()).unwrap();
    let wrong = AdmissionConfig {
        max_sessions: 5,
        allowed_origins: vec!["app.example".into()],
        ..AdmissionConfig::default()
    };
    let error = admission.reconfigure(&wrong).unwrap_err();
    assert!(error.to_string().contains("app.example"), "{error}");
    assert_eq!(admission.max_sessions(), 1000);
}

#[tokio::test]
async fn c5_limits_answer_429_and_503() {
    let admission = Admission::new(&AdmissionConfig {
        max_sessions: 2,
        max_sessions_per_address: 1,
        retry_after_seconds: 7,
        ..AdmissionConfig::default()
    })
    .unwrap();
    let first = admit_from(&admission, "1.1.1.1").await.unwrap();
    assert!(admission.ready().is_ok());

    let again = admit_from(&admission, "1.1.1.1").await;
    let (status, retry_after, body) = told(again.unwrap_err()).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(retry_after.as_deref(), Some("7"));
    assert_eq!(body["code"], "too_many_sessions");
    says(
        &body,
        &[
            "`max_sessions_per_address`",
            "1 sessions",
            "end one",
            "again in 7 s",
        ],
    );

    let second = admit_from(&admission, "2.2.2.2").await.unwrap();
    let third = admit_from(&admission, "3.3.3.3").await;
    let (status, retry_after, body) = told(third.unwrap_err()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(retry_after.as_deref(), Some("7"));
    assert_eq!(body["code"], "full");
    says(&body, &["`max_sessions`", "2 sessions", "again in 7 s"]);
    assert_eq!(admission.ready().unwrap_err().code(), "full");

    drop((first, second));
    assert!(admit_from(&admission, "1.1.1.1").await.is_ok());
}

#[tokio::test]
async fn c5_an_ipv6_line_is_one_client_however_large_it_is_said_to_be() {
    let with = |ipv6_prefix| AdmissionConfig {
        max_sessions_per_address: 1,
        ipv6_prefix,
        ..AdmissionConfig::default()
    };
    let admission = Admission::new(&with(AdmissionConfig::default().ipv6_prefix)).unwrap();
    let _first = admit_from(&admission, "2001:db8:0:1::1").await.unwrap();
    let same_line = admit_from(&admission, "2001:db8:0:2::1").await;
    assert_eq!(same_line.unwrap_err().code(), "too_many_sessions");
    admission.reconfigure(&with(64)).unwrap();
    let _second = admit_from(&admission, "2001:db8:0:2::1").await.unwrap();
}

#[tokio::test]
async fn x3_a_local_door_opens_to_names_of_the_machine() {
    let local = AdmissionConfig {
        local: true,
        ..AdmissionConfig::default()
    };
    let admission = Admission::new(&local).unwrap();
    let refused = admission.admit(&head("/ws"), None).await.unwrap_err();
    let (status, _, body) = told(refused).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::FORBIDDEN, &json!("host"))
    );
    says(&body, &["`Host`", "`localhost`", "`allowed_hosts`"]);
    let refused = admission.check(&head("/ws"), None, Scope::Call).await;
    assert_eq!(refused.unwrap_err().code(), "host");
    let refused = admission.recognize(&head("/ws"), None).await;
    assert_eq!(refused.unwrap_err().code(), "host");
    let named = AdmissionConfig {
        allowed_hosts: vec!["a.example".into()],
        ..local
    };
    admission.reconfigure(&named).unwrap();
    assert!(admission.admit(&head("/ws"), None).await.is_ok());
}

#[tokio::test]
async fn c5_a_paused_door_takes_nobody_and_keeps_who_is_in() {
    let admission = Admission::new(&AdmissionConfig {
        retry_after_seconds: 7,
        ..AdmissionConfig::default()
    })
    .unwrap();
    let inside = admit_from(&admission, "1.1.1.1").await.unwrap();
    admission.pause("overloaded", "too much to do");
    let refused = admit_from(&admission, "2.2.2.2").await;
    let (status, retry_after, body) = told(refused.unwrap_err()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(retry_after.as_deref(), Some("7"));
    assert_eq!(body["code"], "overloaded");
    says(&body, &["too much to do", "again in 7 s"]);
    assert_eq!(admission.ready().unwrap_err().code(), "overloaded");
    assert_eq!(admission.sessions(), 1);

    admission.resume();
    assert!(admission.ready().is_ok());
    assert!(admit_from(&admission, "2.2.2.2").await.is_ok());
    admission.pause("overloaded", "too much to do");
    admission.drain();
    assert_eq!(admission.ready().unwrap_err().code(), "draining");
    drop(inside);
}

#[tokio::test]
async fn x3_a_foreign_page_is_refused() {
    let admission = Admission::new(&AdmissionConfig::default()).unwrap();
    let mut parts = head("/ws");
    let origin = "https://evil.example".parse().unwrap();
    parts.headers.insert("origin", origin);
    let (status, _, body) = told(admission.admit(&parts, None).await.unwrap_err()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(body["code"], "origin");
}

#[tokio::test]
async fn x4_draining_refuses_and_waits_for_the_last_session() {
    let admission = Admission::new(&AdmissionConfig::default()).unwrap();
    let admitted = admission.admit(&head("/ws"), None).await.unwrap();
    admission.drain();
    assert!(admission.is_draining());
    let (status, retry_after, body) =
        told(admission.admit(&head("/ws"), None).await.unwrap_err()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(retry_after.as_deref(), Some("10"));
    assert_eq!(body["code"], "draining");
    says(&body, &["about to stop", "again in 10 s"]);

    let idle = tokio::spawn({
        let admission = admission.clone();
        async move { admission.wait_idle().await }
    });
    tokio::task::yield_now().await;
    assert!(!idle.is_finished());
    drop(admitted);
    tokio::time::timeout(Duration::from_secs(30), idle)
        .await
        .expect("idle is noticed")
        .unwrap();
}

#[tokio::test]
async fn x2_x3_who_only_looks_is_checked_but_takes_no_place() {
    let config = AdmissionConfig {
        max_sessions: 1,
        ..AdmissionConfig::default()
    };
    let admission = Admission::with_authentication(&config, async |request: AuthRequest| {
        match request.bearer_token() {
            Some("good") => Ok(Identity::new([("user", "ann")])),
            _ => Err(Refusal::Unauthorized("who are you?".into())),
        }
    })
    .unwrap();
    let good = head("/rooms?token=good");
    let _caller = admission.admit(&good, None).await.unwrap();
    let identity = admission.check(&good, None, Scope::Watch).await.unwrap();
    assert_eq!(
        identity.metadata["user"], "ann",
        "a full server can be looked at"
    );
    admission.drain();
    assert!(
        admission.check(&good, None, Scope::Watch).await.is_ok(),
        "and a draining"
    );
    assert_eq!(admission.sessions(), 1, "sessions only");

    let nobody = admission
        .check(&head("/rooms"), None, Scope::Watch)
        .await
        .unwrap_err();
    assert_eq!(nobody.code(), "unauthorized");
    let mut foreign = good;
    let origin = "https://evil.example".parse().unwrap();
    foreign.headers.insert("origin", origin);
    let foreign = admission
        .check(&foreign, None, Scope::Watch)
        .await
        .unwrap_err();
    assert_eq!(foreign.code(), "origin");
}

#[tokio::test]
async fn x2_every_way_in_asks_for_its_scope() {
    let hook = async |_| Ok(Identity::default().scopes([Scope::Watch].into_iter().collect()));
    let admission = Admission::with_authentication(&AdmissionConfig::default(), hook).unwrap();
    let ws = head("/ws");
    assert!(admission.check(&ws, None, Scope::Watch).await.is_ok());
    let refused = [
        admission.check(&ws, None, Scope::Write).await.unwrap_err(),
        admission.recognize(&ws, None).await.unwrap_err(),
        admission.admit(&ws, None).await.unwrap_err(),
    ];
    for (refused, scope) in refused.iter().zip(["`write`", "`call`", "`call`"]) {
        assert_eq!(
            (refused.status(), refused.code()),
            (StatusCode::FORBIDDEN, "forbidden")
        );
        assert!(refused.message().contains(scope), "{refused}");
    }
    assert_eq!(admission.sessions(), 0, "its place is given back");
}

#[tokio::test]
async fn x2_the_hook_knows_what_it_is_asked_for() {
    let hook = async |request: AuthRequest| {
        Ok(Identity::new([(
            "purpose",
            format!("{:?}", request.purpose),
        )]))
    };
    let admission = Admission::with_authentication(&AdmissionConfig::default(), hook).unwrap();
    let ws = head("/ws");
    let session = admission.admit(&ws, None).await.unwrap().identity;
    let existing = admission.recognize(&ws, None).await.unwrap();
    let other = admission.check(&ws, None, Scope::Call).await.unwrap();
    for (identity, purpose) in [
        (session, Purpose::Session),
        (existing, Purpose::Existing),
        (other, Purpose::Other),
    ] {
        assert_eq!(identity.metadata["purpose"], format!("{purpose:?}"));
    }
}

#[test]
fn settings_are_checked_by_name() {
    for (config, field) in [
        (json!({"max_sessions": 0}), "max_sessions"),
        (json!({"ipv6_prefix": 31}), "ipv6_prefix"),
        (json!({"ipv6_prefix": 129}), "ipv6_prefix"),
        (
            json!({"max_sessions_per_address": 0}),
            "max_sessions_per_address",
        ),
        (json!({"handshake_ms": 0}), "handshake_ms"),
        (json!({"allowed_origins": ["a.example"]}), "allowed_origins"),
        (
            json!({"allowed_hosts": ["http://a.example"]}),
            "allowed_hosts",
        ),
    ] {
        let config: AdmissionConfig = serde_json::from_value(config).unwrap();
        let error = Admission::new(&config).unwrap_err().to_string();
        assert!(error.starts_with(field), "{error}");
    }
    let error = serde_json::from_value::<AdmissionConfig>(json!({"max_session": 1})).unwrap_err();
    assert!(error.to_string().contains("max_session"), "{error}");
}

#[test]
fn an_unknown_transport_is_an_error_that_lists_what_is_linked() {
    assert!(all_routes().unwrap().is_empty(), "this crate brings none");
    let error = routes("carrier-pigeon").unwrap_err().to_string();
    assert!(
        error.contains("carrier-pigeon") && error.contains("linked here: none"),
        "{error}"
    );
}

inventory::submit! {
    TransportPlugin {
        name: "megaphone",
        about: "has no routes",
        build: |_| unreachable!("it cannot be mounted"),
    }
}

#[test]
fn a_transport_without_routes_is_not_taken_for_one_that_is_not_linked() {
    let error = routes("megaphone").unwrap_err().to_string();
    assert!(
        error.contains("`megaphone` is linked") && error.contains("`TransportRoutes`"),
        "{error}"
    );
}

#[test]
fn a_path_that_would_mean_something_to_the_router_is_an_error() {
    let host = Arc::new(async |_: StartRequest| Err(StartError::Closed));
    let admission = Admission::new(&AdmissionConfig::default()).unwrap();
    let at = |path: &str| MountContext::new(path, admission.clone(), host.clone());
    assert!(at("/v1/ws").is_ok());
    for path in ["ws", "", "/{ws}", "/*rest", "/ws?x"] {
        assert!(
            at(path).unwrap_err().to_string().starts_with("path: "),
            "{path}"
        );
    }
}

async fn asked(admission: &Admission, method: &str, origin: &str) -> Response {
    let routes = Router::new().route("/offer", post(async || "answer"));
    let request = Request::builder()
        .method(method)
        .uri("/offer")
        .header("host", "a.example")
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        )
        .body(Body::empty())
        .unwrap();
    let mut service = admission.with_cors(routes).into_service();
    tower_service::Service::call(&mut service, request)
        .await
        .unwrap()
}

#[tokio::test]
async fn x3_pages_of_allowed_origins_may_read_answers() {
    let config = AdmissionConfig {
        allowed_origins: vec!["https://app.example".into()],
        ..AdmissionConfig::default()
    };
    let admission = Admission::new(&config).unwrap();
    let header = |response: &Response, name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };

    let preflight = asked(&admission, "OPTIONS", "https://app.example").await;
    assert_eq!(preflight.status(), StatusCode::OK);
    assert_eq!(
        header(&preflight, "access-control-allow-origin").as_deref(),
        Some("https://app.example")
    );
    let headers = header(&preflight, "access-control-allow-headers").unwrap();
    assert!(headers.contains("authorization"), "{headers}");

    let answer = asked(&admission, "POST", "https://app.example").await;
    assert!(header(&answer, "access-control-allow-origin").is_some());
    for method in ["OPTIONS", "POST"] {
        let stranger = asked(&admission, method, "https://evil.example").await;
        assert_eq!(header(&stranger, "access-control-allow-origin"), None);
    }
}
