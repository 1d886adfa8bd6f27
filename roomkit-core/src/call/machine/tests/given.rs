//! Greetings, and words that wait until nobody speaks (contract A8).

use tokio::sync::oneshot;

use super::*;
use crate::{
    call::machine::given::DELIVERIES,
    provider::{Continuation, ProviderError, ProviderErrorKind, ResumeToken},
    voice::DeliveryStrategy,
};

impl Scripted {
    pub(super) fn greeting(capabilities: ProviderCapabilities) -> Self {
        Self::greeting_with(settings(), capabilities)
    }

    pub(super) fn greeting_with(
        settings: CallSettings,
        capabilities: ProviderCapabilities,
    ) -> Self {
        let mut opening = opening();
        opening.greeting = Some("Welcome!".into());
        let mut call = Self::opened(settings, opening);
        call.feed(Input::Connected(ConnectionInfo::new(capabilities)));
        call
    }

    fn deliver(&mut self, text: &str, strategy: DeliveryStrategy) -> &mut Self {
        let text = text.into();
        let taken = None;
        self.command(Command::Deliver {
            text,
            strategy,
            taken,
        })
    }

    fn given(&self) -> Vec<(String, bool)> {
        self.to_provider()
            .into_iter()
            .filter_map(|command| match command {
                ProviderCommand::Text { text, respond, .. } => Some((text, respond)),
                _ => None,
            })
            .collect()
    }

    fn texts(&self) -> Vec<String> {
        self.given().into_iter().map(|(text, _)| text).collect()
    }
}

#[test]
fn s9_the_ai_speaks_first_and_once() {
    let mut replaying = capabilities();
    replaying.history = crate::provider::HistorySupport::Full;
    let mut call = Scripted::greeting(replaying.clone());
    let [(text, respond)] = &call.given()[..] else {
        panic!("{:?}", call.given());
    };
    assert!(text.contains("Welcome!") && !respond, "{text}");
    assert_eq!(call.asked(), 1);
    call.answer("r1", "Welcome!", ms(100)).pass(ms(400));
    call.provider(ProviderEvent::Closed(None))
        .feed(Input::Connected(ConnectionInfo::new(replaying)));
    assert_eq!((call.given().len(), call.asked()), (1, 1), "never again");
}

#[test]
fn s9_a_provider_that_answers_by_itself_is_not_asked_besides() {
    let mut automatic = capabilities();
    automatic.continuation = Continuation::Automatic;
    let call = Scripted::greeting(automatic);
    assert!(call.given()[0].1);
    assert_eq!(call.asked(), 0);
}

#[test]
fn a8_a_delivery_waits_until_nobody_speaks() {
    let mut call = Scripted::new();
    call.response("r1").voice("r1", "i1", ms(300));
    call.deliver("your taxi is here", DeliveryStrategy::WAIT_FOR_IDLE);
    call.pass(ms(100))
        .response_ends("r1", ResponseStatus::Completed)
        .pass(ms(100));
    // The answer is still heard, and before it ends the user speaks.
    call.user_starts("u1");
    call.pass(ms(1_000));
    assert_eq!(call.texts(), [""; 0]);
    call.user_stops("u1").words(Role::User, "u1", "wait", true);
    call.answer("r2", "I wait", ms(100));
    assert_eq!(call.texts(), [""; 0]);
    call.pass(ms(400));
    assert_eq!(call.texts(), ["your taxi is here"]);
    assert_eq!(call.asked(), 1);
}

#[test]
fn a8_a_delivery_does_not_wait_for_ever() {
    let mut call = Scripted::new();
    call.user_starts("u1");
    call.deliver("now", DeliveryStrategy::WaitForIdle(ms(2_000)));
    call.pass(ms(1_999));
    assert_eq!(call.texts(), [""; 0]);
    call.pass(ms(1));
    assert_eq!(call.texts(), ["now"]);
    assert_eq!(call.asked(), 0, "the user is not talked over");
}

#[test]
fn a8_queued_deliveries_go_together_and_others_one_by_one() {
    let mut call = Scripted::new();
    call.response("r1");
    call.deliver("one", DeliveryStrategy::Queued);
    call.deliver("three", DeliveryStrategy::WAIT_FOR_IDLE);
    call.deliver("two", DeliveryStrategy::Queued);
    call.response_ends("r1", ResponseStatus::Completed);
    assert_eq!(call.texts(), ["one\n\ntwo"]);
    call.answer("r2", "well", ms(100)).pass(ms(400));
    assert_eq!(call.texts(), ["one\n\ntwo", "three"]);
}

