//! Transcripts (contracts T1 to T6).

use super::*;
use crate::provider::{ProviderError, ProviderErrorKind};

fn told(call: &Scripted) -> Vec<String> {
    call.news()
        .into_iter()
        .map(|news| match news {
            News::Partial { role, text, .. } => format!("{}~{text}", role.as_str()),
            News::Final {
                role,
                text,
                barge_in,
                ..
            } => {
                format!(
                    "{}:{text}{}",
                    role.as_str(),
                    if barge_in { "!" } else { "" }
                )
            }
            News::Withdrawn { role, .. } => format!("{} takes back", role.as_str()),
            News::UserSpeaking(on) => format!("user {on}"),
            News::AssistantSpeaking(on) => format!("ai {on}"),
            News::Response { phase, .. } => format!("{phase:?}"),
            News::ToolCall(request) => format!("tool {}", request.call_id),
            News::BargeIn { heard_text, .. } => format!("barge-in after '{heard_text}'"),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn t1_a_whole_turn_in_wire_order() {
    let mut call = Scripted::new();
    call.user_starts("u1").pass(ms(800)).user_stops("u1");
    call.words(Role::User, "u1", "how are", false)
        .words(Role::User, "u1", "how are you", true);
    call.answer("r1", "fine", ms(400)).pass(ms(1000));
    assert_eq!(
        told(&call),
        [
            "user true",
            "user false",
            "user~how are",
            "user:how are you",
            "Started",
            "assistant~fine",
            "ai true",
            "assistant:fine",
            "Completed",
            "ai false",
        ]
    );
}

#[test]
fn t1_a_late_question_precedes_its_answer() {
    let mut call = Scripted::new();
    call.user_starts("u1")
        .user_stops("u1")
        .answer("r1", "fine", ms(400))
        .pass(ms(700));
    assert!(call.heard() > Duration::ZERO, "the voice does not wait");
    assert!(call.finals().is_empty(), "the words do");
    call.words(Role::User, "u1", "how are you", true);
    assert_eq!(
        call.finals(),
        [
            (Role::User, "how are you".to_owned()),
            (Role::Assistant, "fine".to_owned())
        ]
    );
}

#[test]
fn t1_the_wait_for_the_question_is_bounded() {
    let mut call = Scripted::new();
    call.user_starts("u1")
        .user_stops("u1")
        .answer("r1", "fine", ms(400))
        .pass(ms(1499));
    assert!(call.finals().is_empty());
    call.pass(ms(1));
    assert_eq!(call.finals(), [(Role::Assistant, "fine".to_owned())]);
    call.words(Role::User, "u1", "how are you", true);
    assert_eq!(
        call.finals().len(),
        2,
        "a late question is told late, not lost"
    );
}

#[test]
fn t1_a_wait_given_up_does_not_end_the_next_one() {
    let mut call = Scripted::new();
    call.user_starts("u1").user_stops("u1");
    call.answer("r1", "fine", ms(100)).pass(ms(1000));
    call.user_starts("u2").user_stops("u2");
    call.answer("r2", "sure", ms(100)).pass(ms(1000));
    assert_eq!(call.finals(), [(Role::Assistant, "fine".to_owned())]);
    call.words(Role::User, "u2", "really?", true);
    assert_eq!(
        call.finals()[1..],
        [
            (Role::User, "really?".to_owned()),
            (Role::Assistant, "sure".to_owned())
        ]
    );
}

#[test]
fn t1_a_new_question_does_not_overtake_the_answer_to_the_old_one() {
    let mut call = Scripted::new();
    call.user_starts("u1").user_stops("u1");
    call.answer("r1", "fine", ms(100)).pass(ms(500));
    call.user_starts("u2")
        .words(Role::User, "u2", "but", false)
        .user_stops("u2");
    call.words(Role::User, "u2", "but why", true).pass(ms(100));
    assert!(
        call.finals().is_empty(),
        "all of it waits for the first question"
    );
    call.words(Role::User, "u1", "how are you", true);
    let finals: Vec<_> = call.finals().into_iter().map(|(_, text)| text).collect();
    assert_eq!(finals, ["how are you", "fine", "but why"]);
}

#[test]
fn t1_a_final_never_overtakes_its_partials() {
    // All at one moment, with an older question still open.
    let mut call = Scripted::new();
    call.user_starts("u1")
        .user_stops("u1")
        .answer("r1", "fine", ms(100));
    call.user_starts("u2")
        .words(Role::User, "u2", "but", false)
        .user_stops("u2");
    call.words(Role::User, "u2", "but why", true).pass(ms(2000));
    let told = told(&call);
    let place = |what: &str| told.iter().position(|told| told == what).unwrap();
    assert!(place("user~but") < place("user:but why!"), "{told:?}");
}

#[test]
fn t1_a_question_that_could_not_be_transcribed_is_not_waited_for() {
    let mut call = Scripted::new();
    call.user_starts("u1")
        .words(Role::User, "u1", "how", false)
        .user_stops("u1")
        .answer("r1", "fine", ms(400))
        .pass(ms(500));
    let item_id = Some("u1".into());
    call.provider(ProviderEvent::TranscriptFailed {
        item_id,
        message: "mumbled".into(),
    });
    assert_eq!(call.finals(), [(Role::Assistant, "fine".to_owned())]);
    let told = told(&call);
    let place = |what: &str| told.iter().position(|told| told.starts_with(what));
    let in_order = ["user~how", "user takes back", "assistant:fine"].map(place);
    assert!(in_order.is_sorted() && in_order[0].is_some(), "{told:?}");
}

#[test]
fn t1_a_tool_call_does_not_overtake_the_words_that_caused_it() {
    let mut call = Scripted::new();
    call.user_starts("u1")
        .user_stops("u1")
        .response("r1")
        .tool_call("c1")
        .pass(ms(100));
    assert!(!told(&call).contains(&"tool c1".to_owned()));
    call.words(Role::User, "u1", "book it", true);
    let told = told(&call);
    assert_eq!(told[told.len() - 2..], ["user:book it", "tool c1"]);
}

#[test]
fn t1_a_tool_call_after_a_spoken_preamble_runs_at_once_and_in_order() {
    let mut call = Scripted::new();
    call.response("r1").voice("r1", "a1", ms(3000)).words(
        Role::Assistant,
        "a1",
        "one moment",
        true,
    );
    call.tool_call("c1");
    let told = told(&call);
    assert_eq!(told[told.len() - 2..], ["assistant:one moment", "tool c1"]);
}

#[test]
fn t2_a_final_says_when_the_speech_began() {
    let mut call = Scripted::new();
    call.pass(ms(2000))
        .user_starts("u1")
        .pass(ms(1500))
        .user_stops("u1")
        .pass(ms(300));
    call.words(Role::User, "u1", "hello", true);
    let at = call.log.iter().find_map(|(_, action)| match action {
        Action::Publish(p) if matches!(p.what, News::Final { .. }) => Some(p.at),
        _ => None,
    });
    assert_eq!(at, Some(ms(2000)));
}

#[test]
fn t3_repeats_are_dropped_and_repetitions_are_not() {
    let mut call = Scripted::new();
    call.user_starts("u1").user_stops("u1");
    call.words(Role::User, "u1", "yes", true)
        .words(Role::User, "u1", "yes", true);
    assert_eq!(call.finals().len(), 1);
    call.user_starts("u2")
        .user_stops("u2")
        .words(Role::User, "u2", "yes", true);
    assert_eq!(call.finals().len(), 2, "the user says it again");
    call.words(Role::User, "", "no", true)
        .words(Role::User, "", "no", true);
    assert_eq!(
        call.finals().len(),
        3,
        "without an id the same words at once are a repeat"
    );
    call.user_starts("u3")
        .user_stops("u3")
        .words(Role::User, "", "no", true);
    assert_eq!(call.finals().len(), 4);
    call.answer("r1", "sure", ms(100)).pass(ms(200));
    call.words(Role::Assistant, "r1-item", "sure", true)
        .pass(ms(200));
    assert_eq!(call.finals().len(), 5);
}

#[test]
fn t3_blank_finals_are_not_told_but_end_the_wait() {
    let mut call = Scripted::new();
    call.user_starts("u1")
        .user_stops("u1")
        .answer("r1", "pardon?", ms(100))
        .pass(ms(200));
    call.words(Role::User, "u1", " ", true);
    assert_eq!(call.finals(), [(Role::Assistant, "pardon?".to_owned())]);
}

#[test]
fn t4_an_interrupted_answer_is_told_as_it_was_heard() {
    let mut call = Scripted::new();
    call.answer(
        "r1",
        "one two three four five six seven eight nine ten",
        ms(5000),
    );
    call.pass(ms(2500)).user_starts("u1");
    let told = told(&call);
    assert!(
        told.contains(&"assistant:one two three four five!".to_owned())
            && told.contains(&"barge-in after 'one two three four five'".to_owned()),
        "{told:?}"
    );
}

#[test]
fn t4_words_that_come_after_the_interruption_were_not_heard() {
    let mut call = Scripted::new();
    call.response("r1")
        .words(Role::Assistant, "a1", "one two", false)
        .voice("r1", "a1", ms(500));
    call.pass(ms(250)).user_starts("u1");
    call.words(Role::Assistant, "a1", " three four", false)
        .voice("r1", "a1", ms(500));
    call.words(Role::Assistant, "a1", "one two three four", true);
    call.response_ends("r1", ResponseStatus::Cancelled);
    assert_eq!(call.finals(), [(Role::Assistant, "one".to_owned())]);
    assert!(!told(&call).contains(&"assistant~ three four".to_owned()));
}

#[test]
fn t4_an_item_that_begins_after_the_interruption_was_not_heard() {
    let mut call = Scripted::new();
    call.response("r1").client(ClientEvent::Interrupt);
    call.words(Role::Assistant, "a1", "one two", false)
        .voice("r1", "a1", ms(500))
        .words(Role::Assistant, "a1", "one two", true)
        .response_ends("r1", ResponseStatus::Cancelled)
        .pass(ms(1000));
    assert!(call.finals().is_empty());
    assert!(!told(&call).contains(&"assistant~one two".to_owned()));
    call.answer("r2", "three", ms(500)).pass(ms(1000));
    assert_eq!(call.finals(), [(Role::Assistant, "three".to_owned())]);
}

#[test]
fn t4_the_words_of_an_interruption_are_those_of_the_answer_that_was_playing() {
    let mut call = Scripted::new();
    call.answer("r1", "one two", ms(1000))
        .answer("r2", "three four", ms(1000))
        .pass(ms(600))
        .user_starts("u1");
    let barge_in = call.news().into_iter().find_map(|news| match news {
        News::BargeIn { heard, heard_text } => Some((heard, heard_text)),
        _ => None,
    });
    assert_eq!(barge_in, Some((ms(600), "one".to_owned())));
}

#[test]
fn t4_without_ids_each_response_is_measured_by_its_own_audio() {
    let mut call = Scripted::new();
    for (text, length) in [("one two three four", ms(4000)), ("five six", ms(2000))] {
        call.provider(ProviderEvent::ResponseStarted { response_id: None });
        call.words(Role::Assistant, "", text, false);
        call.provider(ProviderEvent::Audio {
            response_id: None,
            item_id: None,
            content_index: 0,
            pcm: sound(length),
        });
        call.words(Role::Assistant, "", text, true);
        call.provider(ProviderEvent::ResponseEnded {
            response_id: None,
            status: ResponseStatus::Completed,
            usage: None,
        });
    }
    call.pass(ms(4100));
    let first = (Role::Assistant, "one two three four".to_owned());
    assert_eq!(
        call.finals(),
        std::slice::from_ref(&first),
        "it waits for no other"
    );
    call.pass(ms(900)).user_starts("u1");
    assert_eq!(call.finals(), [first, (Role::Assistant, "five".to_owned())]);
}

#[test]
fn t4_a_cancelled_answer_without_a_final_gets_one() {
    let mut call = Scripted::new();
    call.response("r1")
        .words(Role::Assistant, "a1", "one two", false)
        .voice("r1", "a1", ms(800));
    call.pass(ms(400))
        .user_starts("u1")
        .response_ends("r1", ResponseStatus::Cancelled);
    assert_eq!(call.finals(), [(Role::Assistant, "one".to_owned())]);
}

#[test]
fn t4_an_answer_nobody_heard_is_not_told() {
    let mut call = Scripted::new();
    call.response("r1")
        .words(Role::Assistant, "a1", "one two", false)
        .user_starts("u1");
    call.response_ends("r1", ResponseStatus::Cancelled)
        .pass(ms(2000));
    assert!(call.finals().is_empty());
    assert!(told(&call).contains(&"assistant takes back".to_owned()));
}

#[test]
fn t4_an_answer_heard_whole_is_not_marked() {
    let mut call = Scripted::new();
    call.answer("r1", "one two", ms(500))
        .pass(ms(600))
        .user_starts("u1");
    assert!(told(&call).contains(&"assistant:one two".to_owned()));
}

#[test]
fn t6_starts_and_ends_balance_whatever_the_provider_forgets() {
    let mut call = Scripted::new();
    call.user_starts("u1")
        .user_starts("u1b")
        .user_stops("u1")
        .user_stops("u1");
    call.response("r1")
        .response("r2")
        .response_ends("r1", ResponseStatus::Completed);
    call.response_ends("r2", ResponseStatus::Completed);
    call.response_ends("r2", ResponseStatus::Completed)
        .pass(ms(100));
    assert_eq!(
        told(&call),
        [
            "user true",
            "user false",
            "Started",
            "Completed",
            "Started",
            "Completed"
        ]
    );
}

#[test]
fn t6_a_connection_lost_for_good_ends_what_was_open() {
    let settings = CallSettings {
        reconnect_attempts: 0,
        ..settings()
    };
    let mut call = Scripted::with(settings, capabilities());
    call.response("r1")
        .words(Role::Assistant, "a1", "one two", false)
        .voice("r1", "a1", ms(800));
    call.pass(ms(400));
    let error = ProviderError::new(ProviderErrorKind::Network, "cut");
    call.provider(ProviderEvent::Closed(Some(error)));
    assert_eq!(call.phases(), [ResponsePhase::Started, ResponsePhase::Lost]);
    assert_eq!(call.finals(), [(Role::Assistant, "one".to_owned())]);
    assert!(matches!(call.log.last(), Some((_, Action::End(_)))));
}

#[test]
fn t6_failures_and_cut_answers_have_their_own_end() {
    let mut call = Scripted::new();
    call.response("r1")
        .response_ends("r1", ResponseStatus::Incomplete("max_output_tokens".into()));
    let error = ProviderError::new(ProviderErrorKind::Server, "oops");
    call.response("r2")
        .response_ends("r2", ResponseStatus::Failed(error))
        .pass(ms(10));
    assert_eq!(
        call.phases(),
        [
            ResponsePhase::Started,
            ResponsePhase::Failed("max_output_tokens".into()),
            ResponsePhase::Started,
            ResponsePhase::Failed("server_error".into()),
        ]
    );
}

#[test]
fn t3_the_ids_of_another_connection_are_others() {
    let mut call = Scripted::with(settings(), capabilities());
    let ask = |call: &mut Scripted, text: &str| {
        call.user_starts("i1").user_stops("i1");
        call.words(Role::User, "i1", text, true);
        call.answer("r1", "yes", ms(100)).pass(ms(1_000));
    };
    ask(&mut call, "hello");
    call.words(Role::User, "i1", "hello", true);
    call.provider(ProviderEvent::Closed(None)).pass(ms(1_000));
    call.feed(Input::Connected(ConnectionInfo::new(capabilities())));
    ask(&mut call, "what time is it?");
    let user = |(role, text): (Role, String)| (role == Role::User).then_some(text);
    let said: Vec<String> = call.finals().into_iter().filter_map(user).collect();
    assert_eq!(said, ["hello", "what time is it?"]);
}

#[test]
fn c5_typed_text_without_words_is_dropped() {
    let mut call = Scripted::new();
    for blank in ["", " ", "\r\n\t"] {
        call.client(ClientEvent::Text(blank.into())).pass(ms(500));
    }
    assert!(call.finals().is_empty() && call.to_provider().is_empty());
    let dropped = |(_, action): &(Moment, Action)| matches!(action, Action::Dropped("empty_text"));
    assert_eq!(call.log.iter().filter(|it| dropped(it)).count(), 3);
}

#[test]
fn t4_an_answer_that_speech_may_not_interrupt_is_told_as_heard_where_it_is_stopped() {
    let mut polite = settings();
    polite.interruptions = false;
    let mut call = Scripted::with(polite, capabilities());
    call.answer("r1", "one two three four", ms(4_000))
        .pass(ms(1_000))
        .user_starts("u1")
        .pass(ms(1_000));
    call.client(ClientEvent::Interrupt);
    assert_eq!(
        call.finals(),
        [(Role::Assistant, "one two".to_owned())],
        "half of it"
    );
}
