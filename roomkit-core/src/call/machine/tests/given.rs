//! Greetings, and words that wait until nobody speaks (contract A8).

use super::*;
use crate::{provider::Continuation, voice::DeliveryStrategy};

impl Scripted {
    fn greeting(capabilities: ProviderCapabilities) -> Self {
        let mut opening = opening();
        opening.greeting = Some("Welcome!".into());
        let mut call = Self::opened(settings(), opening);
        call.feed(Input::Connected(ConnectionInfo::new(capabilities)));
        call
    }

    fn deliver(&mut self, text: &str, strategy: DeliveryStrategy) -> &mut Self {
        let text = text.into();
        self.command(Command::Deliver { text, strategy })
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
    for text in ["one", "two"] {
        call.deliver(text, DeliveryStrategy::Queued);
    }
    call.deliver("three", DeliveryStrategy::WAIT_FOR_IDLE);
    call.response_ends("r1", ResponseStatus::Completed);
    assert_eq!(call.texts(), ["one\n\ntwo"]);
    call.answer("r2", "well", ms(100)).pass(ms(400));
    assert_eq!(call.texts(), ["one\n\ntwo", "three"]);
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
