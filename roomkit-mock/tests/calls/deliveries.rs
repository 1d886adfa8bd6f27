//! Greetings and proactive delivery (contracts S9, R11), through the public API.

use std::future::pending;

use roomkit_core::{
    SessionOptions,
    channel::ChannelCategory,
    error::{DeliverError, RoomError},
    hook::Hook,
    provider::{HistorySupport, ProviderCommand, RealtimeVoiceProvider, Role, SessionUpdate},
    room::{Access, BindingOptions, NewEvent},
    voice::{DeliveryStrategy, HistorySeed},
};
use roomkit_mock::{
    Gate, MockConnection, MockRealtimeProvider, MockRealtimeTransport, transport::AcceptOutcome,
};

use crate::support::{Call, DESK, House, Notes, ROOM, VOICE, settle, soon};

fn texts(call: &Call) -> Vec<String> {
    let texts = call.ai.injected_texts().into_iter();
    texts.map(|given| given.text).collect()
}

#[tokio::test(start_paused = true)]
async fn s9_the_greeting_is_asked_for_once_also_with_a_past_and_another_connection() {
    let mut capabilities = MockRealtimeProvider::new().capabilities();
    capabilities.history = HistorySupport::Full;
    let provider = MockRealtimeProvider::new().with_capabilities(capabilities);
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| {
        voice
            .greeting("Good morning!")
            .seed_history(HistorySeed::Turns(5))
    })
    .await;
    house
        .kit
        .send_event(ROOM, DESK, NewEvent::text("they called before"))
        .await
        .unwrap();
    let call = house.call().await;
    call.ai
        .wait_for_command(|c| *c == ProviderCommand::Respond)
        .await;
    assert_eq!(house.provider.connects()[0].history.len(), 1);
    assert!(texts(&call)[0].contains("Good morning!"));
    call.ai.simulate_response_start(None);
    call.ai
        .simulate_transcription("Good morning!", Role::Assistant, true, None);
    call.ai.simulate_response_end(None);
    settle().await;
    call.ai.simulate_closed(None);
    house.provider.wait_for_attempts(2).await;
    settle().await;
    let next = house.provider.session(call.session.id());
    assert_eq!((next.injected_texts().len(), next.responds()), (0, 0));

    let other = house
        .call_with(SessionOptions::new().greeting("Good evening!"))
        .await;
    settle().await;
    assert!(texts(&other)[0].contains("Good evening!"));
}

#[tokio::test(start_paused = true)]
async fn r11_a_delivery_reaches_every_session_of_the_room_in_its_own_quiet_moment() {
    let house = House::new().await;
    let (ann, bob) = (house.call().await, house.call().await);
    ann.ai.simulate_response_start(None);
    settle().await;
    let strategy = DeliveryStrategy::default();
    let delivered = soon(house.voice.deliver(ROOM, "your taxi is here", strategy)).await;
    assert_eq!(delivered.unwrap().sessions, 2);
    settle().await;
    assert_eq!(texts(&bob), ["your taxi is here"]);
    assert!(texts(&ann).is_empty());
    assert_eq!(bob.ai.injected_texts()[0].role, Role::User);
    ann.ai.simulate_response_end(None);
    settle().await;
    assert_eq!(texts(&ann), ["your taxi is here"]);
    assert_eq!(ann.ai.responds(), 1);
}

#[tokio::test(start_paused = true)]
async fn r11_what_cannot_be_delivered_says_why() {
    let house = House::new().await;
    let now = DeliveryStrategy::Immediate;
    let deliver = |room: &'static str, text: &'static str| house.voice.deliver(room, text, now);
    let none = soon(deliver(ROOM, "hello")).await;
    assert_eq!(none, Err(DeliverError::NoSession(ROOM.into())));
    assert_eq!(soon(deliver(ROOM, " ")).await, Err(DeliverError::Empty));
    let unknown = Err(DeliverError::Room(RoomError::NotFound("attic".into())));
    assert_eq!(soon(deliver("attic", "hello")).await, unknown);
    house.kit.create_room("cellar").await.unwrap();
    let foreign = soon(deliver("cellar", "hello")).await;
    assert!(
        matches!(
            foreign,
            Err(DeliverError::Room(RoomError::NotAttached { .. }))
        ),
        "{foreign:?}"
    );
    house.kit.close_room("cellar").await.unwrap();
    let closed = Err(DeliverError::Room(RoomError::Closed("cellar".into())));
    assert_eq!(soon(deliver("cellar", "hello")).await, closed);
}

