//! A server that takes the tokens of an issuer (contract X2).

use std::{
    future::pending,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::hmac;
use roomkit::mock::Counters;
use roomkit_server::{Server, config::Config};
use serde_json::{Value, json};

use crate::support::{Socket, TestServer, refusal, request};

/// Set by cargo, and long enough for a secret.
const SECRET: &str = env!("CARGO_PKG_DESCRIPTION");

fn token(claims: &Value) -> String {
    let [header, claims] =
        [&json!({"alg": "HS256"}), claims].map(|part| BASE64.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = BASE64.encode(hmac::sign(&key, signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn claims(scope: &str, lives: bool) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let exp = if lives { now.as_secs() + 60 } else { 0 };
    json!({"iss": "i", "aud": "a", "sub": "ann", "room": "lobby", "scope": scope, "exp": exp})
}

#[tokio::test]
async fn x2_a_token_of_an_issuer_opens_what_it_says() {
    let server = TestServer::start(
        "[auth]\ntokens = ['hunter2']\n[auth.jwt]\nissuer = 'i'\naudience = 'a'\n\
         secret_env = 'CARGO_PKG_DESCRIPTION'",
    )
    .await;
    let get = async |path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        request(
            server.address,
            "GET",
            path,
            &[("authorization", &bearer)],
            "",
        )
        .await
    };
    let watcher = token(&claims("watch metrics", true));
    get("/rooms/lobby", &watcher)
        .await
        .is_error(404, "room_not_found");
    let counters = Counters::default();
    let counting = counters.here();
    get("/rooms/cellar", &watcher)
        .await
        .is_error(403, "forbidden");
    drop(counting);
    let refused = counters.all("roomkit_admission_refused_total");
    assert_eq!(refused, [("forbidden".to_owned(), 1)].into());
    get("/metrics", &watcher).await.is_error(403, "forbidden");
    let mut anywhere = claims("metrics", true);
    anywhere.as_object_mut().unwrap().remove("room");
    assert_eq!(get("/metrics", &token(&anywhere)).await.status, 200);
    let caller = token(&claims("call", true));
    get("/metrics", &caller).await.is_error(403, "forbidden");
    let expired = token(&claims("metrics", false));
    get("/metrics", &expired)
        .await
        .is_error(401, "token_expired");
    for (claim, value, code) in [
        ("nbf", json!(4_102_444_800_u64), "token_not_yet_valid"),
        ("aud", json!("b"), "token_not_for_this_server"),
        ("room", json!(7), "token_claims"),
    ] {
        let mut wrong = claims("metrics", true);
        wrong[claim] = value;
        let counters = Counters::default();
        let counting = counters.here();
        get("/metrics", &token(&wrong)).await.is_error(401, code);
        drop(counting);
        let refused = counters.all("roomkit_admission_refused_total");
        assert_eq!(refused, [(code.to_owned(), 1)].into());
    }
    let changed = format!("{}A", &watcher[..watcher.len() - 2]);
    get("/metrics", &changed)
        .await
        .is_error(401, "unauthorized");
    assert_eq!(
        get("/metrics", "hunter2").await.status,
        200,
        "beside others"
    );
    server.stopped().await;
}

#[tokio::test]
async fn x2_subjects_of_common_issuers_call_as_they_are() {
    let server = TestServer::start(
        "[auth]\ntokens = ['hunter2']\n[auth.jwt]\nissuer = 'i'\naudience = 'a'\n\
         secret_env = 'CARGO_PKG_DESCRIPTION'",
    )
    .await;
    let call = async |claims: &Value, query: &str| {
        let bearer = format!("Bearer {}", token(claims));
        let headers = [("authorization", &*bearer)];
        Socket::open(server.address, &format!("/ws{query}"), &headers).await
    };
    for subject in ["auth0|abc", "google-oauth2|1"] {
        let mut held = claims("call", true);
        held["sub"] = json!(subject);
        let mut caller = call(&held, "").await.unwrap();
        let started = caller.until("session_started").await;
        assert_eq!(started["participant_id"], subject);
        let headers = [("authorization", "Bearer hunter2")];
        let room = request(server.address, "GET", "/rooms/lobby", &headers, "").await;
        let session = room.json()["sessions"][0].clone();
        assert_eq!(session["participant_id"], subject);
        caller.hang_up().await;
        let other = call(&held, "?participant=auth0%7Cbob").await;
        assert_eq!(refusal(other).0, 403);
    }
    let mut nowhere = claims("call", true);
    nowhere["room"] = json!("no/room");
    let (status, body, _) = refusal(call(&nowhere, "").await);
    assert_eq!((status, &body["code"]), (401, &json!("token_claims")));
    server.stopped().await;
}

#[tokio::test]
async fn x2_a_service_mints_for_others_unless_it_is_held_to_a_room() {
    let server = TestServer::start(
        "[auth.jwt]\nissuer = 'i'\naudience = 'a'\nsecret_env = 'CARGO_PKG_DESCRIPTION'",
    )
    .await;
    let mut service = claims("mint call", true);
    service.as_object_mut().unwrap().remove("room");
    let bearer = format!("Bearer {}", token(&service));
    let headers = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
    ];
    let wish = json!({"scopes": ["call"], "participant": "bob"}).to_string();
    let minted = request(server.address, "POST", "/tokens", &headers, &wish).await;
    assert_eq!(minted.status, 201, "{}", minted.body);
    // No more than it has itself.
    let wish = json!({"scopes": ["watch"]}).to_string();
    let minted = request(server.address, "POST", "/tokens", &headers, &wish).await;
    minted.is_error(403, "forbidden");
    let bearer = format!("Bearer {}", token(&claims("mint call", true)));
    let headers = [
        ("authorization", &*bearer),
        ("content-type", "application/json"),
    ];
    let wish = json!({"scopes": ["call"], "participant": "bob"}).to_string();
    let minted = request(server.address, "POST", "/tokens", &headers, &wish).await;
    minted.is_error(403, "forbidden");
    server.stopped().await;
}

#[tokio::test]
async fn x7_an_issuer_that_was_taken_away_opens_nothing_and_may_come_back() {
    let config = |issuer: &str| -> Config {
        let settings = format!("listen = '127.0.0.1:0'\n[auth]\ntokens = ['hunter2']\n{issuer}");
        toml::from_str(&settings).unwrap()
    };
    let issuer = |name: &str| {
        config(&format!(
            "[auth.jwt]\nissuer = '{name}'\naudience = 'a'\nsecret_env = 'CARGO_PKG_DESCRIPTION'"
        ))
    };
    let server = Server::bind(issuer("i")).await.unwrap();
    let (address, reload) = (server.address(), server.reload(None));
    let running = tokio::spawn(server.run(pending()));
    let watcher = token(&claims("watch", true));
    let status = async || {
        let bearer = format!("Bearer {watcher}");
        let headers = [("authorization", &*bearer)];
        request(address, "GET", "/rooms/lobby", &headers, "")
            .await
            .status
    };
    assert_eq!(status().await, 404);
    let another = reload.take_over(&issuer("another")).await.unwrap();
    assert_eq!(another.needs_restart, ["auth.jwt"]);
    assert_eq!(status().await, 404, "that of the start stays");
    let none = reload.take_over(&config("")).await.unwrap();
    assert!(none.needs_restart.is_empty(), "{none:?}");
    assert_eq!(status().await, 401);
    let again = reload.take_over(&issuer("i")).await.unwrap();
    assert!(again.needs_restart.is_empty(), "{again:?}");
    assert_eq!(status().await, 404);
    running.abort();
}
