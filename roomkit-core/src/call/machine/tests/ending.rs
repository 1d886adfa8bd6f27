//! Calls that end by themselves once they are over (contract S11).

use super::{tools::with_rules, *};
use crate::{
    event::EndReason,
    provider::{ProviderError, ProviderErrorKind},
    tool::ToolRules,
    voice::DeliveryStrategy,
};

impl Scripted {
    fn ends_when_over(&mut self, limit: Duration) -> &mut Self {
        self.command(Command::EndWhenOver(limit))
    }

    /// When it ended, if it has, and why.
    fn end(&self) -> Option<(Moment, EndReason)> {
        self.log.iter().find_map(|(at, action)| match action {
            Action::End(reason) => Some((*at, reason.clone())),
            _ => None,
        })
    }

    /// The AI calls a tool that hangs up, with so long for what is still to be said.
    fn hangs_up_by_tool(&mut self, limit: Duration) -> &mut Self {
        self.response("r1")
            .tool_call("c1")
            .tool_cleared("c1")
            .ends_when_over(limit)
            .tool_answers("c1")
            .response_ends("r1", ResponseStatus::Completed)
    }
}

const LIMIT: Duration = Duration::from_secs(15);

#[test]
fn s11_a_call_ends_when_the_goodbye_was_heard() {
    let mut call = Scripted::new();
    call.hangs_up_by_tool(LIMIT).pass(ms(800));
    assert_eq!(call.end(), None, "the model takes its time");
    call.answer("r2", "goodbye", ms(1000)).pass(ms(999));
    assert_eq!(call.end(), None, "it is being heard");
    call.pass(ms(1));
    assert_eq!(call.end(), Some((ms(1800), EndReason::Host)));
    assert_eq!(call.heard(), ms(1000));
    let said = (Role::Assistant, "goodbye".to_owned());
    assert_eq!(call.finals(), [said]);
    assert_eq!(call.phases().last(), Some(&ResponsePhase::Completed));
    assert_eq!(call.call.next_wake(call.now), None);
}

#[test]
fn s11_an_idle_call_ends_at_once() {
    let mut call = Scripted::new();
    call.ends_when_over(LIMIT);
    assert_eq!(call.end(), Some((ms(0), EndReason::Host)));
}

#[test]
fn s11_k7_a_call_does_not_end_while_a_tool_is_open_during_which_it_may_go_on() {
    let rules = ToolRules {
        speak_while_running: true,
        ..ToolRules::default()
    };
    let mut call = with_rules(capabilities(), rules);
    call.tool_call_of("g", "slow").tool_cleared("slow");
    call.hangs_up_by_tool(LIMIT)
        .answer("r2", "one moment", ms(500))
        .pass(ms(5000));
    assert!(call.call.idle, "for all who do not wait for its end");
    assert_eq!(call.end(), None);
    call.tool_answers("slow").pass(ms(100));
    assert_eq!(call.end(), None, "the model has something to say to it");
    call.answer("r3", "it is done, goodbye", ms(1000))
        .pass(ms(1000));
    assert_eq!(call.end(), Some((ms(6100), EndReason::Host)));
}

#[test]
fn s11_a_call_that_goes_on_ends_at_the_limit() {
    let mut call = Scripted::new();
    call.hangs_up_by_tool(ms(3000))
        .answer("r2", "a long story", ms(9000));
    call.pass(ms(2999));
    assert_eq!(call.end(), None);
    call.pass(ms(1));
    assert_eq!(call.end(), Some((ms(3000), EndReason::Host)));

    let mut call = Scripted::new();
    call.tool_call("c1")
        .tool_cleared("c1")
        .ends_when_over(ms(3000))
        .pass(LIMIT);
    assert_eq!(
        call.end(),
        Some((ms(3000), EndReason::Host)),
        "a tool hangs"
    );
    assert!(call.call.tools.is_empty());
}

