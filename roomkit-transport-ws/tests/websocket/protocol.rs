//! Frames in, events out; commands in, frames out.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use proptest::prelude::*;
use roomkit_core::{
    client_protocol::ServerMessage,
    transport::{ClientCommand, ClientEvent, DropReason},
};
use roomkit_transport_ws::{
    AudioEncoding, OutgoingFrame, WebSocketTransportConfig,
    protocol::{Decoder, close, encode},
};
use serde_json::json;
use tokio::time::Instant;

fn decoder(rate: u32) -> (Decoder, Instant) {
    let now = Instant::now();
    (
        Decoder::new(&WebSocketTransportConfig::default(), rate, now),
        now,
    )
}

fn text(text: &str) -> Option<ClientEvent> {
    let (mut decoder, now) = decoder(48_000);
    decoder.text(text, now)
}

fn audio(pcm: &[u8]) -> String {
    format!(r#"{{"type":"audio","data":"{}"}}"#, STANDARD.encode(pcm))
}

#[allow(
    clippy::unnecessary_wraps,
    reason = "it is what the decoder gives, which may be nothing"
)]
fn dropped(reason: DropReason) -> Option<ClientEvent> {
    Some(ClientEvent::Dropped(reason))
}

#[test]
fn c1_text_frames() {
    let dtmf = json!({"event": "dtmf", "digit": "5"});
    let dtmf = dtmf.as_object().cloned().unwrap();
    for (frame, event) in [
        (
            r#"{"type":"audio","data":"AQID/w=="}"#,
            Some(ClientEvent::Audio(Bytes::from_static(&[1, 2, 3, 255]))),
        ),
        (
            r#"{"type": "audio", "data": "AQI="}"#,
            Some(ClientEvent::Audio(Bytes::from_static(&[1, 2]))),
        ),
        (
            r#"{"data":"AQI","type":"audio","seq":7}"#,
            Some(ClientEvent::Audio(Bytes::from_static(&[1, 2]))),
        ),
        (r#"{"type":"audio","data":""}"#, None),
        (
            r#"{"type":"text","text":"hi"}"#,
            Some(ClientEvent::Text("hi".into())),
        ),
        (r#"{"type":"interrupt"}"#, Some(ClientEvent::Interrupt)),
        (
            r#"{"type":"recording","on":true}"#,
            Some(ClientEvent::Recording(true)),
        ),
        (
            r#"{"type":"message","data":{"event":"dtmf","digit":"5"}}"#,
            Some(ClientEvent::Message(dtmf)),
        ),
        (
            r#"{"type":"mute","muted":false}"#,
            Some(ClientEvent::Mute(false)),
        ),
        (
            r#"{"type":"playback","played_ms":1500}"#,
            Some(ClientEvent::Playback(Duration::from_millis(1500))),
        ),
        (
            r#"{"type":"ping","id":[1,{"a":2}]}"#,
            Some(ClientEvent::Ping(Some(json!([1, {"a": 2}])))),
        ),
        (r#"{"type":"end"}"#, Some(ClientEvent::End)),
        (r#"{"type":"hologram"}"#, None),
    ] {
        assert_eq!(text(frame), event, "{frame}");
    }
}

#[test]
fn a1_what_cannot_be_used_is_dropped_with_its_reason() {
    for (frame, reason) in [
        ("", DropReason::Undecodable),
        ("nonsense", DropReason::Undecodable),
        ("[]", DropReason::Undecodable),
        (r#"{"type":"audio"}"#, DropReason::Undecodable),
        (r#"{"type":"audio","data":"A"}"#, DropReason::Undecodable),
        (r#"{"type":"audio","data":"===="}"#, DropReason::Undecodable),
        (
            r#"{"type":"audio","data":"!!!!!!!!"}"#,
            DropReason::Undecodable,
        ),
        (
            r#"{"type":"audio","data":"AQI=AQI="}"#,
            DropReason::Undecodable,
        ),
        (r#"{"type":"mute"}"#, DropReason::Undecodable),
    ] {
        assert_eq!(text(frame), dropped(reason), "{frame}");
    }
    let (mut decoder, now) = decoder(16_000);
    assert_eq!(decoder.binary(Bytes::new(), now), None);
    let frame = Bytes::from_static(&[1, 2]);
    let same = decoder.binary(frame.clone(), now);
    assert_eq!(same, Some(ClientEvent::Audio(frame)));
}

#[test]
fn c5_frames_have_their_limit() {
    let config = WebSocketTransportConfig {
        max_audio_frame_bytes: 100,
        max_message_bytes: 50,
        ..WebSocketTransportConfig::default()
    };
    let now = Instant::now();
    let mut decoder = Decoder::new(&config, 16_000, now);
    let fits = Bytes::from(vec![0; 100]);
    let too_long = Bytes::from(vec![0; 102]);
    for (pcm, event) in [
        (&fits, Some(ClientEvent::Audio(fits.clone()))),
        (&too_long, dropped(DropReason::OversizedFrame)),
    ] {
        assert_eq!(decoder.binary(pcm.clone(), now), event);
        assert_eq!(
            decoder.text(&audio(pcm), now),
            event,
            "longer than a message may be"
        );
    }
    let message = json!({"type": "text", "text": "x".repeat(50)}).to_string();
    let long = decoder.text(&message, now);
    let oversized = dropped(DropReason::OversizedMessage { limit: 50 });
    assert_eq!(long, oversized);
    assert_eq!(decoder.text(&"x".repeat(51), now), oversized);
}

#[test]
fn c5_json_has_its_depth() {
    let nested = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"type":"ping","id":{open}{close}}}"#)
    };
    assert!(matches!(text(&nested(31)), Some(ClientEvent::Ping(_))));
    assert_eq!(text(&nested(32)), dropped(DropReason::Undecodable));
    assert_eq!(text(&nested(30_000)), dropped(DropReason::Undecodable));
    let brackets_in_text = json!({"type": "text", "text": "\"[".repeat(99)}).to_string();
    assert!(matches!(
        text(&brackets_in_text),
        Some(ClientEvent::Text(_))
    ));
    // Nothing that stands beside the audio is kept, however deep it is.
    let beside = format!(
        r#"{{"type":"audio","data":"AQI=","x":{}"#,
        "[".repeat(60_000)
    );
    assert_eq!(text(&beside), dropped(DropReason::Undecodable));
}

#[test]
fn c5_audio_may_be_twice_as_fast_as_it_sounds() {
    for rate in [8_000_u32, 16_000, 48_000] {
        let frame = Bytes::from(vec![0; rate as usize / 50 * 2]);
        let passed = |speed: u32, seconds: u32| {
            let (mut decoder, start) = decoder(rate);
            (0..50 * speed * seconds)
                .filter(|i| {
                    let now = start + Duration::from_secs(1) / (50 * speed) * *i;
                    let event = decoder.binary(frame.clone(), now);
                    assert!(
                        matches!(event, Some(ClientEvent::Audio(_)))
                            || event == dropped(DropReason::TooFast)
                    );
                    matches!(event, Some(ClientEvent::Audio(_)))
                })
                .count() as u32
        };
        assert_eq!(passed(1, 60), 50 * 60, "real time passes");
        assert_eq!(passed(2, 60), 50 * 60 * 2, "so does twice that");
        let allowed = 50 * 60 * 2;
        let fast = passed(10, 60);
        assert!(
            (allowed - 4..=allowed).contains(&fast),
            "of ten times real time two pass, in each two seconds: {fast} of {allowed}"
        );
    }
}

#[test]
fn c2_commands_as_frames() {
    let pcm = Bytes::from_static(&[1, 2, 3, 255]);
    let text = |text: &str| Some(OutgoingFrame::Text(text.into()));
    for (command, encoding, frame) in [
        (
            ClientCommand::Audio(pcm.clone()),
            AudioEncoding::Base64,
            text(r#"{"type":"audio","data":"AQID/w=="}"#),
        ),
        (
            ClientCommand::Audio(pcm.clone()),
            AudioEncoding::Binary,
            Some(OutgoingFrame::Binary(pcm)),
        ),
        (
            ClientCommand::Clear,
            AudioEncoding::Binary,
            text(r#"{"type":"clear_audio"}"#),
        ),
        (ClientCommand::EndOfResponse, AudioEncoding::Base64, None),
        (
            ClientCommand::Message(ServerMessage::Reconnected),
            AudioEncoding::Binary,
            text(r#"{"type":"reconnected"}"#),
        ),
    ] {
        assert_eq!(encode(command, encoding), frame);
    }
}

#[test]
fn a_reason_is_cut_at_a_character_to_what_a_close_frame_holds() {
    let OutgoingFrame::Close { code, reason } = close(1000, &"ä".repeat(100)) else {
        panic!("a close frame");
    };
    assert_eq!((code, reason), (1000, "ä".repeat(61)));
}

fn almost_messages() -> impl Strategy<Value = String> {
    let kind = prop_oneof![
        "audio", "text", "message", "mute", "playback", "ping", "end", ".{0,9}"
    ];
    let field = prop_oneof!["data", "text", "muted", "played_ms", "id"];
    let value = prop_oneof![
        "\"[A-Za-z0-9+/]{0,40}={0,3}\"",
        "-?[0-9]{1,400}",
        "-?[0-9]e[0-9]{1,3}",
        "true|false|null",
        "[\\[{]{0,200}",
        ".{0,20}",
    ];
    (kind, field, value)
        .prop_map(|(kind, field, value)| format!(r#"{{"type":"{kind}","{field}":{value}}}"#))
}

proptest! {
    #[test]
    fn x5_no_text_breaks_the_decoder(frames in prop::collection::vec(
        prop_oneof![".*", almost_messages()], 1..20,
    )) {
        let (mut decoder, now) = decoder(16_000);
        for frame in frames {
            if let Some(ClientEvent::Audio(pcm)) = decoder.text(&frame, now) {
                prop_assert!(!pcm.is_empty());
            }
        }
    }

    #[test]
    fn x5_no_bytes_break_the_decoder(frame: Vec<u8>) {
        let (mut decoder, now) = decoder(16_000);
        let length = frame.len();
        match decoder.binary(frame.into(), now) {
            Some(ClientEvent::Audio(pcm)) => prop_assert_eq!(pcm.len(), length),
            event => prop_assert_eq!((event, length), (None, 0)),
        }
    }

    #[test]
    fn a1_audio_survives_the_way_through_base64(samples: Vec<i16>) {
        prop_assume!(!samples.is_empty());
        let pcm: Bytes = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let Some(OutgoingFrame::Text(frame)) =
            encode(ClientCommand::Audio(pcm.clone()), AudioEncoding::Base64)
        else {
            panic!("text");
        };
        prop_assert_eq!(text(&frame), Some(ClientEvent::Audio(pcm)));
    }
}
