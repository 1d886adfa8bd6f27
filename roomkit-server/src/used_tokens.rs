//! Which tokens of one use were used. None is forgotten before it has expired, by a clock that may be
//! set back: rather no further one is taken.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::minted::CLOCK_SKEW;

/// Most tokens that are remembered, which is some megabytes.
pub(crate) const MAX_USED: usize = 100_000;

/// The tokens that were used and have not expired.
#[derive(Debug, Default)]
pub(crate) struct UsedTokens(BTreeSet<(Timestamp, String)>);

/// Why a token cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It was used before.
    Used,
    /// That it was used could not be remembered.
    Full,
}

impl UsedTokens {
    /// Uses the token of this id.
    pub(crate) fn take(
        &mut self,
        id: String,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), Unusable> {
        let is_full = self.is_full(now);
        let entry = (expires_at, id);
        if self.0.contains(&entry) {
            return Err(Unusable::Used);
        }
        if is_full {
            return Err(Unusable::Full);
        }
        self.0.insert(entry);
        Ok(())
    }

    /// Whether no further one can be remembered, once those are forgotten that have expired.
    pub(crate) fn is_full(&mut self, now: Timestamp) -> bool {
        let is_over = |end: Timestamp| end + CLOCK_SKEW <= now;
        while self.0.first().is_some_and(|(end, _)| is_over(*end)) {
            self.0.pop_first();
        }
        self.0.len() >= MAX_USED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn x5_used_tokens_are_bounded_and_none_is_forgotten_before_its_time() {
        let mut used = UsedTokens::default();
        for number in 0..MAX_USED {
            let end = at(if number == 0 { 10 } else { 20 });
            assert_eq!(used.take(number.to_string(), end, at(0)), Ok(()));
        }
        assert_eq!(used.take("x".into(), at(20), at(9)), Err(Unusable::Full));
        assert_eq!(used.take("7".into(), at(20), at(9)), Err(Unusable::Used));
        assert_eq!(used.take("0".into(), at(10), at(9)), Err(Unusable::Used));
        // The first has expired, for any clock, and makes room for one.
        assert_eq!(used.take("x".into(), at(20), at(69)), Err(Unusable::Full));
        assert_eq!(used.take("x".into(), at(20), at(70)), Ok(()));
        assert_eq!(used.take("y".into(), at(20), at(70)), Err(Unusable::Full));
        assert!(!used.is_full(at(80)));
        assert!(used.0.is_empty());
    }

    #[test]
    fn x2_a_used_token_stays_used_when_the_clock_is_set_back() {
        let mut used = UsedTokens::default();
        assert_eq!(used.take("t".into(), at(60), at(0)), Ok(()));
        assert!(!used.is_full(at(61)));
        assert_eq!(used.take("t".into(), at(60), at(56)), Err(Unusable::Used));
    }
}
