//! Turns against the strict fake of the vendor, over real sockets: whatever it would not accept from
//! us is a violation.

use std::time::Duration;

use roomkit_core::{
    id::ItemId,
    provider::{ProviderCommand, ProviderEvent, ResponseStatus, Role, SessionUpdate},
    tool::ToolDefinition,
};
use roomkit_mock::fake_openai::{FakeOpenAi, Reply, UserTranscript};
use serde_json::json;

use crate::support::{
    call::{Call, audio_bytes, finals, status, text, with_config},
    next, setup,
};

#[tokio::test]
async fn a_spoken_turn_in_every_codec_and_turn_detection() {
    for config in [
        json!({}),
        json!({ "turn_detection": "server_vad" }),
        json!({ "codec": "pcmu" }),
        json!({ "codec": "pcma", "turn_detection": { "type": "server_vad", "threshold": 0.4 } }),
    ] {
        let server = FakeOpenAi::builder()
            .reply(Reply::speech("Good morning.", 400))
            .default_transcript(UserTranscript::completed("hello there"))
            .fragment_frames(700);
        let mut call = Call::start(server, with_config(config)).await;
        call.speak().await;
        let mut events = call.until_ended().await;
        let kinds: Vec<_> = events.iter().map(std::mem::discriminant).collect();
        let started = ProviderEvent::SpeechStarted { item_id: None };
        assert_eq!(kinds[0], std::mem::discriminant(&started));
        assert_eq!(*status(&events), ResponseStatus::Completed);
        let rate = call.connection.info.capabilities.output_rate as usize;
        assert_eq!(audio_bytes(&events), rate * 2 * 400 / 1000);
        assert_eq!(finals(&events, Role::Assistant), ["Good morning."]);
        if finals(&events, Role::User).is_empty() {
            let user_final = |event: &ProviderEvent| {
                matches!(
                    event,
                    ProviderEvent::Transcript {
                        role: Role::User,
                        is_final: true,
                        ..
                    }
                )
            };
            events.extend(call.until(user_final).await);
        }
        assert_eq!(finals(&events, Role::User), ["hello there"]);
        call.end().await;
    }
}

#[tokio::test]
async fn a_turn_by_push_to_talk() {
    let server = FakeOpenAi::builder().reply(Reply::speech("Yes.", 100));
    let mut call = Call::start(server, with_config(json!({ "turn_detection": null }))).await;
    assert!(!call.connection.info.capabilities.interrupts_itself);
    call.send(ProviderCommand::ActivityStart).await;
    call.speak().await;
    call.send(ProviderCommand::ActivityEnd).await;
    call.send(ProviderCommand::Respond).await;
    let events = call.until_ended().await;
    assert_eq!(finals(&events, Role::Assistant), ["Yes."]);
    call.end().await;
}

#[tokio::test]
async fn k7_a_tap_on_the_button_is_not_answered() {
    let server = FakeOpenAi::builder()
        .reply(Reply::speech("Yes.", 100))
        .reply(Reply::speech("Both.", 100));
    let mut call = Call::start(server, with_config(json!({ "turn_detection": null }))).await;
    for is_given in [false, true] {
        if is_given {
            call.send(text("What is it?")).await;
        }
        call.send(ProviderCommand::ActivityStart).await;
        call.send(ProviderCommand::Audio(vec![1; 960].into())).await;
        call.send(ProviderCommand::ActivityEnd).await;
        call.send(ProviderCommand::Respond).await;
        let events = call
            .until(|event| matches!(event, ProviderEvent::TranscriptFailed { .. }))
            .await;
        assert!(!events.contains(&ProviderEvent::TurnPassed));
        if !is_given {
            assert_eq!(call.until(|_| true).await, [ProviderEvent::TurnPassed]);
        }
    }
    // The text is answered, and it is the first answer of all.
    let events = call.until_ended().await;
    assert_eq!(finals(&events, Role::Assistant), ["Yes."]);
    call.send(ProviderCommand::ActivityStart).await;
    call.speak().await;
    call.send(ProviderCommand::ActivityEnd).await;
    call.send(ProviderCommand::Respond).await;
    let events = call.until_ended().await;
    assert_eq!(finals(&events, Role::Assistant), ["Both."]);
    let refused = call.peer.violations().into_iter().map(|one| one.code);
    let empty = Some("input_audio_buffer_commit_empty".to_owned());
    assert_eq!(refused.collect::<Vec<_>>(), [empty.clone(), empty]);
}

