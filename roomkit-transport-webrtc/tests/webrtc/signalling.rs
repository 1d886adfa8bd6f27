//! FastRTC's signalling and WHIP: answers, refusals and limits.

use std::sync::Arc;

use roomkit_http::{Admission, AdmissionConfig, AuthRequest, Identity, Refusal};
use roomkit_mock::MockRealtimeProvider;
use roomkit_transport_webrtc::{IceServer, WebRtcTransportConfig};
use serde_json::json;

use crate::support::*;

/// A candidate that leads nowhere.
pub(crate) const NOWHERE: &str = "candidate:1 1 udp 2113937151 127.0.0.1 9 typ host";

async fn server() -> Server {
    Server::start(&MockRealtimeProvider::new()).await
}

async fn server_with(config: WebRtcTransportConfig, admission: Admission) -> Server {
    Server::with(config, admission, Arc::new(MockRealtimeProvider::new())).await
}

/// Who has a token is known by it.
pub(crate) fn tokens() -> Admission {
    let hook = async |request: AuthRequest| match request.bearer_token() {
        Some("bad") => Err(Refusal::Forbidden("not you".into())),
        Some(token) => Ok(Identity::new([("user", token)])),
        None => Err(Refusal::Unauthorized("who are you?".into())),
    };
    Admission::with_authentication(&AdmissionConfig::default(), hook).unwrap()
}

#[tokio::test]
async fn c4_each_refusal_has_fast_rtcs_shape_and_an_honest_status() {
    let server = server().await;
    let client = Client::new(Kind::default()).await;
    let offer = |sdp: &str| json!({"sdp": sdp, "type": "offer", "webrtc_id": client.id});
    let no_audio = client.offer.replace("m=audio", "m=video");
    let foreign = client.offer.replace("opus/48000/2", "speex/16000");
    for (body, status, error) in [
        (json!({"type": "offer"}), 422, "bad_request"),
        (
            json!({"type": "dance", "webrtc_id": "a"}),
            422,
            "bad_request",
        ),
        (json!([1]), 422, "bad_request"),
        (offer(""), 400, "invalid_sdp"),
        (offer("v=0\r\nhello"), 400, "invalid_sdp"),
        (offer(&no_audio), 400, "no_audio"),
        (offer(&foreign), 400, "no_common_codec"),
        (
            client.candidate("nonsense"),
            400,
            "invalid_candidate_format",
        ),
    ] {
        let answer = server.http.offer(&body).await;
        assert_eq!(answer.refusal(), (status, error.to_owned()), "{body}");
    }
    let answer = server
        .http
        .send("POST", "/webrtc/offer", "application/json", "{\"type\":")
        .await;
    assert_eq!(answer.refusal(), (400, "bad_request".into()));
    let mut restart = client.fast_rtc();
    restart["restart"] = true.into();
    let answer = server.http.offer(&restart).await;
    assert_eq!(answer.refusal(), (404, "unknown_connection".into()));
    let answer = server
        .http
        .send("DELETE", "/webrtc/offer/nobody", "", "")
        .await;
    assert_eq!(answer.refusal(), (404, "unknown_connection".into()));
    // None of it has left anything: the same id calls.
    assert_eq!(server.transport.clients(), 0);
    assert_eq!(server.admission.sessions(), 0);
    server.http.offer(&client.fast_rtc()).await.sdp();
}

#[tokio::test]
async fn c4_an_id_is_used_once() {
    let server = server().await;
    let mut client = Client::call(&server).await;
    let taken = server.http.offer(&client.fast_rtc()).await.refusal();
    assert_eq!(taken, (409, "connection_already_exists".into()));
    client.ping().await;
    client.close().await;
    until(|| server.transport.clients() == 0).await;
    let ended = server.http.offer(&client.fast_rtc()).await.refusal();
    assert_eq!(ended, (409, "connection_already_exists".into()));
    let candidate = client.candidate(NOWHERE);
    let ended = server.http.offer(&candidate).await.refusal();
    assert_eq!(ended, (410, "connection_closed".into()));
    assert_eq!(server.admission.sessions(), 0);
}

