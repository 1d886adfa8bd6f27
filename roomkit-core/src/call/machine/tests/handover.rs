//! Hand-overs, planned and not.

mod ids;
mod manual;
mod owed;
mod results;

use super::*;
use crate::{
    call::io::Dial,
    client_protocol::ServerMessage,
    event::{EndReason, HandOverOutcome, HandOverPhase, HandOverReason},
    provider::{
        Continuation, HistoryItem, HistorySupport, ProviderError, ProviderErrorKind, ResumeToken,
    },
};

/// Like OpenAI: replays everything, may dial before it hangs up.
fn replaying() -> ProviderCapabilities {
    let mut capabilities = capabilities();
    capabilities.history = HistorySupport::Full;
    capabilities.overlaps = true;
    capabilities.pings = true;
    capabilities
}

/// Like Gemini: resumes, replays words, hangs up first, answers by itself.
fn resuming() -> ProviderCapabilities {
    let mut capabilities = capabilities();
    capabilities.continuation = Continuation::Automatic;
    capabilities.truncates = false;
    capabilities.history = HistorySupport::Text;
    capabilities.resumes = true;
    capabilities.text_during_tools = false;
    capabilities
}

fn replaying_call() -> Scripted {
    Scripted::with(settings(), replaying())
}

fn resuming_call() -> Scripted {
    Scripted::with(settings(), resuming())
}

fn network() -> ProviderError {
    ProviderError::new(ProviderErrorKind::Network, "cut").with_code("ws_1006")
}

impl Scripted {
    pub(super) fn lost(&mut self) -> &mut Self {
        self.provider(ProviderEvent::Closed(Some(network())))
    }

    fn connects(&mut self, capabilities: ProviderCapabilities) -> &mut Self {
        self.feed(Input::Connected(ConnectionInfo::new(capabilities)))
    }

    fn dial_fails(&mut self, kind: ProviderErrorKind) -> &mut Self {
        let error = ProviderError::new(kind, "no");
        self.feed(Input::DialFailed(error))
    }

    fn go_away(&mut self, left: Duration) -> &mut Self {
        let time_left = Some(left);
        self.provider(ProviderEvent::GoAway { time_left })
    }

    fn token(&mut self, token: &str) -> &mut Self {
        self.provider(ProviderEvent::Resumable(ResumeToken::new(token)))
    }

    /// 20 ms from the microphone, marked with a number.
    fn speak(&mut self, number: u8) -> &mut Self {
        self.client(ClientEvent::Audio(vec![number; 960].into()))
    }

    fn dials(&self) -> Vec<(Moment, Dial)> {
        self.log
            .iter()
            .filter_map(|(at, action)| match action {
                Action::Dial(dial) => Some((*at, Dial::clone(dial))),
                _ => None,
            })
            .collect()
    }

    fn history(&self) -> Vec<HistoryItem> {
        self.dials()
            .pop()
            .map(|(_, dial)| dial.setup.history)
            .unwrap()
    }

    /// What went to the provider since the last connection came: audio by its number.
    fn to_new_provider(&self, from: usize) -> Vec<ProviderCommand> {
        self.log[from..]
            .iter()
            .filter_map(|(_, action)| match action {
                Action::ToProvider(command) => Some(command.clone()),
                _ => None,
            })
            .collect()
    }

    fn told_client(&self) -> Vec<ServerMessage> {
        self.to_client()
            .into_iter()
            .filter_map(|command| match command {
                ClientCommand::Message(message) => Some(message),
                _ => None,
            })
            .collect()
    }

    fn finished(&self) -> Vec<(HandOverReason, HandOverOutcome, u32)> {
        self.news()
            .into_iter()
            .filter_map(|news| match news {
                News::HandOver(HandOverPhase::Finished {
                    reason,
                    outcome,
                    attempts,
                    ..
                }) => Some((reason, outcome, attempts)),
                _ => None,
            })
            .collect()
    }

    fn ended(&self) -> Option<EndReason> {
        match self.log.last() {
            Some((_, Action::End(reason))) => Some(reason.clone()),
            _ => None,
        }
    }

    fn hangs_up(&self) -> usize {
        let hangs_up = |(_, action): &&(Moment, Action)| *action == Action::HangUp;
        self.log.iter().filter(hangs_up).count()
    }
}

fn numbers(commands: &[ProviderCommand]) -> Vec<u8> {
    commands
        .iter()
        .filter_map(|command| match command {
            ProviderCommand::Audio(pcm) => Some(pcm[0]),
            _ => None,
        })
        .collect()
}

fn message(role: Role, text: &str) -> HistoryItem {
    HistoryItem::Message {
        role,
        text: text.into(),
    }
}

