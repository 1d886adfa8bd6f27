//! Commands in, exact JSON out.

use std::{collections::VecDeque, time::Duration};

use roomkit_core::{
    provider::{
        ProviderCommand, ProviderErrorKind, ProviderEvent, Role, SessionSetup, SessionUpdate,
    },
    tool::ToolDefinition,
};
use roomkit_dial::Redactor;
use roomkit_provider_openai::{
    Dialect, OpenAISessionConfig,
    protocol::{Decoder, Encoder},
};
use serde_json::{Value, json};

use crate::support::map;

fn setup(provider_config: Value) -> SessionSetup {
    let mut setup = SessionSetup::new("session".into());
    setup.provider_config = map(provider_config);
    setup
}

fn encoder(provider_config: Value) -> Encoder {
    Encoder::new(
        Dialect::OpenAI,
        &OpenAISessionConfig::default(),
        &setup(provider_config),
    )
    .unwrap()
}

fn json_of(encoder: &mut Encoder, command: &ProviderCommand) -> Value {
    serde_json::from_str(&encoder.encode(command).unwrap().unwrap()).unwrap()
}

fn encode(command: &ProviderCommand) -> Value {
    json_of(&mut encoder(json!({})), command)
}

fn setup_frame(setup: &SessionSetup, model: Option<&str>) -> Value {
    let mut encoder =
        Encoder::new(Dialect::OpenAI, &OpenAISessionConfig::default(), setup).unwrap();
    serde_json::from_str(&encoder.setup(setup, model).unwrap()).unwrap()
}

#[test]
fn audio_is_written_byte_for_byte() {
    let audio = ProviderCommand::Audio(vec![0, 0, 1, 0, 2, 0, 3, 0].into());
    assert_eq!(
        encoder(json!({})).encode(&audio).unwrap().unwrap(),
        r#"{"type":"input_audio_buffer.append","audio":"AAABAAIAAwA="}"#
    );
    assert_eq!(
        encoder(json!({ "codec": "pcmu" }))
            .encode(&audio)
            .unwrap()
            .unwrap(),
        r#"{"type":"input_audio_buffer.append","audio":"/////w=="}"#
    );
    assert_eq!(
        encoder(json!({ "input_codec": "pcma" }))
            .encode(&audio)
            .unwrap()
            .unwrap(),
        r#"{"type":"input_audio_buffer.append","audio":"1dXV1Q=="}"#
    );
    let nothing = ProviderCommand::Audio(vec![].into());
    assert_eq!(encoder(json!({})).encode(&nothing).unwrap(), None);
}

#[test]
fn text_has_the_content_type_of_its_role() {
    for (role, name, content) in [
        (Role::User, "user", "input_text"),
        (Role::System, "system", "input_text"),
        (Role::Assistant, "assistant", "output_text"),
    ] {
        let command = ProviderCommand::Text {
            role,
            text: "say \"hi\"".into(),
            respond: false,
        };
        assert_eq!(
            encode(&command),
            json!({ "type": "conversation.item.create", "item": { "type": "message", "role": name,
                "content": [{ "type": content, "text": "say \"hi\"" }] } })
        );
    }
}

