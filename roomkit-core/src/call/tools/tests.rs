//! The ledger by itself.

use super::*;

fn serial(id: &str) -> u64 {
    id.bytes()
        .fold(0, |serial, byte| serial * 256 + u64::from(byte))
}

fn request(id: &str) -> ToolRequest {
    ToolRequest {
        serial: serial(id),
        call_id: id.into(),
        name: "f".into(),
        arguments: "{}".into(),
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn k1_an_id_is_called_once() {
    let mut ledger = ToolLedger::new(4, ms(100));
    assert_eq!(ledger.call(request("a"), 1, ToolRules::new()), Called::New);
    assert_eq!(
        ledger.call(request("a"), 1, ToolRules::new()),
        Called::Known,
        "while it is open"
    );
    assert!(ledger.close(&"a".into()).is_some());
    assert_eq!(
        ledger.call(request("a"), 1, ToolRules::new()),
        Called::Known,
        "and after"
    );
}

#[test]
fn k1_a_call_that_is_made_again_on_another_connection_is_not_run_again() {
    let mut ledger = ToolLedger::new(4, ms(100));
    ledger.call(request("a"), 1, ToolRules::new());
    assert_eq!(
        ledger.call(request("a"), 2, ToolRules::new()),
        Called::Known
    );
    let closed = ledger.close(&"a".into()).unwrap();
    assert_eq!(closed.connection, 2, "the later one gets the answer");
    let answer = ToolAnswer::error("no");
    ledger.remember("a".into(), answer.clone());
    assert_eq!(
        ledger.call(request("a"), 3, ToolRules::new()),
        Called::Answered(answer)
    );
    let mut other = request("a");
    other.arguments = "{\"x\":1}".into();
    assert_eq!(
        ledger.call(other, 4, ToolRules::new()),
        Called::New,
        "a vendor that counts anew on every connection means another call"
    );
}

#[test]
fn k2_a_call_that_is_made_again_gets_its_first_answer_however_many_there_were() {
    let mut ledger = ToolLedger::new(4, ms(100));
    let ids: Vec<String> = (0..CALLS).map(|number| format!("c{number}")).collect();
    for id in &ids {
        ledger.call(request(id), 1, ToolRules::new());
        ledger.close(&id.as_str().into()).unwrap();
        ledger.remember(id.as_str().into(), ToolAnswer::error(&format!("no {id}")));
    }
    for id in [&ids[0], &ids[CALLS - 1]] {
        assert_eq!(
            ledger.call(request(id), 2, ToolRules::new()),
            Called::Answered(ToolAnswer::error(&format!("no {id}")))
        );
    }
    // What is remembered of long ones is bounded, but for the newest.
    let long = ToolAnswer::error(&"x".repeat(ANSWERS));
    ledger.remember("c1".into(), long.clone());
    let answered = |ledger: &mut ToolLedger, id| ledger.call(request(id), 3, ToolRules::new());
    assert_eq!(answered(&mut ledger, "c1"), Called::Answered(long));
    let gone = answered(&mut ledger, "c2");
    assert!(format!("{gone:?}").contains("its answer is gone"));
}

#[test]
fn k1_an_id_that_is_told_twice_is_the_call_that_it_was_first() {
    let mut other = request("a");
    other.arguments = "{\"x\":1}".into();
    let mut ledger = ToolLedger::new(4, ms(100));
    ledger.call(request("a"), 1, ToolRules::new());
    assert_eq!(ledger.call(other, 1, ToolRules::new()), Called::Known);
    ledger.close(&"a".into());
    assert_ne!(
        ledger.call(request("a"), 2, ToolRules::new()),
        Called::New,
        "it has run"
    );
}

#[test]
fn k1_of_calls_without_end_the_latest_are_remembered_and_those_that_are_open() {
    let mut ledger = ToolLedger::new(4, ms(100));
    ledger.call(request("hangs"), 1, ToolRules::new());
    for number in 0..2 * CALLS {
        let id = number.to_string();
        assert_eq!(ledger.call(request(&id), 1, ToolRules::new()), Called::New);
        assert!(ledger.close(&id.as_str().into()).is_some());
    }
    assert_eq!(ledger.seen.len(), CALLS);
    assert_eq!(ledger.seen_in_order.len(), CALLS);
    for id in [
        "hangs".to_owned(),
        (2 * CALLS - 1).to_string(),
        (CALLS + 1).to_string(),
    ] {
        let again = ledger.call(request(&id), 1, ToolRules::new());
        assert_eq!(again, Called::Known, "{id}");
    }
}

#[test]
fn k3_calls_that_are_taken_back_while_others_run_leave_nothing_behind() {
    let mut ledger = with_rules(ToolRules::new(), &["a", "b", "c", "d"]);
    while ledger.start_next(ms(0)).is_some() {}
    for number in 0..1000 {
        let id = number.to_string();
        ledger.call(request(&id), 1, ToolRules::new());
        ledger.clear(serial(&id));
        ledger.close(&id.as_str().into());
        // The publisher may come to it only now.
        ledger.clear(serial(&id));
    }
    assert!(ledger.waiting.is_empty());
    assert_eq!(ledger.open.len(), 4);
}

#[test]
fn k3_more_calls_than_may_wait_are_refused() {
    let mut ledger = ToolLedger::new(2, ms(100));
    for number in 0..2 + WAITING {
        let called = ledger.call(request(&number.to_string()), 1, ToolRules::new());
        assert_eq!(called, Called::New);
    }
    let refused = ledger.call(request("more"), 1, ToolRules::new());
    let Called::Refused(answer) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        answer.is_error && answer.output.contains("66 calls"),
        "{answer:?}"
    );
    let again = ledger.call(request("more"), 1, ToolRules::new());
    assert_eq!(again, Called::Known, "it has its answer");
    ledger.close(&"0".into());
    let next = ledger.call(request("next"), 1, ToolRules::new());
    assert_eq!(next, Called::New);
}

#[test]
fn k3_the_limit_holds_and_the_next_one_follows() {
    let mut ledger = ToolLedger::new(2, ms(100));
    for id in ["a", "b", "c"] {
        ledger.call(request(id), 1, ToolRules::new());
        ledger.clear(serial(id));
    }
    assert_eq!(ledger.start_next(ms(0)), Some(request("a")));
    assert_eq!(ledger.start_next(ms(0)), Some(request("b")));
    assert_eq!(ledger.start_next(ms(0)), None);
    ledger.close(&"a".into());
    assert_eq!(ledger.start_next(ms(50)), Some(request("c")));
    assert_eq!(ledger.next_wake(ms(50)), Some(ms(100)));
}

#[test]
fn k3_a_late_call_is_closed_once() {
    let mut ledger = ToolLedger::new(2, ms(100));
    ledger.call(request("a"), 1, ToolRules::new());
    ledger.clear(serial("a"));
    ledger.start_next(ms(0));
    assert!(ledger.close_expired(ms(99)).is_none());
    let (late, answer) = ledger.close_expired(ms(100)).unwrap();
    assert_eq!(
        (late.request.call_id.as_str(), answer.is_error),
        ("a", true)
    );
    assert!(
        ledger.close(&"a".into()).is_none(),
        "its late result has nowhere to go"
    );
}

fn with_rules(rules: ToolRules, ids: &[&str]) -> ToolLedger {
    let mut ledger = ToolLedger::new(4, ms(100));
    for id in ids {
        ledger.call(request(id), 1, rules);
        ledger.clear(serial(id));
    }
    ledger
}

#[test]
fn k3_a_tool_may_have_limits_of_its_own() {
    let rules = ToolRules::new().parallel(1).timeout(ms(500));
    let mut ledger = with_rules(rules, &["a", "b"]);
    let other = ToolRequest {
        name: "g".into(),
        ..request("c")
    };
    ledger.call(other.clone(), 1, ToolRules::new());
    ledger.clear(serial("c"));
    assert_eq!(ledger.start_next(ms(0)), Some(request("a")));
    assert_eq!(ledger.start_next(ms(0)), Some(other), "it overtakes");
    assert_eq!(ledger.start_next(ms(0)), None);
    assert!(ledger.close_expired(ms(499)).is_some_and(|(late, answer)| {
        late.request.name == "g" && answer.output.contains("0.1 s")
    }));
    let (late, answer) = ledger.close_expired(ms(500)).unwrap();
    assert_eq!(late.request, request("a"));
    assert!(answer.output.contains("0.5 s"), "{answer:?}");
    assert_eq!(ledger.start_next(ms(500)), Some(request("b")));
}

#[test]
fn k3_a_call_taken_back_while_it_waits_for_its_tool_holds_up_nobody() {
    let mut ledger = with_rules(ToolRules::new().parallel(1), &["a", "b", "c"]);
    ledger.start_next(ms(0));
    ledger.close(&"b".into());
    assert_eq!(ledger.start_next(ms(0)), None);
    ledger.close(&"a".into());
    assert_eq!(ledger.start_next(ms(0)), Some(request("c")));
}

#[test]
fn k9_of_progress_that_comes_fast_the_latest_is_told() {
    let mut ledger = with_rules(ToolRules::new(), &["a"]);
    let a = "a".into();
    assert!(
        ledger.report(serial("a"), "early".into()).is_none(),
        "it does not run"
    );
    ledger.start_next(ms(0));
    let mut told = Vec::new();
    for (at, report) in [
        (0, Some("1")),
        (10, Some("2")),
        (20, Some("3")),
        (2000, None),
    ] {
        if let Some(report) = report {
            assert!(ledger.report(serial("a"), report.into()).is_some());
        }
        while let Some((request, progress)) = ledger.next_progress(ms(at)) {
            told.push((at, request.call_id.to_string(), progress));
        }
    }
    let expected = [(0, "a", "1"), (2000, "a", "3")];
    let expected = expected.map(|(at, id, told)| (at, id.to_owned(), told.to_owned()));
    assert_eq!(told, expected);
    ledger.close(&a);
    assert!(ledger.report(serial("a"), "late".into()).is_none());
    assert!(ledger.next_progress(ms(9000)).is_none());
}

#[test]
fn k6_the_cap_cuts_at_a_character() {
    let answer = ToolAnswer {
        output: "äöü".repeat(10),
        is_error: false,
    };
    assert_eq!(answer.clone().capped(30), answer);
    let cut = answer.capped(4).output;
    assert!(cut.starts_with("äöüä\n[cut: 30 characters"), "{cut}");
}
