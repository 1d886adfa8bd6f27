//! Scopes, and tokens for pages, as an attacker meets them.

use std::{env, fs, net::SocketAddr, process::Stdio};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ring::hmac;
use roomkit::mock::Counters;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::{
    support::{Answer, Socket, TestServer, refusal, request, soon},
    webrtc::{OFFER, offer},
};

const REFUSED: &str = "roomkit_admission_refused_total";

/// A variable that cargo sets, as the key: a test cannot safely set one of its own.
const KEY_VARIABLE: &str = "CARGO_PKG_DESCRIPTION";

const SETTINGS: &str = "
[auth]
signing_key_env = 'CARGO_PKG_DESCRIPTION'
tokens = [
    'master-key',
    { token = 'call-key', scopes = ['call'] },
    { token = 'watch-key', scopes = ['watch'] },
    { token = 'write-key', scopes = ['write'] },
    { token = 'metrics-key', scopes = ['metrics'] },
    { token = 'mint-key', scopes = ['mint', 'call', 'watch'] },
]
[provider]
name = 'echo'
[[transports]]
name = 'websocket'
path = '/ws'
[[transports]]
name = 'webrtc'
path = '/rtc'
config = { interfaces = ['127.0.0.1'] }
";

async fn server() -> TestServer {
    TestServer::start(SETTINGS).await
}

pub(crate) async fn ask(
    server: &TestServer,
    token: &str,
    method: &str,
    path: &str,
    body: &str,
) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let answer = request(server.address, method, path, &headers, body).await;
    let echoed = answer.head.contains(token) || answer.body.contains(token);
    assert!(!echoed, "X1: {method} {path} shows the token");
    answer
}

