//! Calls over WebRTC, whose clients send more than one request: who may say something of a call, and
//! for how long.

use roomkit::mock::Counters;
use serde_json::json;

use crate::{
    support::{Answer, TestServer},
    tokens::{ask, in_a_minute, signed},
};

pub(crate) const OFFER: &str = "/rtc/webrtc/offer";

pub(crate) const TRANSPORT: &str = "
[[transports]]
name = 'webrtc'
path = '/rtc'
config = { interfaces = ['127.0.0.1'] }
";

/// An offer that leads nowhere, with these credentials.
fn sdp(ufrag: &str) -> String {
    let fingerprint = ["AA"; 32].join(":");
    format!(
        "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{ufrag}{ufrag}{ufrag}{ufrag}\r\n\
         a=ice-pwd:1Jk0+eG0i8lq0xAq1Qh3J8a{ufrag}\r\na=fingerprint:sha-256 {fingerprint}\r\n\
         a=setup:actpass\r\na=mid:0\r\na=sendrecv\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
    )
}

pub(crate) fn offer(id: &str, ufrag: &str, restart: bool) -> String {
    json!({"type": "offer", "sdp": sdp(ufrag), "webrtc_id": id, "restart": restart}).to_string()
}

fn candidate(id: &str) -> String {
    json!({
        "type": "ice-candidate", "webrtc_id": id,
        "candidate": {"candidate": "candidate:1 1 udp 1 127.0.0.1 9 typ host", "sdpMid": "0"},
    })
    .to_string()
}

#[tokio::test]
async fn x2_trickle_and_restart_are_no_second_use_even_after_the_token_expired() {
    let settings = format!("[auth]\nsigning_key_env = 'CARGO_PKG_DESCRIPTION'\n{TRANSPORT}");
    let server = TestServer::start(&settings).await;
    // The same token as it is now, and as it is once it has expired.
    let (now, later) = (signed("ann", in_a_minute()), signed("ann", 0));
    let other = signed("bob", in_a_minute());

    let early = ask(&server, &now, "POST", OFFER, &candidate("one")).await;
    assert_eq!(early.status, 202, "{}", early.body);
    let answered = ask(&server, &now, "POST", OFFER, &offer("one", "a", false)).await;
    assert_eq!(answered.status, 200, "{}", answered.body);
    let second = ask(&server, &now, "POST", OFFER, &offer("two", "a", false)).await;
    assert_eq!(second.status, 401);
    assert_eq!(second.json()["meta"]["error"], "token_used");

    for (token, ufrag) in [(&now, "b"), (&later, "c")] {
        let trickled = ask(&server, token, "POST", OFFER, &candidate("one")).await;
        assert_eq!(trickled.status, 200, "{}", trickled.body);
        let restarted = ask(&server, token, "POST", OFFER, &offer("one", ufrag, true)).await;
        assert_eq!(restarted.status, 200, "{}", restarted.body);
    }
    // Of what is not its call, an expired token says nothing.
    for body in [
        candidate("two"),
        offer("two", "d", true),
        offer("two", "d", false),
    ] {
        let refused = ask(&server, &later, "POST", OFFER, &body).await;
        assert_eq!(refused.json()["meta"]["error"], "token_expired");
    }
    // Another token with as much in it is another client, and counted as one that is refused.
    let counters = Counters::default();
    let counting = counters.here();
    for body in [candidate("one"), offer("one", "d", true)] {
        let refused = ask(&server, &other, "POST", OFFER, &body).await;
        assert_eq!(refused.json()["meta"]["error"], "forbidden");
    }
    let path = format!("{OFFER}/one");
    assert_eq!(ask(&server, &other, "DELETE", &path, "").await.status, 403);
    drop(counting);
    let refused = counters.all("roomkit_admission_refused_total");
    assert_eq!(refused, [("forbidden".to_owned(), 3)].into());
    assert_eq!(ask(&server, &later, "DELETE", &path, "").await.status, 204);
}

#[tokio::test]
async fn x7_c3_a_call_outlives_the_token_that_began_it_and_nothing_new_comes_of_that() {
    let settings = |tokens: &str| format!("[auth]\ntokens = [{tokens}]\n{TRANSPORT}");
    let server = TestServer::start(&settings("'old', 'kept'")).await;
    let post = async |token: &str, body: &str| ask(&server, token, "POST", OFFER, body).await;
    assert_eq!(post("old", &offer("one", "a", false)).await.status, 200);
    assert_eq!(post("kept", &offer("two", "a", false)).await.status, 200);

    server
        .reload(&settings("'new', { token = 'kept', scopes = ['watch'] }"))
        .await;
    for (token, id) in [("old", "one"), ("kept", "two")] {
        let restarted = post(token, &offer(id, "b", true)).await;
        assert_eq!(restarted.status, 200, "{token}: {}", restarted.body);
        let trickled = post(token, &candidate(id)).await;
        assert_eq!(trickled.status, 200, "{token}: {}", trickled.body);
    }
    let is_refused = |refused: &Answer, status| {
        assert_eq!(refused.status, status, "{}", refused.body);
    };
    for body in [
        offer("three", "a", false),
        offer("three", "a", true),
        candidate("three"),
    ] {
        is_refused(&post("old", &body).await, 401);
        is_refused(&post("kept", &body).await, 403);
    }
    is_refused(&post("never", &offer("one", "c", true)).await, 401);
    is_refused(&ask(&server, "old", "GET", "/rooms", "").await, 401);
    // Taken away once more, and with it what took its place.
    server.reload(&settings("")).await;
    for (token, id) in [("old", "one"), ("kept", "two")] {
        let path = format!("{OFFER}/{id}");
        let ended = ask(&server, token, "DELETE", &path, "").await;
        assert_eq!(ended.status, 204, "{token}: {}", ended.body);
    }
}
