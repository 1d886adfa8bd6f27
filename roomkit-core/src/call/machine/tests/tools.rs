//! Tool calls (contracts K1 to K4, K6, K7).

use serde_json::json;

use super::*;
use crate::{
    event::EndReason,
    tool::{ToolDefinition, ToolRules},
};

/// A call in which the tool `g` has these rules.
pub(super) fn with_rules(capabilities: ProviderCapabilities, rules: ToolRules) -> Scripted {
    with_settings_and_rules(settings(), capabilities, rules)
}

fn with_settings_and_rules(
    settings: CallSettings,
    capabilities: ProviderCapabilities,
    rules: ToolRules,
) -> Scripted {
    let tool = ToolDefinition::new("g", "", json!({})).rules(rules);
    let toolbox = Toolbox::new(vec![tool.into()], None).unwrap();
    let setup = SessionSetup::new("s".into());
    let mut opening = opening();
    opening.setup = Setup::new(setup, Arc::new(toolbox), ToolsOf::Channel, None);
    let mut call = Scripted::opened(settings, opening);
    call.feed(Input::Connected(ConnectionInfo::new(capabilities)));
    call
}

fn results(call: &Scripted) -> Vec<(String, String)> {
    call.to_provider()
        .into_iter()
        .filter_map(|command| match command {
            ProviderCommand::ToolResult {
                call_id, output, ..
            } => Some((call_id.to_string(), output)),
            _ => None,
        })
        .collect()
}

fn started(call: &Scripted) -> Vec<String> {
    call.log
        .iter()
        .filter_map(|(_, action)| match action {
            Action::StartTool(request) => Some(request.call_id.to_string()),
            _ => None,
        })
        .collect()
}

#[test]
fn k1_a_repeated_call_runs_once_and_is_answered_once() {
    let mut call = Scripted::new();
    call.tool_call("c1")
        .tool_cleared("c1")
        .tool_call("c1")
        .tool_answers("c1");
    call.tool_call("c1").tool_answers("c1");
    assert_eq!(started(&call), ["c1"]);
    assert_eq!(results(&call).len(), 1);
}

#[test]
fn k3_calls_run_side_by_side_up_to_the_limit() {
    let mut call = Scripted::new();
    call.response("r1");
    for id in ["c1", "c2", "c3"] {
        call.tool_call(id).tool_cleared(id);
    }
    assert_eq!(started(&call), ["c1", "c2"]);
    call.tool_answers("c2");
    assert_eq!(started(&call), ["c1", "c2", "c3"]);
}

#[test]
fn k3_a_timeout_answers_and_the_late_result_is_dropped() {
    let mut call = Scripted::new();
    call.tool_call("c1")
        .tool_cleared("c1")
        .pass(Duration::from_secs(30));
    assert!(
        results(&call)[0].1.contains("did not answer within 30 s"),
        "{:?}",
        results(&call)
    );
    assert!(call.take().contains(&Action::CancelTool {
        call_id: "c1".into(),
        expired: true
    }));
    call.tool_answers("c1");
    assert_eq!(results(&call).len(), 1);
    assert_eq!(call.take(), [Action::Dropped("late_tool_result")]);
}

#[test]
fn k2_k3_a_model_that_calls_without_end_is_answered_each_time_and_what_waits_is_bounded() {
    let mut call = Scripted::new();
    let ids: Vec<String> = (0..200).map(|number| format!("c{number}")).collect();
    for id in &ids {
        call.tool_call(id).tool_cleared(id);
    }
    assert_eq!(started(&call), ["c0", "c1"], "and both hang");
    let refused = results(&call);
    assert_eq!(refused.len(), 200 - 66);
    let says = |(_, output): &(String, String)| output.contains("66 calls of tools have no answer");
    assert!(refused.iter().all(says), "{:?}", refused[0]);
    assert_eq!(call.asked(), 0, "calls wait");
    call.pass(Duration::from_secs(33 * 30));
    let mut answered: Vec<String> = results(&call).into_iter().map(|(id, _)| id).collect();
    answered.sort();
    let mut all = ids.clone();
    all.sort();
    assert_eq!(answered, all);
    assert_eq!(started(&call), ids[..66]);
    let told = |news: &News| matches!(news, News::ToolCall(_));
    assert_eq!(call.news().iter().filter(|news| told(news)).count(), 200);
}