#[test]
fn r11_a_text_that_finds_too_many_waiting_is_not_taken() {
    let mut call = Scripted::new();
    call.response("r1");
    let mut deliver = || {
        let (taken, is_taken) = oneshot::channel();
        call.command(Command::Deliver {
            text: "news".into(),
            strategy: DeliveryStrategy::Queued,
            taken: Some(taken),
        });
        is_taken.blocking_recv()
    };
    for _ in 0..DELIVERIES {
        assert_eq!(deliver(), Ok(true));
    }
    assert_eq!(deliver(), Ok(false));
}

#[test]
fn k7_an_immediate_delivery_follows_the_answer_that_runs() {
    let mut call = Scripted::new();
    call.response("r1");
    call.deliver("now", DeliveryStrategy::Immediate);
    assert_eq!((call.texts(), call.asked()), (vec!["now".into()], 0));
    call.response_ends("r1", ResponseStatus::Completed);
    assert_eq!(call.asked(), 1);
}

/// A call whose provider answers words at once, and takes none while it answers.
fn automatic() -> Scripted {
    let mut automatic = capabilities();
    automatic.continuation = Continuation::Automatic;
    automatic.text_during_responses = false;
    Scripted::with(settings(), automatic)
}

#[test]
fn k7_words_that_are_answered_at_once_wait_for_the_users_turn_and_its_answer() {
    let mut call = automatic();
    call.user_starts("u1")
        .deliver("your taxi is here", DeliveryStrategy::Immediate);
    call.text("he is a regular", true).pass(ms(2_000));
    assert_eq!(call.texts(), [""; 0], "the user is not talked over");
    call.user_stops("u1").pass(ms(800));
    assert_eq!(call.texts(), [""; 0], "nor is his answer cut short");
    call.answer("r1", "Hello", ms(100));
    assert_eq!(call.texts(), ["your taxi is here", "he is a regular"]);
    call.pass(ms(1_000));
    let idle = call.log.iter().rev().find_map(|(_, action)| match action {
        Action::Idle(idle) => Some(*idle),
        _ => None,
    });
    assert_ne!(idle, Some(true), "one more answer is due");
}

#[test]
fn k7_words_that_are_answered_at_once_go_when_nobody_answers_the_user() {
    let mut call = automatic();
    call.user_starts("u1").user_stops("u1");
    call.deliver("hello?", DeliveryStrategy::Immediate);
    call.pass(ms(2_999));
    assert_eq!(call.texts(), [""; 0]);
    call.pass(ms(1));
    assert_eq!(call.texts(), ["hello?"]);
}

#[test]
fn k7_noise_does_not_keep_words_for_ever() {
    let mut call = automatic();
    call.user_starts("u1");
    call.deliver("first", DeliveryStrategy::Immediate);
    for _ in 0..749 {
        call.client(ClientEvent::Audio(sound(ms(20)))).pass(ms(20));
    }
    call.deliver("second", DeliveryStrategy::Immediate);
    assert_eq!(call.texts(), [""; 0]);
    call.pass(ms(20));
    assert_eq!(call.texts(), ["first", "second"]);
}

#[test]
fn k7_words_wait_for_nobody_who_is_not_taken_to_speak_any_more() {
    let mut call = automatic();
    call.user_starts("u1");
    call.deliver("your taxi is here", DeliveryStrategy::Immediate);
    // He sends nothing: after 3 s that is silence, of which 10 s are made.
    call.pass(ms(12_900));
    assert_eq!(call.texts(), [""; 0]);
    call.pass(ms(100));
    assert_eq!(call.texts(), ["your taxi is here"]);
}

