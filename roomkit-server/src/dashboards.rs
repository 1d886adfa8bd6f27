//! How many may watch rooms at a time, in all and of one client (contract C5).

use std::{net::IpAddr, time::Duration};

use axum::http::StatusCode;
use roomkit::http::Rejection;

use crate::places::{Place, Places};

/// Dashboards open at a time.
const PLACES: u32 = 1024;

/// The places of dashboards, which are sockets that stay. A cheap handle.
#[derive(Debug, Clone)]
pub(crate) struct Dashboards(Places);

impl Dashboards {
    /// All places are free, and one client may have so many of them.
    pub(crate) fn new(per_client: usize) -> Self {
        Self(Places::new(PLACES, per_client))
    }

    /// So many of one client, from now on; those that are open stay.
    pub(crate) fn set_per_client(&self, most: usize) {
        self.0.set_per_client(most);
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
        self.0.wait_idle().await;
    }

    fn place(&self, client: Option<IpAddr>) -> Result<Place, Rejection> {
        let place = self.0.take().ok_or_else(|| {
            Rejection::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_dashboards",
                format!("the server shows all {PLACES} dashboards that it can; close one"),
            )
        })?;
        let Some(client) = client else {
            return Ok(place);
        };
        self.0.give(place, client).ok_or_else(|| {
            let most = self.0.per_client();
            Rejection::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_dashboards_of_address",
                format!(
                    "`limits.max_dashboards_per_address`: this address has all its {most} dashboards \
                     open, and must close one to open another"
                ),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use roomkit::mock::Counters;

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

    #[test]
    fn c5_who_is_refused_is_counted_by_why() {
        let counters = Counters::default();
        let _counting = counters.here();
        let dashboards = Dashboards::new(1);
        let _first = take(&dashboards, Some("192.0.2.1")).unwrap();
        assert!(take(&dashboards, Some("192.0.2.1")).is_err());
        let _rest: Vec<_> = (1..PLACES)
            .map(|_| take(&dashboards, None).unwrap())
            .collect();
        assert!(take(&dashboards, None).is_err());
        let refused = counters.all("roomkit_admission_refused_total");
        let expected = ["too_many_dashboards", "too_many_dashboards_of_address"];
        assert_eq!(refused, expected.map(|code| (code.to_owned(), 1)).into());
    }
}
