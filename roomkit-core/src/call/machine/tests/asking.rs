//! Answers that nobody wants any more before they begin (contract A3), and answers that fail (K7).

use super::*;
use crate::{
    event::ResponsePhase,
    provider::{Continuation, ProviderError, ProviderErrorKind},
};

/// Answers what it is given by itself, and cannot be told to stop.
fn by_itself() -> ProviderCapabilities {
    let mut capabilities = capabilities();
    capabilities.continuation = Continuation::Automatic;
    capabilities.truncates = false;
    capabilities
}

fn typed(text: &str) -> ClientEvent {
    ClientEvent::Text(text.into())
}

fn failed(kind: ProviderErrorKind) -> ResponseStatus {
    ResponseStatus::Failed(ProviderError::new(kind, "no"))
}

// ----- stopped before they begin

#[test]
fn a3_an_answer_that_is_stopped_before_it_begins_is_not_heard() {
    for capabilities in [capabilities(), by_itself()] {
        for is_spoken in [false, true] {
            let mut call = Scripted::with(settings(), capabilities.clone());
            if is_spoken {
                call.user_starts("u1").user_stops("u1");
            } else {
                call.client(typed("what time is it?"));
            }
            call.pass(ms(500)).client(ClientEvent::Interrupt);
            call.pass(ms(500)).response("r1");
            assert_eq!(
                call.to_provider().last(),
                Some(&ProviderCommand::CancelResponse)
            );
            let voice = call.voice("r1", "a1", ms(900)).heard();
            assert_eq!(voice, ms(0), "spoken: {is_spoken}");
            call.words(Role::Assistant, "a1", "it is noon", true)
                .response_ends("r1", ResponseStatus::Cancelled)
                .pass(ms(2_000));
            assert_eq!(call.heard(), ms(0));
            assert!(call.finals().iter().all(|(role, _)| *role == Role::User));
            assert_eq!(
                call.phases(),
                [ResponsePhase::Started, ResponsePhase::Interrupted]
            );
            assert!(call.call.idle, "nothing is owed");
            // Whatever is asked next is answered.
            call.client(typed("and now?"))
                .answer("r2", "it is one", ms(500));
            assert_eq!(call.pass(ms(2_000)).heard(), ms(500));
        }
    }
}

#[test]
fn a3_a_new_question_is_answered_though_the_one_before_was_stopped() {
    for capabilities in [capabilities(), by_itself()] {
        let mut call = Scripted::with(settings(), capabilities);
        call.user_starts("u1").user_stops("u1");
        call.client(ClientEvent::Interrupt);
        call.user_starts("u2").user_stops("u2");
        call.answer("r1", "to the second", ms(500));
        assert_eq!(call.pass(ms(2_000)).heard(), ms(500));
    }
    let mut call = Scripted::new();
    call.client(typed("one")).client(ClientEvent::Interrupt);
    call.client(typed("two"));
    call.response("r1").voice("r1", "a1", ms(500));
    call.response_ends("r1", ResponseStatus::Cancelled);
    assert_eq!((call.heard(), call.asked()), (ms(0), 2));
    call.answer("r2", "to the second", ms(500));
    assert_eq!(call.pass(ms(2_000)).heard(), ms(500));

    // Who answers by itself may answer both at once.
    let mut call = Scripted::with(settings(), by_itself());
    call.client(typed("one")).client(ClientEvent::Interrupt);
    call.client(typed("two"))
        .answer("r1", "to the second", ms(500));
    assert_eq!(call.pass(ms(2_000)).heard(), ms(500));
}

#[test]
fn a3_who_stops_what_is_audible_still_gets_what_he_asked_for() {
    let mut call = Scripted::new();
    call.answer("r1", "a long story", ms(3_000)).pass(ms(500));
    call.client(typed("what time is it?"))
        .client(ClientEvent::Interrupt);
    let before = call.heard();
    call.answer("r2", "it is noon", ms(500)).pass(ms(2_000));
    assert_eq!(call.heard(), before + ms(500));
}