#[tokio::test]
async fn c4_of_two_offers_at_once_by_one_id_one_is_answered() {
    let server = server().await;
    let mut client = Client::new(Kind::default()).await;
    let offer = client.fast_rtc();
    let (one, two) = tokio::join!(server.http.offer(&offer), server.http.offer(&offer));
    let (answered, refused) = if one.status == 200 {
        (one, two)
    } else {
        (two, one)
    };
    assert_eq!(refused.refusal(), (409, "connection_already_exists".into()));
    client.take(&answered.sdp()).await;
    client.message("session_started").await;
    assert_eq!(server.admission.sessions(), 1);
}

#[tokio::test]
async fn c4_candidates_may_come_before_and_after_the_offer() {
    let server = server().await;
    for before in [true, false] {
        let mut client = Client::new(Kind::default()).await;
        let line = |it: &&str| it.starts_with("a=candidate:");
        let candidate = client.offer.lines().find(line).unwrap().to_owned();
        let offer = client.fast_rtc_from_nowhere();
        let candidate = client.candidate(&candidate[2..]);
        if before {
            let answer = server.http.offer(&candidate).await;
            assert_eq!(answer.status, 202);
            assert_eq!(answer.json(), json!({"status": "success"}));
        }
        let answer = server.http.offer(&offer).await.sdp();
        if !before {
            let answer = server.http.offer(&candidate).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.json(), json!({"status": "success"}));
            let end = server.http.offer(&client.candidate("")).await;
            assert_eq!(end.status, 200);
        }
        client.take(&answer).await;
        client.message("session_started").await;
        client.close().await;
    }
}

#[tokio::test]
async fn c4_whip() {
    let server = server().await;
    let http = &server.http;
    let mut client = Client::new(Kind::default()).await;
    let wrong = http.send("POST", "/whip", "application/json", "{}").await;
    assert_eq!(wrong.status, 415);
    assert_eq!(wrong.json()["code"], "unsupported_media_type");
    let wrong = http.send("POST", "/whip", "application/sdp", "v=0").await;
    assert_eq!(wrong.status, 400);
    assert_eq!(wrong.json()["code"], "invalid_sdp");

    let sdp = "application/sdp; charset=utf-8";
    let created = http.send("POST", "/whip", sdp, &client.offer).await;
    assert_eq!(created.status, 201);
    assert_eq!(created.header("content-type"), Some("application/sdp"));
    let location = created.header("location").unwrap();
    let resource = location.strip_prefix("/rtc").expect("the whole path");
    client.take(&created.body).await;
    client.message("session_started").await;

    let fragment = "application/trickle-ice-sdpfrag";
    let candidates_of =
        |ufrag: &str| format!("a=ice-ufrag:{ufrag}\r\nm=audio 9 X 0\r\na=mid:0\r\na={NOWHERE}\r\n");
    let line = |it: &str| it.strip_prefix("a=ice-ufrag:").map(ToOwned::to_owned);
    let ufrag = client.offer.lines().find_map(line).unwrap();
    let candidates = candidates_of(&ufrag);
    let patched = http.send("PATCH", resource, fragment, &candidates).await;
    assert_eq!((patched.status, patched.body.as_str()), (204, ""));
    let restart = candidates_of("x");
    let restart = http.send("PATCH", resource, fragment, &restart).await;
    assert_eq!(restart.status, 422);
    assert_eq!(restart.json()["code"], "ice_restart_unsupported");
    let wrong = http
        .send("PATCH", resource, "text/plain", &candidates)
        .await;
    assert_eq!(wrong.status, 415);
    let wrong = http
        .send("PATCH", resource, fragment, "a=candidate:x")
        .await;
    assert_eq!(wrong.status, 400);

    let gone = http.send("DELETE", resource, "", "").await;
    assert_eq!(gone.status, 200);
    let ended = client.message("session_ended").await;
    assert_eq!(ended["reason"], "client_left");
    until(|| server.transport.clients() == 0).await;
    let gone = http.send("DELETE", resource, "", "").await;
    assert_eq!(gone.status, 410);
    let gone = http.send("PATCH", resource, fragment, &candidates).await;
    assert_eq!(gone.status, 410);
}

