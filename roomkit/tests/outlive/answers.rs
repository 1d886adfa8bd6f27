//! Connections that break while the AI speaks (contract H4).

use roomkit::{
    event::ResponsePhase,
    mock::fault_proxy::{Cut, Direction},
    provider::Role,
};

use crate::support::{House, ms, with_both};

/// Bytes of a second of the AI's voice.
const SECOND: usize = 48_000;

#[tokio::test]
async fn h4_an_answer_that_is_cut_off_is_heard_so_far_and_given_again_once() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        house
            .fake
            .will_stop_saying("Once upon a time", 5_000, 1_000);
        house.fake.will_say("It is noon.", 500);
        call.voice.say(ms(400)).await;
        // All but the last 20 ms are at the client, so all of it is at the server.
        call.client.wait_for_audio(SECOND * 98 / 100).await;
        house.proxy.cut(Cut::Reset);
        call.hears("It is noon.").await;
        house.wait_for_responses(2).await;
        let phases = [ResponsePhase::Lost, ResponsePhase::Completed];
        assert_eq!(house.responses.all(), phases);
        assert_eq!(call.clears(), 0);
        assert_eq!(call.played(), SECOND * 3 / 2, "all that came was played");
        assert_eq!(call.notices(), ["reconnecting", "reconnected"]);
        let told = call.finals(Role::Assistant);
        assert!("Once upon a time".starts_with(told[0].trim()), "{told:?}");
        assert_eq!(told.len(), 2);
        // And the conversation goes on as if nothing had happened.
        call.turn(&house, "Still noon.").await;
        assert_eq!(call.finals(Role::Assistant).len(), 3);
        call.asked(2);
        call.all_heard(&house).await;
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn h4_an_answer_that_breaks_off_in_mid_frame_is_given_again_once() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        call.turn(&house, "Hello.").await;
        house.fake.will_say("A very long story", 4_000);
        house.fake.will_say("It is noon.", 200);
        let line = house.proxy.wait_for_connection(0).await;
        line.cut_after(Direction::ToClient, 60_007, Cut::Finish);
        call.voice.say(ms(400)).await;
        call.hears("It is noon.").await;
        house.wait_for_responses(3).await;
        let phases = house.responses.all();
        assert_eq!(phases[1..], [ResponsePhase::Lost, ResponsePhase::Completed]);
        // Besides the two short answers, some of the story was heard.
        assert!(call.played() > SECOND * 3 / 5, "what came was played");
        assert_eq!(call.notices(), ["reconnecting", "reconnected"]);
        call.asked(2);
        call.all_heard(&house).await;
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn h4_an_answer_that_was_all_said_is_not_given_again() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        house
            .fake
            .will_say("It is noon, and the sun shines.", 2_000);
        call.voice.say(ms(400)).await;
        // It comes faster than it is spoken: most of it is still to be heard.
        call.has_long_answer(&house).await;
        house.proxy.cut(Cut::Reset);
        call.is_reconnected().await;
        assert!(call.played() < SECOND * 2);
        call.hears("It is noon, and the sun shines.").await;
        assert_eq!(call.clears(), 0);
        call.turn(&house, "Still noon.").await;
        house.wait_for_responses(2).await;
        assert_eq!(
            house.responses.all(),
            [const { ResponsePhase::Completed }; 2]
        );
        assert_eq!(call.played(), SECOND * 22 / 10);
        assert_eq!(call.notices(), ["reconnecting", "reconnected"]);
        call.asked(2);
        call.end(house).await;
    })
    .await;
}
