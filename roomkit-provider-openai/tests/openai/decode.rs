//! Server events in, core events out.

use std::time::Duration;

use roomkit_core::{
    id::{ItemId, ResponseId},
    provider::{
        ProviderCommand, ProviderErrorKind, ProviderEvent, ResponseStatus, Role, SessionSetup,
        TranscriptionUsage, Usage,
    },
};
use roomkit_provider_openai::{
    AudioCodec, Dialect, OpenAISessionConfig, Redactor,
    protocol::{Decoder, Encoder},
};
use serde_json::json;

use crate::support::{decode, decode_with, decoder};

const SAMPLES: &str = include_str!("../fixtures/server_events.jsonl");

/// The sample with that `event_id`.
fn sample(event_id: &str) -> &'static str {
    let id = format!("\"event_id\":\"{event_id}\"");
    SAMPLES.lines().find(|line| line.contains(&id)).unwrap()
}

fn words(role: Role, item: &str, text: &str, is_final: bool) -> ProviderEvent {
    ProviderEvent::Transcript {
        role,
        item_id: Some(item.into()),
        text: text.into(),
        is_final,
    }
}

#[test]
fn every_sample_reads_and_most_mean_nothing_more() {
    let silent = [
        "event_1", "event_4", "event_5", "event_10", "event_11", "event_14", "event_18",
        "event_22", "event_19", "event_20", "event_21", "event_27", "event_28", "event_29",
        "event_30", "event_31", "event_32", "event_33", "event_34", "event_35", "event_36",
        "event_37", "event_38", "event_39", "event_40",
    ];
    let mut decoder = decoder();
    for line in SAMPLES.lines() {
        let frame: serde_json::Value = serde_json::from_str(line).unwrap();
        let events = decode_with(&mut decoder, line);
        let is_silent = silent.contains(&frame["event_id"].as_str().unwrap());
        assert_eq!(events.is_empty(), is_silent, "{line}: {events:?}");
        assert!(!matches!(&events[..], [ProviderEvent::Error(_)]), "{line}");
    }
}

