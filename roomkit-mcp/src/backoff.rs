//! How long to wait before a server is tried again.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// The wait before the attempt of this number, counted from 0: twice as long each time, and between
/// half and all of that, so that many hosts do not return to a server in the same moment.
pub(crate) fn wait(attempt: u32) -> Duration {
    let whole = FIRST.saturating_mul(1 << attempt.min(10)).min(LONGEST);
    // A fresh hasher is seeded at random; that is all the randomness this needs.
    let random = RandomState::new().hash_one(attempt) % 1000;
    whole.mul_f64(0.5 + 0.5 * random as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_and_is_bounded() {
        assert!(wait(0) >= FIRST / 2 && wait(0) <= FIRST);
        assert!(wait(3) >= Duration::from_secs(1) && wait(3) <= Duration::from_secs(2));
        assert!(wait(u32::MAX) <= LONGEST && wait(u32::MAX) >= LONGEST / 2);
    }
}
