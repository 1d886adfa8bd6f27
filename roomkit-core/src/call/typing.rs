//! How much a client may type (contract C5). Room, conversation and vendor keep all of it, so that without a
//! limit one client could fill the memory of the process.

use super::io::Moment;

/// What it may write at once, in bytes: its longest message, and as much again.
const AT_ONCE: usize = 128 * 1024;
/// What it may write in the long run, in bytes per second: a page of text.
const PER_SECOND: u128 = 2048;
/// What a text costs, however short it is, in bytes: about what there is of it beside its words.
const EACH: usize = 128;

/// The allowance of one client. It has no clock: the time is that of the call.
#[derive(Debug)]
pub(super) struct Typing {
    left: usize,
    /// When that was so.
    at: Moment,
}

impl Typing {
    /// An allowance of which nothing is used.
    pub(super) fn new() -> Self {
        Self {
            left: AT_ONCE,
            at: Moment::ZERO,
        }
    }

    /// Takes a text. False: that is too much; it must be dropped then, and counts for nothing.
    pub(super) fn take(&mut self, now: Moment, text: &str) -> bool {
        let earned = now.saturating_sub(self.at).as_millis() * PER_SECOND / 1000;
        if earned > 0 {
            let earned = usize::try_from(earned).unwrap_or(AT_ONCE);
            self.left = self.left.saturating_add(earned).min(AT_ONCE);
            self.at = now;
        }
        let cost = text.len().saturating_add(EACH);
        let granted = cost <= self.left;
        if granted {
            self.left -= cost;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn c5_a_client_types_no_more_than_so_much() {
        let mut typing = Typing::new();
        let longest = "x".repeat(64 * 1024 - EACH);
        let now = Duration::from_secs(1);
        assert!(typing.take(now, &longest));
        assert!(typing.take(now, &longest));
        assert!(!typing.take(now, "one more"));
        let later = now + Duration::from_secs(1);
        assert!(typing.take(later, &"x".repeat(2048 - EACH)));
        assert!(!typing.take(later, ""));
        let much_later = later + Duration::from_secs(100_000);
        assert!(typing.take(much_later, &longest));
        assert!(typing.take(much_later, &longest));
        assert!(!typing.take(much_later, ""), "no more than at the start");
    }

    #[test]
    fn c5_small_steps_earn_what_large_ones_do() {
        let mut typing = Typing::new();
        while typing.take(Moment::ZERO, "") {}
        let mut granted = 0;
        for step in 1..=10_000 {
            granted += usize::from(typing.take(Duration::from_millis(step), ""));
        }
        // 10 s at 2048 bytes a second, in texts of 128.
        assert!((150..=160).contains(&granted), "{granted}");
    }

    #[test]
    fn nobody_who_types_notices() {
        let mut typing = Typing::new();
        for second in 0..36_000 {
            let line = "a line as long as anybody says in one breath, each second for ten hours";
            assert!(typing.take(Duration::from_secs(second), line));
        }
    }
}
