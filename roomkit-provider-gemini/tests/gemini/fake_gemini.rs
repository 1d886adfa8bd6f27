//! Against the strict fake of the vendor, over real sockets: whatever it would not accept from us
//! is a violation.

use std::time::Duration;

use roomkit_core::{
    provider::{
        ProviderCommand, ProviderErrorKind, ProviderEvent, ResumeToken, Role, SessionUpdate,
    },
    tool::ToolDefinition,
};
use roomkit_mock::fake_gemini::{
    FakeGemini, Fault, FaultAction, FaultPoint, Reply, TranscriptTiming, UserTranscript,
};
use serde_json::json;

use crate::support::{
    LIVE_31, LIVE_38, NATIVE_25,
    server::{Call, next, setup},
    told,
};

fn text(text: &str) -> ProviderCommand {
    ProviderCommand::Text {
        role: Role::User,
        text: text.into(),
        respond: true,
    }
}

fn weather() -> Vec<ToolDefinition> {
    let parameters = json!({ "type": "object", "additionalProperties": false,
        "properties": { "city": { "type": ["string", "null"], "default": "Oslo" } } });
    vec![ToolDefinition::new(
        "get_weather",
        "The weather",
        parameters,
    )]
}

#[tokio::test]
async fn a_spoken_turn_on_every_model_and_in_every_kind_of_frame() {
    for model in [NATIVE_25, LIVE_31, LIVE_38] {
        for variant in 0..4 {
            let server = FakeGemini::builder()
                .transcript(UserTranscript::completed("What time is it?"))
                .reply(Reply::speech("It is noon.", 300));
            let server = match variant {
                0 => server.text_frames(),
                1 => server.pretty(false),
                2 => server.merge_frames(true).usage_ticks(true),
                _ => server,
            };
            let mut call = Call::start(server, model, setup(json!({}))).await;
            call.speak().await;
            let turn = call.turn().await;
            let is_piece = |word: &&String| !word.contains(" says ");
            let whole: Vec<&String> = turn.iter().filter(is_piece).collect();
            assert_eq!(
                whole,
                [
                    "speech",
                    "silence",
                    "user said \"What time is it?\"",
                    "response",
                    "model said \"It is noon.\"",
                    "completed",
                ],
                "{model} {variant}"
            );
            call.end().await;
        }
    }
}

#[tokio::test]
async fn a_model_that_writes_down_is_read() {
    let server = FakeGemini::builder().reply(Reply::speech("What time is it?", 300));
    let mut call = Call::start(server, "gemini-3.5-transcribe-live", setup(json!({}))).await;
    call.speak().await;
    let turn = call.turn().await;
    let written = "model said \"What time is it?\"".to_owned();
    assert!(turn.contains(&written), "{turn:?}");
    call.end().await;
}

#[tokio::test]
async fn a_barge_in_cancels_the_answer_and_what_still_comes_of_it_is_dropped() {
    let server = FakeGemini::builder()
        .reply(Reply::speech("Once upon a time", 5_000).stalling_after_ms(1_000))
        .reply(Reply::speech("Yes?", 200))
        .transcript(UserTranscript::completed("Tell me a story."))
        .transcript(UserTranscript::completed("No, stop.").at(TranscriptTiming::DuringSpeech))
        .late_chunks(3);
    let mut call = Call::start(server, LIVE_38, setup(json!({}))).await;
    call.speak().await;
    call.until(|event| matches!(event, ProviderEvent::Audio { .. }))
        .await;
    call.speak().await;
    let interrupted = call.turn().await;
    let end = interrupted.len();
    assert_eq!(interrupted[end - 3], "speech", "{interrupted:?}");
    assert!(
        interrupted[end - 2].starts_with("model said \"Once"),
        "{interrupted:?}"
    );
    assert_eq!(interrupted[end - 1], "cancelled");
    let told: Vec<String> = call
        .until(|event| matches!(event, ProviderEvent::ResponseStarted { .. }))
        .await
        .iter()
        .map(told)
        .collect();
    assert!(
        !told.iter().any(|word| word.starts_with("audio")),
        "{told:?}"
    );
    assert!(
        told.contains(&"user said \"No, stop.\"".to_owned()),
        "{told:?}"
    );
    assert_eq!(call.turn().await.last().unwrap(), "completed");
    call.end().await;
}