/// A question and its answer, heard to the end.
fn turn(call: &mut Scripted, id: &str) {
    call.user_starts(&format!("u{id}"))
        .user_stops(&format!("u{id}"))
        .words(
            Role::User,
            &format!("u{id}"),
            &format!("question {id}"),
            true,
        )
        .answer(&format!("r{id}"), &format!("answer {id}"), ms(400))
        .pass(ms(1000));
}

// ----- planned

#[test]
fn a3_every_connection_is_told_that_the_user_interrupts_nothing() {
    let mut polite = settings();
    polite.interruptions = false;
    let mut setup = SessionSetup::new("s".into());
    setup.interruptions = false;
    let toolbox = Toolbox::new(Vec::new(), None).unwrap();
    let mut opening = opening();
    opening.setup = Setup::new(setup, Arc::new(toolbox), ToolsOf::Channel, None);
    let mut call = Scripted::opened(polite, opening);
    assert!(!call.call.setup().interruptions);
    call.connects(replaying()).lost().pass(ms(5000));
    let (_, dial) = call.dials().pop().unwrap();
    assert!(!dial.setup.interruptions);
}

#[test]
fn h1_a_planned_hand_over_waits_for_a_quiet_moment() {
    let mut call = resuming_call();
    turn(&mut call, "1");
    call.token("t1").user_starts("u2").go_away(ms(50_000));
    call.pass(ms(2000));
    assert_eq!(call.dials(), [], "the user speaks");
    call.user_stops("u2")
        .words(Role::User, "u2", "question 2", true);
    assert_eq!(call.dials(), [], "an answer is owed");
    call.answer("r2", "answer 2", ms(400));
    assert_eq!(call.dials(), [], "and heard");
    call.pass(ms(400));
    let (at, dial) = call.dials().remove(0);
    assert_eq!(at, call.now, "the moment it is quiet");
    assert_eq!(dial.setup.resume, Some(ResumeToken::new("t1")));
    assert_eq!(
        dial.setup.history,
        [
            message(Role::User, "question 2"),
            message(Role::Assistant, "answer 2")
        ],
        "what the token does not stand for"
    );
    assert_eq!(call.hangs_up(), 1, "the old connection is closed first");
    call.connects(resuming());
    let outcome = (HandOverReason::GoAway, HandOverOutcome::Resumed, 1);
    assert_eq!(call.finished(), [outcome]);
    assert_eq!(call.told_client(), [], "the client hears nothing of it");
}

#[test]
fn h1_a_transcript_that_never_comes_is_not_waited_for_long() {
    let mut call = replaying_call();
    call.user_starts("u1").user_stops("u1");
    call.answer("r1", "answer", ms(100))
        .command(Command::HandOver);
    call.pass(ms(10_000));
    let at: Vec<Moment> = call.dials().iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [ms(1500)]);
}

#[test]
fn h1_a_tool_call_is_not_quiet() {
    let mut call = replaying_call();
    call.tool_call("c1")
        .tool_cleared("c1")
        .command(Command::HandOver);
    call.pass(ms(5000));
    assert_eq!(call.dials(), []);
    call.tool_answers("c1");
    call.response("r1")
        .response_ends("r1", ResponseStatus::Completed);
    assert_eq!(call.dials().len(), 1);
}

#[test]
fn h1_the_deadline_does_not_wait_and_the_sentence_is_heard_whole() {
    let mut call = resuming_call();
    for n in 0..50 {
        call.speak(n).pass(ms(20));
    }
    call.user_starts("u1").go_away(ms(8_000));
    for n in 50..200 {
        call.speak(n).pass(ms(20));
        if !call.dials().is_empty() {
            break;
        }
    }
    call.pass(ms(6_000));
    let (at, _) = call.dials().remove(0);
    assert_eq!(at, ms(1000) + ms(6_000), "two seconds before the end");
    let from = call.log.len();
    call.speak(201)
        .speak(202)
        .connects(resuming())
        .pass(ms(5000));
    let mut heard = numbers(&call.to_new_provider(from));
    heard.retain(|number| *number > 0);
    let expected: Vec<u8> = (15..200).chain([201, 202]).collect();
    assert_eq!(heard, expected, "from 700 ms before the speech was noticed");
    let speaking = |on| move |news: &News| *news == News::UserSpeaking(on);
    assert_eq!(call.news().iter().filter(|n| speaking(true)(n)).count(), 1);
    assert_eq!(call.news().iter().filter(|n| speaking(false)(n)).count(), 1);
    call.user_starts("n1").user_stops("n1");
    call.words(Role::User, "n1", "the whole sentence", true);
    let finals = call.finals();
    assert_eq!(finals, [(Role::User, "the whole sentence".to_owned())]);
    let began = call.log.iter().find_map(|(_, action)| match action {
        Action::Publish(p) if matches!(p.what, News::Final { .. }) => Some(p.at),
        _ => None,
    });
    assert_eq!(began, Some(ms(1000)), "it began on the old connection");
}

