//! Server messages in, core events out: frame by frame. What follows from several frames is in
//! `turns.rs`.

use std::{collections::VecDeque, time::Duration};

use roomkit_core::provider::{ProviderErrorKind, ProviderEvent, Usage};
use roomkit_provider_gemini::{GeminiSessionConfig, Redactor, protocol::Decoder};
use serde_json::{Value, json};

use crate::support::{audio_as, decode, decoder, play, told};

const SAMPLES: &str = include_str!("../fixtures/server_events.jsonl");

fn one(frame: &Value) -> Vec<ProviderEvent> {
    decode(&mut decoder(json!({})), frame)
}

#[test]
fn every_sample_reads_by_itself() {
    let expected: [&[&str]; 27] = [
        &[],
        &[],
        &["response", "audio 8"],
        &["response", "audio 8"],
        &["speech", "user says \" hello\""],
        &[],
        &["speech"],
        // Before its answer, or after it: it begins no response.
        &[],
        &["speech"],
        &[],
        &["passed", "usage 812+95"],
        &["response", "incomplete MALFORMED_FUNCTION_CALL"],
        &["passed"],
        &["passed"],
        &["call get_weather"],
        &["cancelled 1"],
        &["go away Some(50s)"],
        &["resumable CihhYmM..."],
        &[],
        &["resumable h"],
        &["speech"],
        &["speech"],
        &["usage 0+25"],
        &["usage 40+7"],
        &["error UNAVAILABLE"],
        &[],
        &["go away None"],
    ];
    assert_eq!(SAMPLES.lines().count(), expected.len());
    for (line, expected) in SAMPLES.lines().zip(expected) {
        let frame: Value = serde_json::from_str(line).unwrap();
        let told: Vec<String> = one(&frame).iter().map(told).collect();
        assert_eq!(told, expected, "{line}");
        // As the vendor writes them: over many lines, in binary frames.
        let pretty = format!("{frame:#}\n");
        let mut events = VecDeque::new();
        decoder(json!({})).decode(pretty.as_bytes(), &mut events);
        assert_eq!(events.len(), expected.len(), "{pretty}");
    }
}

#[test]
fn base64_of_either_alphabet_with_and_without_padding() {
    for data in ["-_8B", "+/8B", "+/8BAA==", "+/8BAA", "-_8BAA", "+/8BAB"] {
        let event = one(&audio_as("audio/pcm;rate=24000", data));
        let ProviderEvent::Audio { pcm, .. } = &event[1] else {
            panic!("{data}: {event:?}")
        };
        // Half a sample is none.
        assert_eq!(&pcm[..2], [0xfb, 0xff], "{data}");
        assert_eq!(pcm.len() % 2, 0, "{data}");
    }
    let escaped = r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio\/pcm","data":"AAABAA\u003d\u003d"}}]}}}"#;
    let mut events = VecDeque::new();
    decoder(json!({})).decode(escaped.as_bytes(), &mut events);
    assert_eq!(told(&events[1]), "audio 4");
    let broken = one(&audio_as("audio/pcm", "!!"));
    assert_eq!(told(&broken[1]), "error protocol");
}

#[test]
fn a2_audio_of_another_kind_is_dropped_and_told_once() {
    for mime_type in ["audio/pcm;rate=16000", "audio/opus", "audio/pcm;rate=fast"] {
        let mut decoder = decoder(json!({}));
        let events = decode(&mut decoder, &audio_as(mime_type, "AAA="));
        let ProviderEvent::Error(error) = &events[1] else {
            panic!("{events:?}")
        };
        assert_eq!(error.kind(), ProviderErrorKind::Protocol);
        assert!(error.message().contains(mime_type), "{error}");
        assert_eq!(decode(&mut decoder, &audio_as(mime_type, "AAA=")), []);
        let good = decode(&mut decoder, &audio_as("audio/pcm; rate=24000", "AAA="));
        assert_eq!(told(&good[0]), "audio 2");
    }
}

