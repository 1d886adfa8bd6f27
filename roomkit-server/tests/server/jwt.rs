//! A server that takes the tokens of an issuer (contract X2).

use std::{
    future::pending,
    time::{SystemTime, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::{
    hmac,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};
use roomkit::mock::Counters;
use roomkit_server::{Server, config::Config};
use serde_json::{Value, json};

#[cfg(unix)]
use crate::support::program::File;
use crate::{
    call::AGENTS,
    support::{Socket, TestServer, refusal, request},
    tokens::ask,
    webrtc::{OFFER, TRANSPORT, offer},
};

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
    let another = reload.take_over(&issuer("another")).await.unwrap();
    assert_eq!(another.needs_restart, ["auth.jwt"]);
    assert_eq!(status().await, 401, "it does not come back as another");
    let again = reload.take_over(&issuer("i")).await.unwrap();
    assert!(again.needs_restart.is_empty(), "{again:?}");
    assert_eq!(status().await, 404);
    running.abort();
}

#[tokio::test]
async fn x7_an_issuer_that_is_new_needs_a_restart_and_opens_nothing_before() {
    let server = TestServer::start("[auth]\ntokens = ['hunter2']").await;
    let instead = server
        .reload("[auth.jwt]\nissuer = 'i'\naudience = 'a'\nsecret_env = 'CARGO_PKG_DESCRIPTION'")
        .await;
    assert_eq!(instead.needs_restart, ["auth.jwt"]);
    assert!(instead.locks_out);
    for token in ["hunter2", &*token(&claims("watch", true))] {
        let refused = server.get(&format!("/rooms/lobby?token={token}")).await;
        refused.is_error(401, "unauthorized");
    }
}

/// A key of an issuer, and its part of a JWK set.
struct Key {
    id: &'static str,
    pair: Ed25519KeyPair,
}

impl Key {
    fn new(id: &'static str) -> Self {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
        Self { id, pair }
    }

    fn set(&self) -> String {
        let x = BASE64.encode(self.pair.public_key());
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": x}]}).to_string()
    }

    fn token(&self, scope: &str) -> String {
        let header = json!({"alg": "EdDSA", "kid": self.id});
        let [header, claims] =
            [header, claims(scope, true)].map(|part| BASE64.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = BASE64.encode(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

#[cfg(unix)]
#[tokio::test]
async fn x7_a_reload_reads_the_issuers_keys_again_and_who_shows_a_withdrawn_one_is_out() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let file = File::new("jwks", &old.set());
    let settings = format!(
        "[auth]\ntokens = ['caller']\n[auth.jwt]\nissuer = 'i'\naudience = 'a'\njwks = '{}'\n{TRANSPORT}\n\
         [[transports]]\nname = 'websocket'\npath = '/ws'",
        file.path()
    );
    let server = TestServer::start(&settings).await;
    let _caller = server.session("?room=lobby&token=caller").await;
    let watch = async |key: &Key| {
        let path = format!("/rooms/lobby/events?token={}", key.token("watch"));
        Socket::open(server.address, &path, &[]).await
    };
    let mut dashboard = watch(&old).await.unwrap();
    let caller = old.token("call");
    let post = async |token: &str, body: &str| ask(&server, token, "POST", OFFER, body).await;
    let begun = post(&caller, &offer("one", "a", false)).await;
    assert_eq!(begun.status, 200, "{}", begun.body);

    file.write(&new.set());
    let reloaded = server.reload(&settings).await;
    assert!(reloaded.needs_restart.is_empty(), "{reloaded:?}");
    assert_eq!(dashboard.until("closed").await["reason"], "token_revoked");
    assert_eq!(refusal(watch(&old).await).0, 401);
    assert!(watch(&new).await.is_ok());
    let refused = post(&caller, &offer("two", "a", false)).await;
    assert_eq!(refused.status, 401, "{}", refused.body);
    let goes_on = post(&caller, &offer("one", "b", true)).await;
    assert_eq!(goes_on.status, 200, "c3: {}", goes_on.body);

    // What cannot be read changes nothing.
    file.write("no set");
    let refused = server.try_reload(&settings).await.unwrap_err().to_string();
    assert!(refused.starts_with("auth.jwt.jwks: "), "{refused}");
    assert!(watch(&new).await.is_ok());
    // Without its issuer, a call goes on as well.
    file.write(&new.set());
    let caller = new.token("call");
    let begun = post(&caller, &offer("three", "a", false)).await;
    assert_eq!(begun.status, 200, "{}", begun.body);
    let without = settings.replace("[auth.jwt]", "[ignored]");
    let without = without.split("[ignored]").next().unwrap();
    server.reload(&format!("{without}{TRANSPORT}")).await;
    let goes_on = post(&caller, &offer("three", "b", true)).await;
    assert_eq!(goes_on.status, 200, "c3: {}", goes_on.body);
    let refused = post(&caller, &offer("four", "a", false)).await;
    assert_eq!(refused.status, 401, "{}", refused.body);
}

#[tokio::test]
async fn s10_x2_a_claim_of_the_issuer_says_as_which_agent_a_call_begins() {
    let server = TestServer::start(&format!(
        "{AGENTS}[auth]\ntokens = ['hunter2']\n[auth.jwt]\nissuer = 'i'\naudience = 'a'\nsecret_env = 'CARGO_PKG_DESCRIPTION'\n\
         agent_claim = 'line'"
    ))
    .await;
    let with = |line: &str| {
        let mut claims = claims("call", true);
        claims["line"] = json!(line);
        token(&claims)
    };
    let call = async |token: &str, query: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", &*bearer)];
        Socket::open(server.address, &format!("/ws{query}"), &headers).await
    };
    let plain = token(&claims("call", true));
    for (token, query, agent) in [
        (with("billing"), "?agent=triage&line=triage", "billing"),
        (plain, "?agent=billing&line=billing", "triage"),
    ] {
        let mut caller = call(&token, query).await.unwrap();
        caller.until("session_started").await;
        let headers = [("authorization", "Bearer hunter2")];
        let room = request(server.address, "GET", "/rooms/lobby", &headers, "").await;
        assert_eq!(room.json()["sessions"][0]["agent"], agent);
        caller.hang_up().await;
    }
    let (status, body, _) = refusal(call(&with("sales"), "").await);
    assert_eq!((status, &body["code"]), (403, &json!("unknown_agent")));
}