#[test]
fn h1_where_two_connections_may_overlap_the_old_one_stays_until_the_new_one_is_there() {
    let mut call = replaying_call();
    turn(&mut call, "1");
    let from = call.log.len();
    call.command(Command::HandOver);
    assert_eq!(call.dials().len(), 1);
    assert_eq!(call.hangs_up(), 0);
    assert_eq!(
        call.history(),
        [
            message(Role::User, "question 1"),
            message(Role::Assistant, "answer 1")
        ]
    );
    for n in 1..=25 {
        call.speak(n).pass(ms(20));
    }
    assert_eq!(numbers(&call.to_new_provider(from)), [0_u8; 0], "held");
    call.connects(replaying()).pass(ms(500));
    assert_eq!(
        numbers(&call.to_new_provider(from)),
        (1..=25).collect::<Vec<u8>>()
    );
    let outcome = (HandOverReason::Host, HandOverOutcome::Replayed, 1);
    assert_eq!(call.finished(), [outcome]);
}

#[test]
fn h1_when_no_new_connection_can_be_had_the_old_one_goes_on_without_a_cut() {
    let mut call = replaying_call();
    turn(&mut call, "1");
    let from = call.log.len();
    call.command(Command::HandOver).speak(1);
    call.dial_fails(ProviderErrorKind::Server).speak(2);
    assert_eq!(numbers(&call.to_new_provider(from)), [1, 2]);
    let kept = (HandOverReason::Host, HandOverOutcome::Kept, 1);
    assert_eq!(call.finished(), std::slice::from_ref(&kept));
    let news = call.news();
    assert!(news.iter().any(|told| matches!(told, News::Unnoticed(_))));
    assert!(!news.iter().any(|told| matches!(told, News::Error { .. })));
    call.pass(ms(1000));
    assert_eq!(call.dials().len(), 2, "and another attempt is made");
    call.dial_fails(ProviderErrorKind::Authentication)
        .pass(ms(30_000));
    assert_eq!(call.dials().len(), 2, "but not with a key that is refused");
    assert_eq!(call.ended(), None);
    call.user_starts("u2").user_stops("u2");
    call.words(Role::User, "u2", "still there?", true);
    assert_eq!(call.finals().last().unwrap().1, "still there?");
}

#[test]
fn h1_known_ends_of_a_connection_are_not_waited_for() {
    let mut info = ConnectionInfo::new(resuming());
    info.expires_in = Some(Duration::from_secs(3600));
    let mut call = Scripted::unconnected(settings());
    call.feed(Input::Connected(info))
        .command(Command::ActivityStart);
    call.pass(Duration::from_secs(3540));
    assert_eq!(call.dials(), []);
    call.pass(Duration::from_secs(60));
    let (at, _) = call.dials().remove(0);
    assert_eq!(at, Duration::from_secs(3595));

    let settings = CallSettings {
        max_connection_age: Some(Duration::from_secs(1200)),
        ..settings()
    };
    let mut call = Scripted::with(settings, resuming());
    call.pass(Duration::from_secs(1200));
    let (at, _) = call.dials().remove(0);
    assert_eq!(at, Duration::from_secs(1140), "the first quiet moment");
}

#[test]
fn h1_known_ends_outlast_a_hand_over_that_came_to_nothing() {
    let settings = CallSettings {
        max_connection_age: Some(Duration::from_secs(1200)),
        ..settings()
    };
    let mut call = Scripted::with(settings, replaying());
    call.command(Command::HandOver)
        .dial_fails(ProviderErrorKind::Authentication);
    for _ in 0..1139 {
        call.pass(ms(1000)).provider(ProviderEvent::Pong);
    }
    assert_eq!(call.dials().len(), 1);
    call.pass(ms(1000)).provider(ProviderEvent::Pong);
    assert_eq!(call.dials().len(), 2, "the first quiet moment");
    call.dial_fails(ProviderErrorKind::Authentication);
    for _ in 0..100 {
        call.pass(ms(1000)).provider(ProviderEvent::Pong);
    }
    let at: Vec<Moment> = call.dials().iter().map(|(at, _)| *at).skip(2).collect();
    assert_eq!(at, [Duration::from_secs(1195)], "and at the last moment");
}

