//! Whose a client is, and who may speak of it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{Extension, Router};
use roomkit_http::{Admission, AdmissionConfig, AuthRequest, Identity, Purpose, Refusal};
use roomkit_mock::MockRealtimeProvider;
use roomkit_transport_webrtc::{WebRtcRealtimeTransport, WebRtcTransportConfig};
use serde_json::json;

use crate::{
    signalling::{NOWHERE, tokens},
    support::*,
};

async fn server_with(config: WebRtcTransportConfig, admission: Admission) -> Server {
    Server::with(config, admission, Arc::new(MockRealtimeProvider::new())).await
}

#[tokio::test]
async fn x2_an_offer_that_can_be_seen_to_be_none_uses_up_no_credential() {
    // Of one use.
    let is_used = Arc::new(AtomicBool::new(false));
    let hook = move |request: AuthRequest| {
        let is_used = Arc::clone(&is_used);
        async move {
            let begins = matches!(request.purpose, Purpose::Session);
            if begins && is_used.swap(true, Ordering::SeqCst) {
                return Err(Refusal::Unauthorized("used".into()));
            }
            Ok(Identity::default())
        }
    };
    let admission = Admission::with_authentication(&AdmissionConfig::default(), hook).unwrap();
    let mut config = config();
    config.max_sdp_bytes = 4_000;
    let server = server_with(config, admission).await;
    let mut client = Client::new(Kind::default()).await;
    let with = |sdp: &str| json!({"sdp": sdp, "type": "offer", "webrtc_id": client.id});
    let large = format!("{}{}", client.offer, "a=x:y\r\n".repeat(600));
    for (sdp, status, error) in [
        ("v=0", 400, "invalid_sdp"),
        (&client.offer.replace("m=audio", "m=video"), 400, "no_audio"),
        (
            &client.offer.replace("opus/48000/2", "speex/16000"),
            400,
            "no_common_codec",
        ),
        (&large, 413, "sdp_too_large"),
    ] {
        let answer = server.http.offer(&with(sdp)).await;
        assert_eq!(answer.refusal(), (status, error.to_owned()));
    }
    let answer = server.http.offer(&client.fast_rtc()).await.sdp();
    client.take(&answer).await;
    client.message("session_started").await;
    let again = server.http.offer(&client.fast_rtc()).await;
    assert_eq!(again.refusal(), (409, "connection_already_exists".into()));
    let other = Client::new(Kind::default()).await;
    let used = server.http.offer(&other.fast_rtc()).await;
    assert_eq!(used.refusal(), (401, "unauthorized".into()));
}

#[tokio::test]
async fn x2_who_may_not_come_in_is_told_before_anything_is_read() {
    let server = server_with(config(), tokens()).await;
    // A body is announced, and never comes.
    let head = |method: &str, path: &str, token: &str| {
        format!(
            "{method} /rtc{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{token}\
             Content-Type: application/sdp\r\nContent-Length: 1000\r\n\r\n",
            server.http.address
        )
    };
    for (method, path) in [
        ("POST", "/webrtc/offer"),
        ("POST", "/whip"),
        ("PATCH", "/whip/x"),
        ("DELETE", "/whip/x"),
        ("DELETE", "/webrtc/offer/x"),
    ] {
        let request = head(method, path, "");
        assert_eq!(server.http.raw(request.as_bytes()).await.status, 401);
        let request = head(method, path, "Authorization: Bearer bad\r\n");
        assert_eq!(server.http.raw(request.as_bytes()).await.status, 403);
    }
    let client = Client::new(Kind::default()).await;
    let answer = server.http.offer(&client.fast_rtc()).await;
    assert_eq!(answer.refusal(), (401, "unauthorized".into()));
    let foreign = server.http.with_header("Origin: https://evil.example");
    let answer = foreign.offer(&client.fast_rtc()).await;
    assert_eq!(answer.refusal(), (403, "origin".into()));
    assert_eq!(server.transport.clients(), 0);
}

