//! Whose calls made the rooms that are open, so that one client cannot use up those there may be
//! (contract C5).

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use roomkit::id::RoomId;

use crate::by_client::{ByClient, OfClient};

/// The makers of rooms. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Makers {
    clients: ByClient,
    /// Open rooms whose makers are known by an address. A room is in it before it is made.
    rooms: Arc<Mutex<HashMap<RoomId, OfClient>>>,
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
        if let Entry::Vacant(entry) = self.rooms().entry(room.clone()) {
            entry.insert(of_client);
        }
        true
    }

    /// The room is closed, or was not made.
    pub(crate) fn forget(&self, room: &RoomId) {
        self.rooms().remove(room);
    }

    /// Only these rooms are open.
    pub(crate) fn keep(&self, is_open: impl Fn(&RoomId) -> bool) {
        self.rooms().retain(|room, _| is_open(room));
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<RoomId, OfClient>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
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
}
