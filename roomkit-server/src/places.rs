//! Places for HTTP connections: so many in all, and so many of one client, so that nobody's idle connections
//! keep others from calling (contract C5).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use roomkit::http::network_of;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// HTTP connections open at a time; further ones wait in the system's queue.
const IN_ALL: usize = 2048;
/// HTTP connections of one client address open at a time; further ones are closed. A browser has six, and
/// calls and dashboards are counted elsewhere.
const OF_ONE_CLIENT: usize = 256;

/// The places. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    in_all: Arc<Semaphore>,
    /// Who has how many; none where everybody comes from one address, a proxy's.
    by_client: Option<Arc<ByClient>>,
}

#[derive(Debug, Default)]
struct ByClient(Mutex<HashMap<IpAddr, usize>>);

impl Places {
    /// All of them free. `behind_proxy`: clients are not known by their addresses.
    pub(crate) fn new(behind_proxy: bool) -> Self {
        Self {
            in_all: Arc::new(Semaphore::new(IN_ALL)),
            by_client: (!behind_proxy).then(Arc::default),
        }
    }

    /// Waits until one is free, for whoever comes next.
    pub(crate) async fn take(&self) -> Option<Place> {
        // Closed is an error that cannot be: nobody closes it.
        let of_all = Arc::clone(&self.in_all).acquire_owned().await.ok()?;
        Some(Place {
            _of_all: of_all,
            _of_client: None,
        })
    }

    /// Gives a place to this client, unless it has as many as one may have.
    pub(crate) fn give(&self, place: Place, client: IpAddr) -> Option<Place> {
        let Some(by_client) = &self.by_client else {
            return Some(place);
        };
        let client = network_of(client);
        if !by_client.enter(client) {
            return None;
        }
        Some(Place {
            _of_client: Some(OfClient {
                by_client: Arc::clone(by_client),
                client,
            }),
            ..place
        })
    }
}

impl ByClient {
    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, client: IpAddr) -> bool {
        let mut counts = self.counts();
        let count = counts.entry(client).or_default();
        let may = *count < OF_ONE_CLIENT;
        *count += usize::from(may);
        may
    }

    fn leave(&self, client: IpAddr) {
        let mut counts = self.counts();
        if let Some(count) = counts.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&client);
            }
        }
    }
}

/// A connection's place, to be kept as long as it is open.
#[derive(Debug)]
pub(crate) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_client: Option<OfClient>,
}

/// One of a client's places.
#[derive(Debug)]
struct OfClient {
    by_client: Arc<ByClient>,
    client: IpAddr,
}

impl Drop for OfClient {
    fn drop(&mut self) {
        self.by_client.leave(self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(places: &Places, client: &str) -> Option<Place> {
        let place = places.take().await.unwrap();
        places.give(place, client.parse().unwrap())
    }

    #[tokio::test]
    async fn c5_one_client_leaves_places_to_others() {
        let places = Places::new(false);
        let mut held = Vec::new();
        for _ in 0..OF_ONE_CLIENT {
            held.push(take(&places, "192.0.2.1").await.unwrap());
        }
        assert!(take(&places, "192.0.2.1").await.is_none());
        assert!(take(&places, "::ffff:192.0.2.1").await.is_none());
        assert!(take(&places, "192.0.2.2").await.is_some());
        held.pop();
        held.push(take(&places, "192.0.2.1").await.unwrap());
        drop(held);
        assert_eq!(places.in_all.available_permits(), IN_ALL);
        let counts = places.by_client.as_ref().unwrap().counts();
        assert!(counts.is_empty(), "no entry stays behind");
    }

    #[tokio::test]
    async fn c5_behind_a_proxy_all_places_are_its_own() {
        let places = Places::new(true);
        let mut held = Vec::new();
        for _ in 0..=OF_ONE_CLIENT {
            held.push(take(&places, "192.0.2.1").await.unwrap());
        }
    }
}
