//! Values that no peer in its right mind sends, and limits at the edge (contracts S6, X5). Most of these
//! were found by [fuzzing](super::super::testing).

use super::*;
use crate::voice::DeliveryStrategy;

#[test]
fn x5_no_length_of_time_is_too_long() {
    let mut limited = settings();
    limited.idle_timeout = Some(Duration::MAX);
    limited.tool_timeout = Duration::MAX;
    let mut info = ConnectionInfo::new(capabilities());
    info.expires_in = Some(Duration::MAX);
    let mut call = Scripted::unconnected(limited);
    call.feed(Input::Connected(info)).pass(ms(1000));
    call.client(ClientEvent::Playback(Duration::MAX))
        .provider(ProviderEvent::GoAway {
            time_left: Some(Duration::MAX),
        })
        .command(Command::Deliver {
            text: "news".into(),
            strategy: DeliveryStrategy::WaitForIdle(Duration::MAX),
            taken: None,
        })
        .tool_call("c1")
        .tool_cleared("c1")
        .answer("r1", "hello", ms(500))
        .pass(ms(1000));
    assert_eq!(call.heard(), ms(500));
}

#[test]
fn s6_a_call_that_is_not_connected_does_not_wake_for_its_idle_limit() {
    let mut limited = settings();
    limited.idle_timeout = Some(ms(5000));
    let mut call = Scripted::unconnected(limited);
    call.pass(ms(5000));
    assert_eq!(call.call.next_wake(call.now), None);
}

/// How many words of the AI or the user were shown.
fn shown(call: &Scripted) -> usize {
    let partial = |news: &News| matches!(news, News::Partial { .. });
    call.news().into_iter().filter(partial).count()
}

#[test]
fn a6_x5_a_response_of_parts_without_end_is_told_and_not_kept() {
    let mut call = Scripted::new();
    call.response("r1");
    let parts: Vec<String> = (0..3_000).map(|number| format!("part {number}")).collect();
    for part in &parts {
        call.words(Role::Assistant, part, part, false);
        call.voice("r1", part, ms(20)).pass(ms(20));
        assert!(call.call.words.is_bounded());
        // And the lead, which has not been heard.
        assert!(call.call.playout.segments() <= 1024 + 16);
    }
    call.response_ends("r1", ResponseStatus::Completed);
    assert_eq!(shown(&call), parts.len());
    assert_eq!(call.heard(), ms(20) * 3_000);
    call.pass(ms(1000));
    let told: Vec<String> = call.finals().into_iter().map(|(_, text)| text).collect();
    assert_eq!(told, parts);
}

#[test]
fn a6_x5_an_answer_without_end_is_shown_and_kept_as_far_as_it_may_be() {
    let mut call = Scripted::new();
    call.response("r1");
    let kib = "word ".repeat(205)[..1024].to_owned();
    for _ in 0..300 {
        call.words(Role::Assistant, "a1", &kib, false);
        assert!(call.call.words.is_bounded());
    }
    call.response_ends("r1", ResponseStatus::Completed);
    assert_eq!(shown(&call), 300);
    let lengths: Vec<usize> = call.finals().iter().map(|(_, text)| text.len()).collect();
    assert_eq!(lengths, [256 * 1024]);
    let dropped = |(_, action): &&(_, Action)| *action == Action::Dropped("answer_words");
    assert_eq!(call.log.iter().filter(dropped).count(), 300 - 256);
}

#[test]
fn a6_t1_x5_what_waits_until_an_answer_has_been_heard_is_bounded() {
    let mut call = Scripted::new();
    call.answer("r1", "a long story", ms(60_000));
    for number in 0..10_000 {
        call.words(Role::User, "u1", &format!("word {number}"), false);
        assert!(call.call.words.is_bounded());
    }
    assert_eq!(shown(&call), 10_001);
    let told = call.news();
    let place = told
        .iter()
        .position(|news| matches!(news, News::Final { .. }));
    let first = told.iter().position(|news| {
        matches!(
            news,
            News::Partial {
                role: Role::User,
                ..
            }
        )
    });
    assert!(place < first, "in order");
}