#[test]
fn h1_another_attempt_does_not_wait_beyond_a_known_end() {
    let mut call = replaying_call();
    call.response("r1").go_away(ms(20_000)).pass(ms(15_000));
    assert_eq!(call.dials().len(), 1);
    call.dial_fails(ProviderErrorKind::Server).pass(ms(500));
    assert_eq!(call.dials().len(), 2, "the vendor leaves in 5 s");
}

#[test]
fn h2_a_host_hears_of_a_loss_while_a_successor_is_dialled() {
    let mut call = replaying_call();
    call.command(Command::HandOver).lost();
    let news = call.news();
    assert!(news.iter().any(|told| matches!(told, News::Unnoticed(_))));
    call.connects(replaying());
    assert_eq!(call.told_client(), [], "nothing was missing");
}

#[test]
fn h1_what_is_given_during_a_hand_over_is_told_once_and_answered() {
    let mut call = resuming_call();
    turn(&mut call, "1");
    call.command(Command::HandOver);
    call.text("before it is connected", false);
    let from = call.log.len();
    call.dial_fails(ProviderErrorKind::Network).pass(ms(600));
    assert_eq!(
        call.history().last(),
        Some(&message(Role::System, "before it is connected")),
        "the second attempt tells it"
    );
    call.text("and after", false);
    call.connects(resuming());
    let texts: Vec<_> = call
        .to_new_provider(from)
        .into_iter()
        .filter(|command| !matches!(command, ProviderCommand::Ping))
        .collect();
    let after = ProviderCommand::Text {
        role: Role::System,
        text: "and after".into(),
        respond: true,
    };
    assert_eq!(texts, [after], "one answer to both");
}

// ----- unplanned

#[test]
fn h2_a_lost_connection_is_replaced_at_once_and_the_client_is_told() {
    let mut call = replaying_call();
    turn(&mut call, "1");
    call.lost();
    assert_eq!(call.dials().len(), 1);
    assert_eq!(call.dials()[0].0, call.now);
    assert_eq!(call.told_client(), [ServerMessage::Reconnecting]);
    call.pass(ms(300)).connects(replaying());
    assert_eq!(
        call.told_client(),
        [ServerMessage::Reconnecting, ServerMessage::Reconnected]
    );
    let lost = HandOverReason::Lost("ws_1006".into());
    assert_eq!(call.finished(), [(lost, HandOverOutcome::Replayed, 1)]);
    assert_eq!(call.asked(), 0, "nothing is owed");
}

#[test]
fn h2_attempts_back_off_and_are_bounded() {
    let mut call = resuming_call();
    call.lost();
    for longest in [500, 1000, 2000, 4000] {
        call.dial_fails(ProviderErrorKind::Network);
        let failed = call.now;
        call.pass(ms(5000));
        let (at, _) = call.dials().pop().unwrap();
        let (soonest, latest) = (failed + ms(longest * 3 / 4), failed + ms(longest));
        assert!((soonest..=latest).contains(&at), "{at:?} after {failed:?}");
    }
    assert_eq!(call.dials().len(), 5);
    call.dial_fails(ProviderErrorKind::Network);
    assert_eq!(call.ended(), Some(EndReason::Provider("network".into())));
    let failed = (
        HandOverReason::Lost("ws_1006".into()),
        HandOverOutcome::Failed,
        5,
    );
    assert_eq!(call.finished(), [failed]);
}

#[test]
fn h2_a_connection_that_breaks_at_once_every_time_is_not_tried_for_ever() {
    let mut call = replaying_call();
    call.lost();
    let mut connections = 0;
    while call.ended().is_none() {
        call.pass(ms(5000));
        assert!(connections < 10, "for ever");
        if call.dials().len() > connections {
            connections += 1;
            call.connects(replaying()).lost();
        }
    }
    assert_eq!(connections, 5);
}

/// Loses the connection, and every later one as soon as `begins` was done on it.
fn breaks_each_time(begins: impl Fn(&mut Scripted, usize)) -> usize {
    let mut call = replaying_call();
    call.text("go on", false).lost();
    let mut connections = 0;
    while call.ended().is_none() && connections < 10 {
        call.pass(ms(5000));
        if call.dials().len() > connections {
            connections += 1;
            call.connects(replaying());
            begins(&mut call, connections);
            call.lost();
        }
    }
    connections
}

#[test]
fn h2_a_connection_that_breaks_when_it_answers_every_time_is_not_tried_for_ever() {
    let connections = breaks_each_time(|call, number| {
        let id = format!("r{number}");
        call.token(&id)
            .response(&id)
            .voice(&id, &format!("{id}-item"), ms(200));
    });
    assert_eq!(connections, 5);
}

