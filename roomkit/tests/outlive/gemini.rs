//! How Gemini ends a connection, and what becomes of the call (contracts H1 to H4, K2, K4).

use std::time::Duration;

use roomkit::{
    client_protocol::{ServerMessage, ToolCallStatus},
    mock::{
        fake_gemini::{Closure, Fault, FaultAction, FaultPoint, HandleRefusal, Turn},
        fault_proxy::Cut,
    },
    provider::Role,
};

use crate::{
    support::{House, QUESTION, Setup, Vendor, ms, side_by_side, words_during_speech},
    tools::{Booking, oslo, results},
};

async fn house() -> House {
    House::new(Vendor::Gemini).await
}

/// Waits until a connection knows this of the conversation.
async fn knows(house: &House, connection: usize, wanted: &[&str]) {
    let peer = house.gemini_peer(connection).await;
    let texts = |turns: &[Turn]| turns.iter().map(|turn| turn.text.clone()).collect();
    let enough = |turns: &[Turn]| (turns.len() >= wanted.len()).then(|| texts(turns));
    let found: Vec<String> = peer.wait_for_conversation(enough).await.unwrap();
    assert_eq!(found, wanted, "connection {connection}");
}

#[tokio::test]
async fn h1_a_go_away_is_followed_in_a_quiet_moment_with_the_token() {
    let house = house().await;
    let call = house.call().await;
    call.turn(&house, "It is noon.").await;
    let old = house.gemini_peer(0).await;
    old.go_away(Duration::from_secs(20));
    house.wait_for_hand_overs(1).await;
    assert_eq!(house.hand_overs.all(), [("go_away", "resumed", 1)]);
    let new = house.gemini_peer(1).await;
    assert_eq!(new.resumed_from().as_ref(), old.handles().last());
    knows(&house, 1, &[QUESTION, "It is noon."]).await;
    call.turn(&house, "Still noon.").await;
    let said = [QUESTION, "It is noon.", QUESTION, "Still noon."];
    knows(&house, 1, &said).await;
    // The old connection was closed before the new one asked: else it were refused with 1011.
    assert_eq!(old.closure(), Some(Closure::ByClient(Some(1000))));
    call.all_heard(&house).await;
    call.asked(2);
    assert_eq!(call.notices(), Vec::<String>::new());
    call.end(house).await;
}

#[tokio::test]
async fn h1_a_go_away_is_followed_in_time_though_the_user_never_stops() {
    let setup = Setup::new(Vendor::Gemini);
    let setup = setup.gemini(|fake| fake.default_transcript(words_during_speech()));
    let house = setup.open().await;
    let call = house.call().await;
    call.turn(&house, "It is noon.").await;
    let old = house.gemini_peer(0).await;
    house.fake.will_say("Still noon.", 200);
    let first = call.voice.begin(ms(3_000));
    call.voice.go_on(ms(300)).await;
    old.go_away(Duration::from_secs(2));
    call.hears("Still noon.").await;
    let heard = call.all_heard(&house).await;
    assert!(heard[1][0] <= first, "{heard:?}");
    assert!(
        heard[0].len() > usize::from(first) + 50,
        "it was waited for a quiet moment"
    );
    assert_eq!(house.hand_overs.all(), [("go_away", "resumed", 1)]);
    assert_eq!(old.closure(), Some(Closure::ByClient(Some(1000))));
    call.asked(2);
    assert_eq!(call.notices(), Vec::<String>::new());
    call.end(house).await;
}

