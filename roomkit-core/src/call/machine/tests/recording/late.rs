//! Words that the provider is given late (contract V1).

use super::*;
use crate::call::io::Publication;

impl Scripted {
    /// A whole utterance, as the provider notices it, and since when it may have been said.
    fn notices(&mut self, item: &str) -> Moment {
        self.user_starts(item).pass(ms(300)).user_stops(item);
        self.words(Role::User, item, "some words", true);
        let since = self.log.iter().rev().find_map(|(_, action)| match action {
            Action::Publish(Publication {
                what: News::Final { since, .. },
                ..
            }) => Some(*since),
            _ => None,
        });
        since.unwrap()
    }
}

/// A connection that takes up what was said before it.
fn later_connection(call: &mut Scripted) {
    call.feed(Input::Connected(ConnectionInfo::new(capabilities())));
}

#[test]
fn v1_words_that_waited_for_a_connection_may_have_been_said_when_they_began_to_wait() {
    let mut call = recorded(Consent::Given, false);
    call.speaks(ms(3000)).records(false);
    call.provider(ProviderEvent::Closed(None)).speaks(ms(2000));
    call.records(true).pass(ms(2000));
    later_connection(&mut call);
    let since = call.pass(ms(400)).notices("u1");
    assert!(since < ms(5000), "in the pause: {since:?}");
    // What is said now goes at once.
    call.speaks(ms(6000));
    let now = call.now;
    assert_eq!(call.notices("u2"), now);
}

#[test]
fn v1_words_from_before_the_first_connection_may_have_been_said_at_their_beginning() {
    let mut call = Scripted::unconnected(terms(Consent::Ask, false));
    call.pass(ms(500)).speaks(ms(1500));
    call.records(true).pass(ms(6000));
    later_connection(&mut call);
    let since = call.pass(ms(300)).notices("u1");
    assert!(since <= ms(500), "{since:?}");
}

#[test]
fn v1_an_utterance_that_is_heard_again_may_have_been_said_when_it_was_heard_first() {
    let mut call = recorded(Consent::Given, false);
    call.speaks(ms(5000));
    // Not noticed before the loss, and lost again when it has been sent once more.
    for _ in 0..2 {
        call.provider(ProviderEvent::Closed(None)).pass(ms(3000));
        later_connection(&mut call);
        call.pass(ms(900));
    }
    let since = call.notices("u1");
    assert!(since < ms(5000), "{since:?}");
    let mut twice = recorded(Consent::Given, false);
    twice.speaks(ms(1000)).user_starts("u1").speaks(ms(1000));
    twice.provider(ProviderEvent::Closed(None)).pass(ms(3000));
    later_connection(&mut twice);
    let since = twice.pass(ms(900)).notices("n1");
    assert!(since <= ms(1000), "{since:?}");
}

#[test]
fn v1_words_that_the_network_held_back_may_have_been_said_while_it_stood_still() {
    let mut call = recorded(Consent::Given, false);
    call.speaks(ms(1000)).records(false).pass(ms(5000));
    call.records(true).pass(ms(100));
    for _ in 0..250 {
        call.says(ms(20));
    }
    let since = call.pass(ms(1000)).notices("u1");
    assert!(since < ms(6000), "in the pause: {since:?}");

    // A client that sends nothing while nobody speaks is not late.
    let mut call = recorded(Consent::Given, false);
    call.speaks(ms(1000)).records(false).pass(ms(5000));
    call.records(true).speaks(ms(2000));
    let now = call.now;
    assert_eq!(call.notices("u1"), now);
}