#[test]
fn an_image_that_the_vendor_does_not_take_is_refused() {
    for (mime_type, data, problem) in [
        ("image/heic", vec![1], "the image is `image/heic`"),
        ("", vec![1], "the image is ``"),
        ("image/png", vec![], "the image is empty"),
    ] {
        let refused = encoder(json!({})).encode(&ProviderCommand::Image {
            mime_type: mime_type.into(),
            data: data.into(),
            prompt: None,
            respond: false,
        });
        let error = refused.unwrap_err();
        assert_eq!(error.kind(), ProviderErrorKind::InvalidRequest);
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[test]
fn an_image_and_its_question_are_one_item() {
    let image = |prompt: Option<&str>| ProviderCommand::Image {
        mime_type: "image/png".into(),
        data: vec![0x89, 0x50, 0x4E, 0x47].into(),
        prompt: prompt.map(Into::into),
        respond: false,
    };
    assert_eq!(
        json_of(
            &mut encoder(json!({ "image_detail": "high" })),
            &image(Some("What is it?"))
        ),
        json!({ "type": "conversation.item.create", "item": { "type": "message", "role": "user",
            "content": [
                { "type": "input_text", "text": "What is it?" },
                { "type": "input_image", "image_url": "data:image/png;base64,iVBORw==",
                  "detail": "high" },
            ] } })
    );
    assert_eq!(
        encode(&image(None))["item"]["content"],
        json!([{ "type": "input_image", "image_url": "data:image/png;base64,iVBORw==" }])
    );
}

#[test]
fn the_small_commands() {
    let tool_result = ProviderCommand::ToolResult {
        call_id: "call_1".into(),
        name: "get_weather".into(),
        output: r#"{"temp_c":3}"#.into(),
        is_error: false,
    };
    assert_eq!(
        encode(&tool_result),
        json!({ "type": "conversation.item.create", "item": {
            "type": "function_call_output", "call_id": "call_1", "output": "{\"temp_c\":3}" } })
    );
    assert_eq!(
        encode(&ProviderCommand::CancelResponse),
        json!({ "type": "response.cancel" })
    );
    assert_eq!(
        encode(&ProviderCommand::ActivityEnd),
        json!({ "type": "input_audio_buffer.commit" })
    );
    let raw = json!({ "type": "input_audio_buffer.clear", "event_id": "mine" });
    assert_eq!(encode(&ProviderCommand::Raw(raw.clone())), raw);
    let start = encoder(json!({})).encode(&ProviderCommand::ActivityStart);
    assert_eq!(start.unwrap(), None, "the vendor hears it by itself");
    let mut told = encoder(json!({ "turn_detection": null }));
    assert_eq!(
        json_of(&mut told, &ProviderCommand::ActivityStart),
        json!({ "type": "input_audio_buffer.clear" })
    );
}

#[test]
fn each_response_is_asked_for_under_its_own_id() {
    let mut encoder = encoder(json!({}));
    let first = json_of(&mut encoder, &ProviderCommand::Respond);
    let second = json_of(&mut encoder, &ProviderCommand::Respond);
    assert_eq!(first["type"], "response.create");
    assert_eq!(first.as_object().unwrap().len(), 2);
    assert_ne!(first["event_id"], second["event_id"]);
    assert!(first["event_id"].as_str().unwrap().starts_with("respond_"));
}

#[test]
fn a4_truncation_is_in_whole_milliseconds_of_what_was_heard() {
    let truncate = |content_index, heard| ProviderCommand::Truncate {
        item_id: "item_1".into(),
        content_index,
        heard: Duration::from_micros(heard),
    };
    assert_eq!(
        encode(&truncate(1, 1_480_900)),
        json!({ "type": "conversation.item.truncate", "item_id": "item_1", "content_index": 1,
            "audio_end_ms": 1480 })
    );
    assert_eq!(
        encode(&truncate(0, 400)),
        json!({ "type": "conversation.item.delete", "item_id": "item_1" })
    );
    // What comes before a later part was heard, and stays.
    assert_eq!(
        encode(&truncate(1, 0)),
        json!({ "type": "conversation.item.truncate", "item_id": "item_1", "content_index": 1,
            "audio_end_ms": 1 })
    );
}

#[test]
fn a_plain_session_says_what_must_not_be_left_to_the_vendor() {
    assert_eq!(
        setup_frame(&setup(json!({})), None),
        json!({ "type": "session.update", "event_id": "update_1", "session": {
            "type": "realtime",
            "audio": {
                "input": {
                    "format": { "type": "audio/pcm", "rate": 24000 },
                    "noise_reduction": { "type": "far_field" },
                    "transcription": { "model": "gpt-4o-mini-transcribe" },
                    "turn_detection": { "type": "semantic_vad" },
                },
                "output": { "format": { "type": "audio/pcm", "rate": 24000 } },
            },
            "tools": [],
        } })
    );
    let off = setup(json!({ "turn_detection": null, "transcription": "off",
        "noise_reduction": false }));
    let input = &setup_frame(&off, None)["session"]["audio"]["input"];
    assert_eq!(
        *input,
        json!({ "format": { "type": "audio/pcm", "rate": 24000 },
            "turn_detection": null, "transcription": null, "noise_reduction": null })
    );
}

#[test]
fn a_full_session_has_every_field_in_its_place() {
    let mut setup = setup(json!({
        "voice": "alloy",
        "speed": 1.1,
        "turn_detection": { "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300,
            "silence_duration_ms": 500, "idle_timeout_ms": 6000, "create_response": true,
            "interrupt_response": false },
        "transcription": { "model": "gpt-4o-transcribe", "language": "fr", "prompt": "Foo" },
        "noise_reduction": { "type": "near_field" },
        "tool_choice": { "type": "function", "name": "f" },
        "parallel_tool_calls": false,
        "max_output_tokens": "inf",
        "truncation": { "type": "retention_ratio", "retention_ratio": 0.8,
            "token_limits": { "post_instructions": 20000 } },
        "prompt": { "id": "pmpt_1", "version": "2", "variables": { "name": "Ann" } },
        "tracing": { "workflow_name": "calls" },
        "reasoning_effort": "low",
        "output_modalities": ["text"],
        "output_codec": "pcmu",
        "include": ["item.input_audio_transcription.logprobs"],
        "image_detail": "low",
    }));
    setup.system_prompt = Some("You answer calls.".into());
    setup.voice = Some("voice_123".into());
    setup.tools = [ToolDefinition::new("f", "d", json!({ "type": "object" }))].into();
    assert_eq!(
        setup_frame(&setup, Some("gpt-realtime-2.1"))["session"],
        json!({
            "type": "realtime",
            "model": "gpt-realtime-2.1",
            "instructions": "You answer calls.",
            "output_modalities": ["text"],
            "audio": {
                "input": {
                    "format": { "type": "audio/pcm", "rate": 24000 },
                    "noise_reduction": { "type": "near_field" },
                    "transcription": { "model": "gpt-4o-transcribe", "language": "fr",
                        "prompt": "Foo" },
                    "turn_detection": { "type": "server_vad", "threshold": 0.5,
                        "prefix_padding_ms": 300, "silence_duration_ms": 500,
                        "idle_timeout_ms": 6000, "create_response": true,
                        "interrupt_response": false },
                },
                "output": { "format": { "type": "audio/pcmu" }, "voice": { "id": "voice_123" },
                    "speed": 1.1 },
            },
            "tools": [{ "type": "function", "name": "f", "description": "d",
                "parameters": { "type": "object" } }],
            "tool_choice": { "type": "function", "name": "f" },
            "parallel_tool_calls": false,
            "reasoning": { "effort": "low" },
            "max_output_tokens": "inf",
            "truncation": { "type": "retention_ratio", "retention_ratio": 0.8,
                "token_limits": { "post_instructions": 20000 } },
            "prompt": { "id": "pmpt_1", "version": "2", "variables": { "name": "Ann" } },
            "tracing": { "workflow_name": "calls" },
            "include": ["item.input_audio_transcription.logprobs"],
        })
    );
}

#[test]
fn a3_where_the_channel_allows_no_interruptions_the_vendor_is_told_so() {
    for detection in [
        json!({}),
        json!({ "turn_detection": "server_vad" }),
        json!({ "turn_detection": "semantic_vad", "interrupt_response": false }),
    ] {
        let mut setup = setup(detection.clone());
        setup.interruptions = false;
        let frame = setup_frame(&setup, None);
        let told = &frame["session"]["audio"]["input"]["turn_detection"]["interrupt_response"];
        assert_eq!(*told, json!(false), "{detection}");
    }
    let mut push_to_talk = setup(json!({ "turn_detection": null }));
    push_to_talk.interruptions = false;
    let frame = setup_frame(&push_to_talk, None);
    let told = &frame["session"]["audio"]["input"]["turn_detection"];
    assert_eq!(*told, Value::Null, "nothing interrupts there");
}

#[test]
fn a3_no_setting_says_the_opposite_of_the_channel() {
    let of = |dialect, config: Value| {
        let mut setup = setup(config);
        setup.interruptions = false;
        Encoder::new(dialect, &OpenAISessionConfig::default(), &setup)
    };
    let opposite = json!({ "interrupt_response": true });
    let error = of(Dialect::OpenAI, opposite.clone()).unwrap_err();
    let error = error.to_string();
    for setting in ["turn_detection.interrupt_response", "interruptions"] {
        assert!(error.contains(setting), "{error}");
    }

    let mut encoder = of(Dialect::OpenAI, json!({})).unwrap();
    let update = |config: &Value| SessionUpdate {
        provider_config: Some(map(config.clone())),
        ..SessionUpdate::default()
    };
    assert!(encoder.check_update(&update(&opposite)).is_err());
    let refused = encoder
        .encode(&ProviderCommand::Update(update(&opposite)))
        .unwrap_err();
    assert_eq!(refused.kind(), ProviderErrorKind::InvalidConfig);
    // Another kind of detection begins with the vendor's own wish to interrupt.
    let other = json!({ "turn_detection": { "type": "server_vad", "threshold": 0.6 } });
    let frame = json_of(&mut encoder, &ProviderCommand::Update(update(&other)));
    let told = &frame["session"]["audio"]["input"]["turn_detection"];
    assert_eq!(told["interrupt_response"], json!(false));

    // What xAI makes of it nobody knows, so the host has to.
    let detection = json!({ "turn_detection": "server_vad" });
    let error = of(Dialect::XAi, detection).unwrap_err().to_string();
    assert!(error.contains("interruptions"), "{error}");
    let known = json!({ "turn_detection": "server_vad", "interrupt_response": false });
    assert!(of(Dialect::XAi, known).is_ok());
}

#[test]
fn s5_a_change_that_was_refused_is_not_in_the_next() {
    let settings = json!({ "turn_detection": { "type": "server_vad", "threshold": 0.5 } });
    let mut encoder = encoder(settings);
    let mut decoder = encoder.decoder(Redactor::default());
    let mut update = |config: Value| {
        let update = SessionUpdate {
            provider_config: Some(map(config)),
            ..SessionUpdate::default()
        };
        let frame = json_of(&mut encoder, &ProviderCommand::Update(update));
        let detection = frame["session"]["audio"]["input"]["turn_detection"].clone();
        (frame["event_id"].clone(), detection)
    };
    let mut answer = |answer: Value| {
        let mut events = VecDeque::new();
        decoder.decode(&answer.to_string(), &mut events);
        assert_eq!(events.len(), 1);
    };
    let updated = json!({ "type": "session.updated" });
    let (_, first) = update(json!({ "silence_duration_ms": 700 }));
    answer(updated.clone());
    let (id, _) = update(json!({ "idle_timeout_ms": 1_000 }));
    answer(json!({ "type": "error", "error": { "event_id": id } }));
    let (_, third) = update(json!({ "prefix_padding_ms": 200 }));
    let mut expected = first;
    expected["prefix_padding_ms"] = json!(200);
    assert_eq!(third, expected);
    // Of two on their way each has what it was made to.
    let (_, fourth) = update(json!({ "threshold": 0.6 }));
    answer(updated.clone());
    answer(updated);
    let (_, fifth) = update(json!({ "prefix_padding_ms": 300 }));
    assert_eq!(fourth["prefix_padding_ms"], json!(200));
    assert_eq!(fifth["threshold"], json!(0.6));
}

/// A change of these settings, and what is said of it.
fn change(encoder: &mut Encoder, config: Value) -> Value {
    let update = SessionUpdate {
        provider_config: Some(map(config)),
        ..SessionUpdate::default()
    };
    json_of(encoder, &ProviderCommand::Update(update))
}

fn answer(decoder: &mut Decoder, answer: &Value) -> Vec<ProviderEvent> {
    let mut events = VecDeque::new();
    decoder.decode(&answer.to_string(), &mut events);
    events.into()
}

#[test]
fn s5_a_refused_change_does_not_live_on_in_one_that_was_on_its_way() {
    let mut encoder = encoder(json!({}));
    let mut decoder = encoder.decoder(Redactor::default());
    let first = change(&mut encoder, json!({ "eagerness": "high", "speed": 1.2 }));
    change(&mut encoder, json!({ "create_response": false }));
    let error = json!({ "event_id": first["event_id"] });
    answer(&mut decoder, &json!({ "type": "error", "error": error }));
    answer(&mut decoder, &json!({ "type": "session.updated" }));
    let third = change(&mut encoder, json!({ "interrupt_response": true }));
    assert_eq!(
        third["session"]["audio"]["input"]["turn_detection"],
        json!({ "type": "semantic_vad", "create_response": false, "interrupt_response": true })
    );
    assert_eq!(encoder.session().speed, None);
}

#[test]
fn s5_a_speed_that_is_said_again_is_not_sent() {
    let mut encoder = encoder(json!({ "speed": 1.2 }));
    let frame = change(&mut encoder, json!({ "speed": 1.2, "tool_choice": "none" }));
    let expected = json!({ "type": "realtime", "tool_choice": "none" });
    assert_eq!(frame["session"], expected);
}

#[test]
fn s5_a_refusal_that_names_no_change_is_that_of_the_oldest() {
    for (code, param) in [
        ("unknown_parameter", json!("session.x")),
        ("invalid_type", json!("session")),
        ("cannot_update_voice", Value::Null),
    ] {
        let mut encoder = encoder(json!({}));
        let mut decoder = encoder.decoder(Redactor::default());
        let error = json!({ "type": "invalid_request_error", "code": code, "message": "No.",
            "param": param, "event_id": null });
        let refusal = json!({ "type": "error", "error": error });
        change(&mut encoder, json!({ "eagerness": "high" }));
        let [ProviderEvent::UpdateRefused(_)] = answer(&mut decoder, &refusal)[..] else {
            panic!("{code}");
        };
        change(&mut encoder, json!({ "tool_choice": "none" }));
        let updated = answer(&mut decoder, &json!({ "type": "session.updated" }));
        assert_eq!(updated, [ProviderEvent::Updated]);
        // Nothing is open: it is about something else.
        let [ProviderEvent::Error(_)] = answer(&mut decoder, &refusal)[..] else {
            panic!("{code}");
        };
        // The host's own is the host's to look after.
        let raw = json!({ "type": "session.update", "session": { "x": 1 } });
        json_of(&mut encoder, &ProviderCommand::Raw(raw));
        change(&mut encoder, json!({ "tool_choice": "auto" }));
        let [ProviderEvent::RawRefused(_)] = answer(&mut decoder, &refusal)[..] else {
            panic!("{code}");
        };
        let updated = answer(&mut decoder, &json!({ "type": "session.updated" }));
        assert_eq!(updated, [ProviderEvent::Updated]);
    }
}

#[test]
fn k7_a_request_that_is_refused_for_another_reason_is_not_open_any_more() {
    let mut encoder = encoder(json!({}));
    let mut decoder = encoder.decoder(Redactor::default());
    let refusal = |id: &Value, code: &str| {
        let error = json!({ "type": "invalid_request_error", "code": code, "message": "No.", "event_id": id });
        json!({ "type": "error", "error": error })
    };
    let first = json_of(&mut encoder, &ProviderCommand::Respond);
    let [ProviderEvent::Error(_)] =
        answer(&mut decoder, &refusal(&first["event_id"], "invalid_value"))[..]
    else {
        panic!("it is nobody else's");
    };
    let raw = json!({ "type": "response.create" });
    json_of(&mut encoder, &ProviderCommand::Raw(raw));
    let running = refusal(&Value::Null, "conversation_already_has_active_response");
    let [ProviderEvent::RawRefused(_)] = answer(&mut decoder, &running)[..] else {
        panic!("the host's is the only one that is open");
    };
}

#[test]
fn s5_a_hosts_own_update_does_not_confirm_or_undo_another() {
    let setup = SessionSetup::new("s".into());
    let defaults = OpenAISessionConfig::default();
    for raw_is_taken in [true, false] {
        let mut encoder = Encoder::new(Dialect::OpenAI, &defaults, &setup).unwrap();
        let mut decoder = encoder.decoder(Redactor::default());
        let raw = ProviderCommand::Raw(json!({"type": "session.update", "session": {"speed": 9}}));
        let change = ProviderCommand::Update(SessionUpdate {
            system_prompt: Some("Be kind.".into()),
            ..SessionUpdate::default()
        });
        let [raw, change] = [raw, change].map(|command| {
            let frame = encoder.encode(&command).unwrap().unwrap();
            serde_json::from_str::<Value>(&frame).unwrap()["event_id"].clone()
        });
        let mut events = VecDeque::new();
        let refusal = |id: &Value| json!({"type": "error", "error": {"event_id": id}}).to_string();
        if raw_is_taken {
            decoder.decode(r#"{"type":"session.updated"}"#, &mut events);
        } else {
            decoder.decode(&refusal(&raw), &mut events);
            let refused = events.pop_front();
            assert!(matches!(refused, Some(ProviderEvent::RawRefused(_))));
        }
        assert_eq!(events, []);
        if raw_is_taken {
            decoder.decode(&refusal(&change), &mut events);
            let refused = events.pop_front();
            assert!(matches!(refused, Some(ProviderEvent::UpdateRefused(_))));
        } else {
            decoder.decode(r#"{"type":"session.updated"}"#, &mut events);
            assert_eq!(events.pop_front(), Some(ProviderEvent::Updated));
        }
        assert_eq!(events, []);
    }
}

#[test]
fn an_update_says_only_what_changes() {
    let mut encoder = encoder(json!({ "turn_detection": { "type": "server_vad",
        "threshold": 0.5 } }));
    let mut update = |update| {
        let frame = json_of(&mut encoder, &ProviderCommand::Update(update));
        assert_eq!(frame["type"], "session.update");
        frame["session"].clone()
    };
    assert_eq!(
        update(SessionUpdate {
            system_prompt: Some(String::new()),
            tools: Some([].into()),
            voice: Some("marin".into()),
            temperature: Some(0.5),
            provider_config: None,
        }),
        json!({ "type": "realtime", "instructions": "", "tools": [],
            "audio": { "output": { "voice": "marin" } } })
    );
    let with = |config| SessionUpdate {
        provider_config: Some(map(config)),
        ..SessionUpdate::default()
    };
    assert_eq!(
        update(with(json!({ "silence_duration_ms": 700, "tracing": null }))),
        json!({ "type": "realtime", "tracing": null, "audio": { "input": {
            "turn_detection": { "type": "server_vad", "threshold": 0.5,
                "silence_duration_ms": 700 } } } }),
        "a sub-object goes whole"
    );
    assert_eq!(
        update(with(json!({ "threshold": 0.6 })))["audio"]["input"]["turn_detection"],
        json!({ "type": "server_vad", "threshold": 0.6, "silence_duration_ms": 700 }),
        "the update before it counts"
    );
}

#[test]
fn an_update_cannot_change_what_the_engine_was_told() {
    for fixed in [
        json!({ "codec": "pcmu" }),
        json!({ "turn_detection": "none" }),
        json!({ "interrupt_response": false }),
        json!({ "transcription": null }),
    ] {
        let update = ProviderCommand::Update(SessionUpdate {
            provider_config: Some(map(fixed.clone())),
            ..SessionUpdate::default()
        });
        let error = encoder(json!({})).encode(&update).unwrap_err();
        assert_eq!(error.kind(), ProviderErrorKind::Unsupported, "{fixed}");
    }
}
