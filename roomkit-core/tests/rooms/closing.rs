//! A room and its kit that are closed at the same time (contracts R6, S7).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use roomkit_core::{
    RoomKit,
    channel::{Channel, ChannelError, DetachReason},
    id::{ChannelId, RoomId},
    room::{ChannelBinding, RoomEvent},
};
use tokio::time::{Instant, sleep};

/// How long it needs to let go of a room, and how long it may need.
const NEEDS: Duration = Duration::from_secs(60);
const MAY_NEED: Duration = Duration::from_secs(100);

struct Slow(ChannelId);

#[async_trait]
impl Channel for Slow {
    fn id(&self) -> &ChannelId {
        &self.0
    }

    fn kind(&self) -> &'static str {
        "slow"
    }

    async fn on_event(
        &self,
        _event: Arc<RoomEvent>,
        _binding: &ChannelBinding,
    ) -> Result<(), ChannelError> {
        Ok(())
    }

    async fn on_detached(&self, _room: &RoomId, _why: DetachReason) {
        sleep(NEEDS).await;
    }

    fn close_timeout(&self) -> Option<Duration> {
        Some(MAY_NEED)
    }
}

#[tokio::test(start_paused = true)]
async fn r6_a_kit_waits_no_longer_for_a_room_that_is_being_closed_than_that_takes() {
    let kit = RoomKit::builder()
        .lifecycle_timeout(Duration::from_secs(1))
        .build();
    kit.create_room("room").await.unwrap();
    kit.register_channel(Slow("slow".into())).unwrap();
    kit.attach_channel("room", "slow").await.unwrap();
    let began = Instant::now();
    let closing = kit.clone();
    let closing = tokio::spawn(async move { closing.close_room("room").await });
    sleep(Duration::from_millis(1)).await;
    kit.close().await;
    closing.await.unwrap().unwrap();
    assert_eq!(began.elapsed().as_secs(), NEEDS.as_secs());
}
