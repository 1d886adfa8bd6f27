//! A room and its kit that are closed at the same time (contracts R6, S7).

use std::time::Duration;

use roomkit_core::RoomKit;
use tokio::time::{Instant, sleep};

use crate::support::Recorder;

/// How long it needs to let go of a room, and how long it may need.
const NEEDS: Duration = Duration::from_secs(60);
const MAY_NEED: Duration = Duration::from_secs(100);

#[tokio::test(start_paused = true)]
async fn r6_a_kit_waits_no_longer_for_a_room_that_is_being_closed_than_that_takes() {
    let kit = RoomKit::builder()
        .lifecycle_timeout(Duration::from_secs(1))
        .build();
    kit.create_room("room").await.unwrap();
    Recorder::build("slow")
        .close_timeout(MAY_NEED)
        .when_detached(|_, _| sleep(NEEDS))
        .attach(&kit, "room")
        .await;
    let began = Instant::now();
    let closing = kit.clone();
    let closing = tokio::spawn(async move { closing.close_room("room").await });
    sleep(Duration::from_millis(1)).await;
    kit.close().await;
    closing.await.unwrap().unwrap();
    assert_eq!(began.elapsed().as_secs(), NEEDS.as_secs());
}
