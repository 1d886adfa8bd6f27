//! The room and the call: injection, whispers, loops, closing, stores (contracts R3, R4, R6, R9, A7).

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use roomkit_core::{
    RealtimeVoiceChannel, RoomKit, WeakRoomKit,
    channel::{Channel, ChannelCategory, ChannelError, DetachReason},
    error::RoomError,
    hook::Hook,
    id::{ChannelId, RoomId},
    provider::{ProviderCommand, Role},
    room::{Access, ChannelBinding, Content, EventKind, NewEvent, RoomEvent, Visibility},
};
use roomkit_mock::{
    MockConnection, MockRealtimeProvider, MockRealtimeTransport,
    provider::{InjectedText, Script, answer},
};
use serde_json::json;

use crate::support::{DESK, House, Notes, ROOM, VOICE, ms, settle, soon};

async fn write(house: &House, event: NewEvent) {
    soon(house.kit.send_event(ROOM, DESK, event)).await.unwrap();
    settle().await;
}

fn text(role: Role, text: &str) -> InjectedText {
    InjectedText {
        role,
        text: text.into(),
        respond: false,
    }
}

#[tokio::test(start_paused = true)]
async fn r3_text_of_others_reaches_every_session_and_is_answered() {
    let house = House::new().await;
    let notes = Notes::default();
    let log = notes.clone();
    house.kit.add_hook(Hook::text_injected(move |event| {
        log.add(event.text);
        async {}
    }));
    let calls = [house.call().await, house.call().await];
    write(&house, NewEvent::text("offer her the refund")).await;
    for call in &calls {
        assert_eq!(
            call.ai.injected_texts(),
            [text(Role::System, "offer her the refund")]
        );
        assert_eq!(call.ai.responds(), 1);
        let commands = call.ai.commands();
        assert_eq!(
            commands.last(),
            Some(&ProviderCommand::Respond),
            "after the text"
        );
    }
    assert_eq!(notes.all().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn r3_metadata_says_in_whose_name_and_whether_to_answer() {
    let house = House::new().await;
    let call = house.call().await;
    write(
        &house,
        NewEvent::text("as the user").metadata("inject_role", "user"),
    )
    .await;
    call.ai.simulate_response_start(None);
    call.ai.simulate_response_end(None);
    write(
        &house,
        NewEvent::text("just so you know").metadata("silent", true),
    )
    .await;
    assert_eq!(
        call.ai.injected_texts(),
        [
            text(Role::User, "as the user"),
            text(Role::System, "just so you know")
        ]
    );
    assert_eq!(call.ai.responds(), 1);
}

#[tokio::test(start_paused = true)]
async fn r3_a_whisper_reaches_the_ai_and_no_other_channel() {
    let house = House::new().await;
    house
        .kit
        .register_channel(roomkit_core::subscriber::SubscriberChannel::new("wall"))
        .unwrap();
    house.kit.attach_channel(ROOM, "wall").await.unwrap();
    let options = roomkit_core::subscriber::SubscribeOptions::new().channel("wall");
    let mut wall = house.kit.subscribe(ROOM, options).await.unwrap();
    let call = house.call().await;
    let whisper = Visibility::Channels(vec![VOICE.into()]);
    write(&house, NewEvent::text("she is angry").visibility(whisper)).await;
    write(&house, NewEvent::text("for all")).await;
    assert_eq!(call.ai.injected_texts().len(), 2);
    let mut seen = Vec::new();
    while let Some(update) = wall.try_recv() {
        if let roomkit_core::subscriber::RoomUpdate::Event(event) = update
            && event.kind == EventKind::Message
        {
            seen.extend(event.content.as_text().map(str::to_owned));
        }
    }
    assert_eq!(seen, ["for all"]);
}

#[tokio::test(start_paused = true)]
async fn r3_a_running_response_is_answered_to_first() {
    let house = House::new().await;
    let call = house.call().await;
    call.ai.simulate_response_start(Some("1"));
    settle().await;
    write(&house, NewEvent::text("one more thing")).await;
    assert_eq!((call.ai.injected_texts().len(), call.ai.responds()), (1, 0));
    call.ai.simulate_response_end(Some("1"));
    settle().await;
    assert_eq!(call.ai.responds(), 1);
}

#[tokio::test(start_paused = true)]
async fn r4_what_is_not_text_is_not_injected() {
    let house = House::new().await;
    let call = house.call().await;
    let (kind, data) = ("image/png".to_owned(), json!({"url": "x"}));
    write(&house, NewEvent::new(Content::Data { kind, data })).await;
    write(&house, NewEvent::text("fixed a typo").kind(EventKind::Edit)).await;
    write(&house, NewEvent::text("seen").kind(EventKind::Receipt)).await;
    write(&house, NewEvent::text("  \n ")).await;
    house
        .kit
        .set_access(ROOM, DESK, Access::ReadWrite)
        .await
        .unwrap();
    settle().await;
    assert_eq!(call.ai.commands(), []);
}

#[tokio::test(start_paused = true)]
async fn r4_its_own_words_do_not_come_back() {
    let house = House::new().await;
    let call = house.call().await;
    call.ai
        .simulate_transcription("hello", Role::User, true, None);
    for event in answer("1", "hello to you", ms(100)) {
        call.ai.simulate(event);
    }
    call.wait_for_final("hello to you").await;
    settle().await;
    assert_eq!(call.ai.commands(), []);
}

/// A text AI that takes its leave.
struct Polite {
    id: ChannelId,
    kit: OnceLock<WeakRoomKit>,
}

#[async_trait]
impl Channel for Polite {
    fn id(&self) -> &ChannelId {
        &self.id
    }

    fn kind(&self) -> &'static str {
        "text_ai"
    }

    fn category(&self) -> ChannelCategory {
        ChannelCategory::Intelligence
    }

    fn on_registered(&self, kit: WeakRoomKit) -> Result<(), ChannelError> {
        self.kit.set(kit).unwrap();
        Ok(())
    }

    async fn on_event(&self, _: Arc<RoomEvent>, _: &ChannelBinding) -> Result<(), ChannelError> {
        Ok(())
    }

    async fn on_detached(&self, room: &RoomId, _: DetachReason) {
        let kit = self.kit.get().unwrap().upgrade().unwrap();
        let goodbye = NewEvent::text("goodbye");
        kit.send_event(room, &self.id, goodbye).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn r4_last_words_of_a_text_ai_are_not_injected_either() {
    let house = House::new().await;
    let id = ChannelId::from("ai");
    let kit = OnceLock::new();
    house.kit.register_channel(Polite { id, kit }).unwrap();
    house.kit.attach_channel(ROOM, "ai").await.unwrap();
    let call = house.call().await;
    house.kit.detach_channel(ROOM, "ai").await.unwrap();
    write(&house, NewEvent::text("she is gone")).await;
    assert_eq!(house.texts().await, ["goodbye", "she is gone"]);
    assert_eq!(
        call.ai.injected_texts(),
        [text(Role::System, "she is gone")]
    );
}

/// A second voice channel in the lobby, with a session.
async fn second_voice(house: &House, provider: &MockRealtimeProvider, inject: bool) {
    let voice = RealtimeVoiceChannel::builder(
        "other",
        Arc::new(provider.clone()),
        Arc::new(MockRealtimeTransport::new()),
    )
    .inject_ai_text(inject)
    .build()
    .unwrap();
    house.kit.register_channel(voice.clone()).unwrap();
    house.kit.attach_channel(ROOM, "other").await.unwrap();
    soon(voice.start_session(ROOM, "bob", MockConnection::new()))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn r4_words_of_another_voice_session_are_not_injected_unless_wanted() {
    for (inject, expected) in [(false, 0), (true, 2)] {
        let house = House::new().await;
        let other = MockRealtimeProvider::new();
        second_voice(&house, &other, inject).await;
        let call = house.call().await;
        call.ai
            .simulate_transcription("hello", Role::User, true, None);
        for event in answer("1", "hello to you", ms(100)) {
            call.ai.simulate(event);
        }
        call.wait_for_final("hello to you").await;
        settle().await;
        assert_eq!(other.last().injected_texts().len(), expected);
        assert_eq!(call.ai.injected_texts().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn r4_two_ais_that_answer_each_other_come_to_an_end() {
    let chatter = |name: &str| {
        let mut script = Script::new();
        for round in 0..50 {
            let text = format!("{name} {round}");
            script = script.on(
                |command| matches!(command, ProviderCommand::Respond),
                answer(&format!("{name}{round}"), &text, ms(100)),
            );
        }
        MockRealtimeProvider::new().with_script(script)
    };
    let house = House::of(chatter("ann"), MockRealtimeTransport::new(), |voice| {
        voice.inject_ai_text(true)
    })
    .await;
    let other = chatter("bob");
    second_voice(&house, &other, true).await;
    let call = house.call().await;
    house
        .voice
        .inject_text(&call.session, "begin", Role::User, false)
        .unwrap();
    tokio::time::sleep(ms(60_000)).await;
    let answers = call.ai.responds() + other.last().responds();
    assert_eq!(
        answers, 7,
        "one to a person, five to each other, and one that is blocked"
    );
}

#[tokio::test(start_paused = true)]
async fn r6_closing_the_room_ends_its_sessions_first_and_keeps_their_last_words() {
    let house = House::new().await;
    let call = house.call().await;
    for event in answer("1", "one two three four", ms(4000)) {
        call.ai.simulate(event);
    }
    tokio::time::sleep(ms(2500)).await;
    soon(house.kit.close_room(ROOM)).await.unwrap();
    assert_eq!(call.client.close_reasons(), ["room_closed"]);
    assert_eq!(
        house.texts().await,
        ["one two"],
        "a closed room stays readable"
    );
    let refused = house
        .kit
        .send_event(ROOM, DESK, NewEvent::text("too late"))
        .await;
    assert_eq!(refused.unwrap_err(), RoomError::Closed(ROOM.into()));
}

#[tokio::test(start_paused = true)]
async fn r6_detaching_ends_the_sessions_of_that_room_only() {
    let house = House::new().await;
    house.kit.create_room("attic").await.unwrap();
    house.kit.attach_channel("attic", VOICE).await.unwrap();
    let here = house.call().await;
    let connection = MockConnection::new();
    let there = soon(house.voice.start_session("attic", "bob", connection))
        .await
        .unwrap();
    soon(house.kit.detach_channel(ROOM, VOICE)).await.unwrap();
    assert_eq!(here.client.close_reasons(), ["detached"]);
    assert_eq!(house.voice.sessions(), [there]);
}

#[tokio::test(start_paused = true)]
async fn a7_a_channel_that_may_not_read_is_told_nothing() {
    let house = House::new().await;
    let call = house.call().await;
    for access in [Access::WriteOnly, Access::None] {
        house.kit.set_access(ROOM, VOICE, access).await.unwrap();
        write(&house, NewEvent::text("not for you")).await;
    }
    assert_eq!(call.ai.commands(), []);
}

#[tokio::test(start_paused = true)]
async fn r3_what_the_client_types_is_said_in_the_room_and_answered() {
    let house = House::new().await;
    let call = house.call().await;
    call.client
        .send(roomkit_core::transport::ClientEvent::Text("typed".into()));
    call.wait_for_final("typed").await;
    call.ai
        .wait_for_command(|c| *c == ProviderCommand::Respond)
        .await;
    settle().await;
    assert_eq!(call.ai.injected_texts(), [text(Role::User, "typed")]);
    assert_eq!(house.texts().await, ["typed"]);
}

#[tokio::test(start_paused = true)]
async fn a_voice_channel_that_had_a_kit_is_refused_when_it_is_registered_again() {
    let house = House::new().await;
    let again = |refused: Result<(), RoomError>| match refused {
        Err(RoomError::Refused { channel, reason }) => {
            assert_eq!(channel, VOICE);
            assert!(reason.contains("build a new one"), "{reason}");
        }
        other => panic!("{other:?}"),
    };
    let other = RoomKit::new();
    again(other.register_channel(house.voice.clone()));
    assert!(other.channel(VOICE).is_none());
    house.call().await;
    soon(house.kit.unregister_channel(VOICE)).await.unwrap();
    again(house.kit.register_channel(house.voice.clone()));
    assert!(house.kit.channel(VOICE).is_none());
}
