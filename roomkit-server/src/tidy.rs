//! Closes rooms that nobody needs any more.

use std::{collections::VecDeque, time::Duration};

use roomkit::{
    RealtimeVoiceChannel, RoomKit, WeakRoomKit,
    framework::{FrameworkEventKind, FrameworkEvents},
    id::RoomId,
    room::{Room, RoomStatus},
};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::host::UNNAMED;

/// Closes each unnamed room that has had no call for so long. Runs until the kit is closed.
pub(crate) async fn close_empty_rooms(
    kit: WeakRoomKit,
    mut events: FrameworkEvents,
    voice: RealtimeVoiceChannel,
    after: Duration,
) {
    // The wait is the same for all, so the first in is the first due.
    let mut due: VecDeque<(Instant, RoomId)> = VecDeque::new();
    let mut missed = 0;
    loop {
        let next = due.front().map_or_else(Instant::now, |(at, _)| *at);
        tokio::select! {
            event = events.recv() => {
                let Some(event) = event else { return };
                if event.kind == FrameworkEventKind::SessionEnded {
                    due.extend(event.room_id.map(|room| (Instant::now() + after, room)));
                }
                if events.missed() > missed {
                    missed = events.missed();
                    let Some(kit) = kit.upgrade() else { return };
                    due.extend(open_rooms(&kit).await.map(|room| (Instant::now() + after, room)));
                }
            }
            () = sleep_until(next), if !due.is_empty() => {
                let Some(kit) = kit.upgrade() else { return };
                if let Some((_, room)) = due.pop_front() {
                    close_if_empty(&kit, &voice, room).await;
                }
            }
        }
    }
}

async fn open_rooms(kit: &RoomKit) -> impl Iterator<Item = RoomId> {
    let rooms = kit.rooms().await.unwrap_or_default();
    rooms
        .into_iter()
        .filter(is_open_and_unnamed)
        .map(|room| room.id)
}

async fn close_if_empty(kit: &RoomKit, voice: &RealtimeVoiceChannel, id: RoomId) {
    let Ok(room) = kit.room(&id).await else {
        return;
    };
    if is_open_and_unnamed(&room)
        && voice.room_sessions(&id).is_empty()
        && let Err(error) = kit.close_room(&id).await
    {
        tracing::warn!(%error, "an empty room could not be closed");
    }
}

fn is_open_and_unnamed(room: &Room) -> bool {
    room.status == RoomStatus::Active && room.metadata.get(UNNAMED) == Some(&Value::Bool(true))
}
