//! Agents that hand the caller on (contracts S10, K2, K5, K7).

use super::*;
use crate::voice::DeliveryStrategy;

#[test]
fn k7_the_next_agent_answers_and_it_is_asked_once() {
    let mut call = Scripted::with(settings(), rigid());
    call.response("r1")
        .tool_call("c1")
        .response_ends("r1", ResponseStatus::Completed)
        .tool_cleared("c1")
        .hands_off("c1", agent("billing", UpdateWay::Live));
    assert_eq!(call.order(), ["result", "update", "respond"]);
    call.pass(ms(1));
    assert_eq!(call.agents(), ["billing"]);
    assert_eq!(call.call.stats().agent_changes, 1);
}

#[test]
fn s10_an_agent_is_announced_when_the_vendor_has_taken_the_change() {
    let mut call = Scripted::with(settings(), confirming());
    call.response("r1")
        .tool_call("c1")
        .response_ends("r1", ResponseStatus::Completed)
        .tool_cleared("c1")
        .hands_off("c1", agent("billing", UpdateWay::Live));
    assert_eq!(
        call.order(),
        ["result", "update", "respond"],
        "nobody waits"
    );
    call.pass(ms(100));
    assert_eq!(call.agents(), [""; 0]);
    call.provider(ProviderEvent::Updated);
    assert_eq!(call.agents(), ["billing"]);
    assert_eq!(call.call.stats().agent_changes, 1);
}

#[test]
fn s10_an_agent_that_the_vendor_refuses_later_is_not_announced() {
    let mut call = Scripted::with(settings(), confirming());
    call.change(Change::new(voice("bass"), all(UpdateWay::Live)));
    call.change(agent("billing", UpdateWay::Live));
    let refused = refusal(ProviderErrorKind::InvalidRequest);
    call.provider(ProviderEvent::Updated)
        .provider(ProviderEvent::UpdateRefused(refused))
        .pass(ms(1000));
    assert_eq!(call.agents(), [""; 0]);
    assert_eq!(call.call.stats().agent_changes, 0);
    assert_eq!(call.complaints(), ["update_refused"]);
}

#[test]
fn s5_s10_what_a_provider_that_confirms_nothing_refuses_is_what_it_was_sent_last() {
    let mut call = Scripted::with(settings(), rigid());
    call.change(Change::new(voice("bass"), all(UpdateWay::Live)));
    call.pass(ms(60_000));
    call.change(agent("billing", UpdateWay::Live));
    let refused = refusal(ProviderErrorKind::InvalidRequest);
    call.provider(ProviderEvent::UpdateRefused(refused));
    // It seemed to be taken.
    assert_eq!(call.agents(), ["billing", "nobody"]);
    call.provider(ProviderEvent::Closed(None));
    let setup = call.dialled().pop().unwrap().setup;
    assert_eq!(setup.system_prompt, None);
    assert_eq!(setup.voice.as_deref(), Some("bass"));
}

#[test]
fn s10_h2_an_agent_whose_connection_is_lost_first_is_announced_with_the_next() {
    let mut call = Scripted::with(settings(), confirming());
    call.change(agent("billing", UpdateWay::Live));
    call.provider(ProviderEvent::Closed(None)).pass(ms(100));
    assert_eq!(call.agents(), [""; 0]);
    call.connected(confirming()).pass(ms(100));
    assert_eq!(call.agents(), ["billing"]);
}

#[test]
fn k7_a_provider_that_goes_on_by_itself_is_another_before_it_does() {
    let mut capabilities = rigid();
    capabilities.continuation = Continuation::Automatic;
    let mut call = Scripted::with(settings(), capabilities);
    call.tool_call("c1")
        .tool_cleared("c1")
        .hands_off("c1", agent("billing", UpdateWay::Live));
    assert_eq!(call.order(), ["update", "result"]);
}

#[test]
fn k7_h1_an_agent_that_takes_another_connection_answers_there_and_nobody_before() {
    for overlaps in [false, true] {
        let mut capabilities = rigid();
        capabilities.overlaps = overlaps;
        let mut call = Scripted::with(settings(), capabilities.clone());
        call.response("r1")
            .tool_call("c1")
            .tool_cleared("c1")
            .hands_off("c1", agent("billing", UpdateWay::NewConnection));
        assert_eq!(call.dialled(), [], "the old agent finishes its sentence");
        call.response_ends("r1", ResponseStatus::Completed);
        assert_eq!(call.order(), [""; 0], "but it hears of no result");
        let setup = call.dialled().pop().unwrap().setup;
        assert_eq!(setup.system_prompt.as_deref(), Some("you are billing"));
        assert!(
            matches!(setup.history.last(), Some(HistoryItem::ToolResult { call_id, .. }) if call_id.as_str() == "c1"),
            "{:?}",
            setup.history
        );
        call.connected(capabilities);
        assert_eq!(call.order(), ["respond"], "overlaps: {overlaps}");
        call.pass(ms(1));
        assert_eq!(call.agents(), ["billing"]);
    }
}

