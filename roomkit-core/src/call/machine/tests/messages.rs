//! What the client's program tells the host's (contracts C1, C5).

use serde_json::{Map, Value, json};

use super::{turns::told, *};

fn key(digit: &str) -> Map<String, Value> {
    match json!({"event": "dtmf", "digit": digit}) {
        Value::Object(message) => message,
        other => panic!("{other}"),
    }
}

fn pressed(digit: &str) -> News {
    News::ClientMessage(key(digit))
}

#[test]
fn c1_a_message_for_the_host_is_told_at_once_and_is_nothing_to_the_ai() {
    let mut call = Scripted::new();
    call.answer("r1", "one two three", ms(3000)).pass(ms(1000));
    let (before, given) = (call.news(), call.to_provider());
    let (asked, now) = (call.asked(), call.now);
    call.client(ClientEvent::Message(key("5")));
    assert_eq!(call.news()[before.len()..], [pressed("5")]);
    assert_eq!(call.finals(), [], "which waits until it was heard");
    call.pass(ms(20_000));
    assert_eq!(call.to_provider(), given);
    assert_eq!(call.asked(), asked);
    let publications = call.log.iter().filter_map(|(_, action)| match action {
        Action::Publish(publication) => Some(publication),
        _ => None,
    });
    let at = publications
        .filter(|it| it.what == pressed("5"))
        .map(|it| it.at);
    assert_eq!(at.collect::<Vec<_>>(), [now]);
}

#[test]
fn s1_a_message_that_comes_before_the_session_is_told_after_its_start() {
    let mut call = Scripted::unconnected(settings());
    call.client(ClientEvent::Message(key("1")));
    assert_eq!(call.news(), []);
    call.feed(Input::Connected(ConnectionInfo::new(capabilities())));
    assert_eq!(call.news(), [pressed("1")]);
}

#[test]
fn a7_who_may_not_be_heard_may_press_a_key() {
    let mut call = Scripted::new();
    call.feed(Input::Permissions(Permissions {
        microphone: false,
        voice: true,
    }));
    call.client(ClientEvent::Message(key("5")));
    assert_eq!(call.news(), [pressed("5")]);
}

#[test]
fn c5_a_client_that_tells_too_much_is_told_once_and_when_to_go_on() {
    let mut call = Scripted::new();
    let page = || Map::from_iter([("page".to_owned(), "x".repeat(60_000).into())]);
    for _ in 0..500 {
        call.client(ClientEvent::Message(page())).pass(ms(10));
    }
    let dropped = |(_, action): &&(_, Action)| matches!(action, Action::Dropped("too_fast"));
    assert_eq!(call.log.iter().filter(dropped).count(), 498);
    let [(code, message)] = &told(&call)[..] else {
        panic!("{:?}", told(&call));
    };
    assert_eq!(code, "data_too_fast");
    for part in ["`message`", "60011 bytes", "128 KiB", "again in 25 s"] {
        assert!(message.contains(part), "no {part}: {message}");
    }
    call.client(ClientEvent::Text("still heard".into()));
    assert_eq!(call.finals().len(), 1, "what is typed has its own limit");
    call.pass(ms(60_000)).client(ClientEvent::Message(key("5")));
    assert_eq!(call.news().last(), Some(&pressed("5")));

    let mut call = Scripted::new();
    let book = Map::from_iter([("book".to_owned(), "x".repeat(131_000).into())]);
    call.client(ClientEvent::Message(book));
    let [(code, message)] = &told(&call)[..] else {
        panic!("{:?}", told(&call));
    };
    assert_eq!(code, "data_too_long");
    assert!(message.contains("131011 bytes"), "{message}");
}
