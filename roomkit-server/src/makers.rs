//! Whose calls made the rooms that are open, so that one client cannot use up those there may be
//! (contract C5), and which of those rooms make way for another.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use roomkit::id::RoomId;
use tokio::time::Instant;

use crate::by_client::{ByClient, OfClient};

/// The makers of rooms. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Makers {
    clients: ByClient,
    rooms: Arc<Mutex<Rooms>>,
}

#[derive(Debug, Default)]
struct Rooms {
    /// Open rooms whose makers are known by an address. A room is in it before it is made.
    made: HashMap<RoomId, Made>,
    /// How many calls are about to begin in a room.
    coming: HashMap<RoomId, usize>,
}

/// A room that a call has made.
#[derive(Debug)]
pub(crate) struct Made {
    of_client: OfClient,
    /// When the last call in it ended or failed to begin.
    left: Instant,
}

impl Makers {
    /// One client may have made so many of the rooms that are open.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            clients: ByClient::new(most),
            rooms: Arc::default(),
        }
    }

    /// Another limit, for rooms that are made from now on.
    pub(crate) fn set_most(&self, most: usize) {
        self.clients.set_most(most);
    }

    /// How many one client may have made.
    pub(crate) fn most(&self) -> usize {
        self.clients.most()
    }

    /// Whether this client may make one more.
    pub(crate) fn may_make(&self, client: Option<IpAddr>) -> bool {
        client.is_none_or(|client| self.clients.enter(client).is_some())
    }

    /// Says that a client is about to make a room; whether it may. If nothing comes of it, the room
    /// is to be [forgotten](Self::forget).
    pub(crate) fn claim(&self, room: &RoomId, client: Option<IpAddr>) -> bool {
        let Some(client) = client else { return true };
        let Some(of_client) = self.clients.enter(client) else {
            return false;
        };
        // Of two who come at once the first counts as the maker.
        if let Entry::Vacant(entry) = self.rooms().made.entry(room.clone()) {
            entry.insert(Made {
                of_client,
                left: Instant::now(),
            });
        }
        true
    }

    /// Says that a call is about to begin in a room, which does not make way meanwhile.
    pub(crate) fn coming(&self, room: &RoomId) -> Coming {
        *self.rooms().coming.entry(room.clone()).or_default() += 1;
        Coming {
            makers: self.clone(),
            room: room.clone(),
        }
    }

    /// A call in this room has ended.
    pub(crate) fn left(&self, room: &RoomId) {
        if let Some(made) = self.rooms().made.get_mut(room) {
            made.left = Instant::now();
        }
    }

    /// Whether a room could make way for one that this client wants to make, if `busy` are those with
    /// calls in them.
    pub(crate) fn can_make_way(&self, client: Option<IpAddr>, busy: &HashSet<RoomId>) -> bool {
        self.dispensable(&self.rooms(), client, busy).is_some()
    }

    /// The room that makes way for one that this client wants to make, and is forgotten: it is to be
    /// closed, or [stays](Self::stays).
    pub(crate) fn make_way(
        &self,
        client: Option<IpAddr>,
        busy: &HashSet<RoomId>,
    ) -> Option<(RoomId, Made)> {
        let mut rooms = self.rooms();
        let room = self.dispensable(&rooms, client, busy)?;
        rooms.made.remove_entry(&room)
    }

    /// The room that was to make way could not be closed.
    pub(crate) fn stays(&self, room: RoomId, made: Made) {
        self.rooms().made.entry(room).or_insert(made);
    }

    /// Of the client with the most rooms the one that has been empty for longest. Nobody makes way
    /// for somebody who has as many, or the few rooms of one would go for the many of another.
    fn dispensable(
        &self,
        rooms: &Rooms,
        client: Option<IpAddr>,
        busy: &HashSet<RoomId>,
    ) -> Option<RoomId> {
        let own = client.map_or(0, |client| self.clients.count(client));
        let empty = rooms.made.iter();
        let empty =
            empty.filter(|(room, _)| !busy.contains(*room) && !rooms.coming.contains_key(*room));
        let ranked = empty.filter_map(|(room, made)| {
            let maker = made.of_client.client();
            let count = self.clients.count(maker);
            let may_go = Some(maker) == client || count > own;
            may_go.then_some(((count, Reverse(made.left)), room))
        });
        let first = ranked.max_by_key(|(rank, _)| *rank);
        first.map(|(_, room)| room.clone())
    }

    /// Whether a call is about to begin in this room.
    pub(crate) fn awaits_a_call(&self, room: &RoomId) -> bool {
        self.rooms().coming.contains_key(room)
    }

    /// The room is closed, or was not made.
    pub(crate) fn forget(&self, room: &RoomId) {
        self.rooms().made.remove(room);
    }

    /// Only these rooms are open.
    pub(crate) fn keep(&self, is_open: impl Fn(&RoomId) -> bool) {
        self.rooms().made.retain(|room, _| is_open(room));
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is about to begin; dropped when it has, or will not.
#[derive(Debug)]
pub(crate) struct Coming {
    makers: Makers,
    room: RoomId,
}

impl Drop for Coming {
    fn drop(&mut self) {
        let mut rooms = self.makers.rooms();
        if let Some(made) = rooms.made.get_mut(&self.room) {
            made.left = Instant::now();
        }
        if let Some(coming) = rooms.coming.get_mut(&self.room) {
            *coming -= 1;
            if *coming == 0 {
                rooms.coming.remove(&self.room);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn c5_a_client_has_made_the_rooms_that_are_open() {
        let makers = Makers::new(2);
        let ann = Some("192.0.2.1".parse().unwrap());
        let bob = Some("192.0.2.2".parse().unwrap());
        let [one, two, three] = ["one", "two", "three"].map(RoomId::from);
        assert!(makers.claim(&one, ann));
        assert!(makers.claim(&one, bob), "who comes second has made nothing");
        assert!(makers.claim(&two, ann));
        assert!(!makers.may_make(ann) && !makers.claim(&three, ann));
        assert!(makers.may_make(bob) && makers.may_make(None));
        assert!(makers.claim(&three, None));
        makers.forget(&one);
        assert!(makers.may_make(ann), "a look takes nothing");
        assert!(makers.claim(&three, ann));
        makers.keep(|room| *room == three);
        assert!(makers.claim(&one, ann) && !makers.may_make(ann));
    }

    #[tokio::test(start_paused = true)]
    async fn c5_who_has_most_rooms_makes_way_with_the_one_that_was_left_first() {
        let makers = Makers::new(9);
        let [greedy, modest, new] =
            ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|address| Some(address.parse().unwrap()));
        let gone = |client, busy: &_| makers.make_way(client, busy).map(|(room, _)| room);
        let make = async |room: &str, client| {
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(makers.claim(&room.into(), client));
        };
        make("modest", modest).await;
        for room in ["one", "two", "three", "four"] {
            make(room, greedy).await;
        }
        let busy = HashSet::from(["one".into()]);
        let starting = makers.coming(&"two".into());
        tokio::time::advance(Duration::from_secs(1)).await;
        makers.left(&"three".into());
        assert!(makers.can_make_way(new, &busy));
        assert_eq!(gone(new, &busy), Some("four".into()));
        assert_eq!(gone(None, &busy), Some("three".into()));
        assert_eq!(
            gone(modest, &busy),
            Some("modest".into()),
            "nobody else has an empty one"
        );
        assert_eq!(gone(new, &busy), None);
        drop(starting);
        assert_eq!(gone(new, &busy), Some("two".into()));
        assert!(!makers.can_make_way(new, &busy));
        assert!(makers.rooms().coming.is_empty());
    }

    #[test]
    fn c5_nobody_makes_way_for_somebody_who_has_as_many_rooms() {
        let makers = Makers::new(9);
        let [greedy, modest] =
            ["192.0.2.1", "192.0.2.2"].map(|address| Some(address.parse().unwrap()));
        for room in ["one", "two"] {
            assert!(makers.claim(&room.into(), greedy));
        }
        assert!(makers.claim(&"modest".into(), modest));
        let busy = HashSet::from(["one".into(), "two".into()]);
        assert!(makers.make_way(greedy, &busy).is_none());
        let (room, made) = makers.make_way(modest, &busy).unwrap();
        assert_eq!(room, "modest");

        makers.stays(room, made);
        let again = makers.make_way(modest, &busy);
        assert!(again.is_some(), "it could not be closed then");
    }
}