/// A text for the caller waits for a quiet moment.
fn deliver(call: &mut Scripted) {
    call.command(Command::Deliver {
        text: "your taxi is here".into(),
        strategy: DeliveryStrategy::Queued,
        taken: None,
    });
}

#[test]
fn k7_r11_nothing_is_delivered_by_the_agent_that_hands_the_caller_over() {
    for overlaps in [false, true] {
        let mut capabilities = rigid();
        capabilities.overlaps = overlaps;
        let mut call = Scripted::with(settings(), capabilities.clone());
        call.tool_call("c1").tool_cleared("c1");
        deliver(&mut call);
        call.hands_off("c1", agent("billing", UpdateWay::NewConnection));
        call.pass(ms(100));
        assert_eq!(call.order(), [""; 0], "overlaps: {overlaps}");
        assert_eq!(call.dialled().len(), 1);
        call.connected(capabilities);
        assert_eq!(call.order(), ["respond"], "the agent takes over first");
        call.answer("r1", "this is billing", ms(100)).pass(ms(500));
        assert_eq!(call.order(), ["respond", "text", "respond"]);
    }
}

#[test]
fn k7_the_agent_that_hands_the_caller_over_is_not_asked_about_another_result() {
    for overlaps in [false, true] {
        let mut capabilities = rigid();
        capabilities.overlaps = overlaps;
        let mut call = Scripted::with(settings(), capabilities.clone());
        call.response("r1")
            .tool_call("c1")
            .tool_call("c2")
            .tool_cleared("c1")
            .tool_cleared("c2")
            .hands_off("c2", agent("billing", UpdateWay::NewConnection))
            .tool_answers("c1")
            .response_ends("r1", ResponseStatus::Completed)
            .pass(ms(100));
        assert_eq!(call.order(), ["result"], "overlaps: {overlaps}");
        assert_eq!(call.dialled().len(), 1);
        call.connected(capabilities).pass(ms(100));
        assert_eq!(call.order(), ["result", "respond"]);
    }
}

#[test]
fn k7_h1_a_hand_off_that_is_tried_again_waits_for_no_quiet_moment() {
    let mut overlapping = rigid();
    overlapping.overlaps = true;
    let mut call = Scripted::with(settings(), overlapping.clone());
    call.tool_call("c1")
        .tool_call("c2")
        .tool_cleared("c1")
        .tool_cleared("c2")
        .hands_off("c2", agent("billing", UpdateWay::NewConnection))
        .tool_answers("c1");
    call.fails(ProviderErrorKind::Network).pass(ms(500));
    assert_eq!(call.dialled().len(), 2);
    call.connected(overlapping);
    assert_eq!(call.order(), ["result", "respond"]);
}

#[test]
fn k2_h1_a_hand_off_while_a_connection_is_dialled_is_answered_there_once() {
    let mut overlapping = rigid();
    overlapping.overlaps = true;
    let both = [false, true];
    let all =
        both.map(|is_lost| [UpdateWay::NewConnection, UpdateWay::Live].map(|it| (is_lost, it)));
    for (is_lost, way) in all.into_iter().flatten() {
        let mut call = Scripted::with(settings(), overlapping.clone());
        call.tool_call("c1")
            .tool_cleared("c1")
            .command(Command::HandOver)
            .pass(ms(20_000));
        assert_eq!(call.dialled().len(), 1, "no quiet moment came");
        call.hands_off("c1", agent("billing", way));
        assert_eq!(call.order(), [""; 0], "not the agent of before: {way:?}");
        if is_lost {
            call.provider(ProviderEvent::Closed(None));
        }
        call.connected(overlapping.clone()).pass(ms(100));
        if way == UpdateWay::Live {
            let asked = ["update", "result", "respond"];
            assert_eq!(call.order(), asked, "lost meanwhile: {is_lost}");
            continue;
        }
        assert_eq!(call.order(), [""; 0], "nor there: {is_lost}");
        let dialled = call.dialled();
        assert_eq!(dialled.len(), 2, "and it waits for no quiet moment");
        assert_tells_result(&dialled[1]);
        call.connected(overlapping.clone()).pass(ms(30_000));
        assert_eq!(call.order().first(), Some(&"respond"));
        assert_eq!(call.agents(), ["billing"]);
        assert_eq!(call.dialled().len(), 2);
    }
}

