//! ICE restarts, and offers that would be more than one.

use roomkit_mock::MockRealtimeProvider;

use crate::{network::talks, support::*};

#[tokio::test]
async fn c4_a_client_finds_a_new_way() {
    let ai = MockRealtimeProvider::new();
    let server = Server::start(&ai).await;
    let mut client = Client::call(&server).await;
    let started = client.messages[0]["session_id"].clone();
    let ai = ai.wait_for_connect().await;
    talks(&mut client, &ai).await;
    let first = client.offer.clone();
    for _ in 0..2 {
        let answer = client.restart(&server.http).await.sdp();
        client.take(&answer).await;
        client.ping().await;
        talks(&mut client, &ai).await;
    }
    let ufrag = |sdp: &str| {
        let line = sdp.lines().find(|line| line.starts_with("a=ice-ufrag:"));
        line.unwrap().to_owned()
    };
    assert_ne!(ufrag(&first), ufrag(&client.offer));
    let sessions = server.voice.sessions();
    assert_eq!(sessions.len(), 1);
    assert_eq!(started, sessions[0].id().as_str());
    let starts = client.messages.iter();
    assert_eq!(
        starts.filter(|it| it["type"] == "session_started").count(),
        1
    );
}

#[tokio::test]
async fn x2_another_certificate_is_another_client() {
    let ai = MockRealtimeProvider::new();
    let server = Server::start(&ai).await;
    let mut client = Client::call(&server).await;
    let other = Client::new(Kind::default()).await;
    let mut offer = other.fast_rtc();
    offer["webrtc_id"] = client.id.clone().into();
    offer["restart"] = true.into();
    let refused = server.http.offer(&offer).await;
    assert_eq!(refused.refusal(), (400, "invalid_sdp".into()));
    let ai = ai.wait_for_connect().await;
    talks(&mut client, &ai).await;
}

/// What a refusal of this offer as a restart says.
async fn refused(server: &Server, client: &Client, sdp: &str) -> String {
    // With credentials of its own, so that ICE would restart.
    let ufrag = sdp.lines().find(|line| line.starts_with("a=ice-ufrag:"));
    let mut offer = client.fast_rtc();
    offer["restart"] = true.into();
    offer["sdp"] = sdp.replace(ufrag.unwrap(), "a=ice-ufrag:another").into();
    let refused = server.http.offer(&offer).await;
    assert_eq!(refused.status, 400, "{sdp}");
    refused.json()["meta"]["message"].to_string()
}

const MAKE_ANOTHER: &str = "a restart keeps the media, make a new offer";

#[tokio::test]
async fn c4_a_restart_that_changes_the_media_is_refused_and_the_call_goes_on() {
    let ai = MockRealtimeProvider::new();
    let server = Server::start(&ai).await;
    let mut client = Client::call(&server).await;
    let ai = ai.wait_for_connect().await;
    let offer = client.offer.clone();
    let audio = &offer[..offer.find("m=application").unwrap()];
    for changed in [
        offer.replace("a=sendrecv", "a=inactive"),
        offer.replace("a=sendrecv", "a=sendonly"),
        offer
            .replace("SAVPF 111", "SAVPF 96")
            .replace(":111 ", ":96 "),
        offer.replace("SAVPF 111", "SAVPF 0"),
        offer.replace("a=mid:0", "a=mid:7"),
        audio.to_owned(),
    ] {
        assert_ne!(changed, offer);
        let message = refused(&server, &client, &changed).await;
        assert!(message.contains(MAKE_ANOTHER), "{message}");
        talks(&mut client, &ai).await;
    }
    let answer = client.restart(&server.http).await.sdp();
    client.take(&answer).await;
    client.ping().await;
    talks(&mut client, &ai).await;
}

#[tokio::test]
async fn c4_a_restart_adds_no_data_channel() {
    let ai = MockRealtimeProvider::new();
    let server = Server::start(&ai).await;
    let kind = Kind {
        channel: Channel::Absent,
        ..Kind::default()
    };
    let mut client = Client::call_as(kind, &server.http).await;
    let ai = ai.wait_for_connect().await;
    let channel = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\n\
        a=sctp-port:5000\r\n";
    let message = refused(&server, &client, &(client.offer.clone() + channel)).await;
    assert!(message.contains(MAKE_ANOTHER), "{message}");
    talks(&mut client, &ai).await;
}

#[tokio::test]
async fn c4_a_microphone_may_be_away_during_a_restart() {
    let ai = MockRealtimeProvider::new();
    let server = Server::start(&ai).await;
    let mut client = Client::call(&server).await;
    let ai = ai.wait_for_connect().await;
    for direction in ["a=recvonly", "a=sendrecv"] {
        client.pc.restart_ice().await.unwrap();
        client.make_offer().await;
        let mut offer = client.fast_rtc();
        offer["restart"] = true.into();
        offer["sdp"] = client.offer.replacen("a=sendrecv", direction, 1).into();
        let answer = server.http.offer(&offer).await.sdp();
        client.take(&answer).await;
        client.ping().await;
        client.hear(5).await;
    }
    talks(&mut client, &ai).await;
}
