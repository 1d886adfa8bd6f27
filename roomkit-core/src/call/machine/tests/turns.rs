//! Responses, injected text and the end of a call (contracts R3, K7, S2, S3, H3).

use serde_json::{Value, json};

use super::*;
use crate::{
    client_protocol::ServerMessage,
    event::EndReason,
    provider::{HistorySupport, ProviderError, ProviderErrorKind},
    transport::DropReason,
};

#[test]
fn r3_injected_text_is_answered_at_once_when_nothing_runs() {
    let mut call = Scripted::new();
    call.text("offer 20 %", false);
    let (role, text) = (Role::System, "offer 20 %".to_owned());
    assert_eq!(
        call.to_provider(),
        [
            ProviderCommand::Text {
                role,
                text,
                respond: false
            },
            ProviderCommand::Respond
        ]
    );
}

#[test]
fn r3_injected_text_is_answered_after_the_running_response() {
    let mut call = Scripted::new();
    call.response("r1").text("offer 20 %", false);
    assert_eq!(call.asked(), 0);
    call.response_ends("r1", ResponseStatus::Completed);
    assert_eq!(call.asked(), 1);
}

#[test]
fn r3_silent_text_asks_for_nothing() {
    let mut call = Scripted::new();
    call.text("the caller is a VIP", true).pass(ms(60_000));
    assert_eq!((call.to_provider().len(), call.asked()), (1, 0));
}

#[test]
fn r3_text_between_asking_and_the_response_is_answered_too() {
    let mut call = Scripted::new();
    call.text("one", false).text("two", false);
    assert_eq!(call.asked(), 1);
    call.response("r1")
        .response_ends("r1", ResponseStatus::Completed);
    assert_eq!(call.asked(), 2);
}

#[test]
fn k7_a_refused_request_is_made_again_after_the_response() {
    // The provider had begun one by itself, and says so before or after.
    for is_announced in [true, false] {
        let mut call = Scripted::new();
        call.text("one", false);
        if is_announced {
            call.response("r0").provider(ProviderEvent::ResponseRefused);
        } else {
            call.provider(ProviderEvent::ResponseRefused).response("r0");
        }
        call.pass(ms(5000));
        assert_eq!(call.asked(), 1);
        call.response_ends("r0", ResponseStatus::Completed)
            .pass(ms(1000));
        assert_eq!(call.asked(), 2, "announced: {is_announced}");
        call.answer("r1", "one it is", ms(100)).pass(ms(20_000));
        assert_eq!(call.asked(), 2);
    }
}

#[test]
fn k7_a_request_of_the_hosts_that_is_refused_is_not_made_again() {
    let mut call = Scripted::new();
    call.response("r0").provider(ProviderEvent::ResponseRefused);
    call.response_ends("r0", ResponseStatus::Completed)
        .pass(ms(20_000));
    assert_eq!(call.asked(), 0);
}

#[test]
fn k7_a_request_that_was_lost_is_made_again() {
    let mut call = Scripted::new();
    call.text("one", false).pass(ms(10_000));
    assert_eq!(call.asked(), 2);
}

#[test]
fn k7_who_answers_each_request_with_an_error_is_not_asked_for_ever() {
    let mut call = Scripted::new();
    call.text("one", false);
    for _ in 0..6 {
        let error = ProviderError::new(ProviderErrorKind::Unsupported, "a parrot cannot do that");
        call.provider(ProviderEvent::Error(error)).pass(ms(10_000));
    }
    assert_eq!(call.asked(), 3);
    call.text("two", false);
    assert_eq!(call.asked(), 4, "whoever wants something new asks anew");
}

#[test]
fn k7_what_the_host_wrote_and_was_refused_costs_the_engine_no_request() {
    let mut call = Scripted::new();
    call.text("one", false);
    for _ in 0..6 {
        let error = ProviderError::new(ProviderErrorKind::InvalidRequest, "no such event");
        call.provider(ProviderEvent::RawRefused(error));
    }
    call.pass(ms(10_000));
    assert_eq!(call.asked(), 2, "the first was lost");
    let told = call.news();
    let told = told
        .iter()
        .filter(|news| matches!(news, News::Error { .. }));
    assert_eq!(told.count(), 6);
}

#[test]
fn k7_a_refused_request_for_results_still_waits_for_the_last_of_them() {
    let mut call = Scripted::new();
    call.response("r1")
        .tool_call("c1")
        .tool_cleared("c1")
        .tool_answers("c1")
        .response_ends("r1", ResponseStatus::Completed);
    assert_eq!(call.asked(), 1);
    // The provider had begun another one by itself.
    call.response("r2")
        .tool_call("c2")
        .tool_cleared("c2")
        .provider(ProviderEvent::ResponseRefused)
        .response_ends("r2", ResponseStatus::Completed)
        .pass(ms(1000));
    assert_eq!(call.asked(), 1, "c2 is open");
    call.tool_answers("c2");
    assert_eq!(call.asked(), 2);
}

