//! New connections that cannot be had (contract H2).

use roomkit::mock::fault_proxy::Cut;

use crate::support::{House, Setup, ms, with_both};

#[tokio::test]
async fn h2_connections_that_are_refused_for_a_while_are_tried_until_one_is_not() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        call.turn(&house, "It is noon.").await;
        house.fake.will_say("Still noon.", 200);
        let first = call.voice.begin(ms(1_500));
        call.voice.go_on(ms(500)).await;
        house.proxy.refuse();
        house.proxy.cut(Cut::Reset);
        house.proxy.wait_for_refused(3).await;
        house.proxy.admit();
        call.hears("Still noon.").await;
        let heard = call.all_heard(&house).await;
        assert!(heard[1][0] <= first, "{heard:?}");
        assert_eq!(house.hand_overs.all(), [("lost", vendor.outcome(), 4)]);
        assert_eq!(call.notices(), ["reconnecting", "reconnected"]);
        call.asked(2);
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn h2_connections_that_are_refused_for_ever_end_the_call_with_the_error() {
    with_both(|vendor| async move {
        let setup = Setup::new(vendor).channel(|channel| channel.reconnect_attempts(2));
        let house = setup.open().await;
        let call = house.call().await;
        call.turn(&house, "It is noon.").await;
        house.proxy.refuse();
        house.proxy.cut(Cut::Reset);
        assert_eq!(call.client.wait_for_close().await, "provider_error");
        assert_eq!(house.proxy.refused(), 2);
        assert_eq!(house.hand_overs.all(), [("lost", "failed", 2)]);
        assert_eq!(call.notices()[0], "reconnecting");
        call.ends_given_up(house, "connect").await;
    })
    .await;
}