fn assert_tells_result(dial: &Dial) {
    let told = &dial.setup.history;
    assert!(
        matches!(told.last(), Some(HistoryItem::ToolResult { call_id, .. }) if call_id.as_str() == "c1"),
        "{told:?}"
    );
}

#[test]
fn k7_h1_a_hand_off_outlives_a_connection_that_could_not_be_had() {
    let mut overlapping = rigid();
    overlapping.overlaps = true;
    for way in [UpdateWay::NewConnection, UpdateWay::Live] {
        let mut call = Scripted::with(settings(), overlapping.clone());
        call.tool_call("c1")
            .tool_cleared("c1")
            .command(Command::HandOver)
            .pass(ms(20_000))
            .hands_off("c1", agent("billing", way));
        call.fails(ProviderErrorKind::Unsupported).pass(ms(100));
        if way == UpdateWay::Live {
            assert_eq!(call.order(), ["update", "result", "respond"]);
            continue;
        }
        assert_eq!(call.order(), [""; 0], "the agent of before is not asked");
        let dialled = call.dialled();
        assert_eq!(dialled.len(), 2);
        assert_tells_result(&dialled[1]);
        call.connected(overlapping.clone()).pass(ms(100));
        assert_eq!(call.order(), ["respond"]);
    }
}

#[test]
fn k7_who_takes_over_is_asked_even_where_results_are_not_answered() {
    for (overlaps, continuation) in [
        (false, Continuation::Automatic),
        (true, Continuation::Automatic),
        (true, Continuation::Explicit),
    ] {
        let mut silent = rigid();
        silent.overlaps = overlaps;
        silent.continuation = continuation;
        silent.answers_results = false;
        let mut call = Scripted::with(settings(), silent.clone());
        call.tool_call("c1")
            .tool_cleared("c1")
            .hands_off("c1", agent("billing", UpdateWay::NewConnection))
            .connected(silent.clone())
            .pass(ms(5000));
        assert_eq!(call.order(), ["respond"], "{overlaps}, {continuation:?}");

        let mut lost = Scripted::with(settings(), silent.clone());
        lost.tool_call("c1")
            .tool_cleared("c1")
            .provider(ProviderEvent::Closed(None))
            .hands_off("c1", agent("billing", UpdateWay::Live))
            .connected(silent)
            .pass(ms(5000));
        assert_eq!(lost.order(), ["update", "result", "respond"]);
    }
}

#[test]
fn h5_k7_what_the_next_agent_is_to_answer_is_not_due_from_the_one_before() {
    let mut patient = settings();
    patient.reconnect_attempts = 100;
    let mut overlapping = rigid();
    overlapping.overlaps = true;
    let mut call = Scripted::with(patient, overlapping);
    call.tool_call("c1")
        .tool_call("c2")
        .tool_cleared("c1")
        .tool_cleared("c2")
        .hands_off("c2", agent("billing", UpdateWay::NewConnection))
        .tool_answers("c1");
    for _ in 0..30 {
        call.fails(ProviderErrorKind::Network).pass(ms(4000));
    }
    let outcomes = call.outcomes();
    assert_eq!(outcomes.len(), 30);
    for outcome in outcomes {
        let kept = (HandOverReason::Changed, HandOverOutcome::Kept);
        assert_eq!(outcome, kept);
    }
}

#[test]
fn k2_a_call_that_is_made_again_while_its_answer_waits_is_answered_once() {
    let mut overlapping = rigid();
    overlapping.overlaps = true;
    let mut call = Scripted::with(settings(), overlapping.clone());
    call.tool_call("c1")
        .tool_cleared("c1")
        .provider(ProviderEvent::Closed(None))
        .connected(overlapping)
        .command(Command::HandOver)
        .pass(ms(20_000))
        .hands_off("c1", agent("billing", UpdateWay::NewConnection))
        .tool_call("c1");
    // The host's connection, and then the other agent's.
    call.fails(ProviderErrorKind::Unsupported)
        .fails(ProviderErrorKind::Unsupported);
    let result = |command: &ProviderCommand| matches!(command, ProviderCommand::ToolResult { .. });
    let results = call.to_provider().into_iter().filter(result);
    assert_eq!(results.count(), 1);
}

