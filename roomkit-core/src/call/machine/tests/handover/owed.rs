//! Responses that a model owes without being asked, and does not give (contract H5).

use super::*;
use crate::{
    call::change::Change,
    provider::{SessionUpdate, UpdateSupport, UpdateWay},
    voice::DeliveryStrategy,
};

/// When it was taken for stuck, if it was within five minutes in which it was otherwise alive.
fn stuck_after(call: &mut Scripted) -> Option<Moment> {
    let since = call.now;
    for _ in 0..300 {
        call.pass(ms(1000)).provider(ProviderEvent::Pong);
        if let Some((at, _)) = call.dials().pop() {
            return at.checked_sub(since);
        }
    }
    None
}

#[test]
fn h5_words_that_a_model_answers_by_itself_and_does_not_mean_a_stuck_session() {
    let minute = Some(ms(60_000));
    let mut call = resuming_call();
    assert_eq!(stuck_after(call.text("hello?", false)), minute);
    let from = call.log.len();
    call.connects(resuming());
    let told = call.to_new_provider(from);
    assert!(told.contains(&ProviderCommand::Respond), "{told:?}");

    let mut opening = opening();
    opening.greeting = Some("Welcome!".into());
    let mut call = Scripted::opened(settings(), opening);
    call.connects(resuming());
    assert_eq!(stuck_after(&mut call), minute, "a greeting");

    let mut call = resuming_call();
    call.tool_call("c1").tool_cleared("c1").pass(ms(5_000));
    assert_eq!(stuck_after(call.tool_answers("c1")), minute, "a result");

    let mut call = resuming_call();
    call.text("hello?", false)
        .user_starts("u1")
        .pass(ms(20_000));
    assert_eq!(stuck_after(call.user_stops("u1")), minute, "nobody speaks");
}

#[test]
fn h5_a_model_that_answers_by_itself_is_not_stuck_when_nothing_is_owed() {
    let mut quiet = resuming_call();
    assert_eq!(stuck_after(quiet.text("for your eyes", true)), None);

    // It may choose silence.
    let mut asked = resuming_call();
    asked.user_starts("u1").pass(ms(1000)).user_stops("u1");
    assert_eq!(stuck_after(&mut asked), None, "a spoken question");
    let mut passed = resuming_call();
    passed
        .text("hello?", false)
        .provider(ProviderEvent::TurnPassed);
    assert_eq!(stuck_after(&mut passed), None);

    let mut answered = resuming_call();
    answered.text("hello?", false).answer("r1", "hi", ms(100));
    assert_eq!(stuck_after(&mut answered), None);

    let mut refused = resuming_call();
    let error = ProviderError::new(ProviderErrorKind::Unsupported, "takes no text");
    refused
        .text("hello?", false)
        .provider(ProviderEvent::Error(error));
    assert_eq!(stuck_after(&mut refused), None);

    let mut silently = resuming();
    silently.answers_results = false;
    let mut told = Scripted::with(settings(), silently);
    told.tool_call("c1").tool_cleared("c1").tool_answers("c1");
    assert_eq!(stuck_after(&mut told), None, "a silent result");
}

#[test]
fn h5_words_that_wait_for_the_end_of_a_response_are_not_answered_by_it() {
    let mut careful = resuming();
    careful.text_during_responses = false;
    let mut call = Scripted::with(settings(), careful);
    call.response("r1").text("and this?", false);
    call.pass(ms(1000))
        .response_ends("r1", ResponseStatus::Completed);
    assert_eq!(stuck_after(&mut call), Some(ms(60_000)));
}

#[test]
fn a8_a_call_is_not_idle_while_a_model_owes_an_answer_by_itself() {
    let mut call = resuming_call();
    call.text("hello?", false).take();
    assert!(!call.call.idle);
    call.answer("r1", "hi", ms(100)).pass(ms(1000));
    assert!(call.call.idle);
}

#[test]
fn h5_r3_silent_words_that_wait_for_an_answer_to_end_want_none() {
    let mut patient = resuming();
    patient.text_during_responses = false;
    let mut call = Scripted::with(settings(), patient);
    call.response("r1")
        .tool_call("c1")
        .tool_cleared("c1")
        .tool_answers("c1")
        .text("for your eyes", true)
        .response_ends("r1", ResponseStatus::Completed);
    assert_eq!(stuck_after(&mut call), None, "the result was answered");
}

#[test]
fn r11_h4_a_delivery_does_not_overtake_an_answer_that_was_owed_by_a_lost_connection() {
    let mut call = resuming_call();
    call.user_starts("u1")
        .user_stops("u1")
        .words(Role::User, "u1", "what is it?", true)
        .response("r1")
        .lost();
    call.command(Command::Deliver {
        text: "your taxi is here".into(),
        strategy: DeliveryStrategy::WAIT_FOR_IDLE,
        taken: None,
    });
    let from = call.log.len();
    call.connects(resuming()).pass(ms(5000));
    let told = call.to_new_provider(from);
    assert_eq!(told, [ProviderCommand::Respond], "the answer first");
    call.answer("r2", "a taxi", ms(100)).pass(ms(400));
    let told = call.to_new_provider(from);
    assert!(
        matches!(told.last(), Some(ProviderCommand::Text { .. })),
        "{told:?}"
    );
}

