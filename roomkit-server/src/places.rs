//! Places for HTTP connections: so many in all, and so many of one client, so that nobody's idle connections
//! keep others from calling (contract C5).

use std::{net::IpAddr, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::by_client::{ByClient, OfClient};

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
    by_client: Option<ByClient>,
}

impl Places {
    /// All of them free. `behind_proxy`: clients are not known by their addresses.
    pub(crate) fn new(behind_proxy: bool) -> Self {
        Self {
            in_all: Arc::new(Semaphore::new(IN_ALL)),
            by_client: (!behind_proxy).then(|| ByClient::new(OF_ONE_CLIENT)),
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
        let of_client = by_client.enter(client)?;
        Some(Place {
            _of_client: Some(of_client),
            ..place
        })
    }
}

/// A connection's place, to be kept as long as it is open.
#[derive(Debug)]
pub(crate) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_client: Option<OfClient>,
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
        assert!(take(&places, "192.0.2.2").await.is_some());
        held.pop();
        held.push(take(&places, "192.0.2.1").await.unwrap());
        drop(held);
        assert_eq!(places.in_all.available_permits(), IN_ALL);
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