#[test]
fn h2_a_connection_on_which_the_repeated_sentence_is_heard_again_has_not_proven_itself() {
    let connections = breaks_each_time(|call, number| {
        call.user_starts(&format!("u{number}"));
    });
    assert_eq!(connections, 5);
}

#[test]
fn h2_a_whole_answer_or_ten_seconds_make_the_next_loss_the_first_one_again() {
    let answers = breaks_each_time(|call, number| {
        call.answer(&format!("r{number}"), "yes", ms(200));
    });
    let lasts = breaks_each_time(|call, _| {
        call.pass(ms(10_000));
    });
    assert_eq!((answers, lasts), (10, 10), "they go on");
}

#[test]
fn h2_a_connection_that_lasted_leaves_all_attempts_to_its_successor() {
    let mut call = replaying_call();
    call.lost();
    for _ in 0..4 {
        call.dial_fails(ProviderErrorKind::Network).pass(ms(5000));
    }
    call.connects(replaying()).pass(ms(10_000));
    call.go_away(ms(10_000)).pass(ms(10));
    call.dial_fails(ProviderErrorKind::Network).pass(ms(8000));
    assert_eq!(call.dials().len(), 7, "it is tried again");
}

#[test]
fn h2_the_hold_is_bounded_and_what_is_dropped_is_counted() {
    let settings = CallSettings {
        hold: ms(2000),
        ..settings()
    };
    let mut call = Scripted::with(settings, resuming());
    call.lost();
    let from = call.log.len();
    for n in 0..150 {
        call.speak(n);
    }
    let dropped = call.log.iter().map(|(_, action)| match action {
        Action::DroppedHeld(pieces) => *pieces,
        _ => 0,
    });
    assert_eq!(dropped.sum::<usize>(), 50);
    call.connects(resuming()).pass(ms(3000));
    let heard = numbers(&call.to_new_provider(from));
    assert_eq!(heard, (50..150).collect::<Vec<u8>>());
}

#[test]
fn h2_the_client_hears_no_cut() {
    let mut call = replaying_call();
    call.response("r1")
        .words(Role::Assistant, "a1", "a long answer", false)
        .voice("r1", "a1", ms(2000))
        .pass(ms(300))
        .lost()
        .pass(ms(500));
    call.connects(replaying()).pass(ms(2000));
    assert_eq!(call.heard(), ms(2000), "what had come is played to its end");
    assert!(!call.to_client().contains(&ClientCommand::Clear));
}

#[test]
fn h3_permanent_failures_end_the_session_at_once() {
    for kind in [
        ProviderErrorKind::Authentication,
        ProviderErrorKind::Quota,
        ProviderErrorKind::Policy,
        ProviderErrorKind::InvalidConfig,
    ] {
        let error = ProviderError::new(kind, "no").with_code("reason");
        let mut call = replaying_call();
        call.provider(ProviderEvent::Closed(Some(error)));
        assert_eq!(call.ended(), Some(EndReason::Provider("reason".into())));
        let mut call = resuming_call();
        call.lost().dial_fails(kind);
        assert!(call.ended().is_some(), "{kind:?}");
        assert_eq!(call.dials().len(), 1);
    }
}

#[test]
fn h2_a_token_that_is_refused_is_tried_once() {
    let mut call = resuming_call();
    turn(&mut call, "1");
    call.token("stale").lost();
    assert_eq!(
        call.dials()[0].1.setup.resume,
        Some(ResumeToken::new("stale"))
    );
    assert_eq!(call.dials()[0].1.setup.history, []);
    call.dial_fails(ProviderErrorKind::InvalidConfig);
    let (at, dial) = call.dials().remove(1);
    assert_eq!(
        (at, dial.setup.resume),
        (call.now, None),
        "at once, and without"
    );
    assert_eq!(dial.setup.history.len(), 2, "so the conversation is told");
    call.connects(resuming());
    assert_eq!(call.finished()[0].1, HandOverOutcome::Replayed);
}

#[test]
fn h2_a_token_that_was_perhaps_never_shown_is_kept() {
    for kind in [ProviderErrorKind::Timeout, ProviderErrorKind::Server] {
        let mut call = resuming_call();
        turn(&mut call, "1");
        call.token("good").lost();
        for _ in 0..2 {
            let dial = call.dials().pop().unwrap().1;
            assert_eq!(
                dial.setup.resume,
                Some(ResumeToken::new("good")),
                "{kind:?}"
            );
            call.dial_fails(kind).pass(ms(600));
        }
        let dial = call.dials().pop().unwrap().1;
        assert_eq!(dial.setup.resume, None, "some are refused that way");
        assert_eq!(dial.setup.history.len(), 2);
    }
}