#[tokio::test]
async fn a_tool_call_and_its_result() {
    let server = FakeOpenAi::builder()
        .reply(Reply::tool_call("get_weather", r#"{"city":"Oslo"}"#).with_call_id("call_7"))
        .reply(Reply::speech("Three degrees.", 100));
    let mut setup = setup();
    setup.tools = [ToolDefinition::new(
        "get_weather",
        "by city",
        json!({ "type": "object" }),
    )]
    .into();
    let mut call = Call::start(server, setup).await;
    call.send(text("weather?")).await;
    call.send(ProviderCommand::Respond).await;
    let events = call.until_ended().await;
    let calls: Vec<_> = events
        .iter()
        .filter(|event| matches!(event, ProviderEvent::ToolCall { .. }))
        .collect();
    let expected = ProviderEvent::ToolCall {
        call_id: "call_7".into(),
        name: "get_weather".into(),
        arguments: r#"{"city":"Oslo"}"#.into(),
    };
    assert_eq!(calls, [&expected]);
    call.send(ProviderCommand::ToolResult {
        call_id: "call_7".into(),
        name: "get_weather".into(),
        output: r#"{"temp_c":3}"#.into(),
        is_error: false,
    })
    .await;
    call.send(ProviderCommand::Respond).await;
    let events = call.until_ended().await;
    assert_eq!(finals(&events, Role::Assistant), ["Three degrees."]);
    call.end().await;
}

#[tokio::test]
async fn a3_an_answer_is_interrupted_and_forgotten_from_where_nobody_heard_it() {
    for heard in [Duration::from_millis(120), Duration::ZERO] {
        let server = FakeOpenAi::builder()
            .reply(Reply::speech("A long story.", 5_000).stalling_after_ms(400));
        let mut call = Call::start(server, setup()).await;
        call.send(text("tell me")).await;
        call.send(ProviderCommand::Respond).await;
        let mut item: Option<ItemId> = None;
        let mut bytes = 0;
        while bytes < 48 * 400 {
            if let ProviderEvent::Audio { item_id, pcm, .. } = next(&mut call.connection).await {
                item = item_id;
                bytes += pcm.len();
            }
        }
        call.send(ProviderCommand::CancelResponse).await;
        let events = call.until_ended().await;
        assert_eq!(*status(&events), ResponseStatus::Cancelled);
        let item_id = item.expect("audio names its item");
        call.send(ProviderCommand::Truncate {
            item_id: item_id.clone(),
            content_index: 0,
            heard,
        })
        .await;
        let answer = if heard.is_zero() {
            "conversation.item.deleted"
        } else {
            "conversation.item.truncated"
        };
        call.peer.wait_for_sent(answer, 1).await.unwrap();
        call.end().await;
    }
}

#[tokio::test]
async fn a4_a_part_that_nobody_heard_does_not_take_the_others_of_its_item_along() {
    let server = FakeOpenAi::builder().reply(
        Reply::speech("A long story.", 400)
            .then_part("And its end.", 5_000)
            .stalling_after_ms(800),
    );
    let mut call = Call::start(server, setup()).await;
    call.send(text("tell me")).await;
    call.send(ProviderCommand::Respond).await;
    let mut parts = Vec::new();
    while parts
        .last()
        .is_none_or(|(_, content_index)| *content_index == 0)
    {
        if let ProviderEvent::Audio {
            item_id,
            content_index,
            ..
        } = next(&mut call.connection).await
        {
            parts.push((item_id, content_index));
        }
    }
    parts.dedup();
    let item_id = parts[0].0.clone();
    assert_eq!(parts, [(item_id.clone(), 0), (item_id.clone(), 1)]);
    call.send(ProviderCommand::CancelResponse).await;
    call.until_ended().await;
    let item_id = item_id.expect("audio names its item");
    for (content_index, heard) in [(0, 300), (1, 0)] {
        call.send(ProviderCommand::Truncate {
            item_id: item_id.clone(),
            content_index,
            heard: Duration::from_millis(heard),
        })
        .await;
    }
    call.peer
        .wait_for_sent("conversation.item.truncated", 2)
        .await
        .unwrap();
    call.end().await;
}

#[tokio::test]
async fn k7_a_response_too_many_is_refused_and_late_requests_are_harmless() {
    let server = FakeOpenAi::builder().reply(Reply::speech("One.", 3_000).stalling_after_ms(100));
    let mut call = Call::start(server, setup()).await;
    call.send(text("hi")).await;
    call.send(ProviderCommand::Respond).await;
    call.until(|event| matches!(event, ProviderEvent::Audio { .. }))
        .await;
    call.send(ProviderCommand::Respond).await;
    call.until(|event| *event == ProviderEvent::ResponseRefused)
        .await;
    call.send(ProviderCommand::CancelResponse).await;
    call.until_ended().await;
    // Nothing to cancel, to commit, to truncate: no error worth telling.
    call.send(ProviderCommand::CancelResponse).await;
    call.send(ProviderCommand::ActivityEnd).await;
    call.send(ProviderCommand::Truncate {
        item_id: "nobody".into(),
        content_index: 0,
        heard: Duration::from_millis(5),
    })
    .await;
    call.send(ProviderCommand::Update(SessionUpdate::default()))
        .await;
    let events = call.until(|event| *event == ProviderEvent::Updated).await;
    let errors: Vec<_> = events
        .iter()
        .filter(|event| matches!(event, ProviderEvent::Error(_)))
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test]
async fn every_setting_is_accepted() {
    let mut setup = with_config(json!({
        "voice": "alloy", "speed": 1.1, "turn_detection": { "type": "server_vad",
            "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500,
            "idle_timeout_ms": 6000, "create_response": true, "interrupt_response": true },
        "transcription": { "model": "gpt-4o-transcribe", "language": "fr", "prompt": "Foo" },
        "noise_reduction": "near_field", "tool_choice": "auto", "parallel_tool_calls": true,
        "max_output_tokens": 400,
        "truncation": { "type": "retention_ratio", "retention_ratio": 0.8,
            "token_limits": { "post_instructions": 20000 } },
        "prompt": { "id": "pmpt_1", "version": "2", "variables": { "name": "Ann" } },
        "tracing": "auto", "reasoning_effort": "low", "output_modalities": ["audio"],
        "include": ["item.input_audio_transcription.logprobs"],
    }));
    setup.system_prompt = Some("Be brief.".into());
    setup.voice = Some("cedar".into());
    setup.tools = [ToolDefinition::new("f", "d", json!({ "type": "object" }))].into();
    let mut call = Call::start(FakeOpenAi::builder(), setup).await;
    assert_eq!(call.peer.session()["audio"]["output"]["voice"], "cedar");
    assert!(call.connection.info.provider_session_id.is_some());
    call.send(ProviderCommand::Update(SessionUpdate {
        system_prompt: Some("Speak French.".into()),
        tools: Some([].into()),
        provider_config: serde_json::from_value(json!({ "silence_duration_ms": 700 })).unwrap(),
        ..SessionUpdate::default()
    }))
    .await;
    call.until(|event| *event == ProviderEvent::Updated).await;
    let session = call.peer.session();
    assert_eq!(session["instructions"], "Speak French.");
    let vad = &session["audio"]["input"]["turn_detection"];
    assert_eq!(
        (&vad["silence_duration_ms"], &vad["threshold"]),
        (&json!(700), &json!(0.5))
    );
    call.end().await;
}

#[tokio::test]
async fn text_of_every_role_and_an_image_are_accepted() {
    let mut call = Call::start(FakeOpenAi::builder(), setup()).await;
    for role in [Role::User, Role::System, Role::Assistant] {
        call.send(ProviderCommand::Text {
            role,
            text: "note".into(),
            respond: false,
        })
        .await;
    }
    call.send(ProviderCommand::Image {
        mime_type: "image/png".into(),
        data: vec![0x89, 0x50, 0x4E, 0x47].into(),
        prompt: Some("What is it?".into()),
        respond: false,
    })
    .await;
    call.send(ProviderCommand::Raw(
        json!({ "type": "input_audio_buffer.clear" }),
    ))
    .await;
    call.peer
        .wait_for_sent("conversation.item.done", 4)
        .await
        .unwrap();
    call.peer
        .wait_for_sent("input_audio_buffer.cleared", 1)
        .await
        .unwrap();
    call.end().await;
}

#[tokio::test]
async fn h5_a_ping_comes_back_behind_what_was_sent_before_it() {
    let mut call = Call::start(FakeOpenAi::builder(), setup()).await;
    for _ in 0..3 {
        call.send(text("note")).await;
        call.send(ProviderCommand::Ping).await;
        call.until(|event| *event == ProviderEvent::Pong).await;
    }
    call.peer
        .wait_for_sent("conversation.item.done", 3)
        .await
        .unwrap();
    call.end().await;
}
