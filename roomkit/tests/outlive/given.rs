//! What is given to a call while its connection is replaced, and right after (contracts H1, A3).

use roomkit::{mock::fault_proxy::Cut, provider::Role, transport::ClientEvent};

use crate::support::{House, Setup, ms, with_both};

#[tokio::test]
async fn h1_what_is_written_between_two_connections_is_answered_once() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        call.turn(&house, "It is noon.").await;
        house.proxy.delay_connect(ms(300));
        house.proxy.cut(Cut::Reset);
        house.proxy.wait_for_connection(1).await;
        house.fake.will_say("Yes?", 200);
        call.client.send(ClientEvent::Text("Are you there?".into()));
        call.hears("Yes?").await;
        call.turn(&house, "Still noon.").await;
        let events = house.fake.peer(1).await.events();
        let told = events.iter().map(|event| event.json.to_string());
        assert_eq!(
            told.filter(|event| event.contains("Are you there?"))
                .count(),
            1
        );
        let said = ["It is noon.", "Yes?", "Still noon."];
        assert_eq!(call.finals(Role::Assistant), said);
        call.all_heard(&house).await;
        call.end(house).await;
    })
    .await;
}

/// An answer of the old connection is interrupted when the new one is there, which knows nothing
/// of its audio.
#[tokio::test]
async fn a3_a_barge_in_after_a_loss_silences_the_answer_and_asks_nothing_strange() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        house.fake.will_say("A very long story", 6_000);
        call.voice.say(ms(400)).await;
        call.has_long_answer(&house).await;
        house.proxy.cut(Cut::Reset);
        call.is_reconnected().await;
        house.fake.will_say("Still noon.", 200);
        call.voice.say(ms(400)).await;
        call.hears("Still noon.").await;
        assert_eq!(call.clears(), 1);
        assert!(call.played() < 48_000 * 5, "the rest was not played");
        call.asked(2);
        call.all_heard(&house).await;
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn h2_a_turn_that_the_host_marks_goes_on_on_the_next_connection() {
    with_both(|vendor| async move {
        let setup =
            Setup::new(vendor).channel(move |channel| channel.provider_config(vendor.manual()));
        let house = setup.open().await;
        let call = house.call().await;
        call.voice.go_on(ms(300)).await;
        house.fake.will_say("It is noon.", 200);
        house.voice.activity_start(&call.session).unwrap();
        let first = call.voice.begin(ms(1_500));
        call.voice.go_on(ms(800)).await;
        house.proxy.cut(Cut::Reset);
        call.is_reconnected().await;
        call.voice.finished().await;
        house.voice.activity_end(&call.session).unwrap();
        call.hears("It is noon.").await;
        let heard = call.all_heard(&house).await;
        assert!(heard[1][0] <= first, "{heard:?}");
        assert_eq!(call.finals(Role::Assistant), ["It is noon."]);
        call.asked(1);
        call.end(house).await;
    })
    .await;
}