#[test]
fn h4_an_open_response_ends_and_its_answer_is_asked_for_again() {
    let mut call = replaying_call();
    call.user_starts("u1").user_stops("u1");
    call.words(Role::User, "u1", "how much is it?", true)
        .response("r1")
        .words(Role::Assistant, "a1", "It is", false)
        .voice("r1", "a1", ms(300))
        .pass(ms(100))
        .lost();
    assert_eq!(
        call.history(),
        [
            message(Role::User, "how much is it?"),
            message(Role::Assistant, "It is")
        ]
    );
    call.pass(ms(300));
    assert_eq!(call.phases(), [ResponsePhase::Started, ResponsePhase::Lost]);
    call.connects(replaying());
    assert_eq!(call.asked(), 1);
}

#[test]
fn h4_an_answer_that_was_said_to_its_end_is_not_asked_for_again() {
    let mut call = replaying_call();
    call.response("r1")
        .voice("r1", "a1", ms(300))
        .words(Role::Assistant, "a1", "Done.", true)
        .lost()
        .connects(replaying());
    assert_eq!(call.asked(), 0);
}

#[test]
fn h4_a_question_that_nobody_has_understood_is_heard_again_and_answered_once() {
    let mut call = replaying_call();
    for n in 0..50 {
        call.speak(n).pass(ms(20));
    }
    call.user_starts("u1");
    for n in 50..60 {
        call.speak(n).pass(ms(20));
    }
    call.user_stops("u1");
    let from = call.log.len();
    call.lost().connects(replaying()).pass(ms(3000));
    let heard = numbers(&call.to_new_provider(from));
    assert_eq!(heard, (0..60).collect::<Vec<u8>>());
    assert_eq!(call.asked(), 0, "the provider answers what it hears");
    call.user_starts("n1").user_stops("n1");
    call.words(Role::User, "n1", "once", true);
    assert_eq!(call.finals(), [(Role::User, "once".to_owned())]);
}

// ----- tools

#[test]
fn k2_a_call_whose_connection_is_gone_is_answered_on_the_next_one() {
    let mut call = replaying_call();
    call.tool_call("c1").tool_cleared("c1").lost();
    assert!(matches!(call.history()[..], [HistoryItem::ToolCall { .. }]));
    call.connects(replaying());
    let from = call.log.len();
    call.tool_answers("c1");
    let sent = call.to_new_provider(from);
    assert!(
        matches!(&sent[..], [ProviderCommand::ToolResult { call_id, .. }, ProviderCommand::Respond] if call_id.as_str() == "c1"),
        "{sent:?}"
    );
}

#[test]
fn k2_a_connection_that_is_kept_knows_no_more_calls_than_before() {
    let mut call = replaying_call();
    call.go_away(ms(100)).user_starts("u1").pass(ms(100));
    // Made while the next connection is dialled, so that one is told of it in words only.
    call.tool_call("c1")
        .tool_cleared("c1")
        .connects(replaying());
    call.go_away(ms(100)).pass(ms(100));
    call.dial_fails(ProviderErrorKind::Server);
    let from = call.log.len();
    call.tool_answers("c1");
    let sent = call.to_new_provider(from);
    assert!(matches!(sent[0], ProviderCommand::Text { .. }), "{sent:?}");
}

#[test]
fn k2_a_provider_that_cannot_be_told_of_calls_gets_the_answer_in_words() {
    let mut call = resuming_call();
    call.tool_call("c1").tool_cleared("c1").lost();
    assert_eq!(call.history(), []);
    call.connects(resuming());
    let from = call.log.len();
    call.tool_answers("c1");
    let sent = call.to_new_provider(from);
    let note = ProviderCommand::Text {
        role: Role::System,
        text: "[The tool `f` was called with {} and answered: result of c1]".into(),
        respond: true,
    };
    assert_eq!(sent, [note]);
}

#[test]
fn k2_an_answer_that_comes_between_two_connections_is_given_once() {
    for capabilities in [replaying(), resuming()] {
        let mut call = Scripted::with(settings(), capabilities.clone());
        call.tool_call("c1").tool_cleared("c1").lost();
        call.tool_answers("c1");
        let from = call.log.len();
        call.connects(capabilities.clone());
        let sent = call.to_new_provider(from);
        let given = |command: &&ProviderCommand| {
            matches!(
                command,
                ProviderCommand::ToolResult { .. } | ProviderCommand::Text { .. }
            )
        };
        assert_eq!(sent.iter().filter(given).count(), 1, "{sent:?}");
        // And the next connection is told of it, not given it.
        call.pass(ms(11_000)).lost();
        let from = call.log.len();
        call.connects(capabilities);
        assert_eq!(call.to_new_provider(from).iter().filter(given).count(), 0);
        assert!(!call.history().is_empty(), "{:?}", call.log);
    }
}