#[tokio::test]
async fn k2_a_tool_call_is_answered_and_the_model_goes_on_by_itself() {
    for (model, omit) in [
        (NATIVE_25, false),
        (LIVE_31, false),
        (LIVE_38, false),
        (NATIVE_25, true),
    ] {
        let server = FakeGemini::builder()
            .reply(Reply::tool_call("get_weather", json!({ "city": "Oslo" })))
            .reply(Reply::speech("It is sunny.", 200))
            .omit_call_ids(omit);
        let mut setup = setup(json!({}));
        setup.tools = weather().into();
        let mut call = Call::start(server, model, setup).await;
        call.speak().await;
        let events = call
            .until(|event| matches!(event, ProviderEvent::ToolCall { .. }))
            .await;
        let words: Vec<String> = events.iter().map(told).collect();
        assert!(
            words.contains(&"user said \"hello from the caller\"".to_owned()),
            "{words:?}"
        );
        let Some(ProviderEvent::ToolCall {
            call_id,
            name,
            arguments,
        }) = events.last()
        else {
            panic!("{words:?}")
        };
        assert_eq!(
            arguments.replace(char::is_whitespace, ""),
            "{\"city\":\"Oslo\"}"
        );
        call.send(ProviderCommand::ToolResult {
            call_id: call_id.clone(),
            name: name.clone(),
            output: "sunny".into(),
            is_error: false,
        })
        .await;
        let turn = call.turn().await;
        assert!(
            turn.contains(&"model said \"It is sunny.\"".to_owned()),
            "{turn:?}"
        );
        call.end().await;
    }
}

#[tokio::test]
async fn k4_a_call_that_the_user_interrupts_is_cancelled() {
    let server = FakeGemini::builder().reply(Reply::tool_call("get_weather", json!({})));
    let mut setup = setup(json!({}));
    setup.tools = weather().into();
    let mut call = Call::start(server, NATIVE_25, setup).await;
    call.speak().await;
    let events = call
        .until(|event| matches!(event, ProviderEvent::ToolCall { .. }))
        .await;
    let Some(ProviderEvent::ToolCall { call_id, .. }) = events.last() else {
        panic!("no call")
    };
    let call_id = call_id.clone();
    call.speak().await;
    let events = call
        .until(|event| matches!(event, ProviderEvent::ToolCallsCancelled { .. }))
        .await;
    let cancelled = ProviderEvent::ToolCallsCancelled {
        call_ids: vec![call_id],
    };
    assert_eq!(events.last(), Some(&cancelled));
    let turn = call.turn().await;
    assert_eq!(turn.last().unwrap(), "completed");
    call.end().await;
}

#[tokio::test]
async fn text_is_heard_on_every_model_before_and_after_audio() {
    for model in [NATIVE_25, LIVE_31, LIVE_38] {
        let mut call = Call::start(FakeGemini::builder(), model, setup(json!({}))).await;
        for _ in 0..2 {
            call.send(text("Say hello.\u{0}")).await;
            let turn = call.turn().await;
            let said = "model said \"You wrote: Say hello.\"".to_owned();
            assert!(turn.contains(&said), "{model}: {turn:?}");
            call.silence(100).await;
        }
        call.end().await;
    }
}

