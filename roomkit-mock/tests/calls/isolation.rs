//! What goes wrong in one place stays there (contracts S8, A6).

use std::{slice, time::Duration};

use roomkit_core::{
    client_protocol::ServerMessage,
    framework::FrameworkEventKind,
    hook::{Decision, Hook},
    provider::{ProviderCommand, Role},
    room::NewEvent,
};
use roomkit_mock::{Gate, MockRealtimeProvider, MockRealtimeTransport, provider::Script};

use crate::support::{Call, DESK, House, Notes, ROOM, ms, pcm, settle, soon};

/// Audio goes both ways and words reach the client.
async fn assert_alive(call: &Call, item: &str) {
    let frames = call.ai.sent_audio().len();
    let played: usize = call.client.audio().iter().map(bytes::Bytes::len).sum();
    call.client.send_audio(pcm(ms(20)));
    call.ai
        .wait_for_commands(frames + 1, |c| matches!(c, ProviderCommand::Audio(_)))
        .await;
    call.ai.simulate_response_start(Some(item));
    call.ai.simulate_item_audio(item, pcm(ms(40)));
    call.ai
        .simulate_transcription(format!("I am {item}"), Role::Assistant, true, Some(item));
    call.ai.simulate_response_end(Some(item));
    call.client.wait_for_audio(played + pcm(ms(40)).len()).await;
}

#[tokio::test(start_paused = true)]
async fn s8_a_panicking_hook_ends_its_own_call_only() {
    let house = House::new().await;
    let notes = Notes::default();
    let log = notes.clone();
    house.kit.add_hook(Hook::session_started(|_| async {
        panic!("a defect of the host")
    }));
    house
        .kit
        .add_hook(Hook::speech_start(|_| async { panic!("another") }));
    house.kit.add_hook(Hook::speech_start(move |_| {
        log.add("the next hook runs");
        async {}
    }));
    let (ann, bob) = (house.call().await, house.call().await);
    ann.ai.simulate_speech_start(None);
    ann.ai.simulate_speech_end(None);
    assert_alive(&ann, "a").await;
    ann.wait_for_final("I am a").await;
    assert_alive(&bob, "b").await;
    bob.wait_for_final("I am b").await;
    assert_eq!(notes.all(), ["the next hook runs"]);
    let errors = house.close(FrameworkEventKind::HookError).await;
    assert_eq!(errors.len(), 3, "two started, one spoke");
}

#[tokio::test(start_paused = true)]
async fn s8_a_panicking_observer_ends_its_own_call_only() {
    let house = House::new().await;
    let notes = Notes::default();
    let log = notes.clone();
    house
        .voice
        .on_transcription(|_| async { panic!("a defect of the host") });
    house
        .voice
        .on_audio(|_, _| async { panic!("a defect of the host") });
    house.voice.on_transcription(move |event| {
        log.add(event.text);
        async {}
    });
    let call = house.call().await;
    assert_alive(&call, "a").await;
    call.wait_for_final("I am a").await;
    assert_alive(&call, "b").await;
    call.wait_for_final("I am b").await;
    settle().await;
    assert_eq!(notes.all(), ["I am a", "I am b"]);
}

#[tokio::test(start_paused = true)]
async fn s8_a_panicking_plugin_ends_its_own_session_only_and_in_order() {
    let script = Script::new().on(
        |command| match command {
            ProviderCommand::Raw(_) => panic!("a defect of the plugin"),
            _ => false,
        },
        [],
    );
    let provider = MockRealtimeProvider::new().with_script(script);
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| voice).await;
    let (ann, bob) = (house.call().await, house.call().await);
    house
        .voice
        .send_raw(&ann.session, serde_json::json!({}))
        .unwrap();
    let told = ann
        .client
        .wait_for_message(|m| matches!(m, ServerMessage::SessionEnded { .. }));
    let reason = "internal".to_owned();
    assert_eq!(told.await, ServerMessage::SessionEnded { reason });
    assert_eq!(ann.client.wait_for_close().await, "internal");
    assert_alive(&bob, "b").await;
    assert_eq!(house.voice.sessions(), slice::from_ref(&bob.session));
    let ended = house.close(FrameworkEventKind::SessionEnded).await;
    assert_eq!(ended.len(), 2, "the broken one is reported like any other");
}

#[tokio::test(start_paused = true)]
async fn a6_a_client_that_reads_nothing_holds_up_nobody_and_is_let_go() {
    let house = House::new().await;
    let (ann, bob) = (house.call().await, house.call().await);
    ann.client.stall();
    ann.ai.simulate_response_start(Some("a"));
    ann.ai.simulate_audio(pcm(ms(2000)));
    for _ in 0..50 {
        ann.client.send_audio(pcm(ms(20)));
    }
    ann.ai
        .wait_for_commands(50, |c| matches!(c, ProviderCommand::Audio(_)))
        .await;
    assert_alive(&bob, "b").await;
    assert_eq!(
        ann.client.wait_for_close_or_drop().await,
        None,
        "there is no way to tell it why"
    );
    settle().await;
    assert_eq!(house.voice.sessions(), slice::from_ref(&bob.session));
    let ended = house.close(FrameworkEventKind::SessionEnded).await;
    assert_eq!(ended[0].data["reason"], "client_too_slow");
}

