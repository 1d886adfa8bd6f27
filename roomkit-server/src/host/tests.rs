//! What becomes of rooms whose calls do not come about.

use std::pin::pin;

use axum::Router;
use futures_util::{FutureExt, poll};
use roomkit::{
    framework::{FrameworkEventKind, FrameworkEvents},
    http::{StartFailure, StartFailureKind},
    mock::Counters,
};
use tokio::{task::yield_now, time::timeout};

use super::*;

/// A server with these limits.
fn app(limits: &str) -> (App, Router) {
    let config = format!("[metrics]\nenabled = false\n[limits]\n{limits}");
    let address = "127.0.0.1:0".parse().unwrap();
    App::build(&toml::from_str(&config).unwrap(), address, None).unwrap()
}

#[tokio::test(start_paused = true)]
async fn s7_a_room_is_closed_whose_call_was_given_up_while_it_started() {
    let (app, _router) = app("");
    let mut events = app.kit.framework_events();
    let host = Host::new(&app);
    {
        let request = StartRequest::new(Identity::default(), Connection::new(()));
        let mut start = pin!(host.start(request));
        while app.kit.open_rooms() == 0 {
            assert!(poll!(&mut start).is_pending());
            yield_now().await;
        }
    }
    while let Some(event) = events.recv().await
        && event.kind != FrameworkEventKind::RoomClosed
    {}
    assert_eq!(app.kit.open_rooms(), 0);
}

/// Waits until a room is closed, and less long than it takes to give it up.
async fn closes(events: &mut FrameworkEvents) -> bool {
    let closed = async {
        while let Some(event) = events.recv().await
            && event.kind != FrameworkEventKind::RoomClosed
        {}
    };
    timeout(Duration::from_secs(120), closed).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn s7_a_room_that_is_made_after_its_call_was_given_up_is_looked_for_again() {
    for late in [Duration::from_millis(500), Duration::from_secs(10)] {
        let (app, _router) = app("");
        let mut events = app.kit.framework_events();
        let room = RoomId::from("late");
        drop(Unstarted::new(&app, &room));
        sleep(late).await;
        app.kit.create_room(&room).await.unwrap();
        assert!(closes(&mut events).await, "made after {late:?}");
        assert_eq!(app.kit.open_rooms(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn c5_a_room_that_is_not_made_after_all_counts_for_nobody_once_it_is_looked_for_no_more() {
    let (app, _router) = app("max_rooms_per_address = 1");
    let room = RoomId::from("never");
    let client = Some(IpAddr::from([192, 0, 2, 1]));
    let mut claim = app.makers.claim(&room, client).unwrap();
    claim.stays();
    drop(claim);
    drop(Unstarted::new(&app, &room));
    sleep(Duration::from_secs(10)).await;
    assert!(!app.makers.may_make(client), "it may still be made");
    sleep(Duration::from_secs(110)).await;
    assert!(app.makers.may_make(client));
}

#[tokio::test]
async fn c5_who_loses_the_race_for_an_addresss_last_room_is_counted_and_may_try_again() {
    let (app, _router) = app("max_rooms_per_address = 1");
    let host = Host::new(&app);
    let client = Some(IpAddr::from([192, 0, 2, 1]));
    host.named_room(&"first".into(), client).await.unwrap();
    let mut request = StartRequest::new(Identity::default(), Connection::new(()));
    request.address = client;
    let refused = host.start(request).await.unwrap_err();
    let counters = Counters::default();
    let counting = counters.here();
    let told = StartFailure::from(&refused).counted();
    drop(counting);
    assert_eq!(told.code, "too_many_rooms_of_address");
    assert_eq!(told.kind, StartFailureKind::Busy);
    assert!(told.message.starts_with("`limits.max_rooms_per_address`"));
    assert_eq!(
        counters.get("roomkit_admission_refused_total", told.code),
        1
    );
}

#[tokio::test]
async fn c5_a_room_that_is_gone_does_not_go_on_to_make_way() {
    let (app, _router) = app("max_rooms = 1");
    let host = Host::new(&app);
    host.named_room(&"first".into(), None).await.unwrap();
    let client = Some(IpAddr::from([192, 0, 2, 1]));
    app.makers.claim(&"gone".into(), client).unwrap().made();
    let full = host.named_room(&"second".into(), client).await;
    assert!(matches!(
        full,
        Err(StartError::Room(RoomError::TooManyRooms(1)))
    ));
    assert!(!app.makers.can_make_way(client, &HashSet::new()));
}

#[tokio::test]
async fn c5_who_is_gone_meanwhile_has_made_a_room_only_if_it_is_made() {
    let (app, _router) = app("max_rooms = 1\nmax_rooms_per_address = 1");
    let host = Host::new(&app);
    let [first, second] = [1, 2].map(|n| Some(IpAddr::from([192, 0, 2, n])));
    host.named_room(&"one".into(), first).await.unwrap();
    // It is dropped at once: while a room makes way, and then while its own is made.
    let starts = |room: &'static str| {
        let room = RoomId::from(room);
        host.make_room(&room, (&room).into(), second).now_or_never()
    };
    assert!(starts("two").is_none());
    assert!(app.makers.may_make(second), "there is no such room");
    while app.kit.open_rooms() > 0 {
        yield_now().await;
    }
    assert!(starts("three").is_none());
    while app.kit.room("three").await.is_err() {
        yield_now().await;
    }
    assert!(!app.makers.may_make(second));
}

#[test]
fn ids_can_stand_in_a_path() {
    for id in [
        "a",
        "support-4711",
        "zoë",
        "user@host:1",
        "...",
        &"x".repeat(128),
    ] {
        assert!(is_usable_id(id), "{id}");
    }
    for id in [
        "",
        ".",
        "..",
        "a/b",
        "a b",
        "a,b",
        "a?b",
        "a\n",
        "a\u{202e}b",
        &"\u{10400}".repeat(65),
        &"x".repeat(129),
    ] {
        assert!(!is_usable_id(id), "{id:?}");
    }
}

#[test]
fn who_gives_no_name_gets_one() {
    let name = anonymous();
    let hex = name.as_str().strip_prefix("caller-").unwrap();
    assert_eq!(hex.len(), 8);
    assert!(hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_ne!(name, anonymous());
}
