//! A caller that nobody is behind, and how it ends.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use super::*;
use crate::{
    config::WebRtcTransportConfig,
    protocol::{Offer, OfferLimits},
};

const LIMITS: OfferLimits = OfferLimits {
    bytes: 10_000,
    candidates: 8,
};

const OFFER: &str = "v=0\r\n\
    o=- 4611731400430051336 2 IN IP4 127.0.0.1\r\n\
    s=-\r\n\
    t=0 0\r\n\
    a=group:BUNDLE 0 1\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
    c=IN IP4 0.0.0.0\r\n\
    a=ice-ufrag:pWvM\r\n\
    a=ice-pwd:1Jk0+eG0i8lq0xAq1Qh3J8aD\r\n\
    a=fingerprint:sha-256 \
    00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\n\
    a=setup:actpass\r\n\
    a=mid:0\r\n\
    a=sendrecv\r\n\
    a=rtcp-mux\r\n\
    a=rtpmap:111 opus/48000/2\r\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n\
    c=IN IP4 0.0.0.0\r\n\
    a=ice-ufrag:pWvM\r\n\
    a=ice-pwd:1Jk0+eG0i8lq0xAq1Qh3J8aD\r\n\
    a=setup:actpass\r\n\
    a=mid:1\r\n\
    a=sctp-port:5000\r\n";

/// A caller whose offer has been answered.
pub(crate) async fn caller() -> Arc<Peer> {
    caller_of(Arc::default()).await
}

/// One that is somebody's.
pub(crate) async fn caller_of(owner: Arc<Owner>) -> Arc<Peer> {
    answered(owner).await.1
}

async fn answered(owner: Arc<Owner>) -> (Engine, Arc<Peer>) {
    let config = WebRtcTransportConfig {
        interfaces: vec!["127.0.0.1".into()],
        ..WebRtcTransportConfig::default()
    };
    let engine = Engine::new(&config).unwrap();
    let offer = Offer::read(OFFER, LIMITS).unwrap();
    let answered = engine.answer(WebRtcId::random(), offer, owner, Box::new(()));
    let (peer, _) = answered.await.unwrap();
    (engine, peer)
}

/// Another offer of the same caller, with this name for its credentials.
fn another(ufrag: &str) -> String {
    OFFER.replace("pWvM", ufrag)
}

#[tokio::test]
async fn c4_a_restart_that_the_library_refuses_late_is_in_the_way_of_no_other() {
    let (engine, peer) = answered(Arc::default()).await;
    let read = |sdp: &str| Offer::read(sdp, LIMITS).unwrap();
    for (wrong, problem) in [
        (another("wron").replace("a=mid:1\r\n", ""), "mid"),
        (another("wron").replacen("1Jk0", "2Jk0", 1), "pwd"),
    ] {
        let refused = engine.restart(&peer, read(&wrong)).await.unwrap_err();
        let told = refused.to_string().to_lowercase();
        assert!(told.contains(problem), "{told}");
        let answer = engine
            .restart(&peer, read(&another(problem)))
            .await
            .unwrap();
        assert!(answer.contains("m=audio"), "{answer}");
        assert!(peer.ice().theirs == problem);
    }
    peer.close().await;
}

#[tokio::test]
async fn c4_a_restart_goes_on_when_nobody_waits_for_its_answer() {
    let (engine, peer) = answered(Arc::default()).await;
    let read = |sdp: &str| Offer::read(sdp, LIMITS).unwrap();
    {
        let mut restart = pin!(engine.restart(&peer, read(&another("gone"))));
        let polled = poll_fn(|cx| Poll::Ready(restart.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
    }
    drop(peer.negotiating.lock().await);
    assert!(peer.ice().theirs == "gone");
    let answer = engine.restart(&peer, read(&another("here"))).await;
    assert!(answer.unwrap().contains("m=audio"));
    peer.close().await;
}

#[tokio::test]
async fn c4_candidates_that_overtake_the_offer_of_a_restart_wait_for_it() {
    let (engine, peer) = answered(Arc::default()).await;
    let candidate = |last: u8, ufrag: &str| {
        format!("candidate:1 1 udp 1 192.0.2.{last} 5000 typ host ufrag {ufrag}")
    };
    for (last, ufrag) in [(1, "pWvM"), (2, "next"), (3, "late")] {
        let added = peer.add_candidate(&candidate(last, ufrag)).await;
        assert_eq!(added, Ok(()));
    }
    let waiting = || -> Vec<String> {
        let ice = peer.ice();
        let waiting = ice.waiting().map(ToOwned::to_owned);
        waiting.collect()
    };
    assert_eq!(waiting(), ["next", "late"]);
    let offer = Offer::read(&another("next"), LIMITS).unwrap();
    engine.restart(&peer, offer).await.unwrap();
    assert!(
        waiting().is_empty(),
        "what belongs to no offer is forgotten"
    );
    peer.close().await;
}

#[tokio::test]
async fn s7_who_stops_waiting_for_a_close_does_not_stop_it() {
    let peer = caller().await;
    peer.open_channel().await;
    let mut channels = peer.channels();
    let channel = channels.borrow().as_ref().map(Arc::downgrade).unwrap();
    {
        let mut closing = pin!(peer.close());
        let polled = poll_fn(|cx| Poll::Ready(closing.as_mut().poll(cx))).await;
        assert!(polled.is_pending());
    }
    let forgotten = channels.wait_for(Option::is_none);
    let forgotten = timeout(Duration::from_secs(20), forgotten).await;
    assert!(forgotten.is_ok(), "the library's objects own each other");
    assert!(channel.upgrade().is_none());
}