#[tokio::test]
async fn a_text_that_interrupts_is_not_taken_for_speech() {
    let server = FakeGemini::builder()
        .reply(Reply::speech("Once upon a time", 5_000).stalling_after_ms(500))
        .reply(Reply::speech("As you wish.", 200));
    let mut call = Call::start(server, LIVE_38, setup(json!({}))).await;
    call.send(text("Tell me a story.")).await;
    call.until(|event| matches!(event, ProviderEvent::Audio { .. }))
        .await;
    call.send(text("Offer 20 %.")).await;
    let interrupted = call.turn().await;
    assert_eq!(interrupted.last().unwrap(), "cancelled");
    assert!(
        !interrupted.contains(&"speech".to_owned()),
        "{interrupted:?}"
    );
    assert_eq!(call.turn().await.last().unwrap(), "completed");
    call.end().await;
}

#[tokio::test]
async fn manual_turns_are_what_the_host_says_they_are() {
    for model in [LIVE_31, LIVE_38] {
        let server = FakeGemini::builder()
            .reply(Reply::speech("One", 5_000).stalling_after_ms(500))
            .reply(Reply::speech("Two", 200));
        let mut call = Call::start(server, model, setup(json!({ "server_vad": false }))).await;
        for first in [true, false] {
            call.send(ProviderCommand::ActivityStart).await;
            call.voice(400).await;
            call.send(ProviderCommand::ActivityEnd).await;
            if first {
                call.until(|event| matches!(event, ProviderEvent::Audio { .. }))
                    .await;
            }
        }
        assert_eq!(call.turn().await.last().unwrap(), "cancelled");
        assert_eq!(call.turn().await.last().unwrap(), "completed");
        assert!(
            call.peer.conversation().iter().any(|turn| turn.interrupted),
            "{model}"
        );
        call.end().await;
    }
}

#[tokio::test]
async fn an_answer_is_cancelled_with_manual_turns() {
    let server = FakeGemini::builder().reply(Reply::speech("One", 5_000).stalling_after_ms(500));
    let mut call = Call::start(server, LIVE_38, setup(json!({ "server_vad": false }))).await;
    call.send(text("Go.")).await;
    call.until(|event| matches!(event, ProviderEvent::Audio { .. }))
        .await;
    call.send(ProviderCommand::CancelResponse).await;
    let turn = call.turn().await;
    assert_eq!(turn.last().unwrap(), "cancelled");
    assert!(!turn.contains(&"speech".to_owned()), "{turn:?}");
    call.end().await;
}

#[tokio::test]
async fn instructions_and_tools_change_in_the_middle_of_a_call() {
    let mut call = Call::start(FakeGemini::builder(), LIVE_38, setup(json!({}))).await;
    let update = SessionUpdate {
        system_prompt: Some("Now speak French.".into()),
        tools: Some(weather().into()),
        ..SessionUpdate::default()
    };
    call.send(ProviderCommand::Update(update)).await;
    call.send(text("Hello.")).await;
    call.turn().await;
    let session = call.peer.session();
    let prompt = &session["systemInstruction"]["parts"][0]["text"];
    assert_eq!(prompt, "Now speak French.");
    let name = &session["tools"][0]["functionDeclarations"][0]["name"];
    assert_eq!(name, "get_weather");
    call.end().await;
}

#[tokio::test]
async fn images_are_seen_before_and_after_audio() {
    for model in [NATIVE_25, LIVE_31, LIVE_38] {
        let mut call = Call::start(FakeGemini::builder(), model, setup(json!({}))).await;
        for _ in 0..2 {
            call.send(ProviderCommand::Image {
                mime_type: "image/png".into(),
                data: bytes::Bytes::from_static(b"\x89PNG"),
                prompt: Some("What is it?".into()),
                respond: true,
            })
            .await;
            assert_eq!(call.turn().await.last().unwrap(), "completed", "{model}");
            call.silence(100).await;
        }
        call.end().await;
    }
}