#[tokio::test]
async fn h3_a_token_that_is_refused_is_dropped_and_the_conversation_told() {
    let all = [
        HandleRefusal::InvalidArgument,
        HandleRefusal::NotFound,
        HandleRefusal::Silence,
    ];
    side_by_side(all, |refusal| async move {
        let setup = Setup::new(Vendor::Gemini)
            .provider("connect_timeout_ms", 1_000)
            .gemini(|fake| fake.handle_refusal(refusal));
        let house = setup.open().await;
        let call = house.call().await;
        call.turn(&house, "It is noon.").await;
        house.gemini().expire_handles();
        house.proxy.cut(Cut::Reset);
        house.wait_for_hand_overs(1).await;
        let (reason, outcome, _) = house.hand_overs.all()[0];
        assert_eq!((reason, outcome), ("lost", "replayed"), "{refusal:?}");
        let last = house.fake.peers().len() - 1;
        knows(&house, last, &[QUESTION, "It is noon."]).await;
        call.turn(&house, "Still noon.").await;
        call.all_heard(&house).await;
        call.asked(2);
        assert_eq!(call.notices(), ["reconnecting", "reconnected"]);
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn h2_a_connection_that_ends_without_notice_is_taken_up_with_the_token() {
    let point = FaultPoint::AfterAudioMs(3_500);
    let ends = Fault::new(point, FaultAction::deadline_expired());
    let setup = Setup::new(Vendor::Gemini).gemini(|fake| fake.fault(ends));
    let house = setup.open().await;
    let call = house.call().await;
    call.turn(&house, "It is noon.").await;
    house.fake.will_say("Still noon.", 200);
    let first = call.voice.begin(ms(3_500));
    call.hears("Still noon.").await;
    let heard = call.all_heard(&house).await;
    assert!(
        heard[0].contains(&first) && heard[1].contains(&(first + 174)),
        "{heard:?}"
    );
    assert_eq!(house.hand_overs.all(), [("lost", "resumed", 1)]);
    let said = [QUESTION, "It is noon.", QUESTION, "Still noon."];
    knows(&house, 1, &said).await;
    call.asked(2);
    assert_eq!(call.notices(), ["reconnecting", "reconnected"]);
    call.end(house).await;
}

#[tokio::test]
async fn h3_a_key_or_a_quota_that_ends_ends_the_call_at_once() {
    let all = [
        (FaultAction::key_expired(), "ws_1007"),
        (FaultAction::location_not_supported(), "ws_1007"),
        (FaultAction::quota_exceeded(), "ws_1011"),
    ];
    side_by_side(all, |(ends, code)| async move {
        let fault = Fault::new(FaultPoint::AfterAudioMs(500), ends.clone());
        let setup = Setup::new(Vendor::Gemini).gemini(|fake| fake.fault(fault));
        let house = setup.open().await;
        let call = house.call().await;
        call.client.wait_for_close().await;
        assert_eq!(
            house.fake.peers().len(),
            1,
            "nothing is tried again: {ends:?}"
        );
        let says = call
            .client
            .messages()
            .into_iter()
            .find_map(|message| match message {
                ServerMessage::Error { message, .. } => Some(message),
                _ => None,
            });
        assert!(says.is_some_and(|says| !says.is_empty()));
        call.ends_given_up(house, code).await;
    })
    .await;
}

#[tokio::test]
async fn k4_a_call_that_the_user_talks_over_is_cancelled_and_not_answered() {
    let booking = Booking::new();
    let house = booking.open(Setup::new(Vendor::Gemini)).await;
    let call = house.call().await;
    house.fake.will_call("book", &oslo());
    call.voice.say(ms(400)).await;
    booking.runs().await;
    house.fake.will_say("As you wish.", 200);
    call.voice.say(ms(400)).await;
    call.client
        .wait_for_message(|message| {
            matches!(
                message,
                ServerMessage::ToolCall {
                    status: ToolCallStatus::Cancelled,
                    ..
                }
            )
        })
        .await;
    booking.allowed.open();
    call.hears("As you wish.").await;
    call.turn(&house, "Anything else?").await;
    assert_eq!(results(&house.fake.peer(0).await), 0);
    assert_eq!(house.hand_overs.all(), []);
    call.asked(3);
    call.end(house).await;
}

/// Seen at random in the field: the vendor closes on the result of a tool.
#[tokio::test]
async fn k2_a_connection_that_is_closed_upon_a_result_costs_no_answer() {
    let point = FaultPoint::AfterReceiving("toolResponse".into());
    let closes = Fault::new(point, FaultAction::entity_not_found());
    let booking = Booking::new();
    let setup = Setup::new(Vendor::Gemini).gemini(|fake| fake.fault(closes));
    let house = booking.open(setup).await;
    let call = house.call().await;
    call.turn(&house, "Hello.").await;
    house.fake.will_call("book", &oslo());
    house.fake.will_say("It is booked.", 200);
    booking.allowed.open();
    call.voice.say(ms(400)).await;
    call.hears("It is booked.").await;
    call.turn(&house, "Anything else?").await;
    let said = ["Hello.", "It is booked.", "Anything else?"];
    assert_eq!(call.finals(Role::Assistant), said);
    assert_eq!(results(&house.fake.peer(1).await), 1);
    booking.ran_once();
    call.asked(3);
    assert_eq!(call.notices(), ["reconnecting", "reconnected"]);
    call.end(house).await;
}

/// Every model takes what was said and done in its own form.
#[tokio::test]
async fn h1_every_model_can_be_told_the_conversation_with_its_tools() {
    let models = [
        "gemini-2.5-flash-native-audio-preview-12-2025",
        "gemini-3.1-flash-live-preview",
        "gemini-3.8-live",
    ];
    side_by_side(models, |model| async move {
        let booking = Booking::new();
        let setup = Setup::new(Vendor::Gemini).provider("model", model);
        let house = booking.open(setup).await;
        let call = house.call().await;
        house.fake.will_call("book", &oslo());
        house.fake.will_say("It is booked.", 200);
        booking.allowed.open();
        call.voice.say(ms(400)).await;
        call.hears("It is booked.").await;
        house.gemini().expire_handles();
        house.proxy.cut(Cut::Finish);
        house.wait_for_hand_overs(1).await;
        let last = house.fake.peers().len() - 1;
        let peer = house.gemini_peer(last).await;
        // Turns of one side that follow each other are told as one.
        let told = |turns: &[Turn]| {
            let has_answer = turns.iter().any(|turn| turn.text == "It is booked.");
            has_answer.then(|| turns[0].text.clone())
        };
        let told = peer.wait_for_conversation(told).await.unwrap();
        for word in [QUESTION, "`book`", "Oslo", "table 4"] {
            assert!(told.contains(word), "{told}");
        }
        call.turn(&house, "Anything else?").await;
        let said = ["It is booked.", "Anything else?"];
        assert_eq!(call.finals(Role::Assistant), said);
        booking.ran_once();
        call.asked(2);
        call.end(house).await;
    })
    .await;
}

/// The same with an answer that is owed: it is asked for, once, in the form the model takes.
#[tokio::test]
async fn h4_every_model_can_be_asked_again() {
    let models = ["gemini-3.1-flash-live-preview", "gemini-3.8-live"];
    side_by_side(models, |model| async move {
        let setup = Setup::new(Vendor::Gemini).provider("model", model);
        let house = setup.open().await;
        let call = house.call().await;
        call.turn(&house, "Hello.").await;
        house
            .fake
            .will_stop_saying("Once upon a time", 5_000, 1_000);
        house.fake.will_say("It is noon.", 200);
        call.voice.say(ms(400)).await;
        call.client.wait_for_audio(9_600 + 47_040).await;
        house.proxy.cut(Cut::Reset);
        call.hears("It is noon.").await;
        call.turn(&house, "Still noon.").await;
        let told = call.finals(Role::Assistant);
        assert_eq!(told.len(), 4, "{told:?}");
        call.asked(3);
        call.all_heard(&house).await;
        call.end(house).await;
    })
    .await;
}