#[test]
fn k4_a_call_taken_back_is_cancelled_and_never_answered() {
    let mut call = Scripted::new();
    call.tool_call("c1")
        .tool_cleared("c1")
        .tool_call("c2")
        .tool_cleared("c2");
    let call_ids = vec!["c1".into(), "unknown".into()];
    call.provider(ProviderEvent::ToolCallsCancelled { call_ids });
    assert!(call.take().contains(&Action::CancelTool {
        call_id: "c1".into(),
        expired: false
    }));
    call.tool_answers("c1").tool_answers("c2");
    assert_eq!(
        results(&call),
        [("c2".to_owned(), "result of c2".to_owned())]
    );
}

#[test]
fn k4_the_end_of_the_session_cancels() {
    let mut call = Scripted::new();
    call.tool_call("c1")
        .tool_cleared("c1")
        .command(Command::End(EndReason::Host));
    let actions = call.take();
    assert!(actions.contains(&Action::CancelTool {
        call_id: "c1".into(),
        expired: false
    }));
    assert_eq!(actions.last(), Some(&Action::End(EndReason::Host)));
    call.tool_answers("c1");
    assert!(results(&call).is_empty());
}

#[test]
fn k7_the_model_goes_on_once_after_the_last_result_and_not_while_it_speaks() {
    let mut call = Scripted::new();
    call.response("r1")
        .tool_call("c1")
        .tool_call("c2")
        .tool_cleared("c1")
        .tool_cleared("c2");
    call.tool_answers("c1");
    assert_eq!((results(&call).len(), call.asked()), (1, 0));
    call.tool_answers("c2");
    assert_eq!(
        (results(&call).len(), call.asked()),
        (2, 0),
        "r1 still runs"
    );
    call.response_ends("r1", ResponseStatus::Completed);
    assert_eq!(call.asked(), 1);
    call.response("r2")
        .response_ends("r2", ResponseStatus::Completed)
        .pass(ms(20_000));
    assert_eq!(call.asked(), 1);
}

#[test]
fn k7_a_quick_result_does_not_ask_before_the_last_one_of_its_turn() {
    for later in ["answered", "cancelled"] {
        let mut call = Scripted::new();
        call.response("r1")
            .tool_call("c1")
            .tool_cleared("c1")
            .tool_answers("c1")
            .pass(ms(300))
            .tool_call("c2")
            .tool_cleared("c2")
            .response_ends("r1", ResponseStatus::Completed)
            .pass(ms(1000));
        assert_eq!(call.asked(), 0, "c2 is open");
        if later == "answered" {
            call.tool_answers("c2");
        } else {
            call.provider(ProviderEvent::ToolCallsCancelled {
                call_ids: vec!["c2".into()],
            });
        }
        assert_eq!(call.asked(), 1, "c2 is {later}");
        call.answer("r2", "done", ms(100)).pass(ms(20_000));
        assert_eq!(call.asked(), 1);
    }
}

#[test]
fn k7_a_response_that_begins_after_the_results_needs_no_second_one() {
    let mut call = Scripted::new();
    call.response("r1").tool_call("c1").tool_cleared("c1");
    call.response_ends("r1", ResponseStatus::Completed);
    call.user_starts("u1").tool_answers("c1");
    assert_eq!(call.asked(), 0, "not while the user speaks");
    call.user_stops("u1").pass(ms(100)).response("r2");
    call.response_ends("r2", ResponseStatus::Completed)
        .pass(ms(20_000));
    assert_eq!(
        call.asked(),
        0,
        "the provider answered by itself, with the results in sight"
    );
}

