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
    of_client: Arc<OfClient>,
    /// When the last call in it ended or failed to begin.
    left: Instant,
}

impl Made {
    fn by(of_client: &Arc<OfClient>) -> Self {
        Self {
            of_client: Arc::clone(of_client),
            left: Instant::now(),
        }
    }
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

    /// Says that a client is about to make a room, if it may. Until it is clear who of several has made
    /// it, the first counts as the maker.
    pub(crate) fn claim(&self, room: &RoomId, client: Option<IpAddr>) -> Option<Claim> {
        let of_client = match client {
            Some(client) => Some(Arc::new(self.clients.enter(client)?)),
            None => None,
        };
        if let Some(of_client) = &of_client
            && let Entry::Vacant(entry) = self.rooms().made.entry(room.clone())
        {
            entry.insert(Made::by(of_client));
        }
        Some(Claim {
            makers: self.clone(),
            room: room.clone(),
            of_client,
            stays: false,
        })
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
        let own = client.map_or(0, |client| self.clients.count(client));
        let empty = |room: &RoomId| !busy.contains(room);
        self.dispensable(&self.rooms(), client, own, empty)
            .is_some()
    }

    /// The room that makes way for the one that is claimed, and is forgotten: it is to be closed, or
    /// [stays](Self::stays).
    pub(crate) fn make_way(&self, claim: &Claim, busy: &HashSet<RoomId>) -> Option<(RoomId, Made)> {
        let client = claim.of_client.as_ref().map(|it| it.client());
        // The claim itself is among them, and is no room yet.
        let own = client.map_or(0, |client| self.clients.count(client).saturating_sub(1));
        let empty = |room: &RoomId| *room != claim.room && !busy.contains(room);
        let mut rooms = self.rooms();
        let room = self.dispensable(&rooms, client, own, empty)?;
        rooms.made.remove_entry(&room)
    }

    /// The room that was to make way could not be closed.
    pub(crate) fn stays(&self, room: RoomId, made: Made) {
        self.rooms().made.entry(room).or_insert(made);
    }

    /// Of the client with the most rooms the one that has been empty for longest. Nobody makes way
    /// for somebody who has as many, or the few rooms of one would go for the many of another. `own`
    /// are those of the client that makes one.
    fn dispensable(
        &self,
        rooms: &Rooms,
        client: Option<IpAddr>,
        own: usize,
        is_empty: impl Fn(&RoomId) -> bool,
    ) -> Option<RoomId> {
        let empty = rooms.made.iter();
        let empty = empty.filter(|(room, _)| is_empty(room) && !rooms.coming.contains_key(*room));
        let ranked = empty.filter_map(|(room, made)| {
            let maker = made.of_client.client();
            let is_own = Some(maker) == client;
            let count = if is_own {
                own
            } else {
                self.clients.count(maker)
            };
            let may_go = is_own || count > own;
            may_go.then_some(((count, Reverse(made.left)), room))
        });
        let first = ranked.max_by_key(|(rank, _)| *rank);
        first.map(|(_, room)| room.clone())
    }

    /// Whether a call is about to begin in this room.
    pub(crate) fn awaits_a_call(&self, room: &RoomId) -> bool {
        self.rooms().coming.contains_key(room)
    }

    /// The room is closed.
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

/// A room that is about to be made. When this is dropped before that [begins](Self::stays), the claim to it
/// is withdrawn.
#[derive(Debug)]
#[must_use]
pub(crate) struct Claim {
    makers: Makers,
    room: RoomId,
    /// Its place among the rooms of the client, if that is known.
    of_client: Option<Arc<OfClient>>,
    stays: bool,
}

impl Claim {
    /// The room was made by this client, whoever else has claimed it.
    pub(crate) fn made(mut self) {
        self.stays = true;
        let mut rooms = self.makers.rooms();
        match &self.of_client {
            Some(of_client) if !self.counts(&rooms) => {
                rooms.made.insert(self.room.clone(), Made::by(of_client));
            }
            Some(_) => {}
            None => {
                rooms.made.remove(&self.room);
            }
        }
    }

    /// It was not.
    pub(crate) fn withdraw(mut self) {
        self.stays = false;
    }