#[test]
fn h1_a_planned_hand_over_waits_for_an_answer_that_comes_without_being_asked_for() {
    let mut call = resuming_call();
    call.text("hello?", false).pass(ms(31_000));
    call.go_away(ms(50_000)).pass(ms(5000));
    assert_eq!(call.dials(), [], "an answer is owed");
    call.answer("r1", "hi", ms(100)).pass(ms(400));
    assert_eq!(call.dials().len(), 1);
}

#[test]
fn h4_an_answer_that_was_stopped_is_not_owed_by_the_next_connection() {
    let mut call = resuming_call();
    call.text("hello?", false)
        .response("r1")
        .voice("r1", "i1", ms(5000))
        .client(ClientEvent::Interrupt)
        .pass(ms(3000))
        .lost();
    let from = call.log.len();
    call.connects(resuming()).pass(ms(5000));
    assert_eq!(call.to_new_provider(from), []);
}

#[test]
fn k7_a_result_that_waited_and_that_a_token_covers_is_answered_once() {
    let mut capabilities = resuming();
    capabilities.resumes_changed = true;
    capabilities.updates = UpdateSupport::all(UpdateWay::NewConnection);
    let mut call = Scripted::with(settings(), capabilities.clone());
    call.response("r1").tool_call("c1").tool_cleared("c1");
    let answer = ToolAnswer {
        output: "done".into(),
        is_error: false,
    };
    let update = SessionUpdate {
        voice: Some("bass".into()),
        ..SessionUpdate::default()
    };
    let change = Change::new(update, capabilities.updates);
    call.feed(Input::ToolChanges("c1".into(), answer, Box::new(change)))
        .token("t")
        .response_ends("r1", ResponseStatus::Completed)
        .pass(ms(1000));
    assert_eq!(call.dials().len(), 1);
    let from = call.log.len();
    call.connects(capabilities).pass(ms(1000));
    let told = call.to_new_provider(from);
    let asks = |command: &&ProviderCommand| {
        matches!(
            command,
            ProviderCommand::Respond | ProviderCommand::Text { respond: true, .. }
        )
    };
    assert_eq!(told.iter().filter(asks).count(), 1, "{told:?}");
}

#[test]
fn h1_what_was_given_keeps_its_order_over_a_loss() {
    let mut capabilities = resuming();
    capabilities.text_during_responses = false;
    capabilities.history = HistorySupport::None;
    let mut call = Scripted::with(settings(), capabilities.clone());
    call.response("r1").text("first", true).lost();
    call.text("second", true);
    let from = call.log.len();
    call.connects(capabilities);
    let texts = call
        .to_new_provider(from)
        .into_iter()
        .filter_map(|it| match it {
            ProviderCommand::Text { text, .. } => Some(text),
            _ => None,
        });
    assert_eq!(texts.collect::<Vec<_>>(), ["first", "second"]);
}

#[test]
fn h2_a_token_from_before_words_came_there_does_not_stand_for_them() {
    let mut patient = resuming();
    patient.text_during_responses = false;
    let lost = |waits: bool, is_answered: bool| {
        let mut call = Scripted::with(settings(), patient.clone());
        if waits {
            call.response("r1").text("first", false);
            call.response_ends("r1", ResponseStatus::Completed);
        } else {
            call.text("first", false);
        }
        if is_answered {
            call.response("r2")
                .response_ends("r2", ResponseStatus::Completed);
        }
        // Still on its way when the words were given; or from after their answer.
        call.token("t").lost();
        let (_, dial) = call.dials().pop().unwrap();
        assert!(dial.setup.resume.is_some());
        dial.setup.history
    };
    for waits in [true, false] {
        assert_eq!(lost(waits, false), [message(Role::System, "first")]);
        assert_eq!(lost(waits, true), []);
    }
}

#[test]
fn h4_a8_a_model_that_says_that_it_goes_on_owes_the_rest() {
    let mut call = resuming_call();
    call.user_starts("u1")
        .user_stops("u1")
        .words(Role::User, "u1", "what is it?", true)
        .response("r1")
        .voice("r1", "a1", ms(100))
        .go_away(ms(50_000))
        .pass(ms(300))
        .provider(ProviderEvent::MoreToCome)
        .response_ends("r1", ResponseStatus::Completed)
        .pass(ms(5000));
    assert!(!call.call.idle);
    assert_eq!(call.dials(), [], "this is no quiet moment");
    call.lost();
    let from = call.log.len();
    call.connects(resuming());
    let told = call.to_new_provider(from);
    assert!(told.contains(&ProviderCommand::Respond), "{told:?}");

    let mut call = resuming_call();
    call.tool_call("c1")
        .tool_cleared("c1")
        .provider(ProviderEvent::MoreToCome)
        .provider(ProviderEvent::TurnPassed)
        .response("r1")
        .provider(ProviderEvent::MoreToCome)
        .response_ends("r1", ResponseStatus::Completed)
        .provider(ProviderEvent::TurnPassed)
        .tool_answers("c1")
        .answer("r2", "it is this", ms(100))
        .pass(ms(1000));
    assert!(call.call.idle);
}