#[tokio::test(start_paused = true)]
async fn r2_a_session_is_told_nothing_of_the_past_that_it_could_not_have_seen() {
    let mut capabilities = MockRealtimeProvider::new().capabilities();
    capabilities.history = HistorySupport::Full;
    let provider = MockRealtimeProvider::new().with_capabilities(capabilities);
    let house = House::of(provider, MockRealtimeTransport::new(), |voice| {
        voice.seed_history(HistorySeed::Turns(9))
    })
    .await;
    let kit = &house.kit;
    let told = async |access| {
        kit.set_access(ROOM, VOICE, access).await.unwrap();
        house.call().await;
        house.provider.connects().pop().unwrap().history.len()
    };
    let note = async |text: &str, visibility: &str| {
        let visibility = visibility.parse().unwrap();
        kit.set_visibility(ROOM, DESK, visibility).await.unwrap();
        kit.send_event(ROOM, DESK, text).await.unwrap();
    };
    note("for the books", "crm").await;
    note("for nobody", "internal").await;
    note("for the voice", VOICE).await;
    note("for all", "all").await;
    assert_eq!(told(Access::ReadWrite).await, 2);
    assert_eq!(told(Access::WriteOnly).await, 0);

    // Who thinks for itself sees what is for those, and not what is for the others.
    kit.detach_channel(ROOM, VOICE).await.unwrap();
    let thinker = BindingOptions::new().category(ChannelCategory::Intelligence);
    kit.attach_channel_with(ROOM, VOICE, thinker).await.unwrap();
    note("for people", "transport").await;
    assert_eq!(told(Access::ReadWrite).await, 2);
    note("for machines", "intelligence").await;
    assert_eq!(told(Access::ReadWrite).await, 3);
}

#[tokio::test(start_paused = true)]
async fn r11_nobody_waits_for_a_call_whose_client_is_still_being_accepted() {
    let house = House::new().await;
    let gate = Gate::closed();
    house
        .transport
        .next_accept(AcceptOutcome::Hold(gate.clone()));
    let voice = house.voice.clone();
    let start = tokio::spawn(async move {
        voice
            .start_session(ROOM, "ann", MockConnection::new())
            .await
    });
    house.transport.wait_for_attempts(1).await;
    let strategy = DeliveryStrategy::Queued;
    let delivered = house.voice.deliver(ROOM, "your taxi is here", strategy);
    assert_eq!(soon(delivered).await.unwrap().sessions, 1);
    gate.open();
    let session = soon(start).await.unwrap().unwrap();
    settle().await;
    let given = house.provider.session(session.id()).injected_texts();
    assert_eq!(given.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn r11_what_a_session_is_asked_while_it_ends_is_refused_at_once() {
    let house = House::new().await;
    house.kit.add_hook(Hook::speech_start(|_| pending()));
    let call = house.call().await;
    call.ai.simulate_speech_start(None);
    settle().await;
    let (voice, session, notes) = (&house.voice, &call.session, Notes::default());
    let delivering = async {
        let now = DeliveryStrategy::Immediate;
        let refused = voice.deliver(ROOM, "hello", now).await.unwrap_err();
        notes.add(refused.to_string());
    };
    let updating = async {
        let update = SessionUpdate::default();
        let refused = voice.update_session(session, update).await.unwrap_err();
        notes.add(refused.to_string());
    };
    let looking = async {
        settle().await;
        // The hook keeps the end waiting, and nobody else.
        let ended = format!("session {} has ended", session.id());
        assert_eq!(notes.all(), [ended.clone(), ended]);
    };
    let ending = voice.end_session(session);
    soon(async { tokio::join!(ending, delivering, updating, looking) }).await;
}

#[tokio::test(start_paused = true)]
async fn r11_a_hook_that_ends_its_session_may_deliver_to_it_and_returns() {
    let house = House::new().await;
    let (notes, voice) = (Notes::default(), house.voice.clone());
    let log = notes.clone();
    house.kit.add_hook(Hook::speech_start(move |event| {
        let (log, voice) = (log.clone(), voice.clone());
        async move {
            voice.end_session(&event.session).await;
            let now = DeliveryStrategy::Immediate;
            let delivered = voice.deliver(ROOM, "hello", now).await;
            log.add(format!("{}", delivered.is_err()));
        }
    }));
    let call = house.call().await;
    call.ai.simulate_speech_start(None);
    settle().await;
    assert_eq!(notes.all(), ["true"], "it waits for nobody");
}
