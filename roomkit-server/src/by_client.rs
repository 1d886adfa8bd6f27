//! How many of something each client has, against how many one may have (contract C5). A client is
//! known by the address that stands for its [network](roomkit::http::Admission::network_of).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// The counts. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct ByClient(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    most: AtomicUsize,
    by_client: Mutex<HashMap<IpAddr, usize>>,
}

impl ByClient {
    /// Nobody has one, and one client may have so many.
    pub(crate) fn new(most: usize) -> Self {
        Self(Arc::new(Counts {
            most: most.into(),
            by_client: Mutex::default(),
        }))
    }

    /// Another limit, for those who come from now on.
    pub(crate) fn set_most(&self, most: usize) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    /// How many one client may have.
    pub(crate) fn most(&self) -> usize {
        self.0.most.load(Ordering::Relaxed)
    }

    /// How many this client has.
    pub(crate) fn count(&self, client: IpAddr) -> usize {
        let counts = self.0.counts();
        counts.get(&client).copied().unwrap_or_default()
    }

    /// One more of this client's, unless it has as many as one may have.
    pub(crate) fn enter(&self, client: IpAddr) -> Option<OfClient> {
        let mut counts = self.0.counts();
        let count = counts.get(&client).copied().unwrap_or_default();
        if count >= self.most() {
            return None;
        }
        counts.insert(client, count + 1);
        Some(OfClient {
            counts: Arc::clone(&self.0),
            client,
        })
    }
}

impl Counts {
    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        let counts = self.by_client.lock();
        counts.unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of what a client has, to be kept as long as it has it.
#[derive(Debug)]
pub(crate) struct OfClient {
    counts: Arc<Counts>,
    client: IpAddr,
}

impl OfClient {
    /// Whose it is: the address that stands for the client's network.
    pub(crate) fn client(&self) -> IpAddr {
        self.client
    }
}

impl Drop for OfClient {
    fn drop(&mut self) {
        let mut counts = self.counts.counts();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(clients: &ByClient, client: &str) -> Option<OfClient> {
        clients.enter(client.parse().unwrap())
    }

    #[test]
    fn c5_one_client_leaves_others_theirs_and_no_entry_stays_behind() {
        let clients = ByClient::new(2);
        let first = enter(&clients, "192.0.2.1").unwrap();
        let second = enter(&clients, "192.0.2.1").unwrap();
        assert!(enter(&clients, "192.0.2.1").is_none());
        let other = enter(&clients, "192.0.2.2").unwrap();
        drop(first);
        let third = enter(&clients, "192.0.2.1").unwrap();
        clients.set_most(0);
        assert!(enter(&clients, "192.0.2.3").is_none());
        drop((second, third, other));
        assert!(clients.0.counts().is_empty());
    }
}
