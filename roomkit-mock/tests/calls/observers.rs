//! What observers and hooks are told of a call, and in which order (contracts T1, R5).

use roomkit_core::{
    RealtimeSession,
    client_protocol::ServerMessage,
    error::{MessageError, SessionError},
    event::{HandOverPhase, RealtimeResponseEvent, RealtimeTranscriptionEvent},
    hook::{Decision, Hook},
    provider::{ProviderErrorKind, ResponseStatus, Role},
    tool::{Tool, ToolDefinition, ToolError, ToolHandler, ToolInvocation, ToolOutput},
    transport::ClientEvent,
    voice::Agent,
};
use serde_json::{Map, json};

use crate::support::{Call, House, Notes, ROOM, VOICE, ms, pcm, settle, soon};

/// A tool that reports once and says the time.
struct Clock;

#[async_trait::async_trait]
impl ToolHandler for Clock {
    async fn call(&self, invocation: ToolInvocation) -> Result<ToolOutput, ToolError> {
        invocation.report("winding");
        tokio::time::sleep(ms(50)).await;
        Ok("noon".into())
    }
}

fn words(event: &RealtimeTranscriptionEvent) -> String {
    let how = if event.is_final { "said" } else { "says" };
    format!("{} {how} {:?}", event.role.as_str(), event.text)
}

fn phase(event: &RealtimeResponseEvent) -> String {
    format!("response {:?}", event.phase)
}

/// Notes everything that observers are told, except for audio and turns, which have a pace of their
/// own.
fn observe(house: &House, notes: &Notes) {
    let voice = &house.voice;
    let log = notes.clone();
    let note = move |what: String| {
        log.add(what);
        std::future::ready(())
    };
    let to = note.clone();
    voice.on_transcription(move |event| to(words(&event)));
    let to = note.clone();
    voice.on_speech_start(move |event| to(format!("speech {}", event.speaking)));
    let to = note.clone();
    voice.on_speech_end(move |event| to(format!("speech {}", event.speaking)));
    let to = note.clone();
    voice.on_response_start(move |event| to(phase(&event)));
    let to = note.clone();
    voice.on_response_end(move |event| to(phase(&event)));
    let to = note.clone();
    voice.on_tool_call(move |event| to(format!("tool {} {:?}", event.name, event.arguments)));
    let to = note.clone();
    voice.on_tool_progress(move |event| to(format!("{} is {}", event.name, event.progress)));
    let to = note.clone();
    voice.on_agent_change(move |event| to(format!("agent {:?} to {:?}", event.from, event.to)));
    let to = note.clone();
    voice.on_error(move |event| to(format!("error {} {}", event.code, event.is_fatal)));
    voice.on_hand_over(move |event| {
        note(match event.phase {
            HandOverPhase::Started { reason } => format!("hand-over by {}", reason.as_str()),
            HandOverPhase::Finished { outcome, .. } => format!("hand-over {}", outcome.as_str()),
            other => format!("{other:?}"),
        })
    });
}

/// Notes everything that hooks of a session are told.
fn hook(house: &House, notes: &Notes) {
    let log = notes.clone();
    let note = move |what: String| {
        log.add(what);
        std::future::ready(())
    };
    let kit = &house.kit;
    let to = note.clone();
    kit.add_hook(Hook::session_started(move |_| to("started".into())));
    let to = note.clone();
    kit.add_hook(Hook::session_ended(move |event| {
        to(format!("ended by {}", event.reason.as_str()))
    }));
    let to = note.clone();
    kit.add_hook(Hook::speech_start(move |event| {
        to(format!("speech {}", event.speaking))
    }));
    let to = note.clone();
    kit.add_hook(Hook::speech_end(move |event| {
        to(format!("speech {}", event.speaking))
    }));
    let to = note.clone();
    kit.add_hook(Hook::partial_transcription(move |event| to(words(&event))));
    let to = note.clone();
    kit.add_hook(Hook::barge_in(move |event| {
        to(format!("barge-in after {:?}", event.heard))
    }));
    let to = note.clone();
    kit.add_hook(Hook::text_injected(move |event| {
        to(format!("given {:?}", event.text))
    }));
    let to = note.clone();
    kit.add_hook(Hook::error(move |event| {
        to(format!(
            "error {} {}: {}",
            event.code, event.is_fatal, event.message
        ))
    }));
    let log = notes.clone();
    kit.add_hook(Hook::transcription(move |event| {
        log.add(words(&event));
        async { Decision::Allow }
    }));
    let log = notes.clone();
    kit.add_hook(Hook::before_tool_use(move |event| {
        log.add(format!("before {}", event.name));
        async { Decision::Allow }
    }));
    let log = notes.clone();
    kit.add_hook(Hook::tool_result(move |event| {
        log.add(format!("{} said {}", event.name, event.result));
        async { Decision::Allow }
    }));
}