#[test]
fn k1_a_call_that_the_next_connection_makes_again_runs_once_and_is_answered_there() {
    let mut call = resuming_call();
    call.tool_call("c1").tool_cleared("c1").tool_answers("c1");
    call.token("t").lost().connects(resuming());
    let from = call.log.len();
    call.tool_call("c1");
    let sent = call.to_new_provider(from);
    assert!(
        matches!(&sent[..], [ProviderCommand::ToolResult { output, .. }] if output == "result of c1"),
        "{sent:?}"
    );
    let runs = |(_, action): &&(Moment, Action)| matches!(action, Action::StartTool(_));
    assert_eq!(call.log.iter().filter(runs).count(), 1);
}

#[test]
fn words_wait_for_the_last_result_where_the_provider_wants_that() {
    let mut call = resuming_call();
    call.tool_call("c1").tool_cleared("c1");
    let from = call.log.len();
    call.text("a note", false);
    assert_eq!(call.to_new_provider(from), []);
    call.tool_answers("c1");
    let sent = call.to_new_provider(from);
    assert!(
        matches!(
            &sent[..],
            [
                ProviderCommand::ToolResult { .. },
                ProviderCommand::Text { .. }
            ]
        ),
        "{sent:?}"
    );
}

#[test]
fn r3_words_do_not_cut_an_answer_short_where_the_provider_would() {
    let mut capabilities = resuming();
    capabilities.text_during_responses = false;
    let mut call = Scripted::with(settings(), capabilities);
    call.response("r1").voice("r1", "a1", ms(500));
    let from = call.log.len();
    call.text("a whisper", false);
    assert_eq!(call.to_new_provider(from), []);
    call.response_ends("r1", ResponseStatus::Completed);
    let sent = call.to_new_provider(from);
    assert!(
        matches!(&sent[..], [ProviderCommand::Text { respond: true, .. }]),
        "{sent:?}"
    );
}

#[test]
fn a_manual_turn_needs_no_second_word_where_the_provider_answers_by_itself() {
    let mut call = resuming_call();
    call.command(Command::ActivityStart);
    call.speak(1).command(Command::ActivityEnd);
    call.pass(ms(12_000));
    assert_eq!(call.asked(), 0);
}

// ----- signs of life

#[test]
fn h2_silence_that_was_made_goes_over_with_the_sentence() {
    let mut call = replaying_call();
    for n in 1..=50 {
        call.speak(n).pass(ms(20));
    }
    call.user_starts("u1")
        .client(ClientEvent::Mute(true))
        .pass(ms(300));
    let sent = numbers(&call.to_provider());
    let (spoken, silences) = sent.split_at(50);
    assert_eq!(spoken, (1..=50).collect::<Vec<u8>>());
    assert_eq!(silences, [0; 16]);
    let from = call.log.len();
    call.lost().connects(replaying()).pass(ms(5_000));
    let heard = numbers(&call.to_new_provider(from));
    assert_eq!(heard, sent, "nothing of it was confirmed");

    // The next one hears it speak, and the client still sends nothing.
    let from = call.log.len();
    call.user_starts("n1").pass(ms(100));
    let heard = numbers(&call.to_new_provider(from));
    assert_eq!(heard, [0; 6]);
}

#[test]
fn h5_a_connection_that_is_dead_without_saying_so_is_noticed() {
    let mut call = replaying_call();
    call.pass(ms(15_000));
    assert!(call.to_provider().contains(&ProviderCommand::Ping));
    call.pass(ms(44_000));
    assert_eq!(call.dials(), []);
    call.pass(ms(1_000));
    assert_eq!(call.dials().len(), 1);
    assert_eq!(call.dials()[0].0, ms(60_000));
}

#[test]
fn h5_a_healthy_but_slow_peer_is_not_cut() {
    let mut call = replaying_call();
    call.pass(ms(15_000));
    for _ in 0..20 {
        call.pass(ms(30_000)).provider(ProviderEvent::Pong);
    }
    assert_eq!(call.dials(), []);
}

