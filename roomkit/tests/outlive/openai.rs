//! How OpenAI ends a session, and what becomes of the call (contracts H1, H3).

use std::time::Duration;

use roomkit::{
    mock::fake_openai::{Closure, Fault, FaultAction, FaultPoint, Reply},
    provider::Role,
};
use serde_json::Value;

use crate::{
    support::{House, Setup, Vendor, ms},
    tools::{Booking, oslo},
};

/// What the replayed history of so many items says, item by item.
async fn history(house: &House, connection: usize, items: usize) -> Vec<String> {
    let peer = house.fake.peer(connection).await;
    let taken = peer.wait_for_sent("conversation.item.done", items);
    taken.await.unwrap();
    let events = peer.events();
    let items = events.iter().map(|event| &event.json["item"]);
    let told = |item: &Value| {
        let text = &item["content"][0]["text"];
        let what = match item["type"].as_str()? {
            "message" => text.as_str()?,
            "function_call" => item["arguments"].as_str()?,
            "function_call_output" => item["output"].as_str()?,
            other => other,
        };
        Some(what.to_owned())
    };
    items.filter_map(told).collect()
}

#[tokio::test]
async fn h1_a_session_that_will_expire_is_left_before_and_its_history_told_with_calls() {
    let life = Duration::from_secs(5);
    let expires = Fault::new(FaultPoint::AfterMs(5_000), FaultAction::ExpireSession);
    let setup = Setup::new(Vendor::OpenAi).openai(|fake| {
        fake.announced_lifetime(Some(life))
            .fault(expires.on_every_connection())
    });
    let booking = Booking::new();
    let house = booking.open(setup).await;
    let call = house.call().await;
    house.fake.will_call("book", &oslo());
    house.fake.will_say("It is booked.", 200);
    booking.allowed.open();
    call.voice.say(ms(400)).await;
    call.hears("It is booked.").await;
    house.wait_for_hand_overs(1).await;
    assert_eq!(house.hand_overs.all(), [("expiring", "replayed", 1)]);
    let told = [
        "What time is it?",
        r#"{"city":"Oslo"}"#,
        "table 4",
        "It is booked.",
    ];
    assert_eq!(history(&house, 1, 4).await, told);
    let closure = house.fake.peer(0).await.wait_for_close().await.unwrap();
    assert_eq!(closure, Closure::ByClient(Some(1000)));
    call.turn(&house, "Anything else?").await;
    call.all_heard(&house).await;
    booking.ran_once();
    call.asked(2);
    assert_eq!(call.notices(), Vec::<String>::new());
    call.end(house).await;
}

#[tokio::test]
async fn h2_a_session_that_expires_in_mid_sentence_costs_no_word() {
    let point = FaultPoint::AfterAudioMs(2_500);
    let expires = Fault::new(point, FaultAction::ExpireSession);
    let setup = Setup::new(Vendor::OpenAi).openai(|fake| fake.fault(expires));
    let house = setup.open().await;
    let call = house.call().await;
    call.voice.go_on(ms(500)).await;
    house.fake.will_say("It is noon.", 200);
    let first = call.voice.begin(ms(3_000));
    call.hears("It is noon.").await;
    let heard = call.all_heard(&house).await;
    assert_eq!(heard.len(), 2);
    assert!(heard[1][0] <= first, "{heard:?}");
    let closure = house.fake.peer(0).await.closure();
    assert!(
        matches!(closure, Some(Closure::ByServer { code: 1001, .. })),
        "{closure:?}"
    );
    assert_eq!(house.hand_overs.all(), [("expiring", "replayed", 1)]);
    call.asked(1);
    call.end(house).await;
}

#[tokio::test]
async fn h3_a_quota_that_is_spent_ends_the_call_with_its_code() {
    let spent = Reply::failed("insufficient_quota");
    let setup = Setup::new(Vendor::OpenAi).openai(|fake| fake.reply(spent));
    let house = setup.open().await;
    let call = house.call().await;
    call.voice.say(ms(400)).await;
    call.client.wait_for_close().await;
    assert_eq!(call.finals(Role::Assistant), Vec::<String>::new());
    assert_eq!(house.fake.peers().len(), 1, "nothing is tried again");
    assert_eq!(house.hand_overs.all(), []);
    call.ends_given_up(house, "insufficient_quota").await;
}

#[tokio::test]
async fn h3_an_answer_refused_for_its_content_does_not_end_the_call() {
    let refused = Reply::failed("content_filter");
    let setup = Setup::new(Vendor::OpenAi).openai(|fake| fake.reply(refused));
    let house = setup.open().await;
    let call = house.call().await;
    call.voice.say(ms(400)).await;
    house.errors.wait_for_count("the refusal", 1).await;
    assert_eq!(house.errors.all(), ["content_filter"]);
    call.turn(&house, "It is noon.").await;
    call.end(house).await;
}