#[test]
fn a3_what_was_stopped_is_not_asked_for_again() {
    let mut call = Scripted::new();
    call.client(typed("one")).client(ClientEvent::Interrupt);
    call.pass(ms(60_000));
    assert_eq!(call.asked(), 1, "though nothing came of it");

    // The vendor runs one that it began by itself: both are stopped.
    for is_announced in [true, false] {
        let mut call = Scripted::new();
        call.client(typed("one")).client(ClientEvent::Interrupt);
        if is_announced {
            call.response("r0").provider(ProviderEvent::ResponseRefused);
        } else {
            call.provider(ProviderEvent::ResponseRefused).response("r0");
        }
        call.response_ends("r0", ResponseStatus::Cancelled)
            .pass(ms(60_000));
        assert_eq!(call.asked(), 1, "announced: {is_announced}");
    }

    // It waits for the user, who does not want it any more.
    let mut call = Scripted::new();
    call.user_starts("u1").text("offer 20 %", false);
    call.command(Command::Interrupt);
    call.user_stops("u1").pass(ms(2_000));
    assert_eq!(call.asked(), 0);

    let mut call = Scripted::new();
    call.client(typed("one")).client(ClientEvent::Interrupt);
    call.provider(ProviderEvent::Closed(None)).pass(ms(5_000));
    call.feed(Input::Connected(ConnectionInfo::new(capabilities())))
        .pass(ms(60_000));
    assert_eq!(call.asked(), 1, "nor on another connection");

    let mut call = Scripted::new();
    call.client(typed("one"))
        .provider(ProviderEvent::Closed(None));
    call.client(ClientEvent::Interrupt).pass(ms(5_000));
    call.feed(Input::Connected(ConnectionInfo::new(capabilities())))
        .pass(ms(60_000));
    assert_eq!(call.asked(), 1, "nor if it is stopped between the two");
}

#[test]
fn a3_results_that_wait_are_spoken_of_though_a_stop_comes() {
    let mut call = Scripted::new();
    call.response("r1").tool_call("c1").tool_cleared("c1");
    call.response_ends("r1", ResponseStatus::Completed)
        .user_starts("u1")
        .tool_answers("c1")
        .command(Command::Interrupt);
    call.user_stops("u1").pass(ms(2_000));
    assert_eq!(call.asked(), 1);
}

#[test]
fn a3_the_announced_rest_of_an_answer_that_is_stopped_is_not_heard() {
    // When the first part has been sent whole, or before.
    for is_whole in [true, false] {
        let mut call = Scripted::with(settings(), by_itself());
        call.user_starts("u1").user_stops("u1");
        call.response("r1").voice("r1", "a1", ms(3_000));
        if is_whole {
            call.provider(ProviderEvent::MoreToCome)
                .response_ends("r1", ResponseStatus::Completed);
        }
        call.pass(ms(500)).client(ClientEvent::Interrupt);
        if !is_whole {
            call.provider(ProviderEvent::MoreToCome)
                .response_ends("r1", ResponseStatus::Completed);
        }
        let before = call.heard();
        call.pass(ms(1_000))
            .response("r2")
            .voice("r2", "a2", ms(900));
        // It may go on once more.
        call.provider(ProviderEvent::MoreToCome)
            .response_ends("r2", ResponseStatus::Completed);
        call.answer("r3", "and so on", ms(500)).pass(ms(2_000));
        assert_eq!(call.heard(), before, "whole: {is_whole}");
        assert!(call.call.idle, "nothing is owed");
        call.client(typed("and now?"))
            .answer("r4", "it is one", ms(500));
        assert_eq!(call.pass(ms(2_000)).heard(), before + ms(500));
    }
}

#[test]
fn a3_who_stops_one_part_of_an_answer_and_asks_anew_is_answered() {
    for is_spoken in [true, false] {
        let mut call = Scripted::with(settings(), by_itself());
        call.response("r1")
            .voice("r1", "a1", ms(3_000))
            .pass(ms(500))
            .client(ClientEvent::Interrupt);
        if is_spoken {
            call.user_starts("u1");
        }
        call.provider(ProviderEvent::MoreToCome)
            .response_ends("r1", ResponseStatus::Completed);
        if is_spoken {
            call.user_stops("u1");
        } else {
            call.client(typed("and now?"));
        }
        let before = call.heard();
        call.answer("r2", "it is one", ms(500)).pass(ms(2_000));
        assert_eq!(call.heard(), before + ms(500), "spoken: {is_spoken}");
    }
}

