//! What became of a call's packets, for the metrics.

use metrics::counter;

use crate::audio::{InboundCounts, OutboundCounts};

/// Counts a call's packets once it is over.
pub(super) fn report(heard: InboundCounts, spoken: OutboundCounts) {
    for (outcome, count) in [
        ("received", heard.received),
        ("lost", heard.lost),
        ("recovered", heard.recovered_by_fec),
        ("concealed", heard.concealed),
        ("late", heard.late),
        ("duplicate", heard.duplicate),
        ("undecodable", heard.undecodable),
        ("filled", heard.filled),
    ] {
        counter!("roomkit_webrtc_inbound_frames_total", "outcome" => outcome).increment(count);
    }
    for (kind, count) in [
        ("speech", spoken.speech),
        ("silence", spoken.silence),
        ("failed", spoken.failed),
    ] {
        counter!("roomkit_webrtc_outbound_frames_total", "kind" => kind).increment(count);
    }
}