async fn mint(server: &TestServer, wish: Value) -> Value {
    let answer = ask(server, "mint-key", "POST", "/tokens", &wish.to_string()).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

async fn minted(server: &TestServer, wish: Value) -> String {
    mint(server, wish).await["token"].as_str().unwrap().into()
}

pub(crate) async fn call(
    server: &TestServer,
    token: &str,
    query: &str,
) -> Result<Socket, (u16, Value)> {
    let protocols = format!("roomkit, token.{token}");
    let headers = [("sec-websocket-protocol", protocols.as_str())];
    match Socket::open(server.address, &format!("/ws{query}"), &headers).await {
        Ok(socket) => Ok(socket),
        refused => {
            let (status, body, _) = refusal(refused);
            Err((status, body))
        }
    }
}

async fn refused_call(server: &TestServer, token: &str, query: &str) -> (u16, String) {
    let Err((status, body)) = call(server, token, query).await else {
        panic!("it was let in");
    };
    assert!(!body.to_string().contains(token), "X1: {body}");
    (status, body["code"].as_str().unwrap().to_owned())
}

/// A token signed with the server's key, that expires then.
pub(crate) fn signed(id: &str, expires_at_ms: i64) -> String {
    signed_for(&json!({"scopes": ["call", "watch"]}), id, expires_at_ms)
}

/// The same, for what it says here.
pub(crate) fn signed_for(grant: &Value, id: &str, expires_at_ms: i64) -> String {
    let claims = json!({"id": id, "expires_at_ms": expires_at_ms, "grant": grant});
    let payload = format!("rk1.{}", BASE64.encode(claims.to_string()));
    let key = env::var(KEY_VARIABLE).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let signature = BASE64.encode(hmac::sign(&key, payload.as_bytes()));
    format!("{payload}.{signature}")
}

pub(crate) fn in_a_minute() -> i64 {
    jiff::Timestamp::now().as_millisecond() + 60_000
}

#[tokio::test]
async fn x2_every_route_asks_for_its_scope_and_names_it() {
    let server = server().await;
    for (method, path, scope) in [
        ("GET", "/ws", "call"),
        ("POST", "/rtc/webrtc/offer", "call"),
        ("DELETE", "/rtc/webrtc/offer/x", "call"),
        ("GET", "/rtc/webrtc/config", "call"),
        ("POST", "/rtc/whip", "call"),
        ("PATCH", "/rtc/whip/x", "call"),
        ("DELETE", "/rtc/whip/x", "call"),
        ("GET", "/rooms", "watch"),
        ("GET", "/rooms/lobby", "watch"),
        ("GET", "/rooms/lobby/timeline", "watch"),
        ("GET", "/rooms/lobby/events", "watch"),
        ("POST", "/rooms/lobby/messages", "write"),
        ("POST", "/rooms/lobby/deliveries", "write"),
        ("POST", "/rooms/lobby/recording", "write"),
        ("DELETE", "/rooms/lobby", "write"),
        ("GET", "/metrics", "metrics"),
        ("POST", "/tokens", "mint"),
    ] {
        for holder in ["call", "watch", "write", "metrics"] {
            let answer = ask(&server, &format!("{holder}-key"), method, path, "").await;
            let is_refused = answer.status == 403;
            assert_eq!(is_refused, holder != scope, "{holder}: {method} {path}");
            if is_refused {
                let named = answer.body.contains(&format!("`{scope}`"));
                assert!(
                    named && answer.body.contains("forbidden"),
                    "{}",
                    answer.body
                );
            }
        }
        let answer = ask(&server, "master-key", method, path, "").await;
        assert!(!matches!(answer.status, 401 | 403), "{method} {path}");
    }
}

#[tokio::test]
async fn x2_a_page_calls_once_with_a_token_of_its_own() {
    let server = server().await;
    let wish = json!({
        "scopes": ["call", "watch"], "expires_in_s": 60, "room": "lobby", "participant": "ann",
        "metadata": {"customer": "4711"},
    });
    let answer = mint(&server, wish).await;
    let token = answer["token"].as_str().unwrap();
    assert!(token.starts_with("rk1."));
    let expires_at: jiff::Timestamp = answer["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(expires_at > jiff::Timestamp::now());

    // What the token does not leave open need not be asked for.
    let mut caller = call(&server, token, "").await.ok().unwrap();
    let started = caller.until("session_started").await;
    assert_eq!(started["room_id"], "lobby");
    let room = ask(&server, token, "GET", "/rooms/lobby", "").await;
    assert_eq!(room.json()["sessions"][0]["participant_id"], "ann");

    let again = refused_call(&server, token, "?room=lobby").await;
    assert_eq!(again, (401, "token_used".into()));
    caller.hang_up().await;
    let after = refused_call(&server, token, "").await;
    assert_eq!(after, (401, "token_used".into()), "not given back either");
}

#[tokio::test]
async fn x2_a_token_for_one_room_opens_no_other() {
    let server = server().await;
    let wish = json!({"scopes": ["call", "watch"], "room": "lobby", "participant": "ann"});
    for query in ["?room=cellar", "?room=", "?room=lobby&participant=bob"] {
        let token = minted(&server, wish.clone()).await;
        let refused = refused_call(&server, &token, query).await;
        assert_eq!(refused, (403, "forbidden".into()), "{query}");
        let path = format!("{OFFER}{query}");
        let body = offer("x", "a", false);
        let token = minted(&server, wish.clone()).await;
        assert_eq!(ask(&server, &token, "POST", &path, &body).await.status, 403);
    }
    let token = minted(&server, wish).await;
    for path in [
        "/rooms",
        "/rooms/cellar",
        "/rooms/cellar/timeline",
        "/rooms/cellar/events",
        "/rooms/cellar/events?room=lobby",
    ] {
        let refused = ask(&server, &token, "GET", path, "").await;
        refused.is_error(403, "forbidden");
    }
    let own = ask(&server, &token, "GET", "/rooms/lobby", "").await;
    own.is_error(404, "room_not_found");
}

#[tokio::test]
async fn x2_who_is_told_to_try_again_can_with_the_same_token() {
    let server = TestServer::start(&format!("{SETTINGS}\n[limits]\nmax_rooms = 1")).await;
    let mut first = call(&server, "call-key", "?room=lobby").await.ok().unwrap();
    first.until("session_started").await;
    let token = minted(&server, json!({"scopes": ["call"]})).await;
    for (query, status, code) in [
        ("?audio=mp3", 400, "bad_request"),
        ("?input_rate=1", 400, "bad_request"),
        ("?room=a%2Fb", 400, "bad_request"),
        ("?room=lobby&participant=a%2Fb", 400, "bad_request"),
        ("?room=other", 503, "too_many_rooms"),
        ("", 503, "too_many_rooms"),
    ] {
        let refused = refused_call(&server, &token, query).await;
        assert_eq!(refused, (status, code.into()), "{query}");
    }
    let plain = ask(&server, &token, "GET", "/ws?room=lobby", "").await;
    plain.is_error(400, "not_a_websocket");
    let no_audio = offer("x", "a", false).replace("m=audio", "m=video");
    let path = "/rtc/webrtc/offer?room=lobby";
    let refused = ask(&server, &token, "POST", path, &no_audio).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
    let path = "/rtc/webrtc/offer?room=a%2Fb";
    let refused = ask(&server, &token, "POST", path, &offer("x", "a", false)).await;
    assert!(refused.status == 400 && refused.body.contains("room: "));
    let mut caller = call(&server, &token, "?room=lobby").await.ok().unwrap();
    caller.until("session_started").await;
    let again = refused_call(&server, &token, "?room=lobby").await;
    assert_eq!(again, (401, "token_used".into()));
}

#[tokio::test]
async fn x2_who_calls_into_a_closed_room_is_told_before_the_token_is_used() {
    let server = server().await;
    let caller = call(&server, "call-key", "?room=shut").await.ok().unwrap();
    let closed = ask(&server, "write-key", "DELETE", "/rooms/shut", "").await;
    assert_eq!(closed.status, 200, "{}", closed.body);
    drop(caller);
    let token = minted(&server, json!({"scopes": ["call"]})).await;
    let refused = refused_call(&server, &token, "?room=shut").await;
    assert_eq!(refused, (409, "room_closed".into()));
    let elsewhere = call(&server, &token, "?room=open").await;
    elsewhere.unwrap().until("session_started").await;
    // Whose token is no good is told that, whatever room it asks for.
    let expired = signed("old", 0);
    let refused = refused_call(&server, &expired, "?room=shut").await;
    assert_eq!(refused, (401, "token_expired".into()));
    let path = "/rtc/webrtc/offer?room=shut";
    let refused = ask(&server, &expired, "POST", path, &offer("x", "a", false)).await;
    assert!(refused.body.contains("token_expired"), "{}", refused.body);
}

#[tokio::test]
async fn x2_of_two_calls_at_once_with_one_token_one_is_taken() {
    let server = server().await;
    let token = minted(&server, json!({"scopes": ["call"]})).await;
    let counters = Counters::default();
    let counting = counters.here();
    let (one, two) = tokio::join!(call(&server, &token, ""), call(&server, &token, ""));
    drop(counting);
    assert_eq!(counters.all(REFUSED), [("token_used".to_owned(), 1)].into());
    let refused: Vec<_> = [one, two].into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(
        (refused[0].0, &refused[0].1["code"]),
        (401, &json!("token_used"))
    );
}

#[tokio::test]
async fn x2_forged_and_expired_tokens_open_nothing() {
    let server = server().await;
    let token = minted(&server, json!({"scopes": ["call", "watch"]})).await;
    let (head, signature) = token.rsplit_once('.').unwrap();
    let forged = [
        token.replacen("rk1", "rk2", 1),
        token[..token.len() - 1].to_owned(),
        format!("{head}A.{signature}"),
        format!("rk1.{}.{signature}", "A".repeat(9_000)),
    ];
    for forged in &forged {
        let refused = refused_call(&server, forged, "").await;
        assert_eq!(refused, (401, "unauthorized".into()));
        let refused = ask(&server, forged, "GET", "/rooms", "").await;
        refused.is_error(401, "unauthorized");
    }
    let expired = signed("old", 0);
    let counters = Counters::default();
    let counting = counters.here();
    let refused = refused_call(&server, &expired, "").await;
    drop(counting);
    assert_eq!(refused, (401, "token_expired".into()));
    assert_eq!(
        counters.all(REFUSED),
        [("token_expired".to_owned(), 1)].into()
    );
    for path in ["/rooms", "/rtc/webrtc/config"] {
        let refused = ask(&server, &expired, "GET", path, "").await;
        refused.is_error(401, "token_expired");
    }
    let for_days = signed("long", in_a_minute() + 86_400_000);
    let refused = refused_call(&server, &for_days, "").await;
    assert_eq!(refused, (401, "unauthorized".into()));
    assert!(call(&server, &token, "").await.is_ok());
}

#[tokio::test]
async fn x2_nobody_gets_more_by_minting() {
    let server = server().await;
    let mints = async |key: &str, wish: &Value| {
        ask(&server, key, "POST", "/tokens", &wish.to_string()).await
    };
    for scope in ["write", "metrics"] {
        let wish = json!({"scopes": [scope]});
        let refused = mints("mint-key", &wish).await;
        assert!(refused.is_error(403, "forbidden").contains(scope));
        assert_eq!(mints("master-key", &wish).await.status, 201);
    }
    let again = mints("master-key", &json!({"scopes": ["mint"]})).await;
    assert!(again.is_error(400, "bad_request").starts_with("scopes: "));
    let token = minted(&server, json!({"scopes": ["call"]})).await;
    let refused = mints(&token, &json!({"scopes": ["call"]})).await;
    assert!(refused.is_error(403, "forbidden").contains("mint"));
}

#[tokio::test]
async fn x5_a_wish_for_a_token_has_limits() {
    let server = server().await;
    for (wish, field) in [
        (json!({"scopes": []}), "scopes"),
        (
            json!({"scopes": ["call"], "expires_in_s": 0}),
            "expires_in_s",
        ),
        (
            json!({"scopes": ["call"], "expires_in_s": 3601}),
            "expires_in_s",
        ),
        (json!({"scopes": ["call"], "room": "a b"}), "room"),
        (
            json!({"scopes": ["call"], "participant": ""}),
            "participant",
        ),
        (
            json!({"scopes": ["call"], "metadata": {"a": "x".repeat(2048)}}),
            "metadata",
        ),
        (json!({"scopes": ["fly"]}), "body"),
        (json!({"scope": ["call"]}), "body"),
        (json!({}), "body"),
    ] {
        let answer = ask(&server, "mint-key", "POST", "/tokens", &wish.to_string()).await;
        let (status, body) = (answer.status, answer.json());
        assert!(matches!(status, 400 | 422), "{status} {body}");
        assert!(
            body["message"].as_str().unwrap().starts_with(field),
            "{body}"
        );
    }
    let huge = json!({"scopes": ["call"], "metadata": {"a": "x".repeat(70_000)}}).to_string();
    let answer = ask(&server, "mint-key", "POST", "/tokens", &huge).await;
    answer.is_error(413, "too_large");
    // The largest there can be still fits into the head of a request.
    let largest = json!({
        "scopes": ["call", "watch"], "expires_in_s": 3600, "room": "ü".repeat(128),
        "participant": format!("auth0|{}", "ü".repeat(125)), "metadata": {"a": "x".repeat(2000)},
    });
    let token = minted(&server, largest).await;
    assert!(call(&server, &token, "").await.is_ok());
}

#[tokio::test]
async fn x2_a_server_that_asks_nobody_mints_nothing() {
    let server = TestServer::start("").await;
    let answer = server.post("/tokens", json!({"scopes": ["call"]})).await;
    answer.is_error(404, "not_found");
}

#[tokio::test]
async fn x1_no_token_is_in_the_log_of_the_program_at_any_level() {
    let path = env::temp_dir().join(format!("roomkit-{}-tokens.log", std::process::id()));
    let mut child = Command::new(env!("CARGO_BIN_EXE_roomkit-server"))
        .args(["--listen", "127.0.0.1:0", "--log", "trace"])
        .args(["--auth-token-env", "TOKENS"])
        .env("TOKENS", "the-master-key")
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&path).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = soon(lines.next_line()).await.unwrap().unwrap();
    let address = line.strip_prefix("listening on http://").unwrap();
    let address: SocketAddr = address.parse().unwrap();

    let headers = [
        ("authorization", "Bearer the-master-key"),
        ("content-type", "application/json"),
    ];
    let wish = json!({"scopes": ["call", "watch"]}).to_string();
    let answer = request(address, "POST", "/tokens", &headers, &wish).await;
    let token = answer.json()["token"].as_str().unwrap().to_owned();
    let protocols = format!("roomkit, token.{token}");
    let headers = [("sec-websocket-protocol", protocols.as_str())];
    let mut caller = Socket::open(address, "/ws", &headers).await.unwrap();
    caller.until("session_started").await;
    caller.hang_up().await;
    // Used, for a read in the URL, and forged.
    let in_the_url = format!("/ws?token={token}");
    let (status, used, _) = refusal(Socket::open(address, &in_the_url, &[]).await);
    assert_eq!((status, &used["code"]), (401, &json!("token_used")));
    let read = format!("/rooms?token={token}");
    assert_eq!(request(address, "GET", &read, &[], "").await.status, 200);
    let forged = format!("/rooms?token={token}-forged");
    let forged = request(address, "GET", &forged, &[], "").await;
    forged.is_error(401, "unauthorized");

    child.kill().await.unwrap();
    let log = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(log.contains("ready"), "it is a log: {log}");
    for secret in ["the-master-key", &token] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "X1");
    }
}