#[test]
fn k7_a_provider_that_continues_by_itself_is_not_asked() {
    let mut automatic = capabilities();
    automatic.continuation = crate::provider::Continuation::Automatic;
    let mut call = Scripted::with(settings(), automatic);
    call.tool_call("c1")
        .tool_cleared("c1")
        .tool_answers("c1")
        .text("hello", false);
    assert_eq!(call.asked(), 0);
    assert!(call.to_provider().contains(&ProviderCommand::Text {
        role: Role::System,
        text: "hello".into(),
        respond: true,
    }));
}

#[test]
fn k6_a_long_result_is_cut() {
    let mut call = Scripted::new();
    call.tool_call("c1").tool_cleared("c1");
    let answer = ToolAnswer {
        output: "x".repeat(500),
        is_error: false,
    };
    call.feed(Input::ToolFinished("c1".into(), answer));
    assert!(results(&call)[0].1.len() < 200);
}

#[test]
fn k7_a_tool_during_which_the_model_may_speak_is_not_waited_for() {
    let rules = ToolRules::new().speak_while_running(true);
    let mut call = with_rules(capabilities(), rules);
    call.response("r1")
        .tool_call_of("g", "slow")
        .tool_call("quick");
    call.tool_cleared("slow").tool_cleared("quick");
    call.response_ends("r1", ResponseStatus::Completed);
    call.tool_answers("quick");
    assert_eq!(call.asked(), 1, "the model goes on without the slow one");
    call.response("r2")
        .response_ends("r2", ResponseStatus::Completed);
    call.pass(ms(10_000)).tool_answers("slow");
    assert_eq!(
        (results(&call).len(), call.asked()),
        (2, 2),
        "and speaks of it when it is there"
    );
}

#[test]
fn k7_a_result_that_comes_while_others_are_waited_for_is_spoken_of_with_them() {
    let rules = ToolRules::new().speak_while_running(true);
    let mut call = with_rules(capabilities(), rules);
    call.tool_call_of("g", "slow").tool_call("quick");
    call.tool_cleared("slow").tool_cleared("quick");
    call.tool_answers("slow");
    assert_eq!(call.asked(), 0);
    call.tool_answers("quick");
    assert_eq!(call.asked(), 1);
}

#[test]
fn s6_who_waits_for_a_tool_is_not_idle_for_the_limit_but_idle_for_the_host() {
    let limited = CallSettings {
        idle_timeout: Some(ms(5000)),
        ..settings()
    };
    let rules = ToolRules::new().speak_while_running(true);
    let mut call = with_settings_and_rules(limited, capabilities(), rules);
    call.response("r1");
    call.tool_call_of("g", "slow").tool_cleared("slow");
    call.response_ends("r1", ResponseStatus::Completed);
    call.pass(ms(20_000));
    assert!(call.take().contains(&Action::Idle(true)));
    call.tool_answers("slow").response("r2");
    call.response_ends("r2", ResponseStatus::Completed)
        .pass(ms(5000));
    assert_eq!(
        call.take().last(),
        Some(&Action::End(EndReason::IdleTimeout))
    );
}

#[test]
fn a_tool_that_mutes_keeps_the_caller_from_the_model_while_it_runs() {
    let mut call = with_rules(capabilities(), ToolRules::new().mute_while_running(true));
    let heard = |call: &Scripted| {
        let commands = call.to_provider().into_iter();
        commands
            .filter(|command| matches!(command, ProviderCommand::Audio(_)))
            .count()
    };
    let speak = |call: &mut Scripted| {
        call.client(ClientEvent::Audio(sound(ms(20))));
    };
    call.tool_call_of("g", "c1");
    speak(&mut call);
    assert_eq!(heard(&call), 1, "it does not run yet");
    call.tool_cleared("c1");
    speak(&mut call);
    assert_eq!(heard(&call), 1);
    call.tool_answers("c1");
    speak(&mut call);
    assert_eq!(heard(&call), 2);
}

