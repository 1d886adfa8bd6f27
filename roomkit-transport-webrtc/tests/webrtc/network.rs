//! Addresses and ports, clients that move, and whatever else comes to the UDP port.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use roomkit_core::provider::ProviderCommand;
use roomkit_mock::{MockProviderConnection, MockRealtimeProvider};
use roomkit_transport_webrtc::{IceServer, WebRtcTransportConfig};
use serde_json::json;

use crate::support::*;

async fn server_with(config: WebRtcTransportConfig, ai: &MockRealtimeProvider) -> Server {
    Server::with(config, open_door(), Arc::new(ai.clone())).await
}

/// Address and kind of each candidate of an answer.
fn candidates(sdp: &str) -> Vec<(SocketAddr, String)> {
    sdp.lines()
        .filter_map(|line| line.strip_prefix("a=candidate:"))
        .map(|candidate| {
            let fields: Vec<&str> = candidate.split(' ').collect();
            let address = SocketAddr::new(fields[4].parse().unwrap(), fields[5].parse().unwrap());
            (address, fields[7].to_owned())
        })
        .collect()
}

/// Audio passes both ways.
pub(crate) async fn talks(client: &mut Client, ai: &MockProviderConnection) {
    let before = ai.sent_audio().len();
    client.say(&tone(24_000, 1_000.0, 200)).await;
    ai.wait_for_commands(before + 10, |it| matches!(it, ProviderCommand::Audio(_)))
        .await;
    ai.simulate_response_start(None);
    let samples = tone(24_000, 440.0, 200);
    let pcm: Vec<u8> = samples.iter().flat_map(|it| it.to_le_bytes()).collect();
    ai.simulate_audio(pcm);
    ai.simulate_response_end(None);
    client.heard.clear();
    while client
        .heard
        .iter()
        .filter(|it| level(&it.samples) > 1_000.0)
        .count()
        < 10
    {
        client.hear(1).await;
    }
}

#[tokio::test]
async fn c3_one_port_for_all_and_one_per_transport() {
    let ai = MockRealtimeProvider::new();
    let one = Server::start(&ai).await;
    let two = Server::start(&ai).await;
    assert_ne!(
        one.transport.local_addresses(),
        two.transport.local_addresses()
    );
    for server in [&one, &two, &one] {
        let mut client = Client::new(Kind::default()).await;
        let answer = server.http.offer(&client.fast_rtc()).await.sdp();
        let addresses: Vec<SocketAddr> = candidates(&answer).iter().map(|it| it.0).collect();
        assert_eq!(addresses, server.transport.local_addresses());
        client.take(&answer).await;
        client.message("session_started").await;
        let ai = ai.wait_for_connect().await;
        talks(&mut client, &ai).await;
    }
    // An id is one transport's.
    let client = Client::call(&one).await;
    let candidate = two.http.offer(&client.candidate("")).await;
    assert_eq!(candidate.status, 202);
}

#[tokio::test]
async fn c3_a_call_over_ipv6() {
    // Some machines have none.
    if UdpSocket::bind("[::1]:0").is_err() {
        return;
    }
    let ai = MockRealtimeProvider::new();
    let mut config = config();
    config.interfaces = vec!["::1".into(), "127.0.0.1".into()];
    let server = server_with(config, &ai).await;
    let kind = Kind {
        address: "[::1]:0",
        ..Kind::default()
    };
    let mut client = Client::new(kind).await;
    let answer = server.http.offer(&client.fast_rtc()).await.sdp();
    let addresses: Vec<SocketAddr> = candidates(&answer).iter().map(|it| it.0).collect();
    assert_eq!(addresses.len(), 2);
    assert!(addresses.iter().any(SocketAddr::is_ipv6));
    assert_eq!(addresses[0].port(), addresses[1].port());
    client.take(&answer).await;
    client.message("session_started").await;
    let ai = ai.wait_for_connect().await;
    talks(&mut client, &ai).await;
}