#[test]
fn k7_words_are_spoken_of_where_results_are_not() {
    let mut silent = capabilities();
    silent.answers_results = false;
    let mut call = Scripted::with(settings(), silent);
    call.text("one", false).text("two", false);
    call.response("r1")
        .tool_call("c1")
        .tool_cleared("c1")
        .response_ends("r1", ResponseStatus::Completed)
        .tool_answers("c1")
        .pass(ms(1000));
    assert_eq!(call.asked(), 2);
}

#[test]
fn r3_what_the_user_types_is_said_in_the_room_too() {
    let mut call = Scripted::new();
    call.client(ClientEvent::Text("my number is 5".into()));
    assert_eq!(call.finals(), [(Role::User, "my number is 5".to_owned())]);
    assert_eq!(call.asked(), 1);
}

#[test]
fn c5_a_client_that_types_without_end_is_dropped_and_counted() {
    let mut call = Scripted::new();
    let page = "x".repeat(60_000);
    for _ in 0..10 {
        call.client(ClientEvent::Text(page.clone()));
    }
    let dropped = |(_, action): &&(_, Action)| matches!(action, Action::Dropped("too_fast"));
    assert_eq!(call.log.iter().filter(dropped).count(), 8);
    assert_eq!(call.finals().len(), 2);
    call.pass(ms(30_000))
        .client(ClientEvent::Text("a moment later".into()));
    let last = call.finals().pop();
    assert_eq!(last, Some((Role::User, "a moment later".to_owned())));
}

/// What the client was told as an error: code and message.
pub(super) fn told(call: &Scripted) -> Vec<(String, String)> {
    let commands = call.to_client().into_iter();
    commands
        .filter_map(|command| match command {
            ClientCommand::Message(ServerMessage::Error { code, message }) => Some((code, message)),
            _ => None,
        })
        .collect()
}

#[test]
fn c5_a_client_that_types_too_much_is_told_once_and_when_to_go_on() {
    let mut call = Scripted::new();
    let page = "x".repeat(60_000);
    for _ in 0..500 {
        call.client(ClientEvent::Text(page.clone())).pass(ms(10));
    }
    let [(code, message)] = &told(&call)[..] else {
        panic!("{:?}", told(&call));
    };
    assert_eq!(code, "text_too_fast");
    for part in [
        "`text`",
        "60000 bytes",
        "128 KiB",
        "2 KiB a second",
        "again in 25 s",
    ] {
        assert!(message.contains(part), "no {part}: {message}");
    }

    call.pass(ms(60_000));
    for _ in 0..3 {
        call.client(ClientEvent::Text(page.clone()));
    }
    assert_eq!(told(&call).len(), 2, "another burst");
}

#[test]
fn c5_a_client_whose_messages_are_too_long_is_told_once_and_what_is_taken() {
    let mut call = Scripted::new();
    let too_long = ClientEvent::Dropped(DropReason::OversizedMessage { limit: 65_536 });
    for _ in 0..500 {
        call.client(too_long.clone()).pass(ms(10));
    }
    let dropped =
        |(_, action): &&(_, Action)| matches!(action, Action::Dropped("oversized_message"));
    assert_eq!(call.log.iter().filter(dropped).count(), 500);
    let [(code, message)] = &told(&call)[..] else {
        panic!("{:?}", told(&call));
    };
    assert_eq!(code, "message_too_long");
    for part in ["65536 bytes", "in parts"] {
        assert!(message.contains(part), "no {part}: {message}");
    }
    call.pass(ms(60_000)).client(too_long);
    assert_eq!(told(&call).len(), 2, "another burst");
}

#[test]
fn r2_what_a_muted_caller_types_is_kept_and_not_given_to_the_ai() {
    let mut remembers = capabilities();
    remembers.history = HistorySupport::Full;
    let mut call = Scripted::with(settings(), remembers);
    let may = |microphone| {
        let voice = true;
        Input::Permissions(Permissions { microphone, voice })
    };
    call.feed(may(false));
    for _ in 0..10 {
        call.client(ClientEvent::Text("let me speak".into()));
    }
    let kept = |news: &News| *news == News::Unheard("let me speak".into());
    assert_eq!(call.news().iter().filter(|it| kept(it)).count(), 10);
    assert_eq!(call.to_provider(), []);
    let [(code, message)] = &told(&call)[..] else {
        panic!("{:?}", told(&call));
    };
    assert_eq!(code, "text_muted");
    assert!(message.contains("muted you"), "{message}");
    // Nor is another connection told of it.
    call.feed(may(true))
        .provider(ProviderEvent::Closed(None))
        .pass(ms(5_000));
    let dials = call.log.iter().filter_map(|(_, action)| match action {
        Action::Dial(dial) => Some(&dial.setup.history),
        _ => None,
    });
    assert!(dials.flatten().next().is_none());
    let page = "x".repeat(60_000);
    call.feed(may(false));
    for _ in 0..10 {
        call.client(ClientEvent::Text(page.clone()));
    }
    let is_page = |news: &News| matches!(news, News::Unheard(text) if text.len() == 60_000);
    assert_eq!(call.news().iter().filter(|it| is_page(it)).count(), 2, "C5");
}