#[tokio::test]
async fn c4_clients_are_told_their_ice_servers() {
    let mut config = config();
    config.client_ice_servers = vec![IceServer {
        urls: vec!["turn:turn.example.com".into()],
        username: "ann".into(),
        credential: "sec\"ret".into(),
    }];
    let server = server_with(config, tokens()).await;
    let answer = server.http.send("GET", "/webrtc/config", "", "").await;
    assert_eq!(answer.status, 401);
    let http = server.http.with_header("Authorization: Bearer ann");
    let answer = http.send("GET", "/webrtc/config", "", "").await;
    let server = json!({
        "urls": ["turn:turn.example.com"], "username": "ann", "credential": "sec\"ret",
    });
    assert_eq!(answer.json(), json!({"ice_servers": [server]}));
    let client = Client::new(Kind::default()).await;
    let answer = http
        .send("POST", "/whip", "application/sdp", &client.offer)
        .await;
    assert_eq!(answer.status, 201);
    let link = r#"<turn:turn.example.com>; rel="ice-server"; username="ann"; credential="sec\"ret"; credential-type="password""#;
    assert_eq!(answer.header("link"), Some(link));
}

#[tokio::test]
async fn c5_an_offer_has_limits() {
    let mut config = config();
    config.max_sdp_bytes = 4_000;
    config.max_candidates = 3;
    let server = server_with(config, open_door()).await;
    let counters = Counters::default();
    let _counting = counters.here();
    let refused = |code| counters.get("roomkit_admission_refused_total", code);
    let mut client = Client::new(Kind::default()).await;
    let mut large = client.fast_rtc();
    large["sdp"] = format!("{}{}", client.offer, "a=x:y\r\n".repeat(600)).into();
    let answer = server.http.offer(&large).await;
    assert_eq!(answer.refusal(), (413, "sdp_too_large".into()));
    let body = format!("{{\"x\":\"{}\"}}", "x".repeat(2 * 4_000 + 4_096));
    let answer = server
        .http
        .send("POST", "/webrtc/offer", "application/json", &body)
        .await;
    assert_eq!(answer.refusal(), (413, "sdp_too_large".into()));
    assert_eq!(refused("sdp_too_large"), 2);

    client
        .take(&server.http.offer(&client.fast_rtc()).await.sdp())
        .await;
    for _ in 0..3 {
        let answer = server.http.offer(&client.candidate(NOWHERE)).await;
        assert_eq!(answer.status, 200);
    }
    let answer = server.http.offer(&client.candidate(NOWHERE)).await;
    let all = "this client has sent 3, which is all it may (`max_candidates`)";
    assert_too_many_candidates(&answer, all);
    assert_eq!(refused("too_many_candidates"), 1);
    client.message("session_started").await;
    client.ping().await;

    let waiting = Client::new(Kind::default()).await.candidate(NOWHERE);
    for _ in 0..32 {
        let answer = server.http.offer(&waiting).await;
        assert_eq!(answer.status, 202);
    }
    let answer = server.http.offer(&waiting).await;
    let early = "32 of them wait for the offer of this client, as many as may; send the offer";
    assert_too_many_candidates(&answer, early);
    assert_eq!(refused("too_many_candidates"), 2);
}