#[test]
fn speech() {
    assert_eq!(
        decode(sample("event_2")),
        [ProviderEvent::SpeechStarted {
            item_id: Some("item_u1".into())
        }]
    );
    assert_eq!(
        decode(sample("event_3")),
        [ProviderEvent::SpeechStopped {
            item_id: Some("item_u1".into())
        }]
    );
    assert_eq!(
        decode(r#"{"type":"input_audio_buffer.speech_started","item_id":null}"#),
        [ProviderEvent::SpeechStarted { item_id: None }]
    );
}

#[test]
fn words_of_the_user() {
    assert_eq!(
        decode(sample("event_6")),
        [words(Role::User, "item_u1", "Hello", false)]
    );
    assert_eq!(
        decode(sample("event_7")),
        [
            words(Role::User, "item_u1", "Hello there.", true),
            ProviderEvent::TranscriptionUsage(TranscriptionUsage {
                input_tokens: 16,
                output_tokens: 8,
                input_audio_tokens: 16,
                ..TranscriptionUsage::default()
            }),
        ]
    );
    // Charged by duration, and nothing understood: a final all the same.
    assert_eq!(
        decode(sample("event_7b")),
        [
            words(Role::User, "item_u1", "", true),
            ProviderEvent::TranscriptionUsage(TranscriptionUsage {
                audio: Duration::from_secs(2),
                ..TranscriptionUsage::default()
            }),
        ]
    );
    assert_eq!(
        decode(sample("event_8")),
        [ProviderEvent::TranscriptFailed {
            item_id: Some("item_u1".into()),
            message: "The audio could not be transcribed. (audio_unintelligible)".into(),
        }]
    );
    assert_eq!(
        decode(
            r#"{"type":"conversation.item.input_audio_transcription.segment","item_id":"i","id":"s","text":"One.","speaker":"A","start":0.1,"end":1.5}"#
        ),
        [words(Role::User, "i", "One.", false)]
    );
}

#[test]
fn words_of_the_answer_in_both_dialects() {
    assert_eq!(
        decode(sample("event_12")),
        [words(Role::Assistant, "item_a1", "Hi", false)]
    );
    assert_eq!(
        decode(sample("event_15")),
        [words(
            Role::Assistant,
            "item_a1",
            "Hi, how can I help?",
            true
        )]
    );
    assert_eq!(
        decode(sample("event_16")),
        [words(Role::Assistant, "item_a2", "Hi", false)]
    );
    assert_eq!(
        decode(sample("event_17")),
        [words(Role::Assistant, "item_a2", "Hi there", true)]
    );
    for event in ["event_12", "event_15", "event_16", "event_17"] {
        let beta = sample(event).replace("response.output_", "response.");
        assert_eq!(decode(&beta), decode(sample(event)));
    }
    let escaped =
        r#"{"type":"response.output_text.delta","item_id":"i","delta":"say \"hi\"\n\u00e9"}"#;
    assert_eq!(
        decode(escaped),
        [words(Role::Assistant, "i", "say \"hi\"\n\u{e9}", false)]
    );
}

#[test]
fn audio_in_both_dialects() {
    let expected = [ProviderEvent::Audio {
        response_id: Some("resp_1".into()),
        item_id: Some("item_a1".into()),
        content_index: 0,
        pcm: vec![0, 0, 1, 0, 2, 0, 3, 0].into(),
    }];
    let frame = sample("event_13");
    assert_eq!(decode(frame), expected);
    assert_eq!(decode(&frame.replace("output_audio", "audio")), expected);
    assert_eq!(
        decode(&frame.replace("AwA=", "AwA")),
        expected,
        "without padding"
    );
    assert_eq!(decode(&frame.replace("AAABAAIAAwA=", "")), []);
}

#[test]
fn audio_is_the_same_however_its_frame_is_written() {
    let audio = |frame: &str| match &decode(frame)[..] {
        [ProviderEvent::Audio { item_id, pcm, .. }] => (item_id.clone(), pcm.to_vec()),
        events => panic!("{frame}: {events:?}"),
    };
    let expected = (Some(ItemId::from("item")), vec![0, 1, 2, 3]);
    for fields in [
        r#""item_id":"item","delta":"AAECAw==""#,
        r#""delta": "AAECAw==", "item_id": "item""#,
        r#""delta":"AA\u0045CAw\u003d=","item_id":"item""#,
        r#""x":{"delta":"////"},"delta":"AAECAw==","item_id":"item""#,
        r#""delta":"AAECAw==","item_id":"item","x":[{"delta":""}]"#,
        r#""x":"\"delta\":\"////\"","y":"delta","delta":"AAECAw==","item_id":"item""#,
    ] {
        let frame = format!(r#"{{"type":"response.output_audio.delta",{fields}}}"#);
        assert_eq!(audio(&frame), expected, "{frame}");
    }
    for nothing in [
        r#""x":{"delta":"////"}"#,
        r#""delta":"""#,
        r#""delta":null"#,
    ] {
        let frame = format!(r#"{{"type":"response.output_audio.delta",{nothing}}}"#);
        assert!(decode(&frame).is_empty(), "{frame}");
    }
}

#[test]
fn each_frame_of_audio_is_of_its_own_response_and_item() {
    let mut decoder = decoder();
    for ids in [
        (Some("r1"), Some("i1")),
        (Some("r1"), Some("i1")),
        (Some("r1"), Some("i2")),
        (None, Some("i2")),
        (Some("r2"), None),
        (None, None),
        (Some("r1"), Some("i1")),
    ] {
        let frame = json!({
            "type": "response.output_audio.delta",
            "response_id": ids.0,
            "item_id": ids.1,
            "delta": "AAA=",
        });
        let [
            ProviderEvent::Audio {
                response_id,
                item_id,
                ..
            },
        ] = &decode_with(&mut decoder, &frame.to_string())[..]
        else {
            panic!("not audio");
        };
        let of = (
            response_id.as_ref().map(ResponseId::as_str),
            item_id.as_ref().map(ItemId::as_str),
        );
        assert_eq!(of, ids);
    }
}

#[test]
fn audio_of_the_telephone_becomes_pcm() {
    for (codec, silence) in [(AudioCodec::Pcmu, "/w=="), (AudioCodec::Pcma, "1Q==")] {
        let mut decoder = Decoder::new(Dialect::OpenAI, codec, Redactor::default());
        // Some encoders escape the slash.
        let delta = silence.replace('/', "\\/");
        let frame = format!(r#"{{"type":"response.output_audio.delta","delta":"{delta}"}}"#);
        let [
            ProviderEvent::Audio {
                pcm,
                response_id: None,
                ..
            },
        ] = &decode_with(&mut decoder, &frame)[..]
        else {
            panic!("not audio");
        };
        let sample = i16::from_le_bytes([pcm[0], pcm[1]]);
        assert_eq!((pcm.len(), sample.abs() <= 8), (2, true));
    }
}

#[test]
fn responses() {
    assert_eq!(
        decode(sample("event_9")),
        [ProviderEvent::ResponseStarted {
            response_id: Some("resp_1".into())
        }]
    );
    let ended = |id: &str, status, usage| ProviderEvent::ResponseEnded {
        response_id: Some(id.into()),
        status,
        usage: Option::map(usage, Box::new),
    };
    let usage = Usage {
        input_tokens: 132,
        output_tokens: 121,
        input_text_tokens: 119,
        input_audio_tokens: 13,
        input_image_tokens: 0,
        cached_tokens: 64,
        cached_text_tokens: 64,
        output_text_tokens: 30,
        output_audio_tokens: 91,
        ..Usage::default()
    };
    assert_eq!(
        decode(sample("event_23")),
        [ended("resp_1", ResponseStatus::Completed, Some(usage))]
    );
    assert_eq!(
        decode(sample("event_24")),
        [ended("resp_4", ResponseStatus::Cancelled, None)]
    );
    assert_eq!(
        decode(sample("event_25")),
        [ended(
            "resp_5",
            ResponseStatus::Incomplete("max_output_tokens".into()),
            None
        )]
    );
    let [
        ProviderEvent::ResponseEnded {
            status: ResponseStatus::Failed(error),
            ..
        },
    ] = &decode(sample("event_26"))[..]
    else {
        panic!("not failed");
    };
    assert_eq!(
        (error.kind(), error.code()),
        (ProviderErrorKind::Quota, "insufficient_quota")
    );
}

#[test]
fn endings_in_other_spellings() {
    let status = |response: serde_json::Value| {
        let frame = json!({ "type": "response.done", "response": response }).to_string();
        match decode(&frame).pop().unwrap() {
            ProviderEvent::ResponseEnded { status, .. } => status,
            other => panic!("{other:?}"),
        }
    };
    let table = [
        (json!(null), ResponseStatus::Completed),
        (json!({}), ResponseStatus::Completed),
        (
            json!({ "status": "completed", "status_details": null, "usage": null, "id": null }),
            ResponseStatus::Completed,
        ),
        (
            json!({ "status": "cancelled", "status_details": "client_cancelled" }),
            ResponseStatus::Cancelled,
        ),
        (
            json!({ "status": "incomplete", "status_details": "turn_detected" }),
            ResponseStatus::Cancelled,
        ),
        (
            json!({ "status": "incomplete", "status_details": { "reason": "turn_detected" } }),
            ResponseStatus::Cancelled,
        ),
        (
            json!({ "status": "incomplete", "status_details": 7 }),
            ResponseStatus::Incomplete("7".into()),
        ),
    ];
    for (response, expected) in table {
        assert_eq!(status(response.clone()), expected, "{response}");
    }
    let failed = status(json!({ "status": "failed", "status_details": null }));
    assert!(matches!(failed, ResponseStatus::Failed(error) if error.is_retryable()));
}

#[test]
fn responses_outside_the_conversation_are_not_heard() {
    let setup = SessionSetup::new("s".into());
    let defaults = OpenAISessionConfig::default();
    let mut encoder = Encoder::new(Dialect::OpenAI, &defaults, &setup).unwrap();
    let mut decoder = encoder.decoder(Redactor::default());
    let ask = json!({ "type": "response.create", "response": { "conversation": "none" } });
    encoder.encode(&ProviderCommand::Raw(ask)).unwrap();
    let mut decode = |frame: serde_json::Value| decode_with(&mut decoder, &frame.to_string());
    let response = json!({ "id": "aside", "conversation_id": null, "metadata": { "topic": "x" } });
    assert_eq!(
        decode(json!({ "type": "response.created", "response": response })),
        []
    );
    for event in [
        json!({ "type": "response.output_audio.delta", "response_id": "aside", "delta": "AAA=" }),
        json!({ "type": "response.output_text.delta", "response_id": "aside", "delta": "x" }),
        json!({ "type": "response.output_text.done", "response_id": "aside", "text": "x" }),
        json!({ "type": "response.function_call_arguments.done", "response_id": "aside",
                "call_id": "c", "name": "f", "arguments": "{}" }),
        json!({ "type": "response.output_item.done", "response_id": "aside",
                "item": { "type": "function_call", "call_id": "c", "status": "completed" } }),
    ] {
        assert_eq!(decode(event.clone()), [], "{event}");
    }
    assert_eq!(
        decode(json!({ "type": "response.done",
                       "response": { "id": "aside", "usage": { "input_tokens": 3 } } })),
        [ProviderEvent::Usage(Box::new(Usage {
            input_tokens: 3,
            ..Usage::default()
        }))]
    );
    assert_eq!(
        decode(json!({ "type": "response.created", "response": { "id": "main" } })),
        [ProviderEvent::ResponseStarted {
            response_id: Some("main".into())
        }]
    );
}

#[test]
fn t6_a_server_that_names_no_conversation_is_heard() {
    let started = r#"{"type":"response.created","response":{"id":"r","conversation_id":null}}"#;
    let response_id = Some("r".into());
    assert_eq!(
        decode(started),
        [ProviderEvent::ResponseStarted { response_id }]
    );
}

fn call(call_id: &str, name: &str, arguments: &str) -> ProviderEvent {
    ProviderEvent::ToolCall {
        call_id: call_id.into(),
        name: name.into(),
        arguments: arguments.into(),
    }
}

#[test]
fn k1_a_function_call_is_reported_once() {
    let mut decoder = decoder();
    let expected = [call("call_1", "get_weather", r#"{"city":"Oslo"}"#)];
    assert_eq!(decode_with(&mut decoder, sample("event_22")), []);
    let item_done = r#"{"type":"response.output_item.done","response_id":"resp_3","item":{"id":"item_f1","type":"function_call","status":"completed","call_id":"call_1","name":"get_weather","arguments":"{\"city\":\"Oslo\"}"}}"#;
    assert_eq!(decode_with(&mut decoder, item_done), expected);
    assert_eq!(decode_with(&mut decoder, item_done), []);
    assert_eq!(decode(item_done), expected, "where only this one comes");
    let done = response_done("completed");
    assert_eq!(
        decode_with(&mut decoder, &done),
        [ended(ResponseStatus::Completed)]
    );
}

fn response_done(status: &str) -> String {
    json!({ "type": "response.done", "response": { "id": "resp_3", "status": status } }).to_string()
}

fn ended(status: ResponseStatus) -> ProviderEvent {
    ProviderEvent::ResponseEnded {
        response_id: Some("resp_3".into()),
        status,
        usage: None,
    }
}

#[test]
fn k1_a_function_call_may_end_with_its_arguments_alone() {
    let mut decoder = decoder();
    assert_eq!(decode_with(&mut decoder, sample("event_22")), []);
    let expected = [
        call("call_1", "get_weather", r#"{"city":"Oslo"}"#),
        ended(ResponseStatus::Completed),
    ];
    let done = response_done("completed");
    assert_eq!(decode_with(&mut decoder, &done), expected);
    assert_eq!(decode_with(&mut decoder, &done), expected[1..]);
}

#[test]
fn k1_a_function_call_whose_response_is_cancelled_is_none() {
    let item = json!({ "type": "response.output_item.done", "item": { "id": "item_f1",
        "type": "function_call", "status": "incomplete", "call_id": "call_1",
        "name": "get_weather", "arguments": "" } })
    .to_string();
    for told in [&[&item[..]][..], &[]] {
        let mut decoder = decoder();
        // The vendor ends the arguments of such a call, too.
        assert_eq!(decode_with(&mut decoder, sample("event_22")), []);
        for frame in told {
            assert_eq!(decode_with(&mut decoder, frame), []);
        }
        assert_eq!(
            decode_with(&mut decoder, &response_done("cancelled")),
            [ended(ResponseStatus::Cancelled)]
        );
        assert_eq!(
            decode_with(&mut decoder, &response_done("completed")),
            [ended(ResponseStatus::Completed)]
        );
    }
}

#[test]
fn k1_an_interrupted_function_call_is_none() {
    for status in ["incomplete", "in_progress"] {
        let frame = json!({ "type": "response.output_item.done", "item": {
            "type": "function_call", "status": status, "call_id": "c", "name": "f",
            "arguments": "{\"ci" } });
        assert_eq!(decode(&frame.to_string()), []);
    }
}

#[test]
fn a_function_call_is_named_by_its_announcement() {
    let mut decoder = decoder();
    let added = json!({ "type": "response.output_item.added", "item": { "id": "item_f1",
        "type": "function_call", "status": "in_progress", "call_id": "call_1", "name": "f",
        "arguments": "" } });
    assert_eq!(decode_with(&mut decoder, &added.to_string()), []);
    let done = json!({ "type": "response.function_call_arguments.done", "item_id": "item_f1",
        "arguments": "{}" });
    assert_eq!(decode_with(&mut decoder, &done.to_string()), []);
    assert_eq!(
        decode_with(&mut decoder, &response_done("completed"))[0],
        call("call_1", "f", "{}")
    );
}

#[test]
fn errors() {
    assert_eq!(decode(sample("event_41")), [ProviderEvent::ResponseRefused]);
    let error =
        |body: serde_json::Value| decode(&json!({ "type": "error", "error": body }).to_string());
    for benign in [
        json!({ "code": "response_cancel_not_active" }),
        json!({ "code": "input_audio_buffer_commit_empty" }),
        json!({ "code": "invalid_value", "param": "audio_end_ms" }),
        json!({ "code": "item_truncate_invalid_item_id" }),
        json!({ "code": "item_delete_invalid_item_id" }),
        json!({ "code": null, "message": "Only model output audio messages can be truncated" }),
        json!({ "message": "Cancellation failed: no active response found" }),
    ] {
        assert_eq!(error(benign.clone()), [], "{benign}");
    }
    let running =
        json!({ "message": "Conversation already has an active response in progress: r." });
    assert_eq!(error(running), [ProviderEvent::ResponseRefused]);
    let [ProviderEvent::Error(voice)] = &error(json!({
        "type": "invalid_request_error", "code": "cannot_update_voice", "param": null,
        "message": "Cannot update a conversation's voice if assistant audio is present." }))[..]
    else {
        panic!("no error");
    };
    assert_eq!(
        (voice.kind(), voice.code()),
        (ProviderErrorKind::InvalidRequest, "cannot_update_voice")
    );
    let [ProviderEvent::Error(expired)] = &error(json!({ "code": "session_expired" }))[..] else {
        panic!("no error");
    };
    assert_eq!(expired.kind(), ProviderErrorKind::SessionExpired);
    assert_eq!(decode(r#"{"type":"error"}"#).len(), 1);
}

#[test]
fn an_update_is_confirmed() {
    let updated = sample("event_1").replace("session.created", "session.updated");
    assert_eq!(decode(&updated), [ProviderEvent::Updated]);
}

#[test]
fn what_is_unknown_is_passed_over_and_what_is_broken_is_told_without_its_content() {
    assert_eq!(
        decode(r#"{"type":"response.telepathy.delta","delta":{"secret":[1]}}"#),
        []
    );
    assert_eq!(
        decode(r#"{"event_id":"e","type":"session.updated"}"#),
        [ProviderEvent::Updated]
    );
    assert_eq!(decode("{}"), []);
    for broken in [
        "",
        "secret",
        r#"{"type":"response.done","response":"secret""#,
        r#"{"type":"response.done","response":"secret"}"#,
        r#"{"type":"response.output_audio.delta","delta":"s.e.c.r.e.t"}"#,
        r#"{"type":"response.function_call_arguments.done","arguments":"secret"}"#,
    ] {
        let [ProviderEvent::Error(error)] = &decode(broken)[..] else {
            panic!("{broken}");
        };
        assert_eq!(error.kind(), ProviderErrorKind::Protocol, "{broken}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn s5_a_change_that_is_refused_is_known_by_its_id() {
    let error = |event_id: &str| {
        let frame = json!({"type": "error", "event_id": "event_1", "error": {
            "type": "invalid_request_error", "code": "cannot_update_voice",
            "message": "Cannot update a conversation's voice if assistant audio is present.",
            "event_id": event_id}});
        decode(&frame.to_string()).remove(0)
    };
    let ProviderEvent::UpdateRefused(refusal) = error("update_3") else {
        panic!("it is the refusal of a change");
    };
    assert_eq!(refusal.code(), "cannot_update_voice");
    assert!(matches!(error("respond_3"), ProviderEvent::Error(_)));
}
