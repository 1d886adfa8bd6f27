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
    let config = WebRtcTransportConfig {
        interfaces: vec!["127.0.0.1".into()],
        ..WebRtcTransportConfig::default()
    };
    let engine = Engine::new(&config).unwrap();
    let offer = Offer::read(OFFER, LIMITS).unwrap();
    let answered = engine.answer(WebRtcId::random(), offer, Arc::default(), Box::new(()));
    answered.await.unwrap().0
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