#[test]
fn manual_turns_bracket_the_speech_and_ask_for_the_answer() {
    let mut call = Scripted::new();
    call.command(Command::ActivityStart)
        .client(ClientEvent::Audio(sound(ms(20))));
    call.command(Command::ActivityEnd);
    let commands = call.to_provider();
    assert_eq!(commands[0], ProviderCommand::ActivityStart);
    assert_eq!(
        commands[2..],
        [ProviderCommand::ActivityEnd, ProviderCommand::Respond]
    );
}

#[test]
fn a_vendor_that_finds_turns_by_itself_is_told_of_none() {
    let mut finds = capabilities();
    finds.manual_turns = false;
    let mut call = Scripted::with(settings(), finds);
    call.answer("r1", "one two three", ms(3000)).pass(ms(500));
    let from = call.to_provider().len();
    call.command(Command::ActivityStart)
        .command(Command::ActivityEnd);
    assert_eq!(call.to_provider()[from..], [], "nothing is cut off");
    let dropped = |(_, action): &&(Moment, Action)| *action == Action::Dropped("automatic_turns");
    assert_eq!(call.log.iter().filter(dropped).count(), 2);
}

#[test]
fn k7_a_turn_that_the_vendor_does_not_take_is_not_answered_later() {
    for is_text_given in [false, true] {
        let mut call = Scripted::new();
        call.command(Command::ActivityStart)
            .command(Command::ActivityEnd);
        assert_eq!(call.asked(), 1);
        if is_text_given {
            call.text("offer 20 %", false);
        }
        call.provider(ProviderEvent::TurnPassed).pass(ms(60_000));
        assert_eq!(call.asked() > 1, is_text_given);
    }
}

#[test]
fn s3_a_call_ends_once_and_says_nothing_after() {
    let mut call = Scripted::new();
    call.answer("r1", "one two three", ms(3000))
        .pass(ms(1000))
        .user_starts("u1");
    call.command(Command::End(EndReason::Host))
        .feed(Input::ClientGone);
    call.command(Command::End(EndReason::RoomClosed))
        .pass(ms(60_000));
    call.response("r9").user_starts("u9").text("hello?", false);
    let ends: Vec<_> = call
        .log
        .iter()
        .filter(|(_, action)| matches!(action, Action::End(_)))
        .collect();
    assert_eq!(ends, [&(ms(1000), Action::End(EndReason::Host))]);
    assert_eq!(
        ends[0],
        call.log.last().unwrap(),
        "the end is the last thing"
    );
    assert_eq!(call.call.next_wake(call.now), None);
}

#[test]
fn h3_permanent_failures_end_the_call_wherever_they_are_told() {
    let quota = || ProviderError::new(ProviderErrorKind::Quota, "no money").with_code("no_quota");
    let end = Action::End(EndReason::Provider("no_quota".into()));
    let mut call = Scripted::new();
    call.provider(ProviderEvent::Error(quota()));
    assert_eq!(call.take().last(), Some(&end));
    let mut call = Scripted::new();
    call.response("r1")
        .response_ends("r1", ResponseStatus::Failed(quota()));
    assert_eq!(call.take().last(), Some(&end));
    let mut call = Scripted::new();
    call.provider(ProviderEvent::Error(ProviderError::new(
        ProviderErrorKind::Server,
        "hiccup",
    )));
    assert!(
        matches!(call.take()[..], [Action::Publish(_)]),
        "the others do not"
    );
}

#[test]
fn c1_a_message_of_the_hosts_is_behind_what_was_told_and_waits_for_nothing_else() {
    let message = || match json!({"type": "card", "id": 7}) {
        Value::Object(message) => message,
        other => panic!("{other}"),
    };
    let mut call = Scripted::unconnected(settings());
    call.command(Command::Message(message()));
    assert_eq!(call.news(), [], "nothing is before the session");
    call.feed(Input::Connected(ConnectionInfo::new(capabilities())));
    assert_eq!(call.news(), [News::Message(message())]);

    let mut call = Scripted::new();
    call.answer("r1", "one two three", ms(3000)).pass(ms(1000));
    let told = call.news();
    call.command(Command::Message(message()));
    assert_eq!(call.news()[told.len()..], [News::Message(message())]);
    assert_eq!(call.finals(), [], "which waits until it was heard");
    call.command(Command::Message(message()))
        .command(Command::End(EndReason::Host));
    let last = call.news().into_iter().rev();
    let messages = last.filter(|news| *news == News::Message(message()));
    assert_eq!(messages.count(), 2, "also right before the end");
}
