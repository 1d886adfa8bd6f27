//! Connections that break while the user speaks (contracts H2, S2).

use std::time::Duration;

use roomkit::{
    RealtimeSessionState,
    mock::fault_proxy::{Cut, Direction, Stall},
};

use crate::support::{House, Setup, Vendor, ms, side_by_side, with_both, words_during_speech};

/// More than one frame of audio on the wire, and not a whole number of them.
const IN_MID_FRAME: u64 = 2_111;

async fn cut_in_mid_sentence(vendor: Vendor, cut: Cut) {
    let house = House::new(vendor).await;
    let call = house.call().await;
    call.turn(&house, "It is noon.").await;
    call.voice.go_on(ms(300)).await;
    house.proxy.delay_connect(ms(500));
    house.fake.will_say("Still noon.", 200);
    let first = call.voice.begin(ms(2_000));
    call.voice.go_on(ms(1_000)).await;
    let line = house.proxy.wait_for_connection(0).await;
    line.cut_after(Direction::ToServer, IN_MID_FRAME, cut);
    call.is_reconnecting().await;
    assert_eq!(call.session.state(), RealtimeSessionState::Active);
    call.is_reconnected().await;
    call.hears("Still noon.").await;
    let heard = call.all_heard(&house).await;
    assert_eq!(heard.len(), 2);
    assert!(heard[0].contains(&first), "the cut was in the sentence");
    assert!(
        heard[1][0] <= first,
        "the sentence is heard from its beginning"
    );
    assert_eq!(house.hand_overs.all(), [("lost", vendor.outcome(), 1)]);
    assert_eq!(call.notices(), ["reconnecting", "reconnected"]);
    call.asked(2);
    let said = [
        "What time is it?",
        "It is noon.",
        "What time is it?",
        "Still noon.",
    ];
    assert_eq!(house.texts().await, said);
    call.end(house).await;
}

#[tokio::test]
async fn h2_s2_a_connection_that_breaks_in_mid_sentence_costs_no_word_and_changes_no_state() {
    let cuts = [Cut::Reset, Cut::Finish];
    let cases = cuts.map(|cut| [(Vendor::OpenAi, cut), (Vendor::Gemini, cut)]);
    side_by_side(cases.concat(), |(vendor, cut)| {
        cut_in_mid_sentence(vendor, cut)
    })
    .await;
}

/// The first sentence of a call: there is no token and no history yet.
#[tokio::test]
async fn h2_the_first_sentence_of_a_call_survives_as_well() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        house.fake.will_say("It is noon.", 200);
        let first = call.voice.begin(ms(1_500));
        call.voice.go_on(ms(700)).await;
        house.proxy.cut(Cut::Reset);
        call.hears("It is noon.").await;
        let heard = call.all_heard(&house).await;
        assert!(heard[1][0] <= first, "{heard:?}");
        call.asked(1);
        assert_eq!(call.notices(), ["reconnecting", "reconnected"]);
        call.end(house).await;
    })
    .await;
}

/// Two connections in a row die before they are ready, and one once it is.
#[tokio::test]
async fn h2_connections_that_break_in_a_row_cost_no_word() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        call.turn(&house, "It is noon.").await;
        call.voice.go_on(ms(300)).await;
        house.proxy.delay_connect(ms(200));
        house.fake.will_say("Still noon.", 200);
        let first = call.voice.begin(ms(3_000));
        call.voice.go_on(ms(500)).await;
        house.proxy.cut(Cut::Reset);
        for index in [1, 2] {
            let new = house.proxy.wait_for_connection(index).await;
            new.cut(Cut::Finish);
        }
        house.proxy.delay_connect(Duration::ZERO);
        house.wait_for_hand_overs(1).await;
        // It has begun to hear the sentence again.
        let next = house.fake.peer(1).await;
        next.wait_for_audio(1).await.unwrap();
        house.proxy.cut(Cut::Reset);
        call.hears("Still noon.").await;
        let heard = call.all_heard(&house).await;
        assert!(
            heard[2][0] <= first,
            "the sentence is heard from its beginning"
        );
        let reports = house.hand_overs.all();
        let attempts: Vec<u32> = reports.iter().map(|report| report.2).collect();
        assert_eq!(attempts, [3, 1]);
        call.asked(2);
        call.end(house).await;
    })
    .await;
}

/// A line that is dead for a while before somebody says so: the vendor heard nothing of a whole
/// sentence, and of what came after it.
#[tokio::test]
async fn h2_what_a_dead_line_swallowed_is_heard_by_the_next_connection() {
    with_both(|vendor| async move {
        let house = House::new(vendor).await;
        let call = house.call().await;
        call.turn(&house, "It is noon.").await;
        house.proxy.stall(Direction::ToServer, Stall::Swallow);
        house.proxy.stall(Direction::ToClient, Stall::Swallow);
        house.fake.will_say("Still noon.", 200);
        call.voice.go_on(ms(200)).await;
        let first = call.voice.say(ms(2_000)).await;
        call.voice.go_on(ms(1_000)).await;
        house.proxy.cut(Cut::Reset);
        call.hears("Still noon.").await;
        let heard = call.all_heard(&house).await;
        assert!(heard[1][0] <= first, "{heard:?}");
        assert_eq!(call.notices(), ["reconnecting", "reconnected"]);
        call.asked(2);
        call.end(house).await;
    })
    .await;
}

/// Longer than what is kept of audio that nobody has noticed to be speech.
#[tokio::test]
async fn h2_a_long_sentence_is_heard_from_its_beginning() {
    with_both(|vendor| async move {
        let setup = Setup::new(vendor);
        let setup = setup.gemini(|fake| fake.default_transcript(words_during_speech()));
        let house = setup.open().await;
        let call = house.call().await;
        house.fake.will_say("It is noon.", 200);
        let first = call.voice.begin(ms(5_500));
        call.voice.go_on(ms(4_500)).await;
        house.proxy.cut(Cut::Reset);
        call.hears("It is noon.").await;
        let heard = call.all_heard(&house).await;
        assert!(heard[1][0] <= first, "{heard:?}");
        call.asked(1);
        call.end(house).await;
    })
    .await;
}
