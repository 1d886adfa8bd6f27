//! The decoders as functions of bytes, for the project's own fuzzing. No part of the API.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;
use webrtc::peer_connection::RTCSessionDescription;

use crate::{
    audio::{Codec, Inbound, RtpIn},
    net, peer,
    protocol::{Candidate, Offer, OfferLimits, credentials, for_callers},
};

/// Offers, answers, candidates and requests.
pub fn signalling(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let limits = OfferLimits {
        bytes: 64 * 1024,
        candidates: 64,
    };
    if let Ok(offer) = Offer::read(&text, limits) {
        // What is an offer for us goes to the library as it is then.
        let _ = RTCSessionDescription::offer(offer.sdp);
    }
    for line in text.lines() {
        let _ = Candidate::read(line);
    }
    for_callers(&text, |address| address, &[], 64 * 1024);
    credentials(&text);
    #[cfg(feature = "axum")]
    {
        let _ = crate::protocol::Request::read(input);
        crate::protocol::candidates_of_fragment(&text).for_each(drop);
    }
}

/// Datagrams at the port of all callers.
pub fn datagrams(input: &[u8]) {
    net::fuzz(SocketAddr::from(([192, 0, 2, 1], 5000)), input);
}

/// RTCP: what a caller reports of the AI's voice.
///
/// # Panics
///
/// When more is lost than there was.
pub fn reports(input: &[u8]) {
    peer::fuzz_reports(input);
}

/// A caller's audio: the input as packets of 0 to 255 bytes, each after its length, its place in the
/// sequence, how far it is in time, and how long after the one before it comes.
pub fn audio(input: &[u8]) {
    for (codec, rate) in [
        (Codec::Opus, 24_000),
        (Codec::Opus, 16_000),
        (Codec::Pcmu, 8_000),
        (Codec::Pcma, 8_000),
    ] {
        let Ok(mut inbound) = Inbound::new(codec, rate) else {
            continue;
        };
        let mut now = Instant::now();
        let mut rest = input;
        while let [length, sequence, timestamp, later, tail @ ..] = rest {
            let (payload, tail) = tail.split_at(usize::from(*length).min(tail.len()));
            rest = tail;
            now += Duration::from_millis(u64::from(*later));
            let packet = RtpIn {
                sequence: u16::from(*sequence).wrapping_mul(257),
                timestamp: u32::from(*timestamp).wrapping_mul(960),
                payload: Bytes::copy_from_slice(payload),
            };
            inbound.push(packet, now);
            while inbound.poll(now).is_some() {}
        }
    }
}
