//! Connections that take nothing, and connections that are slow and alive (contract H5).

use roomkit::{
    client_protocol::ServerMessage,
    mock::fault_proxy::{Cut, Direction},
};

use crate::support::{House, Vendor, ms, with_both};

/// More than all the buffers between here and the vendor take.
const MUCH: usize = 10 << 20;

/// The vendor reads nothing more. An image fills all buffers on the way, so that sends block.
#[tokio::test]
async fn h5_a_connection_that_takes_nothing_for_10_s_is_replaced_and_hears_what_it_missed() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        call.turn(&house, "It is noon.").await;
        house.fake.peer(0).await.stop_reading();
        house
            .voice
            .inject_image(&call.session, "image/png", vec![0; MUCH], None, false)
            .unwrap();
        house.fake.will_say("Still noon.", 200);
        let first = call.voice.begin(ms(1_000));
        call.is_reconnected().await;
        call.hears("Still noon.").await;
        let heard = call.all_heard(&house).await;
        assert!(heard[1][0] <= first, "{heard:?}");
        assert_eq!(call.notices(), ["reconnecting", "reconnected"]);
        let report = match vendor {
            Vendor::OpenAi => ("lost", "replayed", 1),
            // To this vendor the old connection is still open, so it refuses the token.
            Vendor::Gemini => ("lost", "replayed", 3),
        };
        assert_eq!(house.hand_overs.all(), [report]);
        call.asked(2);
        // Neither side of it would ever end it.
        house.proxy.connections()[0].cut(Cut::Reset);
        call.end(house).await;
    })
    .await;
}

#[tokio::test]
async fn h5_a_connection_that_is_slow_and_alive_is_not_cut() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        call.turn(&house, "It is noon.").await;
        // Less than the voice needs in either direction.
        house.proxy.throttle(Direction::ToServer, Some(30_000));
        house.proxy.throttle(Direction::ToClient, Some(30_000));
        house.fake.will_say("Still noon.", 1_000);
        call.voice.say(ms(2_000)).await;
        call.voice.go_on(ms(500)).await;
        house.proxy.throttle(Direction::ToServer, None);
        call.client
            .wait_for_message(|message| {
                matches!(message,
                ServerMessage::Transcription { text, is_final: true, .. } if text == "Still noon.")
            })
            .await;
        house.proxy.throttle(Direction::ToClient, None);
        call.turn(&house, "Noon it is.").await;
        let heard = call.all_heard(&house).await;
        assert_eq!(heard.len(), 1);
        assert_eq!(house.hand_overs.all(), []);
        assert_eq!(call.notices(), Vec::<String>::new());
        call.asked(3);
        call.end(house).await;
    })
    .await;
}