/// An answer of 200 ms that is heard to its end.
async fn answer(call: &Call, id: &str, text: &str) {
    call.ai.simulate_response_start(Some(id));
    call.ai.simulate_item_audio(id, pcm(ms(200)));
    call.ai
        .simulate_transcription(text, Role::Assistant, true, Some(id));
    call.ai.simulate_response_end(Some(id));
    call.wait_for_final(text).await;
}

#[tokio::test(start_paused = true)]
async fn t1_r5_observers_and_hooks_are_told_everything_in_the_order_of_the_wire() {
    let clock = ToolDefinition::new("clock", "", json!({"type": "object"}));
    let house = House::with(|voice| {
        let guide = Agent::new("guide", "You show the way.");
        voice.tool(Tool::new(clock, Clock)).agents([guide])
    })
    .await;
    let (observed, hooked) = (Notes::default(), Notes::default());
    observe(&house, &observed);
    hook(&house, &hooked);
    let (turns, audio) = (Notes::default(), Notes::default());
    let log = turns.clone();
    house.voice.on_turn(move |event| {
        log.add(format!("{:?}", event.latency.sent));
        async {}
    });
    let log = audio.clone();
    house.voice.on_audio(move |_: RealtimeSession, pcm| {
        log.add(pcm.len().to_string());
        async {}
    });

    let call = house.call().await;
    call.ai.simulate_speech_start(Some("u1"));
    call.ai
        .simulate_transcription("What ", Role::User, false, Some("u1"));
    call.ai.simulate_speech_end(Some("u1"));
    call.ai
        .simulate_transcription("What time is it?", Role::User, true, Some("u1"));
    call.ai.simulate_response_start(Some("r1"));
    call.ai
        .simulate_transcription("One ", Role::Assistant, false, Some("a1"));
    call.ai.simulate_tool_call("c1", "clock", r#"{"zone":1}"#);
    call.ai.simulate_response_end(Some("r1"));
    tokio::time::sleep(ms(100)).await;
    answer(&call, "r2", "It is noon.").await;

    call.ai
        .simulate_error(ProviderErrorKind::Server, "hiccup", "try again");
    house
        .voice
        .inject_text(&call.session, "Lunch!", Role::System, true)
        .unwrap();
    settle().await;
    house.voice.hand_off(&call.session, "guide").await.unwrap();
    call.ai.simulate_response_start(Some("r3"));
    call.ai.simulate_item_audio("a3", pcm(ms(5_000)));
    tokio::time::sleep(ms(500)).await;
    call.ai.simulate_speech_start(Some("u2"));
    call.ai
        .simulate_response_end_with(Some("r3"), ResponseStatus::Cancelled);
    call.ai.simulate_speech_end(Some("u2"));
    tokio::time::sleep(ms(5_000)).await;
    house.voice.hand_over(&call.session).unwrap();
    house.provider.wait_for_attempts(2).await;
    settle().await;
    house.voice.end_session(&call.session).await;

    let told = [
        "speech true",
        "user says \"What \"",
        "speech false",
        "user said \"What time is it?\"",
        "response Started",
        "assistant says \"One \"",
        "tool clock {\"zone\": Number(1)}",
        // A tool call waits neither for the answer nor for anybody to hear it.
        "assistant said \"One \"",
        "response Completed",
        "clock is winding",
        "response Started",
        "assistant said \"It is noon.\"",
        "response Completed",
        "error hiccup false",
        "agent None to Some(\"guide\")",
        "response Started",
        "speech true",
        "response Interrupted",
        "speech false",
        "hand-over by host",
        "hand-over fresh",
    ];
    assert_eq!(observed.all(), told);
    let told = [
        "started",
        "speech true",
        "user says \"What \"",
        "speech false",
        "user said \"What time is it?\"",
        "assistant says \"One \"",
        "assistant said \"One \"",
        "before clock",
        "clock said noon",
        "assistant said \"It is noon.\"",
        "error hiccup false: try again",
        "given \"Lunch!\"",
        "barge-in after 500ms",
        "speech true",
        "speech false",
        "ended by host",
    ];
    assert_eq!(hooked.all(), told);
    assert_eq!(turns.all().len(), 1, "one question was answered");
    let sent = call.client.audio();
    let sent: Vec<String> = sent.iter().map(|pcm| pcm.len().to_string()).collect();
    assert_eq!(audio.all(), sent);

    let reports = house.close_whole().await;
    let kinds: Vec<&str> = reports.iter().map(|event| event.kind.as_str()).collect();
    let told = [
        "channel_registered",
        "channel_registered",
        "room_created",
        "channel_attached",
        "channel_attached",
        "session_started",
        "before_tool_use",
        "tool_call",
        "agent_changed",
        "hand_over_started",
        "hand_over_finished",
        "session_ended",
    ];
    assert_eq!(kinds[..told.len()], told);
    let of = |kind: &str| {
        let event = reports.iter().find(|event| event.kind.as_str() == kind);
        event.unwrap().clone()
    };
    assert_eq!(of("channel_attached").channel_id, Some(VOICE.into()));
    assert_eq!(of("channel_attached").room_id, Some(ROOM.into()));
    assert_eq!(of("before_tool_use").data["allowed"], json!(true));
    assert_eq!(
        of("before_tool_use").session_id,
        Some(call.session.id().clone())
    );
    assert_eq!(of("hand_over_started").data["reason"], json!("host"));
}

#[tokio::test(start_paused = true)]
async fn c1_a_message_of_the_hosts_comes_after_what_it_answers() {
    let house = House::new().await;
    let call = house.call().await;
    let card = |id: u32| {
        let card = json!({"type": "card", "id": id});
        card.as_object().cloned().unwrap()
    };
    let voice = house.voice.clone();
    house.voice.on_transcription(move |event| {
        if event.is_final {
            voice.send_message(&event.session, card(1)).unwrap();
        }
        async {}
    });
    call.ai
        .simulate_transcription("a question", Role::User, true, None);
    let is_card = |message: &ServerMessage| matches!(message, ServerMessage::Custom(_));
    call.client.wait_for_message(is_card).await;
    let wrong = house.voice.send_message(&call.session, Map::new());
    assert_eq!(wrong, Err(MessageError::NoType.into()));

    house.voice.send_message(&call.session, card(2)).unwrap();
    soon(house.voice.end_session(&call.session)).await;
    let messages = call.client.messages();
    let [.., said, first, second, end] = &messages[..] else {
        panic!("{messages:?}");
    };
    assert!(matches!(said, ServerMessage::Transcription { .. }));
    let cards = [card(1), card(2)].map(ServerMessage::Custom);
    assert_eq!([first, second], [&cards[0], &cards[1]]);
    assert!(matches!(end, ServerMessage::SessionEnded { .. }));
    let late = house.voice.send_message(&call.session, card(3));
    assert_eq!(late, Err(SessionError::Ended(call.session.id().clone())));
}

#[tokio::test(start_paused = true)]
async fn c1_what_a_client_tells_the_host_comes_in_its_turn_and_the_ai_gets_nothing_of_it() {
    let house = House::new().await;
    let notes = Notes::default();
    let told = notes.clone();
    house.voice.on_client_message(move |event| {
        told.add(format!(
            "{} of {}",
            event.message["digit"],
            event.session.participant_id()
        ));
        async {}
    });
    let told = notes.clone();
    house.voice.on_transcription(move |event| {
        told.add(words(&event));
        async {}
    });
    let call = house.call().await;
    let press = |digit: u32| {
        let key = json!({"event": "dtmf", "digit": digit});
        let key = key.as_object().cloned().unwrap();
        call.client.send(ClientEvent::Message(key));
    };
    call.client.send(ClientEvent::Text("one".into()));
    press(5);
    press(6);
    call.client.send(ClientEvent::Text("two".into()));
    call.wait_for_final("two").await;
    soon(house.voice.end_session(&call.session)).await;
    let all = [
        "user said \"one\"",
        "5 of ann",
        "6 of ann",
        "user said \"two\"",
    ];
    assert_eq!(notes.all(), all);
    let texts = call.ai.injected_texts();
    assert_eq!(texts.len(), 2, "{texts:?}");
}
