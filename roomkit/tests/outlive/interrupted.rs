//! Answers that the caller stops by hand (contract A3).

use roomkit::{event::ResponsePhase, transport::ClientEvent};

use crate::support::{House, Vendor, ms};

/// Bytes of a second of the AI's voice.
const SECOND: usize = 48_000;

#[tokio::test]
async fn a3_an_answer_that_is_stopped_by_hand_is_cancelled_and_then_cut() {
    let house = House::new(Vendor::OpenAi).await;
    let call = house.call().await;
    house.fake.will_stop_saying("A long story", 5_000, 1_000);
    call.voice.say(ms(400)).await;
    call.client.wait_for_audio(SECOND / 2).await;
    call.client.send(ClientEvent::Interrupt);
    let peer = house.fake.peer(0).await;
    let cut = peer.wait_for_sent("conversation.item.truncated", 1);
    cut.await.unwrap();
    house.wait_for_responses(1).await;
    assert_eq!(house.responses.all(), [ResponsePhase::Interrupted]);
    let events = peer.events();
    let stops = ["response.cancel", "conversation.item.truncate"];
    let order: Vec<&str> = events
        .iter()
        .filter_map(|event| stops.into_iter().find(|stop| event.kind() == *stop))
        .collect();
    assert_eq!(order, stops, "nothing is written into what was cut");
    call.turn(&house, "It is noon.").await;
    assert_eq!(call.clears(), 1);
    call.end(house).await;
}
