//! Results of tools that come when connections do and go (contracts K2, H2, H4).

use super::{owed::requests, *};

/// A provider that answers by itself, but for results of tools.
fn silently() -> ProviderCapabilities {
    let mut silently = resuming();
    silently.answers_results = false;
    silently
}

#[test]
fn h4_a_result_that_a_model_does_not_answer_is_not_spoken_of_after_a_loss() {
    let mut late = Scripted::with(settings(), silently());
    late.tool_call("c1").tool_cleared("c1").lost();
    let from = late.log.len();
    late.connects(silently()).tool_answers("c1").pass(ms(5000));
    let told = late.to_new_provider(from);
    assert!(
        matches!(&told[..], [ProviderCommand::Text { respond: false, .. }]),
        "{told:?}"
    );

    let mut meanwhile = Scripted::with(settings(), silently());
    meanwhile.tool_call("c1").tool_cleared("c1").lost();
    meanwhile.dial_fails(ProviderErrorKind::Network);
    meanwhile.tool_answers("c1");
    assert!(!meanwhile.call.is_response_owed());
    let from = meanwhile.log.len();
    meanwhile.pass(ms(1000)).connects(silently()).pass(ms(5000));
    assert_eq!(meanwhile.to_new_provider(from), [], "its dial told it");
}

#[test]
fn h4_an_answer_that_is_owed_is_asked_for_where_the_last_result_does_not_ask() {
    for (answers_results, asked) in [(false, 1), (true, 0)] {
        let mut capabilities = silently();
        capabilities.answers_results = answers_results;
        capabilities.text_during_tools = true;
        let mut call = Scripted::with(settings(), capabilities.clone());
        call.tool_call("c1").tool_cleared("c1");
        call.text("hello?", false).lost();
        let from = call.log.len();
        call.connects(capabilities).pass(ms(1000));
        assert_eq!(requests(&call.to_new_provider(from)), asked);
    }
}

#[test]
fn h2_k2_a_token_from_before_a_result_came_there_does_not_stand_for_it() {
    let lost = |is_answered: bool| {
        let mut call = resuming_call();
        call.response("r1")
            .tool_call("c1")
            .response_ends("r1", ResponseStatus::Completed)
            .tool_cleared("c1")
            .tool_answers("c1");
        if is_answered {
            call.response("r2")
                .response_ends("r2", ResponseStatus::Completed);
        }
        call.token("t").lost();
        let (_, dial) = call.dials().pop().unwrap();
        assert!(dial.setup.resume.is_some());
        dial.setup.history
    };
    let note = "[The tool `f` was called with {} and answered: result of c1]";
    assert_eq!(lost(false), [message(Role::System, note)]);
    assert_eq!(lost(true), []);
}

#[test]
fn k1_what_comes_late_of_a_call_is_not_of_another_with_its_id() {
    let mut call = replaying_call();
    call.tool_call("c1");
    let old = call.serial("c1");
    call.lost().connects(replaying());
    call.provider(ProviderEvent::ToolCall {
        call_id: "c1".into(),
        name: "f".into(),
        arguments: r#"{"another":true}"#.into(),
    });
    let starts = |call: &Scripted| {
        let starts = |(_, action): &&(Moment, Action)| matches!(action, Action::StartTool(_));
        call.log.iter().filter(starts).count()
    };
    call.feed(Input::ToolCleared(old));
    assert_eq!(starts(&call), 0, "the publisher has not come to this one");
    call.tool_cleared("c1");
    assert_eq!(starts(&call), 1);
    let reports = |call: &Scripted| {
        let news = call.news().into_iter();
        let reports = news.filter(|news| matches!(news, News::ToolProgress { .. }));
        reports.count()
    };
    call.feed(Input::ToolProgress(old, "half way".into()));
    assert_eq!(reports(&call), 0);
    let new = call.serial("c1");
    call.feed(Input::ToolProgress(new, "half way".into()));
    assert_eq!(reports(&call), 1);
}