#[tokio::test(start_paused = true)]
async fn a6_a_provider_that_takes_nothing_does_not_silence_the_ai_and_gets_the_newest_audio() {
    let house = House::new().await;
    let (ann, bob) = (house.call().await, house.call().await);
    ann.ai.stall();
    for number in 0..2000_u32 {
        ann.client.send_audio(number.to_le_bytes().to_vec());
    }
    settle().await;
    ann.ai.simulate_response_start(Some("a"));
    ann.ai.simulate_audio(pcm(ms(200)));
    ann.client.wait_for_audio(pcm(ms(200)).len()).await;
    assert_alive(&bob, "b").await;
    ann.ai.resume();
    let newest = 1999_u32.to_le_bytes();
    ann.ai
        .wait_for_command(|c| matches!(c, ProviderCommand::Audio(pcm) if pcm[..] == newest))
        .await;
    let sent = ann.ai.sent_audio();
    assert!(sent.len() < 2000, "the backlog is bounded: {}", sent.len());
    let numbers = sent
        .iter()
        .map(|pcm| u32::from_le_bytes(pcm[..4].try_into().unwrap()));
    assert!(numbers.is_sorted(), "and in order");
}

#[tokio::test(start_paused = true)]
async fn a6_a_provider_that_takes_nothing_for_long_is_as_good_as_lost() {
    let house = House::with(|voice| voice.reconnect_attempts(0)).await;
    let call = house.call().await;
    call.ai.stall();
    call.client.send_audio(pcm(ms(20)));
    assert_eq!(call.client.wait_for_close().await, "provider_error");
    let told = call.client.messages().into_iter();
    let codes: Vec<String> = told
        .filter_map(|message| match message {
            ServerMessage::Error { code, .. } => Some(code),
            _ => None,
        })
        .collect();
    assert_eq!(codes, ["provider_too_slow"]);
    call.ai.wait_for_close().await;
    settle().await;
    house.assert_nothing_left();
}

#[tokio::test(start_paused = true)]
async fn a6_a_client_that_takes_no_message_for_long_is_let_go() {
    let house = House::new().await;
    let call = house.call().await;
    call.client.stall();
    call.ai.simulate_speech_start(None);
    call.client.wait_for_close_or_drop().await;
    settle().await;
    house.assert_nothing_left();
}

#[tokio::test(start_paused = true)]
async fn a6_a_slow_hook_holds_up_words_but_no_audio_and_no_other_session() {
    let house = House::new().await;
    let gate = Gate::closed();
    let held = gate.clone();
    house.kit.add_hook(
        Hook::transcription(move |event| {
            let gate = held.clone();
            async move {
                if event.text == "I am a" {
                    gate.wait().await;
                }
                Decision::Allow
            }
        })
        .timeout(Duration::from_secs(3600)),
    );
    let (ann, bob) = (house.call().await, house.call().await);
    assert_alive(&ann, "a").await;
    settle().await;
    assert_alive(&ann, "c").await;
    assert_alive(&bob, "b").await;
    bob.wait_for_final("I am b").await;
    assert!(ann.words().is_empty());
    gate.open();
    ann.wait_for_final("I am c").await;
}

#[tokio::test(start_paused = true)]
async fn a6_a_burst_of_room_events_does_not_stop_the_audio() {
    let house = House::new().await;
    let call = house.call().await;
    for number in 0..200 {
        let note = NewEvent::text(format!("note {number}")).metadata("silent", true);
        soon(house.kit.send_event(ROOM, DESK, note)).await.unwrap();
    }
    assert_alive(&call, "a").await;
    call.ai
        .wait_for_commands(200, |c| matches!(c, ProviderCommand::Text { .. }))
        .await;
}

#[tokio::test(start_paused = true)]
async fn r5_levels_are_told_at_most_ten_times_a_second_and_direction() {
    let house = House::new().await;
    let notes = Notes::default();
    let log = notes.clone();
    house.kit.add_hook(Hook::audio_level(move |event| {
        log.add(event.who.as_str());
        async {}
    }));
    let call = house.call().await;
    call.ai.simulate_response_start(None);
    call.ai.simulate_audio(pcm(ms(3000)));
    for _ in 0..100 {
        call.client.send_audio(pcm(ms(20)));
        tokio::time::sleep(ms(20)).await;
    }
    for who in ["user", "assistant"] {
        let told = notes.all().into_iter().filter(|note| note == who).count();
        assert!(
            (15..=21).contains(&told),
            "{told} levels of the {who} in 2 s"
        );
    }
}