#[tokio::test]
async fn c5_an_ice_restart_may_have_as_many_candidates_as_an_offer() {
    let mut config = config();
    config.max_candidates = 2;
    let server = server_with(config, open_door()).await;
    let http = &server.http;
    let mut client = Client::call(&server).await;
    let all = "this client has sent 2, which is all it may (`max_candidates`)";
    for _ in 0..2 {
        assert_eq!(http.offer(&client.candidate(NOWHERE)).await.status, 200);
    }
    assert_too_many_candidates(&http.offer(&client.candidate(NOWHERE)).await, all);

    let answer = client.restart(http).await.sdp();
    client.take(&answer).await;
    assert_eq!(http.offer(&client.candidate(NOWHERE)).await.status, 200);
    // The same once more is no restart, and what is refused is none either.
    let mut same = client.fast_rtc();
    same["restart"] = true.into();
    http.offer(&same).await.sdp();
    let mut other = Client::new(Kind::default()).await.fast_rtc();
    other["webrtc_id"] = client.id.clone().into();
    other["restart"] = true.into();
    assert_eq!(http.offer(&other).await.status, 400);
    assert_eq!(http.offer(&client.candidate(NOWHERE)).await.status, 200);
    assert_too_many_candidates(&http.offer(&client.candidate(NOWHERE)).await, all);
    client.ping().await;
}

fn assert_too_many_candidates(answer: &Answer, says: &str) {
    assert_eq!(answer.refusal(), (429, "too_many_candidates".into()));
    let message = answer.json()["meta"]["message"].to_string();
    assert!(message.contains(says), "{message}");
}

#[tokio::test]
async fn c5_a_server_that_is_full_says_so_as_fast_rtc_does() {
    let limits = AdmissionConfig {
        max_sessions: 1,
        ..AdmissionConfig::default()
    };
    let server = server_with(config(), Admission::new(&limits).unwrap()).await;
    let mut first = Client::call(&server).await;
    let second = Client::new(Kind::default()).await;
    let answer = server.http.offer(&second.fast_rtc()).await;
    assert_eq!(answer.refusal(), (503, "concurrency_limit_reached".into()));
    assert_eq!(answer.json()["meta"]["limit"], 1);
    assert_eq!(answer.header("retry-after"), Some("10"));
    // The client that has the place may still say where else it is.
    let answer = server.http.offer(&first.candidate(NOWHERE)).await;
    assert_eq!(answer.status, 200);
    first.ping().await;
    first.close().await;
    soon(server.admission.wait_idle()).await;
    server.http.offer(&second.fast_rtc()).await.sdp();
}

#[tokio::test]
async fn c5_a_body_has_its_time() {
    let limits = AdmissionConfig {
        handshake_ms: 100,
        ..AdmissionConfig::default()
    };
    let server = server_with(config(), Admission::new(&limits).unwrap()).await;
    let counters = Counters::default();
    let _counting = counters.here();
    let request = format!(
        "POST /rtc/webrtc/offer HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Content-Length: 1000\r\n\r\n{{",
        server.http.address
    );
    let answer = server.http.raw(request.as_bytes()).await;
    assert_eq!(answer.refusal(), (408, "too_slow".into()));
    assert_eq!(
        counters.get("roomkit_admission_refused_total", "too_slow"),
        1
    );
}

#[tokio::test]
async fn x4_a_draining_server_keeps_its_calls() {
    let server = server().await;
    let mut client = Client::call(&server).await;
    server.admission.drain();
    let late = Client::new(Kind::default()).await;
    let answer = server.http.offer(&late.fast_rtc()).await;
    assert_eq!(answer.refusal(), (503, "draining".into()));
    assert_eq!(answer.header("retry-after"), Some("10"));
    let answer = server
        .http
        .send("POST", "/whip", "application/sdp", &late.offer)
        .await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (503, &json!("draining"))
    );
    assert_eq!(answer.header("retry-after"), Some("10"));

    let answer = server.http.offer(&client.candidate(NOWHERE)).await;
    assert_eq!(answer.status, 200);
    let answer = client.restart(&server.http).await;
    client.take(&answer.sdp()).await;
    client.ping().await;
    let path = format!("/webrtc/offer/{}", client.id);
    let answer = server.http.send("DELETE", &path, "", "").await;
    assert_eq!(answer.status, 204);
    client.message("session_ended").await;
    soon(server.admission.wait_idle()).await;
}