#[test]
fn k7_words_from_an_outage_wait_for_the_users_turn_too() {
    let mut call = automatic();
    call.client(ClientEvent::Audio(sound(ms(1_000))));
    call.user_starts("u1").provider(ProviderEvent::Closed(None));
    call.deliver("your taxi is here", DeliveryStrategy::Immediate);
    let mut automatic = capabilities();
    automatic.continuation = Continuation::Automatic;
    call.feed(Input::Connected(ConnectionInfo::new(automatic)));
    call.pass(ms(1_000));
    assert_eq!(call.texts(), [""; 0], "he is heard again first");
    call.user_starts("u2").pass(ms(2_500)).user_stops("u2");
    assert_eq!(call.texts(), [""; 0]);
    call.pass(ms(3_000));
    assert_eq!(call.texts(), ["your taxi is here"]);
}

#[test]
fn k7_words_do_not_cut_short_an_answer_that_goes_on() {
    let ask = |call: &mut Scripted| {
        call.user_starts("u1").user_stops("u1");
        call.response("r1").voice("r1", "a1", ms(100));
        call.deliver("your taxi is here", DeliveryStrategy::Immediate);
        call.provider(ProviderEvent::MoreToCome)
            .response_ends("r1", ResponseStatus::Completed)
            .pass(ms(10_000));
        assert_eq!(call.texts(), [""; 0]);
    };
    let mut call = automatic();
    ask(&mut call);
    call.response("r2").pass(ms(100));
    assert_eq!(call.texts(), [""; 0]);
    call.response_ends("r2", ResponseStatus::Completed);
    assert_eq!(call.texts(), ["your taxi is here"]);

    let mut call = automatic();
    ask(&mut call);
    call.provider(ProviderEvent::TurnPassed);
    assert_eq!(call.texts(), ["your taxi is here"], "nothing came of it");

    let mut call = automatic();
    ask(&mut call);
    call.pass(ms(4_999));
    assert_eq!(call.texts(), [""; 0]);
    call.pass(ms(1));
    assert_eq!(call.texts(), ["your taxi is here"], "but not for ever");
}

#[test]
fn k7_words_that_waited_for_a_long_answer_do_not_talk_over_who_interrupts_it() {
    let mut call = automatic();
    call.response("r1").voice("r1", "a1", ms(30_000));
    call.pass(ms(1_000));
    call.deliver("your taxi is here", DeliveryStrategy::Immediate);
    call.pass(ms(17_000)).user_starts("u1");
    call.response_ends("r1", ResponseStatus::Cancelled);
    call.pass(ms(3_000));
    assert_eq!(call.texts(), [""; 0], "he has only begun");
    call.user_stops("u1").answer("r2", "Hello", ms(100));
    assert_eq!(call.texts(), ["your taxi is here"]);
}

#[test]
fn k7_noise_does_not_keep_a_delivery_whose_time_is_up_for_ever() {
    let mut call = automatic();
    call.user_starts("u1");
    call.deliver("your taxi is here", DeliveryStrategy::WAIT_FOR_IDLE);
    for _ in 0..1_499 {
        call.client(ClientEvent::Audio(sound(ms(20)))).pass(ms(20));
    }
    assert_eq!(call.texts(), [""; 0]);
    call.client(ClientEvent::Audio(sound(ms(20)))).pass(ms(20));
    assert_eq!(call.texts(), ["your taxi is here"], "15 s and 15 s");
}

#[test]
fn k7_patience_does_not_run_out_while_there_is_no_connection() {
    let mut resuming = capabilities();
    resuming.continuation = Continuation::Automatic;
    resuming.text_during_responses = false;
    resuming.resumes = true;
    let mut call = Scripted::with(settings(), resuming.clone());
    call.client(ClientEvent::Audio(sound(ms(1_000))));
    call.user_starts("u1");
    call.deliver("your taxi is here", DeliveryStrategy::Immediate);
    let token = ResumeToken::new("t");
    call.provider(ProviderEvent::Resumable(token))
        .provider(ProviderEvent::Closed(None));
    for _ in 0..4 {
        let error = ProviderError::new(ProviderErrorKind::Network, "no");
        call.pass(ms(4_000)).feed(Input::DialFailed(error));
    }
    call.pass(ms(4_000));
    call.feed(Input::Connected(ConnectionInfo::new(resuming)))
        .pass(ms(1_000));
    assert_eq!(call.texts(), [""; 0], "he is heard again first");
    call.user_starts("u2").pass(ms(1_000)).user_stops("u2");
    call.answer("r1", "Hello", ms(100));
    assert_eq!(call.texts(), ["your taxi is here"]);
}
