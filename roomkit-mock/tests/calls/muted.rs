//! What a muted caller says, types and hears (contracts A7, R2).

use roomkit_core::{
    client_protocol::ServerMessage,
    ephemeral::EphemeralKind,
    hook::{Decision, Hook},
    provider::Role,
    room::{EventKind, EventStatus, NewEvent},
    subscriber::{RoomUpdate, SubscribeOptions},
    transport::ClientEvent,
};
use roomkit_mock::provider::answer;

use crate::support::{DESK, House, ROOM, VOICE, ms, pcm, settle, soon};

fn is_refusal(message: &ServerMessage) -> bool {
    matches!(message, ServerMessage::Error { code, .. } if code == "text_muted")
}

#[tokio::test(start_paused = true)]
async fn a7_a_muted_caller_is_still_told_things_and_the_ai_still_speaks() {
    let house = House::new().await;
    let call = house.call().await;
    house.kit.mute(ROOM, VOICE).await.unwrap();
    let event = NewEvent::text("speak for her");
    soon(house.kit.send_event(ROOM, DESK, event)).await.unwrap();
    settle().await;
    assert_eq!(call.ai.injected_texts().len(), 1);
    for event in answer("1", "I speak", ms(100)) {
        call.ai.simulate(event);
    }
    call.wait_for_final("I speak").await;
    assert_ne!(call.client.audio().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a7_r2_what_the_ai_says_to_a_muted_caller_is_shown_in_the_room() {
    let house = House::new().await;
    let options = SubscribeOptions::new().channel(DESK);
    let mut updates = house.kit.subscribe(ROOM, options).await.unwrap();
    let call = house.call().await;
    house.kit.mute(ROOM, VOICE).await.unwrap();
    for role in [Role::User, Role::Assistant] {
        if role == Role::Assistant {
            call.ai.simulate_response_start(None);
            call.ai.simulate_audio(pcm(ms(20)));
        }
        let said = format!("by the {}", role.as_str());
        call.ai.simulate_transcription("by", role, false, None);
        call.ai.simulate_transcription(&said, role, true, None);
        call.ai.simulate_response_end(None);
        call.wait_for_final(&said).await;
    }
    settle().await;
    let stored = house.messages().await;
    let stored: Vec<_> = stored
        .iter()
        .map(|event| (event.content.as_text().unwrap(), event.status))
        .collect();
    assert_eq!(
        stored,
        [
            ("by the user", EventStatus::Blocked),
            ("by the assistant", EventStatus::Delivered)
        ]
    );
    soon(house.kit.close()).await;
    let mut shown = Vec::new();
    while let Some(update) = updates.recv().await {
        match update {
            RoomUpdate::Ephemeral(event) if event.kind == EphemeralKind::Transcription => {
                shown.push(event.data["role"].as_str().unwrap().to_owned());
            }
            RoomUpdate::Event(event) if event.kind == EventKind::Message => {
                shown.push(event.content.as_text().unwrap().to_owned());
            }
            _ => {}
        }
    }
    assert_eq!(shown, ["assistant", "by the assistant"]);
}

#[tokio::test(start_paused = true)]
async fn r2_what_a_muted_caller_types_is_stored_as_blocked_and_shown_to_nobody() {
    let house = House::new().await;
    let call = house.call().await;
    house.kit.mute(ROOM, VOICE).await.unwrap();
    call.client.send(ClientEvent::Text("typed".into()));
    call.client.wait_for_message(is_refusal).await;
    settle().await;
    let stored = house.messages().await;
    let [event] = &stored[..] else {
        panic!("{stored:?}");
    };
    assert_eq!(event.content.as_text(), Some("typed"));
    assert_eq!(event.status, EventStatus::Blocked);
    assert_eq!(call.ai.commands(), []);
    let shown = |message: &ServerMessage| matches!(message, ServerMessage::Transcription { .. });
    assert!(!call.client.messages().iter().any(shown));
}

#[tokio::test(start_paused = true)]
async fn r2_what_a_muted_caller_types_stays_blocked_where_he_is_unmuted_before_it_is_stored() {
    let house = House::new().await;
    let kit = house.kit.downgrade();
    house.kit.add_hook(Hook::transcription(move |_| {
        let kit = kit.upgrade().unwrap();
        async move {
            kit.unmute(ROOM, VOICE).await.unwrap();
            Decision::Allow
        }
    }));
    let call = house.call().await;
    house.kit.mute(ROOM, VOICE).await.unwrap();
    call.client.send(ClientEvent::Text("typed".into()));
    call.client.wait_for_message(is_refusal).await;
    settle().await;
    assert!(!house.kit.binding(ROOM, VOICE).await.unwrap().muted);
    let [event] = &house.messages().await[..] else {
        panic!("{:?}", house.messages().await);
    };
    assert_eq!(event.status, EventStatus::Blocked);
    assert_eq!(event.blocked_by.as_deref(), Some("source_muted"));
    assert_eq!(call.ai.commands(), []);
}

#[tokio::test(start_paused = true)]
async fn a7_what_the_ai_says_to_a_muted_caller_is_shown_whatever_a_hook_makes_of_its_metadata() {
    let house = House::new().await;
    house
        .kit
        .add_hook(Hook::before_broadcast(async |mut event| {
            event.metadata.clear();
            Decision::Replace(event)
        }));
    let call = house.call().await;
    house.kit.mute(ROOM, VOICE).await.unwrap();
    call.ai.simulate_response_start(None);
    call.ai.simulate_audio(pcm(ms(20)));
    call.ai
        .simulate_transcription("hello", Role::Assistant, true, None);
    call.ai.simulate_response_end(None);
    call.wait_for_final("hello").await;
    settle().await;
    let [event] = &house.messages().await[..] else {
        panic!("{:?}", house.messages().await);
    };
    assert_eq!(event.status, EventStatus::Delivered);
}

#[tokio::test(start_paused = true)]
async fn r2_nobody_gets_past_a_mute_by_calling_himself_the_ai() {
    let house = House::new().await;
    house.kit.mute(ROOM, VOICE).await.unwrap();
    let event = NewEvent::text("it was me").metadata("role", "assistant");
    let event = house.kit.send_event(ROOM, VOICE, event).await.unwrap();
    assert_eq!(event.status, EventStatus::Blocked);
}