    /// From here on the room is made, whether or not anybody waits to say so.
    pub(crate) fn stays(&mut self) {
        self.stays = true;
    }

    /// Whether this client counts as the maker by this claim.
    fn counts(&self, rooms: &Rooms) -> bool {
        let made = rooms.made.get(&self.room).map(|made| &made.of_client);
        let of_client = self.of_client.as_ref();
        made.zip(of_client)
            .is_some_and(|(made, of_client)| Arc::ptr_eq(made, of_client))
    }
}

impl Drop for Claim {
    /// Another's claim stays.
    fn drop(&mut self) {
        let mut rooms = self.makers.rooms();
        if !self.stays && self.counts(&rooms) {
            rooms.made.remove(&self.room);
        }
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
        let make = |room, client| makers.claim(room, client).map(Claim::made).is_some();
        assert!(make(&one, ann) && make(&two, ann));
        assert!(!makers.may_make(ann) && !make(&three, ann));
        assert!(makers.may_make(bob) && makers.may_make(None));
        assert!(make(&three, None));
        makers.forget(&one);
        assert!(makers.may_make(ann), "a look takes nothing");
        assert!(make(&three, ann));
        makers.keep(|room| *room == three);
        assert!(make(&one, ann) && !makers.may_make(ann));
    }

    #[test]
    fn c5_of_several_who_claim_a_room_the_one_who_made_it_is_its_maker() {
        let [ann, bob] = ["192.0.2.1", "192.0.2.2"].map(|address| Some(address.parse().unwrap()));
        let room = RoomId::from("room");
        let is_made_by = |makers: &Makers, client| {
            let others = [ann, bob, None]
                .into_iter()
                .filter(|other| *other != client);
            let others_may = others.into_iter().all(|other| makers.may_make(other));
            others_may && (client.is_none() || !makers.may_make(client))
        };
        for who in 0..5 {
            let makers = Makers::new(1);
            let claim = |client| makers.claim(&room, client).unwrap();
            let (first, second, nobody) = (claim(ann), claim(bob), claim(None));
            let maker = match who {
                0 => {
                    first.made();
                    second.withdraw();
                    ann
                }
                1 => {
                    second.made();
                    first.withdraw();
                    bob
                }
                2 => {
                    first.withdraw();
                    second.made();
                    bob
                }
                3 => {
                    nobody.made();
                    first.withdraw();
                    second.withdraw();
                    None
                }
                _ => {
                    first.withdraw();
                    second.withdraw();
                    None
                }
            };
            assert!(is_made_by(&makers, maker), "{who}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn c5_who_has_most_rooms_makes_way_with_the_one_that_was_left_first() {
        let makers = Makers::new(9);
        let [greedy, modest, new] =
            ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|address| Some(address.parse().unwrap()));
        let gone = |client, busy: &_| {
            let claim = makers.claim(&"new".into(), client).unwrap();
            let gone = makers.make_way(&claim, busy);
            claim.withdraw();
            gone.map(|(room, _)| room)
        };
        let make = async |room: &str, client| {
            tokio::time::advance(Duration::from_secs(1)).await;
            makers.claim(&room.into(), client).unwrap().made();
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
            makers.claim(&room.into(), greedy).unwrap().made();
        }
        makers.claim(&"modest".into(), modest).unwrap().made();
        let busy = HashSet::from(["one".into(), "two".into()]);
        let claim = makers.claim(&"new".into(), greedy).unwrap();
        assert!(makers.make_way(&claim, &busy).is_none());
        claim.withdraw();
        let claim = makers.claim(&"new".into(), modest).unwrap();
        let (room, made) = makers.make_way(&claim, &busy).unwrap();
        assert_eq!(room, "modest");

        makers.stays(room, made);
        let again = makers.make_way(&claim, &busy);
        assert!(again.is_some(), "it could not be closed then");
        // A room that is only claimed is none yet, and the claim is no reason to have less.
        makers.stays("modest".into(), again.unwrap().1);
        let mut busy = HashSet::from(["one".into(), "modest".into()]);
        assert_eq!(makers.make_way(&claim, &busy).unwrap().0, "two");
        busy.insert("two".into());
        assert!(makers.make_way(&claim, &busy).is_none());
    }
}