#[tokio::test]
async fn t3_late_and_repeated_transcripts_are_told_once() {
    use TranscriptTiming::{BeforeResponse, DuringResponse};
    let hello = || UserTranscript::completed("Hello there.");
    for transcript in [
        hello().finished(),
        hello().with_interim(),
        hello().again_at(BeforeResponse).finished(),
        hello().again_at(DuringResponse),
        hello().at(DuringResponse),
    ] {
        let server = FakeGemini::builder()
            .transcript(transcript.clone())
            .reply(Reply::speech("Hi.", 400));
        let mut call = Call::start(server, LIVE_38, setup(json!({}))).await;
        call.speak().await;
        let turn = call.turn().await;
        let finals = turn.iter().filter(|word| word.starts_with("user said"));
        assert_eq!(finals.count(), 1, "{transcript:?}: {turn:?}");
        let speeches = turn.iter().filter(|word| *word == "speech").count();
        assert!(speeches <= 1, "{transcript:?}: {turn:?}");
        call.end().await;
    }
}

#[tokio::test]
async fn a_vendor_that_tells_of_speech_is_believed() {
    let server = FakeGemini::start().await.unwrap();
    let provider = roomkit_provider_gemini::GeminiLiveProvider::new(
        serde_json::from_value(json!({
            "base_url": server.base_url(), "model": "gemini-live-2.5-flash-native-audio",
            "auth": { "kind": "vertex", "project": "p", "location": "global", "token": "ya29.t" },
            "session": { "explicit_vad_signal": true },
        }))
        .unwrap(),
    )
    .unwrap();
    let connection =
        roomkit_core::provider::RealtimeVoiceProvider::connect(&provider, setup(json!({})));
    let connection = connection.await.unwrap();
    let peer = server.wait_for_connection(0).await.unwrap();
    let mut call = Call {
        server,
        peer,
        connection,
    };
    call.speak().await;
    let turn = call.turn().await;
    assert_eq!(turn[..2], ["speech", "silence"], "{turn:?}");
    assert!(
        turn.contains(&"user said \"hello from the caller\"".to_owned()),
        "{turn:?}"
    );
    call.end().await;
}

#[tokio::test]
async fn h1_a_go_away_tells_the_time_left_and_a_handle_takes_the_conversation_up() {
    let server = FakeGemini::builder().transcript(UserTranscript::completed("I am Ann."));
    let mut call = Call::start(server, LIVE_38, setup(json!({}))).await;
    call.speak().await;
    let events = call
        .until(|event| matches!(event, ProviderEvent::Resumable(_)))
        .await;
    let Some(ProviderEvent::Resumable(handle)) = events.last() else {
        panic!("no handle")
    };
    let handle: ResumeToken = handle.clone();
    call.peer.go_away(Duration::from_secs(50));
    let events = call
        .until(|event| matches!(event, ProviderEvent::GoAway { .. }))
        .await;
    let time_left = Some(Duration::from_secs(50));
    assert_eq!(events.last(), Some(&ProviderEvent::GoAway { time_left }));
    assert_eq!(call.peer.violations(), []);
    call.connection.sink.close().await;
    let mut resumed = setup(json!({}));
    resumed.resume = Some(handle.clone());
    let mut call = Call::on(call.server, LIVE_38, resumed).await;
    assert_eq!(call.peer.resumed_from().as_deref(), Some(handle.expose()));
    assert_eq!(call.peer.conversation()[0].text, "I am Ann.");
    call.speak().await;
    assert_eq!(call.turn().await.last().unwrap(), "completed");
    call.end().await;
}

