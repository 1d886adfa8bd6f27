//! Fields that are null, and failures that are told in more than one way.

use roomkit_core::provider::{ProviderErrorKind, ProviderEvent, ResponseStatus, Role, Usage};

use crate::support::decode;

#[test]
fn every_field_may_be_null() {
    let silent = [
        r#"{"type":"session.created","session":null}"#,
        r#"{"type":"conversation.created","conversation":null}"#,
        r#"{"type":"conversation.item.added","item":null,"previous_item_id":null}"#,
        r#"{"type":"response.output_item.added","item":null}"#,
        r#"{"type":"response.output_item.done","response_id":null,"item":null}"#,
        r#"{"type":"response.output_audio.delta","delta":null,"item_id":null}"#,
        r#"{"type":"response.output_audio_transcript.delta","delta":null}"#,
        r#"{"type":"response.output_audio_transcript.done","transcript":null}"#,
        r#"{"type":"conversation.item.input_audio_transcription.delta","delta":null}"#,
        r#"{"type":"rate_limits.updated","rate_limits":null}"#,
    ];
    for frame in silent {
        assert_eq!(decode(frame), [], "{frame}");
    }
    let updated = r#"{"type":"session.updated","session":{"tracing":null,"prompt":null,
        "audio":{"input":{"turn_detection":null,"transcription":null}}}}"#;
    assert_eq!(decode(updated), [ProviderEvent::Updated]);
    let done = r#"{"type":"response.done","response":{"id":null,"status":null,
        "status_details":null,"output":null,"usage":null,"metadata":null,"conversation_id":"c"}}"#;
    let ended = ProviderEvent::ResponseEnded {
        response_id: None,
        status: ResponseStatus::Completed,
        usage: None,
    };
    assert_eq!(decode(done), [ended]);
    let completed = r#"{"type":"conversation.item.input_audio_transcription.completed",
        "item_id":"i","content_index":null,"transcript":null,"usage":null,"logprobs":null}"#;
    let nothing_said = ProviderEvent::Transcript {
        role: Role::User,
        item_id: Some("i".into()),
        text: String::new(),
        is_final: true,
    };
    assert_eq!(decode(completed), [nothing_said]);
    for error in [
        r#"{"type":"error","error":null}"#,
        r#"{"type":"error","error":{"type":null,"code":null,"message":null,"param":null,
            "event_id":null}}"#,
        r#"{"type":"error","error":{"type":"server_error","code":null}}"#,
    ] {
        let events = decode(error);
        let [ProviderEvent::Error(error)] = &events[..] else {
            panic!("{events:?}");
        };
        assert_eq!(error.kind(), ProviderErrorKind::Server);
    }
}

#[test]
fn t6_a_length_of_another_type_hides_no_transcript() {
    for (seconds, expected) in [
        ("2", Some(2_000)),
        ("2.5", Some(2_500)),
        (r#""2""#, Some(2_000)),
        ("-1", None),
        ("1e300", None),
        (r#""none""#, None),
        ("{}", None),
        ("null", None),
    ] {
        let frame = format!(
            r#"{{"type":"conversation.item.input_audio_transcription.completed","transcript":"x",
                "usage":{{"type":"duration","seconds":{seconds}}}}}"#
        );
        let events = decode(&frame);
        assert!(matches!(events[0], ProviderEvent::Transcript { .. }));
        let told = events[1..].first().map(|event| match event {
            ProviderEvent::TranscriptionUsage(usage) => usage.audio.as_millis(),
            other => panic!("{other:?}"),
        });
        assert_eq!(told, expected, "{seconds}");
    }
}

#[test]
fn t6_a_count_of_another_type_hides_no_end() {
    let one = Usage {
        input_tokens: 132,
        output_tokens: 7,
        input_text_tokens: 119,
        ..Usage::default()
    };
    let input = Usage {
        input_tokens: 132,
        ..Usage::default()
    };
    for (usage, expected) in [
        (
            r#"{"input_tokens":132.0,"output_tokens":"7","input_token_details":{"text_tokens":119.0}}"#,
            Some(one),
        ),
        (
            r#"{"input_tokens":132,"output_tokens":true,"input_token_details":"none"}"#,
            Some(input),
        ),
        (r#"{"input_tokens":{},"output_tokens":[]}"#, None),
        (r#""none""#, None),
    ] {
        let frame =
            format!(r#"{{"type":"response.done","response":{{"id":"r","usage":{usage}}}}}"#);
        let ended = ProviderEvent::ResponseEnded {
            response_id: Some("r".into()),
            status: ResponseStatus::Completed,
            usage: expected.map(Box::new),
        };
        assert_eq!(decode(&frame), [ended], "{usage}");
    }
    for index in ["1.0", r#""1""#] {
        let frame = format!(
            r#"{{"type":"response.output_audio.delta","content_index":{index},"delta":"AAA="}}"#
        );
        let events = decode(&frame);
        assert!(
            matches!(
                events[..],
                [ProviderEvent::Audio {
                    content_index: 1,
                    ..
                }]
            ),
            "{events:?}"
        );
    }
}

#[test]
fn h3_an_error_may_be_a_mere_string() {
    let events = decode(r#"{"type":"error","error":"The model is \"gone\"."}"#);
    let [ProviderEvent::Error(error)] = &events[..] else {
        panic!("{events:?}");
    };
    assert!(error.to_string().contains("The model is \"gone\"."));
    assert_eq!(error.kind(), ProviderErrorKind::Server);
}

#[test]
fn h3_a_response_that_fails_for_want_of_money_is_fatal() {
    for details in [
        r#"{"type":"failed","error":{"type":"insufficient_quota","code":"insufficient_quota"}}"#,
        r#"{"type":"failed","error":{"type":"insufficient_quota","code":null,"message":null}}"#,
        r#"{"type":"failed","error":{"type":null,"code":null,
            "message":"You exceeded your current quota, please check your plan."}}"#,
        r#""You exceeded your current quota, please check your plan.""#,
    ] {
        let frame = format!(
            r#"{{"type":"response.done","response":{{"id":"r","status":"failed","status_details":{details},"output":[]}}}}"#
        );
        let events = decode(&frame);
        let [
            ProviderEvent::ResponseEnded {
                status: ResponseStatus::Failed(error),
                ..
            },
        ] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!(error.kind(), ProviderErrorKind::Quota, "{details}");
        assert!(!error.is_retryable());
    }
}
