//! Turns that the host begins and ends, over a change of connections.

use super::*;

#[test]
fn h2_a_turn_after_one_that_is_heard_again_is_another() {
    for is_over in [false, true] {
        let mut call = replaying_call();
        call.command(Command::ActivityStart).speak(1).pass(ms(100));
        if is_over {
            call.command(Command::ActivityEnd);
        }
        call.lost().connects(replaying()).pass(ms(100));
        if !is_over {
            call.speak(2).pass(ms(100)).command(Command::ActivityEnd);
        }
        call.pass(ms(3_000));
        // Before the first one is written down.
        let began = call.now;
        call.command(Command::ActivityStart).speak(3).pass(ms(100));
        let from = call.log.len();
        call.lost()
            .pass(ms(600))
            .connects(replaying())
            .pass(ms(1_000));
        let heard = numbers(&call.to_new_provider(from));
        let first: &[u8] = if is_over { &[1] } else { &[1, 2] };
        assert_eq!(heard, [first, &[3]].concat(), "over: {is_over}");

        call.command(Command::ActivityEnd).pass(ms(100));
        call.words(Role::User, "u1", "the first", true)
            .words(Role::User, "u2", "the second", true);
        let said: Vec<_> = call
            .news()
            .into_iter()
            .filter_map(|news| match news {
                News::Final { text, since, .. } => Some((text, since)),
                _ => None,
            })
            .collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].1 < ms(100), "{said:?}");
        assert_eq!(said[1], ("the second".to_owned(), began));
    }
}

#[test]
fn h4_what_was_said_before_turns_became_manual_is_answered() {
    let mut finds = replaying();
    finds.manual_turns = false;
    let mut call = Scripted::with(settings(), finds);
    call.user_starts("u1").speak(1).pass(ms(100));
    call.user_stops("u1").pass(ms(100));
    call.lost().connects(replaying()).pass(ms(1_000));
    assert_eq!(call.asked(), 1, "nobody else will");
}

#[test]
fn s4_h2_turns_of_the_host_are_passed_over_where_the_vendor_finds_them_itself() {
    let mut finds = replaying();
    finds.manual_turns = false;
    for is_first in [true, false] {
        for is_text_given in [false, true] {
            let mut call = Scripted::unconnected(settings());
            if !is_first {
                call.connects(replaying());
                turn(&mut call, "0");
                call.lost();
            }
            let (began, asked) = (call.now, call.asked());
            for number in [1, 2] {
                call.command(Command::ActivityStart)
                    .speak(number)
                    .pass(ms(100))
                    .command(Command::ActivityEnd);
            }
            if is_text_given {
                call.text("offer 20 %", false);
            }
            call.pass(ms(300)).connects(finds.clone());
            call.pass(ms(100));
            assert_eq!(call.asked() > asked, is_text_given, "first: {is_first}");

            let said = |call: &Scripted| {
                let finals = call.news().into_iter().filter_map(|news| match news {
                    News::Final { text, since, .. } => Some((text, since)),
                    _ => None,
                });
                finals.collect::<Vec<_>>()
            };
            let before = said(&call).len();
            // Found one by one, written down without ids, and each in the right place.
            for (item, text) in [("u1", "one"), ("u2", "two"), ("u3", "three")] {
                call.user_starts(item).pass(ms(100)).user_stops(item);
                call.words(Role::User, "", text, true);
                call.answer(&format!("to-{item}"), "well", ms(100))
                    .pass(ms(3_000));
            }
            let said = said(&call).split_off(before);
            let user: Vec<_> = said.iter().filter(|(text, _)| text != "well").collect();
            assert_eq!(user.len(), 3, "{said:?}");
            assert!(user[0].1 <= began, "the first: {said:?}");
            assert!(user[2].1 > began + ms(3_000), "the third: {said:?}");
        }
    }
}
