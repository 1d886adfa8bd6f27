//! When a server's tools are listed again.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::backoff;

/// Servers announce changes in bursts.
const SETTLE: Duration = Duration::from_millis(50);
/// How long a list stands at least; twice as long each time for one that is another whenever it is
/// asked for, because every live session is told of each.
const STANDS: Duration = Duration::from_secs(1);
/// How often that doubles: up to 32 s.
const DOUBLES: u32 = 5;

/// When the tools are to be listed again, if they are.
#[derive(Default)]
pub(crate) struct Listing {
    due: Option<Instant>,
    /// So many attempts have failed in a row.
    failed: u32,
    /// When they were listed last, since the connection was opened.
    listed: Option<Instant>,
    /// So many lists in a row were others, each soon after the last.
    changes: u32,
}

impl Listing {
    /// The server says that its list is another. However often it says so, this puts nothing off.
    pub(crate) fn announced(&mut self) {
        if self.due.is_some() {
            return;
        }
        let now = Instant::now();
        let stands = self.listed.map(|listed| listed + self.stands());
        self.due = Some(stands.map_or(now, |until| until.max(now)) + SETTLE);
    }

    /// Returns when they are to be listed.
    pub(crate) async fn due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// They were listed, and are others or not; `None`: that failed.
    pub(crate) fn listed(&mut self, is_another: Option<bool>) {
        let now = Instant::now();
        let Some(is_another) = is_another else {
            self.due = Some(now + backoff::wait(self.failed));
            self.failed += 1;
            return;
        };
        let was_soon = self
            .listed
            .is_some_and(|listed| now < listed + self.stands() * 2);
        self.changes = if !is_another {
            0
        } else if was_soon {
            self.changes.saturating_add(1)
        } else {
            1
        };
        self.due = None;
        self.failed = 0;
        self.listed = Some(now);
    }

    fn stands(&self) -> Duration {
        STANDS * (1 << self.changes.saturating_sub(1).min(DOUBLES))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    /// Whether it is due within so many milliseconds.
    async fn is_due_in(listing: &Listing, millis: u64) -> bool {
        let limit = Duration::from_millis(millis);
        timeout(limit, listing.due()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_announces_without_end_is_listed_all_the_same() {
        let mut listing = Listing::default();
        let began = Instant::now();
        for _ in 0..10 {
            listing.announced();
            if is_due_in(&listing, 20).await {
                break;
            }
        }
        assert!(began.elapsed() <= Duration::from_millis(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_fails_is_not_asked_for_faster_by_what_is_announced() {
        let mut listing = Listing::default();
        listing.announced();
        for _ in 0..8 {
            listing.listed(None);
        }
        listing.announced();
        assert!(!is_due_in(&listing, 10_000).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_that_is_always_another_is_asked_for_less_and_less() {
        let mut listing = Listing::default();
        let mut lists = 0;
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(300) {
            listing.announced();
            listing.due().await;
            listing.listed(Some(true));
            lists += 1;
        }
        assert!((10..20).contains(&lists), "{lists}");
        // After a calm time it is believed again.
        advance(Duration::from_secs(100)).await;
        listing.announced();
        assert!(is_due_in(&listing, 100).await);
        listing.listed(Some(true));
        listing.announced();
        assert!(is_due_in(&listing, 1100).await);
    }
}