#[test]
fn k1_calls_without_an_id_get_one_that_no_other_connection_has() {
    let frame = json!({ "toolCall": { "functionCalls": [
        { "name": "f", "args": { "b": 1, "a": [2] } },
        { "name": "g" },
        { "id": "call-3", "name": "h", "args": null },
    ] } });
    let calls = |events: Vec<ProviderEvent>| -> Vec<(String, String, String)> {
        let calls = events.into_iter().filter_map(|event| match event {
            ProviderEvent::ToolCall {
                call_id,
                name,
                arguments,
            } => Some((call_id.as_str().to_owned(), name, arguments)),
            _ => None,
        });
        calls.collect()
    };
    let first = calls(one(&frame));
    let second = calls(one(&frame));
    assert_eq!(first[0].2, r#"{"a":[2],"b":1}"#);
    assert_eq!((first[1].1.as_str(), first[1].2.as_str()), ("g", "{}"));
    assert_eq!(
        first[2],
        ("call-3".to_owned(), "h".to_owned(), "{}".to_owned())
    );
    let unnamed = first[..2].iter().chain(&second[..2]);
    let mut ids: Vec<&str> = unnamed.map(|call| call.0.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn usage_in_full_under_both_schemes_of_names() {
    let whole = Usage {
        input_tokens: 842,
        output_tokens: 98,
        input_text_tokens: 520,
        input_audio_tokens: 312,
        input_image_tokens: 10,
        cached_tokens: 4,
        cached_text_tokens: 1,
        cached_audio_tokens: 3,
        cached_image_tokens: 0,
        output_text_tokens: 0,
        output_audio_tokens: 95,
        output_thinking_tokens: 3,
    };
    for name in ["response", "candidates"] {
        let frame = json!({ "usageMetadata": {
            "promptTokenCount": "822", format!("{name}TokenCount"): 95, "thoughtsTokenCount": 3,
            "cachedContentTokenCount": 4, "totalTokenCount": 920, "trafficType": "ON_DEMAND",
            "promptTokensDetails": [
                { "modality": "AUDIO", "tokenCount": 312 },
                { "modality": "TEXT", "tokenCount": "500" },
                { "modality": "VIDEO", "tokenCount": 10 },
                { "modality": "SMELL", "tokenCount": 99 },
            ],
            "toolUsePromptTokenCount": 20,
            "toolUsePromptTokensDetails": [{ "modality": "TEXT", "tokenCount": 20 }],
            "cacheTokensDetails": [
                { "modality": "TEXT", "tokenCount": 1 },
                { "modality": "AUDIO", "tokenCount": 3 },
            ],
            format!("{name}TokensDetails"): [{ "modality": "AUDIO", "tokenCount": 95 }],
        } });
        assert_eq!(
            one(&frame),
            [ProviderEvent::Usage(Box::new(whole))],
            "{name}"
        );
    }
    let nothing = json!({ "usageMetadata": { "promptTokenCount": 0 } });
    assert_eq!(one(&nothing), []);
}

#[test]
fn go_away_and_handles_in_all_their_forms() {
    for (left, expected) in [
        (json!("50s"), Some(50_000)),
        (json!("17.250s"), Some(17_250)),
        (json!(9), Some(9_000)),
        (json!("soon"), None),
        (json!(null), None),
    ] {
        let time_left = expected.map(Duration::from_millis);
        let frame = json!({ "goAway": { "timeLeft": left } });
        assert_eq!(one(&frame), [ProviderEvent::GoAway { time_left }]);
    }
    for update in [
        json!({ "newHandle": "h" }),
        json!({ "newHandle": "h", "resumable": false }),
        json!({ "newHandle": "", "resumable": true }),
        json!({ "resumable": true }),
    ] {
        assert_eq!(one(&json!({ "sessionResumptionUpdate": update })), []);
    }
}

#[test]
fn h3_an_error_in_a_frame_is_classified() {
    let frame = json!({ "error": { "code": 400, "status": "INVALID_ARGUMENT",
        "message": "API key not valid. Please pass a valid API key." } });
    let [ProviderEvent::Error(error)] = &one(&frame)[..] else {
        panic!("no error")
    };
    assert_eq!(error.kind(), ProviderErrorKind::Authentication);
    assert_eq!(error.code(), "INVALID_ARGUMENT");
}

#[test]
fn x1_what_cannot_be_read_is_told_without_its_content() {
    for frame in [
        "",
        "secret",
        "[]",
        "null",
        "{\"serverContent\":\"secret\"}",
        "{\"toolCall\":{\"functionCalls\":{\"secret\":1}}}",
        "{\"serverContent\":{\"outputTranscription\":{\"text\":\"secret",
    ] {
        let mut events = VecDeque::new();
        decoder(json!({})).decode(frame.as_bytes(), &mut events);
        let [ProviderEvent::Error(error)] = events.make_contiguous() else {
            panic!("{frame}: {events:?}")
        };
        assert_eq!(error.kind(), ProviderErrorKind::Protocol);
        assert!(!error.message().contains("secret"), "{error}");
    }
    let mut events = VecDeque::new();
    decoder(json!({})).decode(&[0xff, 0xfe, 0x7b], &mut events);
    assert_eq!(events.len(), 1);
}

#[test]
fn what_nobody_has_heard_of_changes_nothing() {
    let frame = json!({ "novelty": { "a": [1, null] }, "serverContent": {
        "novelty": 1, "interrupted": null, "turnComplete": "true",
        "modelTurn": { "novelty": {}, "parts": [
            { "novelty": 1, "inlineData": { "novelty": 1, "data": "AAA=" } },
            { "inlineData": { "mimeType": "image/png", "data": "AAA=" } },
        ] } } });
    let told = play(&mut decoder(json!({})), &[frame]);
    assert_eq!(told, ["response", "audio 2", "error protocol", "completed"]);
}

#[test]
fn x1_a_secret_that_the_vendor_repeats_is_taken_out() {
    let redactor = Redactor::new(vec!["AIzaSecretKey0123".to_owned().into()]);
    let mut decoder = Decoder::new(&GeminiSessionConfig::default(), redactor);
    let frame = json!({ "error": { "message": "bad key AIzaSecretKey0123!" } });
    let events = decode(&mut decoder, &frame);
    assert!(!format!("{events:?}").contains("SecretKey"), "{events:?}");
}