#[tokio::test]
async fn x2_a_client_is_its_owners_alone() {
    let server = server_with(config(), tokens()).await;
    let ann = server.http.with_header("Authorization: Bearer ann");
    let bob = server.http.with_header("Authorization: Bearer bob");
    let mut client = Client::call_as(Kind::default(), &ann).await;
    assert_eq!(server.voice.sessions()[0].metadata()["user"], "ann");
    let forbidden = (403, "forbidden".to_owned());
    let mut restart = client.fast_rtc();
    restart["restart"] = true.into();
    for body in [client.candidate(NOWHERE), restart] {
        assert_eq!(bob.offer(&body).await.refusal(), forbidden);
    }
    let path = format!("/webrtc/offer/{}", client.id);
    assert_eq!(bob.send("DELETE", &path, "", "").await.refusal(), forbidden);
    let path = format!("/whip/{}", client.id);
    let fragment = "application/trickle-ice-sdpfrag";
    for (method, content) in [("DELETE", ""), ("PATCH", fragment)] {
        assert_eq!(bob.send(method, &path, content, "").await.status, 403);
    }
    client.ping().await;
    assert_eq!(ann.send("DELETE", &path, "", "").await.status, 200);
    client.message("session_ended").await;
}

#[tokio::test]
async fn x2_who_is_bound_to_another_room_or_participant_is_another_client() {
    // The same subject, by tokens of its own for each room and participant.
    let hook = async |request: AuthRequest| {
        let token = request.bearer_token().unwrap_or_default();
        let (room, participant) = token.split_once('.').unwrap_or((token, ""));
        let ann = Identity::new([("user", "ann")]).room(room);
        Ok(ann.participant(participant))
    };
    let admission = Admission::with_authentication(&AdmissionConfig::default(), hook).unwrap();
    let server = server_with(config(), admission).await;
    let with = |token: &str| {
        let header = format!("Authorization: Bearer {token}");
        server.http.with_header(&header)
    };
    let mut client = Client::call_as(Kind::default(), &with("lobby.ann")).await;
    let path = format!("/whip/{}", client.id);
    let fragment = "application/trickle-ice-sdpfrag";
    for other in ["elsewhere.ann", "lobby.bob"] {
        for (method, content) in [("PATCH", fragment), ("DELETE", "")] {
            let answer = with(other).send(method, &path, content, "").await;
            assert_eq!(answer.status, 403, "{method} as {other}");
        }
    }
    client.ping().await;
    let answer = with("lobby.ann").send("DELETE", &path, "", "").await;
    assert_eq!(answer.status, 200);
    client.message("session_ended").await;
}

#[tokio::test]
async fn x2_the_identity_a_session_begins_with_is_the_one_it_is_held_to() {
    let hook = async |request: AuthRequest| {
        let anybody = Identity::default();
        Ok(match request.purpose {
            Purpose::Session => anybody.participant("zoe"),
            _ => anybody,
        })
    };
    let admission = Admission::with_authentication(&AdmissionConfig::default(), hook).unwrap();
    let server = server_with(config(), admission).await;
    let client = Client::new(Kind::default()).await;
    let bob = server.http.with_query("participant=bob");
    let answer = bob.offer(&client.fast_rtc()).await;
    assert_eq!(answer.refusal(), (403, "forbidden".into()));
    let _client = Client::call(&server).await;
    let session = &server.voice.sessions()[0];
    assert_eq!(session.participant_id().as_str(), "zoe");
}

#[derive(Clone)]
struct User(&'static str);

#[tokio::test]
async fn x2_the_hook_sees_what_a_layer_of_the_hosts_has_found_out() {
    let hook = async |request: AuthRequest| match request.extensions.get::<User>() {
        Some(User(name)) => Ok(Identity::new([("user", *name)])),
        None => Err(Refusal::Unauthorized("log in first".into())),
    };
    let admission = Admission::with_authentication(&AdmissionConfig::default(), hook).unwrap();
    let transport = WebRtcRealtimeTransport::new(config()).unwrap();
    let routes = Router::new().nest("/rtc", transport.router(admission));
    let client = Client::new(Kind::default()).await;
    let (bare, _) = serve(routes.clone()).await;
    let refused = Http::new(bare, "/rtc").offer(&client.fast_rtc()).await;
    assert_eq!(refused.refusal(), (401, "unauthorized".into()));
    let (layered, _) = serve(routes.layer(Extension(User("ann")))).await;
    let answered = Http::new(layered, "/rtc").offer(&client.fast_rtc()).await;
    assert_eq!(answered.status, 200);
}
