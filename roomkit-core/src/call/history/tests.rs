//! What a new connection is told.

use super::*;
use crate::call::io::ToolAnswer;

fn said(role: Role, text: &str) -> News {
    News::Injected {
        text: text.into(),
        role,
        silent: false,
    }
}

fn call(id: &str) -> News {
    News::ToolCall(ToolRequest {
        serial: 0,
        call_id: id.into(),
        name: "f".into(),
        arguments: r#"{"a":1}"#.into(),
    })
}

fn done(id: &str) -> News {
    News::ToolDone {
        call_id: id.into(),
        name: "f".into(),
        is_declared: true,
        answer: ToolAnswer {
            output: "3".into(),
            is_error: false,
        },
    }
}

fn texts(items: &[HistoryItem]) -> Vec<String> {
    items
        .iter()
        .map(|item| match item {
            HistoryItem::Message { role, text } => format!("{}: {text}", role.as_str()),
            HistoryItem::ToolCall { call_id, .. } => format!("call {call_id}"),
            HistoryItem::ToolResult { call_id, .. } => format!("result {call_id}"),
        })
        .collect()
}

#[test]
fn h1_the_snapshot_is_what_was_told_and_then_what_is_untold() {
    let mut history = History::new(vec![HistoryItem::Message {
        role: Role::User,
        text: "before".into(),
    }]);
    history.record(1, &said(Role::User, "hello"));
    history.record(2, &News::UserSpeaking(true));
    history.record(3, &call("a"));
    let untold = || [(4, done("a")), (5, call("b"))].into_iter();
    let full = history.snapshot(untold(), HistorySupport::Full);
    assert_eq!(
        texts(&full),
        [
            "user: before",
            "user: hello",
            "call a",
            "result a",
            "call b"
        ]
    );
    assert_eq!(open_calls(&full), HashSet::from(["b".into()]));
    let text = history.snapshot(untold(), HistorySupport::Text);
    assert_eq!(
        texts(&text),
        [
            "user: before",
            "user: hello",
            r#"system: [The tool `f` was called with {"a":1} and answered: 3]"#,
        ],
        "in words, and without the call that still runs"
    );
    assert!(history.snapshot(untold(), HistorySupport::None).is_empty());
}

#[test]
fn h1_what_the_token_stands_for_is_not_told_again() {
    let mut history = History::default();
    history.record(1, &said(Role::User, "one"));
    history.set_token(ResumeToken::new("t"), 3);
    history.record(5, &said(Role::User, "late"));
    history.record(3, &said(Role::Assistant, "told late, came early"));
    let rest = history.snapshot(std::iter::empty(), HistorySupport::Text);
    assert_eq!(texts(&rest), ["user: late"]);
    assert!(history.spend_token());
    assert!(!history.spend_token());
    let all = history.snapshot(std::iter::empty(), HistorySupport::Text);
    assert_eq!(all.len(), 3, "without the token everything is told");
}

#[test]
fn the_oldest_is_forgotten_and_no_result_is_told_without_its_call() {
    let mut history = History::default();
    history.record(1, &call("a"));
    for order in 2..=ITEMS as u64 {
        history.record(order, &said(Role::User, "word"));
    }
    history.record(9_999, &done("a"));
    let full = history.snapshot(std::iter::empty(), HistorySupport::Full);
    assert_eq!(full.len(), ITEMS);
    let texts = texts(&full);
    let (result, words) = texts.split_last().unwrap();
    assert!(words.iter().all(|text| text == "user: word"));
    // The model has to know what it was answered.
    assert!(result.contains("arguments that are forgotten"), "{result}");
    history.record(10_000, &said(Role::User, &"x".repeat(ITEM)));
    history.record(10_001, &said(Role::User, &"x".repeat(ITEM)));
    assert_eq!(history.entries.len(), 2);
}

#[test]
fn h1_one_thing_that_is_too_long_is_cut_and_displaces_nothing() {
    let mut history = History::default();
    let long = format!("x{}", "天".repeat(16_384));
    history.record(1, &said(Role::User, "how is the weather?"));
    let mut called = call("a");
    if let News::ToolCall(request) = &mut called {
        request.arguments = format!(r#"{{"note":"{long}"}}"#);
    }
    history.record(2, &called);
    let mut answered = done("a");
    if let News::ToolDone { answer, .. } = &mut answered {
        answer.output.clone_from(&long);
    }
    history.record(3, &answered);
    let untold = [(4, said(Role::User, &long))].into_iter();
    let full = history.snapshot(untold, HistorySupport::Full);
    let [
        HistoryItem::Message { text: question, .. },
        HistoryItem::ToolCall { arguments, .. },
        HistoryItem::ToolResult { output, .. },
        HistoryItem::Message { text: untold, .. },
    ] = &full[..]
    else {
        panic!("{full:?}");
    };
    assert_eq!(question, "how is the weather?");
    assert_eq!(arguments, CUT_ARGUMENTS);
    let cut = format!("x{}{CUT}", "天".repeat((ITEM - 1) / 3));
    assert_eq!([output, untold], [&cut, &cut], "whole characters");
}

#[test]
fn x5_h2_what_a_token_may_not_stand_for_is_bounded_and_loses_nothing_that_a_dial_told() {
    for untold in [0, 1] {
        let mut history = History::default();
        for order in 1..=ITEMS as u64 {
            history.record(order, &said(Role::User, "word"));
        }
        let last = ITEMS as u64 + untold;
        let rest = (ITEMS as u64 + 1..=last).map(|order| (order, said(Role::User, "word")));
        let told = history.snapshot(rest, HistorySupport::Text);
        assert_eq!(told.len() as u64, last);
        history.connected();
        history.gave(last + 1);
        history.set_token(ResumeToken::new("t"), last + 1);
        let again = history.snapshot(std::iter::empty(), HistorySupport::Text);
        assert_eq!(again.len(), ITEMS, "it may have heard none of it");
        for order in last + 2..10_000 {
            history.gave(order);
        }
        assert!(history.given.len() <= GIVEN, "{}", history.given.len());
    }
}