#[tokio::test]
async fn c3_public_addresses_stand_in_the_answer() {
    let mut config = config();
    config.announce = vec!["203.0.113.7".into(), "203.0.113.8:6000".into()];
    let server = server_with(config, &MockRealtimeProvider::new()).await;
    let client = Client::new(Kind::default()).await;
    let answer = server.http.offer(&client.fast_rtc()).await.sdp();
    let port = server.transport.local_addresses()[0].port();
    let host = |address: &str| (address.parse().unwrap(), "host".to_owned());
    let expected = [
        host(&format!("203.0.113.7:{port}")),
        host("203.0.113.8:6000"),
    ];
    assert_eq!(candidates(&answer), expected);
    assert!(!answer.contains("127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn c3_with_a_relay_each_client_has_a_port() {
    let ai = MockRealtimeProvider::new();
    let mut config = config();
    // Nobody is there; the addresses of this machine are enough.
    config.ice_servers = vec![IceServer {
        urls: vec!["turn:127.0.0.1:9?transport=udp".into()],
        username: "ann".into(),
        credential: "secret".into(),
    }];
    let server = server_with(config, &ai).await;
    assert!(server.transport.local_addresses().is_empty());
    let mut ports = Vec::new();
    let (one, two) = (
        Client::new(Kind::default()).await,
        Client::new(Kind::default()).await,
    );
    // Both at once: the server looks for the relay for a while.
    let (offer_one, offer_two) = (one.fast_rtc(), two.fast_rtc());
    let (answer_one, answer_two) =
        tokio::join!(server.http.offer(&offer_one), server.http.offer(&offer_two));
    for (mut client, answer) in [(one, answer_one), (two, answer_two)] {
        let answer = answer.sdp();
        let hosts = candidates(&answer);
        assert_eq!(hosts.len(), 1, "{hosts:?}");
        ports.push(hosts[0].0.port());
        client.take(&answer).await;
        client.message("session_started").await;
        let ai = ai.wait_for_connect().await;
        talks(&mut client, &ai).await;
    }
    assert_ne!(ports[0], ports[1]);
}

#[tokio::test]
async fn c4_a_client_whose_address_has_changed_finds_its_way_again() {
    let ai = MockRealtimeProvider::new();
    let server = Server::start(&ai).await;
    let (mut client, proxy) = call_through_a_proxy(&server).await;
    let ai = ai.wait_for_connect().await;
    talks(&mut client, &ai).await;
    proxy.rebind().await;
    client.pc.restart_ice().await.unwrap();
    client.make_offer().await;
    let mut offer = client.fast_rtc_from_nowhere();
    offer["restart"] = true.into();
    let answer = server.http.offer(&offer).await.sdp();
    client.take(&proxy.instead(&answer)).await;
    talks(&mut client, &ai).await;
    client.ping().await;
}

#[tokio::test]
async fn c4_a_client_that_has_moved_needs_no_restart() {
    let ai = MockRealtimeProvider::new();
    let server = Server::start(&ai).await;
    let (mut client, proxy) = call_through_a_proxy(&server).await;
    let ai = ai.wait_for_connect().await;
    talks(&mut client, &ai).await;
    proxy.rebind().await;
    // The packets of silence of 14 seconds, for which nobody waits for a client.
    client.hear(35).await;
    talks(&mut client, &ai).await;
    client.ping().await;
}

#[tokio::test]
async fn c4_a_client_is_followed_where_it_nominates() {
    let ai = MockRealtimeProvider::new();
    let mut config = config();
    config.disconnect_timeout_ms = 5_000;
    let server = server_with(config, &ai).await;
    let (mut client, proxy) = call_through_a_proxy(&server).await;
    let ai = ai.wait_for_connect().await;
    talks(&mut client, &ai).await;
    proxy.nominate(&client.pc.remote_description().await.unwrap().sdp);
    proxy.rebind().await;
    // Of ten seconds.
    client.hear(25).await;
    talks(&mut client, &ai).await;
    client.ping().await;
    // A restart finds it as well, wherever it is by then.
    for _ in 0..2 {
        proxy.rebind().await;
        client.pc.restart_ice().await.unwrap();
        client.make_offer().await;
        let mut offer = client.fast_rtc_from_nowhere();
        offer["restart"] = true.into();
        let answer = server.http.offer(&offer).await.sdp();
        proxy.nominate(&answer);
        client.take(&proxy.instead(&answer)).await;
        client.ping().await;
        talks(&mut client, &ai).await;
    }
}

async fn call_through_a_proxy(server: &Server) -> (Client, Proxy) {
    let proxy = Proxy::start(server.transport.local_addresses()[0]).await;
    let mut client = Client::new(Kind::default()).await;
    let answer = server
        .http
        .offer(&client.fast_rtc_from_nowhere())
        .await
        .sdp();
    client.take(&proxy.instead(&answer)).await;
    client.message("session_started").await;
    (client, proxy)
}

#[tokio::test]
async fn c3_a_data_channel_may_take_longer_than_the_audio() {
    let ai = MockRealtimeProvider::new();
    let server = Server::start(&ai).await;
    let proxy = Proxy::start(server.transport.local_addresses()[0]).await;
    proxy.lose_sctp(true);
    let kind = Kind {
        channel: Channel::Agreed,
        ..Kind::default()
    };
    let mut client = Client::new(kind).await;
    let offer = client.fast_rtc_from_nowhere();
    let answer = server.http.offer(&offer).await.sdp();
    client.take(&proxy.instead(&answer)).await;
    let ai = ai.wait_for_connect().await;
    // By then the server has made a channel of its own, and said `session_started` on it.
    tokio::time::sleep(Duration::from_secs(3)).await;
    talks(&mut client, &ai).await;
    proxy.lose_sctp(false);
    assert_eq!(client.opened().await, "roomkit");
    client.message("session_started").await;
    client.ping().await;
}

#[tokio::test]
async fn x5_what_is_sent_again_is_heard_once() {
    let counters = Counters::default();
    let _counting = counters.here();
    let ai = MockRealtimeProvider::new();
    let server = Server::start(&ai).await;
    let (mut client, proxy) = call_through_a_proxy(&server).await;
    let ai = ai.wait_for_connect().await;
    talks(&mut client, &ai).await;
    client.send(&json!({"type": "text", "text": "once"})).await;
    ai.wait_for_command(|it| matches!(it, ProviderCommand::Text { .. }))
        .await;
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client_side = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sent = proxy.sent();
    assert!(sent.len() > 20);
    for datagram in &sent {
        // From where nobody has been, and from where the client is.
        stranger
            .send_to(datagram, server.transport.local_addresses()[0])
            .unwrap();
        client_side.send_to(datagram, proxy.address).unwrap();
    }
    // The proxy answers to whom it has heard last: to the client again, once it speaks.
    talks(&mut client, &ai).await;
    client.ping().await;
    assert_eq!(ai.injected_texts().len(), 1);
    assert_eq!(server.voice.sessions().len(), 1);
    client.close().await;
    until(|| server.transport.clients() == 0).await;
    // Twice ten packets, and none of them twice.
    let heard = |outcome| counters.get("roomkit_webrtc_inbound_frames_total", outcome);
    assert_eq!((heard("received"), heard("duplicate")), (20, 0));
}

#[tokio::test]
async fn x5_a_client_has_so_many_streams() {
    let counters = Counters::default();
    let _counting = counters.here();
    let ai = MockRealtimeProvider::new();
    let server = Server::start(&ai).await;
    let (mut client, proxy) = call_through_a_proxy(&server).await;
    let ai = ai.wait_for_connect().await;
    talks(&mut client, &ai).await;
    // By the way that the client has proven to be its own, an SSRC in each packet.
    let client_side = UdpSocket::bind("127.0.0.1:0").unwrap();
    for ssrc in 0..200_u32 {
        let mut packet = vec![0x80, 111, 0, 1, 0, 0, 0, 1];
        packet.extend(ssrc.to_be_bytes());
        packet.extend([7; 40]);
        client_side.send_to(&packet, proxy.address).unwrap();
    }
    let lost = |why| counters.get("roomkit_webrtc_datagrams_lost_total", why);
    until(|| lost("too_many_streams") >= 100).await;
    talks(&mut client, &ai).await;
    client.close().await;
}

#[tokio::test]
async fn x5_whatever_comes_to_the_port() {
    let counters = Counters::default();
    let _counting = counters.here();
    let ai = MockRealtimeProvider::new();
    let server = Server::start(&ai).await;
    let mut client = Client::call(&server).await;
    let ai = ai.wait_for_connect().await;
    let port = server.transport.local_addresses()[0];
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut seed = 1_u64;
    let mut random = || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize
    };
    let mut sent = 0;
    for first in 0..=255 {
        let length = 1 + random() % 2_000;
        let mut datagram: Vec<u8> = (0..length).map(|_| random() as u8).collect();
        datagram[0] = first;
        if first < 4 && length > 8 {
            // What looks like STUN goes further.
            datagram[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        }
        stranger.send_to(&datagram, port).unwrap();
        sent += 1;
        if sent % 32 == 0 {
            client.ping().await;
        }
    }
    let lost = |why| counters.get("roomkit_webrtc_datagrams_lost_total", why);
    until(|| lost("nobody") + lost("oversized") >= sent).await;
    talks(&mut client, &ai).await;
    assert_eq!(server.voice.sessions().len(), 1);
}
