//! How many may watch rooms at a time.

use std::sync::Arc;

use axum::http::StatusCode;
use roomkit::http::Rejection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Dashboards open at a time.
const PLACES: u32 = 1024;

/// The places of dashboards, which are sockets that stay.
#[derive(Debug, Clone)]
pub(crate) struct Dashboards(Arc<Semaphore>);

impl Dashboards {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(PLACES as usize)))
    }

    /// A place, to be kept as long as the dashboard is open.
    pub(crate) fn take(&self) -> Result<OwnedSemaphorePermit, Rejection> {
        Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            let message = "the server shows as many dashboards as it can";
            Rejection::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_dashboards",
                message,
            )
            .counted()
        })
    }

    /// Waits until none is open.
    pub(crate) async fn wait_idle(&self) {
        // An error would mean that it was closed, and nobody closes it.
        let _ = self.0.acquire_many(PLACES).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c5_dashboards_have_their_places_and_give_them_back() {
        let dashboards = Dashboards::new();
        let mut open: Vec<_> = (0..PLACES).map(|_| dashboards.take().unwrap()).collect();
        assert_eq!(dashboards.take().unwrap_err().code(), "too_many_dashboards");
        open.pop();
        assert!(dashboards.take().is_ok());
    }
}
