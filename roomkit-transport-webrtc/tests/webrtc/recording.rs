//! A WebRTC call that is recorded, because its client says so on the data channel.

use std::{sync::Arc, time::Duration};

use roomkit_core::{
    RealtimeVoiceChannel,
    provider::ProviderCommand,
    recording::{Recording, RecordingDecision},
};
use roomkit_mock::{MockRealtimeProvider, MockRecordingSink};
use roomkit_transport_webrtc::WebRtcRealtimeTransport;
use serde_json::json;

use crate::support::*;

/// The frequency of the loud part of a side, in Hz, and how long that part is, in ms.
fn heard(side: &[i16]) -> (f64, usize) {
    let is_loud = |sample: &i16| sample.unsigned_abs() > 1000;
    let first = side.iter().position(is_loud).unwrap();
    let last = side.iter().rposition(is_loud).unwrap();
    let loud = &side[first..=last];
    let middle = &loud[loud.len() / 4..loud.len() * 3 / 4];
    (frequency(middle, 24_000), loud.len() / 24)
}

#[tokio::test]
async fn v2_both_sides_of_a_webrtc_call_are_recorded() {
    let sink = MockRecordingSink::new();
    let ai = MockRealtimeProvider::new();
    let transport = WebRtcRealtimeTransport::new(config()).unwrap();
    let recording = Recording::new(Arc::new(sink.clone())).client_decides(true);
    let (provider, way_in) = (Arc::new(ai.clone()), Arc::new(transport.clone()));
    let voice = RealtimeVoiceChannel::builder("voice", provider, way_in)
        .recording(recording)
        .build()
        .unwrap();
    let server = Server::with_host(transport, open_door(), kit_with(voice).await).await;
    let mut client = Client::connect_as(Kind::default(), &server.http).await;
    assert_eq!(client.message("recording").await["state"], "off");
    let ai = ai.wait_for_connect().await;
    client.say(&tone(24_000, 300.0, 500)).await;
    ai.wait_for_commands(25, |it| matches!(it, ProviderCommand::Audio(_)))
        .await;

    client.send(&json!({"type": "recording", "on": true})).await;
    assert_eq!(client.message("recording").await["state"], "on");
    // As a microphone does it: what comes faster than time was said before consent.
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    clock.tick().await;
    for frame in tone(24_000, 1_000.0, 600).chunks_exact(480) {
        clock.tick().await;
        client.say(frame).await;
    }
    ai.simulate_response_start(None);
    let pcm = tone(24_000, 440.0, 400);
    let pcm: Vec<u8> = pcm.iter().flat_map(|it| it.to_le_bytes()).collect();
    ai.simulate_audio(pcm);
    ai.simulate_response_end(None);
    let session = server.voice.sessions().remove(0);
    let recorded = sink
        .wait_for(session.id(), |recorded| {
            let right = recorded.right();
            // A block of silence behind what was heard.
            right.iter().any(|it| *it != 0) && right.iter().rev().take(4800).all(|it| *it == 0)
        })
        .await;
    soon(server.voice.end_session(&session)).await;
    assert!(sink.finished(session.id()).await.summary.is_some());

    assert_eq!(recorded.info.consent, RecordingDecision::Client);
    let (hz, length) = heard(&recorded.left());
    assert!((hz - 1_000.0).abs() < 5.0, "{hz}: not what was said before");
    // Up to 0.2 s of it may count as said before consent.
    assert!((395..=1000).contains(&length), "{length} ms");
    let (hz, length) = heard(&recorded.right());
    assert!((hz - 440.0).abs() < 5.0, "{hz}");
    // Longer where this machine stood still for longer than a jitter buffer hides.
    assert!((395..=700).contains(&length), "{length} ms");
    client.close().await;
}