#[test]
fn k2_k7_a_hand_off_that_the_provider_refuses_leaves_the_caller_with_who_there_was() {
    for overlaps in [false, true] {
        let mut capabilities = rigid();
        capabilities.overlaps = overlaps;
        let mut call = Scripted::with(settings(), capabilities.clone());
        call.tool_call("c1")
            .tool_cleared("c1")
            .hands_off("c1", agent("billing", UpdateWay::NewConnection));
        call.fails(ProviderErrorKind::InvalidConfig);
        if overlaps {
            assert_eq!(call.order(), ["result", "text", "respond"]);
        } else {
            let told = call.dialled().pop().unwrap().setup.history;
            assert!(
                matches!(&told[..], [.., HistoryItem::Message { text, .. }] if text.contains("did not work")),
                "{told:?}"
            );
            call.connected(capabilities);
            assert_eq!(call.order(), ["respond"]);
        }
        assert_eq!(call.agents(), [""; 0]);
        assert_eq!(call.complaints()[0], "update_refused");
    }
}

#[test]
fn k2_a_hand_off_that_cannot_be_is_an_answer_the_model_reads() {
    let mut call = Scripted::with(settings(), rigid());
    call.tool_call("c1")
        .tool_cleared("c1")
        .hands_off("c1", agent("billing", UpdateWay::Never));
    let output = call.to_provider().into_iter().find_map(|c| match c {
        ProviderCommand::ToolResult {
            output, is_error, ..
        } => Some((output, is_error)),
        _ => None,
    });
    let (output, is_error) = output.unwrap();
    assert!(is_error && output.contains("system_prompt"), "{output}");
    assert_eq!(call.agents(), [""; 0]);
}

#[test]
fn k5_a_call_of_the_agent_before_is_answered_by_its_own_tools() {
    let mut call = Scripted::with(settings(), rigid());
    let tools = |name: &str| {
        let tool = crate::tool::ToolDefinition::new(name, "", serde_json::json!({}));
        Arc::new(Toolbox::new(vec![tool.into()], None).unwrap())
    };
    call.tool_call("c1");
    let next = Change {
        toolbox: Some(tools("g")),
        ..agent("billing", UpdateWay::Live)
    };
    call.change(next);
    call.tool_call("c2");
    assert!(call.call.toolbox_for(&"c1".into()).definitions().is_empty());
    let now = call.call.toolbox_for(&"c2".into());
    assert_eq!(now.definitions()[0].name, "g");
}

/// A tool hands the caller over while there is no connection.
fn handed_over_meanwhile(capabilities: &ProviderCapabilities, way: UpdateWay) -> Scripted {
    let mut call = Scripted::with(settings(), capabilities.clone());
    let voice = Change {
        agent: Some("billing".into()),
        ..Change::new(voice("bass"), all(way))
    };
    call.answer("r1", "hello", ms(100)).pass(ms(500));
    call.tool_call("c1")
        .tool_cleared("c1")
        .provider(ProviderEvent::Closed(None))
        .hands_off("c1", voice);
    call.connected(capabilities.clone());
    call
}

#[test]
fn k7_h2_an_agent_that_takes_over_while_a_connection_is_dialled_is_asked() {
    let mut call = handed_over_meanwhile(&rigid(), UpdateWay::LiveUntilVoice);
    assert_eq!(call.order(), ["update", "result", "respond"]);
    call.pass(ms(1));
    assert_eq!(call.agents(), ["billing"]);
}

#[test]
fn k7_h2_a_model_that_goes_on_by_itself_is_another_before_it_hears_of_the_result() {
    let mut automatic = rigid();
    automatic.continuation = Continuation::Automatic;
    let call = handed_over_meanwhile(&automatic, UpdateWay::Live);
    assert_eq!(call.order(), ["update", "result"]);
}

#[test]
fn k7_h2_nobody_is_asked_before_the_agent_that_takes_one_more_connection() {
    for continuation in [Continuation::Automatic, Continuation::Explicit] {
        let mut capabilities = rigid();
        capabilities.continuation = continuation;
        let mut call = handed_over_meanwhile(&capabilities, UpdateWay::NewConnection);
        deliver(&mut call);
        call.pass(ms(1));
        assert_eq!(call.order(), [""; 0], "{continuation:?}");
        let setup = call.dialled().pop().unwrap().setup;
        assert_eq!(setup.voice.as_deref(), Some("bass"));
        call.connected(capabilities);
        assert_eq!(call.order(), ["respond"], "{continuation:?}");
    }
}

#[test]
fn r3_h1_text_that_waited_for_an_answer_to_end_is_answered_by_the_next_connection() {
    let mut automatic = rigid();
    automatic.continuation = Continuation::Automatic;
    automatic.text_during_responses = false;
    let mut call = Scripted::with(settings(), automatic.clone());
    call.response("r1")
        .text("offer a discount", false)
        .command(Command::HandOver)
        .response_ends("r1", ResponseStatus::Completed)
        .pass(ms(30_000));
    assert_eq!(call.dialled().len(), 1);
    call.connected(automatic);
    assert_eq!(call.order().last(), Some(&"respond"));
}
