//! Closes rooms that nobody needs any more, and deletes closed ones in their turn (contract S7).

use std::{
    collections::{HashSet, VecDeque},
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

use crate::{app::App, config::Config, host::UNNAMED, makers::Makers};

/// Longest wait that is reckoned with: ten years, far from where clocks overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How often the time to connect may be taken while a call starts: for its tools, its client and its
/// AI.
const STEPS_OF_A_START: u32 = 3;

/// Rooms that wait for something. The wait is the same for all, so the first in is the first due.
type Queue = VecDeque<(Instant, RoomId)>;

/// What becomes of rooms once nobody is in them.
pub(crate) struct Tidying {
    kit: WeakRoomKit,
    events: FrameworkEvents,
    voice: RealtimeVoiceChannel,
    makers: Makers,
    close_empty: bool,
    close_after: Duration,
    /// By then the call that a room was made for has started, or never will.
    start_within: Duration,
    keep_closed: Duration,
    max_closed: usize,
    /// Rooms whose first call may not have started: nobody tells of one that was given up.
    made: Queue,
    /// Rooms whose last call may be over.
    empty: Queue,
    closed: Queue,
    /// Events that were missed and have been made up for.
    missed: u64,
}

impl Tidying {
    pub(crate) fn of(app: &App, config: &Config) -> Self {
        let rules = &config.rooms;
        let wait = |seconds| Duration::from_secs(seconds).min(LONGEST);
        let close_after = wait(rules.close_empty_after_s);
        let starting = config.channel.connect_timeout();
        let start_within = starting.saturating_mul(STEPS_OF_A_START);
        Self {
            kit: app.kit.downgrade(),
            events: app.kit.framework_events(),
            voice: app.voice.clone(),
            makers: app.makers.clone(),
            close_empty: rules.close_empty,
            close_after,
            start_within: close_after.saturating_add(start_within).min(LONGEST),
            keep_closed: wait(rules.keep_closed_s),
            max_closed: rules.max_closed,
            made: Queue::new(),
            empty: Queue::new(),
            closed: Queue::new(),
            missed: 0,
        }
    }

    /// Runs until the kit is closed.
    pub(crate) async fn run(mut self) {
        loop {
            let queues = [&self.made, &self.empty, &self.closed];
            let due = queues.map(|queue| queue.front().map(|(at, _)| *at));
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
            FrameworkEventKind::RoomCreated if self.close_empty => {
                self.made.push_back((now + self.start_within, room));
            }
            FrameworkEventKind::SessionEnded => {
                self.makers.left(&room);
                if self.close_empty {
                    self.empty.push_back((now + self.close_after, room));
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
            let open = rooms.iter().filter(|room| is_open_and_unnamed(room));
            let open = open.map(|room| (now + self.close_after, room.id.clone()));
            self.empty.extend(open);
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

    async fn close_what_is_empty(&mut self, kit: &RoomKit) {
        let mut due = Vec::new();
        for queue in [&mut self.made, &mut self.empty] {
            due.extend(std::iter::from_fn(|| pop_due(queue, usize::MAX)));
        }
        for room in due {
            self.close_if_empty(kit, &room).await;
        }
    }

    async fn close_if_empty(&self, kit: &RoomKit, id: &RoomId) {
        let Ok(room) = kit.room(id).await else {
            return;
        };
        if is_open_and_unnamed(&room)
            && self.voice.room_sessions(id).is_empty()
            && let Err(error) = kit.close_room(id).await
        {
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
mod tests {
    use std::pin::pin;

    use futures_util::poll;
    use roomkit::{
        http::{Identity, StartRequest},
        transport::Connection,
    };
    use tokio::time::timeout;

    use super::*;
    use crate::host::Host;

    #[tokio::test(start_paused = true)]
    async fn s7_a_room_is_closed_whose_call_was_given_up_while_it_started() {
        let config: Config = toml::from_str("[metrics]\nenabled = false").unwrap();
        let address = "127.0.0.1:0".parse().unwrap();
        let (app, _router) = App::build(&config, address, None).unwrap();
        app.start_tidying(&config);
        let mut events = app.kit.framework_events();
        let host = Host::new(&app);
        {
            let request = StartRequest::new(Identity::default(), Connection::new(()));
            let mut start = pin!(host.start(request));
            while app.kit.open_rooms() == 0 {
                assert!(poll!(&mut start).is_pending());
                tokio::task::yield_now().await;
            }
        }
        let given_up = Instant::now();
        let closed = async {
            while let Some(event) = events.recv().await
                && event.kind != FrameworkEventKind::RoomClosed
            {}
        };
        timeout(Duration::from_secs(3600), closed).await.unwrap();
        assert_eq!(app.kit.open_rooms(), 0);
        assert!(given_up.elapsed() >= config.channel.connect_timeout());
    }
}
