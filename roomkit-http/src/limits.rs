//! How many sessions there are, in all and per client (contract C5).

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use metrics::gauge;
use tokio::sync::watch;

/// Counts sessions against their limits.
#[derive(Debug)]
pub(crate) struct Limits {
    per_process: AtomicUsize,
    per_address: AtomicUsize,
    total: watch::Sender<usize>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    Process,
    Address { most: usize },
}

impl Limits {
    pub(crate) fn new(per_process: usize, per_address: usize) -> Self {
        Self {
            per_process: per_process.into(),
            per_address: per_address.into(),
            total: watch::Sender::new(0),
            by_address: Mutex::default(),
        }
    }

    /// Other limits, for those who come from now on.
    pub(crate) fn set(&self, per_process: usize, per_address: usize) {
        self.per_process.store(per_process, Ordering::Relaxed);
        self.per_address.store(per_address, Ordering::Relaxed);
    }

    /// Takes a place, to be given back by dropping the permit. A client without an address (a Unix
    /// socket) counts for the process only.
    pub(crate) fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Permit, Reached> {
        let client = address.map(network_of);
        let mut by_address = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if self.is_full() {
            return Err(Reached::Process);
        }
        if let Some(client) = client {
            let count = by_address.entry(client).or_default();
            let most = self.per_address.load(Ordering::Relaxed);
            if *count >= most {
                return Err(Reached::Address { most });
            }
            *count += 1;
        }
        self.total.send_modify(|total| *total += 1);
        gauge!("roomkit_admission_sessions").increment(1);
        Ok(Permit {
            limits: Arc::clone(self),
            client,
        })
    }

    pub(crate) fn max_sessions(&self) -> usize {
        self.per_process.load(Ordering::Relaxed)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.sessions() >= self.max_sessions()
    }

    pub(crate) fn sessions(&self) -> usize {
        *self.total.borrow()
    }

    pub(crate) async fn wait_idle(&self) {
        // Fails only when the sender is gone, and `self` holds it.
        let _ = self.total.subscribe().wait_for(|total| *total == 0).await;
    }
}

/// A session's place among the allowed ones; keep it as long as the session lives.
#[must_use = "dropping the permit gives the place back"]
pub struct Permit {
    limits: Arc<Limits>,
    client: Option<IpAddr>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let limits = &self.limits;
        let mut by_address = limits
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = self.client
            && let Some(count) = by_address.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&client);
            }
        }
        limits.total.send_modify(|total| *total -= 1);
        gauge!("roomkit_admission_sessions").decrement(1);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// What counts as one client: an IPv4 address, or an IPv6 /64, which is what one household gets.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(limits: &Arc<Limits>, address: &str) -> Result<Permit, Reached> {
        limits.take(Some(address.parse().unwrap()))
    }

    #[test]
    fn c5_places_are_counted_and_given_back() {
        let limits = Arc::new(Limits::new(3, 2));
        let first = take(&limits, "10.0.0.1").unwrap();
        let second = take(&limits, "::ffff:10.0.0.1").unwrap();
        let refused = take(&limits, "10.0.0.1").unwrap_err();
        assert_eq!(refused, Reached::Address { most: 2 });
        let third = limits.take(None).unwrap();
        let refused = take(&limits, "10.0.0.2").unwrap_err();
        assert_eq!(refused, Reached::Process);
        drop(second);
        let again = take(&limits, "10.0.0.1").unwrap();
        drop((first, third, again));
        assert_eq!(limits.sessions(), 0);
        assert!(
            limits.by_address.lock().unwrap().is_empty(),
            "no entry stays behind"
        );
    }

    #[test]
    fn c5_an_ipv6_network_is_one_client() {
        let limits = Arc::new(Limits::new(9, 1));
        let _first = take(&limits, "2001:db8::1").unwrap();
        assert!(take(&limits, "2001:db8::ffff").is_err());
        assert!(take(&limits, "2001:db8:0:1::1").is_ok());
    }
}
