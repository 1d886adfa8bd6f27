use axum::Router;
use roomkit::room::RoomOptions;
use tokio::time::sleep;

use super::*;
use crate::config::Config;

/// A server with these rules for its rooms, and an unnamed room.
async fn app(rules: &str) -> (Config, App, Router, RoomId) {
    let config = format!("[metrics]\nenabled = false\n[rooms]\n{rules}");
    let config: Config = toml::from_str(&config).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let (app, router) = App::build(&config, address, None).unwrap();
    let room = RoomOptions::new().metadata(UNNAMED, true);
    let room = app.kit.create_room(room).await.unwrap();
    (config, app, router, room.id)
}

#[tokio::test(start_paused = true)]
async fn s7_an_unnamed_room_is_closed_after_a_call_that_was_awaited_when_it_was_due() {
    for wait in [0, 60] {
        let rules = format!("close_empty_after_s = {wait}");
        let (config, app, _router, room) = app(&rules).await;
        let mut events = app.kit.framework_events();

        let coming = app.makers.coming(&room);
        let mut tidying = Tidying::of(&app, &config.rooms);
        tidying.wait_to_close(Instant::now(), room);
        tokio::spawn(tidying.run());
        sleep(Duration::from_secs(90)).await;
        assert_eq!(app.kit.open_rooms(), 1);
        // The call does not begin, and nothing tells of it.
        drop(coming);
        while let Some(event) = events.recv().await
            && event.kind != FrameworkEventKind::RoomClosed
        {}
        assert_eq!(app.kit.open_rooms(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn s7_a_room_in_which_calls_end_waits_once_and_from_the_end_of_the_last() {
    let (config, app, _router, room) = app("close_empty_after_s = 60").await;
    let mut tidying = Tidying::of(&app, &config.rooms);
    let mut ended = FrameworkEvent::new(FrameworkEventKind::SessionEnded);
    ended.room_id = Some(room.clone());
    for _ in 0..3 {
        tidying.note(ended.clone());
        sleep(Duration::from_secs(20)).await;
    }
    let waiting: Vec<_> = tidying.empty.iter().map(|(_, room)| room).collect();
    assert_eq!(waiting, [&room]);

    // It is due by the first, and counts from the last.
    tidying.close_what_is_empty(&app.kit).await;
    assert_eq!(app.kit.open_rooms(), 1);
    let at: Vec<_> = tidying.empty.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [Instant::now() + Duration::from_secs(40)]);
    sleep(Duration::from_secs(40)).await;
    tidying.close_what_is_empty(&app.kit).await;
    assert_eq!(app.kit.open_rooms(), 0);
    assert!(tidying.empty.is_empty() && tidying.ended.is_empty());
}
