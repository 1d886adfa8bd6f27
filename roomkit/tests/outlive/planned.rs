//! Hand-overs that were planned, which nobody notices (contract H1).

use std::time::Duration;

use roomkit::mock::fault_proxy::Cut;

use crate::support::{House, Setup, Vendor, ms, with_both, words_during_speech};

#[tokio::test]
async fn h1_the_host_hands_over_in_a_quiet_moment_and_nobody_notices() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        call.turn(&house, "It is noon.").await;
        let clears = call.clears();
        house.voice.hand_over(&call.session).unwrap();
        house.wait_for_hand_overs(1).await;
        assert_eq!(call.clears(), clears);
        call.turn(&house, "Still noon.").await;
        let heard = call.all_heard(&house).await;
        assert_eq!(heard.len(), 2);
        assert_eq!(house.hand_overs.all(), [("host", vendor.outcome(), 1)]);
        assert_eq!(call.notices(), Vec::<String>::new());
        call.asked(2);
        let said = [
            "What time is it?",
            "It is noon.",
            "What time is it?",
            "Still noon.",
        ];
        assert_eq!(house.texts().await, said);
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn h1_a_user_who_never_stops_is_handed_over_in_mid_sentence_and_heard_whole() {
    with_both(|vendor| async move {
        // The next connection is not old when the sentence ends.
        let age = Duration::from_secs(3);
        let setup = Setup::new(vendor)
            .gemini(|fake| fake.default_transcript(words_during_speech()))
            .channel(move |channel| channel.max_connection_age(age));
        let house = setup.open().await;
        let call = house.call().await;
        call.voice.go_on(ms(600)).await;
        house.fake.will_say("It is noon.", 200);
        let first = call.voice.begin(ms(3_000));
        house.wait_for_hand_overs(1).await;
        call.hears("It is noon.").await;
        let heard = call.all_heard(&house).await;
        assert!(
            heard[1][0] <= first,
            "the sentence is heard from its beginning"
        );
        assert!(heard[1].contains(&(first + 149)), "to its end");
        assert_eq!(house.hand_overs.all()[0].0, "max_age");
        assert_eq!(call.notices(), Vec::<String>::new());
        call.asked(1);
        assert_eq!(house.texts().await, ["What time is it?", "It is noon."]);
        call.end(house).await;
    })
    .await;
}

/// The new connection dies before it is ready, twice in a row.
#[tokio::test]
async fn h1_a_new_connection_that_dies_at_once_is_tried_again_and_no_word_is_lost() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        call.turn(&house, "It is noon.").await;
        house.proxy.delay_connect(ms(300));
        house.voice.hand_over(&call.session).unwrap();
        for index in [1, 2] {
            let new = house.proxy.wait_for_connection(index).await;
            new.cut(Cut::Reset);
        }
        house.proxy.wait_for_connection(3).await;
        house.proxy.delay_connect(Duration::ZERO);
        match vendor {
            // Where two connections may overlap, the old one is good all the time.
            Vendor::OpenAi => {
                house.wait_for_hand_overs(3).await;
                let kept = ("host", "kept", 1);
                let told = house.hand_overs.all();
                assert_eq!(told, [kept, kept, ("host", "replayed", 1)]);
                // The host knows why, and the client has noticed nothing.
                assert_eq!(house.errors.all(), ["ws_1006"; 2]);
                assert_eq!(call.notices(), Vec::<String>::new());
            }
            Vendor::Gemini => {
                house.wait_for_hand_overs(1).await;
                assert_eq!(house.hand_overs.all(), [("host", "resumed", 3)]);
                assert_eq!(call.notices(), ["reconnecting", "reconnected"]);
            }
        }
        call.turn(&house, "Still noon.").await;
        call.all_heard(&house).await;
        call.asked(2);
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn h1_what_is_said_while_the_new_connection_is_made_is_heard_by_it() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        call.turn(&house, "It is noon.").await;
        house.proxy.delay_connect(ms(1_000));
        house.voice.hand_over(&call.session).unwrap();
        house.proxy.wait_for_connection(1).await;
        call.turn(&house, "Still noon.").await;
        let heard = call.all_heard(&house).await;
        assert_eq!(heard.len(), 2);
        assert_eq!(house.hand_overs.all(), [("host", vendor.outcome(), 1)]);
        assert_eq!(call.notices(), Vec::<String>::new());
        call.asked(2);
        call.end(house).await;
    })
    .await;
}

/// The old connection, which would be used until the new one is there, dies meanwhile.
#[tokio::test]
async fn h1_an_old_connection_that_dies_during_its_hand_over_costs_no_word() {
    let house = House::new(Vendor::OpenAi).await;
    let call = house.call().await;
    call.turn(&house, "It is noon.").await;
    house.proxy.delay_connect(ms(800));
    house.voice.hand_over(&call.session).unwrap();
    house.proxy.wait_for_connection(1).await;
    house.fake.will_say("Still noon.", 200);
    call.voice.begin(ms(1_000));
    call.voice.go_on(ms(300)).await;
    house.proxy.connections()[0].cut(Cut::Reset);
    call.hears("Still noon.").await;
    call.all_heard(&house).await;
    assert_eq!(house.hand_overs.all(), [("host", "replayed", 1)]);
    assert_eq!(call.notices(), Vec::<String>::new());
    call.asked(2);
    call.end(house).await;
}