#[test]
fn s11_of_several_limits_the_earliest_counts() {
    for limits in [[2000, 9000], [9000, 2000]] {
        let mut call = Scripted::new();
        call.response("r1");
        for limit in limits {
            call.ends_when_over(ms(limit));
        }
        call.pass(LIMIT);
        assert_eq!(call.end(), Some((ms(2000), EndReason::Host)));
    }
}

#[test]
fn s11_s9_a_call_that_is_not_active_yet_says_its_greeting_first() {
    let mut opening = opening();
    opening.greeting = Some("We are closed.".into());
    let mut call = Scripted::opened(settings(), opening);
    call.ends_when_over(LIMIT).pass(ms(2000));
    assert_eq!(call.end(), None);
    call.feed(Input::Connected(ConnectionInfo::new(capabilities())))
        .pass(ms(500));
    assert_eq!((call.asked(), call.end()), (1, None));
    call.answer("r1", "We are closed.", ms(1000)).pass(ms(1000));
    assert_eq!(call.end(), Some((ms(3500), EndReason::Host)));
}

#[test]
fn s11_a_call_that_never_becomes_active_ends_at_the_limit() {
    let mut call = Scripted::unconnected(settings());
    call.ends_when_over(ms(3000)).pass(LIMIT);
    assert_eq!(call.end(), Some((ms(3000), EndReason::Host)));
}

#[test]
fn s11_h4_a_goodbye_that_a_lost_connection_owed_is_heard_on_the_next() {
    let mut call = Scripted::new();
    call.hangs_up_by_tool(LIMIT).pass(ms(500));
    let error = ProviderError::new(ProviderErrorKind::Network, "gone");
    call.provider(ProviderEvent::Closed(Some(error)))
        .pass(ms(1000));
    assert_eq!(call.end(), None, "it has no connection");
    call.feed(Input::Connected(ConnectionInfo::new(capabilities())))
        .pass(ms(500));
    assert_eq!((call.asked(), call.end()), (2, None), "it is owed again");
    call.answer("r2", "goodbye", ms(1000)).pass(ms(1000));
    assert_eq!(call.end(), Some((ms(3000), EndReason::Host)));
    assert_eq!(call.heard(), ms(1000));
}

#[test]
fn s11_r11_what_waits_to_be_delivered_is_said_before_the_end() {
    let mut call = Scripted::new();
    call.command(Command::Deliver {
        text: "the shop is closed tomorrow".into(),
        strategy: DeliveryStrategy::Queued,
        taken: None,
    });
    call.answer("r1", "tomorrow it is closed", ms(500));
    call.command(Command::Deliver {
        text: "and on Monday".into(),
        strategy: DeliveryStrategy::Queued,
        taken: None,
    });
    call.ends_when_over(LIMIT).pass(ms(1000));
    assert_eq!((call.asked(), call.end()), (2, None));
    call.answer("r2", "and on Monday", ms(500)).pass(ms(500));
    assert_eq!(call.end(), Some((ms(1500), EndReason::Host)));
}

#[test]
fn s11_a_caller_who_has_just_spoken_may_be_answered() {
    let mut call = Scripted::new();
    call.user_starts("u1").ends_when_over(LIMIT).pass(ms(1000));
    call.user_stops("u1")
        .words(Role::User, "u1", "bye", true)
        .pass(ms(1000));
    assert_eq!(call.end(), None);
    call.pass(ms(2000));
    assert_eq!(call.end(), Some((ms(4000), EndReason::Host)));
}

#[test]
fn s11_h1_no_connection_is_made_for_a_call_that_is_over() {
    let mut call = Scripted::new();
    call.answer("r1", "goodbye", ms(500))
        .command(Command::HandOver)
        .ends_when_over(LIMIT)
        .pass(ms(1000));
    assert_eq!(call.end(), Some((ms(500), EndReason::Host)));
    let dials = |(_, action): &(Moment, Action)| matches!(action, Action::Dial(_));
    assert!(!call.log.iter().any(dials));
}