fn notes(call: &Scripted) -> Vec<String> {
    call.to_provider()
        .into_iter()
        .filter_map(|command| match command {
            ProviderCommand::Text { text, respond, .. } => {
                assert!(!respond, "silently");
                Some(text)
            }
            _ => None,
        })
        .collect()
}

fn reports(call: &mut Scripted, progress: &str) {
    let serial = call.serial("c1");
    call.feed(Input::ToolProgress(serial, progress.into()));
}

#[test]
fn k9_progress_is_told_silently_at_most_every_two_seconds() {
    let mut call = Scripted::new();
    call.tool_call("c1").tool_cleared("c1");
    for progress in ["one", "two", "three"] {
        reports(&mut call, progress);
    }
    assert_eq!(
        notes(&call),
        ["[The tool `f` is still running and reports: one]"]
    );
    call.pass(ms(2000));
    assert_eq!(
        notes(&call)[1..],
        ["[The tool `f` is still running and reports: three]"]
    );
    let told = call.news().into_iter();
    let told = told.filter(|news| matches!(news, News::ToolProgress { .. }));
    assert_eq!(told.count(), 3, "observers get all of it");
    reports(&mut call, "four");
    call.tool_answers("c1");
    reports(&mut call, "five");
    call.pass(ms(9000));
    assert_eq!(notes(&call).len(), 2, "what is done is not under way");
    assert_eq!(call.asked(), 1, "for the result alone");
}

#[test]
fn k9_progress_a_waiting_model_would_not_take_is_not_told() {
    let mut waits = capabilities();
    waits.text_during_tools = false;
    let mut call = Scripted::with(settings(), waits.clone());
    call.tool_call("c1").tool_cleared("c1");
    reports(&mut call, "half way");
    call.pass(ms(5000)).tool_answers("c1").pass(ms(5000));
    assert_eq!(notes(&call), Vec::<String>::new());

    let mut call = with_rules(waits, ToolRules::new().speak_while_running(true));
    call.tool_call_of("g", "c1").tool_cleared("c1");
    reports(&mut call, "half way");
    assert_eq!(notes(&call).len(), 1, "this one is not waited for");
}

/// Its provider answers words at once, and takes none while it answers.
fn automatic() -> ProviderCapabilities {
    let mut automatic = capabilities();
    automatic.continuation = crate::provider::Continuation::Automatic;
    automatic.text_during_responses = false;
    automatic
}

#[test]
fn k9_progress_does_not_cut_short_an_answer_that_goes_on() {
    let rules = ToolRules::new().speak_while_running(true);
    let mut call = with_rules(automatic(), rules);
    call.response("r1")
        .provider(ProviderEvent::MoreToCome)
        .response_ends("r1", ResponseStatus::Completed);
    call.tool_call_of("g", "c1").tool_cleared("c1");
    reports(&mut call, "half way");
    call.pass(ms(5000)).response("r2");
    assert_eq!(notes(&call), Vec::<String>::new());
    call.response_ends("r2", ResponseStatus::Completed);
    assert_eq!(notes(&call).len(), 1);
}

#[test]
fn k7_h5_what_a_model_goes_on_with_may_be_a_result_that_nobody_waits_for() {
    let rules = ToolRules::new().speak_while_running(true);
    let mut call = with_rules(automatic(), rules);
    call.response("r1")
        .tool_call_of("g", "c1")
        .tool_cleared("c1");
    call.provider(ProviderEvent::MoreToCome)
        .response_ends("r1", ResponseStatus::Completed)
        .pass(ms(1000));
    assert!(call.call.idle, "it may take long");
    call.text("your taxi is here", true);
    assert_eq!(notes(&call), ["your taxi is here"]);
}
