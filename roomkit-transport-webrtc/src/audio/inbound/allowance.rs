//! A bound on audio that nobody sent: real time, and a second on top.
//!
//! Without it a client could have hours of silence made out of a few packets, by their timestamps.

use std::time::Duration;

use tokio::time::Instant;

/// How much may be spent at once, after a while without.
const BURST: Duration = Duration::from_secs(1);

/// Grows with time up to [`BURST`].
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// What has been spent reaches to here.
    spent_until: Option<Instant>,
}

impl Allowance {
    /// What may be spent now.
    pub(super) fn left(&self, now: Instant) -> Duration {
        let ahead = self.from(now).saturating_duration_since(now);
        BURST.saturating_sub(ahead)
    }

    /// Spends some of what is left.
    pub(super) fn spend(&mut self, duration: Duration, now: Instant) {
        self.spent_until = Some(self.from(now) + duration);
    }

    fn from(&self, now: Instant) -> Instant {
        self.spent_until.map_or(now, |until| until.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x5_a_second_at_once_and_then_real_time() {
        let now = Instant::now();
        let mut allowance = Allowance::default();
        assert_eq!(allowance.left(now), BURST);
        allowance.spend(BURST, now);
        assert_eq!(allowance.left(now), Duration::ZERO);
        let later = now + Duration::from_millis(300);
        assert_eq!(allowance.left(later), Duration::from_millis(300));
        assert_eq!(allowance.left(now + BURST * 5), BURST);
    }
}