#[test]
fn h5_what_a_dead_connection_swallowed_is_heard_by_the_next_one() {
    let mut call = replaying_call();
    let mut pings = 0;
    for n in 0..100 {
        call.speak(n).pass(ms(20));
        if call
            .take()
            .contains(&Action::ToProvider(ProviderCommand::Ping))
        {
            pings += 1;
            call.provider(ProviderEvent::Pong);
        }
    }
    assert_eq!(pings, 3, "every half second");
    for n in 100..200 {
        call.speak(n).pass(ms(20));
    }
    let from = call.log.len();
    call.lost().connects(replaying()).pass(ms(3000));
    let heard = numbers(&call.to_new_provider(from));
    assert_eq!(heard.last(), Some(&199));
    // Of what was confirmed at 1.5 s, the last may be the beginning of speech that was not noticed yet.
    let (confirmed, speech_lag) = (75, 35);
    let first = heard[0];
    assert!(
        (confirmed - speech_lag..=confirmed).contains(&first),
        "{first}"
    );
    assert!(heard.windows(2).all(|pair| pair[0] + 1 == pair[1]));
}

#[test]
fn h5_a_response_that_never_comes_means_a_stuck_session() {
    let mut call = replaying_call();
    call.text("hello?", false);
    for _ in 0..30 {
        call.pass(ms(2000)).provider(ProviderEvent::Pong);
    }
    assert_eq!(call.dials().len(), 1, "after a minute");
    call.connects(replaying());
    assert!(call.asked() > 0);
}

#[test]
fn h5_a_response_that_breaks_off_is_not_stuck_while_it_is_heard() {
    let mut call = replaying_call();
    call.provider(ProviderEvent::ResponseStarted { response_id: None });
    call.provider(ProviderEvent::Audio {
        response_id: None,
        item_id: None,
        content_index: 0,
        pcm: sound(ms(40_000)),
    });
    let mut pongs = |seconds| {
        for _ in 0..seconds {
            call.pass(ms(1000)).provider(ProviderEvent::Pong);
        }
        call.dials().len()
    };
    assert_eq!(pongs(99), 0);
    assert_eq!(pongs(2), 1, "a minute after the last of it was heard");
}

// ----- ends

#[test]
fn t6_a_hand_over_ends_even_if_the_call_does() {
    let mut call = resuming_call();
    call.lost();
    call.command(Command::End(EndReason::Host));
    let phases = call.news();
    let phases = phases.iter().filter(|n| matches!(n, News::HandOver(_)));
    assert_eq!(phases.count(), 2);
    assert_eq!(call.finished()[0].1, HandOverOutcome::Failed);
    assert_eq!(call.told_client(), [ServerMessage::Reconnecting]);
}

#[test]
fn a3_an_interruption_truncates_nothing_that_the_connection_does_not_know() {
    let mut call = replaying_call();
    call.response("r1")
        .voice("r1", "a1", ms(3000))
        .lost()
        .connects(replaying());
    let from = call.log.len();
    call.pass(ms(100)).user_starts("n1");
    let sent = call.to_new_provider(from);
    assert!(
        !sent
            .iter()
            .any(|c| matches!(c, ProviderCommand::Truncate { .. })),
        "{sent:?}"
    );
    assert!(call.to_client().contains(&ClientCommand::Clear));
}

#[test]
fn a_manual_turn_goes_over_without_its_marks_to_who_finds_turns_by_itself() {
    let mut call = replaying_call();
    call.command(Command::ActivityStart);
    for n in 0..10 {
        call.speak(n).pass(ms(20));
    }
    let from = call.log.len();
    let mut finds = replaying();
    finds.manual_turns = false;
    call.lost().connects(finds).pass(ms(1000));
    let sent = call.to_new_provider(from);
    assert_eq!(numbers(&sent), (0..10).collect::<Vec<u8>>());
    let is_voice =
        |c: &ProviderCommand| matches!(c, ProviderCommand::Audio(_) | ProviderCommand::Ping);
    assert!(sent.iter().all(is_voice), "{sent:?}");
    assert!(!call.call.manual_turn && !call.call.user_speaking);
}

#[test]
fn a_manual_turn_goes_on_where_it_was() {
    let mut call = replaying_call();
    call.command(Command::ActivityStart);
    for n in 0..10 {
        call.speak(n).pass(ms(20));
    }
    let from = call.log.len();
    call.lost().connects(replaying());
    call.speak(10).pass(ms(1000));
    call.command(Command::ActivityEnd).pass(ms(1000));
    let sent = call.to_new_provider(from);
    assert_eq!(numbers(&sent), (0..=10).collect::<Vec<u8>>());
    assert_eq!(sent.first(), Some(&ProviderCommand::ActivityStart));
    let last: Vec<_> = sent
        .iter()
        .filter(|c| !matches!(c, ProviderCommand::Audio(_) | ProviderCommand::Ping))
        .collect();
    assert_eq!(
        last,
        [
            &ProviderCommand::ActivityStart,
            &ProviderCommand::ActivityEnd,
            &ProviderCommand::Respond
        ]
    );
}
