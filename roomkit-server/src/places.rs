//! Places for what stays open: so many in all, and so many of one client, so that nobody keeps others out
//! (contract C5).

use std::{net::IpAddr, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::by_client::{ByClient, OfClient};

/// The places. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    most: u32,
    in_all: Arc<Semaphore>,
    by_client: ByClient,
}

/// A place, to be kept as long as what has it is open.
#[derive(Debug)]
pub(crate) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_client: Option<OfClient>,
}

impl Places {
    /// So many places, all of them free, of which one client may have so many.
    pub(crate) fn new(most: u32, per_client: usize) -> Self {
        Self {
            most,
            in_all: Arc::new(Semaphore::new(most as usize)),
            by_client: ByClient::new(per_client),
        }
    }

    /// How many one client may have.
    pub(crate) fn per_client(&self) -> usize {
        self.by_client.most()
    }

    /// So many of one client, from now on; who has more keeps them.
    pub(crate) fn set_per_client(&self, most: usize) {
        self.by_client.set_most(most);
    }

    /// Waits until one is free, for whoever comes next.
    pub(crate) async fn wait_for_one(&self) -> Option<Place> {
        // Closed is an error that cannot be: nobody closes it.
        let of_all = Arc::clone(&self.in_all).acquire_owned().await.ok()?;
        Some(Place::new(of_all))
    }

    /// One for whoever comes next, if one is free.
    pub(crate) fn take(&self) -> Option<Place> {
        let of_all = Arc::clone(&self.in_all).try_acquire_owned().ok()?;
        Some(Place::new(of_all))
    }

    /// Gives a place to this client, unless it has as many as one may have.
    pub(crate) fn give(&self, place: Place, client: IpAddr) -> Option<Place> {
        let of_client = self.by_client.enter(client)?;
        Some(Place {
            _of_client: Some(of_client),
            ..place
        })
    }

    /// Waits until all are free.
    pub(crate) async fn wait_idle(&self) {
        // Closed is an error that cannot be: nobody closes it.
        let _ = self.in_all.acquire_many(self.most).await;
    }
}

impl Place {
    fn new(of_all: OwnedSemaphorePermit) -> Self {
        Self {
            _of_all: of_all,
            _of_client: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(places: &Places, client: &str) -> Option<Place> {
        places.give(places.take()?, client.parse().unwrap())
    }

    #[tokio::test]
    async fn c5_one_client_leaves_places_to_others() {
        let places = Places::new(5, 2);
        let mut held = vec![
            take(&places, "192.0.2.1").unwrap(),
            take(&places, "192.0.2.1").unwrap(),
        ];
        for _ in 0..5 {
            assert!(
                take(&places, "192.0.2.1").is_none(),
                "who is refused takes no place"
            );
        }
        assert!(take(&places, "192.0.2.2").is_some());
        held.pop();
        held.push(take(&places, "192.0.2.1").unwrap());
        drop(held);
        places.wait_idle().await;
    }

    #[tokio::test]
    async fn c5_who_waits_gets_the_next_place() {
        let places = Places::new(1, 9);
        let held = places.take().unwrap();
        assert!(places.take().is_none());
        let waits = tokio::spawn({
            let places = places.clone();
            async move { places.wait_for_one().await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(held);
        assert!(waits.await.unwrap());
        assert!(places.take().is_some());
    }
}