#[tokio::test]
async fn h3_the_end_of_a_connection_says_why() {
    use ProviderErrorKind::{InvalidRequest, Network, Quota, Server, SessionExpired, Unsupported};
    let table = [
        (FaultAction::deadline_expired(), SessionExpired),
        (FaultAction::internal_error(), Server),
        (FaultAction::quota_exceeded(), Quota),
        (FaultAction::invalid_argument(), InvalidRequest),
        (FaultAction::entity_not_found(), Server),
        (FaultAction::not_implemented(), Unsupported),
        (FaultAction::GoAway(Duration::ZERO), Network),
        (FaultAction::Drop, Network),
    ];
    for (action, kind) in table {
        let fault = Fault::new(FaultPoint::AfterAudioChunks(1), action.clone());
        let mut call = Call::start(
            FakeGemini::builder().fault(fault),
            LIVE_38,
            setup(json!({})),
        )
        .await;
        call.send(text("Go.")).await;
        let error = call.closed().await;
        assert_eq!(error.kind(), kind, "{action:?}: {error}");
    }
}

#[tokio::test]
async fn x5_a_vendor_that_talks_nonsense_is_survived() {
    for action in [
        FaultAction::garbage(),
        FaultAction::malformed_json(),
        FaultAction::SendText("[]".into()),
    ] {
        let fault = Fault::new(
            FaultPoint::AfterSending("setupComplete".into()),
            action.clone(),
        );
        let server = FakeGemini::builder().fault(fault);
        let mut call = Call::start(server, LIVE_38, setup(json!({}))).await;
        let ProviderEvent::Error(error) = next(&mut call.connection).await else {
            panic!("{action:?}")
        };
        assert_eq!(error.kind(), ProviderErrorKind::Protocol, "{action:?}");
        call.send(text("Go on.")).await;
        assert_eq!(call.turn().await.last().unwrap(), "completed", "{action:?}");
        call.end().await;
    }
}

#[tokio::test]
async fn h5_a_ping_comes_back() {
    let mut call = Call::start(FakeGemini::builder(), LIVE_38, setup(json!({}))).await;
    call.send(ProviderCommand::Ping).await;
    assert_eq!(next(&mut call.connection).await, ProviderEvent::Pong);
    call.end().await;
}

#[tokio::test]
async fn h5_a_text_that_the_model_passes_over_is_not_waited_for() {
    // The end of an answer, or of a turn without one, is said in one way; that of the text in the other.
    let passes = Reply::silence().without_generation_complete();
    let waits = Reply::waiting().without_turn_complete();
    let orders = [
        [Reply::speech("Hi.", 200), waits.clone(), passes.clone()],
        [passes.clone(), waits.clone(), passes.clone()],
        [waits.clone(), passes, waits],
    ];
    for order in orders {
        let mut server = FakeGemini::builder();
        for reply in order {
            server = server.reply(reply);
        }
        let mut call = Call::start(server, LIVE_38, setup(json!({}))).await;
        for given in ["Hello", "Make it short", "Shorter"] {
            call.send(text(given)).await;
            let is_over = |event: &ProviderEvent| {
                matches!(
                    event,
                    ProviderEvent::TurnPassed | ProviderEvent::ResponseEnded { .. }
                )
            };
            call.until(is_over).await;
        }
        call.end().await;
    }
}

#[tokio::test]
async fn t6_a_turn_that_is_refused_fails_and_the_call_goes_on() {
    let server = FakeGemini::builder()
        .reply(Reply::refused("PROHIBITED_INPUT_CONTENT"))
        .reply(Reply::refused("MALFORMED_FUNCTION_CALL"))
        .reply(Reply::waiting())
        .reply(Reply::speech("Hi.", 200));
    let mut call = Call::start(server, LIVE_38, setup(json!({}))).await;
    for expected in [
        "failed PROHIBITED_INPUT_CONTENT",
        "incomplete MALFORMED_FUNCTION_CALL",
    ] {
        call.speak().await;
        assert_eq!(call.turn().await.last().unwrap(), expected);
    }
    call.speak().await;
    let events = call
        .until(|event| told(event).starts_with("user said"))
        .await;
    assert_eq!(
        events
            .iter()
            .filter(|event| told(event) == "response")
            .count(),
        0
    );
    call.speak().await;
    assert_eq!(call.turn().await.last().unwrap(), "completed");
    call.end().await;
}