#[test]
fn a8_words_that_still_wait_are_owed_an_answer_when_a_turn_passes() {
    let mut patient = resuming();
    patient.text_during_responses = false;
    for refuses in [false, true] {
        let mut call = Scripted::with(settings(), patient.clone());
        call.user_starts("u1").text("goodbye", false);
        call.user_stops("u1");
        let error = ProviderError::new(ProviderErrorKind::Unsupported, "takes no images");
        let event = if refuses {
            ProviderEvent::Error(error)
        } else {
            ProviderEvent::TurnPassed
        };
        call.provider(event).pass(ms(1000));
        assert!(!call.call.idle, "{refuses}");
        call.pass(ms(3000));
        call.answer("r1", "bye", ms(100)).pass(ms(1000));
        assert!(call.call.idle, "{refuses}");
    }
}

#[test]
fn h4_h1_a_model_that_chose_silence_owes_nothing() {
    let silent = || {
        let mut call = resuming_call();
        call.text("hello?", false)
            .provider(ProviderEvent::TurnPassed)
            .pass(ms(1000));
        call
    };
    let mut call = silent();
    let from = call.lost().log.len();
    call.connects(resuming()).pass(ms(5000));
    assert_eq!(call.to_new_provider(from), [], "it is not pressed for one");

    let mut call = silent();
    call.go_away(ms(50_000));
    assert_eq!(call.dials().len(), 1, "this is a quiet moment");
}

/// How often it was asked for a response, by words too.
pub(super) fn requests(told: &[ProviderCommand]) -> usize {
    let asks = |command: &&ProviderCommand| {
        matches!(
            command,
            ProviderCommand::Respond
                | ProviderCommand::Text { respond: true, .. }
                | ProviderCommand::Image { respond: true, .. }
        )
    };
    told.iter().filter(asks).count()
}

#[test]
fn h4_k7_words_that_are_answered_at_once_ask_for_an_answer_that_is_owed_too() {
    let mut patient = resuming();
    patient.text_during_responses = false;
    for waits in [true, false] {
        let mut call = Scripted::with(settings(), patient.clone());
        call.response("r1");
        if waits {
            // Since before the loss, and the token stands for them.
            call.text("and this?", false).token("t").lost();
        } else {
            call.lost().text("and this?", false);
        }
        let from = call.log.len();
        call.connects(patient.clone()).pass(ms(5000));
        let told = call.to_new_provider(from);
        assert_eq!(requests(&told), 1, "{told:?}");
        call.answer("r2", "that and this", ms(100)).pass(ms(20_000));
        let told = call.to_new_provider(from);
        assert_eq!(requests(&told), 1, "{told:?}");
        assert!(call.call.idle);
    }
}

#[test]
fn h4_a8_words_that_a_dial_tells_are_owed_an_answer() {
    let mut call = resuming_call();
    call.lost().dial_fails(ProviderErrorKind::Network);
    call.text("and this?", false).pass(ms(1000));
    assert_eq!(call.history(), [message(Role::System, "and this?")]);
    assert!(!call.call.idle);
    let from = call.log.len();
    call.connects(resuming());
    assert_eq!(call.to_new_provider(from), [ProviderCommand::Respond]);
}

fn with_past() -> Scripted {
    let mut opening = opening();
    opening.history = vec![message(Role::User, "before")];
    let mut call = Scripted::opened(settings(), opening);
    call.connects(resuming());
    call
}

/// What the next dial tells besides its token.
fn told_besides(call: &mut Scripted) -> Vec<HistoryItem> {
    let (_, dial) = call.token("t").lost().dials().pop().unwrap();
    assert!(dial.setup.resume.is_some());
    dial.setup.history
}

#[test]
fn h1_an_image_brings_back_nothing_that_a_token_stands_for() {
    let mut call = with_past();
    call.answer("r1", "hello", ms(100)).command(Command::Image {
        mime_type: "image/png".into(),
        data: Bytes::from_static(b"image"),
        prompt: None,
        silent: true,
    });
    assert_eq!(told_besides(&mut call), []);
}

#[test]
fn h2_a_token_from_before_a_dial_was_heard_does_not_stand_for_what_it_told() {
    let mut call = with_past();
    let past = [message(Role::User, "before")];
    assert_eq!(told_besides(&mut call), past, "on the first connection");
    call.connects(resuming());
    assert_eq!(told_besides(&mut call), past, "and on the next");
    call.connects(resuming()).answer("r1", "hello", ms(100));
    assert_eq!(told_besides(&mut call), [], "it was answered");

    let mut call = resuming_call();
    call.token("t").text("first", false).lost();
    let first = [message(Role::System, "first")];
    assert_eq!(call.history(), first);
    call.connects(resuming());
    assert_eq!(told_besides(&mut call), first);
    call.connects(resuming()).answer("r1", "hello", ms(100));
    assert_eq!(told_besides(&mut call), []);
}