#[test]
fn a3_h4_the_stopped_rest_of_an_answer_is_not_asked_for_on_another_connection() {
    let mut call = Scripted::with(settings(), by_itself());
    call.response("r1")
        .voice("r1", "a1", ms(3_000))
        .provider(ProviderEvent::MoreToCome)
        .response_ends("r1", ResponseStatus::Completed);
    call.pass(ms(500)).client(ClientEvent::Interrupt);
    call.provider(ProviderEvent::Closed(None)).pass(ms(5_000));
    call.feed(Input::Connected(ConnectionInfo::new(by_itself())))
        .pass(ms(5_000));
    assert_eq!(call.asked(), 0);
}

// ----- that fail

#[test]
fn k7_a_response_that_fails_before_it_says_anything_is_asked_for_once_more() {
    use ProviderErrorKind::{RateLimited, Server};
    for (kind, wait) in [(Server, 500), (RateLimited, 4_000)] {
        let mut call = Scripted::new();
        call.text("one", false)
            .response("r1")
            .response_ends("r1", failed(kind));
        call.pass(ms(wait - 1));
        assert_eq!(call.asked(), 1, "not at once: {kind:?}");
        call.pass(ms(1));
        assert_eq!(call.asked(), 2);
        let unnoticed = |news: &News| matches!(news, News::Unnoticed(_));
        let error = |news: &News| matches!(news, News::Error { .. });
        assert_eq!(call.news().iter().filter(|it| unnoticed(it)).count(), 1);
        assert!(
            !call.news().iter().any(error),
            "the client hears nothing of it"
        );

        call.response("r2")
            .response_ends("r2", failed(kind))
            .pass(ms(60_000));
        assert_eq!(call.asked(), 2, "once");
        assert_eq!(call.news().iter().filter(|it| error(it)).count(), 1);
        call.text("two", false);
        call.response("r3")
            .response_ends("r3", failed(kind))
            .pass(ms(5_000));
        assert_eq!(call.asked(), 4, "what is new has its own");
    }
}

#[test]
fn k7_an_answer_that_the_vendor_began_by_itself_or_could_not_begin_is_asked_for_too() {
    let mut call = Scripted::new();
    call.user_starts("u1").user_stops("u1");
    call.response("r1")
        .response_ends("r1", failed(ProviderErrorKind::Server))
        .pass(ms(600));
    assert_eq!(call.asked(), 1);
    let mut call = Scripted::new();
    call.text("one", false)
        .response_ends("r1", failed(ProviderErrorKind::Server))
        .pass(ms(600));
    assert_eq!(call.asked(), 2);
    let mut call = Scripted::new();
    call.response("r1").tool_call("c1").tool_cleared("c1");
    call.response_ends("r1", ResponseStatus::Completed)
        .tool_answers("c1");
    call.response("r2")
        .response_ends("r2", failed(ProviderErrorKind::Server))
        .pass(ms(600));
    assert_eq!(call.asked(), 2, "results are spoken of");
}

#[test]
fn k7_a_failed_response_is_not_asked_for_where_that_does_not_help() {
    use ProviderErrorKind::{InvalidRequest, Server};
    let mut call = Scripted::new();
    call.text("one", false)
        .response("r1")
        .response_ends("r1", failed(InvalidRequest))
        .pass(ms(60_000));
    assert_eq!(call.asked(), 1, "it would fail again");
    let mut call = Scripted::new();
    call.text("one", false)
        .response("r1")
        .voice("r1", "a1", ms(100))
        .response_ends("r1", failed(Server))
        .pass(ms(60_000));
    assert_eq!(call.asked(), 1, "some of it was heard");
    let mut call = Scripted::new();
    call.text("one", false)
        .response("r1")
        .client(ClientEvent::Interrupt)
        .response_ends("r1", failed(Server))
        .pass(ms(60_000));
    assert_eq!(call.asked(), 1, "nobody wants it");
    let mut call = Scripted::new();
    call.user_starts("u1").user_stops("u1");
    call.response("r1")
        .user_starts("u2")
        .user_stops("u2")
        .response_ends("r1", failed(Server))
        .pass(ms(60_000));
    assert_eq!(call.asked(), 0, "something else was asked meanwhile");
    let mut call = Scripted::with(settings(), by_itself());
    call.text("one", false)
        .response("r1")
        .response_ends("r1", failed(Server))
        .pass(ms(60_000));
    assert_eq!(call.asked(), 0, "it goes on by itself, or not at all");
}
