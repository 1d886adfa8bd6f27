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

    /// Takes a place for a client, who is known by its [network](network_of), to be given back by
    /// dropping the permit. A client without an address (a Unix socket) counts for the process only.
    pub(crate) fn take(self: &Arc<Self>, client: Option<IpAddr>) -> Result<Permit, Reached> {
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

/// What counts as one client: an IPv4 address, or all IPv6 addresses that begin with the same bits.
pub(crate) fn network_of(address: IpAddr, ipv6_prefix: u8) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let host_bits = u128::MAX
                .checked_shr(ipv6_prefix.into())
                .unwrap_or_default();
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !host_bits))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(limits: &Arc<Limits>, address: &str) -> Result<Permit, Reached> {
        limits.take(Some(network_of(address.parse().unwrap(), 56)))
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
        assert!(take(&limits, "2001:db8:0:ff::ffff").is_err());
        assert!(take(&limits, "2001:db8:0:100::1").is_ok());
    }

    #[test]
    fn c5_how_large_an_ipv6_network_is() {
        for (prefix, network) in [
            (32, "2001:db8::"),
            (48, "2001:db8:1::"),
            (56, "2001:db8:1:200::"),
            (64, "2001:db8:1:234::"),
            (128, "2001:db8:1:234::5"),
        ] {
            let address = "2001:db8:1:234::5".parse().unwrap();
            let expected: IpAddr = network.parse().unwrap();
            assert_eq!(network_of(address, prefix), expected, "/{prefix}");
        }
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(network_of(mapped, 32), address);
    }
}
