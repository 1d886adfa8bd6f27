//! Vendors may number their items from 1 on each connection (contract T3).

use super::*;

#[test]
fn t3_h2_an_item_is_another_than_that_of_the_same_id_which_is_still_heard() {
    for told_after in [ms(500), ms(8000)] {
        let mut call = replaying_call();
        call.response("r1")
            .words(Role::Assistant, "1", "one two", false)
            .voice("r1", "1", ms(6000))
            .pass(ms(2000));
        call.lost().pass(ms(1000)).connects(replaying());
        call.pass(told_after);
        call.response("r2")
            .words(Role::Assistant, "1", "three", false)
            .voice("r2", "1", ms(500))
            .words(Role::Assistant, "1", "three", true)
            .response_ends("r2", ResponseStatus::Completed)
            .pass(ms(10_000));
        let said = |text: &str| (Role::Assistant, text.to_owned());
        assert_eq!(call.finals(), [said("one two"), said("three")]);
    }
}
