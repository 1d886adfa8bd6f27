//! How many may watch rooms at a time, in all and of one client (contract C5).

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::http::StatusCode;
use roomkit::http::Rejection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::by_client::{ByClient, OfClient};

/// Dashboards open at a time.
const PLACES: u32 = 1024;

/// The places of dashboards, which are sockets that stay. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Dashboards {
    in_all: Arc<Semaphore>,
    by_client: ByClient,
}

impl Dashboards {
    /// All places are free, and one client may have so many of them.
    pub(crate) fn new(per_client: usize) -> Self {
        Self {
            in_all: Arc::new(Semaphore::new(PLACES as usize)),
            by_client: ByClient::new(per_client),
        }
    }

    /// So many of one client, from now on; those that are open stay.
    pub(crate) fn set_per_client(&self, most: usize) {
        self.by_client.set_most(most);
    }

    /// A place for this client, if it is known by an address.
    pub(crate) fn take(
        &self,
        client: Option<IpAddr>,
        retry_after: Duration,
    ) -> Result<Place, Rejection> {
        self.place(client)
            .map_err(|refused| refused.with_retry_after(retry_after).counted())
    }

    /// Waits until none is open.
    pub(crate) async fn wait_idle(&self) {
        // An error would mean that it was closed, and nobody closes it.
        let _ = self.in_all.acquire_many(PLACES).await;
    }

    fn place(&self, client: Option<IpAddr>) -> Result<Place, Rejection> {
        let of_all = Arc::clone(&self.in_all);
        let of_all = of_all.try_acquire_owned().map_err(|_| {
            Rejection::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_dashboards",
                format!("the server shows all {PLACES} dashboards that it can; close one"),
            )
        })?;
        let counted = |client| {
            self.by_client.enter(client).ok_or_else(|| {
                let most = self.by_client.most();
                Rejection::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_many_dashboards_of_address",
                    format!(
                        "`limits.max_dashboards_per_address`: this address has all its {most} dashboards \
                         open, and must close one to open another"
                    ),
                )
            })
        };
        Ok(Place {
            _of_all: of_all,
            _of_client: client.map(counted).transpose()?,
        })
    }
}

/// A dashboard's place, to be kept as long as it is open.
#[derive(Debug)]
pub(crate) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_client: Option<OfClient>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(dashboards: &Dashboards, client: Option<&str>) -> Result<Place, Rejection> {
        let client = client.map(|client| client.parse().unwrap());
        dashboards.take(client, Duration::ZERO)
    }

    #[test]
    fn c5_dashboards_have_their_places_and_give_them_back() {
        let dashboards = Dashboards::new(1);
        let mut open: Vec<_> = (0..PLACES)
            .map(|_| take(&dashboards, None).unwrap())
            .collect();
        let refused = take(&dashboards, Some("192.0.2.1")).unwrap_err();
        assert_eq!(refused.code(), "too_many_dashboards");
        assert!(refused.message().contains("1024 dashboards"), "{refused}");
        open.pop();
        assert!(take(&dashboards, Some("192.0.2.1")).is_ok());
    }

    #[test]
    fn c5_who_is_refused_for_his_address_takes_no_place() {
        let dashboards = Dashboards::new(1);
        let _first = take(&dashboards, Some("192.0.2.1")).unwrap();
        for _ in 0..PLACES {
            let refused = take(&dashboards, Some("192.0.2.1")).unwrap_err();
            assert_eq!(refused.code(), "too_many_dashboards_of_address");
        }
        assert!(take(&dashboards, Some("192.0.2.2")).is_ok());
    }
}
