//! Closes rooms that nobody needs any more, and deletes closed ones in their turn (contract S7).

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use roomkit::{
    RealtimeVoiceChannel, RoomKit, WeakRoomKit,
    error::RoomError,
    framework::{FrameworkEvent, FrameworkEventKind, FrameworkEvents},
    id::RoomId,
    room::{Room, RoomStatus},
};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::{app::App, config::RoomsConfig, host::UNNAMED, makers::Makers};

/// Longest wait that is reckoned with: ten years, far from where clocks overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// The shortest wait before a room is looked at again in which somebody was, or was about to be.
const AGAIN: Duration = Duration::from_secs(1);

/// Rooms that wait for something. The wait is (almost) the same for all, so the first in is the first
/// due.
type Queue = VecDeque<(Instant, RoomId)>;

/// What becomes of rooms once nobody is in them.
pub(crate) struct Tidying {
    kit: WeakRoomKit,
    events: FrameworkEvents,
    voice: RealtimeVoiceChannel,
    makers: Makers,
    close_empty: bool,
    close_after: Duration,
    keep_closed: Duration,
    max_closed: usize,
    /// Rooms whose last call may be over.
    empty: Queue,
    /// Those rooms, each with the time that counts: a call may have ended since it was queued.
    ended: HashMap<RoomId, Instant>,
    closed: Queue,
    /// Events that were missed and have been made up for.
    missed: u64,
}

impl Tidying {
    pub(crate) fn of(app: &App, rules: &RoomsConfig) -> Self {
        let wait = |seconds| Duration::from_secs(seconds).min(LONGEST);
        Self {
            kit: app.kit.downgrade(),
            events: app.kit.framework_events(),
            voice: app.voice.clone(),
            makers: app.makers.clone(),
            close_empty: rules.close_empty,
            close_after: wait(rules.close_empty_after_s),
            keep_closed: wait(rules.keep_closed_s),
            max_closed: rules.max_closed,
            empty: Queue::new(),
            ended: HashMap::new(),
            closed: Queue::new(),
            missed: 0,
        }
    }

    /// Runs until the kit is closed.
    pub(crate) async fn run(mut self) {
        loop {
            let due = [&self.empty, &self.closed].map(|queue| queue.front().map(|(at, _)| *at));
            let next = due.into_iter().flatten().min();
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.note(event),
                    None => return,
                },
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
            let Some(kit) = self.kit.upgrade() else {
                return;
            };
            if self.events.missed() > self.missed {
                self.missed = self.events.missed();
                self.look_around(&kit).await;
            }
            self.close_what_is_empty(&kit).await;
            self.delete_what_is_closed(&kit).await;
        }
    }

    fn note(&mut self, event: FrameworkEvent) {
        let Some(room) = event.room_id else { return };
        let now = Instant::now();
        match event.kind {
            FrameworkEventKind::SessionEnded => {
                self.makers.left(&room);
                if self.close_empty {
                    self.wait_to_close(now + self.close_after, room);
                }
            }
            FrameworkEventKind::RoomClosed => {
                self.makers.forget(&room);
                self.closed.push_back((now + self.keep_closed, room));
            }
            _ => {}
        }
    }

    /// What events would have told, read from the rooms themselves.
    async fn look_around(&mut self, kit: &RoomKit) {
        let rooms = match kit.rooms().await {
            Ok(rooms) => rooms,
            Err(error) => {
                tracing::warn!(%error, "the rooms could not be listed");
                return;
            }
        };
        let open: HashSet<&RoomId> = rooms
            .iter()
            .filter(|room| room.status == RoomStatus::Active)
            .map(|room| &room.id)
            .collect();
        self.makers.keep(|room| open.contains(room));
        let (now, today) = (Instant::now(), Timestamp::now());
        if self.close_empty {
            for room in rooms.iter().filter(|room| is_open_and_unnamed(room)) {
                self.wait_to_close(now + self.close_after, room.id.clone());
            }
        }
        let mut closed: Vec<(Timestamp, RoomId)> = rooms
            .into_iter()
            .filter_map(|room| Some((room.closed_at?, room.id)))
            .collect();
        closed.sort();
        let kept = |since| Duration::try_from(today.duration_since(since)).unwrap_or_default();
        self.closed = closed
            .into_iter()
            .map(|(since, room)| (now + self.keep_closed.saturating_sub(kept(since)), room))
            .collect();
    }

    /// Has the room looked at when it is time. However many calls end in it, it waits once.
    fn wait_to_close(&mut self, at: Instant, room: RoomId) {
        if self.ended.insert(room.clone(), at).is_none() {
            self.empty.push_back((at, room));
        }
    }

    async fn close_what_is_empty(&mut self, kit: &RoomKit) {
        while let Some(room) = pop_due(&mut self.empty, usize::MAX) {
            match self.ended.remove(&room) {
                Some(at) if at > Instant::now() => self.wait_to_close(at, room),
                _ => self.close_if_empty(kit, room).await,
            }
        }
    }

    async fn close_if_empty(&mut self, kit: &RoomKit, id: RoomId) {
        if !kit
            .room(&id)
            .await
            .is_ok_and(|room| is_open_and_unnamed(&room))
        {
            return;
        }
        if self.makers.awaits_a_call(&id) || !self.voice.room_sessions(&id).is_empty() {
            // A call that does not begin leaves no word of its end, and one that has ended may still
            // be found for a moment.
            let wait = self.close_after.max(AGAIN);
            self.wait_to_close(Instant::now() + wait, id);
        } else if let Err(error) = kit.close_room(&id).await {
            tracing::warn!(%error, "an empty room could not be closed");
        }
    }

    async fn delete_what_is_closed(&mut self, kit: &RoomKit) {
        while let Some(room) = pop_due(&mut self.closed, self.max_closed) {
            match kit.delete_room(&room).await {
                // Gone already, or gone and made anew.
                Ok(()) | Err(RoomError::NotFound(_) | RoomError::Open(_)) => {}
                Err(error) => tracing::warn!(%error, "a closed room could not be deleted"),
            }
        }
    }
}

/// The first room, if its time has come or more wait than may.
fn pop_due(queue: &mut Queue, most: usize) -> Option<RoomId> {
    let (at, _) = queue.front()?;
    if *at > Instant::now() && queue.len() <= most {
        return None;
    }
    queue.pop_front().map(|(_, room)| room)
}

fn is_open_and_unnamed(room: &Room) -> bool {
    room.status == RoomStatus::Active && room.metadata.get(UNNAMED) == Some(&Value::Bool(true))
}

#[cfg(test)]
mod tests;
