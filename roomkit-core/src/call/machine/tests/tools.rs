//! Tool calls (contracts K1 to K4, K6, K7).

use super::*;
use crate::event::EndReason;

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
    assert!(call.take().contains(&Action::CancelTool("c1".into())));
    call.tool_answers("c1");
    assert_eq!(results(&call).len(), 1);
    assert_eq!(call.take(), [Action::Dropped("late_tool_result")]);
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
    assert!(call.take().contains(&Action::CancelTool("c1".into())));
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
    assert!(actions.contains(&Action::CancelTool("c1".into())));
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
